"""What a name means, as people write it in each language."""

import pytest

from services.kernel.errors import InvalidRequestError
from services.vector_ops.protocol import SymbolNotFoundError


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("Cart", "shop/cart.py:7"),
        ("shop.cart.Cart", "shop/cart.py:7"),
        ("cart.Cart.sum", "shop/cart.py:19"),
        ("Cart#sum", "shop/cart.py:19"),
        ("`Cart.sum()`", "shop/cart.py:19"),
        ("class Cart", "shop/cart.py:7"),
        ("Cart.sum(items, 3)", "shop/cart.py:19"),
        ("shop.total", "shop/pricing.py:1"),
        ("Depot.Store", "depot.go:9"),
        ("(*Depot).Store", "depot.go:9"),
        ("*Depot", "depot.go:4"),
        ("depot.Open", "depot.go:15"),
        ("example.org/acme/depot.Open", "depot.go:15"),
        ("labels.Print", "labels/labels.go:4"),
        ("depot/labels.Print", "labels/labels.go:4"),
        ("Train::couple", "src/train.rs:10"),
        ("Train<u8>::couple", "src/train.rs:10"),
        ("<Train as Moves>::travel", "src/train.rs:16"),
        ("crate::train::Train", "src/train.rs:5"),
        ("rail_road::train::Train::couple", "src/train.rs:10"),
        ("TrieRouter#match", "web/trie-router/index.ts:4"),
        ("TrieRouter.#has", "web/trie-router/index.ts:8"),
        ("trie-router.TrieRouter", "web/trie-router/index.ts:1"),
        ("matches a known path", "web/trie-router/index.test.ts:4"),
    ],
)
def test_a_name_is_found_as_its_language_writes_it(shop, text, place):
    assert shop.places("where_defined", text)[0] == place


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("shop/cart.py", "shop/cart.py"),
        ("cart.py", "shop/cart.py"),
        ("shop.cart", "shop/cart.py"),
        ("shop", "shop/__init__.py"),
        ("web/trie-router", "web/trie-router/index.ts"),
        ("train", "src/train.rs"),
    ],
)
def test_a_path_or_a_module_means_its_file(shop, text, path):
    hits = shop.ask("where_defined", text).hits
    assert path in {hit.path for hit in hits if hit.kind == "module"}


def test_a_name_that_a_package_exports_again_under_another_name_is_followed(shop):
    assert shop.places("where_defined", "shop.Basket") == ["shop/cart.py:7"]


def test_a_member_that_stands_in_a_base_class_is_found_under_the_derived_one(shop):
    assert shop.places("where_defined", "Cart.clear") == ["shop/base.py:9"]
    assert shop.places("where_defined", "shop.cart.Cart.clear") == ["shop/base.py:9"]


def test_a_member_that_no_base_class_has_is_not_taken_from_elsewhere(shop):
    with pytest.raises(SymbolNotFoundError, match=r"defined with this last name: check_out \(shop/checkout.py\)"):
        shop.ask("where_defined", "Cart.check_out")


def test_definitions_in_code_come_before_those_in_tests_and_examples(shop):
    hits = shop.ask("where_defined", "sum").hits
    assert [(hit.path, hit.score) for hit in hits] == [("shop/cart.py", 1.0)]
    assert shop.ask("where_defined", "test_sum").hits[0].score == 0.5


@pytest.mark.parametrize(("text", "near"), [("Crat", "Cart"), ("discount", "discounted"), ("Trainn", "Train")])
def test_a_name_that_is_not_there_is_answered_with_near_ones(shop, text, near):
    with pytest.raises(SymbolNotFoundError, match=rf"near names: .*\b{near}\b"):
        shop.ask("where_defined", text)


@pytest.mark.parametrize("text", ["a b", ".*", "1x", "()", "`", "<>", "..", "/", "#", "::", "a..b", "x" * 600])
def test_what_is_no_name_is_refused_in_one_line(shop, text):
    with pytest.raises((InvalidRequestError, SymbolNotFoundError)) as caught:
        shop.ask("where_defined", text)
    assert "\n" not in caught.value.detail
    assert len(caught.value.detail) < 200


def test_the_limit_cuts_definitions_and_says_so(shop):
    every, cut = shop.ask("where_defined", "add"), shop.ask("where_defined", "add", limit=1)
    assert (len(every.hits), every.is_truncated) == (2, False)
    assert (len(cut.hits), cut.is_truncated) == (1, True)
