"""The facts of one file while they are gathered, and the names that are bound where the walk stands."""

from collections.abc import Callable
from dataclasses import dataclass, field

from tree_sitter import Node

from services.vector_ops.languages.facts import FILE, FileFacts, Import, Reference, Symbol
from services.vector_ops.languages.go.notation import EXTERNAL, select_name

Leave = Callable[["Draft", Node], None]


@dataclass(slots=True)
class Draft:
    """The state of one extraction; `stack` holds (what to do on leaving, node) of the nodes above the visited one."""

    source: bytes
    is_ascii: bool
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
    structs: list[dict[str, str]] = field(default_factory=list)
    naming: str = ""
    pending: list[tuple[str, Node]] = field(default_factory=list)
    comments: list[Node] = field(default_factory=list)
    const_type: str = ""
    switches: list[tuple[str, Node]] = field(default_factory=list)
    stack: list[tuple["Leave | None", Node]] = field(default_factory=list)

    def text(self, node: Node) -> str:
        """Return the source of a node."""
        return self.source[node.start_byte : node.end_byte].decode("utf-8", "replace")

    def place(self, node: Node) -> tuple[int, int]:
        """Return line and column, from 1, columns in characters."""
        row, column = node.start_point
        if not self.is_ascii:
            start = node.start_byte
            column = len(self.source[start - column : start].decode("utf-8", "replace"))
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

    def refer(self, node: Node, kind: str, target: str = "") -> None:
        """Note a use of the name at `node`."""
        line, column = self.place(node)
        self.references.append(Reference(self.text(node), kind, self.scope, line, column, target))

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
        symbols = tuple(
            one._replace(owner=homes.get(owner, FILE)) if owner else one
            for one, owner in zip(self.symbols, self.owners, strict=True)
        )
        references = tuple(sorted(self.references, key=lambda one: (one.line, one.column)))
        return FileFacts("go", symbols, references, tuple(self.imports), self.package)


TYPE_KINDS = frozenset({"struct", "interface", "type"})
