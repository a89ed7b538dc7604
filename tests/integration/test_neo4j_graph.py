"""One suite over both graph stores, and a real Neo4j that is away, behind, killed, or asked for more than reading."""

import random
import threading
import time
from pathlib import Path

import pytest
from neo4j import GraphDatabase

from services.kernel.clock import SystemClock
from services.kernel.errors import DeadlineExceededError, InvalidRequestError
from services.vector_ops.graph.copied import CopiedGraph
from services.vector_ops.graph.local import ViewGraph
from services.vector_ops.graph.mirror import PAUSE_S, Mirror, level_graph
from services.vector_ops.graph.neo4j_model import LOADING
from services.vector_ops.graph.neo4j_reader import Neo4jReader
from services.vector_ops.graph.neo4j_store import GraphStoreAwayError, Neo4jGraph
from services.vector_ops.graph.port import Bounds, Walk
from services.vector_ops.graph.reading import run_cypher
from services.vector_ops.languages.world import EdgeKind, Tier
from services.vector_ops.models import CypherQuery, IndexQuery, QueryKind
from services.vector_ops.protocol import GraphStoreMissingError
from services.vector_ops.settings import VectorOpsSettings
from services.vector_ops.shelf import create_service
from tests.fakes.identity import ENGINEER
from tests.fakes.neo4j import find_fault, run_server, run_slow_wire
from tests.fakes.sources import SourceTree

