"""Refusing a rename that would collide with, capture or hide another name."""

from __future__ import annotations

import builtins
import importlib
import sys

from services.pas.recipes.rename.family import Families
from services.pas.recipes.rename.inference import Inference
from services.pas.recipes.rename.lookup import OuterBase
from services.pas.recipes.rename.modules import Module, Project
from services.pas.recipes.rename.plan import ModulePlan
from services.pas.recipes.rename.scopes import Scope, Use
from services.pas.recipes.rename.values import Slot

# Importing these has effects; no class of theirs is worth deriving from.
_NEVER_IMPORTED = frozenset({"antigravity", "this", "idlelib", "turtle", "__main__"})


class Guard:
    """Checks a planned rename against everything the new name already means."""

    def __init__(self, project: Project, inference: Inference, slots: frozenset[Slot], old: str, new: str) -> None:
        self._project = project
        self._inference = inference
        self._lookup = inference.lookup
        self._slots = slots
        self._old = old
        self._new = new

    def problem(self, plans: list[ModulePlan], families: Families) -> str | None:
        """Return the first reason not to rename, or None."""
        for plan in plans:
            if plan.problems:
                return plan.problems[0]
        return self._members(families) or self._slot_problem() or self._use_problem(plans) or self._new_name_problem()

    def _slot_problem(self) -> str | None:
        for slot in sorted(self._slots, key=lambda each: (each.scope.path, each.scope.qualified())):
            taken = self._taken(slot.scope)
            if taken is not None:
                return taken
            if slot.scope.kind == "module":
                problem = self._module_problem(slot)
                if problem is not None:
                    return problem
        return None

    def _taken(self, scope: Scope) -> str | None:
        for binding in scope.holds(self._new):
            module = self._project.load(scope.path)
            if module is not None:
                return f"{self._new!r} is already bound at {module.place(binding.node)}"
        return None

    def _module_problem(self, slot: Slot) -> str | None:
        if hasattr(builtins, self._new):
            return f"{self._new!r} is a builtin: a symbol of that name in {slot.scope.path} would hide it"
        child = self._project.child(slot.scope.path, self._new)
        if child is not None:
            return f"{self._new!r} is already a submodule: {child}"
        module = self._project.load(slot.scope.path)
        rest = set(self._lookup.starred(module, self._old)) - self._slots if module is not None else set()
        if rest:
            other = next(iter(rest)).scope.path
            where = f"{slot.scope.path} by a star import of {other}"
            return f"{self._old!r} also comes into {where}: the two cannot be told apart"
        provided = self._lookup.module_slot(slot.scope.path, self._new)
        if provided is not None:
            return f"{self._new!r} already comes into {slot.scope.path} by a star import of {provided.scope.path}"
        return None

    # -- members of classes

    def _members(self, families: Families) -> str | None:
        owners = {slot.scope for slot in self._slots if slot.scope.kind == "class"}
        if not owners:
            return None
        if self._old.startswith("__") and self._old.endswith("__"):
            return f"{self._old!r} is a special method: Python itself calls it by that name"
        for scope in families.classes():
            line = self._lookup.line(scope)
            if owners & set(line):
                problem = next((taken for each in line if (taken := self._taken(each))), None)
                problem = problem or self._outer(scope, owners)
                if problem is not None:
                    return problem
        return None

    def _outer(self, scope: Scope, owners: set[Scope]) -> str | None:
        for base in self._lookup.outer_bases(scope):
            known = _standard_class(base)
            if scope in owners and known is not None and hasattr(known, self._old):
                return f"{scope.name}.{self._old} overrides {base.name}.{self._old}, which is not part of this tree"
            if known is not None and hasattr(known, self._new):
                return f"{self._new!r} is already a member of {base.name}, a base class of {scope.name}"
        return None

    # -- capture

    def _use_problem(self, plans: list[ModulePlan]) -> str | None:
        for plan in plans:
            for use, slot in plan.uses:
                captor = self._captor(use, slot)
                if captor is not None:
                    return self._captured(plan.module, use, captor)
        return None

    def _captor(self, use: Use, slot: Slot) -> Scope | None:
        """Return the scope that would catch the renamed use before it reaches its slot."""
        for scope in use.scope.visible():
            if scope is slot.scope or self._old in scope.global_names:
                return None
            if use.sees(scope, self._new) or (self._new in scope.global_names and slot.scope.kind != "module"):
                return scope
        return None

    def _captured(self, module: Module, use: Use, captor: Scope) -> str:
        bindings = captor.bindings.get(self._new)
        where = module.place(bindings[0].node) if bindings else module.path
        return f"{self._new!r} is already bound at {where} and would capture the use at {module.place(use.node)}"

    def _new_name_problem(self) -> str | None:
        """Refuse when something that reads the new name today would read the renamed symbol afterwards."""
        for path in self._project.containing(self._new):
            module = self._project.load(path)
            for use in module.facts.uses.get(self._new, ()) if module is not None else ():
                if module is not None and self._would_catch(use, module):
                    return f"{self._new!r} already means something else at {module.place(use.node)}"
        return self._star_problem()

    def _would_catch(self, use: Use, module: Module) -> bool:
        for scope in use.scope.visible():
            if use.sees(scope, self._new) or self._new in scope.global_names:
                return False
            if Slot(scope, self._old) in self._slots and use.sees(scope, self._old):
                return True
        starred = self._lookup.module_slot(module.path, self._old) if module.facts.stars else None
        return starred in self._slots

    def _star_problem(self) -> str | None:
        """Refuse when star imports would stop copying the name, or would overwrite another one."""
        for path in self._project.containing("import *"):
            module = self._project.load(path)
            for star in module.facts.stars if module is not None else ():
                source = self._project.find(star, path)
                slot = self._lookup.module_slot(source, self._old) if source is not None else None
                if source is None or slot not in self._slots or not self._lookup.exports(source, self._old):
                    continue
                source_module = self._project.load(source)
                lists = source_module is not None and source_module.facts.has_exports
                if self._new.startswith("_") and not lists:
                    return f"{path} imports the symbol with a star, which does not copy names that begin with '_'"
                if module is not None and self._new in module.scope.bindings:
                    where = module.place(module.scope.bindings[self._new][0].node)
                    return f"{self._new!r} is already bound at {where}, where a star import would bring it in too"
        return None


def _standard_class(base: OuterBase) -> object | None:
    """Return a base class of the standard library; None for anything else, which is never imported."""
    module, _, name = (base.name or "").rpartition(".")
    top = module.partition(".")[0]
    if top not in sys.stdlib_module_names | {"builtins"} or top in _NEVER_IMPORTED:
        return None
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError:
        return None
    return found if isinstance(found, type) else None
