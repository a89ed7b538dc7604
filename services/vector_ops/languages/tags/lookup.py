"""Types and members by name, as one file sees them; every question goes to the world."""

from typing import NamedTuple

from services.vector_ops.languages.facts import FileFacts
from services.vector_ops.languages.tags.dialect import Dialect
from services.vector_ops.languages.tags.draft import CLASSLIKE, PACKAGE, TYPELIKE
from services.vector_ops.languages.tags.notation import BARE, SUPER, THIS, UNKNOWN, split_type
from services.vector_ops.languages.world import SourceFile, SymbolAt, World

TYPE_TAIL = "type "
MAX_HOPS = 24
_MAX_PATHS = 20
_CALLABLE = frozenset({"function", "method", "declaration", "macro"})
_PARAMETER_LENGTH = 2


class Place(NamedTuple):
    """Where a name is written: a file and the qualified name around."""

    path: str
    scope: str


class Found(NamedTuple):
    """Members found, and how many classes up."""

    symbols: tuple[SymbolAt, ...]
    hops: int


EXTERNAL = ""
"""The full name of a type that is imported from outside the repository."""

_NOTHING = Found((), 0)


class Lookup:
    """Answers for the resolution of one file; nothing is kept beyond it."""

    def __init__(self, file: SourceFile, world: World, dialect: Dialect) -> None:
        self.file = file
        self.world = world
        self.dialect = dialect
        self._types: dict[tuple[str, str, str], str | None] = {}
        self._members: dict[tuple[str, str], Found] = {}
        self._has: dict[str, bool] = {}
        self._bases: dict[str, tuple[list[str], bool]] = {}

    def package_of(self, path: str) -> str:
        """Return the package that is no part of the file's qualified names (Java), or nothing."""
        if not self.dialect.uses_package:
            return ""
        found = self.world.bindings(path, PACKAGE)
        return found[0][1].module if found else ""

    def has_type(self, full: str) -> bool:
        """Say whether the repository holds a type with this full name."""
        known = self._has.get(full)
        if known is None:
            known = self._has[full] = bool(self.world.modules(TYPE_TAIL + full))
        return known

    def find_type(self, name: str, place: Place) -> str | None:
        """Return the full name of a type as written at a place; EXTERNAL or None when the repository has none."""
        key = (name, place.path, place.scope)
        if key not in self._types:
            self._types[key] = self._find_type(name, place)
        return self._types[key]

    def _find_type(self, name: str, place: Place) -> str | None:
        head, dot, rest = name.partition(".")
        imported = [one for _, one in self.world.bindings(place.path, head) if one.module]
        for one in imported:
            full = ".".join(part for part in (one.module, one.name) if part) + dot + rest
            if self.has_type(full):
                return full
        package = self.package_of(place.path)
        for full in self._list_outward(name, place, package):
            if self.has_type(full):
                return full
        if imported:
            return EXTERNAL
        for _, one in self.world.bindings(place.path, "*"):
            if one.module and not one.name and self.has_type(f"{one.module}.{name}"):
                return f"{one.module}.{name}"
        return self._find_absolute(name)

    def _list_outward(self, name: str, place: Place, package: str) -> list[str]:
        """Return the full names that a name may have, from the innermost scope outward."""
        if not package and not self.dialect.is_outward:
            found = self.world.bindings(place.path, PACKAGE)
            return [f"{found[0][1].module}.{name}", name] if found else [name]
        found_names = []
        scope = place.scope
        while scope:
            found_names.append(f"{scope}.{name}")
            scope = scope.rpartition(".")[0]
        found_names.append(name)
        return [f"{package}.{one}" for one in found_names] if package else found_names

    def _find_absolute(self, name: str) -> str | None:
        return name if "." in name and self.has_type(name) else None

    def symbols_of(self, full: str) -> list[SymbolAt]:
        """Return the definitions of a type: several when it is opened again."""
        found: list[SymbolAt] = []
        for path in self.world.modules(TYPE_TAIL + full)[:_MAX_PATHS]:
            local = self._strip_package(path, full)
            found += [one for one in self.world.symbols(path, local) if one.symbol.kind in TYPELIKE]
        return found

    def _strip_package(self, path: str, full: str) -> str:
        package = self.package_of(path)
        return full[len(package) + 1 :] if package and full.startswith(package + ".") else full

    def own_members(self, full: str, name: str) -> tuple[SymbolAt, ...]:
        """Return what a type itself calls by a name."""
        found: list[SymbolAt] = []
        for path in self.world.modules(TYPE_TAIL + full)[:_MAX_PATHS]:
            found += self.world.symbols(path, f"{self._strip_package(path, full)}.{name}")
        return tuple(found)

    def find_member(self, full: str, name: str, *, is_above: bool = False) -> Found:
        """Return the nearest members with a name, of the type or what it inherits (`is_above`: only of these)."""
        key = (full, f"{name}^" if is_above else name)
        if key not in self._members:
            self._members[key] = self._find_member(full, name, is_above=is_above)
        return self._members[key]

    def _find_member(self, full: str, name: str, *, is_above: bool) -> Found:
        level, seen = [full], {full}
        for hops in range(MAX_HOPS):
            if hops or not is_above:
                for one in level:
                    found = self.own_members(one, name)
                    if found:
                        return Found(found, hops)
            level = [base for one in level for base in self.bases_of(one)[0] if base not in seen]
            level = list(dict.fromkeys(level))[:_MAX_PATHS]
            seen.update(level)
            if not level:
                break
        return _NOTHING

    def bases_of(self, full: str) -> tuple[list[str], bool]:
        """Return the bases that the repository holds, and whether there are others."""
        known = self._bases.get(full)
        if known is not None:
            return known
        found: list[str] = []
        has_others = False
        for one in self.symbols_of(full):
            place = Place(one.path, one.symbol.qualname.rpartition(".")[0])
            for base in one.symbol.bases:
                inner = self.find_type(base, place)
                if inner and inner != full:
                    found.append(inner)
                else:
                    has_others = True
        self._bases[full] = (list(dict.fromkeys(found)), has_others)
        return self._bases[full]

    def is_closed(self, full: str) -> bool:
        """Say whether all that a type inherits is in the repository."""
        level, seen = [full], {full}
        for _ in range(MAX_HOPS):
            following: list[str] = []
            for one in level:
                bases, has_others = self.bases_of(one)
                if has_others:
                    return False
                following += [base for base in bases if base not in seen]
            if not following:
                return True
            seen.update(following)
            level = following[:_MAX_PATHS]
        return False

    def classes_around(self, facts: FileFacts, at: int) -> list[str]:
        """Return the full names of the types around a symbol, the innermost first."""
        package = self.package_of(self.file.path)
        found: list[str] = []
        while at >= 0:
            symbol = facts.symbols[at]
            qualname = symbol.qualname if symbol.kind in CLASSLIKE else symbol.qualname.rpartition(".")[0]
            full = f"{package}.{qualname}" if package else qualname
            if qualname and full not in found and (symbol.kind in CLASSLIKE or symbol.kind == "method"):
                found.append(full)
            at = symbol.owner
        return found

    def type_of_member(self, found: Found) -> str | None:
        """Return the full name of what a member returns or holds."""
        for one in found.symbols:
            owner = one.symbol.qualname.rpartition(".")[0]
            written = owner if one.symbol.kind == "variant" else split_type(one.symbol.type)[1]
            if written:
                place = Place(one.path, owner)
                return _judge_type(written, self.find_type(written, place))
        return None


