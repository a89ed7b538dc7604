"""Calls on things of which nothing is known: what their names alone say."""

from services.vector_ops.languages.python.builtin_names import COMMON_METHODS
from services.vector_ops.languages.python.modules import is_test_path
from services.vector_ops.languages.world import SourceFile, SymbolAt, Tier, World

_MAX_GUESSES = 5
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
        self._visible: frozenset[str] | None = None
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
        candidates = self._world.named(name)
        if candidates is None:
            return _NOTHING
        methods = self._list_methods(candidates)
        if not methods:
            return _NOTHING
        meant = [one for one in methods if hint and _owner_of(one).lower() == hint.replace("_", "").lower()]
        if len(meant) == 1:
            return Tier.UNIQUE_NAME, (meant[0],)
        if len(methods) == 1 and name not in COMMON_METHODS and (_is_telling(name) or self._is_visible(methods[0])):
            return Tier.UNIQUE_NAME, (methods[0],)
        if len(methods) > _MAX_GUESSES or name in COMMON_METHODS:
            # A name that many classes have, or that builtin types have too, says something only of a known class.
            methods = meant or [one for one in methods if self._is_visible(one)]
        return Tier.AMBIGUOUS, tuple(sorted(methods, key=self._distance)[:_MAX_GUESSES])

    def _is_visible(self, one: SymbolAt) -> bool:
        """Return whether this file defines or imports the class of a method."""
        if self._visible is None:
            facts = self._file.facts
            names = (entry.local for entry in facts.imports)
            self._visible = frozenset((*names, *(symbol.name for symbol in facts.symbols if symbol.kind == "class")))
        return _owner_of(one) in self._visible

    def _list_methods(self, candidates: tuple[SymbolAt, ...]) -> list[SymbolAt]:
        """Return one candidate a class; code outside the tests does not call into them."""
        found: dict[tuple[str, str], SymbolAt] = {}
        for one in candidates:
            if one.symbol.kind == "method" and (self._is_test or not is_test_path(one.path)):
                found[one.path, one.symbol.qualname] = one
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
    return one.symbol.qualname.rpartition(".")[0].rpartition(".")[2]
