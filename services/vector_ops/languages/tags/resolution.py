"""From references to edges, with an honest tier for each."""

from services.vector_ops.languages.facts import FILE, Import, Reference
from services.vector_ops.languages.tags.candidates import (
    MAX_AMBIGUOUS,
    Targets,
    choose_callables,
    is_linked,
    prefer_near,
    rank,
)
from services.vector_ops.languages.tags.dialect import Dialect
from services.vector_ops.languages.tags.draft import CLASSLIKE, PACKAGE
from services.vector_ops.languages.tags.guessing import guess_target, read_hint
from services.vector_ops.languages.tags.includes import find_included, list_closure
from services.vector_ops.languages.tags.lookup import EXTERNAL, Evaluator, Lookup, Place
from services.vector_ops.languages.tags.notation import split_target
from services.vector_ops.languages.world import Edge, EdgeKind, SourceFile, SymbolAt, Tier, World

_FREE = frozenset({"function", "declaration", "macro"})


def resolve_file(file: SourceFile, world: World, dialect: Dialect) -> list[Edge]:
    """Return the edges of one file, in order of line and column, without repetitions."""
    resolver = _Resolver(file, world, dialect)
    edges: dict[tuple[int, str, int, EdgeKind, int, int], Edge] = {}
    for one in resolver.list_edges():
        key = (one.source, one.target_path, one.target_at, one.kind, one.line, one.column)
        if key not in edges or one.tier < edges[key].tier:
            edges[key] = one
    return sorted(edges.values(), key=lambda one: (one.line, one.column, one.kind, one.target_path, one.target_at))


