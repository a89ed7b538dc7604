"""Listing every place where the old name still stands, with the reason."""

from __future__ import annotations

import libcst as cst

from services.pas.recipes.models import LeftAlone, Occurrence, OccurrenceKind
from services.pas.recipes.rename.modules import SUFFIXES, Module, Project
from services.pas.recipes.rename.plan import Kept, ModulePlan
from services.pas.recipes.source import Text

DOCUMENTS = (".md", ".markdown", ".rst")
PROSE_KINDS: frozenset[OccurrenceKind] = frozenset({"document", "docstring", "comment"})
"""What part `mentions` accounts for."""
_PROSE = "prose is left to the mentions part"


def in_module(plan: ModulePlan, name: str) -> list[LeftAlone]:
    """Return the whole words of a planned module that are not edited."""
    text = plan.module.text
    rest = [offset for offset in text.words(name) if offset not in plan.edits]
    undecided = [offset for offset in rest if offset not in plan.kept]
    found = dict(plan.kept)
    if undecided:
        strings = _strings(plan.module)
        found.update({offset: _judge(offset, strings) for offset in undecided})
    return [_left(text, offset, found[offset]) for offset in rest]


def elsewhere(project: Project, name: str) -> list[LeftAlone]:
    """Return the words in files that are not Python, or do not parse."""
    found: list[LeftAlone] = []
    for path in project.tree.paths():
        if path.endswith(SUFFIXES) and path not in project.broken:
            continue
        content = project.tree.read(path)
        if name in content:
            text = Text(path, content)
            kept = _outside(path, project)
            found += [_left(text, offset, kept) for offset in text.words(name)]
    return found


def _outside(path: str, project: Project) -> Kept:
    if path in project.broken:
        return Kept("unparsable", project.broken[path])
    if path.endswith(DOCUMENTS):
        return Kept("document", f"a document: {_PROSE}")
    return Kept("data_file", "not a Python file: change it by hand if it means this symbol")


def _left(text: Text, offset: int, kept: Kept) -> LeftAlone:
    return LeftAlone(occurrence=text.occurrence(offset, kept.kind), reason=kept.reason)


def _strings(module: Module) -> list[tuple[int, int, OccurrenceKind]]:
    nodes: list[cst.CSTNode] = [*module.facts.strings, *(each.string for each in module.facts.embedded)]
    found: list[tuple[int, int, OccurrenceKind]] = []
    for node in nodes:
        start, length = module.spans[node]
        found.append((start, start + length, "docstring" if node in module.facts.docstrings else "string"))
    return sorted(found)


def _judge(offset: int, strings: list[tuple[int, int, OccurrenceKind]]) -> Kept:
    for start, end, kind in strings:
        if start <= offset < end:
            if kind == "docstring":
                return Kept(kind, f"a docstring: {_PROSE}")
            return Kept(kind, "inside a string, which may or may not name this symbol")
    return Kept("comment", f"a comment: {_PROSE}")


def outer_base(text: Text, offset: int, owner: str, name: str) -> LeftAlone:
    """Return the note that a base class outside the tree could not be checked."""
    occurrence: Occurrence = text.occurrence(offset, "base_class")
    return LeftAlone(
        occurrence=occurrence,
        reason=f"a base class of {owner} outside this tree; should it define {name!r} too, the override is lost",
    )
