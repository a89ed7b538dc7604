"""Evaluates the notation of types at a place: which struct, trait or foreign type it is."""

from dataclasses import dataclass, field

from services.vector_ops.languages.rust.modules import MAX_HOPS
from services.vector_ops.languages.rust.names import FOREIGN_ENTITY, Entity, Names, Place
from services.vector_ops.languages.rust.types import (
    BOUND,
    FOREIGN,
    OURS,
    PARAMETER,
    TUPLE,
    UNKNOWN,
    Text,
    Type,
    read_type,
    substitute,
)
from services.vector_ops.languages.world import SymbolAt


@dataclass(slots=True)
class Types:
    """Types by their notation, for one file that is being resolved."""

    names: Names
    _known: dict[tuple[str, Place], Type] = field(default_factory=dict)
    _depth: int = 0

    def evaluate(self, text: str, place: Place) -> Type:
        """Return the type of a text written at a place; its parameters are open."""
        if not text:
            return Type(TUPLE)
        key = (text, place)
        found = self._known.get(key)
        if found is not None:
            return found
        if self._depth >= MAX_HOPS:
            return UNKNOWN
        self._known[key] = UNKNOWN
        self._depth += 1
        found = self.build(read_type(text), place)
        self._depth -= 1
        self._known[key] = found
        return found

    def build(self, text: Text, place: Place) -> Type:
        """Return the type of a text that has been read."""
        if text.kind == "path":
            return self._build_path(text, place)
        if text.kind == "tuple":
            return Type(TUPLE, args=tuple(self.build(one, place) for one in text.parts))
        if text.kind not in {"bounds", "parameter"}:
            return UNKNOWN
        parts = [self.build(one, place) for one in text.parts]
        traits = tuple(trait for one in parts for trait in one.traits)
        if text.kind == "parameter" and text.number >= 0:
            foreign = tuple(one for one in parts if one.kind == FOREIGN)[:1]
            return Type(PARAMETER, name=str(text.number), traits=traits, args=foreign)
        if traits:
            return Type(BOUND, traits=traits, args=parts[0].args)
        return next((one for one in parts if one.kind == FOREIGN), UNKNOWN)

    def _build_path(self, text: Text, place: Place) -> Type:
        name, args = text.segments[0]
        if name:
            entity = self.names.find_path([one for one, _args in text.segments], "type", place)
            return self.of_entity(entity, text, place)
        if not args:
            return UNKNOWN
        found = self.build(args[0], place)
        for segment, _args in text.segments[1:MAX_HOPS]:
            found = self.find_associated(found, segment)
        return found

    def of_entity(self, entity: Entity | None, text: Text, place: Place) -> Type:
        """Return the type that a path in `text` means, its arguments in place."""
        if entity is None or entity.place is not None:
            return UNKNOWN
        name, written = text.segments[-1]
        args = tuple(self.build(one, place) for one in written)
        if entity == FOREIGN_ENTITY or entity.at is None:
            return Type(FOREIGN, name=name, args=args)
        symbol = entity.at.symbol
        if symbol.kind == "trait":
            return Type(BOUND, args=args, traits=(entity.at,))
        if symbol.kind == "type":
            return substitute(self.evaluate(symbol.type, place_of(entity.at)), args) if symbol.type else UNKNOWN
        if symbol.kind == "variant":
            return self.owner_of(entity.at)
        return Type(OURS, at=entity.at, args=args)

    def owner_of(self, variant: SymbolAt) -> Type:
        """Return the enum of a variant."""
        qualname = variant.symbol.qualname.rpartition(".")[0]
        for one in self.names.symbols(variant.path, qualname):
            if one.symbol.kind == "enum":
                return Type(OURS, at=one)
        return UNKNOWN

    def find_associated(self, owner: Type, name: str) -> Type:
        """Return an associated type: `Item` of a type whose impl says so."""
        if owner.at is None:
            return UNKNOWN
        for one in self.names.symbols(owner.at.path, f"{owner.at.symbol.qualname}.{name}"):
            if one.symbol.kind == "type" and one.symbol.type:
                return substitute(self.evaluate(one.symbol.type, place_of(one)), owner.args)
            if one.symbol.kind == "variant":
                return owner
        return UNKNOWN


def place_of(one: SymbolAt) -> Place:
    """Return the place in which the types of a definition are written."""
    return Place(one.path, one.symbol.qualname.rpartition(".")[0])
