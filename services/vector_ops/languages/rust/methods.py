"""Which definitions a method or an associated function may be, given the type of its receiver."""

from dataclasses import dataclass, field

from services.vector_ops.languages.rust import standard
from services.vector_ops.languages.rust.annotations import Types, place_of
from services.vector_ops.languages.rust.modules import MAX_HOPS
from services.vector_ops.languages.rust.names import Entity, Names, Place
from services.vector_ops.languages.rust.notation import OFF, is_of_trait, read_home, read_trait
from services.vector_ops.languages.rust.types import FOREIGN, OURS, TUPLE, UNKNOWN, Type, substitute
from services.vector_ops.languages.world import SymbolAt

_CALLABLE = frozenset({"method", "function"})


@dataclass(slots=True)
class Methods:
    """Methods by receiver, for one file that is being resolved."""

    names: Names
    types: Types
    _known: dict[tuple[str, str, str], tuple[SymbolAt, ...]] = field(default_factory=dict)

    def find(self, owner: Type, name: str, place: Place) -> tuple[tuple[SymbolAt, ...], Type]:
        """Return the candidates for `owner.name()` at a place, and the type that has them after dereferencing."""
        for _ in range(MAX_HOPS):
            found = self._find_on(owner, name, place)
            if found:
                return found, owner
            if owner.kind == FOREIGN and name in standard.OWN_METHODS.get(owner.name, ()):
                break
            owner = self._dereference(owner)
            if owner == UNKNOWN:
                break
        return (), UNKNOWN

    def is_open(self, owner: Type) -> bool:
        """Return whether a type stands for something else that is not known: a pointer to who knows what."""
        for _ in range(MAX_HOPS):
            if owner.kind == OURS and owner.at is not None and not self.members(owner.at, "deref"):
                return False
            if owner.kind == FOREIGN and (owner.name not in standard.FOLLOWED or not owner.args):
                return owner.name in standard.FOLLOWED
            owner = self._dereference(owner)
            if owner == UNKNOWN:
                break
        return True

    def _dereference(self, owner: Type) -> Type:
        if owner.kind == FOREIGN:
            return owner.args[0] if owner.name in standard.FOLLOWED and owner.args else UNKNOWN
        if owner.kind == OURS and owner.at is not None:
            for one in self.members(owner.at, "deref"):
                return substitute(self.types.evaluate(one.symbol.type, place_of(one)), owner.args)
        return UNKNOWN

    def _find_on(self, owner: Type, name: str, place: Place) -> tuple[SymbolAt, ...]:
        if owner.kind == OURS and owner.at is not None:
            return (
                self.members(owner.at, name)
                or self._find_in_traits(self._traits_of(owner.at), name)
                or self.find_extension(name, place)
            )
        if owner.traits:
            return self._find_in_traits(owner.traits, name)
        if owner.kind in {FOREIGN, TUPLE}:
            return self._find_for_foreign(owner.name or "?", name, place)
        return ()

    def members(self, owner: SymbolAt, name: str) -> tuple[SymbolAt, ...]:
        """Return the methods of a type, from any impl block of the repository; inherent ones before those of traits."""
        key = (owner.path, owner.symbol.qualname, name)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._search(owner, name)
        return found

    def _search(self, owner: SymbolAt, name: str) -> tuple[SymbolAt, ...]:
        here = self.names.symbols(owner.path, f"{owner.symbol.qualname}.{name}")
        found = [one for one in here if one.symbol.kind in _CALLABLE]
        if not found:
            elsewhere = self.names.world.named(f"{owner.symbol.name}.{name}") or ()
            found = [one for one in elsewhere if one.symbol.kind == "method" and self._belongs(one, owner)]
        inherent = [one for one in found if not is_of_trait(one.symbol)]
        return tuple(inherent or found)

    def _belongs(self, method: SymbolAt, owner: SymbolAt) -> bool:
        """Return whether the impl block of a method elsewhere is for this type: its name means that there."""
        place = place_of(method)
        if method.path == owner.path and place.inside == owner.symbol.qualname:
            return True
        meant = self._find_home(method, place)
        return meant is None or meant.at == owner

    def _find_home(self, method: SymbolAt, place: Place) -> Entity | None:
        """Return what the name or path means by which the impl block of a method names its type."""
        inside, _, name = place.inside.rpartition(".")
        path = read_home(method.symbol)
        outer = Place(place.path, inside)
        return self.names.find_path(path.split("::"), "type", outer) if path else self.names.find(name, "type", outer)

    def _traits_of(self, owner: SymbolAt) -> tuple[SymbolAt, ...]:
        """Return the traits that a type implements in its own file."""
        place = place_of(owner)
        found = [self.types.evaluate(text, place) for text in owner.symbol.bases[:MAX_HOPS] if text != OFF]
        return tuple(trait for one in found for trait in one.traits)

    def _find_in_traits(self, traits: tuple[SymbolAt, ...], name: str) -> tuple[SymbolAt, ...]:
        """Return the declarations of a method in traits or in what these extend."""
        seen, pending = set(), list(traits)
        for _ in range(MAX_HOPS):
            if not pending:
                break
            trait = pending.pop(0)
            if (trait.path, trait.at) in seen:
                continue
            seen.add((trait.path, trait.at))
            for one in self.names.symbols(trait.path, f"{trait.symbol.qualname}.{name}"):
                if one.symbol.kind == "method":
                    return (one,)
            pending += self._traits_of(trait)
        return ()

    def find_extension(self, name: str, place: Place) -> tuple[SymbolAt, ...]:
        """Return the methods of traits of this repository that are in scope at a place."""
        found = []
        for one in self.names.world.named(name) or ():
            if one.symbol.kind != "method" or is_of_trait(one.symbol):
                continue
            trait = self.trait_of(one)
            if trait is not None and self.is_in_scope(trait, place):
                found.append(one)
        return tuple(found)

    def trait_of(self, method: SymbolAt) -> SymbolAt | None:
        """Return the trait that declares a method, or None."""
        qualname = method.symbol.qualname.rpartition(".")[0]
        for one in self.names.symbols(method.path, qualname):
            if one.symbol.kind == "trait":
                return one
        return None

    def is_in_scope(self, trait: SymbolAt, place: Place) -> bool:
        """Return whether a trait can be used at a place."""
        found = self.names.find(trait.symbol.name, "type", place)
        if found == Entity(at=trait):
            return True
        hidden = self.names.imports(place.path, "_")
        return any(one.name == trait.symbol.name for one in hidden)

    def _find_for_foreign(self, owner: str, name: str, place: Place) -> tuple[SymbolAt, ...]:
        """Return the methods that this repository gives to a foreign type, by a trait that is in scope."""
        if owner == "?":
            return () if name in standard.COMMON_METHODS else self.find_extension(name, place)
        named = self.names.world.named(f"{owner}.{name}") or ()
        found = [one for one in named if self._is_for_foreign(one) and self._is_usable(one, place)]
        if found or name in standard.COMMON_METHODS:
            return tuple(found)
        return self.find_extension(name, place)

    def _is_usable(self, method: SymbolAt, place: Place) -> bool:
        """Return whether the trait whose impl block a method stands in can be used at a place."""
        traits = self.types.evaluate(read_trait(method.symbol), place_of(method)).traits
        return any(self.is_in_scope(trait, place) for trait in traits)

    def _is_for_foreign(self, method: SymbolAt) -> bool:
        if method.symbol.kind != "method" or not is_of_trait(method.symbol):
            return False
        meant = self._find_home(method, place_of(method))
        if meant is not None and meant.at is not None and meant.at.symbol.kind == "type":
            return self.types.evaluate(meant.at.symbol.type, place_of(meant.at)).kind == FOREIGN
        return meant is None or meant.at is None
