"""Normal-Inverse-Gamma posteriors of the natural logarithm of seconds, micro-USD and tokens (docs/adr/0005, 0018).

With y = ln(value), y | mu, s2 ~ N(mu, s2), mu | s2 ~ N(m, s2 / kappa) and s2 ~ InverseGamma(a, b).
"""

import math
from dataclasses import dataclass, replace
from enum import StrEnum

from services.plms.models import Label, Quantiles

DISCOUNT = 0.98
"""How much of what was known survives one observation: old runs fade, so that a drift is followed."""
KAPPA_FLOOR = 0.5
A_FLOOR = 4.0
MIN_TIME_S = 0.001
"""Shorter times are taken as this: clocks of cards resolve milliseconds, and ln(0) does not exist."""
LEARNING_FROM = 5
CALIBRATED_FROM = 20
LEVELS = (0.05, 0.10, 0.25, 0.50, 0.75, 0.80, 0.90, 0.95)
"""The levels of `Quantiles`, in the order of its fields."""


class Outcome(StrEnum):
    """Failed attempts have a distribution of their own; they are never dropped."""

    SUCCESS = "success"
    FAILURE = "failure"


class Metric(StrEnum):
    """What is learned of an attempt, each by itself: seconds, micro-USD, tokens."""

    TIME = "time"
    COST = "cost"
    TOKENS_IN = "tokens_in"
    TOKENS_OUT = "tokens_out"
    TOKENS_THINK = "tokens_think"


@dataclass(frozen=True)
class Posterior:
    """Sufficient state: (m, kappa, a, b), the attempts it learned from, and all attempts with this outcome."""

    m: float
    kappa: float
    a: float
    b: float
    observations: int = 0
    attempts: int = 0


def count_attempt(posterior: Posterior) -> Posterior:
    """Return `posterior` with one more attempt that counts for the odds of failure."""
    return replace(posterior, attempts=posterior.attempts + 1)


def shift(posterior: Posterior, log_factor: float) -> Posterior:
    """Return `posterior` of the values times exp(log_factor)."""
    return replace(posterior, m=posterior.m + log_factor)


def observe(posterior: Posterior, value: float) -> Posterior:
    """Return `posterior` after one attempt that took `value` (at least MIN_TIME_S): discounted with floors, updated.

    The conjugate update for one observation (Murphy 2007, "Conjugate Bayesian analysis of the Gaussian distribution",
    section 3), preceded by exponential forgetting of kappa, a and b.
    """
    kappa = max(KAPPA_FLOOR, DISCOUNT * posterior.kappa)
    a = max(A_FLOOR, DISCOUNT * posterior.a)
    b = posterior.b * a / posterior.a
    d = math.log(max(value, MIN_TIME_S)) - posterior.m
    return Posterior(
        m=posterior.m + d / (kappa + 1),
        kappa=kappa + 1,
        a=a + 0.5,
        b=b + kappa * d * d / (2 * (kappa + 1)),
        observations=posterior.observations + 1,
        attempts=posterior.attempts,
    )


def predict(posterior: Posterior, share: float = 1.0) -> Quantiles:
    """Return the quantiles of the next attempt: exp of a Student-t with 2a degrees of freedom.

    `share` is the probability that the value is not zero at all; below 1 the low quantiles are zero.
    Quantiles only: the mean of an exponentiated Student-t is infinite.
    """
    from scipy.special import stdtrit  # noqa: PLC0415 - 30 MB that a server at rest does not hold

    scale = math.sqrt(posterior.b * (posterior.kappa + 1) / (posterior.a * posterior.kappa))
    positive = [1 - (1 - level) / share for level in LEVELS]
    return to_quantiles(
        [
            math.exp(posterior.m + scale * float(stdtrit(2 * posterior.a, level))) if level > 0 else 0.0
            for level in positive
        ]
    )


def to_quantiles(values: list[float]) -> Quantiles:
    """Return the values at LEVELS, in that order, as Quantiles."""
    return Quantiles(**dict(zip(Quantiles.model_fields, values, strict=True)))


def label_of(posterior: Posterior) -> Label:
    """Return how much of the posterior is data."""
    if posterior.observations >= CALIBRATED_FROM:
        return Label.CALIBRATED
    return Label.LEARNING if posterior.observations >= LEARNING_FROM else Label.PRIOR_LED
