"""Evaluates the notation of values: step by step from its base to a type."""

from dataclasses import dataclass, field

from services.vector_ops.languages.rust import foreign, standard
from services.vector_ops.languages.rust.annotations import Types, place_of
from services.vector_ops.languages.rust.handing import read_handed
from services.vector_ops.languages.rust.methods import Methods
from services.vector_ops.languages.rust.names import FOREIGN_ENTITY, Entity, Names, Place
from services.vector_ops.languages.rust.notation import is_off, split_tuple, unnest
from services.vector_ops.languages.rust.types import (
    DOUBT,
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
_MAX_MACROS = 4


@dataclass(slots=True)
class Values:
    """Values by their notation, for one file that is being resolved."""

    names: Names
    types: Types
    methods: Methods
    _known: dict[tuple[str, Place], Type] = field(default_factory=dict)
    _depth: int = 0

    def evaluate(self, value: str, place: Place, given: Type = UNKNOWN) -> Type:
        """Return the type of a value described at a place; `given` is what the closure is given that it stands in."""
        base, *steps = value.split(" ")[:_MAX_STEPS]
        if base == "$":
            found = given
            for step in steps:
                found = self._take_step(found, step, place)
            return found
        key = (value, place)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._run(base, steps, place)
        return known

    def _run(self, base: str, steps: list[str], place: Place) -> Type:
        """Evaluate step after step, remembering each: chains and locals share their beginnings."""
        done = len(steps)
        while done:
            known = self._known.get((" ".join((base, *steps[:done])), place))
            if known is not None:
                break
            done -= 1
        else:
            known = self._evaluate_base(base, place)
        for at in range(done, len(steps)):
            known = self._take_step(known, steps[at], place)
            self._known[" ".join((base, *steps[: at + 1])), place] = known
        return known

    def _evaluate_base(self, base: str, place: Place) -> Type:
        if base[0] == ":":
            return substitute(self.types.evaluate(base[1:], place), ())
        if base[-1] == "!":
            return self._of_macro(base[1:-1], place)
        if base[0] == "@":
            return self._of_item(self.find_path(base[1:], "value", place), base[1:], place)
        if base[0] == "%":
            return self._match(UNKNOWN, base[1:], place)
        return UNKNOWN

    def _of_macro(self, path: str, place: Place) -> Type:
        """Return the type of what a macro gives, by its first rule."""
        found = self.find_macro(path, place)
        if found is None or not found.symbol.type or self._depth >= _MAX_MACROS:
            return DOUBT
        self._depth += 1
        parts = split_tuple(found.symbol.type)
        made = [self.evaluate(one, Place(found.path)) for one in parts]
        self._depth -= 1
        return Type(TUPLE, args=tuple(made)) if len(parts) > 1 else made[0]

    def find_macro(self, path: str, place: Place) -> SymbolAt | None:
        """Return the macro of that path: by scopes and imports, else the only one of that name."""
        *segments, name = path.split("::")
        entity = self.names.find_path([*segments, name], "macro", place) if segments else None
        if entity is None or entity.at is None:
            entity = self.names.find(name, "macro", place)
        if entity is not None and entity.at is not None:
            return entity.at
        named = [one for one in self.names.world.named(name) or () if one.symbol.kind == "macro"]
        kept = [one for one in named if not is_off(one.symbol)]
        return kept[0] if len(kept) == 1 else None

    def _match(self, one: Type, path: str, place: Place) -> Type:
        """Return the payload of the constructor `path` that a value of type `one` matches."""
        found = self.find_path(path, "value", place)
        if found is not None and found.at is not None:
            symbol = found.at.symbol
            if symbol.kind == "type":
                found = Entity(at=self.types.evaluate(path, place).at)
            args = one.args if one.kind == OURS else ()
            return Type(PAYLOAD, at=found.at, args=args) if found.at is not None else UNKNOWN
        if found == FOREIGN_ENTITY:
            return Type(PAYLOAD, args=one.args) if one.kind == FOREIGN and len(one.args) == 1 else OPAQUE
        return DOUBT

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
            owner = self.types.evaluate(prefix, place) if prefix else DOUBT
            if name in standard.SELF_MADE:
                return owner
            return OPAQUE if owner.kind == FOREIGN else DOUBT
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
            made = self.types.evaluate(prefix, place)
            is_made = name in standard.SELF_MADE or name.startswith(("new", "with_", "from_")) or name[:1].isupper()
            return made if is_made else OPAQUE
        return DOUBT if name in standard.OPEN | standard.SELF_MADE | standard.KEPT else OPAQUE

    def _take_step(self, one: Type, step: str, place: Place) -> Type:
        head = step[0]
        if head == "^":
            one = self.settle(one)
            return (
                Type(FOREIGN, name="Result", args=(UNKNOWN, one)) if step == "^Failed" else foreign.wrap(step[1:], one)
            )
        if head == "&":
            return self._annotate(one, self.types.evaluate(step[1:], place))
        if head == "%":
            return self._match(one, step[1:], place)
        if head == "(":
            return self._call(one, step[3:-1], place)
        one = self.settle(one) if head != "|" else one
        if one in {UNKNOWN, DOUBT}:
            return one
        return self._follow_name(one, step[1:], place) if head == "." else self._open(one, step)

    def _follow_name(self, one: Type, step: str, place: Place) -> Type:
        name, is_call, suffix = step.partition("()")
        if not is_call:
            return self._read_field(one, name)
        if name == "clone":
            return one
        found, owner = self.methods.find(one, name, place)
        return self._give_back(found[0], owner) if found else self._call_foreign(one, name, suffix, place)

    def _call_foreign(self, one: Type, name: str, suffix: str, place: Place) -> Type:
        if suffix[:1] == "<":
            wanted = self.types.build(read_type(suffix[1:-1]), place)
            return foreign.wrap("Result", wanted) if name == "parse" else self._annotate(one, wanted)
        if suffix:
            given = self.evaluate(unnest(suffix[1:]), place, given=self._open(one, "*"))
            return foreign.call_with_closure(one, name, self.settle(given))
        return foreign.call_method(one, name)

    def _annotate(self, one: Type, wanted: Type) -> Type:
        """Return an annotated type with its blanks filled by what the value holds."""
        if wanted.kind == UNKNOWN.kind:
            return one
        return foreign.fill_blanks(wanted, foreign.unwrap(one) if one.kind == FOREIGN else UNKNOWN)

    def settle(self, one: Type) -> Type:
        """Return the type of a value that is an item itself: a unit struct or a variant without a payload."""
        if one.kind != ITEM or one.at is None:
            return one
        kind = one.at.symbol.kind
        return self._call(one, "", Place(one.at.path)) if kind in {"variant", "struct"} else Type(FOREIGN, name="fn")

    def _open(self, one: Type, step: str) -> Type:
        """Return what a value holds or yields."""
        if step[0] == "#":
            return self._read_part(one, int(step[1:]))
        if step[0] == "|":
            return self._of_closure(one, step)
        if step == "!":
            return foreign.unwrap_error(one)
        if step == "await":
            return self._await(one)
        return foreign.unwrap(one) if step == "?" else self._yield(one, step)

    def _yield(self, one: Type, step: str) -> Type:
        """Return what indexing or iterating over a value gives."""
        if one.kind == OURS and one.at is not None:
            return self._open_ours(one, "index" if step == "[]" else "next")
        if one.name in standard.MAPS:
            return Type(TUPLE, args=one.args) if step == "*" else (one.args[-1] if one.args else UNKNOWN)
        return foreign.unwrap(one)

    def _await(self, one: Type) -> Type:
        if one.kind == FOREIGN:
            return one.args[0] if one.name in {"Future", "JoinHandle"} and one.args else one
        found = self.types.find_associated(one, "Output") if one.kind == OURS else UNKNOWN
        return one if found == UNKNOWN else found

    def _open_ours(self, one: Type, method: str) -> Type:
        associated = self.types.find_associated(one, "Output" if method == "index" else "Item")
        if associated != UNKNOWN or one.at is None:
            return associated
        for found in self.methods.members(one.at, "into_iter")[:1]:
            return foreign.unwrap(substitute(self.types.evaluate(found.symbol.type, place_of(found)), one.args))
        for deref in self.methods.members(one.at, "deref")[:1]:
            target = substitute(self.types.evaluate(deref.symbol.type, place_of(deref)), one.args)
            return foreign.unwrap(target) if target.kind == FOREIGN else UNKNOWN
        return UNKNOWN

    def _read_handed(self, function: SymbolAt, owner: Type, step: str) -> Type:
        """Return what a function of the repository hands to the parameter of a closure that the step names."""
        place = place_of(function)
        homes = self.names.symbols(place.path, place.inside) if place.inside else ()
        home = next((one.symbol.signature for one in homes if one.symbol.kind in {"struct", "enum", "trait"}), "")
        text = read_handed(function.symbol.signature, home, int(step.partition("#")[2] or 0))
        return substitute(self.types.evaluate(text, place), owner.args)

    def _of_closure(self, one: Type, step: str) -> Type:
        """Return what the parameter of a closure holds that is handed to a method of this value."""
        method = step[1:].partition("#")[0]
        if one.kind == ITEM and one.at is not None:
            return self._read_handed(one.at, one, step)
        found, owner = self.methods.find(one, method, Place(one.at.path)) if one.at is not None else ((), one)
        if found:
            return self._read_handed(found[0], owner, step)
        if method == "retain" and one.name in standard.MAPS and one.args:
            return one.args[-1 if step.endswith("#1") else 0]
        if method in standard.ERROR_CLOSURES:
            return foreign.unwrap_error(one)
        if method in standard.LENDING_CLOSURES:
            return one if one.kind == OURS else foreign.unwrap(one)
        return self._open(one, "*") if method in standard.ELEMENT_CLOSURES else UNKNOWN

    def _read_part(self, one: Type, at: int) -> Type:
        parts = one
        if one.kind == PAYLOAD and one.at is None:
            return one.args[0]
        if one.kind == PAYLOAD and one.at is not None:
            symbol = one.at.symbol
            inside = symbol.qualname if symbol.kind == "struct" else symbol.qualname.rpartition(".")[0]
            parts = substitute(self.types.evaluate(symbol.type or "_", Place(one.at.path, inside)), one.args)
        if parts.kind == TUPLE:
            return parts.args[at] if at < len(parts.args) else UNKNOWN
        return OPAQUE if one == OPAQUE else UNKNOWN

    def _read_field(self, one: Type, name: str) -> Type:
        for _ in range(4):
            if one.kind in {OURS, PAYLOAD} and one.at is not None:
                return self._read_own_field(one, name)
            if one.kind == TUPLE:
                return self._read_part(one, int(name)) if name.isdigit() else UNKNOWN
            if one.kind == FOREIGN and one.name in standard.FOLLOWED and one.args:
                one = one.args[0]
                continue
            break
        return OPAQUE if one.kind == FOREIGN and not holds_ours(one) else UNKNOWN

    def _read_own_field(self, one: Type, name: str) -> Type:
        owner = one.at
        if owner is None:
            return UNKNOWN
        if name.isdigit():
            return self._read_part(Type(PAYLOAD, at=owner, args=one.args), int(name))
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
            return one.args[0] if one.args else DOUBT
        if turbofish and one.kind != OURS:
            return self.types.evaluate(turbofish, place)
        return one if one.kind in {OURS, FOREIGN, DOUBT.kind} else UNKNOWN

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
