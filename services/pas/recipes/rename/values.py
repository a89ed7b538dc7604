"""What an expression may be, as far as the program text tells."""

from __future__ import annotations

from dataclasses import dataclass

import libcst as cst

from services.pas.recipes.rename.scopes import Scope


@dataclass(frozen=True, slots=True)
class Slot:
    """A name in a scope: the thing that a rename renames."""

    scope: Scope
    name: str


@dataclass(frozen=True, slots=True)
class ModuleValue:
    """A module of the tree, by place."""

    place: str


@dataclass(frozen=True, slots=True)
class ClassValue:
    """A class of the tree."""

    scope: Scope


@dataclass(frozen=True, slots=True)
class Instance:
    """An object of a class of the tree; `after` is set for `super()`: the lookup begins behind that class."""

    scope: Scope
    is_super: bool = False


@dataclass(frozen=True, slots=True)
class FunctionValue:
    """A function of the tree; `owner` is the class it was looked up on, which `Self` and `cls` mean."""

    node: cst.FunctionDef
    scope: Scope
    inner: Scope
    owner: Scope | None = None


@dataclass(frozen=True, slots=True)
class Container:
    """Holds items: `items[0]` is the item (the key, for mappings), `items[1]` the value of a mapping."""

    items: tuple[frozenset[Value], ...]
    is_tuple: bool = False
    is_mapping: bool = False


@dataclass(frozen=True, slots=True)
class AwaitableValue:
    """What `await` turns into `result`."""

    result: frozenset[Value]


@dataclass(frozen=True, slots=True)
class MappingMethod:
    """`mapping.get`, `.items` and their like, not called yet."""

    mapping: Container
    name: str


@dataclass(frozen=True, slots=True)
class External:
    """A module, class or function that is not part of the tree, by dotted name."""

    name: str


@dataclass(frozen=True, slots=True)
class Foreign:
    """An object whose class is known not to be part of the tree: a string, a number, a standard type."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """Anything."""


Value = (
    ModuleValue
    | ClassValue
    | Instance
    | FunctionValue
    | Container
    | AwaitableValue
    | MappingMethod
    | External
    | Foreign
    | Unknown
)
Values = frozenset[Value]

UNKNOWN: Values = frozenset({Unknown()})
FOREIGN: Values = frozenset({Foreign()})
NOTHING: Values = frozenset()
