"""Collections that are written down in the file: what an item of them may be."""

from collections.abc import Sequence
from typing import NamedTuple

from tree_sitter import Node

from services.vector_ops.languages.python.annotations import PLAIN, Values, split_tuple
from services.vector_ops.languages.python.binding import STAR
from services.vector_ops.languages.python.scopes import ItemSet, Scope
from services.vector_ops.languages.python.syntax import child_at, field
from services.vector_ops.languages.python.values import MAX_LENGTH, Names, unite

_MAX_ENTRIES = 100
_MAX_SET_DEPTH = 2
"""Items set from other items are followed so far: what is set from what it was set from would multiply at each step."""
_MAX_SET_READS = 2_000
"""Reading of set items ends for a file after so many; what follows is not known."""


class Entry(NamedTuple):
    """One entry of a collection; in a sequence the key is missing."""

    key: Node | None
    value: Node


class Literal(NamedTuple):
    """A collection and the scope that its entries are seen in."""

    entries: tuple[Entry, ...]
    scope: Scope
    is_mapping: bool


class Literals:
    """The collections of one file."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._literals: list[Literal] = []
        self._by_place: dict[tuple[int, int, int], str] = {}
        self._set_depth = 0
        self._set_reads = 0

    def _add(self, key: tuple[int, int, int], literal: Literal) -> Values:
        found = self._by_place.get(key)
        if found is None:
            found = self._by_place[key] = f"{{{len(self._literals)}"
            self._literals.append(literal)
        return (found,)

    def _get(self, value: str) -> Literal:
        return self._literals[int(value[1:])]

    def read_sequence(self, node: Node, scope: Scope) -> Values:
        """Return the value of a list, tuple or set."""
        entries = tuple(Entry(None, child) for child in node.named_children[:_MAX_ENTRIES] if child.type != "comment")
        return self._add((node.start_byte, node.end_byte, 0), Literal(entries, scope, False))

    def read_mapping(self, node: Node, scope: Scope) -> Values:
        """Return the value of a dictionary."""
        entries = []
        for pair in node.named_children[:_MAX_ENTRIES]:
            key, value = field(pair, "key"), field(pair, "value")
            if pair.type == "pair" and key is not None and value is not None:
                entries.append(Entry(key, value))
        return self._add((node.start_byte, node.end_byte, 0), Literal(tuple(entries), scope, True))

    def read_comprehension(self, node: Node, scope: Scope) -> Values:
        """Return a container of what the comprehension makes."""
        body = child_at(node, 0)
        if body is not None and body.type == "pair":
            body = field(body, "value")
        if body is None:
            return (PLAIN,)
        inner = self._names.walk.comprehensions.get(node.start_byte, scope)
        values = self._names.evaluate(body, inner)
        return tuple(PLAIN if one[0] in "!'{\\" else f"{one}#" for one in values)

    def iterate(self, values: Values) -> Values:
        """Return what iterating gives."""
        return unite([self._iterate_one(one) for one in values])

    def _iterate_one(self, value: str) -> Values:
        if value[0] == "{":
            literal = self._get(value)
            if literal.is_mapping:
                return (PLAIN,)
            return unite([self._names.evaluate(one.value, literal.scope) for one in literal.entries])
        return take_opaque(value)

    def take_path(self, values: Values, path: tuple[int, ...]) -> Values:
        """Return the part of values that a place in a pattern gets."""
        for part in path:
            values = unite([self._take_part(one, part) for one in values])
        return values

    def _take_part(self, value: str, part: int) -> Values:
        if value[0] != "{":
            return (value,) if part >= STAR and value[-1] == "#" else take_opaque(value, part if part < STAR else None)
        literal = self._get(value)
        if part >= STAR:
            front, behind = divmod(part - STAR, 1000)
            entries = literal.entries[front : len(literal.entries) - behind]
            return self._add((int(value[1:]), part, 1), Literal(entries, literal.scope, False))
        if not -len(literal.entries) <= part < len(literal.entries) or literal.is_mapping:
            return ()
        return self._names.evaluate(literal.entries[part].value, literal.scope)

    def read_item(self, owner: Node, key: Node, node: Node, scope: Scope, values: Values) -> Values:
        """Return what `owner[key]` may hold: entries that are written down, and those set elsewhere in the file."""
        if not any(one[0] == "{" for one in values):
            part = int(text) if key.type == "integer" and (text := self._names.walk.read(key)).isdigit() else None
            return unite([take_opaque(one, part) for one in values])
        if key.type == "slice":
            return unite([self._slice(one, key) for one in values])
        keys = self._names.evaluate(key, scope)
        wanted = {one for one in keys if one[0] == "'"}
        found = self._find_set(owner, scope, wanted, node.start_byte)
        if found is not None and found[1]:
            return found[0]
        groups = [self._take_keyed(one, wanted) for one in values]
        return unite([*groups, found[0] if found is not None else ()])

    def _slice(self, value: str, key: Node) -> Values:
        bounds = [child.text for child in key.children]
        numbers = [int(one) for one in bounds if one is not None and one.isdigit()]
        if value[0] != "{" or not numbers or bounds[0] == b":":
            return (value,)
        literal = self._get(value)
        entries = literal.entries[numbers[0] : numbers[1] if len(numbers) > 1 else None]
        return self._add((int(value[1:]), key.start_byte, 2), Literal(entries, literal.scope, False))

    def _take_keyed(self, value: str, wanted: set[str]) -> Values:
        if value[0] != "{":
            return take_opaque(value)
        literal = self._get(value)
        groups = []
        for index, entry in enumerate(literal.entries):
            if entry.key is None:
                fits = not wanted or f"'#{index}" in wanted
            else:
                fits = not wanted or bool(wanted.intersection(self._names.evaluate(entry.key, literal.scope)))
            if fits:
                groups.append(self._names.evaluate(entry.value, literal.scope))
        return unite(groups)

    def _find_set(self, owner: Node, scope: Scope, wanted: set[str], start: int) -> tuple[Values, bool] | None:
        """Return what assignments of items give, and whether the last one replaced all others."""
        text = self._names.walk.read(owner)
        entries = self._names.walk.item_sets.get(text, ())
        if not entries or self._set_depth >= _MAX_SET_DEPTH or self._set_reads >= _MAX_SET_READS:
            return None
        self._set_reads += 1
        self._set_depth += 1
        try:
            return self._read_set(entries, text, scope, wanted, start)
        finally:
            self._set_depth -= 1

    def _read_set(
        self, entries: Sequence[ItemSet], text: str, scope: Scope, wanted: set[str], start: int
    ) -> tuple[Values, bool]:
        home = self._names.find_scope(scope, text.split("[", 1)[0])
        fitting = [one for one in entries if self._is_of(one, home, text) and self._fits(one, wanted)]
        before = [one for one in fitting if one.scope is scope and one.start < start]
        column = self._names.walk.indentation(start)
        if wanted and before and before[-1].column <= column and len(before) == len(fitting):
            return self._names.evaluate(before[-1].value, before[-1].scope), True
        return unite([self._names.evaluate(one.value, one.scope) for one in fitting]), False

    def _is_of(self, entry: ItemSet, home: Scope | None, text: str) -> bool:
        return self._names.find_scope(entry.scope, text.split("[", 1)[0]) is home

    def _fits(self, entry: ItemSet, wanted: set[str]) -> bool:
        keys = self._names.evaluate(entry.key, entry.scope)
        return not wanted or not keys or bool(wanted.intersection(keys))


def take_opaque(value: str, part: int | None = None) -> Values:
    """Return an item of a value of which this file does not know the items: the one at a place, if that is known."""
    if value[0] in "!'":
        return (PLAIN,)
    if value[0] == "\\":
        return ()
    if value[-1] == "#":
        return (value[:-1],)
    if value[-1] == ">":
        parts = split_tuple(value)
        if part is None:
            return unite(parts)
        return parts[part] if -len(parts) <= part < len(parts) else ()
    return (f"{value}[{'' if part is None else part}]",) if len(value) <= MAX_LENGTH else ()
