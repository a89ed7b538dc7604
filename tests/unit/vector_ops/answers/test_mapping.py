"""Maps of a repository: budget, order, what is left out, and what a task changes."""

import pytest

from services.vector_ops.answers.mapping import CHARACTERS_PER_TOKEN


def test_a_map_shows_files_with_lines_and_signatures_members_below_their_class(shop):
    text = shop.ask("repo_map").text
    lines = text.splitlines()
    cart = lines[lines.index("shop/cart.py:") :]
    assert cart.index("  7: class Cart(Holder):") < cart.index("    19: def sum(self):") < 10
    assert "  1: pub trait Moves" in lines


@pytest.mark.parametrize("budget", [100, 120, 150, 200, 400])
def test_a_map_keeps_within_its_budget_and_says_when_something_was_left_out(shop, budget):
    answer = shop.ask("repo_map", budget_tokens=budget)
    assert 0 < len(answer.text) <= budget * CHARACTERS_PER_TOKEN
    assert answer.is_truncated == (answer.text != shop.ask("repo_map", budget_tokens=50_000).text)


def test_a_map_without_a_task_is_the_same_every_time(shop):
    assert shop.ask("repo_map", budget_tokens=200) == shop.ask("repo_map", budget_tokens=200)


def test_tests_inner_functions_and_test_modules_are_no_part_of_a_map(shop):
    text = shop.ask("repo_map", budget_tokens=50_000).text
    assert "test_sum" not in text
    assert "round_price" not in text
    assert "helper_of_the_tests" not in text


def test_an_empty_exception_class_counts_less_than_what_says_more(shop):
    scores = {hit.symbol: hit.score for hit in shop.ask("repo_map", budget_tokens=50_000, limit=500).hits}
    assert scores["CartFullError"] < scores["Cart.sum"] < scores["Cart"]


def test_examples_come_last_when_no_task_leads_there(shop):
    lines = shop.ask("repo_map", budget_tokens=50_000).text.splitlines()
    assert [line for line in lines if not line.startswith(" ")][-1] == "examples/demo.py:"


@pytest.mark.parametrize(
    ("task", "path"),
    [
        ("discount for loyal customers", "shop/pricing.py"),
        ("store a parcel in the depot", "depot.go"),
        ("couple a train", "src/train.rs"),
        ("router matches a path", "web/trie-router/index.ts"),
    ],
)
def test_a_task_brings_its_own_file_to_the_top(shop, task, path):
    answer = shop.ask("repo_map", task, budget_tokens=150)
    assert answer.text.startswith(f"{path}:\n")
    assert answer.hits[0].path == path


def test_every_line_of_a_map_is_a_hit_with_its_place(shop):
    answer = shop.ask("repo_map", budget_tokens=50_000, limit=500)
    shown = {line.split(":")[0].strip() for line in answer.text.splitlines() if line.startswith(" ")}
    assert shown == {str(hit.line) for hit in answer.hits}
    assert answer.hits[0].score == max(hit.score for hit in answer.hits)


def test_the_limit_caps_the_hits_and_says_so(shop):
    answer = shop.ask("repo_map", budget_tokens=50_000, limit=3)
    assert (len(answer.hits), answer.is_truncated) == (3, True)
