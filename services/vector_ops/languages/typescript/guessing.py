"""Calls on receivers of which nothing certain is known: what the called names alone say."""

from collections.abc import Iterable

from services.vector_ops.languages.facts import Reference, split_owner
from services.vector_ops.languages.typescript.globals import METHODS
from services.vector_ops.languages.world import SourceFile, SymbolAt, Tier, World

_GUESSES_CAP = 5
_OWNERS_CAP = 40
_OWNING = frozenset({"class", "interface", "type"})
_PLAIN_TYPES = "%{[?`"
Guess = tuple[Tier, tuple[SymbolAt, ...]]
_NOTHING: Guess = (Tier.AMBIGUOUS, ())


class Guesser:
    """Guesses for the calls of one file."""

    def __init__(self, file: SourceFile, world: World) -> None:
        self._file = file
        self._world = world
        self._owners: tuple[str, ...] | None = None
        self._known: dict[tuple[str, str, bool], Guess] = {}

    def guess(self, reference: Reference, *, is_lacking: bool = False) -> Guess:
        """Return what a call may reach; `is_lacking`: the type of the receiver is ours, but seems to lack it."""
        key = (reference.name, _hint_of(reference.target), is_lacking)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._guess_lacking(*key[:2]) if is_lacking else self._guess_anew(*key[:2])
        return found

    def _guess_anew(self, name: str, hint: str) -> Guess:
        named = self._world.named(name)
        if named is None:
            return Tier.AMBIGUOUS, self._choose(self._list_owned(name, hint))
        called = [one for one in named if _is_called(one)]
        is_unique = len(called) == 1 and name not in METHODS
        if is_unique:
            return Tier.UNIQUE_NAME, (called[0],)
        return Tier.AMBIGUOUS, self._choose(called or [one for one in named if _may_be_called(one)])

    def _guess_lacking(self, name: str, hint: str) -> Guess:
        """Return less: a type known in part may lack a member, but a common name is rather that of a builtin."""
        if name in METHODS:
            return _NOTHING
        return Tier.AMBIGUOUS, self._guess_anew(name, hint)[1]

    def _list_owned(self, name: str, hint: str) -> list[SymbolAt]:
        """Return the members of a common name: of the types that the file defines, imports or hints at alone.

        So a file is not resolved again for each type that comes to have a member of that name.
        """
        found: dict[tuple[str, int], SymbolAt] = {}
        for owner in (*((hint,) if hint else ()), *self._list_owners()):
            for one in self._world.named(f"{owner}.{name}") or ():
                if _is_called(one) or _may_be_called(one):
                    found.setdefault((one.path, one.at), one)
        return list(found.values())

    def _list_owners(self) -> tuple[str, ...]:
        if self._owners is None:
            facts = self._file.facts
            own = [one.name for one in facts.symbols if one.kind in _OWNING]
            imported = [entry.name for entry in facts.imports if entry.name[:1].isupper()]
            self._owners = tuple(list(dict.fromkeys((*own, *imported)))[:_OWNERS_CAP])
        return self._owners

    def _choose(self, candidates: Iterable[SymbolAt]) -> tuple[SymbolAt, ...]:
        path = self._file.path
        return tuple(sorted(candidates, key=lambda one: _distance(path, one.path))[:_GUESSES_CAP])


def _hint_of(target: str) -> str:
    """Return the type that the name of a receiver hints at: `config.logger.` hints at `Logger`."""
    name = target[:-1].rpartition(".")[2].strip("#_")
    return name[:1].upper() + name[1:] if name.isidentifier() else ""


def _is_called(one: SymbolAt) -> bool:
    symbol = one.symbol
    is_member = "." in symbol.qualname
    return is_member and (symbol.kind == "method" or (symbol.kind == "attribute" and symbol.type[:1] in "(<"))


def _may_be_called(one: SymbolAt) -> bool:
    """Return whether a property of a named type may be a function: the name may stand for one."""
    symbol = one.symbol
    return symbol.kind == "attribute" and bool(split_owner(symbol.qualname)) and symbol.type[:1] not in _PLAIN_TYPES


def _distance(path: str, other: str) -> int:
    if path == other:
        return -1000
    ours, theirs = path.split("/"), other.split("/")
    shared = 0
    for one, two in zip(ours, theirs, strict=False):
        if one != two:
            break
        shared += 1
    return len(ours) + len(theirs) - 2 * shared
