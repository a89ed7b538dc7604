"""Keeping sorted lists sorted: the names of an import and the strings of `__all__`."""

from __future__ import annotations

import re

import libcst as cst

from services.pas.recipes.rename.modules import Module

Edits = dict[int, tuple[int, str]]
_NUMBER = re.compile(r"(\d+)")


def with_order(module: Module, edits: Edits) -> Edits:
    """Return the edits, with the entries of a list exchanged where it was sorted before and would not be after.

    The order is the one of isort and ruff: constants, classes, the rest, each by natural order without case. Lists that
    hold comments stay as they are.
    """
    final = dict(edits)
    for entries in _lists(module):
        spans = [module.spans[entry] for entry in entries]
        if len(spans) > 1 and any(_inside(edits, span) for span in spans) and not _has_comment(module, spans):
            _sort(module, spans, edits, final)
    return final


def _lists(module: Module) -> list[list[cst.CSTNode]]:
    imports: list[list[cst.CSTNode]] = [
        list(node.names) for node in module.facts.from_imports if not isinstance(node.names, cst.ImportStar)
    ]
    exports: list[list[cst.CSTNode]] = [[*strings] for strings in module.facts.export_lists]
    return imports + exports


def _inside(edits: Edits, span: tuple[int, int]) -> list[int]:
    return sorted(offset for offset in edits if span[0] <= offset < span[0] + span[1])


def _has_comment(module: Module, spans: list[tuple[int, int]]) -> bool:
    return b"#" in module.text.data[spans[0][0] : module.text.line_span(spans[-1][0])[1]]


def _sort(module: Module, spans: list[tuple[int, int]], edits: Edits, final: Edits) -> None:
    data = module.text.data
    before = [data[start : start + length].decode() for start, length in spans]
    after = [_edited(data, span, edits) for span in spans]
    if before != sorted(before, key=_key) or after == sorted(after, key=_key):
        return
    for span, text in zip(spans, sorted(after, key=_key), strict=True):
        for offset in _inside(edits, span):
            del final[offset]
        final[span[0]] = (span[1], text)


def _edited(data: bytes, span: tuple[int, int], edits: Edits) -> str:
    position, end = span[0], span[0] + span[1]
    parts: list[bytes] = []
    for offset in _inside(edits, span):
        length, new = edits[offset]
        parts += [data[position:offset], new.encode()]
        position = offset + length
    return b"".join([*parts, data[position:end]]).decode()


def _key(entry: str) -> tuple[int, list[tuple[int, int, str]], str]:
    name = entry.strip("\"'")
    kind = 2
    if len(name) > 1 and name.partition(" ")[0].isupper():
        kind = 0
    elif name[:1].isupper():
        kind = 1
    natural = [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in _NUMBER.split(name.lower())]
    return kind, natural, name
