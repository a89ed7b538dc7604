"""`vp index`: the same commands as `direng index`, with the outputs of `vp`."""

import json

import pytest
import yaml

from tests.fakes.commands import Platform, git


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """One platform and one repository for all tests."""
    folder = tmp_path_factory.mktemp("served")
    shop = folder / "shop"
    shop.mkdir()
    (shop / "shop.py").write_text("def total(lines):\n    return sum(lines)\n\n\ndef bill():\n    return total([1])\n")
    git("init", "-q", "-b", "main", cwd=shop)
    git("add", "-A", cwd=shop)
    git("commit", "-qm", "The shop", cwd=shop)
    own = Platform(folder / "home")
    yield own, shop
    own.direng("down", cwd=folder)


def test_words_that_do_not_fit_end_with_code_2_and_start_nothing(tmp_path):
    platform = Platform(tmp_path / "home")
    for argv, line in (
        (("query", "whose", "x"), "'whose' is no verb of the index"),
        (("query", "search"), "search needs a TEXT"),
        (("cypher", "RETURN 1", "--limit", "5000"), "--limit 5000: give a number from 1 to 1000"),
        (("status", "-o", "xml"), "choose table, json, yaml"),
    ):
        done = platform.vp("index", *argv, cwd=tmp_path)
        assert (done.code, done.out) == (2, "")
        assert line in done.err
    assert not (tmp_path / "home").exists()


def test_the_index_answers_as_under_direng_and_in_every_output(served):
    platform, shop = served
    assert "indexed in" in platform.vp("index", "build", cwd=shop).out
    assert "freshness   fresh" in platform.vp("index", "status", cwd=shop).out
    asked = ("index", "query", "who_calls", "total")
    table = platform.vp(*asked, cwd=shop)
    assert table.out.startswith("shop.py:6  bill  return total([1])  [exact")
    assert table.out == platform.direng(*asked, cwd=shop).out
    whole = json.loads(platform.vp(*asked, "-o", "json", cwd=shop).out)
    assert [hit["symbol"] for hit in whole["hits"]] == ["bill"]
    assert yaml.safe_load(platform.vp(*asked, "-o", "yaml", cwd=shop).out)["hits"] == whole["hits"]
    assert json.loads(platform.vp(*asked, "--json", "hits", cwd=shop).out) == {"hits": whole["hits"]}
    unknown = platform.vp(*asked, "--json", "colour", cwd=shop)
    assert (unknown.code, "no field colour" in unknown.err) == (2, True)


def test_cypher_without_a_graph_store_is_one_line_that_says_how_to_get_one(served):
    platform, shop = served
    done = platform.vp("index", "cypher", "MATCH (n) RETURN n", cwd=shop)
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
    assert "VECTOR_OPS_NEO4J_URL" in done.err
