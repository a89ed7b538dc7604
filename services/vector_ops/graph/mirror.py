"""Keeps Neo4j level with the truth, and answers from SQLite whenever Neo4j cannot.

A refresh brings the graph level: by file where the change is known, anew where it is not, or where a load was cut off.
A query never waits for it: while the graph is away or behind, SQLite answers and the stamp carries one warning. Neo4j
knows nothing of uncommitted files, so a view with some is answered by SQLite, which is no fault and says nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import TypeVar

from services.vector_ops.core.view import IndexView, SymbolRow
from services.vector_ops.graph.local import ViewGraph
from services.vector_ops.graph.neo4j_store import GraphStoreAwayError, Neo4jGraph
from services.vector_ops.graph.port import Dependent, GraphStore, Link
from services.vector_ops.languages.world import EdgeKind

_MAX_REPLACED_FILES = 500
"""More changed files than this are loaded anew: one transaction must fit into the server's memory."""
_KINDS = tuple(EdgeKind)
_MAX_EDGES_PER_FILE = 1_000_000

T = TypeVar("T")


def level_graph(graph: Neo4jGraph, view: IndexView) -> int:
    """Bring the graph level with the committed part of a view; return the number of files replaced, -1 for all.

    Raises GraphStoreAwayError; what was replaced until then is done again next time.
    """
    epoch = graph.read_epoch()
    if epoch == view.committed_epoch:
        return 0
    changed = view.changed_since(epoch) if epoch else None
    if changed is None or len(changed) > _MAX_REPLACED_FILES:
        graph.load(view.all_symbols(), view.all_edges(), view.committed_epoch)
        return -1
    symbols = list(chain.from_iterable(_symbols_of(view, path) for path in changed))
    edges = view.edges_from([one.id for one in symbols], _KINDS, _MAX_EDGES_PER_FILE)
    graph.replace_files(changed, symbols, edges, view.committed_epoch)
    return len(changed)


def _symbols_of(view: IndexView, path: str) -> Iterator[SymbolRow]:
    own = view.file_symbol(path)
    if own is not None:
        yield own
        yield from view.list_symbols(path)


class FallbackGraph:
    """Answers from Neo4j, and from the view once Neo4j fails; satisfies `GraphStore`. `warnings` says so."""

    def __init__(self, graph: Neo4jGraph, view: IndexView) -> None:
        self.warnings: list[str] = []
        self._view = ViewGraph(view)
        self._store: GraphStore = self._view
        self._choose(graph, view)

    def _choose(self, graph: Neo4jGraph, view: IndexView) -> None:
        if view.epoch != view.committed_epoch:
            return
        try:
            epoch = graph.read_epoch()
        except GraphStoreAwayError as error:
            self._fall_back(error)
            return
        if epoch == view.committed_epoch:
            self._store = graph
        else:
            self.warnings.append("the graph store is behind the index; answered from SQLite")

    def _fall_back(self, error: GraphStoreAwayError) -> None:
        self._store = self._view
        self.warnings.append(f"answered from SQLite: {error.detail}")

    def _ask(self, question: Callable[[GraphStore], T]) -> T:
        try:
            return question(self._store)
        except GraphStoreAwayError as error:
            self._fall_back(error)
            return question(self._view)

    def definitions(self, name: str, limit: int) -> list[SymbolRow]:
        return self._ask(lambda store: store.definitions(name, limit))

    def incoming(self, ids: Sequence[int], kinds: Sequence[EdgeKind], limit: int) -> list[Link]:
        return self._ask(lambda store: store.incoming(ids, kinds, limit))

    def outgoing(self, ids: Sequence[int], kinds: Sequence[EdgeKind], limit: int) -> list[Link]:
        return self._ask(lambda store: store.outgoing(ids, kinds, limit))

    def dependents(self, ids: Sequence[int], kinds: Sequence[EdgeKind], depth: int, limit: int) -> list[Dependent]:
        return self._ask(lambda store: store.dependents(ids, kinds, depth, limit))

    def count(self) -> tuple[int, int]:
        return self._ask(lambda store: store.count())
