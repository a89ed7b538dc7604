"""Measure the graph in Neo4j against bare nodes and edges in the same server, in one run.

    python tests/benchmarks/measure_graph.py bolt://127.0.0.1:7687 [--nodes 100000] [--edges 500000]

Method. The anchor is what the driver and the server can do at best for a graph of this shape: nodes `{id, file, name}`
under a unique constraint on `id` and an index on `file`, edges with one number, batches of 5,000 through UNWIND by
`execute_query`. Ours is `Neo4jGraph` with as many symbols and edges: seven properties, a constraint and two indexes,
many repositories side by side; questions name their epoch and return edges and ids (what else belongs to a symbol the
product reads from its index). Both hold the same random graph. After a round that warms the server's JVM and is left
out, the two take turns, three rounds each; medians are compared, so that a busy machine slows both. The database
is emptied at the end: give it a server that is meant for this.
"""

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import LiteralString, NamedTuple

import neo4j

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from services.vector_ops.core.view import EdgeRow, SymbolRow  # noqa: E402 - the path is set first
from services.vector_ops.graph.neo4j_reader import Neo4jReader  # noqa: E402
from services.vector_ops.graph.neo4j_store import Neo4jGraph  # noqa: E402
from services.vector_ops.languages.world import EdgeKind, Tier  # noqa: E402

NODES = 100_000
EDGES = 500_000
FILE_NODES = 20
ROUNDS = 3
QUERIES = 200
REPLACEMENTS = 60
TARGET = 1.3
_BATCH = 5_000
_WARM_SHARE = 0.2
_LIMIT = 1_000
Figures = dict[str, float]


class Plan(NamedTuple):
    """One random graph: node `n` lies in file `n // FILE_NODES`; edges are (source, target)."""

    nodes: int
    edges: list[tuple[int, int]]
    asked: list[int]
    files: list[int]


