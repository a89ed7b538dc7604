"""Who calls, and who refers to, a symbol: candidates by name, kept only where they resolve to it.

Tiers: `exact` by names and imports alone; `typed` through self, a constructor or an annotation; `unique-name` when the
receiver is unknown and only one definition in the repository has the name; `ambiguous` when several have it.
"""

from dataclasses import dataclass

from services.vector_ops.core.facts import DefinitionAt, ReferenceAt
from services.vector_ops.core.ports import Reader
from services.vector_ops.core.resolving import OUTSIDE, Found, Place, Resolver
from services.vector_ops.core.symbols import Symbol
from services.vector_ops.models import Tier

CALL_KINDS = frozenset({"call", "decorator"})
AMBIGUOUS_LIMIT = 20
_MAX_CANDIDATES = 20_000
_MAX_ALIASES = 20
_MAX_NAMESAKES = 5
_BUILTIN_METHODS = frozenset(
    name for kind in (str, bytes, list, dict, set, int, float) for name in dir(kind) if not name.startswith("__")
)
_TIER_SCORES = {Tier.EXACT: 1.0, Tier.TYPED: 0.9, Tier.UNIQUE_NAME: 0.6, Tier.AMBIGUOUS: 0.3}

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Use:
    """A reference that is taken to mean the symbol."""

    at: ReferenceAt
    tier: Tier
    reason: str

    @property
    def score(self) -> float:
        """Return the order of the tiers, 0 to 1."""
        return _TIER_SCORES[self.tier]


@dataclass(frozen=True, slots=True)
class Uses:
    """Uses by certainty, path and line; `is_truncated` when a cap left some out."""

    uses: tuple[Use, ...]
    is_truncated: bool


class UseFinder:
    """Finds the uses of one symbol."""

    def __init__(self, reader: Reader, resolver: Resolver, symbol: Symbol) -> None:
        self._reader = reader
        self._resolver = resolver
        self._targets = {_key_of(one): one for one in symbol.definitions}
        self._names = self._find_names(symbol.name)
        self._overridden = self._find_overridden()
        self._is_method = any("." in one.definition.qualname for one in symbol.definitions)
        namesakes = [one for one in reader.find_definitions([symbol.name]) if "." in one.definition.qualname]
        self._namesakes = len({_key_of(one) for one in namesakes} | set(self._targets))
        self._is_common = symbol.name in _BUILTIN_METHODS
        self._has_dropped = False

    def _find_names(self, name: str) -> tuple[str, ...]:
        """Return the name, its aliases, and the class names through which a constructor is called."""
        names = [name]
        if name in {"__init__", "__new__"}:
            names += [one.definition.qualname.split(".")[-2] for one in self._targets.values()
                      if "." in one.definition.qualname]  # fmt: skip
        for known in names:
            if len(names) > _MAX_ALIASES:
                break
            imports = self._reader.find_imports_of(known)
            aliases = [one.entry.local for one in imports if one.entry.name == known]
            aliases += [one.definition.name for one in self._reader.find_constants_of(known)]
            names += [alias for alias in dict.fromkeys(aliases) if alias not in names]
        return tuple(names)

    def _find_overridden(self) -> set[Key]:
        """Return the methods of base classes that the symbol overrides: a call of those may reach it."""
        keys: set[Key] = set()
        for one in self._targets.values():
            owner, _, name = one.definition.qualname.rpartition(".")
            for definition in self._reader.find_definitions_at(one.path, owner) if owner else []:
                for base in self._resolver.list_bases(Place(one.path, definition)):
                    found = self._resolver.member_of(base, name)
                    if isinstance(found, Place) and found.definition is not None:
                        keys.add((found.path, found.definition.qualname))
        return keys - set(self._targets)

    def find(self, kinds: frozenset[str] | None = None) -> Uses:
        """Return the uses of these kinds (all when None)."""
        candidates = self._reader.find_references(self._names, _MAX_CANDIDATES)
        wanted = [at for at in candidates if kinds is None or at.reference.kind in kinds]
        judged = [use for use in map(self._judge, wanted) if use is not None]
        unsure = [use for use in judged if use.tier == Tier.AMBIGUOUS]
        kept = [use for use in judged if use.tier != Tier.AMBIGUOUS] + unsure[:AMBIGUOUS_LIMIT]
        kept.sort(key=lambda use: (-use.score, use.at.path, use.at.reference.line, use.at.reference.column))
        is_cut = len(unsure) > AMBIGUOUS_LIMIT or len(candidates) == _MAX_CANDIDATES
        return Uses(tuple(kept), is_cut or self._has_dropped)

    def _judge(self, at: ReferenceAt) -> Use | None:
        reference = at.reference
        found = self._resolver.resolve(at.path, reference.target) if reference.target else None
        if isinstance(found, Place):
            return self._judge_place(at, found)
        if found is OUTSIDE or not reference.receiver:
            return None
        return self._judge_unknown(at)

    def _judge_place(self, at: ReferenceAt, place: Place) -> Use | None:
        key = self._match(place)
        is_typed = place.is_typed or "()" in at.reference.target or "^" in at.reference.target
        if key is not None:
            tier = Tier.TYPED if is_typed else Tier.EXACT
            return Use(at, tier, f"{_verb(at)} {key[1]} of {key[0]}")
        if place.definition is not None and (place.path, place.definition.qualname) in self._overridden:
            return Use(at, Tier.AMBIGUOUS, f"{_verb(at)} {place.definition.qualname}, which the symbol overrides")
        return None

    def _match(self, place: Place) -> Key | None:
        """Return the meant definition that `place` is, following module-level aliases and constructors."""
        current: Found = place
        for _ in range(4):
            if not isinstance(current, Place) or current.definition is None:
                return None
            key = (current.path, current.definition.qualname)
            if key in self._targets:
                return key
            if current.definition.kind == "class":
                return self._match_constructor(current)
            if current.definition.kind != "constant":
                return None
            current = self._resolver.resolve(current.path, current.definition.type_target)
            if isinstance(current, Place) and current.is_instance:
                return None
        return None

    def _match_constructor(self, place: Place) -> Key | None:
        if place.definition is None or place.is_instance:
            return None
        for name in ("__init__", "__new__"):
            key = (place.path, f"{place.definition.qualname}.{name}")
            if key in self._targets:
                return key
        return None

    def _judge_unknown(self, at: ReferenceAt) -> Use | None:
        """Judge an attribute of something unknown: it is taken for the symbol only as far as the name tells."""
        if not self._is_method or at.reference.name != self._names[0]:
            return None
        if self._namesakes > _MAX_NAMESAKES:
            self._has_dropped = True  # one in many: a guess that helps nobody, but the list is not complete
            return None
        receiver = f"the type of `{at.reference.receiver}` is unknown"
        if self._namesakes == 1 and not self._is_common:
            return Use(at, Tier.UNIQUE_NAME, f"{receiver}; only one definition has this name")
        count = f"{self._namesakes} definitions have this name" if self._namesakes > 1 else "built-in types have it too"
        return Use(at, Tier.AMBIGUOUS, f"{receiver}; {count}")


def _verb(at: ReferenceAt) -> str:
    return {"call": "calls", "decorator": "is decorated with", "base": "inherits from"}.get(at.reference.kind, "uses")


def _key_of(one: DefinitionAt) -> Key:
    return one.path, one.definition.qualname
