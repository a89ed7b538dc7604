"""The Monte-Carlo total: order, reproducibility, dependencies, failures."""

import math
from dataclasses import replace

import pytest

from services.kernel.errors import InvalidRequestError
from services.kernel.ids import EstimateId
from services.kernel.vocabulary import Lane
from services.plms.core.posterior import Metric, Posterior, predict
from services.plms.core.totals import Forecast, Spread, draw_totals, order_cards
from services.plms.models import ZERO, PlannedCard

NEVER_FAILS = (1e-9, 1e9)


def known(seconds, odds=NEVER_FAILS, failure_s=1.0):
    """Return a forecast that is all but certain of `seconds`."""
    certain = {"kappa": 1e9, "a": 1e6, "b": 1e-3, "observations": 50}
    spread = Spread(Posterior(math.log(seconds), **certain), Posterior(math.log(failure_s), **certain))
    return Forecast(spread, odds)


def unknown(observations=0):
    state = Posterior(math.log(10.0), kappa=0.4, a=4.0, b=1.2, observations=observations)
    return Forecast(Spread(state, state), NEVER_FAILS)


def card(name, *deps, lane=Lane.CODE_IMPL):
    return PlannedCard(task_id=name, lane=lane, configuration=f"recipe/{name}", deps=deps)


def total(cards, forecasts, estimate_id="est-1"):
    return draw_totals(EstimateId(estimate_id), cards, forecasts).time_s


def test_same_estimate_id_gives_the_same_figures_and_another_gives_others():
    cards, forecasts = (card("a"), card("b", "a")), (unknown(), unknown())
    assert total(cards, forecasts) == total(cards, forecasts)
    assert total(cards, forecasts) != total(cards, forecasts, "est-2")


def test_chain_adds_up_and_parallel_cards_take_the_longest():
    forecasts = (known(10), known(20), known(5))
    assert total((card("a"), card("b", "a"), card("c", "b")), forecasts).p50 == pytest.approx(35, rel=0.01)
    assert total((card("a"), card("b"), card("c")), forecasts).p50 == pytest.approx(20, rel=0.01)
    assert total((card("a"), card("b"), card("c", "a")), forecasts).p50 == pytest.approx(20, rel=0.01)
    assert total((card("a"), card("b"), card("c", "a", "b")), forecasts).p50 == pytest.approx(25, rel=0.01)


def test_cards_may_be_given_in_any_order():
    assert total((card("b", "a"), card("a")), (known(20), known(10))).p50 == pytest.approx(30, rel=0.01)


def test_failed_attempts_lengthen_the_tail_and_stop_at_the_retry_cap():
    always = (1e9, 1e-9)
    assert total((card("a"),), (known(10, always, failure_s=100),)).p50 == pytest.approx(210, rel=0.01)
    half = total((card("a"),), (known(10, (1e6, 1e6), failure_s=100),))
    assert half.p25 == pytest.approx(10, rel=0.01)
    assert half.p95 == pytest.approx(210, rel=0.01)


def test_lanes_share_less_error_once_runs_are_known():
    cards = tuple(card(name) for name in "abcdefgh")
    chain = tuple(card(c.task_id, *([cards[n - 1].task_id] if n else [])) for n, c in enumerate(cards))
    few = total(chain, [unknown(0)] * 8)
    more = total(chain, [unknown(4)] * 8)
    assert few.p95 / few.p05 > more.p95 / more.p05


def test_single_card_agrees_with_its_own_prediction():
    simulated, exact = total((card("a"),), (unknown(),)), predict(unknown().time.success)
    for level in ("p10", "p25", "p50", "p75", "p90"):
        assert getattr(simulated, level) == pytest.approx(getattr(exact, level), rel=0.15)


def test_order_puts_dependencies_first():
    ordered = order_cards((card("c", "b"), card("b", "a"), card("a"), card("d")))
    names = [entry.task_id for entry in ordered]
    assert names.index("a") < names.index("b") < names.index("c")
    assert sorted(names) == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("cards", "reason"),
    [
        ((card("a"), card("a")), "same task id"),
        ((card("a", "ghost"),), "depends on ghost"),
        ((card("a", "a"),), "circle: a"),
        ((card("a", "b"), card("b", "a"), card("c")), "circle: a, b"),
    ],
)
def test_plan_that_cannot_be_ordered_is_refused(cards, reason):
    with pytest.raises(InvalidRequestError, match=reason):
        order_cards(cards)


def spending(microusd, odds=NEVER_FAILS, failure_microusd=1.0, *, tokens=(), think_share=None):
    """Return a forecast that is all but certain of one second and `microusd`."""
    cost = known(microusd, failure_s=failure_microusd).time
    counts = {metric: known(count).time for metric, count in tokens}
    if think_share is not None:
        counts[Metric.TOKENS_THINK] = replace(counts[Metric.TOKENS_THINK], share=think_share)
    return Forecast(known(1.0).time, odds, {Metric.COST: cost} | counts)


def totals(cards, forecasts):
    return draw_totals(EstimateId("est-1"), cards, forecasts)


def test_money_of_parallel_cards_adds_up_while_their_time_does_not():
    found = totals((card("a"), card("b")), (spending(100), spending(300)))
    assert found.cost_microusd.p50 == pytest.approx(400, rel=0.01)
    assert found.time_s.p50 == pytest.approx(1.0, rel=0.01)


def test_failed_attempts_are_paid_for_up_to_the_cards_own_number_of_attempts():
    always = (1e9, 1e-9)
    for attempts, expected in ((1, 100), (2, 150), (4, 250)):
        few = card("a").model_copy(update={"max_attempts": attempts})
        found = totals((few,), (spending(100, always, failure_microusd=50),))
        assert found.cost_microusd.p50 == pytest.approx(expected, rel=0.01)


def test_card_with_a_budget_never_spends_more():
    capped = card("a").model_copy(update={"max_cost_microusd": 80})
    assert totals((capped,), (spending(100),)).cost_microusd.p95 == 80
    assert totals((capped, card("b")), (spending(100), spending(100))).cost_microusd.p50 == pytest.approx(180, rel=0.01)


def test_tokens_are_input_and_output_and_thinking_is_part_of_output():
    tokens = ((Metric.TOKENS_IN, 1000), (Metric.TOKENS_OUT, 200), (Metric.TOKENS_THINK, 150))
    found = totals((card("a"),), (spending(1, tokens=tokens),))
    assert found.tokens.p50 == pytest.approx(1200, rel=0.01)
    assert found.tokens_think.p50 == pytest.approx(150, rel=0.01)


def test_model_that_rarely_thinks_has_mostly_zero_thinking():
    found = totals((card("a"),), (spending(1, tokens=((Metric.TOKENS_THINK, 150),), think_share=(2e6, 8e6)),))
    assert found.tokens_think.p75 == 0.0
    assert found.tokens_think.p90 == pytest.approx(150, rel=0.01)


def test_plan_of_recipes_spends_nothing():
    found = totals((card("a"),), (known(10),))
    assert found.cost_microusd == found.tokens_in == found.tokens == ZERO