class _Resolver:
    def __init__(self, file: SourceFile, world: World, dialect: Dialect) -> None:
        self._file = file
        self._world = world
        self._dialect = dialect
        self._lookup = Lookup(file, world, dialect)
        self._evaluator = Evaluator(self._lookup)
        self._closure: frozenset[str] | None = None
        self._answers: dict[tuple[str, str, int, str], Targets] = {}

    def list_edges(self) -> list[Edge]:
        edges: list[Edge] = []
        for entry in self._file.facts.imports:
            edges += self._resolve_import(entry)
        for reference in self._file.facts.references:
            kind = _KINDS.get(reference.kind, EdgeKind.USE)
            key = (reference.name, reference.target, reference.scope, reference.kind)
            targets = self._answers.get(key)
            if targets is None:
                targets = self._answers[key] = self._find(reference)
            for one, tier in targets:
                edges.append(Edge(reference.scope, one.path, one.at, kind, tier, reference.line, reference.column))
        return edges

    def _find(self, reference: Reference) -> Targets:
        receiver, count = split_target(reference.target)
        if reference.kind in ("inherit", "annotate", "new"):
            return self._find_type(reference, receiver)
        if reference.kind in ("bare", "use"):
            return self._find_bare(reference, count, is_guessed=False)
        if not receiver:
            return self._find_bare(reference, count, is_guessed=bool(self._dialect.bare_kinds))
        return self._find_method(reference, receiver, count)

    def _resolve_import(self, entry: Import) -> list[Edge]:
        if entry.local == PACKAGE:
            return []
        path = find_included(entry, self._file.path, self._world, self._dialect)
        if path:
            return [Edge(FILE, path, FILE, EdgeKind.IMPORT, Tier.EXACT, entry.line, entry.column)]
        full = ".".join(part for part in (entry.module, entry.name) if part)
        if entry.local == "*" or not self._lookup.has_type(full):
            return []
        targets = prefer_near(self._lookup.symbols_of(full), self._file.path)[:1]
        return [Edge(FILE, t.path, t.at, EdgeKind.IMPORT, Tier.EXACT, entry.line, entry.column) for t in targets]

    def _find_type(self, reference: Reference, receiver: str) -> Targets:
        """Return the class that is mentioned, inherited or constructed."""
        at = reference.scope
        if reference.kind == "inherit" and at >= 0:
            at = self._file.facts.symbols[at].owner
        if receiver.startswith("^"):
            scope = self._file.facts.symbols[at].qualname if at >= 0 else ""
            full = self._lookup.find_type(receiver[1:], Place(self._file.path, scope))
        else:
            full = self._evaluator.evaluate(receiver, at).full
        if full:
            symbols = [one for one in self._lookup.symbols_of(full) if one.symbol.kind != "namespace"]
            return rank(prefer_near(symbols, self._file.path)[:1], Tier.EXACT)
        if full is None and reference.kind != "annotate" and "." not in receiver:
            return guess_target(self._lookup, reference.name, -1, CLASSLIKE)
        return []

    def _find_bare(self, reference: Reference, count: int, *, is_guessed: bool) -> Targets:
        name = reference.name
        around = self._lookup.classes_around(self._file.facts, reference.scope)
        is_closed = True
        for full in around:
            found = self._lookup.find_member(full, name)
            if chosen := choose_callables(found.symbols, count):
                return self._settle(chosen, Tier.EXACT if found.hops == 0 else Tier.TYPED)
            is_closed = is_closed and self._lookup.is_closed(full)
        free = self._find_free(reference, count)
        if free:
            return free
        if not is_guessed or (around and not is_closed and not self._dialect.has_free):
            return []
        return guess_target(self._lookup, reference.name, count, self._dialect.bare_kinds)

    def _find_free(self, reference: Reference, count: int) -> Targets:
        """Return the functions outside classes that a bare call reaches: of the file, imported, or included."""
        name, scope = reference.name, reference.scope
        prefix = around = self._file.facts.symbols[scope].qualname if scope >= 0 else ""
        while True:
            qualname = f"{prefix}.{name}" if prefix else name
            own = self._world.symbols(self._file.path, qualname)
            if chosen := choose_callables(own, count):
                return self._settle(chosen, Tier.EXACT)
            if not prefix:
                break
            prefix = prefix.rpartition(".")[0]
        return self._find_imported(name, count) or self._find_in_includes(name, count, around)

    def _find_imported(self, name: str, count: int) -> Targets:
        for local in (name, "*"):
            for _, entry in self._world.bindings(self._file.path, local):
                owner, member = (entry.module, entry.name or name) if local == name else (entry.module, name)
                if local == "*" and entry.name != "*":
                    continue
                if chosen := choose_callables(self._lookup.find_member(owner, member).symbols, count):
                    return self._settle(chosen, Tier.EXACT)
                found = self._world.named(member) or ()
                full = f"{owner}.{member}"
                functions = tuple(one for one in found if one.symbol.qualname == full)
                if chosen := choose_callables(functions, count):
                    return self._settle(chosen, Tier.EXACT)
        return []

    def _find_in_includes(self, name: str, count: int, scope: str) -> Targets:
        """Return the definition of a function that an included header declares or holds."""
        if not self._dialect.has_includes:
            return []
        named = self._world.named(name) or ()
        candidates = [one for one in named if one.symbol.kind in _FREE]
        if not candidates:
            return []
        if self._closure is None:
            self._closure = list_closure(self._file.path, self._world, self._dialect)
        seen = [one for one in candidates if one.path in self._closure and self._is_visible(one, scope)]
        if not seen:
            return []
        qualnames = {one.symbol.qualname for one in seen}
        linked = [one for one in candidates if one.symbol.qualname in qualnames and is_linked(one, self._file.path)]
        chosen = choose_callables(dict.fromkeys(seen + linked), count)
        return self._settle(chosen, Tier.EXACT)

    def _is_visible(self, one: SymbolAt, scope: str) -> bool:
        """Say whether a bare call inside `scope` may name a function: its namespace is around, or is used."""
        namespace = one.symbol.qualname.rpartition(".")[0]
        if not namespace or f"{scope}.".startswith(f"{namespace}."):
            return True
        used = self._world.bindings(self._file.path, "*")
        return any(entry.module == namespace or namespace.endswith(f".{entry.module}") for _, entry in used)

    def _find_method(self, reference: Reference, receiver: str, count: int) -> Targets:
        value = self._evaluator.evaluate(receiver, reference.scope)
        if value.full:
            found = self._lookup.find_member(value.full, reference.name, is_above=value.is_above)
            if chosen := choose_callables(found.symbols, count):
                is_sure = value.is_static or receiver == "this"
                return self._settle(chosen, Tier.EXACT if is_sure and found.hops == 0 else Tier.TYPED)
            if self._lookup.is_closed(value.full):
                return self._find_extension(reference)
        if receiver.startswith("^"):
            return self._find_qualified(reference, receiver[1:], count)
        if value.full == EXTERNAL:
            return self._find_extension(reference)
        return guess_target(self._lookup, reference.name, count, frozenset({"method"}), read_hint(receiver))

    def _find_extension(self, reference: Reference) -> Targets:
        """Return the function that extends other types (C#); a type from outside has no other in the repository."""
        mark = self._dialect.extension_mark
        named = (self._world.named(reference.name) or ()) if mark else ()
        found = [one for one in named if mark in one.symbol.signature]
        if not found:
            return []
        return rank(prefer_near(found, self._file.path)[:MAX_AMBIGUOUS], _tier_of(found))

    def _find_qualified(self, reference: Reference, path: str, count: int) -> Targets:
        """Return the function of a namespace: `ns::f()`."""
        if not self._dialect.has_free:
            return []
        named = self._world.named(f"{path.rpartition('.')[2]}.{reference.name}") or ()
        tail = f"{path}.{reference.name}"
        found = tuple(one for one in named if f".{one.symbol.qualname}".endswith(f".{tail}"))
        chosen = choose_callables(found, count)
        return self._settle(chosen, Tier.EXACT)

    def _settle(self, chosen: list[SymbolAt], tier: Tier) -> Targets:
        if len(chosen) == 1:
            return [(chosen[0], tier)]
        return rank(prefer_near(chosen, self._file.path)[:MAX_AMBIGUOUS], Tier.AMBIGUOUS)


def _tier_of(found: list[SymbolAt]) -> Tier:
    return Tier.UNIQUE_NAME if len(found) == 1 else Tier.AMBIGUOUS


_KINDS = {"call": EdgeKind.CALL, "new": EdgeKind.CALL, "bare": EdgeKind.CALL, "inherit": EdgeKind.INHERIT}
