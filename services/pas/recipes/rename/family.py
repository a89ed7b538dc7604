"""The slots that are renamed together: imports of a symbol, and methods that override one another."""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property

import libcst as cst

from services.pas.recipes.rename.inference import Inference
from services.pas.recipes.rename.modules import Module, Project
from services.pas.recipes.rename.scopes import Binding, Scope
from services.pas.recipes.rename.values import Slot


def home(binding: Binding) -> Slot:
    """Return the slot a binding fills: `global` and walrus targets live in an outer scope."""
    return Slot(binding.scope.resolve(binding.name) or binding.scope, binding.name)


class Families:
    """Slots of one name, linked."""

    def __init__(self, project: Project, inference: Inference, name: str) -> None:
        self._project = project
        self._inference = inference
        self.name = name

    def modules(self) -> list[Module]:
        """Return the parsed modules whose text holds the name."""
        loaded = (self._project.load(path) for path in self._project.containing(self.name))
        return [module for module in loaded if module is not None]

    def closure(self, start: Slot) -> frozenset[Slot]:
        """Return the slots that must change their name together with `start`."""
        found: set[Slot] = set()
        waiting = [start]
        while waiting:
            slot = waiting.pop()
            if slot in found:
                continue
            found.add(slot)
            waiting += self._importers[slot]
            waiting += self._twins[(_stem(slot.scope.path), slot.scope.qualified())]
            if slot.scope.kind == "class":
                waiting += self._relatives[slot]
        return frozenset(found)

    @cached_property
    def _importers(self) -> defaultdict[Slot, list[Slot]]:
        """Origin -> the slots that `from m import name` fills with it under the same name."""
        links: defaultdict[Slot, list[Slot]] = defaultdict(list)
        for module in self.modules():
            for binding in module.facts.imported.get(self.name, ()):
                origin = self._inference.lookup.origin(binding) if binding.name == self.name else None
                if origin is not None:
                    links[origin].append(home(binding))
            if self.name in module.scope.bindings:  # a star import fills the same slot as the module's own binding
                for origin in self._inference.lookup.starred(module, self.name):
                    links[origin].append(Slot(module.scope, self.name))
        return links

    @cached_property
    def _twins(self) -> defaultdict[tuple[str, str], list[Slot]]:
        """The same scope in a module and in its stub file."""
        links: defaultdict[tuple[str, str], list[Slot]] = defaultdict(list)
        stubs = {_stem(path) for path in self._project.python_paths if path.endswith(".pyi")}
        for module in self.modules():
            if _stem(module.path) in stubs:
                for scope in (module.scope, *module.facts.classes):
                    if scope.holds(self.name):
                        links[(_stem(module.path), scope.qualified())].append(Slot(scope, self.name))
        return links

    @cached_property
    def _relatives(self) -> defaultdict[Slot, list[Slot]]:
        """Class slot -> the slots a common class inherits beside it, and those of protocols and what satisfies them."""
        links: defaultdict[Slot, list[Slot]] = defaultdict(list)
        classes = self.classes()
        for scope in classes:
            line = [each for each in self._inference.lookup.line(scope) if each.holds(self.name)]
            for each in line[1:]:
                links[Slot(line[0], self.name)].append(Slot(each, self.name))
                links[Slot(each, self.name)].append(Slot(line[0], self.name))
        for protocol in classes:
            if protocol.holds(self.name) and self._is_protocol(protocol):
                self._link_implementers(protocol, classes, links)
        return links

    def _link_implementers(self, protocol: Scope, classes: list[Scope], links: defaultdict[Slot, list[Slot]]) -> None:
        wanted = {name for each in self._inference.lookup.line(protocol) for name in each.bindings if name[:2] != "__"}
        for scope in classes:
            if scope is protocol or self._is_protocol(scope):
                continue
            line = self._inference.lookup.line(scope)
            held = {name for each in line for name in (*each.bindings, *each.members)}
            slot = self._inference.lookup.member(scope, self.name)
            if slot is not None and wanted <= held:
                links[Slot(protocol, self.name)].append(slot)
                links[slot].append(Slot(protocol, self.name))

    def _is_protocol(self, scope: Scope) -> bool:
        if not isinstance(scope.node, cst.ClassDef):
            return False
        names = {each.name for each in self._inference.lookup.outer_bases(scope) if each.scope is scope}
        return bool(names & {"typing.Protocol", "typing_extensions.Protocol"})

    def classes(self) -> list[Scope]:
        """Return the classes that hold the name or derive, near or far, from one that does."""
        modules = {module.path: module for module in self.modules()}
        names = {scope.name for module in modules.values() for scope in module.facts.classes if scope.holds(self.name)}
        asked: set[str] = set()
        while names - asked:
            name = (names - asked).pop()
            asked.add(name)
            for path in self._project.containing(name):
                module = modules.get(path) or self._project.load(path)
                if module is not None:
                    modules[path] = module
                    names |= {scope.name for scope in module.facts.classes if self._derives(scope)}
        return [scope for module in modules.values() for scope in module.facts.classes]

    def _derives(self, scope: Scope) -> bool:
        return any(each.holds(self.name) for each in self._inference.lookup.line(scope))


def _stem(path: str) -> str:
    return path.removesuffix(".pyi").removesuffix(".py")
