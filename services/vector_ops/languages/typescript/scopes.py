"""Lexical scopes of a file while it is being read: what a name or a type of that name is bound to.

A binding is written in the notation of the language: `#5` is the symbol 5 of this file, `$3` the local variable 3 (its
value is note 3), `^T` a type parameter, a plain name something bound at the top of the file, mostly an import.
"""

from services.vector_ops.languages.facts import FILE


class Scope:
    """One block; `symbol` is the definition around it, `this` the notation of `this` in it.

    `result` is the declared return type of the function around it (a notation), `returns` collects what it returns.
    """

    __slots__ = ("is_top", "names", "parent", "prefix", "result", "returns", "symbol", "this", "types")

    def __init__(self, parent: "Scope | None" = None) -> None:
        self.parent = parent
        self.names: dict[str, str] = {}
        self.types: dict[str, str] = {}
        self.is_top = parent is None
        if parent is None:
            self.symbol, self.this, self.prefix, self.result = FILE, "?", "", ""
            self.returns: list[str] | None = None
        else:
            self.symbol, self.this, self.prefix = parent.symbol, parent.this, parent.prefix
            self.result, self.returns = parent.result, parent.returns


def find_value(scope: Scope | None, name: str) -> str:
    """Return what the name is bound to as a value, or nothing: then it is a global."""
    while scope is not None:
        found = scope.names.get(name)
        if found is not None:
            return found
        scope = scope.parent
    return ""


def find_type(scope: Scope | None, name: str) -> str:
    """Return what the name is bound to as a type, or nothing: then it is a global.

    What is bound at the top of the file stays a name: types are read from other files too.
    """
    while scope is not None:
        found = scope.types.get(name)
        if found is None:
            found = scope.names.get(name)
        if found is not None:
            return name if scope.parent is None and found[0] == "#" else found
        scope = scope.parent
    return ""
