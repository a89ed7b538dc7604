"""What a change reaches: sections, reasons, order."""

from services.kernel.clock import SystemClock
from services.vector_ops.retrieval.impact import MAX_EDGES
from services.vector_ops.shelf import open_vector_ops
from tests.fakes.sources import SourceTree
from tests.unit.vector_ops.answers.conftest import Asker


def reasons_of(answer):
    return {hit.path: hit.reason for hit in answer.hits}


def test_the_defining_file_comes_first_then_who_leans_on_it_with_the_reason(shop):
    answer = shop.ask("impact_set", "pricing.total")
    assert answer.hits[0].path == "shop/pricing.py"
    assert answer.hits[0].reason.startswith("defines total")
    assert "Cart.sum calls total" in reasons_of(answer)["shop/cart.py"]


def test_callers_of_callers_are_indirect_and_direct_ones_direct(shop):
    sections = {hit.path: hit.section for hit in shop.ask("impact_set", "pricing.total").hits}
    assert sections["shop/cart.py"] == "direct"
    assert sections["shop/checkout.py"] == "indirect"


def test_tests_that_reach_the_change_are_marked_as_tests(shop):
    kinds = {hit.path: hit.kind for hit in shop.ask("impact_set", "Cart.sum").hits}
    assert kinds["tests/test_cart.py"] == "test"
    assert kinds["shop/checkout.py"] == "file"


def test_who_makes_an_object_leans_on_its_constructor(shop):
    reasons = reasons_of(shop.ask("impact_set", "Cart.__init__"))
    assert reasons["shop/checkout.py"].startswith("start constructs it")


def test_an_overriding_method_is_reached_by_a_change_of_the_base_s(shop):
    assert "overrides Holder.add" in reasons_of(shop.ask("impact_set", "Holder.add"))["shop/cart.py"]


def test_a_module_is_asked_for_its_importers(shop):
    assert {"shop/cart.py", "shop/__init__.py"} <= {hit.path for hit in shop.ask("impact_set", "shop/pricing.py").hits}


def test_there_is_one_hit_a_file_and_a_reason_for_each(shop):
    hits = shop.ask("impact_set", "Cart").hits
    assert len({hit.path for hit in hits}) == len(hits)
    assert all(hit.reason for hit in hits)


def test_the_limit_cuts_and_says_so(shop):
    answer = shop.ask("impact_set", "Cart", limit=2)
    assert (len(answer.hits), answer.is_truncated) == (2, True)


def test_more_uses_than_are_looked_at_make_a_short_answer_a_cut_one(tmp_path):
    tree = SourceTree(tmp_path / "repo")
    tree.commit({"hub.py": "def hub(): ...\n", "user.py": "from hub import hub\n" + "hub()\n" * (MAX_EDGES + 1)})
    parts = open_vector_ops(tmp_path / "index", SystemClock())
    answer = Asker(parts.service, tree.root).ask("impact_set", "hub")
    assert ({hit.path for hit in answer.hits}, answer.is_truncated) == ({"hub.py", "user.py"}, True)
    parts.close()
