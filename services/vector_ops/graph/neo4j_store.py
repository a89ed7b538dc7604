"""The graph in Neo4j 5, through the driver; satisfies `GraphStore`. It is a copy: SQLite is the truth (ADR-0022)."""

from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from services.kernel.errors import UnavailableError
from services.vector_ops.core.view import EdgeRow, SymbolRow
from services.vector_ops.graph import neo4j_model as model
from services.vector_ops.graph.port import MAX_DEPTH, Dependent, Link
from services.vector_ops.languages.world import EdgeKind, Tier

if TYPE_CHECKING:
    from collections.abc import Iterator

    from neo4j import Driver

_BATCH = 5_000
_SYMBOL_WRITERS = 2
"""The server spends longer on a batch of symbols than we do on making one: two at a time keep both busy."""
_EDGE_WRITERS = 1
"""Two transactions that create edges at the same nodes would lock each other out."""
_WRITE_TIMEOUT_S = 600

Columns = list[Any]
"""What the server returned for one row: each query knows the types of its columns."""


class GraphStoreAwayError(UnavailableError):
    """The graph store does not answer, or not in time."""

    code = "vector_ops.graph_store_away"


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
    """The graph of one repository; `timeout_s` bounds each query."""

    def __init__(self, driver: "Driver", repo: str, timeout_s: float) -> None:
        self._driver = driver
        self._repo = repo
        self._timeout_s = timeout_s
        self._keys = model.Keys(repo)

    def read_epoch(self) -> str:
        """Return the epoch that the graph was made from; empty when it holds nothing; LOADING while it is loaded."""
        rows = self._read(model.READ_EPOCH)
        return str(rows[0][0]) if rows else ""

    def definitions(self, name: str, limit: int) -> list[SymbolRow]:
        query = (
            "MATCH (s:Symbol) WHERE s.repo = $repo AND s.name = $name AND s.kind <> 'file' "
            f"RETURN {model.SYMBOL} ORDER BY s.path, s.line, s.qualname LIMIT $limit"
        )
        return [model.read_symbol(self._keys, row) for row in self._read(query, name=name, limit=limit)]

    def incoming(self, ids: Sequence[int], kinds: Sequence[EdgeKind], limit: int) -> list[Link]:
        query = (
            f"MATCH (t:Symbol)<-[e:{model.relation_pattern(kinds)}]-(s:Symbol) WHERE t.key IN $keys "
            f"RETURN {model.SYMBOL}, t.key, type(e), e.tier, e.line, e.column "
            "ORDER BY e.tier, s.path, e.line, e.column LIMIT $limit"
        )
        links = []
        for row in self._read(query, keys=self._keys_of(ids), limit=limit):
            symbol, (other, kind, tier, line, column) = self._part(row)
            edge = EdgeRow(
                symbol.id, self._keys.key_of(other), model.KINDS[kind], Tier(tier), symbol.path, line, column
            )
            links.append(Link(edge, symbol))
        return links

    def outgoing(self, ids: Sequence[int], kinds: Sequence[EdgeKind], limit: int) -> list[Link]:
        query = (
            f"MATCH (t:Symbol)-[e:{model.relation_pattern(kinds)}]->(s:Symbol) WHERE t.key IN $keys "
            f"RETURN {model.SYMBOL}, t.key, type(e), e.tier, t.path, e.line, e.column "
            "ORDER BY t.path, e.line, e.column LIMIT $limit"
        )
        links = []
        for row in self._read(query, keys=self._keys_of(ids), limit=limit):
            symbol, (other, kind, tier, path, line, column) = self._part(row)
            edge = EdgeRow(self._keys.key_of(other), symbol.id, model.KINDS[kind], Tier(tier), path, line, column)
            links.append(Link(edge, symbol))
        return links

    def dependents(self, ids: Sequence[int], kinds: Sequence[EdgeKind], depth: int, limit: int) -> list[Dependent]:
        query = _dependents_query(model.relation_pattern(kinds), min(depth, MAX_DEPTH))
        found = []
        for row in self._read(query, keys=self._keys_of(ids), limit=limit):
            symbol, (distance, tier) = self._part(row)
            found.append(Dependent(symbol, distance, Tier(tier)))
        return found

    def count(self) -> tuple[int, int]:
        query = "MATCH (s:Symbol) WHERE s.repo = $repo RETURN count(s), sum(COUNT { (s)-->() })"
        ((symbols, edges),) = self._read(query)
        return symbols, edges

    def _keys_of(self, ids: Iterable[int]) -> list[int]:
        return [self._keys.key_of(one) for one in ids]

    def _part(self, row: Columns) -> tuple[SymbolRow, Columns]:
        """Return the symbol that a row begins with, and its other columns."""
        return model.read_symbol(self._keys, row[: model.SYMBOL_COLUMNS]), row[model.SYMBOL_COLUMNS :]

    def _read(self, query: str, **parameters: object) -> list[Columns]:
        from neo4j import READ_ACCESS, Query  # noqa: PLC0415

        with reaching(), self._driver.session(default_access_mode=READ_ACCESS) as session:
            result = session.run(Query(query, timeout=self._timeout_s), {"repo": self._repo, **parameters})
            return result.values()

    # Writing: bulk load into nothing, or the replacement of some files in one transaction.

    def replace_files(
        self, paths: Sequence[str], symbols: Sequence[SymbolRow], edges: Iterable[EdgeRow], epoch: str
    ) -> None:
        """Replace what the graph holds of these files, in one transaction that also writes the epoch.

        Symbols that stay keep their nodes, and with them the edges that other files have to them.
        """
        rows = [model.symbol_values(self._keys, self._repo, one) for one in symbols]
        by_kind = {kind: list(_batches(found)) for kind, found in self._group(edges).items()}
        about: dict[str, object] = {"repo": self._repo, "epoch": epoch}
        *early, last = list(_batches(rows)) or [[]]
        first = {model.RELATIONS[kind]: found[0] for kind, found in by_kind.items()}
        with (
            reaching(),
            self._driver.session() as session,
            session.begin_transaction(timeout=_WRITE_TIMEOUT_S) as transaction,
        ):
            clearing = {"repo": self._repo, "paths": list(paths), "kept": [row[0] for row in rows]}
            transaction.run(model.CLEAR_FILES, clearing).consume()
            for batch in early:
                transaction.run(model.MERGE_SYMBOLS, {"rows": batch}).consume()
            transaction.run(model.write_all(by_kind), {**about, "rows": last, **first}).consume()
            for kind, found in by_kind.items():
                for batch in found[1:]:
                    transaction.run(model.create_edges(kind), {"rows": batch}).consume()
            transaction.commit()

    def load(self, symbols: Iterable[SymbolRow], edges: Iterable[EdgeRow], epoch: str) -> None:
        """Load the whole graph anew. It counts as not there until the epoch is written, at the very end."""
        with reaching():
            for statement in model.SCHEMA:
                self._write(statement)
            self._write(model.WRITE_EPOCH, epoch=model.LOADING)
            if self._read(model.FIND_REPOSITORY):
                self._write(model.DELETE_REPOSITORY)
            rows = (model.symbol_values(self._keys, self._repo, one) for one in symbols)
            self._write_side_by_side(((model.CREATE_SYMBOLS, batch) for batch in _batches(rows)), _SYMBOL_WRITERS)
            found = self._group(edges)
            steps = ((model.create_edges(kind), batch) for kind in found for batch in _batches(found[kind]))
            self._write_side_by_side(steps, _EDGE_WRITERS)
            self._write(model.WRITE_EPOCH, epoch=epoch)

    def _write(self, statement: str, **parameters: object) -> None:
        with self._driver.session() as session:
            session.run(statement, {"repo": self._repo, **parameters}).consume()

    def _write_side_by_side(self, steps: Iterable[tuple[str, list[model.Values]]], writers: int) -> None:
        """Run statements with their rows, each in a transaction of its own; rows are made by this thread alone."""
        under_way: deque[Future[None]] = deque()
        with ThreadPoolExecutor(writers) as pool:
            for statement, rows in steps:
                if len(under_way) > writers:
                    under_way.popleft().result()
                under_way.append(pool.submit(self._write, statement, rows=rows))
            for one in under_way:
                one.result()

    def _group(self, edges: Iterable[EdgeRow]) -> dict[EdgeKind, list[model.Values]]:
        found: dict[EdgeKind, list[model.Values]] = {}
        for edge in edges:
            found.setdefault(edge.kind, []).append(model.edge_values(self._keys, edge))
        return found


