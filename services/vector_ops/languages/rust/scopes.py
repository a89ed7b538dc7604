"""The scopes that are open at one point of the walk: what local names mean there."""

from dataclasses import dataclass, field

from services.vector_ops.languages.facts import FILE

MAX_DEPTH = 200
"""Scopes nested deeper than this are not opened: real code is far from it, and work stays linear."""


@dataclass(slots=True)
class Scope:
    """A stretch of the file up to byte `end`.

    `symbol` is the definition that references belong to, `prefix` the qualified name with a dot that definitions in it
    get, `names` the meaning of `Self` and of type parameters, `scrutinee` the value that the arms of a match look at,
    `trait` the one that an impl block is for, `home` the path by which it names its type, `is_off` whether a `cfg`
    leaves it out.
    """

    end: int
    symbol: int = FILE
    prefix: str = ""
    names: dict[str, str] = field(default_factory=dict)
    locals: dict[str, str] = field(default_factory=dict)
    scrutinee: str = ""
    match_start: int = -1
    trait: str = ""
    home: str = ""
    is_function: bool = False
    is_type: bool = False
    is_impl: bool = False
    is_off: bool = False


@dataclass(slots=True)
class ScopeStack:
    """Open scopes, innermost last; there is always the file's."""

    _open: list[Scope]

    @property
    def top(self) -> Scope:
        """The innermost scope."""
        return self._open[-1]

    @property
    def is_full(self) -> bool:
        """Whether the code is nested deeper than is worth following."""
        return len(self._open) >= MAX_DEPTH

    def close_until(self, position: int) -> None:
        """Close the scopes that end at or before this byte."""
        opened = self._open
        while len(opened) > 1 and opened[-1].end <= position:
            opened.pop()

    def open_block(self, end: int, scrutinee: str = "") -> Scope:
        """Open a scope of locals; all else is as outside."""
        top = self._open[-1]
        block = Scope(end, top.symbol, top.prefix, top.names, scrutinee=scrutinee, trait=top.trait, is_off=top.is_off)
        self.push(block)
        return block

    def close_last(self) -> None:
        """Close the innermost scope."""
        self._open.pop()

    def push(self, scope: Scope) -> None:
        """Open a scope, unless there are too many."""
        if len(self._open) < MAX_DEPTH:
            self._open.append(scope)

    def bind(self, name: str, value: str) -> None:
        """Bind a local name in the innermost scope."""
        self._open[-1].locals[name] = value

    def bind_again(self, name: str, value: str) -> None:
        """Bind a local name anew where it is bound."""
        for scope in reversed(self._open):
            if name in scope.locals:
                scope.locals[name] = value
                return

    def find_local(self, name: str) -> str | None:
        """Return the value of a local name, or None: then it is an item."""
        for scope in reversed(self._open):
            found = scope.locals.get(name)
            if found is not None:
                return found
            if scope.is_function:
                return None
        return None

    def find_scrutinee(self) -> tuple[str, int]:
        """Return the value that the innermost match looks at, or unknown, and the byte where that match begins."""
        for scope in reversed(self._open):
            if scope.scrutinee:
                return scope.scrutinee, scope.match_start
            if scope.is_function:
                break
        return "_", -1
