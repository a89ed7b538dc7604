"""What an expression or a type can turn out to be."""

from collections.abc import Mapping
from typing import NamedTuple, Union

from services.vector_ops.languages.typescript.notation import Node
from services.vector_ops.languages.world import SymbolAt


class Context(NamedTuple):
    """Where a type is read: the file of its names, what its type parameters are, and what `this` is."""

    path: str
    generics: Mapping[str, tuple[Node, "Context"]] | None = None
    this: "Shape | None" = None


class Value(NamedTuple):
    """What a symbol holds: a function, a class, a variable."""

    one: SymbolAt
    context: Context


class Instance(NamedTuple):
    """A value of a class, an interface, an enumeration or an alias of an object type."""

    one: SymbolAt
    context: Context


class Module(NamedTuple):
    """All that a file exports."""

    path: str


class Function(NamedTuple):
    """A function of which only the type is known."""

    node: Node
    context: Context


class Compound(NamedTuple):
    """A tuple or an object of which only the type is known."""

    node: Node
    context: Context


class Outside(NamedTuple):
    """Something outside the repository; its name (`Array`, `Array.map`) and type arguments when they matter."""

    name: str = ""
    arguments: tuple[Node, ...] = ()
    context: Context = Context("")


Shape = Union[Value, Instance, Module, Function, Compound, Outside]  # noqa: UP007 (it names itself)
Shapes = tuple[Shape, ...]
OUTSIDE: Shapes = (Outside(),)
LACKING: Shapes = (Outside("?"),)
"""What a type of ours has not, nor anything foreign that it inherits from: the type is known in part, it seems."""
ALTERNATIVES_CAP = 8


def key_of(shape: Shape) -> tuple[object, ...]:
    """Return what makes two shapes the same; contexts are left out, they may hold themselves."""
    if isinstance(shape, (Value, Instance)):
        return (type(shape), shape.one.path, shape.one.at)
    if isinstance(shape, Module):
        return (Module, shape.path)
    if isinstance(shape, Outside):
        return (Outside, shape.name, id(shape.arguments))
    return (Function, id(shape.node))


def limit_shapes(shapes: list[Shape]) -> Shapes:
    """Return the different ones among these, a few at most."""
    if len(shapes) <= 1:
        return tuple(shapes)
    found: dict[tuple[object, ...], Shape] = {}
    for one in shapes:
        found.setdefault(key_of(one), one)
        if len(found) == ALTERNATIVES_CAP:
            break
    return tuple(found.values())


def without(shapes: Shapes, one: Shape) -> Shapes:
    """Return the others."""
    key = key_of(one)
    return tuple(two for two in shapes if key_of(two) != key)


def is_type(shape: Shape) -> bool:
    """Return whether this is a type alone, which can neither be called nor constructed."""
    return isinstance(shape, Value) and shape.one.symbol.kind in {"interface", "type"}
