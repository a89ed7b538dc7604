"""Scopes of a module and what each of them binds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import libcst as cst

ScopeKind = Literal["module", "class", "function", "comprehension", "type_parameters"]
BindingKind = Literal[
    "function", "class", "variable", "parameter", "import", "from_import", "type_parameter", "declaration"
]
# How the bound thing comes out of the value: itself, an item of it, what `with` enters, one position of a tuple.
Step = Literal["item", "enter", "await_item", "await_enter", "opaque"] | int


@dataclass(frozen=True, slots=True)
class Origin:
    """What an import names.

    Dots of a relative import, the dotted module, and the imported name (None for `import m`).
    """

    level: int
    module: str
    name: str | None


@dataclass(eq=False, slots=True)
class Binding:
    """One place that binds a name: its text is `node`, what it holds is `value` taken apart by `steps`.

    `order` counts bindings and uses as Python runs them, which decides what a class body sees.
    """

    name: str
    node: cst.CSTNode
    kind: BindingKind
    scope: Scope
    statement: cst.CSTNode | None = None
    value: cst.BaseExpression | None = None
    annotation: cst.BaseExpression | None = None
    steps: tuple[Step, ...] = ()
    origin: Origin | None = None
    inner: Scope | None = None
    order: int = 0


@dataclass(eq=False, slots=True)
class Scope:
    """A namespace of the program text. `members` are the attributes that methods set on `self` or `cls`."""

    kind: ScopeKind
    name: str
    parent: Scope | None
    path: str
    node: cst.CSTNode | None = None
    bindings: dict[str, list[Binding]] = field(default_factory=dict)
    members: dict[str, list[Binding]] = field(default_factory=dict)
    global_names: set[str] = field(default_factory=set)
    nonlocal_names: set[str] = field(default_factory=set)
    receiver: str | None = None
    receiver_is_class: bool = False

    def chain(self) -> Iterator[Scope]:
        """Yield this scope and the ones around it, inside out."""
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent

    def module(self) -> Scope:
        """Return the module scope around this one."""
        return list(self.chain())[-1]

    def visible(self, *, skip_class: bool = False) -> Iterator[Scope]:
        """Yield the scopes a name is looked up in, inside out: a class body is seen only by its own statements."""
        is_own = True
        for scope in self.chain():
            if scope.kind != "class" or (is_own and not skip_class):
                yield scope
            is_own = is_own and scope.kind == "type_parameters"

    def resolve(self, name: str, *, skip_class: bool = False) -> Scope | None:
        """Return the scope whose binding `name` means here; None for builtins, star imports and unknown names."""
        for scope in self.visible(skip_class=skip_class):
            if name in scope.global_names:
                return scope.module()
            if name in scope.bindings and name not in scope.nonlocal_names:
                return scope
        return None

    def holds(self, name: str) -> list[Binding]:
        """Return all that binds `name` here, attributes of instances included."""
        return [*self.bindings.get(name, ()), *self.members.get(name, ())]

    def owner(self) -> Scope | None:
        """Return the class whose method this scope is, or None."""
        parent = self.parent
        while parent is not None and parent.kind == "type_parameters":
            parent = parent.parent
        return parent if parent is not None and parent.kind == "class" else None

    def qualified(self) -> str:
        """Return the dotted name of this scope inside its module; empty for the module itself."""
        names = [scope.name for scope in self.chain() if scope.kind in ("class", "function")]
        return ".".join(reversed(names))


@dataclass(frozen=True, slots=True, eq=False)
class Use:
    """A name read or deleted: where, in which scope, and whether the class body around it has not bound it yet."""

    node: cst.Name
    scope: Scope
    skip_class: bool
    order: int

    def sees(self, scope: Scope, name: str) -> bool:
        """Return whether `scope` binds `name` for this use: in its own class body, only what was bound before."""
        bindings = scope.bindings.get(name, ())
        if scope is self.scope and scope.kind == "class":
            return any(each.order < self.order for each in bindings)
        return bool(bindings)


@dataclass(frozen=True, slots=True, eq=False)
class AttributeUse:
    """`receiver.name`."""

    node: cst.Attribute
    scope: Scope


@dataclass(frozen=True, slots=True, eq=False)
class KeywordUse:
    """`callee(name=...)`, or `case callee(name=...)`."""

    node: cst.Name
    callee: cst.BaseExpression
    scope: Scope


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """A string that is an annotation: the expression inside it, parsed, and where in the string it begins."""

    string: cst.SimpleString
    module: cst.Module


@dataclass(eq=False, slots=True)
class Facts:
    """All that one walk over a module finds, by name."""

    scope: Scope
    uses: dict[str, list[Use]] = field(default_factory=dict)
    attributes: dict[str, list[AttributeUse]] = field(default_factory=dict)
    keywords: dict[str, list[KeywordUse]] = field(default_factory=dict)
    bound: dict[str, list[Binding]] = field(default_factory=dict)
    imported: dict[str, list[Binding]] = field(default_factory=dict)
    strings: list[cst.SimpleString | cst.FormattedStringText] = field(default_factory=list)
    docstrings: set[cst.CSTNode] = field(default_factory=set)
    embedded: list[Embedded] = field(default_factory=list)
    stars: list[Origin] = field(default_factory=list)
    exports: list[tuple[cst.SimpleString, str]] = field(default_factory=list)
    export_lists: list[list[cst.SimpleString]] = field(default_factory=list)
    from_imports: list[cst.ImportFrom] = field(default_factory=list)
    slots: list[tuple[cst.SimpleString, Scope]] = field(default_factory=list)
    module_paths: list[cst.CSTNode] = field(default_factory=list)
    has_exports: bool = False
    clock: int = 0
    classes: list[Scope] = field(default_factory=list)
