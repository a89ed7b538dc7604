"""The graph in Neo4j 5, through the driver; satisfies `GraphStore`. It is a copy: SQLite is the truth (ADR-0022)."""

from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from services.kernel.errors import UnavailableError
from services.vector_ops.core.view import EdgeRow, SymbolRow
from services.vector_ops.graph import neo4j_model as model
from services.vector_ops.graph.port import MAX_DEPTH, Dependent, Link
from services.vector_ops.languages.world import EdgeKind, Tier

if TYPE_CHECKING:
    from collections.abc import Iterator

    from neo4j import Driver

_BATCH = 5_000


class GraphStoreAwayError(UnavailableError):
    """The graph store does not answer, or not in time."""

    code = "vector_ops.graph_store_away"


@contextmanager
def reaching() -> "Iterator[None]":
    """Turn every failure of the driver into one error of ours."""
    from neo4j.exceptions import DriverError, Neo4jError  # noqa: PLC0415 - the driver loads when it is configured

    try:
        yield
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
        return str(rows[0]["epoch"]) if rows else ""

    def definitions(self, name: str, limit: int) -> list[SymbolRow]:
        query = (
            "MATCH (s:Symbol) WHERE s.repo = $repo AND s.name = $name AND s.kind <> 'file' "
            "RETURN properties(s) AS s ORDER BY s.path, s.line, s.qualname LIMIT $limit"
        )
        return [self._symbol(row["s"]) for row in self._read(query, name=name, limit=limit)]

    def incoming(self, ids: Sequence[int], kinds: Sequence[EdgeKind], limit: int) -> list[Link]:
        query = (
            f"MATCH (t:Symbol)<-[e:{model.relation_pattern(kinds)}]-(s:Symbol) WHERE t.key IN $keys "
            "RETURN properties(s) AS s, t.key AS other, type(e) AS kind, e.tier AS tier, e.line AS line, "
            "e.column AS column ORDER BY tier, s.path, line, column LIMIT $limit"
        )
        return [self._link(row, is_incoming=True) for row in self._read(query, keys=self._keys_of(ids), limit=limit)]

    def outgoing(self, ids: Sequence[int], kinds: Sequence[EdgeKind], limit: int) -> list[Link]:
        query = (
            f"MATCH (t:Symbol)-[e:{model.relation_pattern(kinds)}]->(s:Symbol) WHERE t.key IN $keys "
            "RETURN properties(s) AS s, t.key AS other, t.path AS path, type(e) AS kind, e.tier AS tier, "
            "e.line AS line, e.column AS column ORDER BY path, line, column LIMIT $limit"
        )
        return [self._link(row, is_incoming=False) for row in self._read(query, keys=self._keys_of(ids), limit=limit)]

    def dependents(self, ids: Sequence[int], kinds: Sequence[EdgeKind], depth: int, limit: int) -> list[Dependent]:
        query = _dependents_query(model.relation_pattern(kinds), min(depth, MAX_DEPTH))
        rows = self._read(query, keys=self._keys_of(ids), limit=limit)
        return [Dependent(self._symbol(row["s"]), _number(row["distance"]), Tier(_number(row["tier"]))) for row in rows]

    def count(self) -> tuple[int, int]:
        query = "MATCH (s:Symbol) WHERE s.repo = $repo RETURN count(s) AS symbols, sum(COUNT { (s)-->() }) AS edges"
        (row,) = self._read(query)
        return _number(row["symbols"]), _number(row["edges"])

    def _keys_of(self, ids: Iterable[int]) -> list[int]:
        return [self._keys.key_of(one) for one in ids]

    def _symbol(self, node: object) -> SymbolRow:
        return model.read_symbol(self._keys, cast("model.Row", node))

    def _link(self, row: model.Row, *, is_incoming: bool) -> Link:
        symbol, other = self._symbol(row["s"]), self._keys.key_of(_number(row["other"]))
        if is_incoming:
            return Link(model.read_edge(symbol.id, other, symbol.path, row), symbol)
        return Link(model.read_edge(other, symbol.id, str(row["path"]), row), symbol)

    def _read(self, query: str, **parameters: object) -> list[model.Row]:
        from neo4j import READ_ACCESS, Query  # noqa: PLC0415

        with reaching(), self._driver.session(default_access_mode=READ_ACCESS) as session:
            result = session.run(Query(query, timeout=self._timeout_s), {"repo": self._repo, **parameters})
            return [dict(record) for record in result]

    # Writing: bulk load into nothing, or the replacement of some files in one transaction.

    def replace_files(
        self, paths: Sequence[str], symbols: Sequence[SymbolRow], edges: Iterable[EdgeRow], epoch: str
    ) -> None:
        """Replace what the graph holds of these files, in one transaction that also writes the epoch."""
        rows = [model.symbol_values(self._keys, self._repo, one) for one in symbols]
        by_kind = self._group(edges)
        with reaching(), self._driver.session() as session, session.begin_transaction(timeout=600) as transaction:
            about = {"repo": self._repo, "paths": list(paths)}
            transaction.run(model.DELETE_EDGES, about).consume()
            transaction.run(model.DELETE_SYMBOLS, about | {"kept": [row[0] for row in rows]}).consume()
            for batch in _batches(rows):
                transaction.run(model.MERGE_SYMBOLS, {"rows": batch}).consume()
            for kind, found in by_kind.items():
                for batch in _batches(found):
                    transaction.run(model.create_edges(kind), {"rows": batch}).consume()
            transaction.run(model.WRITE_EPOCH, {"repo": self._repo, "epoch": epoch, "root": self._repo}).consume()
            transaction.commit()

    def load(self, symbols: Iterable[SymbolRow], edges: Iterable[EdgeRow], epoch: str) -> None:
        """Load the whole graph anew. It counts as not there until the epoch is written, at the very end."""
        with reaching(), self._driver.session() as session:
            for statement in model.SCHEMA:
                session.run(statement).consume()
            about = {"repo": self._repo, "root": self._repo}
            session.run(model.WRITE_EPOCH, about | {"epoch": model.LOADING}).consume()
            session.run(model.DELETE_REPOSITORY, about).consume()
            rows = (model.symbol_values(self._keys, self._repo, one) for one in symbols)
            for batch in _batches(rows):
                session.run(model.CREATE_SYMBOLS, {"rows": batch}).consume()
            for kind, found in self._group(edges).items():
                for batch in _batches(found):
                    session.run(model.create_edges(kind), {"rows": batch}).consume()
            session.run(model.WRITE_EPOCH, about | {"epoch": epoch}).consume()

    def _group(self, edges: Iterable[EdgeRow]) -> dict[EdgeKind, list[model.Values]]:
        found: dict[EdgeKind, list[model.Values]] = {}
        for edge in edges:
            found.setdefault(edge.kind, []).append(model.edge_values(self._keys, edge))
        return found


