"""The arithmetic of the budget guard, by hand."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.clock import to_iso
from services.kernel.ids import GitOid, ReceiptId
from services.kernel.vocabulary import Lane, RunKind, RunState, TaskState
from services.pas.models import CONTRACT_VERSION, CardView, Receipt, RunView
from services.pex.core.bounds import find_cost_bound, warn_of_cap
from services.pex.core.budget import (
    Books,
    expect_total,
    explain_breach,
    find_breach,
    list_options,
    measure,
    tell_budget,
)
from services.pex.core.money import format_usd, parse_usd
from services.pex.core.ports import GuardMark
from services.plms.models import ZERO, CardEstimate, Estimate, Label, Quantiles

NOW = datetime(2026, 11, 21, 6, 0, tzinfo=UTC)
CENT = 10_000


def spread(p50):
    factors = {"p05": 0.25, "p10": 0.35, "p25": 0.6, "p50": 1, "p75": 1.7, "p80": 1.9, "p90": 2.9, "p95": 4}
    return Quantiles(**{name: factor * p50 for name, factor in factors.items()})


def make_estimate(*, cost=10 * CENT, uses_model=True, total=None):
    """Return an estimate of two cards at `cost` each; their total's P50 is `total`, or simply the sum."""
    cards = [("baseline", Lane.CODE_IMPL, 0), ("code", Lane.CODE_IMPL, cost), ("docs", Lane.NARRATIVE, cost)]
    return Estimate(
        estimate_id="est-1",
        project_id="prj-1",
        time_s=spread(60),
        cost_microusd=spread(total or 2 * cost) if cost else ZERO,
        cost_microusd_p95=8 * cost,
        tokens_p95=1000,
        uses_model=uses_model,
        label=Label.PRIOR_LED,
        cards=tuple(
            CardEstimate(
                task_id=task,
                lane=lane,
                configuration="agent/fast" if micro else "recipe/run-tests",
                time_s=spread(20),
                cost_microusd=spread(micro) if micro else ZERO,
                attempts_observed=0,
                label=Label.PRIOR_LED,
            )
            for task, lane, micro in cards
        ),
        created_at=to_iso(NOW),
    )


def make_run(states=("succeeded", "running", "queued"), *, state=RunState.EXECUTING, cap=0, cost=0):
    names = (("baseline", Lane.CODE_IMPL, ()), ("code", Lane.CODE_IMPL, ()), ("docs", Lane.NARRATIVE, ("code",)))
    return RunView(
        run_id="run-1",
        project_id="prj-1",
        run_kind=RunKind.BASELINE,
        title="t",
        repo="/r",
        state=state,
        reason="",
        trace_id="x",
        cards=tuple(
            CardView(
                task_id=task,
                lane=lane,
                title=task,
                configuration="agent/fast",
                deps=deps,
                state=TaskState(each),
                attempt=1,
                started_at=to_iso(NOW - timedelta(seconds=30)) if each != "queued" else "",
                finished_at=to_iso(NOW - timedelta(seconds=20)) if each == "succeeded" else "",
                time_s=10 if each == "succeeded" else 0,
            )
            for (task, lane, deps), each in zip(names, states, strict=True)
        ),
        base_commit=GitOid("b" * 40),
        base_branch="main",
        snapshot_tree=GitOid("a" * 40),
        cost_microusd=cost,
        cap_microusd=cap,
        created_at=to_iso(NOW),
        started_at=to_iso(NOW - timedelta(minutes=2)),
    )


def call(task, cost, *, minutes_ago=1.0, step=1):
    return Receipt(
        receipt_id=ReceiptId(f"r-{task}-{step}"),
        run_id="run-1",
        task_id=task,
        attempt=1,
        step=step,
        lane=Lane.CODE_IMPL,
        configuration="agent/fast",
        model="fast-1",
        provider="openai",
        time_ms=800,
        tokens_in=100,
        tokens_out=20,
        cost_microusd=cost,
        sandbox_tier="none",
        contract_version=CONTRACT_VERSION,
        exit_code=None,
        is_success=True,
        tree_in=GitOid("a" * 40),
        tree_out=GitOid("a" * 40),
        recorded_at=to_iso(NOW - timedelta(minutes=minutes_ago)),
    )


def books(run=None, receipts=(), *, bound=80 * CENT, **estimate):
    return Books(make_estimate(**estimate), run or make_run(), tuple(receipts), bound, NOW)


