"""What an expression may be: classes, instances, modules and functions of the tree, or unknown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import libcst as cst

from services.pas.recipes.rename import annotation
from services.pas.recipes.rename.containers import container_call, container_item
from services.pas.recipes.rename.fixtures import find_fixture, results
from services.pas.recipes.rename.lookup import Lookup
from services.pas.recipes.rename.modules import Project
from services.pas.recipes.rename.scopes import Binding, Scope, Step
from services.pas.recipes.rename.values import (
    FOREIGN,
    NOTHING,
    UNKNOWN,
    AwaitableValue,
    ClassValue,
    Container,
    External,
    Foreign,
    FunctionValue,
    Instance,
    MappingMethod,
    ModuleValue,
    Slot,
    Value,
    Values,
)
from services.pas.recipes.rename.walk import children, tail

_MAX_DEPTH = 40
_LITERALS = (
    cst.SimpleString,
    cst.ConcatenatedString,
    cst.FormattedString,
    cst.Integer,
    cst.Float,
    cst.Imaginary,
    cst.Comparison,
)
_PROPERTIES = frozenset({"property", "cached_property", "hybrid_property", "abstractproperty"})
_SAME_ITEMS = frozenset({"list", "set", "sorted", "tuple", "reversed", "frozenset", "iter", "filter", "deque"})
_SAME_VALUE = frozenset({"copy", "deepcopy", "replace"})
_NOT_OURS = frozenset(
    [
        "str",
        "int",
        "float",
        "bool",
        "bytes",
        "len",
        "repr",
        "sum",
        "abs",
        "round",
        "hash",
        "id",
        "isinstance",
        "issubclass",
        "range",
        "print",
    ]
)


class Inference:
    """Infers values; one per project, remembers what it found."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.lookup = Lookup(project, self)
        self._slots: dict[Slot, Values] = {}
        self._busy: set[Slot] = set()
        self._returning: set[cst.FunctionDef] = set()
        self._depth = 0
        self._cuts = 0
        self._handlers: dict[type[cst.CSTNode], Callable[[Any, Scope], Values]] = {
            cst.Name: self._name,
            cst.Attribute: self._attribute,
            cst.Call: self._call,
            cst.Await: self._await,
            cst.Subscript: self._subscript,
            cst.List: self._list,
            cst.Set: self._list,
            cst.Tuple: self._tuple,
            cst.Dict: self._dict,
            cst.IfExp: self._either,
            cst.BooleanOperation: self._either,
            cst.NamedExpr: self._walrus,
        }

    def infer(self, node: cst.BaseExpression, scope: Scope) -> Values:
        """Return the possible values of an expression in a scope; empty for None."""
        handler = self._handlers.get(type(node))
        if handler is None:
            return FOREIGN if isinstance(node, _LITERALS) else UNKNOWN
        if self._depth > _MAX_DEPTH:
            self._cuts += 1
            return UNKNOWN
        self._depth += 1
        try:
            return handler(node, scope)
        finally:
            self._depth -= 1

    # -- names

    def slot(self, slot: Slot) -> Values:
        """Return what a slot may hold: the union over everything that binds it."""
        if slot in self._slots:
            return self._slots[slot]
        if slot in self._busy:
            self._cuts += 1
            return NOTHING
        self._busy.add(slot)
        cuts = self._cuts
        bindings = slot.scope.holds(slot.name)
        typed = [each for each in bindings if each.annotation is not None and each.kind == "variable"]
        values = NOTHING.union(*(self.binding(each) for each in typed or bindings))
        self._busy.discard(slot)
        if cuts == self._cuts or not self._busy:
            self._slots[slot] = values  # a value found while a cycle was cut open is not final
        return values

    def binding(self, binding: Binding) -> Values:
        """Return what one binding binds."""
        if binding.kind == "class" and binding.inner is not None:
            return frozenset({ClassValue(binding.inner)})
        if binding.kind == "function" and isinstance(binding.statement, cst.FunctionDef) and binding.inner is not None:
            return frozenset({FunctionValue(binding.statement, binding.scope, binding.inner)})
        if binding.kind in ("import", "from_import"):
            return self._imported(binding)
        if binding.kind == "parameter":
            return self._parameter(binding)
        return self._variable(binding)

    def _imported(self, binding: Binding) -> Values:
        found = self.lookup.imported(binding)
        if isinstance(found, Slot):
            return self.slot(found)
        return UNKNOWN if found is None else frozenset({found})

    def _parameter(self, binding: Binding) -> Values:
        scope = binding.scope
        owner = scope.owner()
        if scope.receiver == binding.name and owner is not None:
            return frozenset({ClassValue(owner) if scope.receiver_is_class else Instance(owner)})
        if binding.annotation is None:
            return self._fixture(binding)
        values = annotation.read(self, binding.annotation, scope.parent or scope, owner)
        return frozenset({Container((values,))}) if binding.steps else values

    def _fixture(self, parameter: Binding) -> Values:
        """Return what pytest passes to a parameter without an annotation; unknown outside of tests."""
        fixture = find_fixture(self.project, parameter)
        if fixture is None or not isinstance(fixture.statement, cst.FunctionDef) or fixture.inner is None:
            return UNKNOWN
        node, inner = fixture.statement, fixture.inner
        if node.returns is None:
            return NOTHING.union(*(self.infer(each, inner) for each in results(node))) or UNKNOWN
        values = annotation.read(self, node.returns.annotation, inner.parent or inner, inner.owner())
        return self._take(values, ("item",)) if _yields(node.body) else values

    def _variable(self, binding: Binding) -> Values:
        owner = binding.scope if binding.scope.kind == "class" else binding.scope.owner()
        note = binding.annotation
        if note is not None and not (tail(note) in ("Final", "ClassVar") and isinstance(note, cst.Name)):
            values = annotation.read(self, note, binding.scope, owner)
            return self._take(values, binding.steps)
        if binding.value is None:
            return UNKNOWN
        return self._take(self.infer(binding.value, binding.scope), binding.steps)

    def bindings_of(self, node: cst.BaseExpression, scope: Scope) -> list[Binding]:
        """Return the variable bindings that a name or attribute means, when it means variables only."""
        slot = self._slot_of(node, scope)
        for _ in range(8):
            bindings = slot.scope.holds(slot.name) if slot is not None else []
            imports = [each for each in bindings if each.kind == "from_import"]
            if len(bindings) != 1 or not imports:
                return bindings if all(each.kind == "variable" for each in bindings) else []
            slot = self.lookup.origin(imports[0])
        return []

    def _slot_of(self, node: cst.BaseExpression, scope: Scope) -> Slot | None:
        if isinstance(node, cst.Name):
            return self._name_slot(node.value, scope)
        if isinstance(node, cst.Attribute):
            found = self.lookup.attribute(node, scope)
            return next(iter(found.slots)) if len(found.slots) == 1 else None
        return None

    def _name_slot(self, name: str, scope: Scope) -> Slot | None:
        slot = self.lookup.name(name, scope)
        if slot is not None and slot in self._busy and slot.scope.kind == "class":
            return self.lookup.name(name, scope, skip_class=True)  # `date: date` in a class body
        return slot

    def _name(self, node: cst.Name, scope: Scope) -> Values:
        if node.value == "None":
            return NOTHING
        slot = self._name_slot(node.value, scope)
        if slot is not None:
            return self.slot(slot)
        builtin = self.lookup.builtin(node.value)
        return frozenset({builtin}) if builtin is not None else UNKNOWN

    # -- attributes

    def _attribute(self, node: cst.Attribute, scope: Scope) -> Values:
        name = node.attr.value
        return NOTHING.union(*(self._get(value, name) for value in self.infer(node.value, scope)))

    def _get(self, value: Value, name: str) -> Values:
        if isinstance(value, External):
            return frozenset({External(f"{value.name}.{name}")})
        if isinstance(value, Container):
            return frozenset({MappingMethod(value, name)})
        slot = self.lookup.slot_on(value, name)
        if slot is not None:
            held = self.slot(slot)
            return self._bound(held, value.scope) if isinstance(value, (Instance, ClassValue)) else held
        if isinstance(value, ModuleValue):
            child = self.project.child(value.place, name)
            return frozenset({ModuleValue(child)}) if child is not None else UNKNOWN
        return UNKNOWN

    def _bound(self, values: Values, owner: Scope) -> Values:
        """Bind functions to the class they were looked up on; a property becomes its value."""
        found: set[Value] = set()
        for value in values:
            if not isinstance(value, FunctionValue):
                found.add(value)
            elif _PROPERTIES & {tail(each.decorator) for each in value.node.decorators}:
                found |= self.returns(FunctionValue(value.node, value.scope, value.inner, owner))
            else:
                found.add(FunctionValue(value.node, value.scope, value.inner, owner))
        return frozenset(found)

    # -- calls

    def _call(self, node: cst.Call, scope: Scope) -> Values:
        return NOTHING.union(*(self._result(value, node, scope) for value in self.infer(node.func, scope)))

    def _result(self, value: Value, node: cst.Call, scope: Scope) -> Values:
        if isinstance(value, ClassValue):
            return frozenset({Instance(value.scope)})
        if isinstance(value, FunctionValue):
            return self.returns(value)
        if isinstance(value, External):
            return self._external_call(value.name.rpartition(".")[2], node, scope)
        if isinstance(value, MappingMethod):
            return container_call(value)
        if isinstance(value, Instance):
            return self._special(value, "__call__")
        return UNKNOWN

    def _external_call(self, name: str, node: cst.Call, scope: Scope) -> Values:
        if name == "super":
            owner = next((each.owner() for each in scope.chain() if each.receiver), None)
            return frozenset({Instance(owner, is_super=True)}) if owner is not None else UNKNOWN
        if name in _NOT_OURS or not node.args:
            return FOREIGN if name in _NOT_OURS else UNKNOWN
        if name == "cast":
            return annotation.read(self, node.args[0].value, scope, None)
        first = self.infer(node.args[0].value, scope)
        return first if name in _SAME_VALUE else self._iterated(name, self._take(first, ("item",)), node)

    def _iterated(self, name: str, item: Values, node: cst.Call) -> Values:
        """Return what a builtin makes of something iterable, given its items."""
        if name in _SAME_ITEMS:
            return frozenset({Container((item,))})
        if name == "enumerate":
            return frozenset({Container((frozenset({Container((FOREIGN, item), is_tuple=True)}),))})
        return item if name in ("next", "min", "max") and len(node.args) == 1 else UNKNOWN

    def returns(self, value: FunctionValue) -> Values:
        """Return what calling a function gives: its annotation, else the union of its return statements."""
        node = value.node
        owner = value.owner or (value.scope if value.scope.kind == "class" else None)
        if node.returns is not None:
            result = annotation.read(self, node.returns.annotation, value.inner.parent or value.scope, owner)
        else:
            result = self._returned(value)
        is_generator = any(isinstance(each, Container) for each in result) and _yields(node.body)
        return frozenset({AwaitableValue(result)}) if node.asynchronous and not is_generator else result

    def _returned(self, value: FunctionValue) -> Values:
        node = value.node
        if node in self._returning or (node.decorators and not value.owner) or _yields(node.body):
            return UNKNOWN
        self._returning.add(node)
        try:
            results = [
                each.value for each in _own(node.body, cst.Return) if isinstance(each, cst.Return) and each.value
            ]
            found = NOTHING.union(*(self.infer(each, value.inner) for each in results))
        finally:
            self._returning.discard(node)
        owner, inner = value.owner, value.inner.owner()
        if owner is not None and inner is not None and Instance(inner) in found:
            found = (found - {Instance(inner)}) | {Instance(owner)}
        return found

    def _special(self, value: Instance, name: str) -> Values:
        slot = self.lookup.member(value.scope, name)
        functions = self._bound(self.slot(slot), value.scope) if slot is not None else UNKNOWN
        found = (self.returns(each) if isinstance(each, FunctionValue) else UNKNOWN for each in functions)
        return NOTHING.union(*found)

    # -- taking values apart

    def _take(self, values: Values, steps: tuple[Step, ...]) -> Values:
        for step in steps:
            values = NOTHING.union(*(self._step(value, step) for value in values))
        return values

    def _step(self, value: Value, step: Step) -> Values:
        if step == "opaque":
            return UNKNOWN
        if isinstance(value, Container):
            index = step if isinstance(step, int) and value.is_tuple else 0
            return value.items[index] if index < len(value.items) else UNKNOWN
        if isinstance(value, Instance) and isinstance(step, str):
            method = {"item": "__iter__", "await_item": "__aiter__", "enter": "__enter__"}.get(step, "__aenter__")
            values = self._special(value, method)
            if step == "await_enter":
                return self._awaited(values)
            return self._take(values, ("item",)) if step != "enter" else values
        return FOREIGN if isinstance(value, Foreign) else UNKNOWN

    def _await(self, node: cst.Await, scope: Scope) -> Values:
        return self._awaited(self.infer(node.expression, scope))

    def _awaited(self, values: Values) -> Values:
        return NOTHING.union(*(each.result if isinstance(each, AwaitableValue) else UNKNOWN for each in values))

    def _subscript(self, node: cst.Subscript, scope: Scope) -> Values:
        part = node.slice[0].slice
        found: set[Value] = set()
        for value in self.infer(node.value, scope):
            if isinstance(value, (ClassValue, External)):
                found.add(value)  # `Stack[int]` is still the class
            elif isinstance(value, Container) and isinstance(part, cst.Slice):
                found.add(value)
            elif isinstance(value, Container):
                found |= container_item(value, part)
            elif isinstance(value, Instance):
                found |= self._special(value, "__getitem__")
            else:
                found |= UNKNOWN
        return frozenset(found)

    def _list(self, node: cst.List | cst.Set, scope: Scope) -> Values:
        items = NOTHING.union(*(self.infer(each.value, scope) for each in node.elements))
        is_plain = node.elements and all(isinstance(each, cst.Element) for each in node.elements)
        return frozenset({Container((items if is_plain else UNKNOWN,))})

    def _tuple(self, node: cst.Tuple, scope: Scope) -> Values:
        if any(isinstance(each, cst.StarredElement) for each in node.elements):
            return frozenset({Container((UNKNOWN,))})
        return frozenset({Container(tuple(self.infer(each.value, scope) for each in node.elements), is_tuple=True)})

    def _dict(self, node: cst.Dict, scope: Scope) -> Values:
        pairs = [each for each in node.elements if isinstance(each, cst.DictElement)]
        if not pairs or len(pairs) != len(node.elements):
            return frozenset({Container((UNKNOWN, UNKNOWN), is_mapping=True)})
        keys = NOTHING.union(*(self.infer(each.key, scope) for each in pairs))
        values = NOTHING.union(*(self.infer(each.value, scope) for each in pairs))
        return frozenset({Container((keys, values), is_mapping=True)})

    def _either(self, node: cst.IfExp | cst.BooleanOperation, scope: Scope) -> Values:
        sides = (node.body, node.orelse) if isinstance(node, cst.IfExp) else (node.left, node.right)
        return NOTHING.union(*(self.infer(each, scope) for each in sides))

    def _walrus(self, node: cst.NamedExpr, scope: Scope) -> Values:
        return self.infer(node.value, scope)


def _own(node: cst.CSTNode, kind: type[cst.CSTNode]) -> list[cst.CSTNode]:
    """Return the nodes of a kind in a function body, nested functions and classes left out."""
    if isinstance(node, kind):
        return [node]
    if isinstance(node, (cst.FunctionDef, cst.ClassDef, cst.Lambda)):
        return []
    return [found for child in children(node) for found in _own(child, kind)]


def _yields(body: cst.CSTNode) -> bool:
    return bool(_own(body, cst.Yield))
