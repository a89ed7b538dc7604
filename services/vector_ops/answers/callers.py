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
from services.vector_ops.languages.world import EdgeKind, Tier
from services.vector_ops.models import Hit

AMBIGUOUS_LIMIT = 20
"""Doubtful calls beyond this many are left out, and the answer says so."""
_CONSTRUCTORS = frozenset({"__init__", "__new__", "constructor"})
_MANY_NAMESAKES = 5
_MAX_EDGES = 5_000


@dataclass(frozen=True, slots=True)
class Calls:
    """Edges by tier, path and line with the reason of each; `is_truncated` when a cap left some out."""

    edges: tuple[tuple[EdgeRow, str], ...]
    is_truncated: bool


def who_calls(view: IndexView, text: str, limit: int) -> tuple[list[Hit], bool]:
    """Return the calls of what `text` means, most certain first, and whether a cap cut them."""
    meaning = find_meaning(view, text).without_namesakes()
    if not meaning.symbols:
        raise InvalidRequestError(f"{text.strip()} is a module; ask impact_set for its importers")
    calls = find_calls(view, meaning)
    shown = calls.edges[:limit]
    sources, lines = view.read_symbols({edge.source_id for edge, _reason in shown}), Lines(view)
    hits = [
        make_edge_hit(lines, edge, sources.get(edge.source_id), kind="call", reason=reason) for edge, reason in shown
    ]
    return hits, calls.is_truncated or len(calls.edges) > limit


def find_calls(view: IndexView, meaning: Meaning) -> Calls:
    """Return the calls of the symbols of a meaning."""
    targets = {one.id: one for one in meaning.symbols}
    built = _find_constructed(view, meaning)
    found = view.edges_to([*targets, *built], [EdgeKind.CALL], _MAX_EDGES)
    namesakes = len(view.find_symbols([meaning.name], AMBIGUOUS_LIMIT + 1))
    reasoned = [
        (edge, _explain(edge, targets.get(edge.target_id) or built[edge.target_id], namesakes)) for edge in found
    ]
    reasoned += _find_overridden_calls(view, targets)
    sure = [one for one in reasoned if one[0].tier != Tier.AMBIGUOUS]
    unsure = [one for one in reasoned if one[0].tier == Tier.AMBIGUOUS]
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


def _find_overridden_calls(view: IndexView, targets: dict[int, SymbolRow]) -> list[tuple[EdgeRow, str]]:
    """Return the calls of methods of base classes that the targets override: such a call may reach them."""
    overridden: dict[int, SymbolRow] = {}
    for one in targets.values():
        owners = [row.id for row in owners_of(view, one)] if "." in one.qualname else []
        bases = view.read_symbols({edge.target_id for edge in view.edges_from(owners, [EdgeKind.INHERIT])})
        for base in bases.values():
            members = (row for row in view.list_symbols(base.path) if row.qualname == f"{base.qualname}.{one.name}")
            overridden |= {row.id: row for row in members if row.id not in targets}
    edges = view.edges_to(list(overridden), [EdgeKind.CALL], _MAX_EDGES) if overridden else []
    return [
        (
            edge._replace(tier=Tier.AMBIGUOUS),
            f"calls {overridden[edge.target_id].qualname}, which the symbol overrides",
        )
        for edge in edges
    ]


def _explain(edge: EdgeRow, target: SymbolRow, namesakes: int) -> str:
    if edge.tier == Tier.UNIQUE_NAME:
        return "the type of the receiver is unknown; only one definition fits"
    if edge.tier == Tier.AMBIGUOUS:
        return f"the type of the receiver is unknown; {namesakes} definitions have this name"
    return f"calls {target.qualname} of {target.path}"


def _once(calls: list[tuple[EdgeRow, str]]) -> list[tuple[EdgeRow, str]]:
    """Return one call a place: the most certain."""
    best: dict[tuple[str, int, int], tuple[EdgeRow, str]] = {}
    for edge, reason in sorted(calls, key=lambda one: one[0].tier):
        best.setdefault((edge.path, edge.line, edge.column), (edge, reason))
    return list(best.values())


def _order(calls: list[tuple[EdgeRow, str]]) -> list[tuple[EdgeRow, str]]:
    return sorted(calls, key=lambda one: (one[0].tier, one[0].path, one[0].line, one[0].column))
