"""Keeps Neo4j level with the truth, and answers from SQLite whenever Neo4j cannot.

A refresh brings the graph level: by file where the change is known, anew where it is not, or where a load was cut off.
A query never waits for it: while the graph is away or behind, SQLite answers and the stamp carries one warning. Each
question names the epoch that it is about, so that no refresh can slip in between. Neo4j knows nothing of uncommitted
files, so a view with some is answered by SQLite, which is no fault and says nothing.
"""

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from itertools import chain
from typing import Any, TypeVar

from services.vector_ops.core.view import IndexView, SymbolRow
from services.vector_ops.graph.copied import CopiedGraph, GraphStoreDamagedError
from services.vector_ops.graph.local import ViewGraph
from services.vector_ops.graph.neo4j_reader import Neo4jReader
from services.vector_ops.graph.neo4j_store import GraphStoreAwayError, GraphStoreBehindError, Neo4jGraph
from services.vector_ops.graph.port import Bounds, Dependent, GraphStore, Link, Trail, Walk
from services.vector_ops.languages.world import EdgeKind

_MAX_REPLACED_FILES = 500
"""More changed files than this are loaded anew: one transaction must fit into the server's memory."""
PAUSE_S = 10.0
"""How long a store that failed is left alone: one question in ten seconds waits for it, not each."""
_GRACE_S = 0.5
"""The server ends a query at the timeout by itself; its word that it did so is worth waiting for."""
_KINDS = tuple(EdgeKind)
_MAX_EDGES_PER_FILE = 1_000_000

T = TypeVar("T")


def level_graph(graph: Neo4jGraph, view: IndexView, *, is_damaged: bool = False) -> int:
    """Bring the graph level with the committed part of a view; return the number of files replaced, -1 for all.

    One that is damaged is loaded anew. Raises GraphStoreAwayError; what was done until then is done again next time.
    """
    epoch = "" if is_damaged else graph.read_epoch()
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


class Mirror:
    """The copy of one repository, and whether it is worth asking; `clock` returns seconds.

    A store that has failed is not asked again for a while. A store that hangs keeps one thread waiting, no question:
    each has `timeout_s`, and while that thread waits no other question is put.
    """

    def __init__(self, graph: Neo4jGraph, clock: Callable[[], float], timeout_s: float) -> None:
        self._graph = graph
        self._clock = clock
        self._timeout_s = timeout_s
        self._asked_again_s = -math.inf
        self._asked: Future[Any] | None = None
        self._is_damaged = False
        self.is_doubted = False
        """Whether the copy has turned out to be behind or damaged since it was last made level."""

    def over(self, view: IndexView) -> "FallbackGraph":
        """Return a graph store for the questions of one reading; nothing is asked until a verb is."""
        return FallbackGraph(view, self)

    def level(self, view: IndexView) -> int:
        """Do as `level_graph`; questions are put again at once where it worked."""
        replaced = level_graph(self._graph, view, is_damaged=self._is_damaged)
        self.is_doubted = self._is_damaged = False
        self._asked_again_s = -math.inf
        return replaced

    def doubt(self, error: GraphStoreAwayError) -> None:
        """Note why a question failed: the next work behind the queries looks at a copy that is behind or damaged."""
        self._is_damaged |= isinstance(error, GraphStoreDamagedError)
        self.is_doubted |= isinstance(error, GraphStoreBehindError | GraphStoreDamagedError)

    def ask(self, epoch: str, question: Callable[[Neo4jReader], T]) -> T:
        """Return the store's answer at an epoch, or raise GraphStoreAwayError within the timeout."""
        if self._asked is not None and not self._asked.done():
            raise GraphStoreAwayError("the graph store has not answered an earlier question yet")
        left_s = self._asked_again_s - self._clock()
        if left_s > 0:
            raise GraphStoreAwayError(f"the graph store has failed just now; it is asked again in {left_s:.0f} s")
        reader = Neo4jReader(self._graph, epoch)
        try:
            return self._ask_in_time(lambda: question(reader))
        except GraphStoreBehindError:
            raise  # it answers: no reason to leave it alone
        except GraphStoreAwayError:
            self._asked_again_s = self._clock() + PAUSE_S
            raise

    def _ask_in_time(self, question: Callable[[], T]) -> T:
        answer: Future[T] = Future()
        self._asked = answer

        def run() -> None:
            try:
                answer.set_result(question())
            except GraphStoreAwayError as error:
                answer.set_exception(error)
            finally:
                answer.cancel()  # a fault of ours: nobody waits for an answer that cannot come

        # A daemon: the end of the process does not wait for a server that hangs.
        threading.Thread(target=run, name="graph-store", daemon=True).start()
        try:
            return answer.result(self._timeout_s + _GRACE_S)
        except TimeoutError:
            raise GraphStoreAwayError(f"the graph store did not answer within {self._timeout_s:g} s") from None


class FallbackGraph:
    """Answers from the copy, and from the view once that fails; satisfies `GraphStore`. `warnings` says so.

    The copy answers each question only at the epoch of the view. A verb that needs no graph asks it nothing.
    """

    def __init__(self, view: IndexView, mirror: Mirror) -> None:
        self.warnings: list[str] = []
        self._mirror = mirror
        self._epoch = view.committed_epoch
        self._local = ViewGraph(view)
        self._copy = CopiedGraph(view, self._ask) if view.epoch == view.committed_epoch else None

    def _ask(self, question: Callable[[Neo4jReader], T]) -> T:
        return self._mirror.ask(self._epoch, question)

    def _answer(self, verb: Callable[[GraphStore], T]) -> T:
        if self._copy is not None:
            try:
                return verb(self._copy)
            except GraphStoreAwayError as error:
                self._copy = None
                self.warnings.append(f"answered from SQLite: {error.detail}")
                self._mirror.doubt(error)
        return verb(self._local)

    def definitions(self, name: str, limit: int) -> list[SymbolRow]:
        return self._answer(lambda store: store.definitions(name, limit))

    def incoming(self, ids: Sequence[int], kinds: Sequence[EdgeKind], limit: int) -> list[Link]:
        return self._answer(lambda store: store.incoming(ids, kinds, limit))

    def outgoing(self, ids: Sequence[int], kinds: Sequence[EdgeKind], limit: int) -> list[Link]:
        return self._answer(lambda store: store.outgoing(ids, kinds, limit))

    def dependents(self, ids: Sequence[int], kinds: Sequence[EdgeKind], depth: int, limit: int) -> list[Dependent]:
        return self._answer(lambda store: store.dependents(ids, kinds, depth, limit))

    def walk(self, walks: Sequence[Walk], bounds: Bounds) -> list[Trail]:
        return self._answer(lambda store: store.walk(walks, bounds))

    def count(self) -> tuple[int, int]:
        return self._answer(lambda store: store.count())
