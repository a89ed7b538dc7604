"""From a plan to an estimate."""

from dataclasses import replace

from services.kernel.ids import EstimateId
from services.plms.core.calibration import Calibration, weakest_label
from services.plms.core.ledger import Ledger, PosteriorKey
from services.plms.core.posterior import Outcome, Posterior, label_of, predict
from services.plms.models import CardEstimate, Estimate, EstimateRequest, PlannedCard, Project


def estimate_plan(
    ledger: Ledger,
    calibration: Calibration,
    request: EstimateRequest,
    *,
    project: Project,
    estimate_id: EstimateId,
    created_at: str,
) -> Estimate:
    """Return the estimate of a plan of recipes: seconds only, for no token and no money is spent on a recipe.

    Each card's figures are those of one successful attempt; the total includes failed attempts and dependencies.
    Raises InvalidRequestError for dependencies that cannot be ordered.
    """
    from services.plms.core.totals import Forecast, draw_total  # noqa: PLC0415 - NumPy, on first use

    forecasts: dict[PosteriorKey, Forecast] = {}
    for card in request.cards:
        key = _key(project, card)
        if key not in forecasts:
            success = calibration.read(ledger, key)
            failure = calibration.read(ledger, replace(key, outcome=Outcome.FAILURE))
            odds = calibration.priors.failure_odds(failure.attempts, success.attempts)
            forecasts[key] = Forecast(success, failure, odds)
    by_card = [forecasts[_key(project, card)] for card in request.cards]
    cards = tuple(_estimate_card(card, forecast.success) for card, forecast in zip(request.cards, by_card, strict=True))
    return Estimate(
        estimate_id=estimate_id,
        project_id=project.project_id,
        time_s=draw_total(estimate_id, request.cards, by_card),
        cost_microusd_p95=0,
        tokens_p95=0,
        uses_model=False,
        label=weakest_label(card.label for card in cards),
        cards=cards,
        created_at=created_at,
    )


def _key(project: Project, card: PlannedCard) -> PosteriorKey:
    return PosteriorKey(project.repo, card.lane, card.configuration, Outcome.SUCCESS)


def _estimate_card(card: PlannedCard, success: Posterior) -> CardEstimate:
    return CardEstimate(
        task_id=card.task_id,
        lane=card.lane,
        configuration=card.configuration,
        time_s=predict(success),
        attempts_observed=success.observations,
        label=label_of(success),
    )