def _dependents_query(relations: str, depth: int) -> str:
    """Return one query that walks layer by layer, as `ViewGraph` does; enumerating ways would grow without bound.

    Behind the first step ambiguous edges (tier 4) are not followed. Each layer is collected in a subquery, so that an
    empty one leaves the others.
    """
    parts = ["MATCH (t:Symbol) WHERE t.key IN $keys WITH [{s: null}] + collect({s: t, tier: 1}) AS d0, $keys AS seen0"]
    for layer in range(1, depth + 1):
        followed = "" if layer == 1 else "AND e.tier < 4 "
        parts.append(
            f"CALL (d{layer - 1}, seen{layer - 1}) {{ UNWIND d{layer - 1} AS o WITH o.s AS t, o.tier AS far, "
            f"seen{layer - 1} AS seen WHERE t IS NOT NULL MATCH (t)<-[e:{relations}]-(s:Symbol) "
            f"WHERE NOT s.key IN seen {followed}"
            "WITH s, min(CASE WHEN e.tier > far THEN e.tier ELSE far END) AS tier "
            f"RETURN [{{s: null}}] + collect({{s: s, tier: tier, distance: {layer}}}) AS d{layer} }} "
            f"WITH *, seen{layer - 1} + [o IN d{layer} WHERE o.s IS NOT NULL | o.s.key] AS seen{layer}"
        )
    together = " + ".join(f"d{layer}" for layer in range(1, depth + 1))
    parts.append(
        f"UNWIND {together} AS o WITH o.s AS s, o.distance AS distance, o.tier AS tier WHERE s IS NOT NULL "
        "RETURN properties(s) AS s, distance, tier "
        "ORDER BY distance, tier, s.path, s.line, s.qualname LIMIT $limit"
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


def _number(value: object) -> int:
    return int(cast("int", value))
