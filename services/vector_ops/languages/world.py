"""What resolution may ask about other files, and what it answers: edges.

Every question is recorded as a dependency of the file that is being resolved. When another file changes, exactly the
files that asked something whose answer changed are resolved again; so incremental equals rebuilt, by construction. A
resolver therefore asks the world and nothing else, is pure, keeps no state between two files, and answers
deterministically.
"""

from collections.abc import Container, Iterable
from enum import IntEnum
from typing import NamedTuple, Protocol

from services.vector_ops.languages.facts import FileFacts, Import, Symbol, split_owner

NAMED_CAP = 20
"""`World.named` answers None beyond this many: a name that common says nothing."""


METHODS_CAP = 5
"""Beyond this many methods, `World.methods` answers with those of certain classes alone."""


class Tier(IntEnum):
    """How sure the resolver is of an edge; the order is the order of trust.

    EXACT: scopes and imports alone lead there. TYPED: over the declared or inferred type of the receiver. UNIQUE_NAME:
    only one definition fits by its name. AMBIGUOUS: one of several (at most a few per site).
    """

    EXACT = 1
    TYPED = 2
    UNIQUE_NAME = 3
    AMBIGUOUS = 4


class EdgeKind(IntEnum):
    """What an edge means. CALL includes constructing (the class is the target); USE is any other mention."""

    CALL = 1
    IMPORT = 2
    INHERIT = 3
    USE = 4


class SymbolAt(NamedTuple):
    """A symbol, the file that holds it, and its place (`at`) among that file's symbols."""

    path: str
    at: int
    symbol: Symbol


class Edge(NamedTuple):
    """From the symbol `source` of the resolved file (FILE: its top level) to `target_at` of `target_path`.

    `line` and `column` are those of the name in the resolved file. `target_at` FILE: the target is a whole file.
    """

    source: int
    target_path: str
    target_at: int
    kind: EdgeKind
    tier: Tier
    line: int
    column: int


class Methods(NamedTuple):
    """Methods of one name; `is_all`: there are no others."""

    found: tuple[SymbolAt, ...] = ()
    is_all: bool = True


class World(Protocol):
    """All files of one language family. Answers in the order of paths, then of lines."""

    def exists(self, path: str) -> bool:
        """Return whether the repository holds a file at `path`."""
        ...

    def facts(self, path: str) -> FileFacts | None:
        """Return all facts of a file: for files of configuration (go.mod, tsconfig.json); dear as a dependency else."""
        ...

    def unit(self, path: str) -> str:
        """Return the unit of a file: what `Language.unit_of` says."""
        ...

    def paths_in(self, unit: str) -> tuple[str, ...]:
        """Return the paths whose unit this is."""
        ...

    def modules(self, tail: str) -> tuple[str, ...]:
        """Return the paths for which `Language.tails_of` names `tail`: how a module is found by the end of its path."""
        ...

    def symbols(self, unit: str, qualname: str) -> tuple[SymbolAt, ...]:
        """Return the symbols of a unit with this qualified name."""
        ...

    def members(self, unit: str, qualname: str) -> tuple[SymbolAt, ...]:
        """Return the symbols of a unit whose owner has this qualified name (`Class` -> its methods and fields)."""
        ...

    def bindings(self, unit: str, local: str) -> tuple[tuple[str, Import], ...]:
        """Return (path, import) of the file-level imports of a unit that bind `local` (`*` for star imports)."""
        ...

    def named(self, name: str) -> tuple[SymbolAt, ...] | None:
        """Return the symbols with this name, anywhere; None when there are more than NAMED_CAP.

        `Owner.name` asks by the last two parts of the qualified name.
        """
        ...

    def methods(self, name: str, owners: frozenset[str], *, with_tests: bool) -> Methods:
        """Return the methods with this name, anywhere; those of test files only `with_tests`.

        Beyond METHODS_CAP, only those of classes whose name in lower case is among `owners`: a file that calls
        `.close()` on something unknown is then not resolved again for each class that comes to have one. None of them
        when `named` answers None.
        """
        ...


class SourceFile(NamedTuple):
    """The file to resolve."""

    path: str
    unit: str
    facts: FileFacts


def choose_methods(
    named: Iterable[SymbolAt], tests: Container[str], owners: frozenset[str], *, with_tests: bool
) -> Methods:
    """Return what `World.methods` answers where `named` are all symbols of the name; `tests` are paths."""
    found = tuple(one for one in named if one.symbol.kind == "method" and (with_tests or one.path not in tests))
    if len(found) <= METHODS_CAP or len({(one.path, one.symbol.qualname) for one in found}) <= METHODS_CAP:
        return Methods(found)
    return Methods(tuple(one for one in found if split_owner(one.symbol.qualname).lower() in owners), is_all=False)
