import random

import pytest

from services.kernel.clock import SystemClock
from services.vector_ops.graph.local import ViewGraph
from services.vector_ops.graph.neo4j_model import Keys
from services.vector_ops.graph.port import Bounds, Walk
from services.vector_ops.languages.world import EdgeKind, Tier
from services.vector_ops.shelf import open_vector_ops
from tests.fakes.sources import SourceTree

FILES = {
    "base.py": "def base():\n    return 1\n",
    "near.py": "from base import base\n\ndef near():\n    return base()\n\ndef keep():\n    return [base]\n",
    "far.py": "from near import near, keep\n\ndef far():\n    return near()\n\ndef other():\n    return keep()\n",
    "loop.py": "from far import far\n\ndef loop():\n    return far() + loop()\n",
    "a.py": "class A:\n    def go(self):\n        return 1\n\nclass B:\n    def go(self):\n        return 2\n",
    "c.py": "class C:\n    def run(self, one):\n        return one.go()\n",
    "d.py": "class D:\n    def run(self, one):\n        return one.go()\n\ndef top(one):\n    return one.run()\n",
}
CALLS = (EdgeKind.CALL,)
WIDE = Bounds(100, 100)


@pytest.fixture(scope="module")
def view(tmp_path_factory):
    folder = tmp_path_factory.mktemp("walk")
    tree = SourceTree(folder / "repo")
    tree.commit(FILES)
    parts = open_vector_ops(folder / "index", SystemClock())
    parts.service.refresh_now(str(tree.root))
    with parts.shelf.open(str(tree.root)).read() as (reading, _stamp):
        yield reading.view
    parts.close()


@pytest.fixture
def walk(view):
    ids = {row.qualname: row.id for row in view.all_symbols()}

    def sources(name, steps, bounds=WIDE, **options):
        (trail,) = ViewGraph(view).walk([Walk([ids[name]], steps, **options)], bounds)
        return [[link.symbol.qualname for link in links] for links in trail]

    return sources


def test_each_step_follows_its_own_kinds_from_what_the_one_before_has_found(walk):
    assert walk("base", [CALLS, CALLS, CALLS]) == [["near"], ["far"], ["loop"]]
    assert walk("base", [(EdgeKind.USE,), CALLS]) == [["keep"], ["other"]]


def test_a_walk_does_not_begin_again_where_it_began_and_an_empty_one_has_its_steps(walk, view):
    assert walk("loop", [CALLS, CALLS]) == [["loop"], []]
    assert ViewGraph(view).walk([Walk([], [CALLS, CALLS]), Walk([], [CALLS])], WIDE) == [[[], []], [[]]]


def test_further_steps_begin_at_the_sources_with_the_highest_scores(walk):
    kinds = (EdgeKind.CALL, EdgeKind.USE)
    few = Bounds(100, 1)
    for preferred, reached in ((EdgeKind.CALL, "far"), (EdgeKind.USE, "other")):
        scores = dict.fromkeys(EdgeKind, 0.1) | {preferred: 0.9}
        assert walk("base", [kinds, CALLS], few, kind_scores=scores)[1] == [reached]


def test_a_step_looks_at_no_more_edges_than_its_bound(walk):
    kinds = tuple(EdgeKind)
    assert len(walk("base", [kinds], Bounds(2, 100))[0]) == 2 < len(walk("base", [kinds])[0])


def test_doubtful_edges_are_followed_at_the_first_step_alone_unless_asked_for(view):
    go = next(row.id for row in view.all_symbols() if row.qualname == "A.go")
    plain, free = ViewGraph(view).walk(
        [Walk([go], [CALLS, CALLS]), Walk([go], [CALLS, CALLS], follows_ambiguous=True)], WIDE
    )
    assert {link.edge.tier for link in plain[0]} == {Tier.AMBIGUOUS}
    assert plain == [free[0], []]
    assert {link.symbol.qualname for link in free[1]} == {"top"}


def test_keys_keep_the_order_of_ids_fit_into_64_bits_and_differ_between_repositories():
    chance = random.Random(3)
    ids = sorted({0, 2**63 - 1, *(chance.randrange(2**63) for _ in range(200))})
    made = {}
    for root in ("/a", "/b", "/somewhere/else"):
        keys = Keys(root)
        made[root] = [keys.key_of(one) for one in ids]
        assert made[root] == sorted(made[root])
        assert [keys.id_of(key) for key in made[root]] == ids
        assert -(2**63) <= made[root][0] <= made[root][-1] < 2**63
        assert 0 <= keys.repo < 2**52
    assert len({key for keys in made.values() for key in keys}) == 3 * len(ids)
