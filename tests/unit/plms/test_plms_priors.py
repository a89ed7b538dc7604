"""What is shipped about agent and plan cards: against the published analysis, and how price moves it."""

import json
import math
from importlib.resources import files

import pytest

from services.kernel.errors import InternalError
from services.kernel.vocabulary import Lane
from services.plms.app import load_priors
from services.plms.core.posterior import Metric, Outcome, Posterior, observe, predict, shift
from services.plms.core.priors import parse_priors, uses_model
from services.plms.models import ModelPrice

SHIPPED = json.loads((files("services.plms") / "priors" / "agent.v1.json").read_text("utf-8"))
PRIORS = load_priors()
# Geometric mean USD, sd between configurations, the same with the price known, sd between runs, price elasticity:
# from an analysis of the same public table that was made before this one and independently of it.
REPORTED = {
    "swe-bench": (0.61, 0.88, 0.79, 0.64, 0.31),
    "swt-bench": (0.51, 0.89, 0.78, 0.59, 0.36),
    "swe-bench-multimodal": (1.30, 0.78, 0.56, 0.68, 0.44),
    "commit0": (2.18, 1.35, 1.13, 0.93, 0.64),
    "gaia": (0.20, 0.94, 0.54, 1.25, 0.62),
}


def price(output_usd, input_usd=None):
    return ModelPrice(
        input_microusd=round(1e6 * (output_usd / 5 if input_usd is None else input_usd)),
        output_microusd=round(1e6 * output_usd),
        price_table_version="v1",
    )


def at(output_usd, metric=Metric.COST, lane=Lane.CODE_IMPL, configuration="agent/coder"):
    listed = None if output_usd is None else price(output_usd)
    start = PRIORS.find(lane, configuration, Outcome.SUCCESS, metric, listed)
    return shift(start, PRIORS.log_factor(lane, configuration, metric, listed))


@pytest.mark.parametrize("benchmark", REPORTED)
def test_fitted_cost_agrees_with_the_published_analysis(benchmark):
    cost = SHIPPED["analogues"][benchmark]["cost"]
    median_usd, between, priced, within, elasticity = REPORTED[benchmark]
    assert cost["median"] / 1e6 == pytest.approx(median_usd, rel=0.02)
    assert cost["between_sd"] == pytest.approx(between, abs=0.01)
    assert cost["between_sd_priced"] == pytest.approx(priced, abs=0.1)
    assert cost["within_sd"] == pytest.approx(within, rel=0.16)
    assert cost["elasticity"] == pytest.approx(elasticity, abs=0.15)


def test_pool_is_the_geometric_mean_as_wide_as_its_parts_differ():
    pooled = SHIPPED["pooled"]["cost"]
    assert pooled["median"] / 1e6 == pytest.approx(0.71, abs=0.01)
    assert pooled["between_sd"] == pytest.approx(1.34, abs=0.01)


def test_lanes_without_an_analogue_start_from_the_pool():
    assert {lane for lane in Lane if lane not in PRIORS.model.lanes} == {
        Lane.DATA_SCHEMA,
        Lane.VECTOR_OPS,
        Lane.GRAPH_OPS,
    }
    assert at(None, lane=Lane.DATA_SCHEMA) == at(None, lane=Lane.GRAPH_OPS) != at(None)


def test_source_says_where_figures_come_from_and_what_is_judgement():
    assert "OpenHands index" in PRIORS.model.source
    assert "judgement" in PRIORS.model.source
    assert PRIORS.model.plan.source.startswith("Judgement, deliberately wide")


def test_failed_attempts_start_dearer_than_successes():
    for work in (*PRIORS.model.analogues.values(), PRIORS.model.pooled):
        assert work.success_shift < 0 < work.failure_shift
    success = PRIORS.find(Lane.CODE_IMPL, "agent/coder", Outcome.SUCCESS, Metric.COST, None)
    failure = PRIORS.find(Lane.CODE_IMPL, "agent/coder", Outcome.FAILURE, Metric.COST, None)
    assert 1.2 < math.exp(failure.m - success.m) < 1.8


def test_dearer_model_costs_more_but_less_than_its_price_ratio_and_fewer_tokens():
    cheap, dear = at(3.0), at(12.0)
    assert 1 < math.exp(dear.m - cheap.m) < 4
    assert at(12.0, Metric.TOKENS_IN).m < at(3.0, Metric.TOKENS_IN).m
    assert at(12.0, Metric.TIME).m == at(3.0, Metric.TIME).m


def test_unknown_price_is_wider_than_a_known_one_and_as_dear_as_the_reference():
    reference = SHIPPED["price"]["reference_microusd"] / 1e6
    unknown, known = at(None), at(reference)
    assert unknown.m == pytest.approx(known.m)
    assert predict(unknown).p95 / predict(unknown).p05 > predict(known).p95 / predict(known).p05


def test_price_outside_what_was_seen_is_taken_as_the_nearest_seen():
    assert at(50_000.0) == at(SHIPPED["price"]["highest_microusd"] / 1e6)
    assert at(0.000001).m == pytest.approx(at(SHIPPED["price"]["lowest_microusd"] / 1e6).m)


def test_planning_costs_cents_and_is_wide():
    predicted = predict(at(15.0, configuration="plan/thinker"))
    assert 10_000 < predicted.p50 < 1_000_000
    assert predicted.p95 / predicted.p05 > 10


def test_every_agent_prior_is_wide_until_there_is_data():
    for lane in Lane:
        for metric in Metric:
            predicted = predict(at(10.0, metric, lane))
            assert predicted.p95 / predicted.p05 > 10


def test_recipe_has_no_price_and_no_elasticity():
    assert not uses_model("recipe/format")
    assert PRIORS.log_factor(Lane.CODE_IMPL, "recipe/format", Metric.TIME, price(10.0)) == 0.0


def test_share_of_zeros_makes_the_low_quantiles_zero():
    state = Posterior(m=3.0, kappa=5.0, a=6.0, b=2.0)
    whole, half = predict(state), predict(state, 0.5)
    assert (half.p05, half.p25, half.p50) == (0.0, 0.0, 0.0)
    assert half.p75 == pytest.approx(whole.p50)
    assert half.p90 == pytest.approx(whole.p80)


def test_shift_and_update_commute():
    state = Posterior(m=1.0, kappa=2.0, a=5.0, b=2.0)
    there_and_back = shift(observe(shift(state, 0.7), 3.0 * math.exp(0.7)), -0.7)
    assert there_and_back.m == pytest.approx(observe(state, 3.0).m)
    assert there_and_back.b == pytest.approx(observe(state, 3.0).b)


def test_broken_model_priors_are_named():
    recipes = (files("services.plms") / "priors" / "recipes.v1.json").read_text("utf-8")
    with pytest.raises(InternalError, match="priors are broken"):
        parse_priors(recipes, '{"version": "x"}')
