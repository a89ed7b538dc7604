"""The graph in Neo4j 5, through the driver: what is written, and one question. It is a copy: SQLite is the truth."""

from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from services.kernel.errors import UnavailableError
from services.vector_ops.core.view import EdgeRow, SymbolRow
from services.vector_ops.graph import neo4j_model as model
from services.vector_ops.graph.neo4j_queries import at_epoch
from services.vector_ops.languages.world import EdgeKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from neo4j import Driver

_BATCH = 5_000
_WRITE_TIMEOUT_S = 600

T = TypeVar("T")


class GraphStoreAwayError(UnavailableError):
    """The graph store does not answer, or not in time."""

    code = "vector_ops.graph_store_away"


class GraphStoreBehindError(GraphStoreAwayError):
    """The graph store answers, but holds another epoch than the one asked for."""

    code = "vector_ops.graph_store_behind"


@contextmanager
def reaching() -> "Iterator[None]":
    """Turn every failure of the driver into one error of ours."""
    from neo4j.exceptions import AuthError, DriverError, Neo4jError  # noqa: PLC0415 - loads when it is configured

    try:
        yield
    except AuthError as error:
        raise GraphStoreAwayError(
            "the graph store refuses the user or the password; set VECTOR_OPS_NEO4J_USER and VECTOR_OPS_NEO4J_PASSWORD"
        ) from error
    except (DriverError, Neo4jError, OSError) as error:
        text = " ".join(str(error).split())[:200]
        raise GraphStoreAwayError(f"the graph store does not answer ({text}); start it or unset its URL") from error


class Neo4jGraph:
    """The graph of one repository, by its root; `timeout_s` bounds each question."""

    def __init__(self, driver: "Driver", root: str, timeout_s: float) -> None:
        self._driver = driver
        self._timeout_s = timeout_s
        self.keys = model.Keys(root)
        self._about: dict[str, object] = {"repo": self.keys.repo, "root": root}

    def read_epoch(self) -> str:
        """Return the epoch that the graph was made from; empty when it holds nothing; LOADING while it is loaded."""
        rows = self._read(model.READ_EPOCH)
        return str(rows[0][0]) if rows else ""

    def ask(self, question: str, epoch: str, parameters: dict[str, object]) -> list[Any]:
        """Return the `rows` of a question at an epoch; raises GraphStoreBehindError when the graph has another."""
        records = self._read(at_epoch(question), epoch=epoch, **parameters)
        if not records:
            raise GraphStoreBehindError("the graph store is behind the index")
        rows: list[Any] = records[0][0]
        return rows

    def _read(self, query: str, **parameters: object) -> list[list[Any]]:
        from neo4j import READ_ACCESS, Query  # noqa: PLC0415

        with reaching(), self._driver.session(default_access_mode=READ_ACCESS) as session:
            return session.run(Query(query, timeout=self._timeout_s), {**self._about, **parameters}).values()

    def replace_files(
        self, paths: Sequence[str], symbols: Sequence[SymbolRow], edges: Iterable[EdgeRow], epoch: str
    ) -> None:
        """Replace what the graph holds of these files, in one transaction that also writes the epoch.

        Symbols that stay keep their nodes, and with them the edges that other files have to them. Symbols come file by
        file.
        """
        by_kind = {kind: list(_batches(found)) for kind, found in self._group(edges).items()}
        *early, last = [model.group_by_file(self.keys, batch) for batch in _batches(symbols)] or [[]]
        first = {model.RELATIONS[kind]: found[0] for kind, found in by_kind.items()}
        with (
            reaching(),
            self._driver.session() as session,
            session.begin_transaction(timeout=_WRITE_TIMEOUT_S) as transaction,
        ):
            kept = [self.keys.key_of(one.id) for one in symbols]
            transaction.run(model.CLEAR_FILES, {**self._about, "paths": list(paths), "kept": kept}).consume()
            for files in early:
                transaction.run(model.MERGE_SYMBOLS, {**self._about, "files": files}).consume()
            about = {**self._about, "epoch": epoch}
            transaction.run(model.write_all(by_kind), {**about, "files": last, **first}).consume()
            for kind, found in by_kind.items():
                for batch in found[1:]:
                    transaction.run(model.create_edges(kind), {"rows": batch}).consume()
            transaction.commit()

    def load(self, symbols: Iterable[SymbolRow], edges: Iterable[EdgeRow], epoch: str) -> None:
        """Load the whole graph anew. It counts as not there until the epoch is written, at the very end.

        Symbols come file by file.
        """
        with reaching():
            for statement in model.SCHEMA:
                self._write(statement)
            self._write(model.WRITE_EPOCH, epoch=model.LOADING)
            if self._read(model.FIND_REPOSITORY):
                self._write(model.DELETE_REPOSITORY)
            self._write(model.DELETE_EARLIER)
            files = (model.group_by_file(self.keys, batch) for batch in _batches(symbols))
            self._write_in_turn((model.CREATE_SYMBOLS, {"files": one}) for one in files)
            found = self._group(edges)
            steps = ((model.create_edges(kind), {"rows": batch}) for kind in found for batch in _batches(found[kind]))
            self._write_in_turn(steps)
            self._write(model.WRITE_EPOCH, epoch=epoch)

    def _write(self, statement: str, **parameters: object) -> None:
        with self._driver.session() as session:
            session.run(statement, {**self._about, **parameters}).consume()

    def _write_in_turn(self, steps: Iterable[tuple[str, dict[str, list[model.Values]]]]) -> None:
        """Run statements with their rows, each in a transaction of its own; the next rows are made meanwhile.

        Two transactions side by side would lock each other out at the same nodes, and make the server work more.
        """
        under_way: deque[Future[None]] = deque()
        with ThreadPoolExecutor(1) as pool:
            for statement, rows in steps:
                if len(under_way) > 1:
                    under_way.popleft().result()
                under_way.append(pool.submit(self._write, statement, **rows))
            for one in under_way:
                one.result()

    def _group(self, edges: Iterable[EdgeRow]) -> dict[EdgeKind, list[model.Values]]:
        found: dict[EdgeKind, list[model.Values]] = {}
        for edge in edges:
            found.setdefault(edge.kind, []).append(model.edge_values(self.keys, edge))
        return found


def _batches(rows: Iterable[T]) -> "Iterator[list[T]]":
    rest = iter(rows)
    while batch := list(islice(rest, _BATCH)):
        yield batch