def _dependents_query(relations: str, depth: int) -> str:
    """Return one query that walks layer by layer, as `ViewGraph` does; enumerating ways would grow without bound.

    Behind the first step ambiguous edges (tier 4) are not followed. Each layer is collected in a subquery, so that an
    empty one leaves the others. `t IS NOT NULL` and no label at `s` keep the planner from scanning all symbols each
    time.
    """
    parts = ["MATCH (t:Symbol) WHERE t.key IN $keys WITH collect([t, 1]) AS d0, $keys AS seen0"]
    for layer in range(1, depth + 1):
        followed = "" if layer == 1 else "AND e.tier < 4 "
        before = layer - 1
        parts.append(
            f"CALL (d{before}, seen{before}) {{ UNWIND d{before} AS o WITH o[0] AS t, o[1] AS far, "
            f"seen{before} AS seen WHERE t IS NOT NULL MATCH (t)<-[e:{relations}]-(s) "
            f"WHERE NOT s.key IN seen {followed}"
            "WITH s, min(CASE WHEN e.tier > far THEN e.tier ELSE far END) AS tier "
            f"RETURN collect([s, tier, {layer}]) AS d{layer}, collect(s.key) AS k{layer} }}"
        )
        if layer < depth:
            parts.append(f"WITH *, seen{before} + k{layer} AS seen{layer}")
    together = " + ".join(f"d{layer}" for layer in range(1, depth + 1))
    parts.append(
        f"UNWIND {together} AS o WITH o[0] AS s, o[1] AS tier, o[2] AS distance "
        f"RETURN {model.SYMBOL}, distance, tier ORDER BY distance, tier, s.path, s.line, s.qualname LIMIT $limit"
    )
    return " ".join(parts)


def _batches(rows: Iterable[model.Values]) -> "Iterator[list[model.Values]]":
    batch: list[model.Values] = []
    for row in rows:
        batch.append(row)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
