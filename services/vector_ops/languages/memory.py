"""A world over facts that are all in memory: for tests, for scoring, and for building an index from nothing."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from services.vector_ops.languages.facts import FILE, FileFacts, Import
from services.vector_ops.languages.language import Language
from services.vector_ops.languages.world import NAMED_CAP, Methods, SymbolAt, choose_methods


@dataclass(slots=True)
class MemoryWorld:
    """The files of one language family; `language_of` says which language a path has."""

    _facts: dict[str, FileFacts] = field(default_factory=dict)
    _units: dict[str, str] = field(default_factory=dict)
    _paths_in: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    _modules: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    _symbols: dict[tuple[str, str], list[SymbolAt]] = field(default_factory=lambda: defaultdict(list))
    _members: dict[tuple[str, str], list[SymbolAt]] = field(default_factory=lambda: defaultdict(list))
    _bindings: dict[tuple[str, str], list[tuple[str, Import]]] = field(default_factory=lambda: defaultdict(list))
    _named: dict[str, list[SymbolAt]] = field(default_factory=lambda: defaultdict(list))
    _tests: set[str] = field(default_factory=set)

    def add(self, path: str, facts: FileFacts, language: Language) -> None:
        """Add one file; to be called in the order of paths."""
        unit = language.unit_of(path, facts)
        self._facts[path] = facts
        self._units[path] = unit
        self._paths_in[unit].append(path)
        if language.is_test(path):
            self._tests.add(path)
        for tail in language.tails_of(path, facts):
            self._modules[tail].append(path)
        for entry in facts.imports:
            if entry.scope == FILE:
                self._bindings[unit, entry.local].append((path, entry))
        for at, symbol in enumerate(facts.symbols):
            self._add_symbol(unit, SymbolAt(path, at, symbol), facts)

    def _add_symbol(self, unit: str, one: SymbolAt, facts: FileFacts) -> None:
        symbol = one.symbol
        self._symbols[unit, symbol.qualname].append(one)
        self._named[symbol.name].append(one)
        parent, _, _name = symbol.qualname.rpartition(".")
        if parent:
            self._members[unit, parent].append(one)
            self._named[f"{parent.rpartition('.')[2]}.{symbol.name}"].append(one)
        elif symbol.owner != FILE:
            self._members[unit, facts.symbols[symbol.owner].qualname].append(one)

    def exists(self, path: str) -> bool:
        return path in self._facts

    def facts(self, path: str) -> FileFacts | None:
        return self._facts.get(path)

    def unit(self, path: str) -> str:
        return self._units.get(path, path)

    def paths_in(self, unit: str) -> tuple[str, ...]:
        return tuple(self._paths_in.get(unit, ()))

    def modules(self, tail: str) -> tuple[str, ...]:
        return tuple(self._modules.get(tail, ()))

    def symbols(self, unit: str, qualname: str) -> tuple[SymbolAt, ...]:
        return tuple(self._symbols.get((unit, qualname), ()))

    def members(self, unit: str, qualname: str) -> tuple[SymbolAt, ...]:
        return tuple(self._members.get((unit, qualname), ()))

    def bindings(self, unit: str, local: str) -> tuple[tuple[str, Import], ...]:
        return tuple(self._bindings.get((unit, local), ()))

    def named(self, name: str) -> tuple[SymbolAt, ...] | None:
        found = self._named.get(name, [])
        return tuple(found) if len(found) <= NAMED_CAP else None

    def methods(self, name: str, owners: frozenset[str], *, with_tests: bool) -> Methods:
        return choose_methods(self.named(name) or (), self._tests, owners, with_tests=with_tests)


def make_world(files: Mapping[str, FileFacts] | Iterable[tuple[str, FileFacts]], language: Language) -> MemoryWorld:
    """Return a world of files of one language."""
    world = MemoryWorld()
    for path, facts in sorted(dict(files).items()):
        world.add(path, facts, language)
    return world