def test_card_that_has_not_begun_is_expected_at_its_median():
    assert expect_total(spread(100), 0) == 100
    assert measure(books(make_run(("queued", "queued", "queued")))).projected_microusd == 20 * CENT


def test_run_is_projected_at_its_start_at_the_total_that_was_approved_with_its_bound():
    """The total counts failed attempts too, so it is above the sum of the cards' own medians."""
    fresh = books(make_run(("queued", "queued", "queued")), total=36 * CENT)
    state = measure(fresh)
    assert state.projected_microusd == fresh.estimate.cost_microusd.p50 == 36 * CENT
    assert {lane.lane: lane.projected_microusd for lane in state.top_lanes} == {
        Lane.CODE_IMPL: 18 * CENT,
        Lane.NARRATIVE: 18 * CENT,
    }
    assert all(lane.estimated_microusd == lane.projected_microusd for lane in state.top_lanes)


def test_card_under_way_is_projected_from_its_share_of_the_total():
    state = measure(books(make_run(cost=18 * CENT), [call("code", 18 * CENT)], total=36 * CENT))
    assert state.projected_microusd == round(expect_total(spread(18 * CENT), 18 * CENT)) + 18 * CENT
    ended = measure(
        books(make_run(("succeeded", "succeeded", "queued"), cost=5 * CENT), [call("code", 5 * CENT)], total=36 * CENT)
    )
    assert ended.projected_microusd == 5 * CENT + 18 * CENT


@given(
    st.floats(0.01, 100),
    st.floats(1, 1e9),
    st.just(0) | st.floats(0.001, 1e9),
)
def test_scaling_a_card_is_scaling_its_quantiles(scale, median, so_far):
    quantiles = spread(median)
    scaled = Quantiles(**{name: value * scale for name, value in quantiles.model_dump().items()})
    assert expect_total(quantiles, so_far, scale) == pytest.approx(expect_total(scaled, so_far), rel=1e-6)


def test_total_above_the_cap_is_known_at_the_approval_and_stops_nothing_at_the_start():
    low = books(make_run(("queued", "queued", "queued")), bound=24 * CENT, total=36 * CENT)
    assert measure(low).projected_overrun_pct == 50.0
    assert find_breach(low, measure(low), GuardMark()) is None


def test_card_that_has_passed_its_median_is_expected_well_beyond_what_it_spent():
    at_median, far = expect_total(spread(100), 100), expect_total(spread(100), 1000)
    assert at_median == pytest.approx(100 * 4 ** (0.6744897501960817 / 1.6448536269514722), rel=1e-9)
    assert far > 1100
    assert expect_total(spread(100), 1e12) >= 1e12
    assert expect_total(ZERO, 7) == 7


def test_expectation_never_falls_as_a_card_goes_on_spending():
    totals = [expect_total(spread(100), spent) for spent in range(0, 2000, 10)]
    assert totals == sorted(totals)


def test_projected_is_spent_plus_what_is_left():
    state = measure(books(receipts=[call("code", 5 * CENT)], run=make_run(cost=5 * CENT)))
    left = expect_total(spread(10 * CENT), 5 * CENT) - 5 * CENT
    assert state.spent_microusd == 5 * CENT
    assert state.projected_microusd == pytest.approx(5 * CENT + left + 10 * CENT, abs=1)
    assert state.projected_overrun_pct == pytest.approx(100 * (state.projected_microusd / (80 * CENT) - 1), abs=0.1)


def test_card_that_ended_is_expected_to_cost_nothing_more():
    state = measure(books(make_run(("succeeded", "failed", "skipped"), cost=CENT), [call("code", CENT)]))
    assert state.projected_microusd == CENT


def test_cap_that_was_raised_is_what_is_measured_against():
    state = measure(books(make_run(cap=200 * CENT)))
    assert state.cap_microusd == 200 * CENT


def test_minutes_to_depletion_come_from_the_rate_of_the_last_minutes():
    receipts = [call("code", 10 * CENT, minutes_ago=1), call("code", 99 * CENT, minutes_ago=30, step=2)]
    state = measure(books(make_run(cost=20 * CENT), receipts, bound=209 * CENT))
    assert state.t_minus_depletion_min == pytest.approx((209 - 109) / (10 / 2), abs=0.1)
    assert measure(books(make_run(state=RunState.PAUSED), receipts)).t_minus_depletion_min is None
    assert measure(books()).t_minus_depletion_min is None


