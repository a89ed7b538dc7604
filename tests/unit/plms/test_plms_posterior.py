"""The estimator's arithmetic, held against closed forms and simulation."""

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from services.kernel.errors import InternalError
from services.kernel.vocabulary import Lane
from services.plms.app import load_priors
from services.plms.core.posterior import (
    A_FLOOR,
    DISCOUNT,
    KAPPA_FLOOR,
    LEVELS,
    MIN_TIME_S,
    Metric,
    Outcome,
    Posterior,
    label_of,
    observe,
    predict,
)
from services.plms.core.priors import TimePrior, parse_priors
from services.plms.models import Label, Quantiles

PRIOR = TimePrior(median_s=6.0, between_sd=1.0, within_sd=0.6).to_posterior()


def test_levels_are_those_of_the_quantiles_fields():
    assert [f"p{round(level * 100):02d}" for level in LEVELS] == list(Quantiles.model_fields)


def test_prior_has_the_stated_median_and_spreads():
    assert math.exp(PRIOR.m) == pytest.approx(6.0)
    expected_variance = PRIOR.b / (PRIOR.a - 1)
    assert expected_variance == pytest.approx(0.36)
    assert expected_variance / PRIOR.kappa == pytest.approx(1.0)


def test_update_is_the_conjugate_one_after_the_discount():
    start = Posterior(m=1.0, kappa=10.0, a=20.0, b=6.0, observations=3, attempts=5)
    moved = observe(start, math.exp(2.0))
    kappa, a, b = 9.8, 19.6, 6.0 * 0.98
    assert moved.m == pytest.approx((kappa * 1.0 + 2.0) / (kappa + 1))
    assert moved.kappa == pytest.approx(kappa + 1)
    assert moved.a == pytest.approx(a + 0.5)
    assert moved.b == pytest.approx(b + kappa * 1.0 / (2 * (kappa + 1)))
    assert (moved.observations, moved.attempts) == (4, 5)


def test_floors_hold_and_b_shrinks_with_a():
    moved = observe(Posterior(m=0.0, kappa=0.1, a=A_FLOOR, b=2.0), 1.0)
    assert moved.kappa == pytest.approx(KAPPA_FLOOR + 1)
    assert moved.a == pytest.approx(A_FLOOR + 0.5)
    assert moved.b == pytest.approx(2.0)


def test_weight_of_the_past_is_bounded_by_the_discount():
    state = PRIOR
    for _ in range(2000):
        state = observe(state, 6.0)
    assert state.kappa == pytest.approx(1 / (1 - DISCOUNT))


def test_prediction_is_a_student_t_on_log_seconds():
    state = Posterior(m=0.7, kappa=3.0, a=5.0, b=2.0)
    scale = math.sqrt(2.0 * 4.0 / (5.0 * 3.0))
    expected = [math.exp(stats.t.ppf(level, 10, 0.7, scale)) for level in LEVELS]
    assert list(predict(state).model_dump().values()) == pytest.approx(expected)


def test_quantiles_rise_and_narrow_with_data():
    before = predict(PRIOR)
    state = PRIOR
    for _ in range(30):
        state = observe(state, 6.0)
    after = predict(state)
    for quantiles in (before, after):
        assert all(low < high for low, high in pairwise(quantiles.model_dump().values()))
    assert after.p95 / after.p05 < before.p95 / before.p05


def test_time_of_zero_counts_as_one_millisecond():
    assert observe(PRIOR, 0.0) == observe(PRIOR, MIN_TIME_S)


@pytest.mark.parametrize(
    ("observations", "label"),
    [
        (0, Label.PRIOR_LED),
        (4, Label.PRIOR_LED),
        (5, Label.LEARNING),
        (19, Label.LEARNING),
        (20, Label.CALIBRATED),
        (500, Label.CALIBRATED),
    ],
)
def test_label_follows_the_number_of_attempts(observations, label):
    assert label_of(Posterior(0.0, 1.0, 4.0, 1.0, observations=observations)) is label


def test_intervals_cover_what_they_claim_on_a_log_normal_stream():
    """120 lanes drawn from the prior, 40 attempts each: from the fifth on, 90% in [p05, p95] and 50% in [p25, p75]."""
    random = np.random.default_rng(20261121)
    inside_90 = inside_50 = total = 0
    for _ in range(120):
        sigma = math.sqrt(PRIOR.b / random.gamma(PRIOR.a))
        mu = random.normal(PRIOR.m, sigma / math.sqrt(PRIOR.kappa))
        state = PRIOR
        for n, y in enumerate(random.normal(mu, sigma, 40)):
            time_s = math.exp(y)
            if n >= 5:
                predicted = predict(state)
                inside_90 += predicted.p05 <= time_s <= predicted.p95
                inside_50 += predicted.p25 <= time_s <= predicted.p75
                total += 1
            state = observe(state, time_s)
    assert 0.87 <= inside_90 / total <= 0.93
    assert 0.45 <= inside_50 / total <= 0.55


def test_prior_far_off_is_overcome():
    """A stream 30 times slower than its prior: from the fifth attempt on the 90% interval covers at least 85%."""
    random = np.random.default_rng(7)
    inside = total = 0
    for _ in range(120):
        state = PRIOR
        for n, y in enumerate(random.normal(math.log(180.0), 0.5, 40)):
            if n >= 5:
                predicted = predict(state)
                inside += predicted.p05 <= math.exp(y) <= predicted.p95
                total += 1
            state = observe(state, math.exp(y))
    assert inside / total >= 0.85
    assert predicted.p05 < 180.0 < predicted.p95


def start_of(configuration):
    return load_priors().find(Lane.CODE_IMPL, configuration, Outcome.SUCCESS, Metric.TIME, None)


def test_shipped_priors_are_wide_and_cover_the_recipes():
    priors = load_priors()
    for recipe in ("rename-symbol", "mentions", "format", "lint-fix", "run-tests", "never-heard-of"):
        predicted = predict(start_of(f"recipe/{recipe}"))
        assert predicted.p95 / predicted.p05 > 10
    unknown, failure = priors.recipe.unknown_recipe.to_posterior(), priors.recipe.failure
    assert start_of("recipe/never-heard-of") == unknown
    assert start_of("recipe/format") != unknown
    odds = priors.failure_odds(Lane.CODE_IMPL, "recipe/format", 2, 10)
    assert odds == (failure.failures + 2, failure.successes + 10)


def test_broken_priors_are_named():
    with pytest.raises(InternalError, match="priors are broken"):
        parse_priors('{"version": "x"}', "{}")
