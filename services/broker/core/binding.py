"""Which budgets a caller may spend from, and which a call is held by."""

from datetime import datetime

from services.broker.core.booking import TaskCap
from services.broker.core.policy import LaneRule, Policy
from services.broker.models import BudgetKind, BudgetScope, CompletionRequest
from services.kernel.caller import Caller
from services.kernel.errors import ForbiddenError, InvalidRequestError
from services.kernel.vocabulary import Scope

PROBE_SCOPE = BudgetScope(kind=BudgetKind.SESSION, id="probe")
"""What `direng model test` spends from."""


def check_scopes(caller: Caller, scopes: tuple[BudgetScope, ...]) -> None:
    """Raise unless the caller may spend from these budgets: a run's token only from its own run, cards and project."""
    for scope in scopes:
        check_scope(scope)
        if scope.kind is BudgetKind.MONTH:
            raise InvalidRequestError("a month's budget holds every call by itself; name the call's own budgets only")
    if caller.run_id is None:
        return
    if not any(_is_run(scope, caller.run_id) for scope in scopes):
        raise ForbiddenError(f"{caller.subject} belongs to run {caller.run_id}, so its calls name run:{caller.run_id}")
    for scope in scopes:
        if not _is_own(caller, scope):
            raise ForbiddenError(
                f"{caller.subject} belongs to run {caller.run_id} and may not spend from {scope.key}; name its own"
            )


def _is_run(scope: BudgetScope, run_id: str) -> bool:
    return scope.kind is BudgetKind.RUN and scope.id == run_id


def _is_own(caller: Caller, scope: BudgetScope) -> bool:
    if scope.kind is BudgetKind.RUN:
        return scope.id == caller.run_id
    if scope.kind is BudgetKind.CARD:
        return scope.id.startswith(f"{caller.run_id}/")
    if scope.kind is BudgetKind.PROJECT:
        return caller.project_id is None or scope.id == caller.project_id
    return True


def check_scope(scope: BudgetScope) -> None:
    """Raise InvalidRequestError for an id that cannot be kept or printed."""
    if not scope.id.isprintable() or scope.id != scope.id.strip():
        raise InvalidRequestError(f"{scope.kind.value} {scope.id[:40]!r} is no budget's name; use printable characters")


def check_owner(caller: Caller) -> None:
    """Raise unless the caller may set caps: never a run's own token, which would raise its own."""
    caller.require(Scope.PAS_SUBMIT)
    if caller.run_id is not None:
        raise ForbiddenError(f"{caller.subject} belongs to run {caller.run_id} and may not change budgets")


def name_month(now: datetime) -> BudgetScope:
    """Return the budget of the calendar month (UTC)."""
    return BudgetScope(kind=BudgetKind.MONTH, id=f"{now:%Y-%m}")


def list_keys(request: CompletionRequest, month: BudgetScope) -> tuple[str, ...]:
    """Return the sorted keys of all budgets that hold a call."""
    return tuple(sorted({*(scope.key for scope in request.scopes), month.key}))


def list_policy_caps(
    request: CompletionRequest, month: BudgetScope, policy: Policy, rule: LaneRule
) -> tuple[TaskCap, ...]:
    """Return the caps that the policy sets on a call's budgets: the month's, and the lane's for one task.

    A task is the call's card, else its innermost budget; a probe, which has a budget of its own, is no task.
    """
    caps = []
    if policy.month_cap_microusd is not None:
        cure = "raise cost_optimization.budget_cap_usd in model_broker.json"
        caps.append(TaskCap(month.key, policy.month_cap_microusd, None, f"{month.key} (the policy's)", cure))
    has_task_cap = rule.max_cost_per_task_microusd is not None or rule.max_tokens_per_task is not None
    if has_task_cap and request.scopes != (PROBE_SCOPE,):
        cards = [scope for scope in request.scopes if scope.kind is BudgetKind.CARD]
        task = (cards or list(request.scopes))[-1].key
        caps.append(
            TaskCap(
                task,
                rule.max_cost_per_task_microusd,
                rule.max_tokens_per_task,
                f"one {request.lane.value} task ({task}, by the policy)",
                "raise the lane's constraints in model_broker.json",
            )
        )
    return tuple(caps)
