"""Builds the symbols of a file: name, kind, place, signature, doc comment, type, what it implements."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from tree_sitter import Node

from services.vector_ops.languages.facts import FILE, Symbol
from services.vector_ops.languages.rust.grammar import Grammar, Source
from services.vector_ops.languages.rust.notation import UNKNOWN, render_type
from services.vector_ops.languages.rust.scopes import Scope

MAX_SIGNATURE_CHARACTERS = 200
MAX_DOC_CHARACTERS = 300
_MAX_DOC_LINES = 400
_BODIES = frozenset({"block", "declaration_list", "field_declaration_list", "enum_variant_list"})
_SENTENCE = re.compile(r"(?<=[.!?])\s")


@dataclass(slots=True)
class Draft:
    """A symbol in the making: owner and bases are settled when the whole file is read."""

    name: str
    qualname: str
    kind: str
    line: int
    column: int
    start_line: int
    end_line: int
    owner: int
    signature: str
    doc: str
    type: str = ""
    bases: list[str] = field(default_factory=list)
    is_test: bool = False
    owner_qualname: str = ""

    def finish(self, owner: int) -> Symbol:
        """Return the symbol."""
        return Symbol(
            self.name, self.qualname, self.kind, self.line, self.column, self.start_line, self.end_line, owner,
            self.signature, self.doc, self.type, tuple(dict.fromkeys(self.bases)), self.is_test,
        )  # fmt: skip


@dataclass(slots=True)
class Definitions:
    """The symbols of one file, in the order of their names."""

    grammar: Grammar
    lines: list[bytes]
    drafts: list[Draft] = field(default_factory=list)

    def add(self, source: Source, node: Node, name: Node, *, kind: str, scope: Scope, first_row: int) -> Draft:
        """Add the definition `node`; `first_row` is that of its first attribute, or its own (rows count from 0)."""
        text = source.read(name).removeprefix("r#")
        line, column = source.place(name)
        row = source.base_row + node.start_point[0]
        first, doc = self._read_doc(row, min(first_row, row))
        draft = Draft(
            name=text,
            qualname=f"{scope.prefix}{text}",
            kind=kind,
            line=line,
            column=column,
            start_line=first + 1,
            end_line=source.base_row + node.end_point[0] + 1,
            owner=scope.symbol,
            signature=self._read_signature(source, node),
            doc=doc,
        )
        if scope.is_impl:
            draft.owner_qualname = scope.prefix[:-1]
        self.drafts.append(draft)
        return draft

    def _read_signature(self, source: Source, node: Node) -> str:
        body = node.child_by_field_id(self.grammar.field["body"])
        end = body.start_byte if body is not None and body.type in _BODIES else node.end_byte
        start = node.start_byte
        text = source.text[start : min(end, start + 4 * MAX_SIGNATURE_CHARACTERS)].decode("utf-8", "replace")
        return " ".join(text.split())[:MAX_SIGNATURE_CHARACTERS].rstrip(" {;,")

    def _read_doc(self, row: int, first_row: int) -> tuple[int, str]:
        """Return the row where the definition begins with its comments, and its doc comment."""
        texts: list[str] = []
        for start in dict.fromkeys((row, first_row)):
            at = start
            while at > 0 and len(texts) < _MAX_DOC_LINES:
                stripped = self.lines[at - 1].strip()
                if not stripped.startswith(b"///"):
                    break
                texts.append(stripped[3:].decode("utf-8", "replace").strip())
                at -= 1
            first_row = min(first_row, at)
        return first_row, shorten_doc(texts[::-1]) if texts else ""

    def settle(self, implemented: Mapping[str, list[str]]) -> tuple[Symbol, ...]:
        """Return the symbols; members of impl blocks are owned by their type when the file defines it."""
        places: dict[str, int] = {}
        for at, draft in enumerate(self.drafts):
            if draft.kind in {"struct", "enum", "trait", "type"}:
                places.setdefault(draft.qualname, at)
                if draft.kind != "type":
                    draft.bases += implemented.get(draft.qualname, [])
        return tuple(
            draft.finish(places.get(draft.owner_qualname, draft.owner) if draft.owner_qualname else draft.owner)
            for draft in self.drafts
        )

    def find(self, qualname: str) -> int:
        """Return the place of the first type of that name, or FILE."""
        for at, draft in enumerate(self.drafts):
            if draft.qualname == qualname and draft.kind in {"struct", "enum", "trait", "type"}:
                return at
        return FILE


def shorten_doc(lines: list[str]) -> str:
    """Return the first sentences of a doc comment, up to its first blank line."""
    kept: list[str] = []
    for line in lines:
        if not line and kept:
            break
        if line:
            kept.append(line)
    text = " ".join(kept)
    if len(text) <= MAX_DOC_CHARACTERS:
        return text
    whole = ""
    for sentence in _SENTENCE.split(text):
        if len(whole) + len(sentence) + 1 > MAX_DOC_CHARACTERS:
            break
        whole = f"{whole} {sentence}".strip()
    return whole or text[:MAX_DOC_CHARACTERS]


def read_generics(
    grammar: Grammar, source: Source, node: Node, names: Mapping[str, str], *, numbered: bool
) -> dict[str, str]:
    """Return type parameter -> notation, from `<T: Bound>` and `where T: Bound` of a definition."""
    parameters = node.child_by_field_id(grammar.field["type_parameters"])
    if parameters is None:
        return {}
    bounds: dict[str, list[str]] = {}
    for one in parameters.named_children:
        name = one.child_by_field_id(grammar.field["name"]) if one.type == "type_parameter" else None
        if name is not None:
            bounds[source.read(name)] = _read_bounds(grammar, source, one, names)
    _read_where(grammar, source, node, names, bounds)
    found = {}
    for at, (parameter, traits) in enumerate(bounds.items()):
        found[parameter] = "{" + (str(at) if numbered else "") + "".join(f"+{one}" for one in traits) + "}"
    return found


def _read_where(
    grammar: Grammar, source: Source, node: Node, names: Mapping[str, str], bounds: dict[str, list[str]]
) -> None:
    for clause in node.named_children:
        if clause.type != "where_clause":
            continue
        for predicate in clause.named_children:
            left = predicate.child_by_field_id(grammar.field["left"])
            name = source.read(left) if left is not None else ""
            if name in bounds:
                bounds[name] += _read_bounds(grammar, source, predicate, names)


def _read_bounds(grammar: Grammar, source: Source, node: Node, names: Mapping[str, str]) -> list[str]:
    bounds = node.child_by_field_id(grammar.field["bounds"])
    if bounds is None:
        return []
    texts = [render_type(source.read(one), names) for one in bounds.named_children if one.type != "lifetime"]
    return [one for one in texts if one not in {"", UNKNOWN, "Send", "Sync", "Copy", "Clone", "Sized", "Unpin"}][:4]
