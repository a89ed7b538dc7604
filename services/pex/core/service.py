"""PEX: from words to a finished run, as rows that survive a kill; satisfies `protocol.Pex`."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from services.kernel.caller import Caller
from services.kernel.clock import Clock, to_iso
from services.kernel.errors import PlatformError
from services.kernel.ids import DelegationId, ProjectId
from services.kernel.log import current_trace_id
from services.kernel.vocabulary import DelegationState, IllegalTransitionError, Scope
from services.pas.models import ArtifactRef, Receipt
from services.pex.calls.pas import PasEdge
from services.pex.calls.plms import PlmsEdge
from services.pex.calls.vector_ops import VectorOpsEdge
from services.pex.core.cards import describe_for_estimate
from services.pex.core.driver import Driver
from services.pex.core.journal import Journal
from services.pex.core.planning import Planner
from services.pex.core.ports import EventDraft, Record
from services.pex.core.projects import ProjectRunner
from services.pex.models import (
    ApprovalReply,
    Delegation,
    DelegationEvent,
    DelegationRequest,
    Plan,
    Planning,
    PlanRequest,
    ProjectRunCommand,
    ProjectStatus,
    StartProject,
)
from services.pex.protocol import NotAwaitingApprovalError
from services.plms.models import Estimate, EstimateRequest, NewProject

LOG = logging.getLogger("direng.pex")
LAUNCH_WAIT_S = 30.0
_S = DelegationState
_UNFINISHED = (_S.APPROVED, _S.RUNNING, _S.REPORTING)
_INTERRUPTED = (_S.RECEIVED, _S.PLANNING, _S.ESTIMATING)
_APPROVED_ONCE = frozenset({_S.APPROVED, _S.RUNNING, _S.REPORTING, _S.DONE, _S.FAILED})


@dataclass(frozen=True)
class PexParts:
    """What PEX is made of."""

    journal: Journal
    planner: Planner
    plms: PlmsEdge
    pas: PasEdge
    index: VectorOpsEdge
    driver: Driver
    clock: Clock
    new_id: Callable[[str], str]


class PexService:
    """One object for delegations and for project runs."""

    def __init__(self, parts: PexParts) -> None:
        self._parts = parts
        self._journal = parts.journal
        self._tasks: dict[DelegationId, asyncio.Task[None]] = {}
        self._projects = ProjectRunner(parts.journal, parts.plms, parts.pas, parts.clock)

    async def recover(self) -> None:
        """Go on with every delegation that a stopped server left; call once after start."""
        for record in await self._journal.store.list_records(states=_INTERRUPTED):
            await self._journal.fail(record, "the server stopped while planning; ask again", 2)
        for record in await self._journal.store.list_records(states=_UNFINISHED):
            self._start_driving(record.delegation.delegation_id)

    async def close(self) -> None:
        """Stop following; runs go on in PAS and are picked up by `recover`."""
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def plan(self, caller: Caller, request: PlanRequest) -> Planning:
        caller.require(Scope.PEX_START)
        return await self._parts.planner.plan(request.intent, request.repo)

    async def delegate(self, caller: Caller, request: DelegationRequest) -> Delegation:
        caller.require(Scope.PEX_START)
        record = await self._journal.add(
            self._new_record(request), EventDraft(2, "received", f"{request.sender} asks: {request.intent[:400]}")
        )
        try:
            record = await self._journal.move(record, _S.PLANNING)
            record = await self._estimate(record, request)
        except PlatformError as error:
            await self._fail_if_open(record.delegation.delegation_id, error.detail)
            raise
        except asyncio.CancelledError:
            await asyncio.shield(self._fail_if_open(record.delegation.delegation_id, "the request was broken off"))
            raise
        return record.delegation

    async def _estimate(self, record: Record, request: DelegationRequest) -> Record:
        planning = await self._parts.planner.plan(request.intent, request.context.repo)
        if planning.plan is None:
            reason = planning.question.text if planning.question else planning.refusal
            return await self._journal.fail(record, reason, 2, question=planning.question)
        plan = planning.plan
        record = await self._journal.move(record, _S.ESTIMATING, EventDraft(2, "plan", plan.summary), plan=plan)
        project = await self._parts.plms.create_project(
            NewProject(
                title=" ".join(request.intent.split())[:100],
                prd=request.intent,
                repo=request.context.repo,
                tags=("delegation",),
                project_id=project_id_of(record.delegation.delegation_id),
            )
        )
        estimate = await self.estimate_plan(project.project_id, plan)
        return await self._journal.move(
            record, _S.AWAITING_APPROVAL, *describe_estimate(estimate), estimate=estimate, project_id=project.project_id
        )

    async def estimate_plan(self, project_id: ProjectId, plan: Plan) -> Estimate:
        """Return PLMS's estimate of a plan; the project then waits for approval."""
        files = len(plan.files_expected)
        if not files and plan.recipe in {"format", "lint-fix"}:
            project = await self._parts.plms.get_project(project_id)
            files = (await self._parts.index.snapshot(project.repo)).files
        request = EstimateRequest(cards=describe_for_estimate(plan.cards, files))
        return await self._parts.plms.estimate(project_id, request)

    async def get_delegation(self, caller: Caller, delegation_id: DelegationId) -> Delegation:
        caller.require(Scope.PAS_READ_STATUS)
        return (await self._journal.read(delegation_id)).delegation

    async def list_delegations(self, caller: Caller, repo: str | None = None) -> tuple[Delegation, ...]:
        caller.require(Scope.PAS_READ_STATUS)
        return tuple(record.delegation for record in await self._journal.store.list_records(repo=repo))

    async def approve(self, caller: Caller, delegation_id: DelegationId, reply: ApprovalReply) -> Delegation:
        caller.require(Scope.PLMS_APPROVE)
        if not reply.approved:
            return await self.reject(caller, delegation_id, reply)
        record = await self._journal.read(delegation_id)
        if record.delegation.state is _S.AWAITING_APPROVAL:
            record = await self._decide(record, _S.APPROVED, "approved", reply)
        if record.delegation.state not in _APPROVED_ONCE or not record.approval_key:
            raise NotAwaitingApprovalError(
                f"delegation {delegation_id} is {record.delegation.state}, not to be approved"
            )
        return await self.launch(delegation_id)

    async def reject(self, caller: Caller, delegation_id: DelegationId, reply: ApprovalReply) -> Delegation:
        caller.require(Scope.PLMS_APPROVE)
        record = await self._journal.read(delegation_id)
        if record.delegation.state is _S.AWAITING_APPROVAL:
            record = await self._decide(record, _S.REJECTED, "rejected", reply)
        if record.delegation.state is not _S.REJECTED:
            raise NotAwaitingApprovalError(
                f"delegation {delegation_id} is {record.delegation.state}, not to be declined"
            )
        if record.delegation.project_id == project_id_of(delegation_id):
            await self._parts.plms.cancel_project(record.delegation.project_id, f"declined: {reply.rationale}")
        return record.delegation

    async def _decide(self, record: Record, target: DelegationState, kind: str, reply: ApprovalReply) -> Record:
        own = {"approval_key": reply.idempotency_key, "decision_rationale": reply.rationale}
        try:
            return await self._journal.move(
                record, target, EventDraft(7, kind, f"{kind}: {reply.rationale}"), own=own, reason=reply.rationale
            )
        except IllegalTransitionError:
            return await self._journal.read(record.delegation.delegation_id)  # decided meanwhile by somebody else

    async def launch(self, delegation_id: DelegationId) -> Delegation:
        """Lead an approved delegation in the background; return it once its run has started, or it has failed."""
        self._start_driving(delegation_id)
        try:
            async with asyncio.timeout(LAUNCH_WAIT_S):
                async for event in self._journal.watch(delegation_id, 0):
                    if event.step >= 8:  # noqa: PLR2004 - step 8 of the fourteen: the run has started
                        break
        except TimeoutError:
            LOG.warning("delegation %s was approved, but its run has not started yet", delegation_id)
        return (await self._journal.read(delegation_id)).delegation

    def _start_driving(self, delegation_id: DelegationId) -> None:
        if delegation_id in self._tasks:
            return
        task = asyncio.create_task(self._parts.driver.drive(delegation_id), name=f"pex:{delegation_id}")
        self._tasks[delegation_id] = task

        def forget(done: asyncio.Task[None]) -> None:
            self._tasks.pop(delegation_id, None)
            if not done.cancelled() and (error := done.exception()) is not None:
                LOG.error("a bug stopped delegation %s", delegation_id, exc_info=error)

        task.add_done_callback(forget)

    async def watch_delegation(
        self, caller: Caller, delegation_id: DelegationId, after_seq: int = 0
    ) -> AsyncIterator[DelegationEvent]:
        caller.require(Scope.PAS_READ_STATUS)
        async for event in self._journal.watch(delegation_id, after_seq):
            yield event

    async def estimate_project(self, caller: Caller, project_id: ProjectId) -> Estimate:
        caller.require(Scope.PEX_START)
        project = await self._parts.plms.get_project(project_id)
        plan = await self._projects.plan(self._parts.planner, project)
        estimate = await self.estimate_plan(project_id, plan)
        await self._projects.keep_plan(project, plan, estimate, self._new_delegation_id())
        return estimate

    async def start_project(self, caller: Caller, project_id: ProjectId, start: StartProject) -> Delegation:
        caller.require(Scope.PEX_START)
        record = await self._projects.find_startable(project_id, self._new_delegation_id())
        if record.delegation.state is _S.AWAITING_APPROVAL:
            key = f"start-{record.delegation.delegation_id}"
            reply = ApprovalReply(approved=True, idempotency_key=key, rationale=start.rationale)
            record = await self._decide(record, _S.APPROVED, "approved", reply)
        return await self.launch(record.delegation.delegation_id)

    async def pause_project(self, caller: Caller, project_id: ProjectId, command: ProjectRunCommand) -> ProjectStatus:
        caller.require(Scope.PAS_PAUSE)
        await self._parts.pas.pause_run(await self._projects.find_run(project_id), command.reason)
        return await self._projects.get_status(project_id)

    async def resume_project(self, caller: Caller, project_id: ProjectId, command: ProjectRunCommand) -> ProjectStatus:
        caller.require(Scope.PAS_PAUSE)
        await self._parts.pas.resume_run(await self._projects.find_run(project_id), command.reason)
        return await self._projects.get_status(project_id)

    async def terminate_project(
        self, caller: Caller, project_id: ProjectId, command: ProjectRunCommand
    ) -> ProjectStatus:
        caller.require(Scope.PAS_PAUSE)
        await self._parts.pas.terminate_run(await self._projects.find_run(project_id), command.reason)
        return await self._projects.get_status(project_id)

    async def get_status(self, caller: Caller, project_id: ProjectId) -> ProjectStatus:
        caller.require(Scope.PAS_READ_STATUS)
        return await self._projects.get_status(project_id)

    async def list_receipts(self, caller: Caller, project_id: ProjectId) -> tuple[Receipt, ...]:
        caller.require(Scope.PAS_READ_STATUS)
        return await self._parts.pas.list_receipts(await self._projects.find_run(project_id))

    async def list_artifacts(self, caller: Caller, project_id: ProjectId) -> tuple[ArtifactRef, ...]:
        caller.require(Scope.ARTIFACT_READ)
        return (await self._parts.pas.get_run(await self._projects.find_run(project_id))).artifacts

    def _new_delegation_id(self) -> DelegationId:
        return DelegationId(self._parts.new_id("dlg"))

    def _new_record(self, request: DelegationRequest) -> Record:
        at = to_iso(self._parts.clock.now())
        delegation = Delegation(
            delegation_id=self._new_delegation_id(),
            trace_id=current_trace_id(),
            intent=request.intent,
            repo=request.context.repo,
            state=_S.RECEIVED,
            reason="",
            project_id=None,
            plan=None,
            question=None,
            estimate=None,
            run_id=None,
            report=None,
            created_at=at,
            updated_at=at,
            last_seq=0,
        )
        return Record(delegation, request.rationale, request.constraints.timeout_minutes)

    async def _fail_if_open(self, delegation_id: DelegationId, reason: str) -> None:
        record = await self._journal.read(delegation_id)
        if record.delegation.state in _INTERRUPTED:
            await self._journal.fail(record, reason, 2)


def project_id_of(delegation_id: DelegationId) -> ProjectId:
    """Return the id of the project that a delegation creates."""
    return ProjectId(f"prj-{delegation_id.partition('-')[2] or delegation_id}")


def describe_estimate(estimate: Estimate) -> tuple[EventDraft, EventDraft]:
    """Return steps 3 and 4."""
    time = estimate.time_s
    cost = "no model used: 0 tokens, $0.00" if not estimate.uses_model else f"at most {estimate.tokens_p95} tokens"
    line = f"P50 {time.p50:.1f} s, P80 {time.p80:.1f} s, P95 {time.p95:.1f} s ({estimate.label.value}); {cost}"
    return EventDraft(3, "estimate", line), EventDraft(4, "approval_required", f"waiting for approval: {line}")
