"""The edges of one file."""

from collections.abc import Iterable

from services.vector_ops.languages.facts import FILE, Reference
from services.vector_ops.languages.typescript.evaluating import Evaluator
from services.vector_ops.languages.typescript.globals import METHODS
from services.vector_ops.languages.typescript.shapes import Instance, Module, Shapes, Value
from services.vector_ops.languages.world import Edge, EdgeKind, SourceFile, SymbolAt, Tier, World

_NAMED_CAP = 5
_CALLED = frozenset({"method", "function", "class"})
_UNCALLED = frozenset({"interface", "type", "module"})
_KINDS = {"call": EdgeKind.CALL, "new": EdgeKind.CALL, "inherit": EdgeKind.INHERIT}


def resolve_file(file: SourceFile, world: World) -> list[Edge]:
    """Return the edges of a file, in order of line and column, without repetitions."""
    evaluator = Evaluator(file, world)
    edges: list[Edge] = []
    for at, reference in enumerate(file.facts.references):
        kind = reference.kind
        if kind in {"require", "import"}:
            _add_module(edges, file, evaluator, reference)
            continue
        shapes = evaluator.resolve(at)
        if shapes:
            edges.extend(_list_edges(reference, shapes, evaluator))
        elif kind == "call" and reference.target[-1:] == ".":
            edges.extend(_guess(file, world, reference))
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


def _guess(file: SourceFile, world: World, reference: Reference) -> Iterable[Edge]:
    """Return edges to what has the called name, when nothing is known of the receiver."""
    named = world.named(reference.name)
    callable_ = [one for one in named or () if _is_called(one)]
    if not callable_:
        return []
    is_unique = len(callable_) == 1 and reference.name not in METHODS
    tier = Tier.UNIQUE_NAME if is_unique else Tier.AMBIGUOUS
    nearest = sorted(callable_, key=lambda one: _distance(file.path, one.path))[:_NAMED_CAP]
    return [
        Edge(reference.scope, one.path, one.at, EdgeKind.CALL, tier, reference.line, reference.column)
        for one in nearest
    ]


def _is_called(one: SymbolAt) -> bool:
    symbol = one.symbol
    is_member = "." in symbol.qualname
    return is_member and (symbol.kind == "method" or (symbol.kind == "attribute" and symbol.type[:1] in "(<"))


def _distance(path: str, other: str) -> int:
    if path == other:
        return -1000
    ours, theirs = path.split("/"), other.split("/")
    shared = 0
    for one, two in zip(ours, theirs, strict=False):
        if one != two:
            break
        shared += 1
    return len(ours) + len(theirs) - 2 * shared


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
