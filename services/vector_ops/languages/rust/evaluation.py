"""Evaluates the notation of values: step by step from its base to a type."""

from dataclasses import dataclass, field

from services.vector_ops.languages.rust import standard
from services.vector_ops.languages.rust.annotations import Types, place_of
from services.vector_ops.languages.rust.methods import Methods
from services.vector_ops.languages.rust.names import FOREIGN_ENTITY, Entity, Names, Place
from services.vector_ops.languages.rust.types import (
    FOREIGN,
    ITEM,
    OPAQUE,
    OURS,
    PAYLOAD,
    TUPLE,
    UNKNOWN,
    Type,
    holds_ours,
    read_type,
    substitute,
)
from services.vector_ops.languages.world import SymbolAt

_MAX_STEPS = 60


@dataclass(slots=True)
class Values:
    """Values by their notation, for one file that is being resolved."""

    names: Names
    types: Types
    methods: Methods
    _known: dict[tuple[str, Place], Type] = field(default_factory=dict)

    def evaluate(self, value: str, place: Place) -> Type:
        """Return the type of a value described at a place."""
        key = (value, place)
        found = self._known.get(key)
        if found is not None:
            return found
        before, _, step = value.rpartition(" ")
        if before:
            found = self._take_step(self.evaluate_flat(before, place), step, place)
        else:
            found = self._evaluate_base(value, place)
        self._known[key] = found
        return found

    def evaluate_flat(self, value: str, place: Place) -> Type:
        """Return the type of a value, step after step."""
        known = self._known.get((value, place))
        if known is not None:
            return known
        base, *steps = value.split(" ")[:_MAX_STEPS]
        found, so_far = self._evaluate_base(base, place), base
        for step in steps:
            if found.kind == UNKNOWN.kind and step[0] != "^":
                return UNKNOWN
            found, so_far = self._take_step(found, step, place), f"{so_far} {step}"
            self._known[so_far, place] = found
        return found

    def _evaluate_base(self, base: str, place: Place) -> Type:
        if base[0] == ":":
            return self.types.evaluate(base[1:], place)
        if base[0] == "@":
            return self._of_item(self.find_path(base[1:], "value", place), base[1:], place)
        if base[0] == "%":
            found = self.find_path(base[1:], "value", place)
            if found is not None and found.at is not None:
                return Type(PAYLOAD, at=found.at)
            return OPAQUE if found == FOREIGN_ENTITY else UNKNOWN
        return UNKNOWN

    def find_path(self, path: str, space: str, place: Place) -> Entity | None:
        """Return what the path of an expression means; associated items are looked up on their type."""
        segments = path.split("::")
        if len(segments) == 1:
            return self.names.find(path, space, place)
        if "<" not in path and "{" not in path:
            found = self.names.find_path(segments, space, place)
            if found is not None:
                return found
        prefix, _, name = path.rpartition("::")
        candidates = self.find_associated(prefix, name, place)[0]
        return Entity(at=candidates[0]) if candidates else None

    def find_associated(self, prefix: str, name: str, place: Place) -> tuple[tuple[SymbolAt, ...], Type]:
        """Return the candidates for `prefix::name` where the prefix is a type, and that type."""
        owner = self.types.evaluate(prefix, place)
        if owner.kind == OURS and owner.at is not None:
            variants = [
                one
                for one in self.names.symbols(owner.at.path, f"{owner.at.symbol.qualname}.{name}")
                if one.symbol.kind in {"variant", "constant"}
            ]
            if variants:
                return tuple(variants[:1]), owner
        return self.methods.find(owner, name, place)[0], owner

    def _of_item(self, entity: Entity | None, path: str, place: Place) -> Type:
        """Return the type of an item that is named as a value."""
        if entity == FOREIGN_ENTITY:
            return self._of_foreign(path, place)
        if entity is None or entity.at is None:
            prefix, _, name = path.rpartition("::")
            owner = self.types.evaluate(prefix, place) if prefix else UNKNOWN
            return owner if name in standard.SELF_MADE else UNKNOWN
        symbol = entity.at.symbol
        if symbol.kind in {"constant", "variable"}:
            return self.types.evaluate(symbol.type, place_of(entity.at))
        return Type(ITEM, at=entity.at, args=self._args_of(path, place))

    def _args_of(self, path: str, place: Place) -> tuple[Type, ...]:
        """Return the arguments of the type that an associated function is named through."""
        prefix = path.rpartition("::")[0]
        return self.types.evaluate(prefix, place).args if "<" in prefix else ()

    def _of_foreign(self, path: str, place: Place) -> Type:
        prefix, _, name = path.rpartition("::")
        owner = prefix.rpartition("::")[2]
        if owner[:1].isupper():
            return self.types.evaluate(prefix, place)
        return UNKNOWN if name in standard.OPEN | standard.SELF_MADE | standard.KEPT else OPAQUE

    def _take_step(self, one: Type, step: str, place: Place) -> Type:
        if step[0] == "^":
            return Type(FOREIGN, name="Result", args=(UNKNOWN, one)) if step == "^Failed" else _wrap(one, step[1:])
        if one.kind == ITEM and step[0] != "(":
            one = self.settle(one)
        if one.kind == UNKNOWN.kind:
            return UNKNOWN
        if step[0] == ".":
            name, is_call, turbofish = step[1:].partition("()")
            return self._call_method(one, name, turbofish[1:-1], place) if is_call else self._read_field(one, name)
        if step[0] == "#":
            return self._read_part(one, int(step[1:]))
        return self._call(one, step[3:-1], place) if step[0] == "(" else self._open(one, step)

    def settle(self, one: Type) -> Type:
        """Return the type of a value that is an item itself: a unit struct or a variant without a payload."""
        if one.kind != ITEM or one.at is None:
            return one
        kind = one.at.symbol.kind
        return self._call(one, "", Place(one.at.path)) if kind in {"variant", "struct"} else Type(FOREIGN, name="fn")

    def _open(self, one: Type, step: str) -> Type:
        """Return what a value holds or yields."""
        if step == "?":
            return self._unwrap(one)
        if step == "!":
            return one.args[1] if len(one.args) > 1 else UNKNOWN
        if step[0] == "|":
            return self._of_closure(one, step[1:])
        if one.kind == OURS and one.at is not None:
            return self._open_ours(one, "index" if step == "[]" else "next")
        if one.name in standard.MAPS:
            return Type(TUPLE, args=one.args) if step == "*" else (one.args[-1] if one.args else UNKNOWN)
        return self._unwrap(one)

    def _open_ours(self, one: Type, method: str) -> Type:
        associated = self.types.find_associated(one, "Output" if method == "index" else "Item")
        if associated != UNKNOWN or one.at is None:
            return associated
        for found in self.methods.members(one.at, "into_iter")[:1]:
            return self._unwrap(substitute(self.types.evaluate(found.symbol.type, place_of(found)), one.args))
        return UNKNOWN

    def _unwrap(self, one: Type) -> Type:
        if one.kind != FOREIGN:
            return one if one.kind != PAYLOAD else UNKNOWN
        if one.args:
            inner = one.args[0]
            if one.name in standard.TRANSPARENT and inner.kind == FOREIGN and inner.args:
                return inner.args[0]
            return inner
        return one if one.name == "?" else OPAQUE if one.name not in {"Option", "Result", "Vec"} else UNKNOWN

    def _of_closure(self, one: Type, method: str) -> Type:
        """Return what the first parameter of a closure holds that is handed to a method of this value."""
        if method in standard.ERROR_CLOSURES:
            return one.args[1] if len(one.args) > 1 else UNKNOWN
        if method not in standard.ELEMENT_CLOSURES:
            return UNKNOWN
        return self._open(one, "*")

    def _read_part(self, one: Type, at: int) -> Type:
        if one.kind == PAYLOAD and one.at is not None:
            parts = self.types.evaluate(one.at.symbol.type or "_", place_of(one.at))
            if one.at.symbol.kind == "struct":
                parts = self.types.evaluate(one.at.symbol.type or "_", Place(one.at.path, one.at.symbol.qualname))
            return parts.args[at] if parts.kind == TUPLE and at < len(parts.args) else UNKNOWN
        if one.kind == TUPLE:
            return one.args[at] if at < len(one.args) else UNKNOWN
        return OPAQUE if one == OPAQUE else UNKNOWN

    def _read_field(self, one: Type, name: str) -> Type:
        for _ in range(4):
            if one.kind in {OURS, PAYLOAD} and one.at is not None:
                return self._read_own_field(one, name)
            if one.kind == TUPLE:
                return self._read_part(one, int(name)) if name.isdigit() else UNKNOWN
            if one.kind == FOREIGN and one.name in standard.TRANSPARENT and one.args:
                one = one.args[0]
                continue
            break
        return OPAQUE if one.kind == FOREIGN and not holds_ours(one) else UNKNOWN

    def _read_own_field(self, one: Type, name: str) -> Type:
        owner = one.at
        if owner is None:
            return UNKNOWN
        if name.isdigit():
            return substitute(self._read_part(Type(PAYLOAD, at=owner), int(name)), one.args)
        for found in self.names.symbols(owner.path, f"{owner.symbol.qualname}.{name}"):
            if found.symbol.kind == "field":
                return substitute(self.types.evaluate(found.symbol.type, place_of(found)), one.args)
        for deref in self.methods.members(owner, "deref")[:1]:
            target = substitute(self.types.evaluate(deref.symbol.type, place_of(deref)), one.args)
            return self._read_field(target, name) if target.at != owner else UNKNOWN
        return UNKNOWN

    def _call(self, one: Type, turbofish: str, place: Place) -> Type:
        """Return what calling a value gives."""
        if one.kind == ITEM and one.at is not None:
            symbol = one.at.symbol
            if symbol.kind == "variant":
                return self.types.owner_of(one.at)
            if symbol.kind == "struct":
                return Type(OURS, at=one.at, args=one.args)
            return self._give_back(one.at, Type(OURS, at=one.at, args=one.args))
        if one.name in {"Fn", "FnMut", "FnOnce", "fn"}:
            return one.args[0] if one.args else UNKNOWN
        if turbofish and one.kind != OURS:
            return self.types.evaluate(turbofish, place)
        return one if one.kind in {OURS, FOREIGN} else UNKNOWN

    def _give_back(self, method: SymbolAt, owner: Type) -> Type:
        """Return what a function gives back, called on or through `owner`."""
        text = method.symbol.type
        if not text:
            return Type(TUPLE)
        found = substitute(self.types.evaluate(text, place_of(method)), owner.args)
        trait = self.methods.trait_of(method) if "{+" in text else None
        if trait is not None and found.traits == (trait,):
            return owner
        return found

    def _call_method(self, one: Type, name: str, turbofish: str, place: Place) -> Type:
        if name == "clone":
            return one
        found, owner = self.methods.find(one, name, place)
        if found:
            return self._give_back(found[0], owner)
        if turbofish:
            wanted = self.types.build(read_type(turbofish), place)
            return Type(FOREIGN, name="Result", args=(wanted,)) if name == "parse" else self._fill(wanted, one)
        return self._call_foreign(one, name)

    def _fill(self, wanted: Type, one: Type) -> Type:
        """Return `Vec<_>` with the blank filled by what the receiver yields."""
        if any(part == UNKNOWN for part in wanted.args) and one.args:
            return wanted._replace(args=tuple(one.args[0] if part == UNKNOWN else part for part in wanted.args))
        return wanted

    def _call_foreign(self, one: Type, name: str) -> Type:
        """Return what a method that is not of this repository gives back."""
        if name in standard.PLAIN:
            return OPAQUE
        if one.kind == OURS:
            return one if name in standard.KEPT or name in standard.INNER else UNKNOWN
        if one.kind != FOREIGN:
            return UNKNOWN
        if one.name in standard.MAPS and one.args:
            return self._call_map(one, name)
        return self._call_wrapper(one, name)

    def _call_wrapper(self, one: Type, name: str) -> Type:
        if name in standard.INNER:
            return self._unwrap(one)
        if name in {"unwrap_err", "expect_err", "err"}:
            return one.args[1] if len(one.args) > 1 else UNKNOWN
        if name == "enumerate":
            return Type(FOREIGN, name="Iter", args=(Type(TUPLE, args=(OPAQUE, self._unwrap(one))),))
        if name in standard.KEPT:
            return one
        return UNKNOWN if name in standard.OPEN or holds_ours(one) else OPAQUE

    def _call_map(self, one: Type, name: str) -> Type:
        if name in standard.VALUES:
            return Type(FOREIGN, name="Option", args=one.args[-1:])
        if name in {"keys", "into_keys"}:
            return Type(FOREIGN, name="Iter", args=one.args[:1])
        if name in {"iter", "iter_mut", "into_iter", "drain"}:
            return Type(FOREIGN, name="Iter", args=(Type(TUPLE, args=one.args),))
        return one if name in standard.KEPT else UNKNOWN


def _wrap(one: Type, name: str) -> Type:
    return Type(FOREIGN, name=name, args=(one,))
