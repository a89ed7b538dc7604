"""What the REPL makes of the words after a command."""

import pytest

from cli.repl import describe_active, read_amount
from services.kernel.errors import InvalidRequestError


@pytest.mark.parametrize(("words", "amount"), [("2", "2"), ("$0.50", "0.50")])
def test_budget_takes_an_amount_with_or_without_its_sign(words, amount):
    assert read_amount(words) == amount


@pytest.mark.parametrize("words", ["abc", "-1", "1,50", "2 more"])
def test_budget_that_is_no_amount_is_refused_in_words(words):
    with pytest.raises(InvalidRequestError, match=r"/budget: .* is no amount in USD; give one such as 2 or 0\.50"):
        read_amount(words)


def test_paused_run_is_not_said_to_be_going_on():
    assert describe_active("run-1", is_paused=True).startswith("run run-1 is paused; /status says why")
    assert describe_active("run-1", is_paused=False) == "run run-1 is going on; /status follows it"