def _judge_type(written: str, full: str | None) -> str | None:
    """Read a type that the repository lacks as one from outside, unless it looks like a type parameter."""
    is_parameter = len(written) <= _PARAMETER_LENGTH or (written[0] == "T" and written[1].isupper())
    return EXTERNAL if full is None and not is_parameter else full


class Receiver(NamedTuple):
    """What a receiver is: a full type name (EXTERNAL: outside; None: unknown), and how it was found."""

    full: str | None
    is_static: bool = False
    is_above: bool = False


class Evaluator:
    """Reads the notation of receivers in one file."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._facts = lookup.file.facts

    def evaluate(self, receiver: str, at: int) -> Receiver:
        """Return what a receiver written inside the symbol `at` is."""
        head, *steps = receiver.split("/")
        around = self._lookup.classes_around(self._facts, at)
        value = self._read_head(head, at, around)
        if head == BARE and steps:
            value = self._call_bare(steps.pop(0), around)
        for step in steps:
            if not value.full:
                return value
            value = self._take_step(value, step)
        return value

    def _read_head(self, head: str, at: int, around: list[str]) -> Receiver:
        if head in (THIS, SUPER):
            return Receiver(around[0] if around else None, is_above=head == SUPER)
        if head in (BARE, "") or head[0] == UNKNOWN:
            return Receiver(None)
        place = Place(self._lookup.file.path, self._scope_of(at))
        if head[0] in ":^":
            full = self._lookup.find_type(head[1:], place)
            return Receiver(_judge_type(head[1:], full), is_static=head[0] == "^")
        for full in around:
            member = self._lookup.find_member(full, head)
            if member.symbols and member.symbols[0].symbol.kind not in _CALLABLE:
                return Receiver(self._lookup.type_of_member(member))
        own = self._lookup.world.symbols(self._lookup.file.path, head)
        if own and own[0].symbol.kind in ("variable", "constant"):
            return Receiver(self._lookup.type_of_member(Found(own, 0)))
        return Receiver(self._lookup.find_type(head, place), is_static=True)

    def _scope_of(self, at: int) -> str:
        return self._facts.symbols[at].qualname if at >= 0 else ""

    def _call_bare(self, step: str, around: list[str]) -> Receiver:
        name = step.removesuffix("()")
        for full in around:
            member = self._lookup.find_member(full, name)
            if member.symbols:
                return Receiver(self._lookup.type_of_member(member))
        own = self._lookup.world.symbols(self._lookup.file.path, name)
        return Receiver(self._lookup.type_of_member(Found(own, 0))) if own else Receiver(None)

    def _take_step(self, value: Receiver, step: str) -> Receiver:
        name = step.removesuffix("()")
        if name == "class" and self._lookup.dialect.constructor:
            return value
        if name == self._lookup.dialect.constructor and name:
            return Receiver(value.full) if value.is_static else Receiver(None)
        full = value.full or ""
        member = self._lookup.find_member(full, name, is_above=value.is_above)
        if member.symbols:
            return Receiver(self._lookup.type_of_member(member))
        if value.is_static and self._lookup.has_type(f"{full}.{name}"):
            return Receiver(f"{full}.{name}", is_static=True)
        return Receiver(None)
