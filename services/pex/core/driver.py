"""From a yes to a report: start the run, follow its events from the stored cursor, settle the books.

Every step may be repeated: run ids are made from delegation ids, PLMS keeps actuals and findings once per run, and
events are kept together with the cursor. So a killed server goes on where it was, by `drive` alone.
"""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from random import Random

from pydantic import ValidationError

from services.kernel.clock import Clock
from services.kernel.errors import ConflictError, InternalError, PlatformError
from services.kernel.ids import DelegationId, ProjectId, RunId, Sha256, TaskId, TraceId
from services.kernel.log import trace
from services.kernel.vocabulary import RUN_TRANSITIONS, DelegationState, RunState, is_final
from services.pas.models import CONTRACT_VERSION, EventKind, PassportBasis, RunEvent, RunView, StartRun
from services.pex.calls.pas import PasEdge
from services.pex.calls.plms import PlmsEdge
from services.pex.core.bounds import find_cost_bound
from services.pex.core.cards import MENTIONS
from services.pex.core.guard import Guard
from services.pex.core.intake import Intake
from services.pex.core.journal import Journal
from services.pex.core.ports import EventDraft, Record
from services.pex.core.reporting import (
    CardDetail,
    count_done,
    list_actuals,
    list_kpis,
    list_left_alone,
    make_report,
    project_state_after,
    summarise,
)
from services.pex.models import Plan
from services.plms.models import Approval, Estimate

LOG = logging.getLogger("direng.pex")
OVERRUN_FACTOR = 1.25
"""A run pauses above +25 percent of the approved time (SPEC.md section 4)."""
GRACE_S = 30.0
"""Least allowance above the approved time: an estimate of two seconds must not pause a run of four."""
MAX_RECONNECT_S = 15.0
NO_ISOLATION = "pas.isolation_unavailable"
"""Waiting does not help: no isolation, no run."""
_QUIET = frozenset({EventKind.RECEIPT})
_PROGRESS = frozenset({EventKind.CARD_STATE, EventKind.RUN_STATE})
_STEPS = {
    DelegationState.PLANNING: 2,
    DelegationState.ESTIMATING: 3,
    DelegationState.APPROVED: 8,
    DelegationState.RUNNING: 12,
    DelegationState.REPORTING: 12,
}
"""The step that a failure in a state belongs to."""


def run_id_of(delegation_id: DelegationId) -> RunId:
    """Return the id of the run of a delegation: one delegation, one run, however often it is started."""
    return RunId(f"run-{delegation_id.partition('-')[2] or delegation_id}")


@dataclass(frozen=True)
class DriverParts:
    """What leading a delegation needs."""

    journal: Journal
    plms: PlmsEdge
    pas: PasEdge
    intake: Intake
    guard: Guard
    clock: Clock
    random: Random


