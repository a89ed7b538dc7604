"""The facts of a file while they are being gathered."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import tree_sitter

from services.vector_ops.languages.facts import FILE, Import, Reference
from services.vector_ops.languages.typescript.scopes import Scope

LEAVES = frozenset(
    {"comment", "string", "number", "regex", "property_identifier", "predefined_type", "this", "super", "true"}
    | {"false", "null", "undefined", "import_statement", "hash_bang_line", "this_type", "literal_type", "jsx_text"}
    | {"string_fragment", "escape_sequence", "accessibility_modifier", "statement_identifier"}
)
"""Kinds of nodes in which nothing is found."""
_SIGNATURE_CAP = 200
_PLAIN = frozenset({"constant", "variable", "attribute", "variant"})
_DOC_CAP = 300
_TEXT_CAP = 1200
_SENTENCES = re.compile(r"(?<=[.!?])\s+(?=[A-Z`{@])")
_FRAME = re.compile(r"^[ \t]*(?:/\*\*?|\*/|\*(?!/)|///?)?[ \t]?|[ \t]*\*/[ \t]*$", re.MULTILINE)


@dataclass(slots=True)
class Drafted:
    """A symbol that is not finished: `returns` holds what its body returns, when it declares no type."""

    name: str
    qualname: str
    kind: str
    line: int
    column: int
    start_line: int
    end_line: int
    owner: int
    signature: str = ""
    doc: str = ""
    generics: str = ""
    type: str = ""
    parameters: str | None = None
    result: str = ""
    is_async: bool = False
    is_getter: bool = False
    is_signature: bool = False
    is_test: bool = False
    bases: list[str] = field(default_factory=list)
    returns: list[str] = field(default_factory=list)
    overloads: list[str] = field(default_factory=list)


class Draft:
    """What was found so far; `stack` holds what is still to be walked, with its scope and its expected type."""

    def __init__(self, source: bytes) -> None:
        self.is_ascii = source.isascii()
        self.text = source.decode("latin-1")
        self.symbols: list[Drafted] = []
        self.references: list[Reference] = []
        self.imports: list[Import] = []
        self.locals: list[str] = []
        self.stack: list[tuple[tree_sitter.Node, Scope, str]] = []
        self.declared: dict[int, int] = {}
        self.members: dict[tuple[int, str], int] = {}
        self.used: set[tuple[int, str, str]] = set()
        self.keeps_this: set[int] = set()

    def read(self, node: tree_sitter.Node) -> str:
        """Return the source text of a node."""
        text = self.text[node.start_byte : node.end_byte]
        if self.is_ascii or text.isascii():
            return text
        return text.encode("latin-1").decode("utf-8", "replace")

    def place(self, node: tree_sitter.Node) -> tuple[int, int]:
        """Return line and column of a node, both from 1, the column in characters."""
        row, column = node.start_point
        if not self.is_ascii and column:
            start = node.start_byte
            column = len(self.text[start - column : start].encode("latin-1").decode("utf-8", "replace"))
        return row + 1, column + 1

    def push(self, nodes: Sequence[tree_sitter.Node], scope: Scope) -> None:
        """Have nodes walked later, in their order."""
        self.stack.extend([(node, scope, "") for node in reversed(nodes) if node.type not in LEAVES])

    def add_local(self, notation: str = "?") -> str:
        """Return the binding of a new local variable."""
        self.locals.append(notation)
        return f"${len(self.locals) - 1}"

    def add_symbol(
        self,
        kind: str,
        name_node: tree_sitter.Node,
        whole: tree_sitter.Node,
        scope: Scope,
        doc: tree_sitter.Node | None = None,
        *,
        name: str = "",
        owner: int | None = None,
        instead: int | None = None,
    ) -> int:
        """Return the index of a new symbol, a member of `owner` or of the scope's symbol.

        It takes the place of `instead`, of which only signatures were seen.
        """
        owner = scope.symbol if owner is None else owner
        name = name or self.read(name_node)
        row, column = self.place(name_node)
        prefix = self.symbols[owner].qualname if owner != FILE else scope.prefix
        first = doc if doc is not None else whole
        drafted = Drafted(
            name,
            f"{prefix}.{name}" if prefix else name,
            kind,
            row,
            column,
            first.start_point[0] + 1,
            whole.end_point[0] + 1,
            owner,
            self._read_line(whole) if kind in _PLAIN else self._read_signature(whole),
            self._read_doc(doc) if doc is not None else "",
        )
        if instead is not None:
            return self._replace_symbol(instead, drafted)
        self.symbols.append(drafted)
        at = len(self.symbols) - 1
        self.members.setdefault((owner, name), at)
        return at

    def _replace_symbol(self, at: int, drafted: Drafted) -> int:
        former = self.symbols[at]
        drafted.overloads = former.overloads
        drafted.doc = drafted.doc or former.doc
        drafted.start_line = former.start_line
        self.symbols[at] = drafted
        return at

    def add_reference(self, kind: str, name: str, node: tree_sitter.Node, scope: Scope, target: str) -> int:
        """Return the index of a new reference."""
        line, column = self.place(node)
        self.references.append(Reference(name, kind, scope.symbol, line, column, target))
        return len(self.references) - 1

    def add_use(self, kind: str, node: tree_sitter.Node, scope: Scope, token: str) -> None:
        """Note that a definition or an import is mentioned; once a symbol is enough."""
        if not token or token[0] in "$^%?":
            return
        key = (scope.symbol, kind, token)
        if key not in self.used:
            self.used.add(key)
            self.add_reference(kind, self.read(node), node, scope, token)

    def _read_line(self, whole: tree_sitter.Node) -> str:
        """Return the first line of a definition without a body."""
        start = whole.start_byte
        line = self.text[start : min(whole.end_byte, start + _SIGNATURE_CAP)].partition("\n")[0].rstrip(" \r={;,[(")
        return line if self.is_ascii else line.encode("latin-1").decode("utf-8", "ignore")

    def _read_signature(self, whole: tree_sitter.Node) -> str:
        body = _find_body(whole)
        end = body.start_byte if body is not None else whole.end_byte
        text = self.text[whole.start_byte : min(end, whole.start_byte + _TEXT_CAP)]
        if not self.is_ascii:
            text = text.encode("latin-1").decode("utf-8", "replace")
        line = " ".join(text.split()).removesuffix("=>").rstrip(" ={;,")
        return line if len(line) <= _SIGNATURE_CAP else line[: _SIGNATURE_CAP - 1] + "…"

    def _read_doc(self, comment: tree_sitter.Node) -> str:
        text = self.text[comment.start_byte : min(comment.end_byte, comment.start_byte + 4 * _TEXT_CAP)]
        if not text.startswith(("/**", "//")):
            return ""
        plain = _FRAME.sub("", text.encode("latin-1").decode("utf-8", "replace"))
        words = " ".join(plain.split("\n@")[0].split("\n\n")[0].split()) or " ".join(plain.split())
        kept = ""
        for sentence in _SENTENCES.split(words):
            if kept and len(kept) + len(sentence) >= _DOC_CAP:
                break
            kept = f"{kept} {sentence}".strip()
        return kept[:_DOC_CAP]


def _find_body(whole: tree_sitter.Node) -> tree_sitter.Node | None:
    """Return the part of a definition that its signature leaves out."""
    node: tree_sitter.Node | None = whole
    for _step in range(4):
        if node is None:
            return None
        body = node.child_by_field_name("body")
        if body is not None:
            return body
        held = node.child_by_field_name("declaration") or node.child_by_field_name("value")
        if held is None and node.type in {"lexical_declaration", "variable_declaration"}:
            held = node.named_children[0] if node.named_child_count else None
        if held is not None and held.type in {"object", "array"}:
            return held
        node = held
    return None
