"""Calls on things of which nothing is known: what their names alone say."""

from services.vector_ops.languages.facts import split_owner
from services.vector_ops.languages.python.builtin_names import COMMON_METHODS
from services.vector_ops.languages.python.defining import OVERLOAD
from services.vector_ops.languages.python.modules import is_test_path
from services.vector_ops.languages.world import METHODS_CAP, SourceFile, SymbolAt, Tier, World

_LONG_NAME = 12
Guess = tuple[Tier, tuple[SymbolAt, ...]]
_NOTHING: Guess = (Tier.AMBIGUOUS, ())


class Guesser:
    """Guesses for the calls of one file."""

    def __init__(self, file: SourceFile, world: World) -> None:
        self._path = file.path
        self._world = world
        self._is_test = is_test_path(file.path)
        self._file = file
        self._visible: frozenset[str] = frozenset()
        self._owners: frozenset[str] = frozenset()
        self._known: dict[tuple[str, str], Guess] = {}

    def guess(self, name: str, hint: str) -> Guess:
        """Return the methods that `name` may be, called on something that is itself called `hint`."""
        key = (name, hint)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._guess_anew(name, hint)
        return known

    def _guess_anew(self, name: str, hint: str) -> Guess:
        if name.startswith("__"):
            return _NOTHING
        owner = hint.replace("_", "").lower()
        candidates = self._world.methods(name, self._list_owners(owner), with_tests=self._is_test)
        methods = self._list_methods(candidates.found)
        if not methods:
            return _NOTHING
        meant = [one for one in methods if hint and _owner_of(one).lower() == owner]
        if len(meant) == 1:
            return Tier.UNIQUE_NAME, (meant[0],)
        is_alone = candidates.is_all and len(methods) == 1 and name not in COMMON_METHODS
        if is_alone and (_is_telling(name) or self._is_visible(methods[0])):
            return Tier.UNIQUE_NAME, (methods[0],)
        if not candidates.is_all or name in COMMON_METHODS:
            # A name that many classes have, or that builtin types have too, says something only of a known class.
            methods = meant or [one for one in methods if self._is_visible(one)]
        return Tier.AMBIGUOUS, tuple(sorted(methods, key=self._distance)[:METHODS_CAP])

    def _is_visible(self, one: SymbolAt) -> bool:
        """Return whether this file defines or imports the class of a method."""
        return _owner_of(one) in self._visible

    def _list_owners(self, owner: str) -> frozenset[str]:
        """Return the classes whose methods matter when there are many: the visible ones, and that of the hint."""
        if not self._visible:
            facts = self._file.facts
            names = (entry.local for entry in facts.imports)
            self._visible = frozenset((*names, *(symbol.name for symbol in facts.symbols if symbol.kind == "class")))
            self._owners = frozenset(map(str.lower, self._visible))
        return self._owners | {owner} if owner else self._owners

    def _list_methods(self, candidates: tuple[SymbolAt, ...]) -> list[SymbolAt]:
        """Return one candidate a class."""
        found: dict[tuple[str, str], SymbolAt] = {}
        for one in candidates:
            key = (one.path, one.symbol.qualname)
            if key not in found or not found[key].symbol.signature.startswith(OVERLOAD):
                found[key] = one
        return list(found.values())

    def _distance(self, one: SymbolAt) -> tuple[bool, int, str, int]:
        shared = 0
        for left, right in zip(self._path.split("/"), one.path.split("/"), strict=False):
            if left != right:
                break
            shared += 1
        return (one.path != self._path, -shared, one.path, one.at)


def _is_telling(name: str) -> bool:
    """Return whether a name is of several words, so that a class elsewhere hardly has it by chance."""
    return "_" in name.strip("_") or len(name) >= _LONG_NAME or not name.islower()


def _owner_of(one: SymbolAt) -> str:
    return split_owner(one.symbol.qualname)
