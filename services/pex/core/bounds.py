"""What may be spent on a plan, and how an estimate is told: steps 3 and 4; pure."""

import math

from services.pex.core.cards import needs_model
from services.pex.core.money import format_usd
from services.pex.core.ports import EventDraft
from services.pex.models import Plan
from services.plms.models import Estimate, Quantiles

NO_MODEL_YET = (
    "no model is configured, so the public priors alone speak: connect one with `direng model add` before you start"
)


def find_cost_bound(estimate: Estimate, max_cost_microusd: int | None) -> int:
    """Return the approved upper bound of spend: what the user allows, else the estimate's P95 rounded up (micro-USD).

    0 where no model is used: then nothing can be spent.
    """
    if not estimate.uses_model:
        return 0
    if max_cost_microusd is not None:
        return max_cost_microusd
    return max(estimate.cost_microusd_p95, math.ceil(estimate.cost_microusd.p95))


def warn_of_cap(estimate: Estimate, max_cost_microusd: int | None) -> str:
    """Return what the user should know of a cap below the estimate; empty when there is nothing to say."""
    if max_cost_microusd is None or not estimate.uses_model:
        return ""
    cost, cap = estimate.cost_microusd, format_usd(max_cost_microusd)
    if max_cost_microusd < cost.p05:
        return f"your cap of {cap} is below P05 ({format_usd(cost.p05)}): it may not pay for one call"
    if max_cost_microusd < cost.p50:
        return f"your cap of {cap} is below P50: more than half of such plans cost more, so expect a pause"
    return ""


def describe_estimate(
    estimate: Estimate, plan: Plan, max_cost_microusd: int | None = None
) -> tuple[EventDraft, EventDraft]:
    """Return steps 3 and 4: time and cost with their label, what may be spent, and what to beware of."""
    line = _describe(estimate)
    notes = [warn_of_cap(estimate, max_cost_microusd)]
    if estimate.uses_model:
        notes.insert(0, f"at most {format_usd(find_cost_bound(estimate, max_cost_microusd))} will be spent")
    if not plan.models and any(needs_model(card) for card in plan.cards):
        notes.append(NO_MODEL_YET)
    told = "; ".join([line, *filter(None, notes)])
    return EventDraft(3, "estimate", line), EventDraft(4, "approval_required", f"waiting for approval: {told}")


def _describe(estimate: Estimate) -> str:
    time, label = estimate.time_s, estimate.label.value
    times = f"P50 {time.p50:.1f} s, P80 {time.p80:.1f} s, P95 {time.p95:.1f} s"
    if not estimate.uses_model:
        return f"{times} ({label}); no model used: 0 tokens, $0.00"
    return f"{times}; {describe_cost(estimate.cost_microusd)} ({label})"


def describe_cost(cost: Quantiles) -> str:
    """Return P50, P80 and P95 in dollars."""
    return f"P50 {format_usd(cost.p50)}, P80 {format_usd(cost.p80)}, P95 {format_usd(cost.p95)}"
