"""Turns the references and imports of one file into edges."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from services.vector_ops.languages.facts import FILE, Import, Reference
from services.vector_ops.languages.rust import standard
from services.vector_ops.languages.rust.annotations import Types, place_of
from services.vector_ops.languages.rust.evaluation import Values
from services.vector_ops.languages.rust.methods import Methods
from services.vector_ops.languages.rust.modules import find_child
from services.vector_ops.languages.rust.names import FOREIGN_ENTITY, Entity, Names, Place
from services.vector_ops.languages.rust.notation import is_of_trait, is_off, read_trait, unnest
from services.vector_ops.languages.rust.types import DOUBT, FOREIGN, OURS, TUPLE, UNKNOWN, read_type
from services.vector_ops.languages.world import Edge, EdgeKind, SourceFile, SymbolAt, Tier, World

MAX_AMBIGUOUS = 5
_KINDS = {
    "call": EdgeKind.CALL,
    "new": EdgeKind.CALL,
    "inherit": EdgeKind.INHERIT,
    "annotate": EdgeKind.USE,
    "use": EdgeKind.USE,
}

Found = tuple[list[SymbolAt], Tier]
_NOTHING: Found = ([], Tier.AMBIGUOUS)


def resolve_rust(file: SourceFile, world: World) -> list[Edge]:
    """Return the edges of one file, in order of line and column, without repetitions."""
    names = Names(file, world)
    types = Types(names)
    methods = Methods(names, types)
    resolver = Resolver(file, world, names, Values(names, types, methods), methods)
    found = {*resolver.resolve_imports(), *resolver.resolve_modules(), *resolver.resolve_references()}
    return sorted(found, key=lambda edge: (edge.line, edge.column, edge.kind, edge.target_path, edge.target_at))


@dataclass(slots=True)
class Resolver:
    """Resolves one file."""

    file: SourceFile
    world: World
    names: Names
    values: Values
    methods: Methods
    _known: dict[tuple[str, str, str, Place], Found] = field(default_factory=dict)

    def resolve_imports(self) -> Iterator[Edge]:
        """Yield an edge for every import that leads into the repository."""
        for one in self.file.facts.imports:
            inside = one.local.rpartition(".")[0]
            for target in self._find_imported(one, Place(self.file.path, inside)):
                at = FILE if target.at is None else target.at.at
                path = target.place.path if target.place is not None else target.at.path if target.at else ""
                if path and (path != self.file.path or at != FILE):
                    yield Edge(one.scope, path, at, EdgeKind.IMPORT, Tier.EXACT, one.line, one.column)

    def resolve_modules(self) -> Iterator[Edge]:
        """Yield an edge for every module that this file declares and that is a file of its own."""
        for symbol in self.file.facts.symbols:
            if symbol.kind == "module" and symbol.type:
                child = find_child(self.world, self.file.path, symbol.qualname, symbol.type)
                if child:
                    yield Edge(symbol.owner, child, FILE, EdgeKind.IMPORT, Tier.EXACT, symbol.line, symbol.column)

    def _find_imported(self, one: Import, place: Place) -> list[Entity]:
        path = [part for part in one.module.split("::") if part]
        if one.name != "*":
            path.append(one.name)
        if not path:
            return []
        spaces = ("type",) if one.name == "*" else ("type", "value", "macro")
        found: list[Entity] = []
        for space in spaces:
            entity = self.names.find_path(path, space, place) if len(path) > 1 else self._find_single(path[0], space)
            if entity is not None and entity != FOREIGN_ENTITY and entity not in found:
                found.append(entity)
        return found

    def _find_single(self, name: str, space: str) -> Entity | None:
        return self.names.find_first(name, space, Place(self.file.path))

    def resolve_references(self) -> Iterator[Edge]:
        """Yield the edges of all references."""
        symbols = self.file.facts.symbols
        places = [Place(self.file.path, one.qualname) for one in symbols]
        file = Place(self.file.path)
        for one in self.file.facts.references:
            place = file if one.scope == FILE else places[one.scope]
            key = (one.kind, one.name, one.target, place)
            if key not in self._known:
                self._known[key] = self._find(one, place)
            targets, tier = self._known[key]
            kind = _KINDS[one.kind]
            for target in targets:
                yield Edge(one.scope, target.path, target.at, kind, tier, one.line, one.column)

    def _find(self, one: Reference, place: Place) -> Found:
        target, _, given = one.target.partition("::=")
        if given:
            return self._find_conversion(one.name, target, unnest(given), place)
        if target.endswith(" ."):
            return self._find_method(one.name, target[:-2], place)
        if target.endswith("!"):
            return self._find_macro(one.name, target[:-1], place)
        if one.kind in {"annotate", "inherit"}:
            return self._find_type(one.name, target, place)
        if one.kind == "new":
            return self._find_constructed(one.name, target, place)
        return self._find_item(one.name, target, place, is_call=one.kind == "call")

    def _find_type(self, name: str, target: str, place: Place) -> Found:
        if not target:
            entity = self.names.find(name, "type", place)
        elif "<" in target or "{" in target:
            owner = self.values.types.evaluate(f"{target}{name}", place)
            return ([owner.at], Tier.TYPED) if owner.at is not None else _NOTHING
        else:
            entity = self.names.find_path([*target[:-2].split("::"), name], "type", place)
        if entity is None or entity.at is None:
            return _NOTHING
        return [entity.at], Tier.EXACT

    def _find_constructed(self, name: str, target: str, place: Place) -> Found:
        if "<" not in name and "{" not in target and "<" not in target:
            found = self._find_type(name, target, place)
            if found[0] and found[0][0].symbol.kind != "type":
                return found
        made = self.values.types.evaluate(f"{target}{name}", place)
        return ([made.at], Tier.EXACT) if made.at is not None else _NOTHING

    def _find_item(self, name: str, target: str, place: Place, *, is_call: bool) -> Found:
        if not target:
            entity = self.names.find(name, "value", place)
            if name == "Self":
                return _NOTHING
        elif "<" in target or "{" in target:
            return self._find_associated(name, target[:-2], place, is_call=is_call)
        else:
            entity = self.names.find_path([*target[:-2].split("::"), name], "value", place)
        if entity == FOREIGN_ENTITY:
            return _NOTHING
        if entity is not None and entity.at is not None and (not target or entity.at.symbol.kind != "method"):
            return [entity.at], Tier.EXACT
        return self._find_associated(name, target[:-2], place, is_call=is_call) if target else _NOTHING

    def _find_conversion(self, name: str, prefix: str, given: str, place: Place) -> Found:
        """Return what a path means by what it is given: the `from` for a type, a trait's method of the type of self."""
        found, tier = self._find_item(name, f"{prefix}::", place, is_call=True)
        if len(found) <= 1:
            given_of = (
                self._find_given(name, prefix, given, place) if not found or self.methods.trait_of(found[0]) else []
            )
            return (given_of, Tier.TYPED) if len(given_of) == 1 else (found, tier)
        wanted = self.values.settle(self.values.evaluate(given, place))
        fitting = [one for one in found if wanted != UNKNOWN and self._converted(one) == wanted[:3]]
        return self._choose(fitting or found, Tier.TYPED)

    def _find_given(self, name: str, trait: str, given: str, place: Place) -> list[SymbolAt]:
        """Return the methods of a value's own type that stand in its impl blocks of a trait."""
        owner = self.values.settle(self.values.evaluate(given, place))
        members = self.methods.members(owner.at, name) if owner.kind == OURS and owner.at is not None else ()
        last = trait.rpartition("::")[2]
        return [one for one in members if read_trait(one.symbol).partition("<")[0].rpartition("::")[2] == last]

    def _converted(self, method: SymbolAt) -> tuple[str, SymbolAt | None, str]:
        """Return kind, symbol and name of the type that an impl block of `From<T>` converts."""
        text = read_type(read_trait(method.symbol))
        args = text.segments[-1][1] if text.segments else ()
        return self.values.types.build(args[0], place_of(method))[:3] if args else ("", None, "")

    def _find_associated(self, name: str, prefix: str, place: Place, *, is_call: bool) -> Found:
        found, owner = self.values.find_associated(prefix, name, place)
        if found:
            return self._choose(list(found), Tier.EXACT)
        if not is_call or owner != UNKNOWN:
            return _NOTHING
        last = prefix.rpartition("::")[2]
        candidates = self.world.named(f"{last}.{name}") if last[:1].isupper() else None
        return self._choose(list(candidates or ()), Tier.UNIQUE_NAME)

    def _choose(self, found: list[SymbolAt], tier: Tier) -> Found:
        """Return one target at this tier, or several as doubtful ones: cfg and macros make twins, traits make more."""
        found = [one for one in found if not is_off(one.symbol)] or found
        if len(found) <= 1:
            return found, tier
        return self._nearest(found), Tier.AMBIGUOUS

    def _nearest(self, found: list[SymbolAt]) -> list[SymbolAt]:
        folder = self.file.path.rpartition("/")[0]

        def rank(one: SymbolAt) -> tuple[int, str, int]:
            if one.path == self.file.path:
                return 0, one.path, one.at
            return (1 if one.path.rpartition("/")[0] == folder else 2), one.path, one.at

        return sorted(found, key=rank)[:MAX_AMBIGUOUS]

    def _find_macro(self, name: str, module: str, place: Place) -> Found:
        if module:
            entity = self.names.find_path([*module[:-2].split("::"), name], "macro", place)
        else:
            entity = self.names.find(name, "macro", place)
        if entity is not None and entity.at is not None:
            return [entity.at], Tier.EXACT
        if entity == FOREIGN_ENTITY:
            return _NOTHING
        candidates = [one for one in self.world.named(name) or () if one.symbol.kind == "macro"]
        return self._choose(candidates, Tier.UNIQUE_NAME)

    def _find_method(self, name: str, value: str, place: Place) -> Found:
        owner = self.values.settle(self.values.evaluate(value, place))
        if owner not in {UNKNOWN, DOUBT}:
            found, holder = self.methods.find(owner, name, place)
            if holder.kind == FOREIGN:
                # A foreign type's own method goes before that of a trait: else this one would only call itself.
                found = tuple(one for one in found if (one.path, one.symbol.qualname) != place)
            if found:
                is_exact = holder.kind not in {FOREIGN, TUPLE} or not self._is_implemented(found[0])
                return self._choose(list(found), Tier.TYPED if is_exact else Tier.AMBIGUOUS)
            if owner.kind == TUPLE or (owner.kind in {FOREIGN, OURS} and not self.methods.is_open(owner)):
                return _NOTHING
        return self._guess_method(name, place, may_be_sure=owner == UNKNOWN)

    def _is_implemented(self, method: SymbolAt) -> bool:
        """Return whether a method is a trait's that some impl block overrides: then that may be meant."""
        if is_of_trait(method.symbol):
            return False
        named = self.world.named(method.symbol.name)
        return named is None or any(is_of_trait(one.symbol) for one in named)

    def _guess_method(self, name: str, place: Place, *, may_be_sure: bool) -> Found:
        """Return the methods of that name when nothing is known of the receiver."""
        candidates = [one for one in self.world.named(name) or () if one.symbol.kind == "method"]
        if not candidates:
            return _NOTHING
        inherent = [one for one in candidates if not is_of_trait(one.symbol)]
        found, tier = self._choose(inherent or candidates, Tier.UNIQUE_NAME)
        may_be_sure = may_be_sure and tier == Tier.UNIQUE_NAME and name not in standard.COMMON_METHODS
        if may_be_sure and self._is_at_hand(found[0], place):
            return found, tier
        return self._nearest(found), Tier.AMBIGUOUS

    def _is_at_hand(self, method: SymbolAt, place: Place) -> bool:
        """Return whether this file has to do with the type or trait of a method."""
        if method.path == self.file.path:
            return True
        trait = self.methods.trait_of(method)
        if trait is not None:
            return self.methods.is_in_scope(trait, place)
        owner = method.symbol.qualname.rpartition(".")[0].rpartition(".")[2]
        entity = self.names.find(owner, "type", place)
        return entity is not None and entity.at is not None
