"""The edges of one file."""

from collections.abc import Iterable

from services.vector_ops.languages.facts import FILE, Reference
from services.vector_ops.languages.typescript.evaluating import Evaluator
from services.vector_ops.languages.typescript.guessing import Guesser
from services.vector_ops.languages.typescript.shapes import LACKING, Instance, Module, Shapes, Value
from services.vector_ops.languages.world import Edge, EdgeKind, SourceFile, Tier, World

_UNCALLED = frozenset({"interface", "type", "module"})
_KINDS = {"call": EdgeKind.CALL, "new": EdgeKind.CALL, "inherit": EdgeKind.INHERIT}


def resolve_file(file: SourceFile, world: World) -> list[Edge]:
    """Return the edges of a file, in order of line and column, without repetitions."""
    evaluator = Evaluator(file, world)
    guesser = Guesser(file, world)
    edges: list[Edge] = []
    for at, reference in enumerate(file.facts.references):
        kind = reference.kind
        if kind in {"require", "import"}:
            _add_module(edges, file, evaluator, reference)
            continue
        shapes = evaluator.resolve(at)
        if shapes and shapes[0] != LACKING[0]:
            edges.extend(_list_edges(reference, shapes, evaluator))
        elif kind == "call" and reference.target[-1:] == ".":
            edges.extend(_guess(guesser, reference, is_lacking=bool(shapes)))
    _add_imports(edges, file, evaluator)
    found = dict.fromkeys(edges)
    return sorted(
        found, key=lambda edge: (edge.line, edge.column, edge.kind, edge.tier, edge.target_path, edge.target_at)
    )


def _list_edges(reference: Reference, shapes: Shapes, evaluator: Evaluator) -> Iterable[Edge]:
    kind = _KINDS.get(reference.kind, EdgeKind.USE)
    if kind == EdgeKind.CALL and len(shapes) > 1:
        shapes = _leave_types(shapes)
    tier = Tier.TYPED if "." in reference.target or reference.target[:1] in "$@*&" else Tier.EXACT
    for held in shapes:
        shape = evaluator.follow_alias(held) if kind == EdgeKind.CALL and isinstance(held, Value) else held
        if isinstance(shape, Value) or (isinstance(shape, Instance) and reference.target[-1:] == "^"):
            one = shape.one
            yield Edge(reference.scope, one.path, one.at, kind, tier, reference.line, reference.column)
        if kind != EdgeKind.CALL:
            return


def _leave_types(shapes: Shapes) -> Shapes:
    """Return what can be called: not the types and namespaces that share a name with a value."""
    values = tuple([one for one in shapes if not (isinstance(one, Value) and one.one.symbol.kind in _UNCALLED)])
    return values or shapes


def _guess(guesser: Guesser, reference: Reference, *, is_lacking: bool) -> Iterable[Edge]:
    """Return edges to what has the called name, when nothing certain is known of the receiver."""
    tier, found = guesser.guess(reference, is_lacking=is_lacking)
    for one in found:
        yield Edge(reference.scope, one.path, one.at, EdgeKind.CALL, tier, reference.line, reference.column)


def _add_module(edges: list[Edge], file: SourceFile, evaluator: Evaluator, reference: Reference) -> None:
    target = evaluator.names.modules.locate(file.path, reference.name)
    if target and target != file.path:
        edges.append(Edge(reference.scope, target, FILE, EdgeKind.IMPORT, Tier.EXACT, reference.line, reference.column))


def _add_imports(edges: list[Edge], file: SourceFile, evaluator: Evaluator) -> None:
    """Add an edge for every import: to the symbol, or to the file when all of it is imported."""
    for entry in file.facts.imports:
        target = evaluator.names.modules.locate(file.path, entry.module) if entry.module else ""
        if not target or target == file.path:
            continue
        place = (EdgeKind.IMPORT, Tier.EXACT, entry.line, entry.column)
        shapes = evaluator.names.find_export(target, entry.name) if entry.name not in {"", "*"} else ()
        symbols = [shape.one for shape in shapes if isinstance(shape, Value)]
        files = [shape.path for shape in shapes if isinstance(shape, Module)] or ([] if symbols else [target])
        edges.extend(Edge(entry.scope, one.path, one.at, *place) for one in symbols[:2])
        edges.extend(Edge(entry.scope, path, FILE, *place) for path in files)
