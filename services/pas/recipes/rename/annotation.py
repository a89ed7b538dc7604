"""What an annotation says about a value."""

from __future__ import annotations

from typing import Protocol

import libcst as cst

from services.pas.recipes.rename.scopes import Binding, Scope
from services.pas.recipes.rename.values import (
    FOREIGN,
    NOTHING,
    UNKNOWN,
    AwaitableValue,
    ClassValue,
    Container,
    External,
    Instance,
    Value,
    Values,
)
from services.pas.recipes.rename.walk import tail

_TRANSPARENT = frozenset(
    ["Annotated", "ClassVar", "Final", "Required", "NotRequired", "ReadOnly", "InitVar", "Optional"]
)
_MAPPINGS = frozenset(
    ["dict", "Dict", "Mapping", "MutableMapping", "defaultdict", "DefaultDict", "OrderedDict", "ChainMap"]
)
_SEQUENCES = frozenset(
    [
        "list",
        "List",
        "set",
        "Set",
        "frozenset",
        "FrozenSet",
        "deque",
        "Deque",
        "Sequence",
        "MutableSequence",
        "Iterable",
        "Iterator",
        "Collection",
        "Container",
        "AbstractSet",
        "MutableSet",
        "Reversible",
        "Generator",
        "AsyncIterator",
        "AsyncIterable",
        "AsyncGenerator",
        "KeysView",
        "ValuesView",
        "ContextManager",
        "AsyncContextManager",
        "AbstractContextManager",
        "AbstractAsyncContextManager",
    ]
)
_AWAITABLES = frozenset(["Awaitable", "Coroutine", "Future", "Task"])
_ANYTHING = frozenset({"Any", "object", "TypeVar", "Incomplete"})


_MAX_DEPTH = 8


class Context(Protocol):
    """What reading annotations needs from inference."""

    def infer(self, node: cst.BaseExpression, scope: Scope) -> Values:
        """Return the possible values of an expression in a scope."""
        ...

    def bindings_of(self, node: cst.BaseExpression, scope: Scope) -> list[Binding]:
        """Return the variable bindings that a name or attribute means, for type aliases."""
        ...


def read(context: Context, node: cst.BaseExpression, scope: Scope, owner: Scope | None, depth: int = 0) -> Values:
    """Return what a value annotated with `node` may be; `owner` is the class that `Self` means."""
    if depth > _MAX_DEPTH:
        return UNKNOWN
    if isinstance(node, cst.SimpleString):
        return _string(context, node, scope, owner, depth)
    if isinstance(node, cst.BinaryOperation):
        sides = (node.left, node.right)
        return NOTHING.union(*(read(context, side, scope, owner, depth + 1) for side in sides))
    if isinstance(node, cst.Subscript):
        return _subscript(context, node, scope, owner, depth)
    if isinstance(node, (cst.Name, cst.Attribute)):
        return _named(context, node, scope, owner, depth)
    return UNKNOWN


def _string(context: Context, node: cst.SimpleString, scope: Scope, owner: Scope | None, depth: int) -> Values:
    try:
        inner = cst.parse_expression(node.raw_value)
    except cst.ParserSyntaxError:
        return UNKNOWN
    return read(context, inner, scope, owner, depth + 1)


def _named(context: Context, node: cst.Name | cst.Attribute, scope: Scope, owner: Scope | None, depth: int) -> Values:
    if isinstance(node, cst.Name) and node.value == "None":
        return NOTHING
    aliases = context.bindings_of(node, scope)
    if aliases:
        return NOTHING.union(*(_alias(context, each, owner, depth) for each in aliases))
    return NOTHING.union(*(_instance(value, owner) for value in context.infer(node, scope)))


def _alias(context: Context, binding: Binding, owner: Scope | None, depth: int) -> Values:
    value = binding.value
    if isinstance(value, cst.Call):
        return _made(context, value, binding.scope, owner, depth)
    if value is None:
        return UNKNOWN
    return read(context, value, binding.scope, owner, depth + 1)


def _made(context: Context, node: cst.Call, scope: Scope, owner: Scope | None, depth: int) -> Values:
    """Read `TypeVar("T", bound=X)` and `NewType("N", X)`."""
    if tail(node.func) not in ("TypeVar", "NewType"):
        return UNKNOWN
    types = [arg.value for arg in node.args[1:] if arg.keyword is None or arg.keyword.value == "bound"]
    if not types:
        return UNKNOWN
    return NOTHING.union(*(read(context, each, scope, owner, depth + 1) for each in types))


def _instance(value: Value, owner: Scope | None) -> Values:
    if isinstance(value, ClassValue):
        return frozenset({Instance(value.scope)})
    if isinstance(value, External):
        return _external(value.name.rpartition(".")[2], owner)
    return UNKNOWN


def _external(name: str, owner: Scope | None) -> Values:
    if name == "Self":
        return frozenset({Instance(owner)}) if owner is not None else UNKNOWN
    if name in _MAPPINGS:
        return frozenset({Container((UNKNOWN, UNKNOWN), is_mapping=True)})
    if name in _SEQUENCES or name in ("tuple", "Tuple"):
        return frozenset({Container((UNKNOWN,))})
    if name in _ANYTHING or name in _AWAITABLES or name in _TRANSPARENT:
        return UNKNOWN
    return FOREIGN


def _subscript(context: Context, node: cst.Subscript, scope: Scope, owner: Scope | None, depth: int) -> Values:
    parts = [each.slice.value for each in node.slice if isinstance(each.slice, cst.Index)]
    heads = context.infer(node.value, scope)
    if any(isinstance(head, ClassValue) for head in heads):
        return NOTHING.union(*(_instance(head, owner) for head in heads))
    name = tail(node.value)
    if name == "Literal" or not parts:
        return FOREIGN

    def inner(part: cst.BaseExpression) -> Values:
        return read(context, part, scope, owner, depth + 1)

    if name in _TRANSPARENT:
        return inner(parts[0])
    if name == "Union":
        return NOTHING.union(*(inner(part) for part in parts))
    return _generic(name, parts, [inner(part) for part in parts])


def _generic(name: str, parts: list[cst.BaseExpression], items: list[Values]) -> Values:
    if name in ("type", "Type"):
        return frozenset(ClassValue(each.scope) if isinstance(each, Instance) else each for each in items[0])
    if name in _AWAITABLES:
        return frozenset({AwaitableValue(items[-1])})
    if name in _MAPPINGS:
        return frozenset({Container((items[0], items[-1]), is_mapping=True)})
    is_endless = isinstance(parts[-1], cst.Ellipsis)
    if name in ("tuple", "Tuple") and not is_endless:
        return frozenset({Container(tuple(items), is_tuple=True)})
    return frozenset({Container((items[0],))}) if is_endless or name in _SEQUENCES else UNKNOWN
