"""Ranks over the graph of files."""

import pytest

from services.kernel.clock import SystemClock
from services.vector_ops.answers.file_graph import make_file_graph
from services.vector_ops.shelf import open_vector_ops


@pytest.fixture(scope="module")
def graph(shop, tmp_path_factory):
    parts = open_vector_ops(tmp_path_factory.mktemp("graph"), SystemClock())
    parts.service.refresh_now(shop.repo)
    with parts.shelf.open(shop.repo).read() as (reading, _stamp):
        yield make_file_graph(reading.view)
    parts.close()


def test_ranks_are_shares_of_one(graph):
    for seeds in ({}, {"depot.go": 2.0}, {"nowhere.py": 1.0}):
        assert sum(graph.rank(seeds).values()) == pytest.approx(1)


def test_a_file_that_others_use_ranks_above_those_that_use_it(graph):
    ranks = graph.rank({})
    assert ranks["shop/pricing.py"] > ranks["shop/checkout.py"]
    assert ranks["shop/base.py"] > ranks["examples/demo.py"]


def test_a_seed_and_what_it_uses_gain(graph):
    plain, seeded = graph.rank({}), graph.rank({"shop/checkout.py": 1.0})
    assert max(seeded, key=seeded.__getitem__) == "shop/checkout.py"
    assert seeded["shop/cart.py"] > plain["shop/cart.py"]
    assert seeded["depot.go"] < plain["depot.go"]


def test_a_seed_that_is_no_file_changes_nothing(graph):
    assert graph.rank({"nowhere.py": 1.0}) == graph.rank({})
