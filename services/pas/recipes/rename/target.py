"""Finding the definition that a user's words mean."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

import libcst as cst

from services.pas.recipes.models import Candidate, RenameParams, SymbolKind
from services.pas.recipes.rename.family import Families
from services.pas.recipes.rename.inference import Inference
from services.pas.recipes.rename.modules import Module, Project
from services.pas.recipes.rename.scopes import Binding, Origin, Scope
from services.pas.recipes.rename.values import ClassValue, ModuleValue, Slot, Value

_DEFINES = ("function", "class", "variable")
_MAX_LISTED = 20
_MAX_NAMED = 5
_DEFINITION = re.compile(
    r"^[ \t]*(?:async[ \t]+def|def|class)[ \t]+(\w+)|^(\w+)[ \t]*(?::[^=\n]+)?=(?!=)", re.MULTILINE
)


@dataclass(frozen=True)
class Target:
    """The slots to rename, with the definitions they stand for; or why there is none."""

    slots: frozenset[Slot] = frozenset()
    symbols: tuple[Candidate, ...] = ()
    problem: str | None = None
    candidates: tuple[Candidate, ...] = ()


class TargetFinder:
    """Resolves `name`, `package.module.name` and `Class.member`."""

    def __init__(self, project: Project, inference: Inference, families: Families) -> None:
        self._project = project
        self._inference = inference
        self._families = families

    def find(self, params: RenameParams) -> Target:
        """Return the target of a rename, or the problem with its candidates."""
        prefix, _, name = params.old.rpartition(".")
        if not all(part.isidentifier() for part in params.old.split(".")):
            return Target(problem=f"{params.old!r} is not a name, a dotted path or Class.member")
        slots = self.definitions(name)
        chosen = [slot for slot in self._qualified(slots, prefix, name) if self._fits_hints(slot, params)]
        if not chosen:
            return self._missing(params, name, slots)
        groups = self._groups(chosen if prefix else _outermost(chosen))
        if len(groups) > 1:
            return self._ambiguous(params.old, [slot for group in groups for slot in group.heads])
        first, rest = self.describe(groups[0].heads[:1]), self.describe(groups[0].slots)
        return Target(groups[0].slots, tuple(dict.fromkeys((*first, *rest))))

    def definitions(self, name: str) -> list[Slot]:
        """Return the slots of modules and classes that define a name, imports left out."""
        slots: list[Slot] = []
        for path in self._project.containing(name):
            module = self._project.load(path)
            scopes = [module.scope, *module.facts.classes] if module is not None else []
            slots += [Slot(scope, name) for scope in scopes if _defines(scope, name)]
        return slots

    def _qualified(self, slots: list[Slot], prefix: str, name: str) -> list[Slot]:
        if not prefix:
            return slots
        path = f"{prefix}.{name}"
        named = [slot for slot in slots if f".{self.qualified(slot)}".endswith(f".{path}")]
        reached = self._reach(prefix.split("."), name) or self._inherited(prefix, name)
        return list(dict.fromkeys([*named, *reached]))

    def _reach(self, prefix: list[str], name: str) -> list[Slot]:
        """Follow a dotted path as an import would, through re-exports."""
        for count in range(len(prefix), 0, -1):
            place = self._project.find(Origin(0, ".".join(prefix[:count]), None), "")
            values: set[Value] = {ModuleValue(place)} if place is not None else set()
            for part in prefix[count:]:
                slots = [slot for value in values if (slot := self._inference.lookup.slot_on(value, part))]
                values = {value for slot in slots for value in self._inference.slot(slot)}
            found = [slot for value in values if (slot := self._inference.lookup.slot_on(value, name))]
            if found:
                return [self._source(slot) for slot in found]
        return []

    def _inherited(self, prefix: str, name: str) -> list[Slot]:
        """Find `Class.member` where the class inherits the member."""
        outer, _, owner = prefix.rpartition(".")
        classes = self._qualified(self.definitions(owner), outer, owner)
        values = {value for slot in classes for value in self._inference.slot(slot) if isinstance(value, ClassValue)}
        return [slot for value in values if (slot := self._inference.lookup.member(value.scope, name))]

    def _source(self, slot: Slot) -> Slot:
        for _ in range(20):
            bindings = slot.scope.holds(slot.name)
            origin = self._inference.lookup.origin(bindings[0]) if len(bindings) == 1 else None
            if origin is None or origin.name != slot.name:
                return slot
            slot = origin
        return slot

    def _fits_hints(self, slot: Slot, params: RenameParams) -> bool:
        path, hint = slot.scope.path, params.path_hint
        if hint and path != hint.removeprefix("./") and not path.endswith(f"/{hint.removeprefix('./')}"):
            return False
        return params.line_hint is None or any(first <= params.line_hint <= last for first, last in self._lines(slot))

    def _lines(self, slot: Slot) -> list[tuple[int, int]]:
        module = self._module(slot)
        found = []
        for binding in slot.scope.holds(slot.name):
            start = module.offset(binding.node)
            line = module.text.place(start)[0]
            is_block = isinstance(binding.statement, cst.FunctionDef) and slot.scope.kind == "class"
            body = module.spans[binding.statement] if is_block and binding.statement is not None else (start, 0)
            found.append((line, module.text.place(sum(body))[0]))
        return found

    def _groups(self, slots: list[Slot]) -> list[_Group]:
        """Join definitions that are renamed together; one that another's rename includes is not a choice."""
        groups = [_Group([slot], self._families.closure(slot)) for slot in dict.fromkeys(slots)]
        kept: list[_Group] = []
        for group in sorted(groups, key=lambda each: -len(each.slots)):
            if not any(group.slots <= other.slots for other in kept):
                kept.append(group)
        return kept

    def _module(self, slot: Slot) -> Module:
        module = self._project.load(slot.scope.path)
        if module is None:
            raise LookupError(f"{slot.scope.path} holds a definition and must be parsed")
        return module

    def qualified(self, slot: Slot) -> str:
        """Return `package.module.Class.name`."""
        parts = (self._project.dotted(slot.scope.path), slot.scope.qualified(), slot.name)
        return ".".join(part for part in parts if part)

    def candidate(self, slot: Slot) -> Candidate:
        """Return a slot as a user reads it."""
        module = self._module(slot)
        bindings = [each for each in slot.scope.holds(slot.name) if each.kind in _DEFINES] or slot.scope.holds(
            slot.name
        )
        line = min(module.text.place(module.offset(each.node))[0] for each in bindings)
        kind = _kind(bindings, slot.scope)
        return Candidate(qualified_name=self.qualified(slot), path=slot.scope.path, line=line, kind=kind)

    def describe(self, slots: Iterable[Slot]) -> tuple[Candidate, ...]:
        """Return the definitions among slots (imports left out), sorted by place."""
        found = [self.candidate(slot) for slot in slots if _defines(slot.scope, slot.name)]
        return tuple(sorted(found, key=lambda each: (each.path, each.line)))

    def _ambiguous(self, old: str, slots: list[Slot]) -> Target:
        found = self.describe(slots)
        return Target(problem=f"{old!r} is ambiguous, say which: {_listed(found)}", candidates=found[:_MAX_LISTED])

    def _missing(self, params: RenameParams, name: str, slots: list[Slot]) -> Target:
        if slots:
            found = self.describe(slots)
            hinted = " with that path or line" if params.path_hint or params.line_hint else ""
            problem = f"{params.old!r} is not defined{hinted}; did you mean {_listed(found)}?"
            return Target(problem=problem, candidates=found[:_MAX_LISTED])
        broken = [path for path in self._project.containing(name) if path in self._project.broken]
        if broken:
            detail = self._project.broken[broken[0]]
            return Target(problem=f"{params.old!r} is not defined in any file that parses; {broken[0]}: {detail}")
        near = self._near(name)
        hint = f"; did you mean {_listed(near)}?" if near else self._local(name)
        return Target(problem=f"{params.old!r} is not defined in this tree{hint}", candidates=near)

    def _local(self, name: str) -> str:
        for path in self._project.containing(name):
            module = self._project.load(path)
            for binding in module.facts.bound.get(name, ()) if module is not None else ():
                if module is not None and binding.kind not in ("import", "from_import"):
                    return f" as a symbol of a module or class, only as a local name ({module.place(binding.node)})"
        return ""

    def _near(self, name: str) -> tuple[Candidate, ...]:
        known: set[str] = set()
        for path in self._project.python_paths:
            known.update(first or second for first, second in _DEFINITION.findall(self._project.text(path)))
        close = difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.7)
        return tuple(each for word in close for each in self.describe(self.definitions(word))[:3])


def _listed(candidates: tuple[Candidate, ...]) -> str:
    places = [f"{each.qualified_name} ({each.path}:{each.line})" for each in candidates]
    more = f" and {len(places) - _MAX_NAMED} more" if len(places) > _MAX_NAMED else ""
    return ", ".join(places[:_MAX_NAMED]) + more


@dataclass
class _Group:
    heads: list[Slot]
    slots: frozenset[Slot]


def _defines(scope: Scope, name: str) -> bool:
    return any(each.kind in _DEFINES for each in scope.holds(name))


def _outermost(slots: list[Slot]) -> list[Slot]:
    """Keep what a bare name means: a module's own symbol where there is one; members are written `Class.member`."""
    return [slot for slot in slots if slot.scope.kind == "module"] or slots


def _kind(bindings: list[Binding], scope: Scope) -> SymbolKind:
    kinds = {each.kind for each in bindings}
    if "class" in kinds:
        return "class"
    if "function" in kinds:
        return "method" if scope.kind == "class" else "function"
    return "attribute" if scope.kind == "class" else "variable"
