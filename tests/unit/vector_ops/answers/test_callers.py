"""Who calls what: tiers, constructors, overridden methods, order, caps."""

import pytest

from services.kernel.clock import SystemClock
from services.kernel.errors import InvalidRequestError
from services.vector_ops.answers.callers import AMBIGUOUS_LIMIT
from services.vector_ops.shelf import open_vector_ops
from tests.fakes.sources import SourceTree
from tests.unit.vector_ops.answers.conftest import Asker


@pytest.fixture
def open_tree(tmp_path):
    """Return what opens a repository of its own."""
    parts = open_vector_ops(tmp_path / "index", SystemClock())

    def open_one(files):
        tree = SourceTree(tmp_path / "repo")
        tree.commit(files)
        return Asker(parts.service, tree.root)

    yield open_one
    parts.close()


def test_calls_carry_tier_enclosing_definition_and_reason(shop):
    hit = shop.ask("who_calls", "pricing.total").hits[0]
    assert (hit.path, hit.line, hit.symbol, hit.kind) == ("shop/cart.py", 21, "Cart.sum", "call")
    assert (hit.tier, hit.snippet) == ("exact", "return total(self.items)")
    assert hit.reason == "calls total of shop/pricing.py"


def test_calls_of_values_that_hold_a_function_are_calls_of_it_and_mere_mentions_are_not(open_tree):
    asker = open_tree(
        {
            "rates.py": "def convert(): ...\n\n\nswap = convert\n\n\nclass Desk:\n    trade = convert\n",
            "bank.py": "from rates import Desk, convert, swap\n\nswap()\nDesk().trade()\nprint(convert, swap)\n",
        }
    )
    reasons = {(hit.line, hit.tier.value): hit.reason for hit in asker.ask("who_calls", "convert").hits}
    assert reasons == {(3, "typed"): "calls convert as swap", (4, "typed"): "calls convert as Desk.trade"}


def test_calls_in_code_come_before_those_in_examples_and_tests(shop):
    assert shop.places("who_calls", "Cart.sum") == ["shop/checkout.py:7", "examples/demo.py:5", "tests/test_cart.py:12"]


def test_making_an_object_calls_its_constructor(shop):
    assert "shop/checkout.py:12" in shop.places("who_calls", "Cart.__init__")


def test_a_call_of_the_method_that_is_overridden_may_be_one_of_this_and_says_so(shop):
    doubtful = [hit for hit in shop.ask("who_calls", "Cart.add").hits if hit.tier == "ambiguous"]
    assert ("shop/checkout.py:17", "calls Holder.add, which the symbol overrides") in [
        (f"{hit.path}:{hit.line}", hit.reason) for hit in doubtful
    ]


def test_an_inherited_method_is_asked_for_under_the_derived_class(shop):
    assert shop.places("who_calls", "Cart.clear") == shop.places("who_calls", "Holder.clear") == ["shop/checkout.py:8"]


def test_calls_in_other_languages_are_found_under_their_own_names(shop):
    assert shop.places("who_calls", "Train::couple") == ["src/train.rs:17"]
    assert shop.places("who_calls", "TrieRouter.#has") == ["web/trie-router/index.ts:5"]
    assert "web/trie-router/index.test.ts:5" in shop.places("who_calls", "TrieRouter#match")


@pytest.mark.parametrize("text", ["shop/cart.py", "shop.cart", "train"])
def test_a_module_is_not_called_and_the_answer_says_whom_to_ask(shop, text):
    with pytest.raises(InvalidRequestError, match="is a module; ask impact_set"):
        shop.ask("who_calls", text)


def test_a_function_that_nothing_calls_has_an_empty_whole_answer(shop):
    answer = shop.ask("who_calls", "check_out")
    assert (answer.hits, answer.is_truncated) == ((), False)


def test_a_name_with_thousands_of_calls_is_cut_with_code_first(open_tree):
    calls = "    work()\n" * 300
    files = {f"m{number}.py": f"from work import work\n\n\ndef go():\n{calls}" for number in range(9)}
    asker = open_tree({**files, "work.py": "def work(): ...\n"})
    answer = asker.ask("who_calls", "work", limit=5)
    assert (len(answer.hits), answer.is_truncated) == (5, True)
    assert {hit.path for hit in answer.hits} == {"m0.py"}


def test_doubtful_calls_beyond_the_cap_are_left_out_and_the_answer_says_so(open_tree):
    classes = "".join(f"class C{number}:\n    def put_away(self): ...\n\n\n" for number in range(3))
    calls = "".join(f"    thing.put_away({number})\n" for number in range(AMBIGUOUS_LIMIT + 5))
    asker = open_tree({"c.py": classes, "u.py": f"def use(thing):\n{calls}"})
    answer = asker.ask("who_calls", "C1.put_away")
    assert (len(answer.hits), answer.is_truncated) == (AMBIGUOUS_LIMIT, True)
    assert {hit.reason for hit in answer.hits} == {"the type of the receiver is unknown; 3 definitions have this name"}


def test_a_constructor_is_found_among_more_namesakes_than_a_query_reads(open_tree):
    many = "".join(f"class A{number:03}:\n    def __init__(self): ...\n\n\n" for number in range(600))
    asker = open_tree({"a.py": many, "z.py": "class Zed:\n    def __init__(self): ...\n\n\ndef make():\n    Zed()\n"})
    assert asker.places("where_defined", "Zed.__init__") == ["z.py:2"]
    assert asker.places("who_calls", "Zed.__init__") == ["z.py:6"]
    assert asker.ask("where_defined", "__init__", limit=500).is_truncated
