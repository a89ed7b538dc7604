"""The card graph."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.vocabulary import Lane
from services.pas.core.graph import MAX_CARDS, find_leaves, order_cards
from services.pas.models import JobCard, TestsPayload
from services.pas.protocol import CardGraphError


def _card(task_id, *deps, priority=3):
    return JobCard(
        task_id=task_id,
        lane=Lane.CODE_IMPL,
        title=task_id,
        configuration="recipe/run-tests",
        deps=deps,
        priority=priority,
        payload=TestsPayload(),
    )


def _ids(cards):
    return [card.task_id for card in cards]


def test_cards_come_after_their_dependencies_and_else_in_the_order_given():
    cards = [_card("c", "a", "b"), _card("b"), _card("a"), _card("d", "c")]
    assert _ids(order_cards(cards)) == ["b", "a", "c", "d"]


def test_more_urgent_card_comes_first():
    assert _ids(order_cards([_card("a"), _card("b", priority=1), _card("c", priority=5)])) == ["b", "a", "c"]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=30), st.permutations(range(10)))
def test_every_acyclic_graph_is_ordered(pairs, names):
    edges = {(low, high) for low, high in pairs if low < high}
    cards = [_card(f"t{names[node]}", *[f"t{names[low]}" for low, high in edges if high == node]) for node in range(10)]
    ordered = _ids(order_cards(cards))
    assert sorted(ordered) == sorted(_ids(cards))
    for card in cards:
        assert all(ordered.index(dep) < ordered.index(card.task_id) for dep in card.deps)


@pytest.mark.parametrize(
    ("cards", "words"),
    [
        ([], "at least one card"),
        ([_card("a", "b"), _card("b", "a"), _card("c")], "a, b depend on each other"),
        ([_card("a", "a")], "in a circle"),
        ([_card("a", "ghost")], "depends on ghost"),
        ([_card("a"), _card("b"), _card("a")], "a is used twice"),
        ([_card(f"t{number}") for number in range(MAX_CARDS + 1)], "at most 500"),
    ],
)
def test_graph_that_cannot_run_is_refused_in_one_line(cards, words):
    with pytest.raises(CardGraphError, match=words) as caught:
        order_cards(cards)
    assert "\n" not in caught.value.detail


def test_leaves_are_the_cards_nobody_waits_for():
    assert find_leaves([_card("a"), _card("b", "a"), _card("c", "a")]) == ("b", "c")