def test_time_is_the_measure_where_no_money_is_expected():
    state = measure(books(cost=0, uses_model=False, bound=0))
    # 30 s in which a card worked, plus the rest of `code` and the median of `docs` after it.
    expected = 30 + (expect_total(spread(20), 30) - 30) + 20
    assert state.projected_overrun_pct == pytest.approx(100 * (expected / 240 - 1), abs=0.1)
    assert find_breach(books(cost=0, uses_model=False, bound=0), state, GuardMark()) is None


def test_guard_pauses_above_a_quarter_and_then_only_at_the_next_quarter():
    calm = books(make_run(cost=70 * CENT), [call("code", 70 * CENT)], bound=100 * CENT)
    wild = books(make_run(cost=100 * CENT), [call("code", 100 * CENT)], bound=100 * CENT)
    assert measure(calm).projected_overrun_pct < 25 < measure(wild).projected_overrun_pct
    assert find_breach(calm, measure(calm), GuardMark()) is None
    mark = find_breach(wild, measure(wild), GuardMark())
    assert mark == GuardMark(100 * CENT, measure(wild).projected_overrun_pct + 25)
    assert find_breach(wild, measure(wild), mark) is None
    worse = books(make_run(cost=140 * CENT), [call("code", 140 * CENT)], bound=100 * CENT)
    assert find_breach(worse, measure(worse), mark) is not None


def test_new_cap_is_measured_anew():
    mark = GuardMark(100 * CENT, 500.0)
    raised = books(make_run(cost=190 * CENT, cap=150 * CENT), [call("code", 190 * CENT)], bound=100 * CENT)
    assert find_breach(raised, measure(raised), mark).bound == 150 * CENT


def test_cap_below_the_median_does_not_stop_the_run_before_its_first_call():
    low = books(make_run(("queued", "queued", "queued")), bound=5 * CENT)
    state = measure(low)
    assert state.projected_overrun_pct == 300.0
    assert find_breach(low, state, GuardMark()) is None


def test_top_lanes_are_those_furthest_above_their_estimate():
    state = measure(books(make_run(cost=60 * CENT), [call("code", 60 * CENT)]))
    assert [lane.lane for lane in state.top_lanes] == [Lane.CODE_IMPL, Lane.NARRATIVE]
    assert state.top_lanes[0].spent_microusd == 60 * CENT
    assert state.top_lanes[1].projected_microusd == state.top_lanes[1].estimated_microusd == 10 * CENT


def test_facts_of_a_pause_show_lanes_five_receipts_and_lettered_options():
    receipts = [call("code", CENT * number, step=number) for number in range(1, 8)]
    state = measure(books(make_run(cost=28 * CENT), receipts, bound=10 * CENT))
    options = list_options(state, ("fast", "cheap"), is_cap_reached=False)
    text = tell_budget(state.model_copy(update={"options": options}), explain_breach(state))
    assert text.count("receipt: ") == 5
    assert "receipt: code fast-1: $0.0700, 100 in, 20 out, 0.8 s" in text
    assert "Code-Impl: $0.28 spent" in text
    for start in ("A) resume: ", "B) raise: ", "C) downshift: ", "D) terminate: "):
        assert f"  {start}" in text


def test_options_leave_out_what_would_not_help():
    state = measure(books())
    assert [line.partition(":")[0] for line in list_options(state, ("fast",), is_cap_reached=True)] == [
        "raise",
        "terminate",
    ]


@pytest.mark.parametrize(
    ("text", "micro", "told"),
    [("0.50", 500_000, "$0.50"), ("0.0123", 12_300, "$0.0123"), ("12", 12_000_000, "$12.00"), ("0", 0, "$0.00")],
)
def test_dollars_are_read_exactly_and_told_so_that_cents_matter(text, micro, told):
    assert parse_usd(text) == micro
    assert format_usd(micro) == told


def test_bound_is_the_users_word_or_p95_and_nothing_without_a_model():
    assert find_cost_bound(make_estimate(), None) == 80 * CENT
    assert find_cost_bound(make_estimate(), 3) == 3
    assert find_cost_bound(make_estimate(uses_model=False), 3) == 0
    assert warn_of_cap(make_estimate(), None) == ""
