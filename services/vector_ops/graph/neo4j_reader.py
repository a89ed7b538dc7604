"""The verbs in Neo4j, at one epoch: ids and edges. What else belongs to a symbol is in the index."""

from collections.abc import Iterable, Sequence
from typing import Any

from services.vector_ops.core.view import EdgeRow
from services.vector_ops.graph import neo4j_queries as queries
from services.vector_ops.graph.neo4j_model import KINDS, RELATIONS
from services.vector_ops.graph.neo4j_store import Neo4jGraph
from services.vector_ops.graph.port import MAX_DEPTH, Bounds, Walk
from services.vector_ops.languages.world import EdgeKind, Tier

_NO_TIER = 0.0
"""Tiers count from 1, lists from 0."""


class Neo4jReader:
    """Asks the graph as it is at one epoch; each verb raises GraphStoreBehindError when the graph has another."""

    def __init__(self, graph: Neo4jGraph, epoch: str) -> None:
        self._graph = graph
        self._epoch = epoch

    def definitions(self, name: str, limit: int) -> list[int]:
        """Return the ids of the symbols with this name, as all verbs do in the order of `GraphStore`."""
        rows = self._ask(queries.DEFINITIONS, name=name, limit=limit)
        return [self._graph.keys.id_of(key) for key in rows]

    def incoming(self, ids: Sequence[int], kinds: Sequence[EdgeKind], limit: int) -> list[EdgeRow]:
        """Return the edges that lead to these symbols."""
        return self._edges(self._ask(queries.incoming_query(kinds), asked=self._asked(ids), limit=limit))

    def outgoing(self, ids: Sequence[int], kinds: Sequence[EdgeKind], limit: int) -> list[EdgeRow]:
        """Return the edges that leave these symbols."""
        return self._edges(self._ask(queries.outgoing_query(kinds), asked=self._asked(ids), limit=limit))

    def dependents(
        self, ids: Sequence[int], kinds: Sequence[EdgeKind], depth: int, limit: int
    ) -> list[tuple[int, int, Tier]]:
        """Return (id, distance, tier) of what reaches these symbols."""
        query = queries.dependents_query(kinds, min(depth, MAX_DEPTH))
        rows = self._ask(query, asked=self._asked(ids), limit=limit)
        return [(self._graph.keys.id_of(key), distance, Tier(tier)) for key, distance, tier in rows]

    def walk(self, walks: Sequence[Walk], bounds: Bounds) -> list[list[list[EdgeRow]]]:
        """Return the edges of each step of each walk."""
        asked = [
            {
                **self._asked(walk.ids),
                "kinds": {RELATIONS[kind]: score for kind, score in walk.kind_scores.items()},
                "tiers": [_NO_TIER, *(walk.tier_scores[tier] for tier in sorted(Tier))],
            }
            for walk in walks
        ]
        rows = self._ask(queries.walks_query(walks), walks=asked, **bounds._asdict()) if walks else []
        return [[self._edges(step) for step in trail] for trail in rows]

    def count(self) -> tuple[int, int]:
        """Return the number of symbols and of edges."""
        symbols, edges = self._ask(queries.COUNT)
        return symbols, edges

    def _ask(self, question: str, **parameters: object) -> list[Any]:
        return self._graph.ask(question, self._epoch, parameters)

    def _asked(self, ids: Iterable[int]) -> dict[str, object]:
        return {"keys": [self._graph.keys.key_of(one) for one in ids]}

    def _edges(self, rows: Iterable[Sequence[Any]]) -> list[EdgeRow]:
        id_of = self._graph.keys.id_of
        return [
            EdgeRow(id_of(source), id_of(target), KINDS[kind], Tier(tier), path, line, column)
            for source, target, kind, tier, path, line, column in rows
        ]
