"""Binding names to scopes while a module is walked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import libcst as cst

from services.pas.recipes.rename.scopes import AttributeUse, Binding, BindingKind, Facts, Scope, ScopeKind, Step, Use
from services.pas.recipes.rename.walk import children


class Binder:
    """Keeps the scope that is being walked and notes what is bound and used in it.

    `handlers` say what to do at a kind of node; at all others the walk goes on to the children.
    """

    def __init__(self, facts: Facts, handlers: Mapping[type[cst.CSTNode], Callable[[Any, Any], None]]) -> None:
        self.facts = facts
        self._handlers = handlers
        self.scope = facts.scope
        self.is_annotation = False

    def visit(self, node: cst.CSTNode) -> None:
        """Walk a node."""
        handler = self._handlers.get(type(node))
        if handler is None:
            for child in children(node):
                self.visit(child)
        else:
            handler(self, node)

    def visit_all(self, nodes: Iterable[cst.CSTNode | None]) -> None:
        """Walk nodes in order, those that are there."""
        for node in nodes:
            if node is not None:
                self.visit(node)

    @contextmanager
    def inside(self, scope: Scope) -> Iterator[None]:
        """Walk in another scope."""
        before, self.scope = self.scope, scope
        try:
            yield
        finally:
            self.scope = before

    @contextmanager
    def annotating(self, *, is_on: bool) -> Iterator[None]:
        """Take strings for annotations, or for strings again."""
        before, self.is_annotation = self.is_annotation, is_on
        try:
            yield
        finally:
            self.is_annotation = before

    def child(self, kind: ScopeKind, name: str, node: cst.CSTNode) -> Scope:
        """Return a new scope inside this one."""
        return Scope(kind, name, self.scope, self.scope.path, node)

    def bind(self, node: cst.Name, kind: BindingKind, **more: Any) -> Binding:
        """Note that a name is bound here, or where `global`, `nonlocal` and comprehensions put it."""
        scope = self.scope
        while kind == "variable" and scope.kind == "comprehension" and more.pop("leaks", False) and scope.parent:
            scope = scope.parent
            more["leaks"] = True
        more.pop("leaks", None)
        if node.value in scope.global_names:
            scope = scope.module()
        binding = Binding(node.value, node, kind, self.scope, **more)
        if node.value in scope.nonlocal_names:
            self.name(node)
        else:
            self._store(scope, binding)
        return binding

    def tick(self) -> int:
        """Return the next number of the order in which Python runs things."""
        self.facts.clock += 1
        return self.facts.clock

    def _store(self, scope: Scope, binding: Binding) -> None:
        binding.order = self.tick()
        scope.bindings.setdefault(binding.name, []).append(binding)
        self.facts.bound.setdefault(binding.name, []).append(binding)

    def name(self, node: cst.Name) -> None:
        """Note that a name is read."""
        skip = self.scope.kind == "class" and node.value not in self.scope.bindings
        self.facts.uses.setdefault(node.value, []).append(Use(node, self.scope, skip, self.tick()))

    def attribute(self, node: cst.Attribute) -> None:
        """Note that an attribute is read or set."""
        with self.annotating(is_on=False):
            self.visit(node.value)
        self.facts.attributes.setdefault(node.attr.value, []).append(AttributeUse(node, self.scope))

    def target(self, node: cst.CSTNode, *, leaks: bool = False, **more: Any) -> None:
        """Bind an assignment target; `more` describes the value."""
        if isinstance(node, cst.Name):
            self.bind(node, "variable", leaks=leaks, **more)
        elif isinstance(node, (cst.Tuple, cst.List)):
            steps = more.pop("steps", ())
            for index, element in enumerate(node.elements):
                step: Step = "opaque" if isinstance(element, cst.StarredElement) else index
                self.target(element.value, leaks=leaks, steps=(*steps, step), **more)
        elif isinstance(node, cst.Attribute):
            self.attribute(node)
            self._member(node, more)
        else:
            self.visit(node)

    def _member(self, node: cst.Attribute, more: dict[str, Any]) -> None:
        owner = self._receiver_class(node.value)
        if owner is not None:
            binding = Binding(node.attr.value, node.attr, "variable", self.scope, **more)
            owner.members.setdefault(binding.name, []).append(binding)

    def _receiver_class(self, node: cst.BaseExpression) -> Scope | None:
        if not isinstance(node, cst.Name):
            return None
        for scope in self.scope.visible():
            if scope.receiver == node.value:
                owner = scope.parent
                return owner.parent if owner is not None and owner.kind == "type_parameters" else owner
            if node.value in scope.bindings:
                return None
        return None

    def listed(self, names: list[str], value: cst.BaseExpression) -> None:
        """Note the strings of `__all__`, `__slots__` and `__match_args__`, which name symbols."""
        strings = [each for each in _strings_in(value) if each.raw_value.isidentifier()]
        if "__all__" in names and self.scope.kind == "module":
            self.facts.has_exports = True
            self.facts.export_lists.append(strings)
            self.facts.exports += [(each, each.raw_value) for each in strings]
        if {"__slots__", "__match_args__"} & set(names) and self.scope.kind == "class":
            self.facts.slots += [(each, self.scope) for each in strings]


def _strings_in(node: cst.CSTNode) -> list[cst.SimpleString]:
    if isinstance(node, cst.SimpleString):
        return [node]
    return [found for child in children(node) for found in _strings_in(child)]
