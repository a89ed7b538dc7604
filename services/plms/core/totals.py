"""The total of a plan: Monte-Carlo over its cards (docs/adr/0005, 0018). Imported when first needed: NumPy."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from services.kernel.errors import InvalidRequestError
from services.kernel.ids import EstimateId, TaskId
from services.plms.core.posterior import LEVELS, Metric, Posterior, to_quantiles
from services.plms.models import ZERO, ModelPrice, PlannedCard, Quantiles

DRAWS = 2000
SETTLED_FROM = 4
RHO_UNSETTLED = 0.8
RHO_SETTLED = 0.5

Draws = NDArray[np.float64]


@dataclass(frozen=True)
class Spread:
    """One metric of a configuration: after a success, after a failure; Beta parameters of being more than zero."""

    success: Posterior
    failure: Posterior
    share: tuple[float, float] | None = None


@dataclass(frozen=True)
class Forecast:
    """What is known of one lane and configuration; `spent` lacks what is zero by construction.

    `odds` are the Beta parameters of a failed attempt.
    """

    time: Spread
    odds: tuple[float, float]
    spent: Mapping[Metric, Spread] = field(default_factory=dict)


@dataclass(frozen=True)
class Totals:
    """A plan's quantiles: seconds to the last card's success, what is spent on all attempts of all cards.

    `tokens` counts input and output; thinking is part of output.
    """

    time_s: Quantiles
    cost_microusd: Quantiles
    tokens_in: Quantiles
    tokens_out: Quantiles
    tokens_think: Quantiles
    tokens: Quantiles


def draw_totals(estimate_id: EstimateId, cards: Sequence[PlannedCard], forecasts: Sequence[Forecast]) -> Totals:
    """Return the quantiles of a plan's time and spend.

    `forecasts[i]` belongs to `cards[i]`. Cards wait for their dependencies and else run at once (lane limits are not
    modelled). 2,000 draws, seeded from the estimate id: the same estimate gives the same figures.
    """
    seed = int.from_bytes(sha256(estimate_id.encode()).digest()[:8])
    random = np.random.default_rng(seed)
    shared = random.standard_normal(DRAWS)
    samplers: dict[tuple[str, str, ModelPrice | None], _Sampler] = {}
    durations: dict[TaskId, Draws] = {}
    spent: dict[Metric, Draws] = {}
    for card, forecast in zip(cards, forecasts, strict=True):
        key = (card.lane.value, card.configuration, card.price)
        if key not in samplers:
            samplers[key] = _Sampler(forecast, shared, random)
        durations[card.task_id], card_spent = samplers[key].draw(card, random)
        for metric, draws in card_spent.items():
            spent[metric] = spent[metric] + draws if metric in spent else draws
    finish = _finish_times(order_cards(cards), durations)
    total = np.max(np.stack(list(finish.values())), axis=0)
    return _summarise(total, spent)


def _summarise(time_s: Draws, spent: Mapping[Metric, Draws]) -> Totals:
    tokens = [spent[metric] for metric in (Metric.TOKENS_IN, Metric.TOKENS_OUT) if metric in spent]
    return Totals(
        time_s=_quantiles(time_s),
        cost_microusd=_quantiles(spent.get(Metric.COST)),
        tokens_in=_quantiles(spent.get(Metric.TOKENS_IN)),
        tokens_out=_quantiles(spent.get(Metric.TOKENS_OUT)),
        tokens_think=_quantiles(spent.get(Metric.TOKENS_THINK)),
        tokens=_quantiles(np.sum(tokens, axis=0)) if tokens else ZERO,
    )


def _quantiles(draws: Draws | None) -> Quantiles:
    return ZERO if draws is None else to_quantiles([float(value) for value in np.quantile(draws, LEVELS)])


@dataclass(frozen=True)
class _Outcomes:
    """Drawn parameters of one metric: (mu, sigma) of ln after a success and a failure, and the share above zero."""

    success: tuple[Draws, Draws]
    failure: tuple[Draws, Draws]
    share: Draws | None


class _Sampler:
    """Attempts of cards that share a lane and configuration, hence its unknown means, spreads and odds."""

    def __init__(self, forecast: Forecast, shared: Draws, random: np.random.Generator) -> None:
        self._time = _draw_outcomes(forecast.time, shared, random, random.standard_normal(DRAWS))
        # Tokens and money of a configuration rise together: one error serves them all.
        own = random.standard_normal(DRAWS) if forecast.spent else np.zeros(0)
        self._spent = {metric: _draw_outcomes(spread, shared, random, own) for metric, spread in forecast.spent.items()}
        self._p_fail = random.beta(*forecast.odds, DRAWS)

    def draw(self, card: PlannedCard, random: np.random.Generator) -> tuple[Draws, dict[Metric, Draws]]:
        """Return seconds and spend until success, failed attempts included (at most `max_attempts` attempts).

        An attempt's tokens and money rise together; a card with a budget of its own never spends more.
        """
        failing = np.ones(DRAWS, dtype=np.bool_)
        attempts: list[tuple[bool, NDArray[np.bool_]]] = [(True, failing)]
        for _ in range(card.max_attempts - 1):
            failing = failing & (random.random(DRAWS) < self._p_fail)
            attempts.append((False, failing))
        noise = [random.standard_normal(DRAWS) for _ in attempts]
        time_s = _add_attempts(self._time, attempts, noise, random)
        spent = {}
        if self._spent:
            noise = [random.standard_normal(DRAWS) for _ in attempts]
            spent = {metric: _add_attempts(drawn, attempts, noise, random) for metric, drawn in self._spent.items()}
        if card.max_cost_microusd is not None and Metric.COST in spent:
            spent[Metric.COST] = np.minimum(spent[Metric.COST], float(card.max_cost_microusd))
        return time_s, spent


def _draw_outcomes(spread: Spread, shared: Draws, random: np.random.Generator, own: Draws) -> _Outcomes:
    return _Outcomes(
        _draw_parameters(spread.success, shared, random, own),
        _draw_parameters(spread.failure, shared, random, own),
        None if spread.share is None else random.beta(*spread.share, DRAWS),
    )


def _draw_parameters(
    posterior: Posterior, shared: Draws, random: np.random.Generator, own: Draws
) -> tuple[Draws, Draws]:
    """Draw (mu, sigma) of ln; lanes share part of their error, more so while few runs are known."""
    rho = RHO_UNSETTLED if posterior.observations < SETTLED_FROM else RHO_SETTLED
    sigma = np.sqrt(posterior.b / random.gamma(posterior.a, 1.0, DRAWS))
    error = math.sqrt(rho) * shared + math.sqrt(1 - rho) * own
    return posterior.m + sigma / math.sqrt(posterior.kappa) * error, sigma


def _add_attempts(
    drawn: _Outcomes,
    attempts: Sequence[tuple[bool, NDArray[np.bool_]]],
    noise: Sequence[Draws],
    random: np.random.Generator,
) -> Draws:
    total = np.zeros(DRAWS)
    for (is_success, happens), normal in zip(attempts, noise, strict=True):
        mu, sigma = drawn.success if is_success else drawn.failure
        if drawn.share is not None:
            happens = happens & (random.random(DRAWS) < drawn.share)  # noqa: PLW2901 - the same event, narrowed
        total += np.where(happens, np.exp(mu + sigma * normal), 0.0)
    return total


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
