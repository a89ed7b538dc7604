"""Renaming in small trees written as text: `== path` begins a file."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass

import pytest

from services.pas.recipes.models import RecipeOutcome, RenameParams
from services.pas.recipes.rename import code, mentions
from services.pas.recipes.source import MemoryTree

_PARTS = {"code": code.apply, "mentions": mentions.apply}


def parse_tree(text: str) -> dict[str, str]:
    """Return the files of a tree in the notation of these tests."""
    pieces = re.split(r"^== (\S+)\n", textwrap.dedent(text), flags=re.MULTILINE)
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))


@dataclass(frozen=True)
class Renamed:
    outcome: RecipeOutcome
    files: dict[str, str]

    def reasons(self) -> dict[str, str]:
        """Return `path:line:column` -> reason of all that was left alone."""
        return {
            f"{each.occurrence.path}:{each.occurrence.line}:{each.occurrence.column}": each.reason
            for each in self.outcome.left_alone
        }


def rename_files(files: dict[str, str], old: str, new: str, **more) -> Renamed:
    params = RenameParams(old=old, new=new, **more)
    outcome = _PARTS[params.part](MemoryTree(files), params)
    return Renamed(outcome, {**files, **outcome.changed})


@pytest.fixture
def rename():
    """Rename in a tree given as text or as files; every changed Python file must compile."""

    def run(tree: str | dict[str, str], old: str, new: str, **more) -> Renamed:
        files = parse_tree(tree) if isinstance(tree, str) else tree
        result = rename_files(files, old, new, **more)
        for path, text in result.outcome.changed.items():
            if path.endswith(".py"):
                compile(text, path, "exec")
        return result

    return run


@pytest.fixture
def check(rename):
    """Rename, compare the whole tree, and rename back: that must restore every byte."""

    def run(before: str, old: str, new: str, after: str, *, is_reversible: bool = True, **more) -> Renamed:
        result = rename(before, old, new, **more)
        assert result.outcome.status == "applied", result.outcome.reason
        expected = parse_tree(after)
        for path, text in parse_tree(before).items():
            assert result.files[path] == expected.get(path, text), path
        if is_reversible:
            prefix = result.outcome.symbols[0].qualified_name.rpartition(".")[0]
            back = rename(result.files, f"{prefix}.{new}", old.rpartition(".")[2])
            assert back.outcome.status == "applied", back.outcome.reason
            assert back.files == parse_tree(before)
        return result

    return run
