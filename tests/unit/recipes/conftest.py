"""Renaming with checks that hold for every rename."""

from __future__ import annotations

import pytest
from recipe_trees import Renamed, parse_tree, rename_files


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
