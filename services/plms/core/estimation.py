"""From a plan to an estimate."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from services.kernel.ids import EstimateId
from services.plms.core.calibration import EVERYWHERE, Calibration, Copy, metrics_of
from services.plms.core.ledger import Ledger, PosteriorKey
from services.plms.core.posterior import Metric, Outcome, label_of, predict
from services.plms.core.priors import uses_model
from services.plms.models import (
    ZERO,
    CardEstimate,
    Estimate,
    EstimateRequest,
    Label,
    ModelPrice,
    PlannedCard,
    Project,
    Quantiles,
)

if TYPE_CHECKING:
    from services.plms.core.totals import Forecast, Spread

NO_MODEL_USED = "none: no model used"
NO_MODEL_CONFIGURED = "none: no model configured"


def estimate_plan(
    ledger: Ledger,
    calibration: Calibration,
    request: EstimateRequest,
    *,
    project: Project,
    estimate_id: EstimateId,
    created_at: str,
) -> Estimate:
    """Return the estimate of a plan: seconds; and for agent and plan cards tokens and micro-USD.

    Each card's figures are those of one successful attempt; the totals include failed attempts, the total time also
    dependencies. Recipes spend no token and no money by construction, models without a price no money. The project's
    rehearsals move its own copy of what is known. Raises InvalidRequestError for dependencies that cannot be ordered.
    """
    from services.plms.core.totals import draw_totals  # noqa: PLC0415 - NumPy, on first use

    copy, rehearsed = calibration.rehearse(ledger, project)
    by_card = _forecast_cards(copy, project, request.cards)
    cards = tuple(_estimate_card(card, forecast) for card, forecast in zip(request.cards, by_card, strict=True))
    totals = draw_totals(estimate_id, request.cards, by_card)
    return Estimate(
        estimate_id=estimate_id,
        project_id=project.project_id,
        time_s=totals.time_s,
        cost_microusd=totals.cost_microusd,
        tokens_in=totals.tokens_in,
        tokens_out=totals.tokens_out,
        tokens_think=totals.tokens_think,
        rehearsed_cards=rehearsed,
        price_table_version=_name_prices(request),
        cost_microusd_p95=math.ceil(totals.cost_microusd.p95),
        tokens_p95=math.ceil(totals.tokens.p95),
        uses_model=any(uses_model(card.configuration) for card in request.cards),
        label=min((card.label for card in cards), key=list(Label).index),
        cards=cards,
        created_at=created_at,
    )


def _name_prices(request: EstimateRequest) -> str:
    """Return the versions of the price tables behind the plan's cards."""
    prices = [card.price for card in request.cards if uses_model(card.configuration)]
    if not prices:
        return NO_MODEL_USED
    versions = {NO_MODEL_CONFIGURED if price is None else price.price_table_version for price in prices}
    return ", ".join(sorted(versions))


def _forecast_cards(copy: Copy, project: Project, cards: Sequence[PlannedCard]) -> "list[Forecast]":
    """Return a forecast per card; cards of one lane, configuration and price share theirs."""
    forecasts: dict[tuple[str, str, ModelPrice | None], Forecast] = {}
    for card in cards:
        known = (card.lane.value, card.configuration, card.price)
        if known not in forecasts:
            forecasts[known] = _forecast(copy, project, card)
    return [forecasts[card.lane.value, card.configuration, card.price] for card in cards]


def _forecast(copy: Copy, project: Project, card: PlannedCard) -> "Forecast":
    from services.plms.core.totals import Forecast  # noqa: PLC0415 - NumPy, on first use

    repo = EVERYWHERE if uses_model(card.configuration) else project.repo
    key = PosteriorKey(repo, card.lane, card.configuration, Outcome.SUCCESS, Metric.TIME)
    spreads = {
        metric: _spread(copy, replace(key, metric=metric), card.price)
        for metric in metrics_of(card.configuration)
        if metric is not Metric.COST or not _is_free(card.price)
    }
    time = spreads.pop(Metric.TIME)
    odds = copy.priors.failure_odds(card.lane, card.configuration, time.failure.attempts, time.success.attempts)
    return Forecast(time, odds, spreads)


def _spread(copy: Copy, key: PosteriorKey, price: ModelPrice | None) -> "Spread":
    from services.plms.core.totals import Spread  # noqa: PLC0415 - NumPy, on first use

    success = copy.read_at(key, price)
    failure = copy.read_at(replace(key, outcome=Outcome.FAILURE), price)
    # Many models never think: whether one does is learned as a share of attempts, from even odds.
    seen, attempts = success.observations + failure.observations, success.attempts + failure.attempts
    share = (1.0 + seen, 1.0 + attempts - seen) if key.metric is Metric.TOKENS_THINK else None
    return Spread(success, failure, share)


def _is_free(price: ModelPrice | None) -> bool:
    return price is not None and price.input_microusd == 0 and price.output_microusd == 0


def _estimate_card(card: PlannedCard, forecast: "Forecast") -> CardEstimate:
    known = [
        forecast.time.success,
        *(spread.success for metric, spread in forecast.spent.items() if metric is Metric.COST),
    ]
    weakest = min(known, key=lambda posterior: posterior.observations)
    return CardEstimate(
        task_id=card.task_id,
        lane=card.lane,
        configuration=card.configuration,
        time_s=predict(forecast.time.success),
        cost_microusd=_predict_spent(forecast, Metric.COST),
        tokens_in=_predict_spent(forecast, Metric.TOKENS_IN),
        tokens_out=_predict_spent(forecast, Metric.TOKENS_OUT),
        tokens_think=_predict_spent(forecast, Metric.TOKENS_THINK),
        attempts_observed=weakest.observations,
        label=label_of(weakest),
        price=card.price,
    )


def _predict_spent(forecast: "Forecast", metric: Metric) -> Quantiles:
    spread = forecast.spent.get(metric)
    if spread is None:
        return ZERO
    share = 1.0 if spread.share is None else spread.share[0] / sum(spread.share)
    return predict(spread.success, share)
