"""What the linter's check and the tidying of recipes share about a tree and ruff."""

import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path

from services.pas.models import Payload, RecipePayload
from services.pas.recipes import commands


def uses_ruff(folder: Path) -> bool:
    """Return whether the tree configures ruff at its top: ruff.toml, .ruff.toml or [tool.ruff] in pyproject.toml."""
    if any((folder / name).is_file() for name in ("ruff.toml", ".ruff.toml")):
        return True
    try:
        with (folder / "pyproject.toml").open("rb") as file:
            return "ruff" in tomllib.load(file).get("tool", {})
    except (OSError, tomllib.TOMLDecodeError):
        return False


def renames_of(payloads: Iterable[Payload]) -> dict[str, str]:
    """Return old and new identifiers of the renames: a line that only changed its name keeps its findings."""
    renames = {}
    for payload in payloads:
        if isinstance(payload, RecipePayload) and payload.recipe == "rename-symbol":
            old, new = str(payload.params.get("old", "")), str(payload.params.get("new", ""))
            renames[old.rpartition(".")[2]] = new
    return renames


def read_lines(folder: Path, findings: Sequence[commands.Finding]) -> dict[str, list[str]]:
    """Return the lines of every file with a finding (regular files only: links are not followed)."""
    lines = {}
    for path in {finding.path for finding in findings}:
        place = folder / path
        if place.is_file() and not place.is_symlink():
            lines[path] = place.read_text("utf-8", "replace").splitlines()
    return lines
