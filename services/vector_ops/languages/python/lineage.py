"""Base classes, in Python's order of method resolution."""

from typing import TYPE_CHECKING

from services.vector_ops.languages.python.places import OUTSIDE, Form, Place, Places, place_symbol

if TYPE_CHECKING:
    from services.vector_ops.languages.python.following import Follower

_MAX_BASES = 40
_MAX_DEPTH = 24

Key = tuple[str, int]


class Lineage:
    """The class hierarchy as one resolution sees it."""

    def __init__(self, follower: "Follower") -> None:
        self._follower = follower
        self._orders: dict[Key, tuple[Place, ...]] = {}
        self._busy: set[Key] = set()

    def list_bases(self, place: Place) -> Places:
        """Return the bases of a class; OUTSIDE for one that cannot be followed."""
        if place.symbol is None:
            return ()
        found = []
        for base in place.symbol.bases[:_MAX_BASES]:
            known = [OUTSIDE] if base == "!object" else [_as_class(one) for one in self._bases_at(place, base)]
            if base != "!object":
                found.append(next((one for one in known if one.form == Form.SYMBOL), known[0] if known else OUTSIDE))
        return tuple(found)

    def _bases_at(self, place: Place, base: str) -> Places:
        found: list[Place] = []
        for one in self._follower.follow(place.path, base):
            is_alias = one.form == Form.SYMBOL and one.symbol is not None and one.symbol.kind != "class"
            found.extend(self._follower.values(one) if is_alias else (one,))
        return tuple(found)

    def order_of(self, place: Place) -> tuple[Place, ...]:
        """Return the class and its bases, nearest first; OUTSIDE stands for what is not of this repository."""
        key = (place.path, place.at)
        known = self._orders.get(key)
        if known is not None:
            return known
        if key in self._busy or len(self._busy) > _MAX_DEPTH:
            return ()
        self._busy.add(key)
        bases = self.list_bases(place)
        # The base itself, not its plain place, heads its order: it knows the argument that a generic one was given.
        orders = [[base, *(self.order_of(base)[1:] if base.form == Form.SYMBOL else ())] for base in bases]
        order = (_plain(place), *_merge([*orders, list(bases)]))
        self._busy.discard(key)
        self._orders[key] = order
        return order

    def find_member(self, place: Place, name: str) -> Places:
        """Return a member of a class or of its bases; OUTSIDE when a base elsewhere may have it."""
        order = self.order_of(place)
        if place.form == Form.SUPER:
            order = order[1:] or (OUTSIDE,)
        outside: Places = ()
        for one in order:
            if one.symbol is None:
                outside = outside or self._follower.member(one, name)
                continue
            found = self._follower.own_member(one, name)
            if found is not None:
                is_typed = place.is_typed or place.form != Form.SYMBOL
                receiver = place._replace(parts=one.parts) if one.parts and not place.parts else place
                return (tuple.__new__(Place, (*found[:5], receiver, is_typed, ())),)
        return outside


def _plain(place: Place) -> Place:
    return place_symbol(place.path, place.at, place.symbol)


def _as_class(place: Place) -> Place:
    is_class = place.form == Form.SYMBOL and place.symbol is not None and place.symbol.kind == "class"
    if is_class:
        return _plain(place)._replace(parts=place.parts) if place.parts else _plain(place)
    return Place(Form.OUTSIDE, place.path) if place.form in {Form.OUTSIDE, Form.NAMESPACE} else OUTSIDE


def _merge(orders: list[list[Place]]) -> list[Place]:
    """Return the C3 merge ("The Python 2.3 Method Resolution Order", python.org); a conflict takes what is first."""
    merged: list[Place] = []
    pending = [order for order in orders if order]
    while pending and len(merged) < _MAX_BASES:
        tails = {id_of(one) for order in pending for one in order[1:]}
        head = next((order[0] for order in pending if id_of(order[0]) not in tails), pending[0][0])
        merged.append(head)
        pending = [rest for order in pending if (rest := [one for one in order if id_of(one) != id_of(head)])]
    return merged


def id_of(place: Place) -> Key:
    """Return what tells two classes apart."""
    return place.path, place.at
