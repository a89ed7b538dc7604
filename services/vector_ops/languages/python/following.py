"""Following targets across files: imports, re-exports, star imports, base classes, types of values."""

import re

from services.vector_ops.languages.facts import Import
from services.vector_ops.languages.python.annotations import VARIABLE, split_tuple
from services.vector_ops.languages.python.candidates import VALUES, pick_definition
from services.vector_ops.languages.python.defining import OVERLOAD
from services.vector_ops.languages.python.imports import Imports
from services.vector_ops.languages.python.lineage import Lineage
from services.vector_ops.languages.python.places import (
    OUTSIDE,
    Form,
    Place,
    Places,
    as_typed,
    make_instance,
    place_symbol,
)
from services.vector_ops.languages.python.wrapping import Wrapping
from services.vector_ops.languages.world import World

MAX_HOPS = 24
_MAX_PLACES = 5
_MAX_STEPS = 16
_MAX_HELD = 8
_STEP = re.compile(r"\{[^{}]*\}|[^.()\[\]{}#~^&]+|\([^()]*\)|\[-?\d*\]|[#~^&]")
_GENERIC = frozenset({Form.SYMBOL, Form.INSTANCE})


class Follower:
    """Follows targets for one resolution; remembers what it found."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.imports = Imports(world)
        self.lineage = Lineage(self)
        self.wrapping = Wrapping(self, world)
        self._targets: dict[tuple[str, str], Places] = {}
        self._homes: dict[tuple[str, str], Place] = {}
        self._names: dict[tuple[str, str], Places] = {}
        self._hops = 0

    def follow(self, path: str, target: str) -> Places:
        """Return what the targets (parted by `|`) lead to, as written in the file `path`."""
        key = (path, target)
        known = self._targets.get(key)
        if known is not None:
            return known
        if self._hops > MAX_HOPS:
            return ()
        self._targets[key] = ()  # a target that leads to itself leads nowhere
        self._hops += 1
        if "|" in target:
            found = tuple(dict.fromkeys(place for one in target.split("|") for place in self.follow(path, one)))
        else:
            found = self._walk(path, target)
        self._hops -= 1
        self._targets[key] = found
        return found

    def _walk(self, path: str, target: str) -> Places:
        if target[:1] == "<":
            return self._walk_tuple(path, target)
        module, colon, rest = target.partition(":")
        if not colon:
            return (OUTSIDE,) if target[:1] == "!" else ()
        cut = rest.rfind(".")
        if cut > 0 and rest[cut + 1 :].isidentifier():
            # Many targets differ in the last name only: what leads there is remembered.
            return self.take_step(self.follow(path, target[: cut - len(rest)]), rest[cut + 1 :])
        places: Places = (self._find_home(path, module) if module else Place(Form.MODULE, path),)
        for step in _STEP.findall(rest)[:_MAX_STEPS]:
            if step[0] in "({" and len(step) > 2:  # noqa: PLR2004 - an argument is told
                places = self._take_argument(places, step[0], self.follow(path, step[1:-1]))
            else:
                places = self.take_step(places, step)
            if not places:
                return ()
        return places

    def _take_argument(self, places: Places, kind: str, given: Places) -> Places:
        """Return what places give for an argument: of a call, or of a generic class."""
        if kind == "{":
            return tuple(one._replace(parts=(given,)) if one.form in _GENERIC else one for one in places)
        return tuple(dict.fromkeys(found for one in places for found in self.call(one, given)))[:_MAX_PLACES]

    def _walk_tuple(self, path: str, target: str) -> Places:
        parts = [tuple(found for one in part for found in self.follow(path, one)) for part in split_tuple(target)]
        places: Places = (Place(Form.TUPLE, "", is_typed=True, parts=tuple(parts)),)
        return self._take_steps(places, target[target.rfind(">") + 1 :])

    def _find_home(self, path: str, module: str) -> Place:
        known = self._homes.get((path, module))
        if known is None:
            home = self.imports.find_module(module, path)
            if home is not None:
                known = Place(Form.MODULE, home)
            else:
                name = self.imports.absolute_name(module, path)
                known = Place(Form.NAMESPACE, name, inner=Place(Form.MODULE, path))
            self._homes[path, module] = known
        return known

    def take_step(self, places: Places, step: str) -> Places:
        """Return where one step leads from places."""
        if len(places) == 1:
            return self._take_one(places[0], step)
        found: list[Place] = []
        for place in places:
            found.extend(self._take_one(place, step))
        return tuple(dict.fromkeys(found))[:_MAX_PLACES] if len(found) > 1 else tuple(found)

    def _take_one(self, place: Place, step: str) -> Places:
        if step[0] == "{":
            return (place,)
        if step[0] not in "()[]#~^&":
            return self.member(place, step)
        if step in {"#", "~"}:
            form = Form.CONTAINER if step == "#" else Form.CALLABLE
            return (Place(form, "", inner=place, is_typed=True),)
        if step == "^":
            return tuple(Place(Form.SUPER, one.path, one.at, one.symbol, one) for one in self._classes(place))
        if step[0] == "(":
            return self.call(place)
        return self._item(place, step[1:-1]) if step[0] == "[" else self._enter(place)

    def _classes(self, place: Place) -> Places:
        return (place,) if place.symbol is not None and place.symbol.kind == "class" else ()

    # members

    def member(self, place: Place, name: str) -> Places:
        """Return the member `name` of what stands at a place."""
        if place.symbol is not None:
            return self._member_of_symbol(place, name)
        form = place.form
        if form == Form.MODULE:
            return self.find_in_module(place.path, name)
        if form == Form.NAMESPACE:
            return self._find_in_namespace(place, name)
        if form == Form.OUTSIDE:
            return (Place(Form.OUTSIDE, f"{place.path}.{name}") if place.path else place,)
        return self._container_member(place, name)

    def _member_of_symbol(self, place: Place, name: str) -> Places:
        if place.symbol is not None and place.symbol.kind == "class":
            return self.lineage.find_member(place, name)
        if place.form != Form.SYMBOL:
            return ()
        if is_value(place):
            return tuple(one for value in self.list_held(place) for one in self.member(value, name))
        own = self.own_member(place, name)
        if own is not None:
            return (own,)
        return tuple(found for one in self.wrapping.list_wrapped(place) for found in self.member(one, name))

    def own_member(self, place: Place, name: str) -> Place | None:
        """Return a member that a class itself defines."""
        if place.symbol is None:
            return None
        found = pick_definition(self._world.symbols(place.path, f"{place.symbol.qualname}.{name}"))
        return place_symbol(*found) if found is not None else None

    def _container_member(self, place: Place, name: str) -> Places:
        if name in {"get", "pop", "setdefault", "popleft"} and place.inner is not None:
            return (Place(Form.CALLABLE, "", inner=place.inner, is_typed=True),)
        if name in {"values", "copy"}:
            return (Place(Form.CALLABLE, "", inner=place, is_typed=True),)
        if name == "items" and place.form == Form.CONTAINER and place.inner is not None:
            pair = Place(Form.TUPLE, "", is_typed=True, parts=((OUTSIDE,), (place.inner,)))
            return (Place(Form.CALLABLE, "", inner=Place(Form.CONTAINER, "", inner=pair), is_typed=True),)
        return (OUTSIDE,)

    def values(self, place: Place) -> Places:
        """Return what a constant, an attribute or a property holds."""
        symbol = place.symbol
        if symbol is None:
            return ()
        return self._typed(place, symbol.type.removeprefix("%"))

    def list_held(self, place: Place) -> Places:
        """Return what a value holds in the end, over values that hold values."""
        queue, seen, found = [place], {place}, list[Place]()
        for _ in range(_MAX_HELD):
            if not queue:
                break
            holder = queue.pop(0)
            for value in self.values(holder):
                if value.form == Form.INSTANCE and holder.symbol is not None and holder.symbol.kind == "attribute":
                    found.extend(self._read_descriptor(value) or (value,))
                elif value.form != Form.SYMBOL or not is_value(value):
                    found.append(value)
                elif value not in seen:
                    seen.add(value)
                    queue.append(value)
        return tuple(dict.fromkeys(found))[:_MAX_PLACES]

    def _read_descriptor(self, place: Place) -> Places:
        """Return what an attribute gives that holds a descriptor: what its `__get__` does, other than itself."""
        found = self.member(place, "__get__")
        getter = found[0] if found and found[0].form == Form.SYMBOL else None
        if getter is None or getter.symbol is None:
            return ()
        ways = self._world.symbols(getter.path, getter.symbol.qualname)
        given = (one for way in ways for one in self._typed(getter, way.symbol.type))
        return tuple(one for one in given if one.form == Form.INSTANCE and one.symbol != place.symbol)

    def _typed(self, place: Place, types: str, given: Places = ()) -> Places:
        """Return what the type of a definition leads to; `@` is the receiver, `$` the argument given."""
        if not types or self._hops > MAX_HOPS:
            return ()
        found: list[Place] = []
        for one in types.split("|"):
            if one[0] == "$":
                if given:
                    return given if one == "$" else tuple(as_typed(made) for some in given for made in self.call(some))
            elif one[0] == "@":
                found.extend(self._walk_from_receiver(place, one[1:]))
            elif one.startswith(VARIABLE) and place.receiver is not None and place.receiver.parts:
                return self._take_steps(place.receiver.parts[0], one[len(VARIABLE) :])
            else:
                found.extend(as_typed(known) for known in self.follow(place.path, one))
        return tuple(dict.fromkeys(found))[:_MAX_PLACES]

    def _walk_from_receiver(self, place: Place, rest: str) -> Places:
        receiver = place.receiver
        places: Places = (make_instance(receiver),) if receiver is not None and receiver.symbol is not None else ()
        return self._take_steps(places, rest)

    def _take_steps(self, places: Places, rest: str) -> Places:
        for step in _STEP.findall(rest)[:_MAX_STEPS]:
            places = self.take_step(places, step)
        return places

    # calls, items, contexts

    def call(self, place: Place, given: Places = ()) -> Places:
        """Return what calling gives; `given` is the first argument, as far as it is known."""
        if self._hops > MAX_HOPS:
            return ()
        self._hops += 1
        found = self._call_symbol(place, given) if place.form == Form.SYMBOL else self._call_other(place)
        self._hops -= 1
        return found

    def _call_symbol(self, place: Place, given: Places) -> Places:
        symbol = place.symbol
        if symbol is None:
            return ()
        if symbol.kind == "class":
            return (make_instance(place),)
        if is_value(place):
            return tuple(one for value in self.list_held(place) for one in self.call(value, given))
        types = symbol.type
        if given and symbol.signature.startswith(OVERLOAD) and "$" not in types:
            found = self._world.symbols(place.path, symbol.qualname)
            types = next((one.symbol.type for one in found if "$" in one.symbol.type), types)
        return self._typed(place, types, given)

    def _call_other(self, place: Place) -> Places:
        if place.form in {Form.OUTSIDE, Form.NAMESPACE}:
            return (Place(Form.OUTSIDE, place.path),)
        if place.form == Form.CALLABLE and place.inner is not None:
            return (place.inner,)
        if place.form == Form.INSTANCE:
            return tuple(one for found in self.member(place, "__call__") for one in self.call(found))
        return ()

    def _item(self, place: Place, part: str = "") -> Places:
        form = place.form
        if form == Form.TUPLE:
            return _part_of(place.parts, part)
        if form == Form.CONTAINER and place.inner is not None:
            return (place.inner,)
        if form in {Form.OUTSIDE, Form.NAMESPACE}:
            return (OUTSIDE,)
        if form == Form.INSTANCE:
            return self._item_of_instance(place)
        if form == Form.SYMBOL and is_value(place):
            return tuple(one for value in self.list_held(place) for one in self._item(value, part))
        return self._classes(place)

    def _item_of_instance(self, place: Place) -> Places:
        for name in ("__getitem__", "__iter__"):
            for found in self.member(place, name):
                given = self.call(found)
                if name == "__iter__":
                    given = tuple(one for some in given for one in self._next(some))
                if given:
                    return given
        return ()

    def _next(self, place: Place) -> Places:
        if place.form == Form.INSTANCE:
            return tuple(one for found in self.member(place, "__next__") for one in self.call(found))
        return (place.inner,) if place.form == Form.CONTAINER and place.inner is not None else (OUTSIDE,)

    def _enter(self, place: Place) -> Places:
        """Return what `with` gives: the manager itself when its `__enter__` does not say."""
        if place.form == Form.CONTAINER and place.inner is not None:
            return (place.inner,)
        if place.form == Form.SYMBOL and is_value(place):
            return tuple(one for value in self.list_held(place) for one in self._enter(value))
        if place.form != Form.INSTANCE:
            return (OUTSIDE,) if place.form == Form.OUTSIDE else ()
        found = (*self.member(place, "__enter__"), *self.member(place, "__aenter__"))
        method = next((one for one in found if one.form == Form.SYMBOL), None)
        return (self.call(method) if method is not None else ()) or (place,)

    # modules

    def find_in_module(self, path: str, name: str) -> Places:
        """Return what `name` of a module is: a definition, an import, a submodule, something of a star import."""
        key = (path, name)
        known = self._names.get(key)
        if known is not None:
            return known
        if self._hops > MAX_HOPS:
            return ()
        self._names[key] = ()
        self._hops += 1
        found = self._find_anew(path, name)
        self._hops -= 1
        self._names[key] = found
        return found

    def _find_anew(self, path: str, name: str) -> Places:
        own = pick_definition(self._world.symbols(path, name))
        if own is not None and (own.symbol.kind != "constant" or own.symbol.type not in {"", "!"}):
            return (place_symbol(*own),)
        for _path, entry in reversed(self._world.bindings(path, name)):
            found = self.follow(path, target_of(entry))
            if found and not (own is not None and found[0].form == Form.OUTSIDE):
                return found
        if own is not None:
            return (place_symbol(*own),)
        submodule = self.imports.find_submodule(path, name)
        return (Place(Form.MODULE, submodule),) if submodule is not None else self._find_starred(path, name)

    def _find_starred(self, path: str, name: str) -> Places:
        if name.startswith("_"):
            return ()
        found: Places = ()
        for _path, entry in reversed(self._world.bindings(path, "*")):
            home = self.imports.find_module(entry.module, path)
            found = self.find_in_module(home, name) if home is not None else (OUTSIDE,)
            if found and found[0].form != Form.OUTSIDE:
                return found
        return found

    def _find_in_namespace(self, place: Place, name: str) -> Places:
        dotted = f"{place.path}.{name}" if place.path else name
        home = self.imports.find_module(dotted, place.inner.path if place.inner is not None else "")
        if home is not None:
            return (Place(Form.MODULE, home),)
        return (Place(Form.NAMESPACE, dotted, inner=place.inner),)


def _part_of(parts: tuple[Places, ...], part: str) -> Places:
    if not part:
        return tuple(one for some in parts for one in some)
    return parts[int(part)] if -len(parts) <= int(part) < len(parts) else ()


def is_value(place: Place) -> bool:
    """Return whether a definition stands for what it holds: constants, attributes, properties."""
    symbol = place.symbol
    return symbol is not None and (symbol.kind in VALUES or symbol.type[:1] == "%")


def target_of(entry: Import) -> str:
    """Return the target that an import binds."""
    if entry.name:
        return f"{entry.module}:{entry.name}"
    return f"{entry.module}:" if entry.local != entry.module.split(".", 1)[0] else f"{entry.local}:"
