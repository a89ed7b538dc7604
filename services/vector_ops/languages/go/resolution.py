"""The edges of one file.

A call is an edge to the definition that the build of the file takes; what other builds define in its place gets a
use, so that a change there shows who depends on it.
"""

from services.vector_ops.languages.facts import FILE, Reference
from services.vector_ops.languages.go.evaluation import Evaluation
from services.vector_ops.languages.go.implementations import find_implemented
from services.vector_ops.languages.world import Edge, EdgeKind, SourceFile, SymbolAt, Tier, World

_GUESSES = 5
_IMPORTED = 8
_CALLABLE = frozenset({"function", "method"})
_KINDS = {"inherit": EdgeKind.INHERIT, "call": EdgeKind.CALL, "new": EdgeKind.CALL}


def resolve_file(file: SourceFile, world: World) -> list[Edge]:
    """Return the edges of one file, in order of line and column, without repetitions."""
    if file.path.endswith(".mod"):
        return []
    evaluation = Evaluation(file, world)
    edges: set[Edge] = set()
    for reference in file.facts.references:
        found, tier = _find_targets(reference, file, evaluation, world)
        for one in found:
            edges.add(_make_edge(reference, one, tier))
            others = evaluation.variants.others.get((one.path, one.at), ())
            edges.update(_make_edge(reference, other, tier)._replace(kind=EdgeKind.USE) for other in others)
    edges.update(find_implemented(file, evaluation, world))
    edges.update(_import_packages(file, evaluation, world, edges))
    return sorted(edges, key=lambda one: (one.line, one.column, one.target_path, one.target_at, one.kind, one.source))


def _find_targets(
    reference: Reference, file: SourceFile, evaluation: Evaluation, world: World
) -> tuple[tuple[SymbolAt, ...], Tier]:
    if not reference.target:
        return evaluation.find_name(reference.name, file.path), Tier.EXACT
    meaning = evaluation.value(reference.target, file.path)
    if meaning is None or (meaning.form == "bare" and meaning.name == "i"):
        return _guess(reference, file, world, is_typed=meaning is not None)
    found = evaluation.select(meaning, reference.name)
    return found.symbols, Tier.EXACT if meaning.form == "package" else Tier.TYPED


def _guess(
    reference: Reference, file: SourceFile, world: World, *, is_typed: bool
) -> tuple[tuple[SymbolAt, ...], Tier]:
    """Return the methods that have the name of a call, nearest first.

    They are for a receiver of which nothing is known, or (`is_typed`) for one of an anonymous interface: what is called
    there is some method that has the name, and even the only one is not certain to be meant.
    """
    if reference.kind != "call":
        return (), Tier.AMBIGUOUS
    named = world.named(reference.name) or ()
    methods = [one for one in named if one.symbol.kind == "method"]
    if len(methods) == 1 and not is_typed:
        return tuple(methods), Tier.UNIQUE_NAME
    folder = file.path.rpartition("/")[0]
    methods.sort(key=lambda one: (one.path != file.path, one.path.rpartition("/")[0] != folder))
    return tuple(methods[:_GUESSES]), Tier.AMBIGUOUS


def _make_edge(reference: Reference, target: SymbolAt, tier: Tier) -> Edge:
    kind = _KINDS.get(reference.kind, EdgeKind.USE)
    if reference.kind == "call" and target.symbol.kind not in _CALLABLE:
        kind = EdgeKind.USE
    return Edge(reference.scope, target.path, target.at, kind, tier, reference.line, reference.column)


def _import_packages(file: SourceFile, evaluation: Evaluation, world: World, edges: set[Edge]) -> list[Edge]:
    """Return edges from the file to the files of each package that it imports and uses; to one file if it uses none."""
    used: dict[str, set[str]] = {}
    for path in {one.target_path for one in edges}:
        used.setdefault(evaluation.unit(path), set()).add(path)
    found = []
    for entry in file.facts.imports:
        unit = evaluation.find_unit(entry.module)
        if unit and unit != file.unit:
            paths = sorted(used.get(unit, ()))[:_IMPORTED] or world.paths_in(unit)[:1]
            found += [Edge(FILE, one, FILE, EdgeKind.IMPORT, Tier.EXACT, entry.line, entry.column) for one in paths]
    return found
