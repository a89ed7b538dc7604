"""One suite over both graph stores, and a real Neo4j that is away, behind, killed, or asked for more than reading."""

import pytest
from neo4j import GraphDatabase

from services.kernel.clock import SystemClock
from services.kernel.errors import DeadlineExceededError, InvalidRequestError
from services.vector_ops.app import create_service
from services.vector_ops.graph.local import ViewGraph
from services.vector_ops.graph.mirror import level_graph
from services.vector_ops.graph.neo4j_store import Neo4jGraph
from services.vector_ops.graph.reading import run_cypher
from services.vector_ops.languages.world import EdgeKind
from services.vector_ops.models import CypherQuery, IndexQuery, QueryKind
from services.vector_ops.protocol import GraphStoreMissingError
from services.vector_ops.settings import VectorOpsSettings
from tests.fakes.identity import ENGINEER
from tests.fakes.neo4j import find_fault, run_server
from tests.fakes.sources import SourceTree

pytestmark = [
    pytest.mark.skipif(bool(find_fault()), reason=find_fault() or "there is a server"),
    pytest.mark.xdist_group("neo4j"),
]
KINDS = tuple(EdgeKind)
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


@pytest.fixture
def tree(tmp_path):
    made = SourceTree(tmp_path / "repo")
    made.commit(SHOP)
    return made


class Service:
    """A service whose copy lies in Neo4j."""

    def __init__(self, tree, index_dir, url):
        settings = VectorOpsSettings(index_dir=index_dir, neo4j_url=url, neo4j_timeout_s=20)
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


def compare(service, driver):
    """Ask both stores everything, and return how much there was to compare."""
    with service.view() as (reading, _stamp):
        view, local = reading.view, ViewGraph(reading.view)
        graph = Neo4jGraph(driver, service.repo, 60)
        assert graph.read_epoch() == view.committed_epoch
        symbols = list(view.all_symbols())
        assert graph.count() == local.count()
        compared = 0
        for one in symbols:
            for name in ("incoming", "outgoing"):
                for kinds in (KINDS, (EdgeKind.CALL,)):
                    wanted = getattr(local, name)([one.id], kinds, 50)
                    assert getattr(graph, name)([one.id], kinds, 50) == wanted
                    compared += len(wanted)
            for depth in (1, 2, 3):
                assert graph.dependents([one.id], KINDS, depth, 50) == local.dependents([one.id], KINDS, depth, 50)
            assert graph.definitions(one.name, 10) == local.definitions(one.name, 10)
        together = [one.id for one in symbols[:4]]
        assert graph.incoming(together, KINDS, 3) == local.incoming(together, KINDS, 3)
        assert graph.dependents(together, KINDS, 3, 50) == local.dependents(together, KINDS, 3, 50)
        return compared


def test_both_stores_answer_every_verb_alike(service, driver):
    assert service.refresh() == {}
    assert compare(service, driver) > 20


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


def test_a_load_that_was_cut_off_is_done_anew(service, driver):
    service.refresh()
    graph = Neo4jGraph(driver, service.repo, 60)
    with driver.session() as session:
        session.run("MATCH (r:Repository {repo: $repo}) SET r.epoch = 'loading'", repo=service.repo).consume()
        session.run("MATCH (s:Symbol {repo: $repo}) WITH s LIMIT 3 DETACH DELETE s", repo=service.repo).consume()
    with service.view() as (reading, _stamp):
        assert level_graph(graph, reading.view) == -1
    compare(service, driver)


def test_uncommitted_files_are_answered_by_sqlite_without_a_warning(service, tree):
    service.refresh()
    tree.write({"shop/late.py": "from shop.base import check\n\n\ndef late():\n    check(1)\n"})
    answer = service.ask("who_calls", "base.check")
    assert "shop/late.py" in {hit.path for hit in answer.hits}
    assert answer.stamp.warnings == ()


def test_a_copy_that_is_behind_is_named_and_sqlite_answers(service, tree):
    service.refresh()
    tree.commit({"shop/more.py": "from shop.base import check\ncheck(2)\n"})
    service.parts.service.refresh_now(service.repo)
    answer = service.ask("who_calls", "base.check")
    assert "shop/more.py" in {hit.path for hit in answer.hits}
    assert answer.stamp.warnings == ("the graph store is behind the index; answered from SQLite",)


def test_a_server_that_is_killed_and_comes_back_is_brought_level_again(tree, tmp_path):
    with run_server(tmp_path / "crash") as server:
        service = Service(tree, tmp_path / "index", server.url)
        service.refresh()
        before = service.ask("who_calls", "base.check")
        assert before.stamp.warnings == ()
        server.kill()
        tree.commit({"shop/more.py": "from shop.base import check\ncheck(2)\n"})
        assert "graph" in service.refresh()
        away = service.ask("who_calls", "base.check")
        assert len(away.hits) == len(before.hits) + 1
        assert "answered from SQLite" in away.stamp.warnings[0]
        server.start()
        assert service.refresh() == {}
        back = service.ask("who_calls", "base.check")
        assert back.stamp.warnings == ()
        assert back.hits == away.hits
        with GraphDatabase.driver(server.url, notifications_min_severity="OFF") as driver:
            compare(service, driver)
        service.parts.close()


def test_cypher_reads_the_graph_with_a_cap_on_rows(service, driver):
    service.refresh()
    query = "MATCH (s:Symbol {repo: $repo})<-[:CALLS]-(c) WHERE s.name = 'check' RETURN c.qualname AS who ORDER BY who"
    rows, is_cut = run_cypher(driver, service.repo, query, timeout_s=5, max_rows=10)
    assert ([row["who"] for row in rows], is_cut) == (["Base.pay", "Cart.total"], False)
    rows, is_cut = run_cypher(driver, service.repo, "UNWIND range(1, 50) AS x RETURN x", timeout_s=5, max_rows=3)
    assert ([row["x"] for row in rows], is_cut) == ([1, 2, 3], True)
    (row,), _cut = run_cypher(
        driver,
        service.repo,
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
