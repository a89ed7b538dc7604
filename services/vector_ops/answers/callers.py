"""Who calls a symbol, with the tier of every call.

Tiers: `exact` by scopes and imports alone; `typed` over the type of the receiver; `unique-name` when the receiver is
unknown and one definition has the name; `ambiguous` when several have it, or when the call reaches a method that this
one overrides.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from services.kernel.errors import InvalidRequestError
from services.vector_ops.answers.meaning import Meaning, find_bases, find_meaning, find_members_of, is_beside
from services.vector_ops.answers.places import Lines, make_edge_hit
from services.vector_ops.core.view import EdgeRow, IndexView, SymbolRow
from services.vector_ops.graph.port import GraphStore, Link
from services.vector_ops.languages.world import NAMED_CAP, EdgeKind, Tier
from services.vector_ops.models import Hit

AMBIGUOUS_LIMIT = 20
"""Doubtful calls beyond this many are left out, and the answer says so."""
_CONSTRUCTORS = frozenset({"__init__", "__new__", "constructor"})
_MAX_BESIDE = 2_000
"""So many calls of the definitions that use a symbol are looked through for calls of values that hold it."""
_MIN_READ = 200
"""At least so many calls are looked at, so that those in code come before those in tests."""


@dataclass(frozen=True, slots=True)
class Calls:
    """Calls by tier, path and line with the reason of each; `is_truncated` when a cap left some out."""

    links: tuple[tuple[Link, str], ...]
    is_truncated: bool


def who_calls(view: IndexView, graph: GraphStore, lines: Lines, text: str, limit: int) -> tuple[list[Hit], bool]:
    """Return the calls of what `text` means, most certain first, and whether a cap cut them."""
    meaning = find_meaning(view, text).without_namesakes()
    if meaning.files:
        raise InvalidRequestError(f"{text.strip()} is a module; ask impact_set for its importers")
    calls = find_calls(view, graph, meaning, limit)
    hits = [
        make_edge_hit(lines, link.edge, link.symbol, kind="call", reason=reason) for link, reason in calls.links[:limit]
    ]
    return hits, meaning.is_cut or calls.is_truncated or len(calls.links) > limit


def find_calls(view: IndexView, graph: GraphStore, meaning: Meaning, limit: int) -> Calls:
    """Return about `limit` calls of the symbols of a meaning, at least one more when there are more."""
    targets = {one.id: one for one in meaning.symbols}
    built = _find_constructed(view, meaning)
    most = max(_MIN_READ, 2 * limit + AMBIGUOUS_LIMIT)
    meant = built | targets
    found = graph.incoming(list(meant), [EdgeKind.CALL], most)
    is_method = any("." in one.qualname for one in meaning.symbols)
    namesakes = view.count_named(meaning.name) if is_method or any(map(_is_doubtful, found)) else 1
    reasoned = [(link, _explain(link.edge, meant[link.edge.target_id], namesakes)) for link in found]
    is_full = len(found) >= most
    reasoned += _find_calls_of_values(graph, targets, most)
    if not is_full:
        overridden = _find_overridden(view, targets)
        reasoned += _find_overridden_calls(graph, overridden, most)
    once = _order(_once(reasoned))
    sure = [one for one in once if not _is_doubtful(one[0])]
    unsure = [one for one in once if _is_doubtful(one[0])]
    is_cut = len(unsure) > AMBIGUOUS_LIMIT or is_full
    # Where more definitions than this have the name, calls on an unknown receiver lead to none of them.
    return Calls((*sure, *unsure[:AMBIGUOUS_LIMIT]), is_cut or (is_method and namesakes > NAMED_CAP))


def find_built(view: IndexView, meaning: Meaning) -> list[int]:
    """Return the ids of the classes whose constructors are meant: calls of those lead to the class."""
    return list(_find_constructed(view, meaning))


def _is_doubtful(link: Link) -> bool:
    return link.edge.tier == Tier.AMBIGUOUS


def _find_constructed(view: IndexView, meaning: Meaning) -> dict[int, SymbolRow]:
    """Return the classes whose construction calls these constructors."""
    constructors = [one for one in meaning.symbols if one.name in _CONSTRUCTORS and "." in one.qualname]
    by_owner = {_owner_key(one): one for one in constructors}
    return {owner.id: by_owner[owner.path, owner.qualname] for owner in _find_owners(view, constructors)}


def _owner_key(one: SymbolRow) -> tuple[str, str]:
    return one.path, one.qualname.rpartition(".")[0]


def _find_owners(view: IndexView, members: Iterable[SymbolRow]) -> list[SymbolRow]:
    """Return the classes and types that these members belong to."""
    keys = {_owner_key(one) for one in members if "." in one.qualname}
    outer: dict[str, set[str]] = {}
    for _path, qualname in keys:
        owners, _, name = qualname.rpartition(".")
        outer.setdefault(name, set()).add(owners.rpartition(".")[2])
    rows = [row for name in sorted(outer) for row in view.find_members(name, sorted(outer[name]))]
    return [row for row in rows if (row.path, row.qualname) in keys]


def _find_overridden(view: IndexView, targets: Mapping[int, SymbolRow]) -> dict[int, SymbolRow]:
    """Return the methods of base classes that the targets override: a call of those may reach these."""
    bases = find_bases(view, _find_owners(view, targets.values()))
    members = find_members_of(view, bases, sorted({one.name for one in targets.values()})) if bases else []
    return {one.id: one for one in members if one.id not in targets}


def _find_overridden_calls(graph: GraphStore, overridden: Mapping[int, SymbolRow], most: int) -> list[tuple[Link, str]]:
    links = graph.incoming(list(overridden), [EdgeKind.CALL], most) if overridden else []
    return [
        (
            link._replace(edge=link.edge._replace(tier=Tier.AMBIGUOUS)),
            f"calls {overridden[link.edge.target_id].qualname}, which the symbol overrides",
        )
        for link in links
    ]


def _find_calls_of_values(graph: GraphStore, targets: Mapping[int, SymbolRow], most: int) -> list[tuple[Link, str]]:
    """Return the calls of values that hold the targets (`alias = target; alias()`).

    Such a place has two edges: a call of the value, and a use of what it holds.
    """
    uses = [link for link in graph.incoming(list(targets), [EdgeKind.USE], most) if link.edge.tier == Tier.TYPED]
    sources = sorted({link.edge.source_id for link in uses})
    called: dict[tuple[int, int, int], SymbolRow] = {}
    for link in graph.outgoing(sources, [EdgeKind.CALL], _MAX_BESIDE) if sources else ():
        called[_place_of(link.edge)] = link.symbol
    return [
        (link, f"calls {targets[link.edge.target_id].qualname} as {called[_place_of(link.edge)].qualname}")
        for link in uses
        if _place_of(link.edge) in called
    ]


def _place_of(edge: EdgeRow) -> tuple[int, int, int]:
    return edge.source_id, edge.line, edge.column


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
    """Sort by tier; in each, code before tests and examples."""
    return sorted(calls, key=lambda one: (one[0].edge.tier, is_beside(one[0].symbol), one[0].edge[4:]))
