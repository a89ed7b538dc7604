"""Citations of a model's answer against the places it was given."""

import pytest

from services.direng.core.citations import FLAG, CitationChecker, Place, describe_check

PLACES = (Place("shop/cart.py", 10, 30), Place("README.md", 1, 5), Place("Makefile", 3, 3))


def check(text, size=None):
    checker = CitationChecker(PLACES)
    pieces = [text] if size is None else [text[start : start + size] for start in range(0, len(text), size)]
    shown = "".join(checker.feed(piece) for piece in pieces) + checker.finish()
    return checker, shown


@pytest.mark.parametrize(
    "text",
    [
        "see shop/cart.py:10.",
        "`shop/cart.py:12-20` does it",
        "(shop/cart.py:30)",
        "cart.py:11 for short",
        "./shop/cart.py:11",
        "README.md#L2-L4",
        "Makefile:3",
    ],
)
def test_place_that_was_given_stays_as_it_is(text):
    checker, shown = check(text)
    assert shown == text
    assert [citation.is_known for citation in checker.citations] == [True]


@pytest.mark.parametrize(
    "text",
    [
        "shop/cart.py:31",
        "shop/cart.py:9-12",
        "shop/cart.py:20-12",
        "shop/basket.py:10",
        "xcart.py:11",
        "README.md#L9",
        "Makefile:4",
    ],
)
def test_place_that_was_not_given_is_marked(text):
    checker, shown = check(f"it is in {text}, surely")
    assert shown == f"it is in {text} {FLAG}, surely"
    assert checker.known == 0


@pytest.mark.parametrize(
    "text", ["localhost:8080", "at 10:30", "http://example.com:80/x", "port:80", "a::b", "std::vec:3x", "12:34:56"]
)
def test_words_that_are_no_citation_are_left_alone(text):
    checker, shown = check(text)
    assert shown == text
    assert checker.citations == []


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50])
def test_pieces_of_any_size_give_the_same_text(size):
    text = "First shop/cart.py:12,\nthen shop/nowhere.py:7-9 and `README.md:2`;\tlast shop/cart.py:99"
    whole, shown = check(text)
    parts, joined = check(text, size)
    assert joined == shown
    assert parts.citations == whole.citations
    assert shown.count(FLAG) == 2


def test_word_without_end_is_not_held_for_ever():
    checker = CitationChecker(PLACES)
    assert len(checker.feed("x" * 5000)) == 5000


def test_check_is_told_in_words():
    assert describe_check(check("nothing cited")[0]).startswith("no citation in this answer could be checked")
    assert describe_check(check("ghost.py:4")[0]).startswith(
        "the only citation is not among what it was shown: take this"
    )
    assert describe_check(check("ghost.py:4, ghost.py:5")[0]).startswith(
        "none of the 2 citations is among what it was shown"
    )
    assert describe_check(check("cart.py:11")[0]) == "1 citation checked against the index, all from what it was shown"
    said = "cart.py:11 and cart.py:99"
    assert describe_check(check(said)[0]) == "2 citations checked against the index, 1 not among what it was shown"