pytestmark = [
    pytest.mark.skipif(bool(find_fault()), reason=find_fault() or "there is a server"),
    pytest.mark.xdist_group("neo4j"),
]
KINDS = tuple(EdgeKind)
ALL = Bounds(2_000, 300)
SHOP = {
    "shop/__init__.py": "from shop.cart import Cart\n",
    "shop/base.py": 'class Base:\n    """What can be paid."""\n\n    def pay(self):\n        return check(self)\n\n\n'
    "def check(one):\n    return one\n",
    "shop/cart.py": "from shop.base import Base, check\n\n\nclass Cart(Base):\n    def total(self):\n"
    "        return self.pay() + check(self)\n\n    def all(self):\n        return self.total()\n",
    "shop/report.py": "from shop import Cart\n\n\ndef report(cart: Cart, other):\n    cart.all()\n    other.total()\n"
    "    return Cart()\n",
    "tests/test_cart.py": "from shop.report import report\n\n\ndef test_report():\n    report(None, None)\n",
    "tool/main.go": "package main\n\nfunc helper() int { return 1 }\n\nfunc main() { helper() }\n",
    "tool/go.mod": "module example.com/tool\n",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with run_server(tmp_path_factory.mktemp("neo4j")) as running:
        yield running


@pytest.fixture(scope="module")
def driver(server):
    with GraphDatabase.driver(server.url, notifications_min_severity="OFF") as opened:
        yield opened


@pytest.fixture(scope="module")
def shop(tmp_path_factory, server):
    """A service that is level, for tests that leave its repository as it is."""
    folder = tmp_path_factory.mktemp("shop")
    made_tree = SourceTree(folder / "repo")
    made_tree.commit(SHOP)
    made = Service(made_tree, folder / "index", server.url)
    assert made.refresh() == {}
    yield made
    made.parts.close()


@pytest.fixture
def tree(tmp_path):
    made = SourceTree(tmp_path / "repo")
    made.commit(SHOP)
    return made


class Service:
    """A service whose copy lies in Neo4j."""

    def __init__(self, tree, index_dir, url, timeout_s=20):
        settings = VectorOpsSettings(index_dir=index_dir, neo4j_url=url, neo4j_timeout_s=timeout_s)
        self.parts = create_service(settings, SystemClock())
        self.repo = str(tree.root)

    def refresh(self):
        self.parts.service.refresh_now(self.repo)
        return self.parts.service.tend_now(self.repo)

    def ask(self, kind, text):
        return self.parts.service.query_now(IndexQuery(repo=self.repo, kind=QueryKind(kind), text=text))

    def view(self):
        return self.parts.shelf.open(self.repo).read()


@pytest.fixture
def service(tree, tmp_path, server):
    made = Service(tree, tmp_path / "index", server.url)
    yield made
    made.parts.close()


def copy_of(service, driver, view):
    """The graph store in Neo4j, over a view at whose epoch it is."""
    graph = Neo4jGraph(driver, service.repo, 60)
    assert graph.read_epoch() == view.committed_epoch
    reader = Neo4jReader(graph, view.committed_epoch)
    return CopiedGraph(view, lambda question: question(reader))


def count(graph):
    return Neo4jReader(graph, graph.read_epoch()).count()


def compare(service, driver, *, one_by_one=False):
    """Ask both stores everything, together or one by one, and return how much there was to compare."""
    with service.view() as (reading, _stamp):
        view, local = reading.view, ViewGraph(reading.view)
        graph = copy_of(service, driver, view)
        assert graph.count() == local.count()
        symbols = list(view.all_symbols())
        asked = [[one.id] for one in symbols] if one_by_one else [[one.id for one in symbols]]
        compared = 0
        for ids in asked:
            wanted = local.incoming(ids, KINDS, 500)
            assert graph.incoming(ids, KINDS, 500) == wanted
            assert graph.outgoing(ids, KINDS, 500) == local.outgoing(ids, KINDS, 500)
            assert graph.walk([Walk(ids, [KINDS] * 3)], ALL) == local.walk([Walk(ids, [KINDS] * 3)], ALL)
            compared += len(wanted)
        return compared


def test_both_stores_answer_every_verb_alike(shop, driver):
    assert compare(shop, driver, one_by_one=True) > 10
    with shop.view() as (reading, _stamp):
        local, graph = ViewGraph(reading.view), copy_of(shop, driver, reading.view)
        (check,) = (one.id for one in local.definitions("check", 10))
        (base,) = (one.id for one in local.definitions("Base", 10))
        dependents = 0
        for ids in ([check], [base], [check, base]):
            for kinds in (KINDS, (EdgeKind.CALL,)):
                for depth in (1, 3):
                    wanted = local.dependents(ids, kinds, depth, 50)
                    dependents += len(wanted)
                    assert graph.dependents(ids, kinds, depth, 50) == wanted
        assert dependents > 10
        assert graph.dependents([check], KINDS, 3, 2) == local.dependents([check], KINDS, 3, 2)
        assert graph.incoming([check, base], KINDS, 3) == local.incoming([check, base], KINDS, 3)
        for name in ("check", "total", "nothing"):
            assert graph.definitions(name, 10) == local.definitions(name, 10)


def write_maze(chance):
    """Modules that use each other at random; names repeat, so that calls are doubtful."""
    modules = {}
    for number in range(12):
        lines = [f"from maze.m{other} import f{other}, C{other}" for other in chance.sample(range(12), 4)]
        lines += [f"def f{number}(one):", f"    return one.step() + f{number}(one) + one.walk()"]
        lines += [f"class C{number}({chance.choice([f'C{number - 1}', 'object']) if number else 'object'}):"]
        for name in ("step", "walk", f"own{number}"):
            others = chance.sample(range(12), 2)
            calls = " + ".join(f"f{other}(self).{chance.choice(['step', 'walk'])}()" for other in others)
            lines += [f"    def {name}(self):", f"        return {calls} + self.step() + C{others[0]}()"]
        lines.insert(0, f"from maze.m{number - 1} import C{number - 1}" if number else "")
        modules[f"maze/m{number}.py"] = "\n".join(lines) + "\n"
    return modules


def test_walks_choose_the_same_edges_and_go_on_from_the_same_symbols(tmp_path, server, driver):
    chance = random.Random(5)
    tree = SourceTree(tmp_path / "repo")
    tree.commit({"maze/__init__.py": "", **write_maze(chance)})
    service = Service(tree, tmp_path / "index", server.url)
    assert service.refresh() == {}
    with service.view() as (reading, _stamp):
        local, graph = ViewGraph(reading.view), copy_of(service, driver, reading.view)
        ids = [one.id for one in reading.view.all_symbols()]
        found, doubtful = 0, 0
        for most_edges, most_followed in ((2_000, 300), (7, 300), (2_000, 2), (5, 1)):
            weights = {kind: chance.random() for kind in KINDS}, {tier: chance.random() for tier in Tier}
            walks = [
                Walk(chance.sample(ids, 3), [KINDS, KINDS, (EdgeKind.CALL,)], *weights),
                Walk(chance.sample(ids, 20), [(EdgeKind.CALL,)] * 4, follows_ambiguous=True),
                Walk([], [KINDS]),
            ]
            bounds = Bounds(most_edges, most_followed)
            wanted = local.walk(walks, bounds)
            assert graph.walk(walks, bounds) == wanted
            found += len(wanted[0][2])
            doubtful += sum(link.edge.tier is Tier.AMBIGUOUS for link in wanted[1][3])
        assert (found > 10, doubtful > 10, graph.walk([], ALL)) == (True, True, [])
    service.parts.close()


def test_verbs_that_need_the_graph_ask_the_copy_and_answer_as_sqlite_does(shop, driver):
    asked = [("who_calls", "base.check"), ("impact_set", "base.check"), ("impact_set", "Base"), ("context_pack", "pay")]
    from_copy = [shop.ask(*one) for one in asked]
    with driver.session() as session:
        session.run("MATCH (r:Repository {root: $root}) SET r.epoch = 'other'", root=shop.repo).consume()
    from_sqlite = [shop.ask(*one) for one in asked]
    assert [answer.hits for answer in from_copy] == [answer.hits for answer in from_sqlite]
    assert all(answer.hits and not answer.stamp.warnings for answer in from_copy)
    behind = ("answered from SQLite: the graph store is behind the index",)
    assert [answer.stamp.warnings for answer in from_sqlite] == [behind] * len(asked)
    assert shop.ask("where_defined", "check").stamp.warnings == ()
    with shop.view() as (reading, _stamp):
        level_graph(Neo4jGraph(driver, shop.repo, 60), reading.view)
    assert shop.ask("impact_set", "Base") == from_copy[2]


def test_increments_keep_the_copy_level_and_replace_only_what_changed(service, tree, driver):
    service.refresh()
    tree.commit({"shop/base.py": SHOP["shop/base.py"].replace("check", "verify"), "shop/new.py": "def fresh(): ...\n"})
    service.refresh()
    compare(service, driver)
    tree.remove("shop/report.py")
    tree.commit({"shop/renamed.py": SHOP["shop/report.py"]})
    service.parts.service.refresh_now(service.repo)
    with service.view() as (reading, _stamp):
        assert 0 < level_graph(Neo4jGraph(driver, service.repo, 60), reading.view) < len(SHOP)
    compare(service, driver)


def test_many_repositories_stand_apart_in_one_database(service, tree, tmp_path, server, driver):
    service.refresh()
    other_tree = SourceTree(tmp_path / "other")
    other_tree.commit({**SHOP, "shop/extra.py": "from shop.base import check\ncheck(1)\n"})
    other = Service(other_tree, tmp_path / "index", server.url)
    other.refresh()
    compare(service, driver)
    compare(other, driver)
    other_tree.commit({"shop/base.py": "def check(one): ...\n"})
    other.refresh()
    compare(service, driver)
    other.parts.close()


def test_a_load_that_was_cut_off_is_done_anew(shop, driver):
    graph = Neo4jGraph(driver, shop.repo, 60)
    with driver.session() as session:
        session.run("MATCH (r:Repository {root: $root}) SET r.epoch = 'loading'", root=shop.repo).consume()
        session.run("MATCH (s:Symbol {repo: $repo}) WITH s LIMIT 3 DETACH DELETE s", repo=graph.keys.repo).consume()
    with shop.view() as (reading, _stamp):
        assert level_graph(graph, reading.view) == -1
    compare(shop, driver)


def test_what_an_earlier_make_has_left_of_a_repository_goes_with_the_first_load(shop, driver):
    driver.execute_query(
        "CREATE (:Repository {repo: $root, epoch: '1'}), (:Symbol {repo: $root, key: 7})", root=shop.repo
    )
    with shop.view() as (reading, _stamp):
        assert level_graph(Neo4jGraph(driver, shop.repo, 60), reading.view, is_damaged=True) == -1
    left = "MATCH (n) WHERE n.repo = $root RETURN count(n) AS left"
    assert driver.execute_query(left, root=shop.repo).records[0]["left"] == 0
    compare(shop, driver)


def test_uncommitted_files_are_answered_by_sqlite_without_a_warning(shop):
    late = Path(shop.repo) / "shop/late.py"
    late.write_text("from shop.base import check\n\n\ndef late():\n    check(1)\n")
    answer = shop.ask("who_calls", "base.check")
    late.unlink()
    assert "shop/late.py" in {hit.path for hit in answer.hits}
    assert answer.stamp.warnings == ()


def test_a_copy_that_is_behind_is_named_and_sqlite_answers(service, tree):
    service.refresh()
    tree.commit({"shop/more.py": "from shop.base import check\ncheck(2)\n"})
    service.parts.service.refresh_now(service.repo)
    answer = service.ask("who_calls", "base.check")
    assert "shop/more.py" in {hit.path for hit in answer.hits}
    assert answer.stamp.warnings == ("answered from SQLite: the graph store is behind the index",)


def test_cypher_reads_the_graph_with_a_cap_on_rows(shop, driver):
    query = "MATCH (s:Symbol {repo: $repo})<-[:CALLS]-(c) WHERE s.name = 'check' RETURN c.qualname AS who ORDER BY who"
    rows, is_cut = run_cypher(driver, shop.repo, query, timeout_s=5, max_rows=10)
    assert ([row["who"] for row in rows], is_cut) == (["Base.pay", "Cart.total"], False)
    rows, is_cut = run_cypher(driver, shop.repo, "UNWIND range(1, 50) AS x RETURN x", timeout_s=5, max_rows=3)
    assert ([row["x"] for row in rows], is_cut) == ([1, 2, 3], True)
    (row,), _cut = run_cypher(
        driver,
        shop.repo,
        "MATCH p = (s:Symbol {name: 'all', repo: $repo})-[:CALLS]->(t) RETURN p",
        timeout_s=5,
        max_rows=3,
    )
    assert [node["name"] for node in row["p"]["nodes"]] == ["all", "total"]


@pytest.mark.parametrize(
    "query",
    [
        "MATCH (s) WITH s LIMIT 1 CALL { WITH s CREATE (x:X) RETURN x } RETURN x",
        "LOAD CSV FROM 'file:///etc/passwd' AS line RETURN line",
        "CALL dbms.listConfig() YIELD name RETURN name",
        "MATCH (n RETURN n",
        "RETURN nothing",
    ],
)
def test_cypher_that_writes_loads_calls_or_is_wrong_is_one_clear_line(driver, query):
    with pytest.raises(InvalidRequestError) as caught:
        run_cypher(driver, "/repo", query, timeout_s=5, max_rows=3)
    assert "\n" not in caught.value.detail


def test_the_plan_gate_alone_refuses_what_slips_past_the_words(driver, monkeypatch):
    monkeypatch.setattr("services.vector_ops.graph.reading.check_words", lambda _query: None)
    for query in (
        "LOAD CSV FROM 'file:///etc/passwd' AS line RETURN line",
        "CREATE (x:X) RETURN x",
        "CALL dbms.components() YIELD name RETURN name",
        "MATCH (n) SET n.x = 1",
    ):
        with pytest.raises(InvalidRequestError, match=r"not allowed|only reading|more than read"):
            run_cypher(driver, "/repo", query, timeout_s=5, max_rows=3)
    with driver.session() as session:
        assert session.run("MATCH (x:X) RETURN count(x)").single().value() == 0


def test_a_query_that_takes_too_long_is_ended(driver):
    with pytest.raises(DeadlineExceededError, match="longer than"):
        run_cypher(
            driver, "/repo", "UNWIND range(1, 100000000) AS a UNWIND range(1, 1000) AS b RETURN sum(a * b)",
            timeout_s=1, max_rows=3,
        )  # fmt: skip


async def test_cypher_without_a_graph_store_says_how_to_get_one(tree, tmp_path):
    parts = create_service(VectorOpsSettings(index_dir=tmp_path / "index"), SystemClock())
    with pytest.raises(GraphStoreMissingError, match="VECTOR_OPS_NEO4J_URL"):
        await parts.service.cypher(ENGINEER, CypherQuery(repo=str(tree.root), query="RETURN 1"))
    parts.close()


def test_a_copy_that_was_deleted_or_damaged_is_made_again_without_a_new_commit(service, driver):
    service.refresh()
    graph = Neo4jGraph(driver, service.repo, 60)
    level = service.ask("who_calls", "base.check")
    index = service.parts.shelf.open(service.repo)
    faults = {
        "is behind the index": "MATCH (r:Repository {repo: $repo}) DELETE r",
        "holds symbols that the index does not know; it is loaded anew": (
            "MATCH (s:Symbol {repo: $repo, name: 'check'}) CREATE (s)<-[:CALLS {tier: 1, line: 1, column: 1}]-"
            "(:Symbol {key: 5, repo: $repo, path: 'a.py', name: 'x', qualname: 'x', kind: 'function', line: 1})"
        ),
    }
    for fault, statement in faults.items():
        assert index.needs_tending() is False
        driver.execute_query(statement, {"repo": graph.keys.repo})
        answer = service.ask("who_calls", "base.check")
        assert answer.stamp.warnings == (f"answered from SQLite: the graph store {fault}",)
        assert answer.hits == level.hits
        assert index.needs_tending() is True
        assert service.parts.service.tend_now(service.repo) == {}
        assert service.ask("who_calls", "base.check") == level
    compare(service, driver)


# A server that fails. These tests come last: each leaves it as it was.


def test_a_server_that_hangs_costs_one_question_its_timeout_and_the_next_ones_nothing(shop, server, driver):
    now_s = 0.0
    with shop.view() as (reading, _stamp):
        mirror = Mirror(Neo4jGraph(driver, shop.repo, 0.2), lambda: now_s, 0.2)
        wanted = ViewGraph(reading.view).definitions("check", 10)
        graph = mirror.over(reading.view)
        server.hang()
        assert graph.definitions("check", 10) == wanted
        assert graph.warnings == ["answered from SQLite: the graph store did not answer within 0.2 s"]
        again = mirror.over(reading.view)
        assert again.definitions("check", 10) == wanted
        assert again.warnings == ["answered from SQLite: the graph store has not answered an earlier question yet"]
        server.go_on()
        for thread in threading.enumerate():
            if thread.name == "graph-store":
                thread.join(30)
        paused = mirror.over(reading.view)
        assert paused.definitions("check", 10) == wanted
        assert paused.warnings == [
            "answered from SQLite: the graph store has failed just now; it is asked again in 10 s"
        ]
        now_s = PAUSE_S
        back = Mirror(Neo4jGraph(driver, shop.repo, 20), lambda: now_s, 20).over(reading.view)
        assert (back.definitions("check", 10), back.warnings) == (wanted, [])


def test_questions_go_on_while_a_server_is_slow_and_a_refresh_waits_for_it(tree, tmp_path, server, driver):
    with run_slow_wire(server.url) as wire:
        service = Service(tree, tmp_path / "index", wire.url, timeout_s=1)
        assert service.refresh() == {}
        level = service.ask("impact_set", "base.check")
        assert level.stamp.warnings == ()
        wire.slow_down(60)
        late = service.ask("impact_set", "base.check")
        assert late.stamp.warnings == ("answered from SQLite: the graph store did not answer within 1 s",)
        assert late.hits == level.hits
        wire.hurry()
        wire.slow_down(0.1)
        tree.commit({"shop/more.py": "from shop.base import check\ncheck(2)\n"})
        assert service.refresh() == {}
        wire.hurry()
        again = service.ask("impact_set", "base.check")
        assert again.stamp.warnings == ()
        assert "shop/more.py" in {hit.path for hit in again.hits}
        compare(service, driver)
        service.parts.close()


def test_a_server_killed_amid_a_load_and_a_replacement_is_brought_level_again(shop, service, tree, server, driver):
    service.refresh()
    before = service.ask("who_calls", "base.check")
    assert before.stamp.warnings == ()
    written = []
    with shop.view() as (reading, _stamp):
        other, view = Neo4jGraph(driver, shop.repo, 20), reading.view
        counted, rows = count(other), (list(view.all_symbols()), list(view.all_edges()))
        paths = [one.path for one in view.list_files()]

        def replace_for_ever():
            while True:
                other.replace_files(paths, *rows, f"epoch {len(written)}")
                written.append(1)

        def replace_until_it_fails():
            with pytest.raises(GraphStoreAwayError):
                replace_for_ever()

        replacing = threading.Thread(target=replace_until_it_fails)
        replacing.start()
        while not written:
            time.sleep(0.01)
        load_until_it_is_killed(service, driver, server)
        replacing.join(60)
    tree.commit({"shop/more.py": "from shop.base import check\ncheck(2)\n"})
    assert "graph" in service.refresh()
    away = service.ask("who_calls", "base.check")
    assert len(away.hits) == len(before.hits) + 1
    assert "answered from SQLite" in away.stamp.warnings[0]

    server.start()
    assert count(other) == counted
    # The last one may have been written and its acknowledgement lost.
    assert other.read_epoch() in {f"epoch {len(written) - 1}", f"epoch {len(written)}"}
    assert Neo4jGraph(driver, service.repo, 20).read_epoch() == LOADING
    assert service.refresh() == {}
    back = service.ask("who_calls", "base.check")
    assert (back.stamp.warnings, back.hits) == ((), away.hits)
    compare(service, driver)
    with shop.view() as (reading, _stamp):
        assert level_graph(other, reading.view) == -1
    compare(shop, driver)


def load_until_it_is_killed(service, driver, server):
    """Load the symbols, and kill the server at a random moment of the edges."""
    with service.view() as (reading, _stamp):
        view = reading.view

        def kill_and_go_on():
            time.sleep(random.uniform(0, 0.1))
            server.kill()
            yield from view.all_edges()

        with pytest.raises(GraphStoreAwayError, match="does not answer"):
            Neo4jGraph(driver, service.repo, 20).load(view.all_symbols(), kill_and_go_on(), view.committed_epoch)
