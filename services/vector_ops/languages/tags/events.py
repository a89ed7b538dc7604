"""What the query of a language finds in a tree, in the order in which it must be read."""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from tree_sitter import Node, Parser, Query, QueryCursor, Tree

from services.vector_ops.languages.grammars import load_grammar
from services.vector_ops.languages.tags.dialect import Captures, Dialect

_MATCH_LIMIT = 4096
_MAX_DEPTH = 1000
"""Deeper nodes are left out: beyond some 30,000 levels a query takes minutes."""


class Event(NamedTuple):
    """A match: `kind` and `detail` from the name of its main capture (`def.class`), `at` the byte of its turn."""

    at: int
    end: int
    kind: str
    detail: str
    node: Node
    captures: Captures


@cache
def _load_query(grammar: tuple[str, str], text: str) -> Query:
    return Query(load_grammar(*grammar), text)


@cache
def _load_reader(grammar: tuple[str, str]) -> Callable[[bytes], Tree]:
    return Parser(load_grammar(*grammar)).parse


def list_events(dialect: Dialect, content: bytes) -> tuple[Node, list[Event]]:
    """Return the root of the tree and its events.

    Bindings take their turn where they end: what their value mentions still sees the older binding.
    """
    root = _load_reader(dialect.grammar)(dialect.prepare(content)).root_node
    cursor = QueryCursor(_load_query(dialect.grammar, dialect.query), match_limit=_MATCH_LIMIT)
    cursor.set_max_start_depth(_MAX_DEPTH)
    turns: list[tuple[int, int, int, int, Event]] = []
    labels: dict[int, tuple[str, str, str, int]] = {}
    for pattern, captures in cursor.matches(root):
        label = labels.get(pattern)
        if label is None:
            label = labels[pattern] = _read_label(captures)
        name, kind, detail, order = label
        node = captures[name][0]
        end = node.end_byte
        at = end if kind == "bind" else node.start_byte
        turns.append((at, order, -end, len(turns), Event(at, end, kind, detail, node, captures)))
    turns.sort()
    return root, [turn[4] for turn in turns]


def _read_label(captures: Captures) -> tuple[str, str, str, int]:
    """Return the main capture of a pattern, its kind and detail, and which comes first at one byte."""
    for name in captures:
        kind, _, detail = name.partition(".")
        if kind in _ORDER:
            return name, kind, detail, _ORDER[kind]
    raise AssertionError(sorted(captures))


_ORDER = {"wrap": 0, "comment": 0, "package": 1, "import": 1, "def": 2, "bind": 3, "base": 4, "ref": 5}
