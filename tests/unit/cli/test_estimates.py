"""How `vp` prints estimates, rehearsals and budgets."""

import pytest
import typer

from cli.estimates import approval_bound, budget_text, estimate_text, read_max_cost, read_rehearsal, simulation_text


def quantiles(median):
    return {
        name: median * factor
        for name, factor in zip(
            ("p05", "p10", "p25", "p50", "p75", "p80", "p90", "p95"), (0.2, 0.3, 0.6, 1, 2, 2.5, 4, 6), strict=True
        )
    }


def make_estimate(*, uses_model=True, label="prior-led"):
    cost = quantiles(100_000 if uses_model else 0)
    card = {
        "task_id": "agent",
        "lane": "Code-Impl",
        "configuration": "agent/big",
        "time_s": quantiles(60),
        "cost_microusd": cost,
        "attempts_observed": 0,
        "label": label,
    }
    return {
        "estimate_id": "est-1",
        "time_s": quantiles(60),
        "cost_microusd": cost,
        "tokens_in": quantiles(50_000),
        "tokens_out": quantiles(4000),
        "tokens_think": quantiles(1000),
        "cost_microusd_p95": 600_000 if uses_model else 0,
        "uses_model": uses_model,
        "label": label,
        "price_table_version": "prices 7",
        "cards": [card],
    }


@pytest.mark.parametrize(
    ("text", "fraction"), [("0.01", 0.01), ("1%", 0.01), ("0.1%", 0.001), ("5%", 0.05), ("0.05", 0.05)]
)
def test_rehearsal_is_a_fraction_or_a_percentage(text, fraction):
    assert read_rehearsal(text) == pytest.approx(fraction)


@pytest.mark.parametrize("text", ["", "1", "0", "6%", "-1%", "nan", "some", "0.0001"])
def test_rehearsal_outside_its_bounds_is_refused(text):
    with pytest.raises(typer.BadParameter):
        read_rehearsal(text)


@pytest.mark.parametrize(("text", "amount"), [(None, None), ("2", "2"), ("$0.50", "0.50")])
def test_amount_is_taken_with_or_without_its_sign(text, amount):
    assert read_max_cost(text) == amount


@pytest.mark.parametrize("text", ["", "two", "-1", "1e3", "1,50", "0.1234567"])
def test_amount_that_is_none_is_refused(text):
    with pytest.raises(typer.BadParameter):
        read_max_cost(text)


def test_estimate_shows_time_money_and_tokens_with_label_and_prices():
    text = estimate_text(make_estimate())
    assert "cost $0.10 (P50), $0.25 (P80), up to $0.60 (P95); prior-led" in text
    assert "agent on agent/big" in text
    assert "tokens in" in text
    assert "50,000" in text
    assert "prices: prices 7" in text


def test_estimate_without_a_model_shows_no_money_table():
    text = estimate_text(make_estimate(uses_model=False))
    assert "no model used: 0 tokens, $0.00" in text
    assert "COST" not in text


def test_approval_names_the_bound_that_it_sets():
    assert approval_bound(make_estimate(), None) == "up to 6 min 00 s and $0.60"
    assert approval_bound(make_estimate(), "0.25") == "up to 6 min 00 s and $0.25"
    assert approval_bound(make_estimate(uses_model=False), None) == "up to 6 min 00 s"


def test_rehearsal_shows_before_and_after():
    simulation = {
        "note": "0.01 = 1%: 1 card rehearsed",
        "cards_rehearsed": 1,
        "strata": 1,
        "before": make_estimate(),
        "after": make_estimate(label="learning") | {"estimate_id": "est-2"},
        "run": {"run_id": "run-9", "state": "completed", "cost_microusd": 12_300},
    }
    text = simulation_text(simulation)
    assert "1%" in text
    assert text.count("before") == 2
    assert "learning" in text
    assert "rehearsal run-9: completed, spent $0.0123" in text
    assert "estimate est-2; next: vp approve" in text


def test_rehearsal_of_nothing_says_so_and_keeps_the_estimate():
    simulation = {
        "note": "only recipes work here",
        "cards_rehearsed": 0,
        "strata": 0,
        "before": make_estimate(uses_model=False),
        "after": make_estimate(uses_model=False),
        "run": None,
    }
    text = simulation_text(simulation)
    assert text.startswith("only recipes work here\nthe estimate stays as it is: ")


def make_status(state="executing", **fields):
    lane = {
        "lane": "Code-Impl",
        "spent_microusd": 400_000,
        "projected_microusd": 900_000,
        "estimated_microusd": 300_000,
        "spent_s": 1,
        "estimated_s": 2,
    }
    receipt = {
        "task_id": "agent",
        "model": "big-1",
        "configuration": "agent/big",
        "cost_microusd": 1234,
        "tokens_in": 10,
        "tokens_out": 5,
    }
    budget = {
        "spent_microusd": 400_000,
        "cap_microusd": 600_000,
        "projected_microusd": 900_000,
        "projected_overrun_pct": 50.0,
        "t_minus_depletion_min": 3.14,
        "top_lanes": [lane],
        "last_receipts": [receipt],
        "options": ["raise: go on with a higher cap"],
    }
    return {"run": {"state": state}, "budget": budget | fields}


def test_status_of_a_run_shows_spend_cap_overrun_and_depletion():
    text = budget_text(make_status())
    assert (
        text == "spent $0.40 of $0.60, projected $0.90 (+50% against the cap), the cap is spent in 3.1 min at this rate"
    )


def test_status_of_a_run_that_is_over_projects_nothing():
    assert budget_text(make_status("completed")) == ""


def test_status_of_a_paused_run_shows_lanes_receipts_and_options():
    text = budget_text(make_status("paused", t_minus_depletion_min=None))
    assert "Code-Impl: $0.40 spent, $0.90 projected, $0.30 estimated" in text
    assert "receipt: agent big-1: $0.0012, 10 in, 5 out" in text
    assert "raise: go on with a higher cap" in text
    assert "vp resume [--max-cost USD] [--downshift]" in text


@pytest.mark.parametrize("status", [{"budget": None, "run": None}, make_status(cap_microusd=0)])
def test_run_that_spends_nothing_has_no_budget_line(status):
    assert budget_text(status) == ""
