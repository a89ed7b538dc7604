"""Which slot a name or an attribute means, through imports, star imports and base classes."""

from __future__ import annotations

import builtins
from dataclasses import dataclass
from typing import Protocol

import libcst as cst

from services.pas.recipes.rename.modules import SUFFIXES, Module, Project
from services.pas.recipes.rename.scopes import Binding, Origin, Scope
from services.pas.recipes.rename.values import ClassValue, External, Instance, ModuleValue, Slot, Value, Values


class Infers(Protocol):
    """Tells what an expression may be."""

    def infer(self, node: cst.BaseExpression, scope: Scope) -> Values:
        """Return the possible values of an expression in a scope."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class OuterBase:
    """A base class that is not part of the tree; `name` is its dotted name where that is known."""

    node: cst.BaseExpression
    scope: Scope
    name: str | None


@dataclass(frozen=True, slots=True)
class Found:
    """The slots an attribute may mean; `is_certain` is False when it may mean something else as well."""

    slots: frozenset[Slot]
    is_certain: bool


class Lookup:
    """Name resolution over the modules of a project."""

    def __init__(self, project: Project, inference: Infers) -> None:
        self.project = project
        self._inference = inference
        self._lines: dict[Scope, tuple[tuple[Scope, ...], tuple[OuterBase, ...]]] = {}
        self._busy: set[Scope] = set()

    # -- names

    def name(self, name: str, scope: Scope, *, skip_class: bool = False) -> Slot | None:
        """Return the slot a name means in a scope, or None for builtins and names from outside the tree."""
        found = scope.resolve(name, skip_class=skip_class)
        return Slot(found, name) if found is not None else self.module_slot(scope.path, name)

    def module_slot(self, place: str, name: str, seen: frozenset[str] = frozenset()) -> Slot | None:
        """Return the slot `name` of a module; star imports lead to the slot of the module they copy from."""
        module = self.project.load(place) if place.endswith(SUFFIXES) else None
        if module is None or place in seen:
            return None
        if name in module.scope.bindings:
            return Slot(module.scope, name)
        return next(iter(self.starred(module, name, seen)), None)

    def starred(self, module: Module, name: str, seen: frozenset[str] = frozenset()) -> list[Slot]:
        """Return the slots that star imports of a module copy under `name`, the last import first."""
        found: list[Slot] = []
        for star in reversed(module.facts.stars):
            source = self.project.find(star, module.path)
            if source is not None and self.exports(source, name):
                slot = self.module_slot(source, name, seen | {module.path})
                found += [slot] if slot is not None else []
        return found

    def exports(self, place: str, name: str) -> bool:
        """Return whether `from place import *` copies `name`, should the module have it."""
        module = self.project.load(place) if place.endswith(SUFFIXES) else None
        if module is not None and module.facts.has_exports:
            return any(text == name for _, text in module.facts.exports)
        return not name.startswith("_")

    def origin(self, binding: Binding) -> Slot | None:
        """Return the slot that `from m import name` copies, or None when it is a module or outside the tree."""
        if binding.kind != "from_import" or binding.origin is None or binding.origin.name is None:
            return None
        place = self.project.find(binding.origin, binding.scope.path)
        return self.module_slot(place, binding.origin.name) if place is not None else None

    def imported(self, binding: Binding) -> Slot | Value | None:
        """Return what an import binds: a slot, a module, something external, or None when it cannot be told."""
        origin = binding.origin
        if origin is None:
            return None
        place = self.project.find(Origin(origin.level, origin.module, None), binding.scope.path)
        if place is None:
            name = f"{origin.module}.{origin.name}" if origin.name else origin.module
            return External(name) if origin.level == 0 else None
        if origin.name is None:
            return ModuleValue(place)
        slot = self.module_slot(place, origin.name)
        if slot is not None and slot.scope.path == binding.scope.path and slot.scope is binding.scope:
            slot = None  # `from . import x` inside the package's own __init__ means the submodule
        if slot is not None:
            return slot
        child = self.project.child(place, origin.name)
        return ModuleValue(child) if child is not None else None

    def builtin(self, name: str) -> External | None:
        """Return the builtin of that name."""
        return External(f"builtins.{name}") if hasattr(builtins, name) else None

    # -- classes

    def line(self, scope: Scope) -> tuple[Scope, ...]:
        """Return the classes of the tree an attribute of this class is looked up in, itself first."""
        return self._line(scope)[0]

    def outer_bases(self, scope: Scope) -> tuple[OuterBase, ...]:
        """Return the base classes, indirect ones included, that are not part of the tree."""
        return self._line(scope)[1]

    def _line(self, scope: Scope) -> tuple[tuple[Scope, ...], tuple[OuterBase, ...]]:
        if scope in self._lines:
            return self._lines[scope]
        if scope in self._busy or not isinstance(scope.node, cst.ClassDef):
            return (scope,), ()
        self._busy.add(scope)
        lines: list[tuple[Scope, ...]] = []
        outer: dict[cst.BaseExpression, OuterBase] = {}
        for arg in scope.node.bases:
            for base in self._bases(arg.value, scope):
                if isinstance(base, OuterBase):
                    outer[base.node] = base
                else:
                    line, further = self._line(base)
                    lines.append(line)
                    outer.update({each.node: each for each in further})
        self._busy.discard(scope)
        self._lines[scope] = (scope, *_merge(lines)), tuple(outer.values())
        return self._lines[scope]

    def _bases(self, node: cst.BaseExpression, scope: Scope) -> list[Scope | OuterBase]:
        around = scope.parent or scope
        values = self._inference.infer(node, around)
        found: list[Scope | OuterBase] = []
        for value in values:
            if isinstance(value, ClassValue):
                found.append(value.scope)
            else:
                found.append(OuterBase(node, scope, value.name if isinstance(value, External) else None))
        return found or [OuterBase(node, scope, None)]

    def member(self, scope: Scope, name: str, *, behind: bool = False) -> Slot | None:
        """Return the slot of an attribute of a class, inherited ones included; `behind` skips the class itself."""
        for each in self.line(scope)[1 if behind else 0 :]:
            if each.holds(name):
                return Slot(each, name)
        return None

    def attribute(self, node: cst.Attribute, scope: Scope) -> Found:
        """Return the slots that `receiver.name` may mean."""
        name = node.attr.value
        slots: set[Slot] = set()
        is_certain = True
        values = self._inference.infer(node.value, scope)
        for value in values:
            slot = self.slot_on(value, name)
            if slot is None:
                is_certain = False
            else:
                slots.add(slot)
        return Found(frozenset(slots), is_certain and bool(values))

    def slot_on(self, value: Value, name: str) -> Slot | None:
        """Return the slot of an attribute of a value, or None when it is not one of the tree's."""
        if isinstance(value, ModuleValue):
            return self.module_slot(value.place, name)
        if isinstance(value, ClassValue):
            return self.member(value.scope, name)
        if isinstance(value, Instance):
            return self.member(value.scope, name, behind=value.is_super)
        return None


def _merge(lines: list[tuple[Scope, ...]]) -> list[Scope]:
    """Join the lines of the bases: a class stands behind every class that derives from it."""
    flat = [scope for line in lines for scope in line]
    return [scope for index, scope in enumerate(flat) if scope not in flat[index + 1 :]]
