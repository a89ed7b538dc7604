"""Normal-Inverse-Gamma posteriors of the natural logarithm of seconds (docs/adr/0005).

With y = ln(seconds), y | mu, s2 ~ N(mu, s2), mu | s2 ~ N(m, s2 / kappa) and s2 ~ InverseGamma(a, b).
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


def observe(posterior: Posterior, time_s: float) -> Posterior:
    """Return `posterior` after one attempt of `time_s` seconds: discounted with floors, then updated.

    The conjugate update for one observation (Murphy 2007, "Conjugate Bayesian analysis of the Gaussian distribution",
    section 3), preceded by exponential forgetting of kappa, a and b.
    """
    kappa = max(KAPPA_FLOOR, DISCOUNT * posterior.kappa)
    a = max(A_FLOOR, DISCOUNT * posterior.a)
    b = posterior.b * a / posterior.a
    d = math.log(max(time_s, MIN_TIME_S)) - posterior.m
    return Posterior(
        m=posterior.m + d / (kappa + 1),
        kappa=kappa + 1,
        a=a + 0.5,
        b=b + kappa * d * d / (2 * (kappa + 1)),
        observations=posterior.observations + 1,
        attempts=posterior.attempts,
    )


def predict(posterior: Posterior) -> Quantiles:
    """Return the quantiles, in seconds, of the next attempt: exp of a Student-t with 2a degrees of freedom.

    Quantiles only: the mean of an exponentiated Student-t is infinite.
    """
    from scipy.special import stdtrit  # noqa: PLC0415 - 30 MB that a server at rest does not hold

    scale = math.sqrt(posterior.b * (posterior.kappa + 1) / (posterior.a * posterior.kappa))
    return to_quantiles([math.exp(posterior.m + scale * float(stdtrit(2 * posterior.a, level))) for level in LEVELS])


def to_quantiles(values: list[float]) -> Quantiles:
    """Return the values at LEVELS, in that order, as Quantiles."""
    return Quantiles(**dict(zip(Quantiles.model_fields, values, strict=True)))


def label_of(posterior: Posterior) -> Label:
    """Return how much of the posterior is data."""
    if posterior.observations >= CALIBRATED_FROM:
        return Label.CALIBRATED
    return Label.LEARNING if posterior.observations >= LEARNING_FROM else Label.PRIOR_LED
