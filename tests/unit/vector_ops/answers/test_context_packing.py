"""Contexts for a task: sections in order, within the budget, every citation leading to its lines."""

import re

import pytest

from services.vector_ops.answers.packing import SECTIONS

TASK = "take the discount of a loyal customer off the total"
_HEAD = re.compile(r"^\[(c\d+)\] (\S+):(\d+)-(\d+)$", re.MULTILINE)


def read_pieces(text):
    """Return (citation, path, first line, last line, body) of every piece of code in a context."""
    code = text.partition("## Packages")[0].partition("## Citations")[0]
    found = list(_HEAD.finditer(code))
    ends = [one.start() for one in found[1:]] + [len(code)]
    for one, end in zip(found, ends, strict=True):
        first, last = int(one[3]), int(one[4])
        body = code[one.end() + 1 : end].split("\n")[: last - first + 1]
        yield one[1], one[2], first, last, "\n".join(body)


@pytest.fixture
def read_file(shop):
    def read(path):
        with open(f"{shop.repo}/{path}", encoding="utf-8") as file:  # noqa: PTH123
            return file.read().split("\n")

    return read


def test_sections_stand_in_the_order_vector_snippet_summary_citation(shop):
    answer = shop.ask("context_pack", TASK)
    heads = re.findall(r"^## (\w+)", answer.text, re.MULTILINE)
    assert heads == ["Similar", "Code", "Packages", "Citations"]
    assert [hit.section for hit in answer.hits] == sorted((hit.section for hit in answer.hits), key=SECTIONS.index)


@pytest.mark.parametrize("budget", [100, 130, 170, 250, 400, 800, 1_500, 50_000])
def test_the_text_keeps_within_its_budget_whatever_it_is(shop, budget):
    for task in (TASK, "Cart", "cart depot train router", "x"):
        assert len(shop.ask("context_pack", task, budget_tokens=budget).text) <= budget * 4


@pytest.mark.parametrize("budget", [200, 600, 5_000])
def test_every_citation_leads_to_the_very_lines_that_are_shown(shop, read_file, budget):
    answer = shop.ask("context_pack", TASK, budget_tokens=budget)
    pieces = list(read_pieces(answer.text))
    assert [piece[0] for piece in pieces] == [hit.citation for hit in answer.hits]
    for (_number, path, first, last, body), hit in zip(pieces, answer.hits, strict=True):
        assert (hit.path, hit.line, hit.end_line) == (path, first, last)
        assert body == "\n".join(read_file(path)[first - 1 : last])


def test_the_last_section_lists_every_citation_once_with_its_symbol(shop):
    answer = shop.ask("context_pack", TASK)
    listed = answer.text.partition("## Citations\n")[2].splitlines()
    assert listed == [
        f"{hit.citation} {hit.path}:{hit.line}-{hit.end_line} {hit.symbol}".rstrip() for hit in answer.hits
    ]


def test_every_citation_that_the_text_names_is_listed(shop):
    answer = shop.ask("context_pack", TASK, budget_tokens=5_000)
    named = set(re.findall(r"\bc\d+\b", answer.text))
    assert named == {hit.citation for hit in answer.hits}


def test_no_line_is_shown_twice_and_no_piece_is_blank(shop):
    for task in (TASK, "cart", "sum of a cart"):
        shown = set()
        for _number, path, first, last, body in read_pieces(shop.ask("context_pack", task, budget_tokens=9_000).text):
            lines = {(path, line) for line in range(first, last + 1)}
            assert not lines & shown
            assert body.strip()
            shown |= lines


def test_a_matching_function_comes_with_its_callers_and_callees(shop):
    text = shop.ask("context_pack", TASK, budget_tokens=5_000).text
    assert re.search(r"^\[c\d+\] total is called by .*Cart\.sum \(", text, re.MULTILINE)
    assert re.search(r"^\[c\d+\] total calls discounted \(c\d+\)", text, re.MULTILINE)


def test_the_best_match_is_shown_whole(shop):
    text = shop.ask("context_pack", TASK).text
    assert "return sum(discounted(item) for item in items)" in text


def test_what_does_not_fit_is_said(shop):
    assert shop.ask("context_pack", TASK, budget_tokens=150).is_truncated


def test_similar_code_comes_before_similar_tests_unless_the_task_speaks_of_tests(shop):
    hits = shop.ask("context_pack", "price of an item that is loyal", budget_tokens=5_000).hits
    similar = [hit.path for hit in hits if hit.section == "vector"]
    assert similar[0].startswith("shop/")
    assert "tests/test_cart.py" not in similar[:2]
