"""The default graph store: SQLite's tables, read through the view, the uncommitted files included."""

from collections.abc import Sequence

from services.vector_ops.core.view import EdgeRow, IndexView, SymbolRow
from services.vector_ops.graph.port import MAX_DEPTH, Dependent, Link
from services.vector_ops.languages.facts import FILE
from services.vector_ops.languages.world import EdgeKind, Tier

_MAX_EDGES_PER_STEP = 20_000


class ViewGraph:
    """A graph store over one view; satisfies `GraphStore`."""

    def __init__(self, view: IndexView) -> None:
        self._view = view

    def definitions(self, name: str, limit: int) -> list[SymbolRow]:
        return [one for one in self._view.find_symbols([name], limit) if one.at != FILE]

    def incoming(self, ids: Sequence[int], kinds: Sequence[EdgeKind], limit: int) -> list[Link]:
        edges = self._view.edges_to(ids, kinds, limit)
        rows = self._view.read_symbols({edge.source_id for edge in edges})
        return [Link(edge, rows[edge.source_id]) for edge in edges if edge.source_id in rows]

    def outgoing(self, ids: Sequence[int], kinds: Sequence[EdgeKind], limit: int) -> list[Link]:
        edges = self._view.edges_from(ids, kinds, limit)
        rows = self._view.read_symbols({edge.target_id for edge in edges})
        return [Link(edge, rows[edge.target_id]) for edge in edges if edge.target_id in rows]

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
        ordered.sort(key=lambda one: (one.distance, one.tier, one.symbol.path, one.symbol.line, one.symbol.qualname))
        return ordered[:limit]

    def _step(self, seen: dict[int, Tier], kinds: Sequence[EdgeKind], *, is_first: bool) -> dict[int, Tier]:
        best: dict[int, Tier] = {}
        for edge in self._view.edges_to(list(seen), kinds, _MAX_EDGES_PER_STEP):
            if _is_followed(edge, is_first=is_first):
                tier = max(edge.tier, seen[edge.target_id])
                best[edge.source_id] = min(tier, best.get(edge.source_id, tier))
        return best

    def count(self) -> tuple[int, int]:
        files, symbols, edges = self._view.count()
        return files + symbols, edges


def _is_followed(edge: EdgeRow, *, is_first: bool) -> bool:
    return is_first or edge.tier != Tier.AMBIGUOUS
