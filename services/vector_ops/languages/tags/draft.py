"""The facts of one file in the making."""

from typing import NamedTuple

from tree_sitter import Node

from services.vector_ops.languages.facts import FILE, Import, Reference, Symbol
from services.vector_ops.languages.tags.comments import Comments
from services.vector_ops.languages.tags.dialect import Declared, Dialect
from services.vector_ops.languages.tags.events import Event
from services.vector_ops.languages.tags.notation import UNKNOWN

PACKAGE = " package"
"""The local name of the import that stands for the package a file declares."""

CLASSLIKE = frozenset({"class", "interface", "struct", "enum", "trait", "module"})
TYPELIKE = CLASSLIKE | {"type"}
FUNCTIONLIKE = frozenset({"function", "method", "attribute"})


class Scope(NamedTuple):
    """A definition that is open: its place among the symbols, the byte where it ends, and what its locals hold."""

    at: int
    end: int
    qualname: str
    kind: str
    bound: dict[str, str]


class Draft:
    """What was found so far, and the stack of definitions around."""

    def __init__(self, dialect: Dialect, source: bytes) -> None:
        self.dialect = dialect
        self.source = source
        self.is_ascii = source.isascii()
        self.lines: list[bytes] = []
        self.symbols: list[Symbol] = []
        self.bases: list[list[str]] = []
        self.references: dict[int, Reference] = {}
        self.imports: list[Import] = []
        self.scopes: list[Scope] = []
        self.top: dict[str, str] = {}
        self.comments = Comments(source, ())
        self.wraps: dict[int, Node] = {}
        self.bound_at: set[int] = set()
        self.package = ""
        self.hidden: dict[int, str] = {}
        self.end_byte = len(source)

    def text(self, node: Node) -> str:
        """Return the source of a node."""
        return self.source[node.start_byte : node.end_byte].decode("utf-8", "replace")

    def place(self, node: Node) -> tuple[int, int]:
        """Return line and column, from 1, in characters."""
        row, column = node.start_point
        if not self.is_ascii and column:
            start = node.start_byte - column
            column = len(self.source[start : node.start_byte].decode("utf-8", "replace"))
        return row + 1, column + 1

    def close_before(self, at: int) -> None:
        """Leave the definitions that end at or before a byte."""
        scopes = self.scopes
        while scopes and scopes[-1].end <= at:
            scopes.pop()

    def close_all(self) -> None:
        """Leave all definitions: a namespace without braces begins."""
        self.scopes.clear()

    def scope_at(self) -> int:
        """Return the place of the innermost definition, FILE at the top level."""
        return self.scopes[-1].at if self.scopes else FILE

    def is_in_function(self) -> bool:
        """Say whether the innermost definition is a function."""
        return bool(self.scopes) and self.scopes[-1].kind in FUNCTIONLIKE

    def set_visibility(self, word: str) -> None:
        """Note that methods from here on are private, to the end of the class or the next such word."""
        self.hidden[self.scopes[-1].at] = "" if word == "public" else f"{word} "

    def find_bound(self, name: str) -> str | None:
        """Return what a local name holds, as a receiver; None when it is no local."""
        for scope in reversed(self.scopes):
            value = scope.bound.get(name)
            if value is not None:
                return value
        return self.top.get(name)

    def bind(self, name: str, value: str) -> None:
        """Note what a local holds from here on; a field of Ruby (`@x`) belongs to the class around."""
        scopes = self.scopes
        if name[0] == "@":
            scope = next((one for one in reversed(scopes) if one.kind in CLASSLIKE), None)
            bound = scope.bound if scope else self.top
            bound[name] = value if value[0] in ":^" else UNKNOWN
        else:
            (scopes[-1].bound if scopes else self.top)[name] = value

    def declared(self, event: Event) -> Declared | None:
        """Return what a definition or binding names."""
        names = event.captures.get("name")
        if names:
            return Declared(names[0], next(iter(event.captures.get("params", ())), None))
        declarators = event.captures.get("declarator")
        return self.dialect.read_declarator(declarators[0]) if declarators else None

    def refer(self, reference: Reference, node: Node) -> None:
        """Keep a reference; of two at one place the one that says more."""
        rank = _RANK[reference.kind]
        at = node.start_byte
        before = self.references.get(at)
        if before is None or rank > _RANK[before.kind]:
            self.references[at] = reference


_RANK = {"bare": 0, "use": 0, "annotate": 1, "call": 2, "new": 3, "inherit": 4}
