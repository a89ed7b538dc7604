"""Children of a LibCST node, whitespace and punctuation left out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from functools import cache

import libcst as cst

_NOISE = ("whitespace", "lpar", "rpar", "lbracket", "rbracket", "lbrace", "rbrace", "leading_lines", "lines_after")
_NOISE_EXACT = frozenset({"comma", "semicolon", "equal", "header", "footer", "trailing_whitespace", "indent", "dot"})


@cache
def _names(kind: type[cst.CSTNode]) -> tuple[str, ...]:
    names = (each.name for each in fields(kind))
    return tuple(name for name in names if not name.startswith(_NOISE) and name not in _NOISE_EXACT)


def children(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """Yield the direct children of `node` in field order."""
    for name in _names(type(node)):
        value = getattr(node, name)
        if isinstance(value, cst.CSTNode):
            yield value
        elif isinstance(value, (tuple, list)):
            yield from (each for each in value if isinstance(each, cst.CSTNode))


def dotted(node: cst.CSTNode | None) -> str:
    """Return `a.b.c` for names and attributes; empty for anything else."""
    if isinstance(node, cst.Name):
        return node.value
    if isinstance(node, cst.Attribute):
        head = dotted(node.value)
        return f"{head}.{node.attr.value}" if head else ""
    return ""


def tail(node: cst.CSTNode | None) -> str:
    """Return the last part of a dotted name, looking through calls and subscripts: `c` for `a.b.c[x](y)`."""
    while isinstance(node, (cst.Call, cst.Subscript)):
        node = node.func if isinstance(node, cst.Call) else node.value
    return dotted(node).rpartition(".")[2]
