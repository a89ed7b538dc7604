"""What a target leads to once all files are known."""

from typing import NamedTuple, Optional

from services.vector_ops.languages.facts import FILE, Symbol


class Form:
    """What stands at a place. Plain numbers: a member of an enumeration takes ten times as long to reach."""

    MODULE = 1  # the file `path`
    SYMBOL = 2  # a definition itself
    INSTANCE = 3  # an object of the class
    SUPER = 4  # the class as seen from `super()`
    CONTAINER = 5  # holds `inner`
    CALLABLE = 6  # returns `inner`
    OUTSIDE = 7  # not of this repository; `path` is its dotted name
    NAMESPACE = 8  # a folder without __init__.py, or nothing: `path` is its dotted name
    TUPLE = 9  # holds `parts`, each at its place


class Place(NamedTuple):
    """One thing that a target leads to.

    `receiver` is what a member was taken from. `is_typed`: the way led over the type of a value, not names alone.
    `parts` are what the entries of a tuple may be, or the argument of a generic class.
    """

    form: int
    path: str
    at: int = FILE
    symbol: Symbol | None = None
    inner: Optional["Place"] = None
    receiver: Optional["Place"] = None
    is_typed: bool = False
    parts: tuple[tuple["Place", ...], ...] = ()


OUTSIDE = Place(Form.OUTSIDE, "")
Places = tuple[Place, ...]
"""Nothing in it: the target cannot be followed."""


def as_typed(place: Place) -> Place:
    """Return the place, reached over a type."""
    return place if place.is_typed else place._replace(is_typed=True)


def make_instance(place: Place) -> Place:
    """Return an object of the class at a place."""
    return Place(Form.INSTANCE, place.path, place.at, place.symbol, is_typed=True, parts=place.parts)


def place_symbol(path: str, at: int, symbol: Symbol | None) -> Place:
    """Return the place of a definition; made as a plain tuple is, in a third of the time, for there are so many."""
    return tuple.__new__(Place, (Form.SYMBOL, path, at, symbol, None, None, False, ()))
