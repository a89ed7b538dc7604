"""The default graph store: SQLite's tables, read through the view, the uncommitted files included."""

from collections.abc import Mapping, Sequence

from services.vector_ops.core.view import EdgeRow, IndexView, SymbolRow
from services.vector_ops.graph.port import MAX_DEPTH, Bounds, Dependent, Link, Trail, Walk
from services.vector_ops.languages.facts import FILE
from services.vector_ops.languages.world import EdgeKind, Tier

_MAX_EDGES_PER_STEP = 20_000
FILE_KIND = "file"


class ViewGraph:
    """A graph store over one view; satisfies `GraphStore`."""

    def __init__(self, view: IndexView) -> None:
        self._view = view

    def definitions(self, name: str, limit: int) -> list[SymbolRow]:
        return [one for one in self._view.find_symbols([name], limit) if one.at != FILE]

    def incoming(self, ids: Sequence[int], kinds: Sequence[EdgeKind], limit: int) -> list[Link]:
        return self._link_sources(self._view.edges_to(ids, kinds, limit))

    def outgoing(self, ids: Sequence[int], kinds: Sequence[EdgeKind], limit: int) -> list[Link]:
        edges = self._view.edges_from(ids, kinds, limit)
        rows = self._view.read_symbols({edge.target_id for edge in edges})
        return [Link(edge, rows[edge.target_id]) for edge in edges if edge.target_id in rows]

    def _link_sources(self, edges: Sequence[EdgeRow]) -> list[Link]:
        rows = self._view.read_symbols({edge.source_id for edge in edges})
        return [Link(edge, rows[edge.source_id]) for edge in edges if edge.source_id in rows]

    def dependents(self, ids: Sequence[int], kinds: Sequence[EdgeKind], depth: int, limit: int) -> list[Dependent]:
        seen = dict.fromkeys(ids, Tier.EXACT)
        found: dict[int, tuple[int, Tier]] = {}
        for distance in range(1, min(depth, MAX_DEPTH) + 1):
            step = self._step(seen, kinds, is_first=distance == 1)
            found |= {one: (distance, tier) for one, tier in step.items() if one not in found and one not in ids}
            seen = {one: tier for one, tier in step.items() if found.get(one, (0, tier))[0] == distance}
            if not seen:
                break
        rows = self._view.read_symbols(found)
        ordered = [Dependent(row, *found[one]) for one, row in rows.items()]
        ordered.sort(key=lambda one: (one.distance, one.tier, one.symbol.path, one.symbol.line, one.symbol.id))
        return ordered[:limit]

    def _step(self, seen: dict[int, Tier], kinds: Sequence[EdgeKind], *, is_first: bool) -> dict[int, Tier]:
        best: dict[int, Tier] = {}
        for edge in self._view.edges_to(list(seen), kinds, _MAX_EDGES_PER_STEP):
            if _is_followed(edge, is_first=is_first):
                tier = max(edge.tier, seen[edge.target_id])
                best[edge.source_id] = min(tier, best.get(edge.source_id, tier))
        return best

    def walk(self, walks: Sequence[Walk], bounds: Bounds) -> list[Trail]:
        return [self._walk(walk, bounds) for walk in walks]

    def _walk(self, walk: Walk, bounds: Bounds) -> Trail:
        trail: Trail = []
        begun = dict.fromkeys(walk.ids, 1.0)
        for kinds in walk.steps:
            edges = self._view.edges_to(sorted(begun), kinds, bounds.most_edges) if begun else []
            is_free = walk.follows_ambiguous or not trail
            links = self._link_sources([edge for edge in edges if _is_followed(edge, is_first=is_free)])
            trail.append(links)
            begun = _choose_sources(walk, links, begun, bounds.most_followed)
        return trail

    def count(self) -> tuple[int, int]:
        files, symbols, edges = self._view.count()
        return files + symbols, edges


def _choose_sources(walk: Walk, links: Sequence[Link], begun: Mapping[int, float], most: int) -> dict[int, float]:
    """Return where the next step of a walk begins, with scores."""
    scores: dict[int, float] = {}
    symbols: dict[int, SymbolRow] = {}
    asked = frozenset(walk.ids)
    for edge, symbol in links:
        if symbol.id not in asked:
            score = begun[edge.target_id] * walk.kind_scores[edge.kind] * walk.tier_scores[edge.tier]
            scores[symbol.id] = max(score, scores.get(symbol.id, score))
            symbols[symbol.id] = symbol
    best = sorted(scores, key=lambda one: (-scores[one], one))[:most]
    return {one: scores[one] for one in best if symbols[one].kind != FILE_KIND}


def _is_followed(edge: EdgeRow, *, is_first: bool) -> bool:
    return is_first or edge.tier != Tier.AMBIGUOUS
