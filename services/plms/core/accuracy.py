"""How predictions held: a project's attempts inside the intervals that were stated before them."""

from collections.abc import Iterable

from services.plms.core.calibration import Calibration, key_of
from services.plms.core.ledger import Ledger, ScoredActual
from services.plms.core.posterior import Metric, label_of, predict
from services.plms.core.priors import uses_model
from services.plms.models import ZERO, LaneAccuracy, Metrics, Project, Quantiles


def measure_project(ledger: Ledger, calibration: Calibration, project: Project) -> Metrics:
    """Return how a project's predictions held."""
    scored = ledger.list_actuals(project.project_id)
    groups = sorted({(entry.actual.lane, entry.actual.configuration) for entry in scored if entry.predicted})
    return Metrics(
        project_id=project.project_id,
        runs=len(ledger.list_runs(project.project_id)),
        total_time_s=sum(entry.actual.time_s for entry in scored),
        total_cost_microusd=sum(entry.actual.cost_microusd for entry in scored),
        lanes=tuple(
            _measure_lane(
                ledger,
                calibration,
                [entry for entry in scored if (entry.actual.lane, entry.actual.configuration) == group],
            )
            for group in groups
        ),
    )


def _measure_lane(ledger: Ledger, calibration: Calibration, scored: list[ScoredActual]) -> LaneAccuracy:
    last = scored[-1]
    success = last.actual.model_copy(update={"is_success": True})
    posterior = calibration.read(ledger, key_of(last.repo, success), last.price)
    cost = calibration.read(ledger, key_of(last.repo, success, Metric.COST), last.price)
    times = [(entry.actual.time_s, entry.predicted) for entry in scored if entry.predicted]
    costs = [(float(entry.actual.cost_microusd), entry.predicted_cost) for entry in scored if entry.predicted_cost]
    return LaneAccuracy(
        lane=last.actual.lane,
        configuration=last.actual.configuration,
        attempts=len(times),
        inside_50=_count_inside(times, "p25", "p75"),
        inside_90=_count_inside(times, "p05", "p95"),
        label=label_of(posterior),
        time_s=predict(posterior),
        cost_attempts=len(costs),
        cost_inside_50=_count_inside(costs, "p25", "p75"),
        cost_inside_90=_count_inside(costs, "p05", "p95"),
        cost_microusd=predict(cost) if uses_model(last.actual.configuration) else ZERO,
    )


def _count_inside(pairs: Iterable[tuple[float, Quantiles]], low: str, high: str) -> int:
    return sum(getattr(predicted, low) <= value <= getattr(predicted, high) for value, predicted in pairs)
