"""References to edges, each with how sure it is."""

from operator import itemgetter
from typing import NamedTuple

from services.vector_ops.languages.facts import Reference
from services.vector_ops.languages.python.fixtures import Fixtures
from services.vector_ops.languages.python.following import Follower, is_value, target_of
from services.vector_ops.languages.python.guessing import Guesser
from services.vector_ops.languages.python.places import Form, Place, Places
from services.vector_ops.languages.python.scopes import UNKNOWN
from services.vector_ops.languages.world import Edge, EdgeKind, SourceFile, Tier, World

# A member of an enumeration takes ten times as long to reach as a name of the module.
_CALL, _USE, _EXACT, _TYPED = EdgeKind.CALL, EdgeKind.USE, Tier.EXACT, Tier.TYPED
_KINDS = {"call": _CALL, "decorate": _CALL, "inherit": EdgeKind.INHERIT}
_MAX_TARGETS = 5
_ORDER = itemgetter(*map(Edge._fields.index, ("line", "column", "kind", "tier")))


def resolve_file(file: SourceFile, world: World) -> list[Edge]:
    """Return the edges of one file."""
    resolution = Resolution(file, world)
    edges = resolution.resolve_imports()
    edges += resolution.resolve_references()
    resolution.dissolve()
    edges.sort(key=_ORDER)
    best: dict[tuple[int, int, int, EdgeKind, str, int], Edge] = {}
    for one in edges:
        source, path, at, kind, _tier, line, column = one
        best.setdefault((line, column, source, kind, path, at), one)
    return list(best.values())


End = tuple[str, int, EdgeKind, Tier]
"""Where edges lead: path and place of the target, and what they are."""


class Called(NamedTuple):
    """What a call reaches, what a hook that it calls holds, and whether nothing at all is known of it."""

    found: Places
    held: Places
    is_lost: bool


class Resolution:
    """The resolution of one file."""

    def __init__(self, file: SourceFile, world: World) -> None:
        self._file = file
        self._follower = Follower(world)
        self._guesser = Guesser(file, world)
        self._fixtures = Fixtures(file, world, self._follower)
        self._ends: dict[tuple[str, str], tuple[End, ...]] = {}

    def dissolve(self) -> None:
        """Take the parts from each other: all is freed at once then, and no cycle is left."""
        vars(self._follower).clear()

    def resolve_imports(self) -> list[Edge]:
        """Return an edge for each import of something of the repository."""
        edges: list[Edge] = []
        for entry in self._file.facts.imports:
            if entry.name == "*" or not entry.name:
                found = self._find_module(entry.module)
            else:
                found = self._follower.follow(self._file.path, target_of(entry))
            edges.extend(
                Edge(entry.scope, place.path, place.at, EdgeKind.IMPORT, Tier.EXACT, entry.line, entry.column)
                for place in found[:1]
                if place.form in {Form.MODULE, Form.SYMBOL}
            )
        return edges

    def _find_module(self, module: str) -> Places:
        home = self._follower.imports.find_module(module, self._file.path)
        return (Place(Form.MODULE, home),) if home is not None else ()

    def resolve_references(self) -> list[Edge]:
        """Return the edges of all references."""
        edges: list[Edge] = []
        known, make = self._ends, tuple.__new__  # a third of the time that the class takes to make one
        for reference in self._file.facts.references:
            _name, how, source, line, column, target = reference
            ends = known.get((how, target))
            if ends is None or target[:1] == UNKNOWN:
                ends = known[how, target] = self._find_ends(reference)
            for path, at, kind, tier in ends:
                edges.append(make(Edge, (source, path, at, kind, tier, line, column)))
        return edges

    def _find_ends(self, reference: Reference) -> tuple[End, ...]:
        kind, target = _KINDS.get(reference.kind, _USE), reference.target
        if target[:1] == UNKNOWN:
            given = _make_ends(self._fixtures.find_method(reference), kind)
            return given or self._guess(reference.name, target[1:].lstrip("."), kind)
        if kind != _CALL:
            found = tuple(one for one in self._follower.follow(self._file.path, target) if one.form == Form.SYMBOL)
            return _make_ends(found, kind)
        called = self._find_called(target)
        if called.is_lost and "." in target.partition(":")[2] and target[-1] not in ")]" and "^" not in target:
            return self._guess(reference.name, "", kind)
        found = called.found
        if reference.kind == "decorate" and not reference.name:
            # What a call of a decorator gave is called in turn; over the type of an object that is too vague to tell.
            found = tuple(one for one in found if one.symbol is not None and one.symbol.name != "__call__")
        return (*_make_ends(found, kind), *_make_ends(called.held, _USE))

    def _find_called(self, target: str) -> "Called":
        places = self._follower.follow(self._file.path, target)
        found: dict[Place, None] = {}
        held: dict[Place, None] = {}
        for place in places:
            self._collect(place, found, held)
        return Called(tuple(found), tuple(held), not places)

    def _collect(self, place: Place, found: dict[Place, None], held: dict[Place, None]) -> None:
        """Sort what calling a place runs.

        The call of a value is of the value, by its name, and of what it holds. A value set in the body of a class is a
        hook that a subclass may set anew, and so is a property: what it holds is only used.
        """
        values = dict.fromkeys(self._list_called(place))
        if place.form != Form.SYMBOL or not is_value(place):
            found.update(values)
            return
        found[place] = None
        (held if _is_hook(place) else found).update(values)

    def _list_called(self, place: Place) -> Places:
        """Return the functions and classes that calling a place runs."""
        if place.form == Form.SYMBOL:
            held = self._follower.list_held(place) if is_value(place) else (place,)
            return tuple(found for one in held for found in ((one,) if one.form == Form.SYMBOL else self._call(one)))
        return self._call(place)

    def _call(self, place: Place) -> Places:
        if place.form != Form.INSTANCE:
            return ()
        found = self._follower.member(place, "__call__")
        return tuple(one for one in found if one.form == Form.SYMBOL and not is_value(one))

    def list_outside(self, reference: Reference) -> tuple[str, ...]:
        """Return the dotted names of what a reference leads to outside of the repository."""
        if reference.target[:1] == UNKNOWN:
            return ()
        places = self._follower.follow(self._file.path, reference.target)
        return tuple(one.path for one in places if one.form in {Form.OUTSIDE, Form.NAMESPACE} and one.path)

    def _guess(self, name: str, hint: str, kind: EdgeKind) -> tuple[End, ...]:
        tier, found = self._guesser.guess(name, hint)
        return tuple((one.path, one.at, kind, tier) for one in found)


def _make_ends(places: Places, kind: EdgeKind) -> tuple[End, ...]:
    return tuple((place.path, place.at, kind, _TYPED if place.is_typed else _EXACT) for place in places[:_MAX_TARGETS])


def _is_hook(place: Place) -> bool:
    """Return whether a value is set in the body of a class, not on an object, or is what a property gives."""
    symbol = place.symbol
    if symbol is None:
        return False
    return symbol.kind != "attribute" or symbol.signature.startswith(symbol.name)
