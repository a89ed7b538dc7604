"""The graph store in Neo4j with the rows of the index: edges from there, symbols from the view at the same epoch."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from services.vector_ops.core.view import EdgeRow, IndexView, SymbolRow
from services.vector_ops.graph.neo4j_reader import Neo4jReader
from services.vector_ops.graph.neo4j_store import GraphStoreAwayError
from services.vector_ops.graph.port import Bounds, Dependent, Link, Trail, Walk
from services.vector_ops.languages.world import EdgeKind

T = TypeVar("T")


class GraphStoreDamagedError(GraphStoreAwayError):
    """The graph store holds symbols that the index does not have at this epoch."""

    code = "vector_ops.graph_store_damaged"


class Ask(Protocol):
    """Puts one question to the copy, perhaps in another thread; raises GraphStoreAwayError."""

    def __call__(self, question: Callable[[Neo4jReader], T]) -> T:
        """Return the answer."""
        ...


class CopiedGraph:
    """A graph store over one view and its copy; satisfies `GraphStore`. The thread that asks here reads the view."""

    def __init__(self, view: IndexView, ask: Ask) -> None:
        self._view = view
        self._ask = ask

    def definitions(self, name: str, limit: int) -> list[SymbolRow]:
        ids = self._ask(lambda reader: reader.definitions(name, limit))
        rows = self._read_symbols(ids)
        return sorted((rows[one] for one in ids), key=lambda row: (row.path, row.line, row.at))

    def incoming(self, ids: Sequence[int], kinds: Sequence[EdgeKind], limit: int) -> list[Link]:
        edges = self._ask(lambda reader: reader.incoming(ids, kinds, limit))
        rows = self._read_symbols(edge.source_id for edge in edges)
        return [Link(edge, rows[edge.source_id]) for edge in edges]

    def outgoing(self, ids: Sequence[int], kinds: Sequence[EdgeKind], limit: int) -> list[Link]:
        edges = self._ask(lambda reader: reader.outgoing(ids, kinds, limit))
        rows = self._read_symbols(edge.target_id for edge in edges)
        return [Link(edge, rows[edge.target_id]) for edge in edges]

    def dependents(self, ids: Sequence[int], kinds: Sequence[EdgeKind], depth: int, limit: int) -> list[Dependent]:
        found = self._ask(lambda reader: reader.dependents(ids, kinds, depth, limit))
        rows = self._read_symbols(one for one, _distance, _tier in found)
        return [Dependent(rows[one], distance, tier) for one, distance, tier in found]

    def walk(self, walks: Sequence[Walk], bounds: Bounds) -> list[Trail]:
        trails = self._ask(lambda reader: reader.walk(walks, bounds))
        rows = self._read_symbols(edge.source_id for edge in _flatten(trails))
        return [[[Link(edge, rows[edge.source_id]) for edge in step] for step in trail] for trail in trails]

    def count(self) -> tuple[int, int]:
        return self._ask(lambda reader: reader.count())

    def _read_symbols(self, ids: Iterable[int]) -> dict[int, SymbolRow]:
        wanted = set(ids)
        rows = self._view.read_symbols(wanted)
        if len(rows) < len(wanted):
            raise GraphStoreDamagedError(
                "the graph store holds symbols that the index does not know; it is loaded anew"
            )
        return rows


def _flatten(trails: Iterable[Iterable[Sequence[EdgeRow]]]) -> Iterable[EdgeRow]:
    return (edge for trail in trails for step in trail for edge in step)
