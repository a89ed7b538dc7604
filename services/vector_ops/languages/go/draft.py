"""The facts of one file while they are gathered, and the names that are bound where the walk stands."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from tree_sitter import Node

from services.vector_ops.languages.facts import FILE, FileFacts, Import, Reference, Symbol
from services.vector_ops.languages.go.notation import EXTERNAL, select_name

Handler = Callable[["Draft", Node], bool | None]
"""What is done on the way into a node; when it gives True, what lies inside is passed over."""

Finisher = Callable[["Draft"], None]
"""What is done on the way out of a node."""


class Fields(NamedTuple):
    """The numbers of the grammar's fields: looking a child up by number takes half the time."""

    alias: int
    arguments: int
    body: int
    element: int
    field: int
    function: int
    key: int
    left: int
    name: int
    operand: int
    operator: int
    package: int
    parameters: int
    path: int
    receiver: int
    result: int
    right: int
    type: int
    type_arguments: int
    type_parameters: int
    value: int


@dataclass(slots=True)
class Draft:
    """The state of one extraction.

    `parents`: the kinds of the nodes above the visited one, of which `kinds` names some.
    `names` holds what local names are bound to, `constraints` those of the type parameters of the types declared so
    far, `taken` the places of names that are no uses, `called` the ids of selections that are called, `interfaces` the
    anonymous ones by the byte where they begin, `defined` the definitions that are being read, and the names on their
    left.
    """

    source: bytes
    is_ascii: bool
    fields: Fields
    kinds: dict[int, str]
    package: str = ""
    symbols: list[Symbol] = field(default_factory=list)
    owners: list[str] = field(default_factory=list)
    references: list[Reference] = field(default_factory=list)
    imports: list[Import] = field(default_factory=list)
    outside: set[str] = field(default_factory=set)
    imported: set[str] = field(default_factory=set)
    names: dict[str, str] = field(default_factory=dict)
    undo: list[tuple[str, str | None]] = field(default_factory=list)
    frames: list[tuple[int, int]] = field(default_factory=list)
    scope: int = FILE
    taken: set[int] = field(default_factory=set)
    called: set[int] = field(default_factory=set)
    defined: list[tuple[Node, list[Node]]] = field(default_factory=list)
    structs: list[dict[str, str]] = field(default_factory=list)
    interfaces: dict[int, str] = field(default_factory=dict)
    naming: str = ""
    pending: list[tuple[str, Node]] = field(default_factory=list)
    comments: list[Node] = field(default_factory=list)
    const_type: str = ""
    constraints: dict[str, list[str]] = field(default_factory=dict)
    switches: list[tuple[str, Node]] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)

    def parent_kind(self) -> str:
        """Return the kind of the node above the visited one, if handlers ask after it."""
        return self.kinds.get(self.parents[-1], "") if self.parents else ""

    def text(self, node: Node) -> str:
        """Return the source of a node."""
        return self.source[node.start_byte : node.end_byte].decode()

    def place(self, node: Node) -> tuple[int, int]:
        """Return line and column, from 1, columns in characters."""
        row, column = node.start_point
        if not self.is_ascii:
            start = node.start_byte
            column = len(self.source[start - column : start].decode())
        return row + 1, column + 1

    def open_scope(self, scope: int | None = None) -> None:
        """Begin a block; with `scope`, the body of that symbol."""
        self.frames.append((len(self.undo), self.scope))
        if scope is not None:
            self.scope = scope

    def close_scope(self) -> None:
        """Forget what was bound since the block began."""
        if not self.frames:
            return
        mark, self.scope = self.frames.pop()
        while len(self.undo) > mark:
            name, before = self.undo.pop()
            if before is None:
                self.names.pop(name, None)
            else:
                self.names[name] = before

    def bind(self, name: str, notation: str) -> None:
        """Bind a local name in the present block."""
        if name != "_":
            self.undo.append((name, self.names.get(name)))
            self.names[name] = notation

    def refer(self, node: Node, kind: str, target: str = "", name: str = "") -> None:
        """Note a use of the name at `node`; `name` spares reading it again."""
        start = node.start_byte
        row, column = node.start_point
        if not self.is_ascii:
            column = len(self.source[start - column : start].decode())
        label = name or self.source[start : node.end_byte].decode()
        self.references.append(Reference(label, kind, self.scope, row + 1, column + 1, target))

    def refer_to_package(self, package: str, node: Node, kind: str) -> None:
        """Note a use of a name of an imported package, unless that is known to be outside."""
        if package not in self.outside:
            self.refer(node, kind, f"n{package}")

    def add_symbol(self, symbol: Symbol, owner: str = "") -> int:
        """Add a symbol and return its index; `owner` names a type whose index is not known yet."""
        self.symbols.append(symbol)
        self.owners.append(owner)
        return len(self.symbols) - 1

    def qualify(self, name: str) -> str:
        """Return the qualified name of a name that is declared in the present scope."""
        return name if self.scope == FILE else f"{self.symbols[self.scope].qualname}.{name}"

    def select(self, name: str, base: str) -> str:
        """Return a selection; a field of an anonymous struct is looked up at once."""
        if not base.startswith("v{"):
            return select_name(name, base)
        fields = self.structs[int(base[2:])]
        return fields.get(name, EXTERNAL)

    def finish(self) -> FileFacts:
        """Return the facts."""
        homes = {one.qualname: at for at, one in enumerate(self.symbols) if one.kind in TYPE_KINDS}
        self._follow_aliases(homes)
        symbols = tuple(
            one._replace(owner=homes.get(owner, FILE)) if owner else one
            for one, owner in zip(self.symbols, self.owners, strict=True)
        )
        references = tuple(sorted(self.references, key=lambda one: (one.line, one.column)))
        return FileFacts("go", symbols, references, tuple(self.imports), self.package)

    def _follow_aliases(self, homes: dict[str, int]) -> None:
        """Give the methods that are declared on an alias of a type of the package to that type."""
        for at, owner in enumerate(self.owners):
            target = self.symbols[homes[owner]].type if owner in homes else ""
            if target.startswith("=n") and target[2:].isidentifier():
                self.owners[at] = target[2:]
                self.symbols[at] = self.symbols[at]._replace(qualname=f"{target[2:]}.{self.symbols[at].name}")


TYPE_KINDS = frozenset({"struct", "interface", "type"})
