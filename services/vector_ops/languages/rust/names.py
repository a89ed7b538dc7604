"""What a name or a path means at a place: scopes, imports, re-exports, globs, crates."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

from services.vector_ops.languages.facts import Import
from services.vector_ops.languages.rust import standard
from services.vector_ops.languages.rust.modules import (
    MAX_HOPS,
    find_child,
    find_crate_root,
    find_library,
    find_parent,
)
from services.vector_ops.languages.rust.notation import is_off
from services.vector_ops.languages.world import SourceFile, SymbolAt, World

_KINDS = {
    "type": frozenset({"struct", "enum", "trait", "type", "module", "variant"}),
    "value": frozenset({"function", "constant", "variable", "struct", "variant", "method"}),
    "macro": frozenset({"macro"}),
}


_FUNCTIONS = frozenset({"function", "method"})


class Place(NamedTuple):
    """A spot where names are looked up: a file, and the qualified name of what encloses it there, or nothing."""

    path: str
    inside: str = ""


class Entity(NamedTuple):
    """What a path means: a module (`place`), a symbol (`at`), or something foreign (neither; `name`)."""

    place: Place | None = None
    at: SymbolAt | None = None
    name: str = ""


FOREIGN_ENTITY = Entity()
_UNASKED = Entity(name="unasked")


@dataclass(slots=True)
class Names:
    """Lookups for one file that is being resolved; answers are remembered as long as that."""

    file: SourceFile
    world: World
    _symbols: dict[str, list[SymbolAt]] = field(default_factory=lambda: defaultdict(list))
    _imports: dict[str, list[Import]] = field(default_factory=lambda: defaultdict(list))
    _known: dict[tuple[Place, str, str], Entity | None] = field(default_factory=dict)
    _roots: dict[str, str] = field(default_factory=dict)
    _libraries: dict[str, str] = field(default_factory=dict)
    _globs: dict[Place, list[Entity]] = field(default_factory=dict)
    _contexts: dict[Place, list[Place]] = field(default_factory=dict)
    _functions: set[str] = field(default_factory=set)
    """Qualified names in this file that something is declared in."""
    _depth: int = 0

    def __post_init__(self) -> None:
        for at, symbol in enumerate(self.file.facts.symbols):
            self._symbols[symbol.qualname].append(SymbolAt(self.file.path, at, symbol))
        for one in self.file.facts.imports:
            self._imports[one.local].append(one)
        self._functions = {one.rpartition(".")[0] for one in (*self._symbols, *self._imports)}

    def symbols(self, path: str, qualname: str) -> tuple[SymbolAt, ...] | list[SymbolAt]:
        """Return the symbols of a file with this qualified name."""
        if path == self.file.path:
            return self._symbols.get(qualname, ())
        return self.world.symbols(path, qualname)

    def imports(self, path: str, local: str) -> list[Import]:
        """Return the imports of a file that bind `local` (with the prefix of where they stand)."""
        if path == self.file.path:
            return self._imports.get(local, [])
        return [one for _path, one in self.world.bindings(path, local)]

    def find(self, name: str, space: str, place: Place) -> Entity | None:
        """Return what a bare name means at a place, looking outwards; None when nothing here says so."""
        if name in standard.PRELUDE:
            written = name in self._symbols or name in self._imports
            return self.find_in(name, space, Place(place.path)) if written else FOREIGN_ENTITY
        for context in self._contexts.get(place) or self._list_contexts(place):
            found = self.find_in(name, space, context)
            if found is not None:
                return found
        return self.find_in(name, space, Place(place.path)) if space == "macro" and place.inside else None

    def _list_contexts(self, place: Place) -> list[Place]:
        """Return where bare names are looked up: the functions around a place (in this file), then its module.

        Members of types are no bare names, and what is around an inline module is not seen in it.
        """
        found, inside = [], place.inside
        while inside:
            kinds = {one.symbol.kind for one in self.symbols(place.path, inside)}
            if "module" in kinds:
                break
            if inside in self._functions and not kinds.isdisjoint(_FUNCTIONS) and place.path == self.file.path:
                found.append(Place(place.path, inside))
            inside = inside.rpartition(".")[0]
        self._contexts[place] = [*found, Place(place.path, inside)]
        return self._contexts[place]

    def find_in(self, name: str, space: str, place: Place) -> Entity | None:
        """Return what a name means right in a module: its items, its imports, its globs."""
        key = (place, name, space)
        known = self._known.get(key, _UNASKED)
        if known is not _UNASKED:
            return known
        if self._depth >= MAX_HOPS:
            return None
        self._known[key] = None
        self._depth += 1
        found = self._search(name, space, place)
        self._depth -= 1
        self._known[key] = found
        return found

    def _search(self, name: str, space: str, place: Place) -> Entity | None:
        prefix = f"{place.inside}." if place.inside else ""
        fitting = [one for one in self.symbols(place.path, prefix + name) if one.symbol.kind in _KINDS[space]]
        if fitting:
            return self.enter(next((one for one in fitting if not is_off(one.symbol)), fitting[0]))
        foreign = None
        for entry in self.imports(place.path, prefix + name):
            found = self._follow(entry.module, entry.name, space, place)
            if found is not None and found != FOREIGN_ENTITY:
                return found
            foreign = found or foreign
        if foreign is not None:
            return foreign
        for target in self._list_globs(place):
            found = self._step(target, name, space)
            if found is not None:
                return found
        return None

    def _list_globs(self, place: Place) -> list[Entity]:
        """Return what is imported whole into a module; nothing while that is being found out."""
        known = self._globs.get(place)
        if known is not None:
            return known
        self._globs[place] = []
        prefix = f"{place.inside}." if place.inside else ""
        found: list[Entity] = []
        for entry in self.imports(place.path, f"{prefix}*"):
            module, _, last = entry.module.rpartition("::")
            target = self._follow(module, last, "type", place)
            if target is not None and target != FOREIGN_ENTITY:
                found.append(target)
        self._globs[place] = found
        return found

    def _find_member(self, owner: SymbolAt, name: str, space: str) -> Entity | None:
        for one in self.symbols(owner.path, f"{owner.symbol.qualname}.{name}"):
            if one.symbol.kind in _KINDS[space]:
                return Entity(at=one)
        return None

    def enter(self, one: SymbolAt) -> Entity | None:
        """Return the entity of a symbol; a module without a body is the file that it lies in."""
        symbol = one.symbol
        if symbol.kind != "module":
            return Entity(at=one)
        if not symbol.type:
            return Entity(place=Place(one.path, symbol.qualname))
        child = find_child(self.world, one.path, symbol.qualname, symbol.type)
        return Entity(place=Place(child)) if child else None

    def _follow(self, module: str, name: str, space: str, place: Place) -> Entity | None:
        """Return what the path of a `use` means; foreign crates are foreign."""
        segments = [one for one in module.split("::") if one]
        if not segments:
            return self.find_first(name, space, place)
        return self.find_path([*segments, name], space, place)

    def find_path(self, segments: list[str], space: str, place: Place) -> Entity | None:
        """Return what a path means at a place; the last segment is looked up in `space`.

        A type ends the walk when a segment is no part of it that is written down: then None.
        """
        if len(segments) == 1:
            return self.find_first(segments[0], space, place)
        entity = self.find_first(segments[0], "type", place)
        for at, segment in enumerate(segments[1:MAX_HOPS], start=1):
            if entity is None or entity == FOREIGN_ENTITY:
                return entity
            last = at == len(segments) - 1
            entity = self._step(entity, segment, space if last else "type")
        return entity

    def _step(self, entity: Entity, segment: str, space: str) -> Entity | None:
        """Return what a name means in a module or in a type."""
        if entity.place is not None:
            if segment == "self":
                return entity
            if segment == "super":
                return self.find_super(entity.place)
            return self.find_in(segment, space, entity.place)
        return self._find_member(entity.at, segment, space) if entity.at is not None else None

    def find_first(self, name: str, space: str, place: Place) -> Entity | None:
        """Return what the first segment of a path means."""
        if name in {"crate", "$crate"}:
            return Entity(place=Place(self._root(place.path)))
        if name == "self":
            return Entity(place=self.module_of(place))
        if name == "super":
            return self.find_super(self.module_of(place))
        found = self.find(name, space, place)
        if found is not None:
            return found
        library = self._library(name)
        if library:
            return Entity(place=Place(library))
        return FOREIGN_ENTITY if space != "macro" else None

    def _root(self, path: str) -> str:
        if path not in self._roots:
            self._roots[path] = find_crate_root(self.world, path)
        return self._roots[path]

    def _library(self, name: str) -> str:
        if name not in self._libraries:
            self._libraries[name] = find_library(self.world, name) if name[:1].islower() else ""
        return self._libraries[name]

    def module_of(self, place: Place) -> Place:
        """Return the module that a place lies in."""
        return (self._contexts.get(place) or self._list_contexts(place))[-1]

    def find_super(self, module: Place) -> Entity | None:
        """Return the module around a module."""
        if module.inside:
            return Entity(place=self.module_of(Place(module.path, module.inside.rpartition(".")[0])))
        parent = find_parent(self.world, module.path)
        return Entity(place=Place(parent)) if parent else None
