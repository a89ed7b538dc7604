"""What values of the language's own types give: elements of collections, what promises hold, what callbacks take."""

from services.vector_ops.languages.typescript.notation import UNKNOWN, Node
from services.vector_ops.languages.typescript.shapes import LACKING, OUTSIDE, Compound, Function, Outside, Shape, Shapes

PASSING = frozenset({"Partial", "Required", "Readonly", "Omit", "Pick", "NonNullable", "Extract", "Exclude"})
PROMISES = frozenset({"Promise", "PromiseLike", "Awaited"})
_PAIRED = frozenset({"Map", "ReadonlyMap", "WeakMap"})
_ITERATED = (
    "Array ReadonlyArray Set ReadonlySet Iterable Iterator AsyncIterable Generator AsyncGenerator IterableIterator "
    "AsyncIterableIterator"
)
_ITERABLES = frozenset(_ITERATED.split())
_PAIR = 2
_SAME = frozenset({"filter", "slice", "concat", "reverse", "sort", "splice", "toSorted", "toReversed"})
_ELEMENT = frozenset({"find", "findLast", "pop", "shift", "at", "get", "reduce"})
_EACH = frozenset({"forEach", "map", "filter", "find", "findIndex", "findLast", "some", "every", "flatMap"})


def element_of(shape: Outside | Compound, at: int | None) -> tuple[Node, ...]:
    """Return the types that `[at]` or iteration may give."""
    if isinstance(shape, Compound):
        parts = shape.node.parts if shape.node.sort == "tuple" else ()
        return parts if at is None else parts[at : at + 1]
    if shape.name in _ITERABLES:
        return shape.arguments[:1]
    if shape.name in _PAIRED and len(shape.arguments) == _PAIR:
        return (Node("tuple", "", shape.arguments),)
    if shape.name == "Record":
        return shape.arguments[1:2]
    return ()


def member_of(shape: Outside, name: str) -> Shape:
    """Return a member of something outside; its method when it still leads back."""
    if shape == LACKING[0]:
        return shape
    is_telling = shape.arguments and "." not in shape.name
    return Outside(f"{shape.name}.{name}", shape.arguments, shape.context) if is_telling else OUTSIDE[0]


def result_of(shape: Outside) -> tuple[Shape, ...] | Node:
    """Return what a call of something outside gives, as a shape or as a type in its context."""
    owner, _, method = shape.name.partition(".")
    if not method or not shape.arguments:
        return LACKING if shape == LACKING[0] else OUTSIDE
    if method in _SAME and owner in _ITERABLES:
        return (Outside(owner, shape.arguments, shape.context),)
    if method in {"then", "catch", "finally"} and owner in PROMISES:
        return (Outside("Promise", (UNKNOWN,) if method == "then" else shape.arguments, shape.context),)
    if method in _ELEMENT:
        return shape.arguments[-1] if owner in _PAIRED else shape.arguments[0]
    if method == "values" and owner in (_PAIRED | _ITERABLES):
        return (Outside("Iterable", shape.arguments[-1:], shape.context),)
    return () if method in {"map", "keys", "entries"} else OUTSIDE


def parameters_of(shape: Outside) -> Shapes:
    """Return the type of a method of something outside that takes a callback."""
    owner, _, method = shape.name.partition(".")
    if not shape.arguments:
        return LACKING if shape == LACKING[0] else OUTSIDE
    if method == "then" and owner in PROMISES:
        taken = shape.arguments[:1]
    elif method == "forEach" and owner in _PAIRED:
        taken = (shape.arguments[-1], shape.arguments[0])
    elif method in _EACH:
        taken = shape.arguments[:1]
    elif method == "reduce":
        taken = (UNKNOWN, shape.arguments[0])
    elif method == "sort":
        taken = (shape.arguments[0], shape.arguments[0])
    else:
        return OUTSIDE
    callback = Node("function", "", (*taken, UNKNOWN))
    return (Function(Node("function", "", (callback, UNKNOWN)), shape.context),)