def make_plan(nodes: int, edges: int) -> Plan:
    """Return a graph whose edges lead anywhere, as many from each node."""
    chance = random.Random(11)
    pairs = [(number * nodes // edges, chance.randrange(nodes)) for number in range(edges)]
    asked = [chance.randrange(nodes) for _ in range(QUERIES)]
    return Plan(nodes, pairs, asked, chance.sample(range(nodes // FILE_NODES), REPLACEMENTS))


def path_of(file: int) -> str:
    """Return the path of a file, as long as paths usually are."""
    return f"package/section{file % 40}/module_{file}.py"


def batches(rows: Sequence[object]) -> Iterator[Sequence[object]]:
    """Yield the rows in the anchor's batches."""
    for start in range(0, len(rows), _BATCH):
        yield rows[start : start + _BATCH]


class Anchor:
    """Bare nodes and edges, written and read in the shortest way."""

    _EDGE: LiteralString = (
        "UNWIND $rows AS row MATCH (a:Bare {id: row.a}) MATCH (b:Bare {id: row.b}) "
        "CREATE (a)-[:TO {line: row.line}]->(b)"
    )

    def __init__(self, driver: neo4j.Driver) -> None:
        self._driver = driver
        driver.execute_query("CREATE CONSTRAINT bare_id IF NOT EXISTS FOR (n:Bare) REQUIRE n.id IS UNIQUE")
        driver.execute_query("CREATE INDEX bare_file IF NOT EXISTS FOR (n:Bare) ON (n.file)")

    def load_nodes(self, plan: Plan) -> None:
        """Create the nodes."""
        rows = [{"id": n, "file": path_of(n // FILE_NODES), "name": f"name_{n}"} for n in range(plan.nodes)]
        for batch in batches(rows):
            self._driver.execute_query(
                "UNWIND $rows AS row CREATE (:Bare {id: row.id, file: row.file, name: row.name})", {"rows": batch}
            )

    def load_edges(self, plan: Plan) -> None:
        """Create the edges."""
        for batch in batches([{"a": a, "b": b, "line": a % 500} for a, b in plan.edges]):
            self._driver.execute_query(self._EDGE, {"rows": batch})

    def ask(self, node: int) -> int:
        """Return the number of callers."""
        query: LiteralString = "MATCH (t:Bare {id: $id})<-[:TO]-(s) RETURN s.id, s.file, s.name"
        return len(self._driver.execute_query(query, {"id": node}).records)

    def reach(self, node: int, depth: int) -> int:
        """Return the number of nodes that reach this one."""
        query: LiteralString = (
            "MATCH (t:Bare {id: $id})<-[:TO*1..2]-(s) RETURN DISTINCT s.id, s.file, s.name"
            if depth == 2
            else "MATCH (t:Bare {id: $id})<-[:TO*1..3]-(s) RETURN DISTINCT s.id, s.file, s.name"
        )
        return len(self._driver.execute_query(query, {"id": node}).records)

    def replace(self, file: int, edges: Sequence[tuple[int, int]]) -> None:
        """Replace the edges of one file in one transaction."""
        rows = [{"a": a, "b": b, "line": a % 500} for a, b in edges]

        def work(transaction: neo4j.ManagedTransaction) -> None:
            transaction.run("MATCH (:Bare {file: $file})-[e:TO]->() DELETE e", {"file": path_of(file)}).consume()
            transaction.run(self._EDGE, {"rows": rows}).consume()

        with self._driver.session() as session:
            session.execute_write(work)

    def clear(self) -> None:
        """Delete everything."""
        self._driver.execute_query("DROP CONSTRAINT bare_id IF EXISTS")
        self._driver.execute_query("DROP INDEX bare_file IF EXISTS")
        with self._driver.session() as session:
            session.run("MATCH (n:Bare) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 10000 ROWS").consume()


class Ours:
    """The store of the product with as many symbols and edges."""

    def __init__(self, driver: neo4j.Driver) -> None:
        self._driver = driver
        self._graph = Neo4jGraph(driver, "/home/somebody/projects/bench", 60)
        self._epoch = 0

    def load(self, plan: Plan) -> tuple[float, float]:
        """Load everything as a refresh does; return the seconds until the first edge was asked for, and behind."""
        turned_s = [0.0]

        def edges() -> Iterator[EdgeRow]:
            turned_s[0] = time.perf_counter()
            yield from (_edge(a, b) for a, b in plan.edges)

        begun_s = time.perf_counter()
        self._graph.load((_symbol(n) for n in range(plan.nodes)), edges(), self._next_epoch())
        return turned_s[0] - begun_s, time.perf_counter() - turned_s[0]

    def _next_epoch(self) -> str:
        self._epoch += 1
        return str(self._epoch)

    def _reader(self) -> Neo4jReader:
        return Neo4jReader(self._graph, str(self._epoch))

    def ask(self, node: int) -> int:
        """Return the number of callers."""
        return len(self._reader().incoming([node], (EdgeKind.CALL,), _LIMIT))

    def reach(self, node: int, depth: int) -> int:
        """Return the number of symbols that reach this one."""
        return len(self._reader().dependents([node], (EdgeKind.CALL,), depth, _LIMIT))

    def replace(self, file: int, edges: Sequence[tuple[int, int]]) -> None:
        """Replace one file whose edges have changed, as a refresh does."""
        symbols = [_symbol(n) for n in range(file * FILE_NODES, (file + 1) * FILE_NODES)]
        self._graph.replace_files([path_of(file)], symbols, [_edge(a, b) for a, b in edges], self._next_epoch())

    def clear(self) -> None:
        """Delete everything."""
        with self._driver.session() as session:
            session.run("MATCH (n:Symbol) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 10000 ROWS").consume()
            session.run("MATCH (n:Repository) DELETE n").consume()


def _symbol(n: int) -> SymbolRow:
    at, line = n % FILE_NODES, 10 * (n % FILE_NODES) + 1
    name = f"name_{n}"
    return SymbolRow(
        id=n,
        path=path_of(n // FILE_NODES),
        at=at,
        name=name,
        qualname=f"Holder{n % 7}.{name}",
        kind="method",
        line=line,
        column=4,
        start_line=line,
        end_line=line + 8,
        signature=f"def {name}(self, first, second):",
        doc="Return what was asked for, or nothing.",
        is_test=False,
    )


def _edge(a: int, b: int) -> EdgeRow:
    return EdgeRow(a, b, EdgeKind.CALL, Tier.EXACT, path_of(a // FILE_NODES), a % 500, 8)


def measure_ms(work: Callable[[], object]) -> float:
    """Return the milliseconds that some work took."""
    begun_s = time.perf_counter()
    work()
    return (time.perf_counter() - begun_s) * 1000


def measure_round(anchor: Anchor, ours: Ours, plan: Plan) -> tuple[Figures, Figures]:
    """Load, ask and replace once with each; return the figures of both."""
    bare: Figures = {
        "nodes_per_s": plan.nodes / (measure_ms(lambda: anchor.load_nodes(plan)) / 1000),
        "edges_per_s": len(plan.edges) / (measure_ms(lambda: anchor.load_edges(plan)) / 1000),
    }
    nodes_s, edges_s = ours.load(plan)
    own: Figures = {"nodes_per_s": plan.nodes / nodes_s, "edges_per_s": len(plan.edges) / edges_s}
    times: dict[str, tuple[list[float], list[float]]] = {}

    def note(name: str, first: Callable[[], object], second: Callable[[], object]) -> None:
        kept = times.setdefault(name, ([], []))
        kept[0].append(measure_ms(first))
        kept[1].append(measure_ms(second))

    for node in plan.asked:
        assert anchor.ask(node) <= ours.ask(node)  # two edges between the same two are one link each
        note("one_hop_p50_ms", lambda node=node: anchor.ask(node), lambda node=node: ours.ask(node))  # type: ignore[misc]
        for depth in (2, 3):
            note(
                f"dependents_depth_{depth}_p50_ms",
                lambda node=node, depth=depth: anchor.reach(node, depth),  # type: ignore[misc]
                lambda node=node, depth=depth: ours.reach(node, depth),  # type: ignore[misc]
            )
    for file, edges in _replacements(plan):
        note(
            "replace_file_p50_ms",
            lambda file=file, edges=edges: anchor.replace(file, edges),  # type: ignore[misc]
            lambda file=file, edges=edges: ours.replace(file, edges),  # type: ignore[misc]
        )
    for name, (first, second) in times.items():
        bare[name], own[name] = statistics.median(first), statistics.median(second)
    return bare, own


def _replacements(plan: Plan) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    chance = random.Random(12)
    of_file = len(plan.edges) * FILE_NODES // plan.nodes
    for file in plan.files:
        first = file * FILE_NODES
        yield file, [(first + n % FILE_NODES, chance.randrange(plan.nodes)) for n in range(of_file)]


def measure_graph(url: str, nodes: int = NODES, edges: int = EDGES) -> dict[str, object]:
    """Return the figures of both, and how many times slower ours is, against the server at `url`."""
    rounds = []
    with neo4j.GraphDatabase.driver(url, notifications_min_severity="OFF") as driver:
        for number in range(ROUNDS + 1):
            share = 1 if number else _WARM_SHARE
            ours = Ours(driver)
            ours.clear()
            anchor = Anchor(driver)
            plan = make_plan(int(nodes * share), int(edges * share))
            rounds.append(measure_round(anchor, ours, plan))
            anchor.clear()
        ours.clear()
    names = rounds[0][0]
    bare = {name: statistics.median(one[0][name] for one in rounds[1:]) for name in names}
    own = {name: statistics.median(one[1][name] for one in rounds[1:]) for name in names}
    slower = {name: bare[name] / own[name] if name.endswith("per_s") else own[name] / bare[name] for name in names}
    return {
        "nodes": nodes,
        "edges": edges,
        "anchor": {name: round(value, 2) for name, value in bare.items()},
        "ours": {name: round(value, 2) for name, value in own.items()},
        "times_slower": {name: round(value, 2) for name, value in slower.items()},
        "times_slower_target": TARGET,
    }


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Measure the graph in Neo4j against bare nodes and edges.")
    parser.add_argument("url")
    parser.add_argument("--nodes", type=int, default=NODES)
    parser.add_argument("--edges", type=int, default=EDGES)
    given = parser.parse_args()
    print(json.dumps(measure_graph(given.url, given.nodes, given.edges), indent=2))


if __name__ == "__main__":
    main()
