"""What stands for a decorated function: the object that its decorators make of it."""

from typing import TYPE_CHECKING

from services.vector_ops.languages.python.defining import ELSE, OVERLOAD
from services.vector_ops.languages.python.places import Form, Place, Places, make_instance

if TYPE_CHECKING:
    from services.vector_ops.languages.python.following import Follower
    from services.vector_ops.languages.world import World


class Wrapping:
    """The decorated functions as one resolution sees them."""

    def __init__(self, follower: "Follower", world: "World") -> None:
        self._follower = follower
        self._world = world

    def list_wrapped(self, place: Place) -> Places:
        """Return the objects that the decorators of a function make of it; nothing when it stays a function."""
        symbol = place.symbol
        if symbol is None or symbol.kind not in {"function", "method"}:
            return ()
        for target in reversed(symbol.bases):
            if target != ELSE:
                is_called = target[-1] == ")"
                base = target[: target.rfind("(")] if is_called else target
                for decorator in self._follower.follow(place.path, base):
                    found = self._decorate(decorator, place, is_called=is_called)
                    if found:
                        return found
        return ()

    def _decorate(self, decorator: Place, place: Place, *, is_called: bool) -> Places:
        if decorator.symbol is None:
            return ()
        if decorator.symbol.kind == "class" and not is_called:
            return (make_instance(decorator),) if decorator.form == Form.SYMBOL else self._call_all((decorator,), place)
        given = self._give(decorator, place)
        return _keep_objects(self._call_all(given, place) if is_called else given)

    def _give(self, decorator: Place, place: Place) -> Places:
        """Return what a decorator gives, by all of its overloads: which one is meant, its arguments would tell."""
        symbol = decorator.symbol
        if symbol is None or not symbol.signature.startswith(OVERLOAD):
            return self._follower.call(decorator, (place,))
        overloads = self._world.symbols(decorator.path, symbol.qualname)
        ways = (decorator._replace(at=one.at, symbol=one.symbol) for one in overloads)
        return tuple(dict.fromkeys(found for way in ways for found in self._follower.call(way, (place,))))

    def _call_all(self, places: Places, place: Place) -> Places:
        """Return what calling gives of what can be called; an object of a decorated function is none that can."""
        return tuple(found for one in places for found in self._follower.call(one, (place,)))


def _keep_objects(places: Places) -> Places:
    return tuple(dict.fromkeys(one for one in places if one.form == Form.INSTANCE))
