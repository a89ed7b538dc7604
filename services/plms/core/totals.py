"""The total of a plan: Monte-Carlo critical path over its cards (docs/adr/0005). Imported when first needed: NumPy."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from services.kernel.errors import InvalidRequestError
from services.kernel.ids import EstimateId, TaskId
from services.plms.core.posterior import LEVELS, Posterior, to_quantiles
from services.plms.models import PlannedCard, Quantiles

DRAWS = 2000
MAX_ATTEMPTS = 3
SETTLED_FROM = 4
RHO_UNSETTLED = 0.8
RHO_SETTLED = 0.5

Draws = NDArray[np.float64]


@dataclass(frozen=True)
class Forecast:
    """What is known of one lane and configuration: both posteriors and the Beta odds of a failed attempt."""

    success: Posterior
    failure: Posterior
    odds: tuple[float, float]


def draw_total(estimate_id: EstimateId, cards: Sequence[PlannedCard], forecasts: Sequence[Forecast]) -> Quantiles:
    """Return the quantiles, in seconds, of the time from the first card's start to the last card's success.

    `forecasts[i]` belongs to `cards[i]`. Cards wait for their dependencies and else run at once (lane limits are not
    modelled). 2,000 draws, seeded from the estimate id: the same estimate gives the same figures.
    """
    seed = int.from_bytes(sha256(estimate_id.encode()).digest()[:8])
    random = np.random.default_rng(seed)
    shared = random.standard_normal(DRAWS)
    samplers: dict[tuple[str, str], _Sampler] = {}
    durations: dict[TaskId, Draws] = {}
    for card, forecast in zip(cards, forecasts, strict=True):
        key = (card.lane.value, card.configuration)
        if key not in samplers:
            samplers[key] = _Sampler(forecast, shared, random)
        durations[card.task_id] = samplers[key].draw(random)
    finish = _finish_times(order_cards(cards), durations)
    total = np.max(np.stack(list(finish.values())), axis=0)
    return to_quantiles([float(value) for value in np.quantile(total, LEVELS)])


class _Sampler:
    """Durations of cards that share a lane and configuration, hence its unknown mean, spread and odds."""

    def __init__(self, forecast: Forecast, shared: Draws, random: np.random.Generator) -> None:
        self._success = _draw_parameters(forecast.success, shared, random)
        self._failure = _draw_parameters(forecast.failure, shared, random)
        self._p_fail = random.beta(*forecast.odds, DRAWS)

    def draw(self, random: np.random.Generator) -> Draws:
        """Return seconds until success, failed attempts included (at most MAX_ATTEMPTS attempts)."""
        time_s = _draw_times(self._success, random)
        is_failing = np.ones(DRAWS, dtype=np.bool_)
        for _ in range(MAX_ATTEMPTS - 1):
            is_failing &= random.random(DRAWS) < self._p_fail
            time_s += np.where(is_failing, _draw_times(self._failure, random), 0.0)
        return time_s


def _draw_parameters(posterior: Posterior, shared: Draws, random: np.random.Generator) -> tuple[Draws, Draws]:
    """Draw (mu, sigma) of ln seconds; lanes share part of their error, more so while few runs are known."""
    rho = RHO_UNSETTLED if posterior.observations < SETTLED_FROM else RHO_SETTLED
    sigma = np.sqrt(posterior.b / random.gamma(posterior.a, 1.0, DRAWS))
    own = random.standard_normal(DRAWS)
    error = math.sqrt(rho) * shared + math.sqrt(1 - rho) * own
    return posterior.m + sigma / math.sqrt(posterior.kappa) * error, sigma


def _draw_times(parameters: tuple[Draws, Draws], random: np.random.Generator) -> Draws:
    mu, sigma = parameters
    return np.asarray(np.exp(mu + sigma * random.standard_normal(DRAWS)), dtype=np.float64)


def _finish_times(cards: Sequence[PlannedCard], durations: Mapping[TaskId, Draws]) -> dict[TaskId, Draws]:
    finish: dict[TaskId, Draws] = {}
    for card in cards:
        start = np.max(np.stack([finish[dep] for dep in card.deps]), axis=0) if card.deps else 0.0
        finish[card.task_id] = start + durations[card.task_id]
    return finish


def order_cards(cards: Sequence[PlannedCard]) -> tuple[PlannedCard, ...]:
    """Return the cards so that each comes after its dependencies.

    Raises InvalidRequestError for a task id that occurs twice, an unknown dependency or a circle.
    """
    by_id = {card.task_id: card for card in cards}
    if len(by_id) != len(cards):
        raise InvalidRequestError("two cards have the same task id; give each card its own")
    for card in cards:
        if unknown := sorted(set(card.deps) - by_id.keys()):
            raise InvalidRequestError(f"card {card.task_id} depends on {unknown[0]}, which is not in the plan")
    ordered: dict[TaskId, PlannedCard] = {}
    while len(ordered) < len(cards):
        ready = [card for card in cards if card.task_id not in ordered and ordered.keys() >= set(card.deps)]
        if not ready:
            stuck = ", ".join(sorted(by_id.keys() - ordered.keys())[:5])
            raise InvalidRequestError(f"the dependencies of these cards go in a circle: {stuck}")
        ordered |= {card.task_id: card for card in ready}
    return tuple(ordered.values())
