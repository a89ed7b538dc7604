"""Renaming in small trees written as text: `== path` begins a file."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass

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
