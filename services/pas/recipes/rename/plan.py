"""Deciding, place by place, what a rename edits and what it leaves alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import libcst as cst

from services.pas.recipes.models import OccurrenceKind
from services.pas.recipes.rename.family import home
from services.pas.recipes.rename.inference import Inference
from services.pas.recipes.rename.modules import Module
from services.pas.recipes.rename.scopes import AttributeUse, Binding, KeywordUse, Scope, Use
from services.pas.recipes.rename.values import ClassValue, Slot
from services.pas.recipes.rename.walk import tail

_FIELD_MAKERS = frozenset({"dataclass", "define", "frozen", "mutable", "attrs", "s", "dataclass_transform"})
_FIELD_BASES = frozenset({"NamedTuple", "BaseModel", "BaseSettings", "Struct"})

OTHER = "another symbol of the same name"
UNKNOWN_TYPE = "an attribute of a value whose type is not known for certain"


class Kept(NamedTuple):
    """Why a place is not edited."""

    kind: OccurrenceKind
    reason: str


@dataclass
class ModulePlan:
    """The edits of one module, by byte offset, and the decided places that stay."""

    module: Module
    edits: dict[int, tuple[int, str]] = field(default_factory=dict)
    count: int = 0
    kept: dict[int, Kept] = field(default_factory=dict)
    uses: list[tuple[Use, Slot]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class Planner:
    """Plans the rename of a set of slots to one new name."""

    def __init__(self, inference: Inference, slots: frozenset[Slot], old: str, new: str) -> None:
        self._inference = inference
        self._lookup = inference.lookup
        self._slots = slots
        self._old = old
        self._new = new

    def plan(self, module: Module) -> ModulePlan:
        """Return the edits of one module."""
        plan = ModulePlan(module)
        facts = module.facts
        for node in facts.module_paths:
            self._keep_module_path(plan, node)
        for binding in facts.imported.get(self._old, ()):
            self._imported(plan, binding)
        for binding in facts.bound.get(self._old, ()):
            self._bound(plan, binding)
        for use in facts.uses.get(self._old, ()):
            self._use(plan, use)
        for attribute in facts.attributes.get(self._old, ()):
            self._attribute(plan, attribute)
        for keyword in facts.keywords.get(self._old, ()):
            self._keyword(plan, keyword)
        self._strings(plan)
        return plan

    def _edit(self, plan: ModulePlan, node: cst.CSTNode, new: str | None = None) -> None:
        offset = plan.module.offset(node)
        if offset not in plan.edits:
            plan.count += 1
        plan.edits[offset] = (len(self._old.encode()), new or self._new)
        plan.kept.pop(offset, None)

    def _keep(self, plan: ModulePlan, node: cst.CSTNode, kind: OccurrenceKind, reason: str) -> None:
        offset = plan.module.offset(node)
        if offset not in plan.edits:
            plan.kept.setdefault(offset, Kept(kind, reason))

    def _keep_module_path(self, plan: ModulePlan, node: cst.CSTNode) -> None:
        while isinstance(node, cst.Attribute):
            self._keep_named(plan, node.attr)
            node = node.value
        self._keep_named(plan, node)

    def _keep_named(self, plan: ModulePlan, node: cst.CSTNode) -> None:
        if isinstance(node, cst.Name) and node.value == self._old:
            self._keep(plan, node, "import", "the name of a module or package")

    # -- imports and other bindings

    def _imported(self, plan: ModulePlan, binding: Binding) -> None:
        """`from m import old` and `from m import old as x`: the imported name."""
        alias = binding.statement
        if not isinstance(alias, cst.ImportAlias):
            return
        if self._lookup.origin(binding) in self._slots:
            self._edit(plan, alias.name)
        elif binding.name == self._old and alias.asname is None and home(binding) in self._slots:
            self._edit(plan, alias.name, f"{self._old} as {self._new}")
        else:
            self._keep(plan, alias.name, "import", "an import of another symbol of the same name")

    def _bound(self, plan: ModulePlan, binding: Binding) -> None:
        is_own = home(binding) in self._slots
        alias = binding.statement if isinstance(binding.statement, cst.ImportAlias) else None
        if alias is not None and alias.asname is None:
            if is_own and binding.kind == "import":
                self._import_module(plan, binding, alias)
            return  # `from m import old` is decided by what it imports
        if is_own:
            self._edit(plan, binding.node)
        else:
            kind: OccurrenceKind = "parameter" if binding.kind == "parameter" else "name"
            self._keep(plan, binding.node, kind, self._other(binding))

    def _import_module(self, plan: ModulePlan, binding: Binding, alias: cst.ImportAlias) -> None:
        if isinstance(alias.name, cst.Name):
            self._edit(plan, alias.name, f"{self._old} as {self._new}")
        else:
            place = plan.module.place(binding.node)
            plan.problems.append(f"{self._old!r} is also bound by `import {self._old}.…` at {place}")

    def _other(self, binding: Binding) -> str:
        if binding.kind == "parameter":
            return "a parameter of the same name"
        if binding.scope.kind in ("function", "comprehension"):
            return "a local name that only happens to be the same"
        owner = f" (of class {binding.scope.name})" if binding.scope.kind == "class" else ""
        return f"{OTHER}{owner}"

    # -- uses

    def _use(self, plan: ModulePlan, use: Use) -> None:
        slot = self._lookup.name(self._old, use.scope, skip_class=use.skip_class)
        if slot is not None and slot in self._slots:
            self._edit(plan, use.node)
            plan.uses.append((use, slot))
        elif slot is None:
            self._keep(plan, use.node, "name", "a name that is not bound in this file: a builtin or undefined")
        else:
            is_local = slot.scope.kind in ("function", "comprehension")
            self._keep(plan, use.node, "name", "a local name that only happens to be the same" if is_local else OTHER)

    def _attribute(self, plan: ModulePlan, use: AttributeUse) -> None:
        found = self._lookup.attribute(use.node, use.scope)
        if found.is_certain and found.slots and found.slots <= self._slots:
            self._edit(plan, use.node.attr)
        elif found.slots and not found.slots & self._slots:
            self._keep(plan, use.node.attr, "attribute", OTHER)
        elif found.slots:
            self._keep(plan, use.node.attr, "attribute", f"{UNKNOWN_TYPE}; it may be the renamed symbol")
        else:
            self._keep(plan, use.node.attr, "attribute", UNKNOWN_TYPE)

    def _keyword(self, plan: ModulePlan, use: KeywordUse) -> None:
        values = self._inference.infer(use.callee, use.scope)
        slots = {self._field(value.scope) if isinstance(value, ClassValue) else None for value in values}
        if slots and slots <= self._slots:
            self._edit(plan, use.node)
        else:
            self._keep(plan, use.node, "keyword_argument", "a keyword argument: it names a parameter")

    def _field(self, scope: Scope) -> Slot | None:
        """Return the slot that a constructor argument of this class sets, when its fields make the constructor."""
        line = self._lookup.line(scope)
        if any("__init__" in each.bindings for each in line):
            return None
        makers = {
            tail(deco.decorator)
            for each in line
            if isinstance(each.node, cst.ClassDef)
            for deco in each.node.decorators
        }
        bases = {(each.name or "").rpartition(".")[2] for each in self._lookup.outer_bases(scope)}
        return self._lookup.member(scope, self._old) if makers & _FIELD_MAKERS or bases & _FIELD_BASES else None

    # -- strings

    def _strings(self, plan: ModulePlan) -> None:
        facts = plan.module.facts
        listed: list[tuple[cst.SimpleString, Slot | None]] = [
            (string, self._lookup.module_slot(plan.module.path, self._old))
            for string, text in facts.exports
            if text == self._old
        ]
        listed += [
            (string, self._lookup.member(scope, self._old))
            for string, scope in facts.slots
            if string.raw_value == self._old
        ]
        for string, slot in listed:
            if slot in self._slots:
                offset = plan.module.offset(string) + len(string.prefix + string.quote)
                plan.edits[offset] = (len(self._old.encode()), self._new)
                plan.count += 1
