"""Who calls a symbol, with the tier of every call.

Tiers: `exact` by scopes and imports alone; `typed` over the type of the receiver; `unique-name` when the receiver is
unknown and one definition has the name; `ambiguous` when several have it, or when the call reaches a method that this
one overrides.
"""

from dataclasses import dataclass

from services.kernel.errors import InvalidRequestError
from services.vector_ops.answers.meaning import Meaning, find_meaning
from services.vector_ops.answers.places import Lines, make_edge_hit
from services.vector_ops.core.view import EdgeRow, IndexView, SymbolRow
from services.vector_ops.graph.port import GraphStore, Link
from services.vector_ops.languages.world import EdgeKind, Tier
from services.vector_ops.models import Hit

AMBIGUOUS_LIMIT = 20
"""Doubtful calls beyond this many are left out, and the answer says so."""
_CONSTRUCTORS = frozenset({"__init__", "__new__", "constructor"})
_MANY_NAMESAKES = 5
_MAX_EDGES = 5_000


@dataclass(frozen=True, slots=True)
class Calls:
    """Calls by tier, path and line with the reason of each; `is_truncated` when a cap left some out."""

    links: tuple[tuple[Link, str], ...]
    is_truncated: bool


def who_calls(view: IndexView, graph: GraphStore, text: str, limit: int) -> tuple[list[Hit], bool]:
    """Return the calls of what `text` means, most certain first, and whether a cap cut them."""
    meaning = find_meaning(view, text).without_namesakes()
    if not meaning.symbols:
        raise InvalidRequestError(f"{text.strip()} is a module; ask impact_set for its importers")
    calls = find_calls(view, graph, meaning)
    lines = Lines(view)
    hits = [
        make_edge_hit(lines, link.edge, link.symbol, kind="call", reason=reason) for link, reason in calls.links[:limit]
    ]
    return hits, calls.is_truncated or len(calls.links) > limit


def find_calls(view: IndexView, graph: GraphStore, meaning: Meaning) -> Calls:
    """Return the calls of the symbols of a meaning."""
    targets = {one.id: one for one in meaning.symbols}
    built = _find_constructed(view, meaning)
    found = graph.incoming([*targets, *built], [EdgeKind.CALL], _MAX_EDGES)
    namesakes = len(view.find_symbols([meaning.name], AMBIGUOUS_LIMIT + 1))
    meant = built | targets
    reasoned = [(link, _explain(link.edge, meant[link.edge.target_id], namesakes)) for link in found]
    reasoned += _find_overridden_calls(view, graph, targets)
    sure = [one for one in reasoned if one[0].edge.tier != Tier.AMBIGUOUS]
    unsure = [one for one in reasoned if one[0].edge.tier == Tier.AMBIGUOUS]
    ordered = _order(_once(sure)) + _order(_once(unsure))[:AMBIGUOUS_LIMIT]
    is_cut = len(unsure) > AMBIGUOUS_LIMIT or len(found) >= _MAX_EDGES
    is_method = any("." in one.qualname for one in meaning.symbols)
    return Calls(tuple(ordered), is_cut or (is_method and namesakes > _MANY_NAMESAKES))


def _find_constructed(view: IndexView, meaning: Meaning) -> dict[int, SymbolRow]:
    """Return the classes whose construction calls these constructors."""
    owners: dict[int, SymbolRow] = {}
    for one in meaning.symbols:
        if one.name in _CONSTRUCTORS and "." in one.qualname:
            owners |= {owner.id: one for owner in owners_of(view, one)}
    return owners


def owners_of(view: IndexView, one: SymbolRow) -> list[SymbolRow]:
    """Return the class or type that a member belongs to; several when it is declared more than once."""
    owner = one.qualname.rpartition(".")[0]
    rows = view.list_symbols(one.path)
    return [row for row in rows if row.qualname == owner]


def _find_overridden_calls(view: IndexView, graph: GraphStore, targets: dict[int, SymbolRow]) -> list[tuple[Link, str]]:
    """Return the calls of methods of base classes that the targets override: such a call may reach them."""
    overridden: dict[int, SymbolRow] = {}
    for one in targets.values():
        owners = [row.id for row in owners_of(view, one)] if "." in one.qualname else []
        bases = view.read_symbols({edge.target_id for edge in view.edges_from(owners, [EdgeKind.INHERIT])})
        for base in bases.values():
            members = (row for row in view.list_symbols(base.path) if row.qualname == f"{base.qualname}.{one.name}")
            overridden |= {row.id: row for row in members if row.id not in targets}
    links = graph.incoming(list(overridden), [EdgeKind.CALL], _MAX_EDGES) if overridden else []
    return [
        (
            link._replace(edge=link.edge._replace(tier=Tier.AMBIGUOUS)),
            f"calls {overridden[link.edge.target_id].qualname}, which the symbol overrides",
        )
        for link in links
    ]


def _explain(edge: EdgeRow, target: SymbolRow, namesakes: int) -> str:
    if edge.tier == Tier.UNIQUE_NAME:
        return "the type of the receiver is unknown; only one definition fits"
    if edge.tier == Tier.AMBIGUOUS:
        return f"the type of the receiver is unknown; {namesakes} definitions have this name"
    return f"calls {target.qualname} of {target.path}"


def _once(calls: list[tuple[Link, str]]) -> list[tuple[Link, str]]:
    """Return one call a place: the most certain."""
    best: dict[tuple[str, int, int], tuple[Link, str]] = {}
    for call in sorted(calls, key=lambda one: one[0].edge.tier):
        edge = call[0].edge
        best.setdefault((edge.path, edge.line, edge.column), call)
    return list(best.values())


def _order(calls: list[tuple[Link, str]]) -> list[tuple[Link, str]]:
    return sorted(calls, key=lambda one: (one[0].edge.tier, one[0].edge.path, one[0].edge.line, one[0].edge.column))