class Driver:
    """Leads delegations on: those that a model plans to their approval, approved ones to done or failed."""

    def __init__(self, parts: DriverParts) -> None:
        self._parts = parts

    async def drive(self, delegation_id: DelegationId) -> None:
        """Go on until the delegation ends or waits for a word; a neighbour that is away is waited for."""
        attempt = 0
        while True:
            record = await self._parts.journal.read(delegation_id)
            with trace(TraceId(record.delegation.trace_id)):
                try:
                    if not await self._advance(record):
                        return
                    attempt = 0
                    continue
                except PlatformError as error:
                    if not error.is_retryable or error.code == NO_ISOLATION:
                        await self._give_up(delegation_id, error)
                        return
                    LOG.warning("delegation %s waits for a neighbour: %s", delegation_id, error.detail)
            attempt += 1
            await asyncio.sleep(self._parts.random.uniform(0, min(MAX_RECONNECT_S, 0.2 * 2**attempt)))

    async def _advance(self, record: Record) -> bool:
        """Do the next thing; False when nothing is left to do."""
        steps: Mapping[DelegationState, Callable[[Record], Awaitable[object]]] = {
            DelegationState.PLANNING: self._parts.intake.think,
            DelegationState.ESTIMATING: self._parts.intake.estimate,
            DelegationState.APPROVED: self._launch,
            DelegationState.RUNNING: self._follow,
            DelegationState.REPORTING: self._report,
        }
        step = steps.get(record.delegation.state)
        if step is None:
            return False
        await step(record)
        return True

    async def _give_up(self, delegation_id: DelegationId, error: PlatformError) -> None:
        record = await self._parts.journal.read(delegation_id)
        state = record.delegation.state
        if state not in _STEPS:
            return
        LOG.error("delegation %s failed while %s: %s", delegation_id, state, error.detail)
        await self._parts.journal.fail(record, error.detail, _STEPS[state])

    async def _launch(self, record: Record) -> None:
        """Step 8: approve in the ledger, start the run, mark the project executing."""
        delegation = record.delegation
        project_id, estimate = _settled(record)
        bound_s = find_time_bound_s(record, estimate)
        await self._parts.plms.approve(
            project_id,
            Approval(
                estimate_id=estimate.estimate_id,
                rationale=record.decision_rationale,
                max_cost_microusd=find_cost_bound(estimate, record.max_cost_microusd),
                max_time_s=bound_s,
            ),
        )
        run = await self._parts.pas.start_run(make_start(record, project_id, estimate))
        await self._parts.plms.begin_execution(project_id, f"run {run.run_id} started")
        await self._parts.journal.move(
            record,
            DelegationState.RUNNING,
            EventDraft(8, "run_started", f"run {run.run_id} started with {len(run.cards)} cards"),
            run_id=run_id_of(delegation.delegation_id),
        )

    async def _follow(self, record: Record) -> None:
        """Relay what PAS tells until the run has ended: steps 9, 10 and 12."""
        run_id = _run_id(record)
        delegation_id = record.delegation.delegation_id
        async for event in self._parts.pas.watch_run(run_id, record.pas_cursor):
            facts = await self._parts.guard.look(record, event)
            await self._parts.journal.relay(delegation_id, event.seq, (*facts, *await self._tell(event)))
        run = await self._parts.pas.get_run(run_id)
        if not is_final(RUN_TRANSITIONS, run.state):
            await asyncio.sleep(self._parts.random.uniform(0.1, 0.5))  # the stream was closed early: connect again
            return
        await self._parts.journal.move(
            await self._parts.journal.read(delegation_id),
            DelegationState.REPORTING,
            EventDraft(12, "completed", f"run {run_id} ended: {summarise(run)}"),
        )

    async def _tell(self, event: RunEvent) -> tuple[EventDraft, ...]:
        if event.kind in _QUIET:
            return ()
        status = EventDraft(9, event.kind.value, event.text)
        if event.kind not in _PROGRESS:
            return (status,)
        done, total = count_done(await self._parts.pas.get_run(event.run_id))
        return (status, EventDraft(10, "progress", f"{done} of {total} cards done"))

    async def _report(self, record: Record) -> None:
        """Step 13: post what the run cost and how it was judged, move the project on, keep the report."""
        run = await self._parts.pas.get_run(_run_id(record))
        project_id, _ = _settled(record)
        receipts = await self._parts.pas.list_receipts(run.run_id)
        await self._parts.plms.record_actuals(run.run_id, list_actuals(run, receipts, project_id))
        await self._parts.plms.record_kpis(run.run_id, list_kpis(run, project_id))
        await self._settle_project(project_id, run)
        budget = await self._parts.guard.measure(record, run)
        report = make_report(run, list_left_alone(await self._read_details(run)), budget)
        event = EventDraft(13, "report", report.summary)
        if run.state in {RunState.FAILED, RunState.TERMINATED}:
            await self._parts.journal.move(
                record, DelegationState.FAILED, event, reason=report.summary[:2000], report=report
            )
            return
        await self._parts.journal.move(record, DelegationState.DONE, event, report=report)

    async def _settle_project(self, project_id: ProjectId, run: RunView) -> None:
        target = project_state_after(run)
        why = f"run {run.run_id}: {summarise(run)}"
        try:
            await self._parts.plms.finish_execution(project_id, target, why)
        except ConflictError as error:
            # Somebody cancelled or re-planned the project meanwhile: the run's report must not be lost over that.
            LOG.warning("project %s was not moved to %s: %s", project_id, target, error.detail)

    async def _read_details(self, run: RunView) -> dict[TaskId, CardDetail]:
        details: dict[TaskId, CardDetail] = {}
        for card in run.cards:
            if card.outcome is None or card.outcome.detail is None:
                continue
            if not card.outcome.left_alone and card.task_id != MENTIONS:
                continue
            content = await self._parts.pas.get_artifact(card.outcome.detail.sha256)
            try:
                details[card.task_id] = CardDetail.model_validate_json(content)
            except ValidationError as error:
                raise InternalError(f"the detail of card {card.task_id} of {run.run_id} is unreadable") from error
        return details


def find_time_bound_s(record: Record, estimate: Estimate) -> float:
    """Return the approved upper bound of time: the estimate's P95, at most the delegation's own timeout."""
    return max(0.001, min(estimate.time_s.p95, record.timeout_minutes * 60))


def make_start(record: Record, project_id: ProjectId, estimate: Estimate) -> StartRun:
    """Return the start of the delegation's run; the same delegation always gives the same body."""
    delegation = record.delegation
    if delegation.plan is None:
        raise InternalError(f"delegation {delegation.delegation_id} was approved without a plan")
    plan, bound_s = delegation.plan, find_time_bound_s(record, estimate)
    return StartRun(
        project_id=project_id,
        run_id=run_id_of(delegation.delegation_id),
        title=plan.title,
        passport_basis=make_basis(delegation.repo, delegation.intent, plan, estimate),
        cards=plan.cards,
        max_time_s=max(bound_s * OVERRUN_FACTOR, bound_s + GRACE_S),
        max_cost_microusd=find_cost_bound(estimate, record.max_cost_microusd),
        session_id=record.session_id,
    )


def make_basis(repo: str, intent: str, plan: Plan, estimate: Estimate) -> PassportBasis:
    """Return what a run of a plan declares: the models and prices are those that were estimated with."""
    basis = PassportBasis(
        repo=repo,
        prd_sha256=Sha256(hashlib.sha256(intent.encode()).hexdigest()),
        contract_version=CONTRACT_VERSION,
        estimate_id=estimate.estimate_id,
    )
    if not plan.models:
        return basis
    version = plan.models[0].price_table_version or "unknown"
    matrix = {model.lane.value: f"{model.provider}/{model.model}" for model in plan.models}
    return basis.model_copy(update={"provider_matrix": matrix, "price_table_version": version})


def _settled(record: Record) -> tuple[ProjectId, Estimate]:
    delegation = record.delegation
    if delegation.project_id is None or delegation.estimate is None:
        raise InternalError(f"delegation {delegation.delegation_id} was approved without an estimate")
    return delegation.project_id, delegation.estimate


def _run_id(record: Record) -> RunId:
    if record.delegation.run_id is None:
        raise InternalError(f"delegation {record.delegation.delegation_id} runs without a run")
    return record.delegation.run_id
