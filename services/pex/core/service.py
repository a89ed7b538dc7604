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
from services.pex.core.driver import Driver
from services.pex.core.guard import Guard
from services.pex.core.intake import Intake, project_id_of
from services.pex.core.journal import Journal
from services.pex.core.money import parse_usd
from services.pex.core.planning import Planner
from services.pex.core.ports import EventDraft, Record
from services.pex.core.projects import ProjectParts, ProjectRunner
from services.pex.core.rehearsal import Rehearser
from services.pex.core.thinking import Thinker
from services.pex.models import (
    ApprovalReply,
    Delegation,
    DelegationEvent,
    DelegationRequest,
    Planning,
    PlanRequest,
    ProjectRunCommand,
    ProjectStatus,
    SimulateProject,
    Simulation,
    StartProject,
)
from services.pex.protocol import NotAwaitingApprovalError
from services.plms.models import Estimate

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
    thinker: Thinker
    intake: Intake
    plms: PlmsEdge
    pas: PasEdge
    driver: Driver
    guard: Guard
    planning_cap_microusd: int
    clock: Clock
    new_id: Callable[[str], str]


class PexService:
    """One object for delegations and for project runs."""

    def __init__(self, parts: PexParts) -> None:
        self._parts = parts
        self._journal = parts.journal
        self._tasks: dict[DelegationId, asyncio.Task[None]] = {}
        self._wanted: set[DelegationId] = set()
        self._projects = ProjectRunner(
            ProjectParts(
                journal=parts.journal,
                planner=parts.planner,
                thinker=parts.thinker,
                intake=parts.intake,
                plms=parts.plms,
                pas=parts.pas,
                guard=parts.guard,
                clock=parts.clock,
                new_id=parts.new_id,
                planning_cap_microusd=parts.planning_cap_microusd,
            )
        )
        self._rehearser = Rehearser(self._projects, parts.plms, parts.pas)

    async def recover(self) -> None:
        """Go on with every delegation that a stopped server left; call once after start.

        One that a model plans goes on: its planning run is durable and what it spent is not lost. One that a recipe
        planned costs nothing to ask again, and whoever asked has gone.
        """
        for record in await self._journal.store.list_records(states=_INTERRUPTED):
            if record.planning_run_id is not None:
                self._start_driving(record.delegation.delegation_id)
                continue
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
            record = await self._parts.intake.open(record)
        except PlatformError as error:
            await self._fail_if_open(record.delegation.delegation_id, error.detail)
            raise
        except asyncio.CancelledError:
            await asyncio.shield(self._fail_if_open(record.delegation.delegation_id, "the request was broken off"))
            raise
        if record.delegation.state is _S.PLANNING:
            # A model plans; that goes on when whoever asked has left.
            self._start_driving(record.delegation.delegation_id)
        return record.delegation

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
            await self._projects.check_models(record.delegation)
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

    async def _decide(
        self,
        record: Record,
        target: DelegationState,
        kind: str,
        reply: ApprovalReply,
        max_cost_microusd: int | None = None,
    ) -> Record:
        cap = record.max_cost_microusd if max_cost_microusd is None else max_cost_microusd
        own = {
            "approval_key": reply.idempotency_key,
            "decision_rationale": reply.rationale,
            "max_cost_microusd": cap,
        }
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
            self._wanted.add(delegation_id)  # it may be at its end, having read the row before it was moved on
            return
        task = asyncio.create_task(self._parts.driver.drive(delegation_id), name=f"pex:{delegation_id}")
        self._tasks[delegation_id] = task

        def forget(done: asyncio.Task[None]) -> None:
            self._tasks.pop(delegation_id, None)
            if not done.cancelled() and (error := done.exception()) is not None:
                LOG.error("a bug stopped delegation %s", delegation_id, exc_info=error)
            if delegation_id in self._wanted:
                self._wanted.discard(delegation_id)
                if not done.cancelled():
                    self._start_driving(delegation_id)

        task.add_done_callback(forget)

    async def watch_delegation(
        self, caller: Caller, delegation_id: DelegationId, after_seq: int = 0
    ) -> AsyncIterator[DelegationEvent]:
        caller.require(Scope.PAS_READ_STATUS)
        async for event in self._journal.watch(delegation_id, after_seq):
            yield event

    async def estimate_project(self, caller: Caller, project_id: ProjectId) -> Estimate:
        caller.require(Scope.PEX_START)
        return await self._projects.estimate(project_id)

    async def simulate_project(self, caller: Caller, project_id: ProjectId, order: SimulateProject) -> Simulation:
        caller.require(Scope.PEX_START)
        return await self._rehearser.simulate(project_id, order)

    async def start_project(self, caller: Caller, project_id: ProjectId, start: StartProject) -> Delegation:
        caller.require(Scope.PEX_START)
        record = await self._projects.find_startable(project_id, self._new_delegation_id())
        if record.delegation.state is _S.AWAITING_APPROVAL:
            await self._projects.check_models(record.delegation)
            key = f"start-{record.delegation.delegation_id}"
            reply = ApprovalReply(approved=True, idempotency_key=key, rationale=start.rationale)
            cap = None if start.max_cost_usd is None else parse_usd(start.max_cost_usd)
            record = await self._decide(record, _S.APPROVED, "approved", reply, cap)
        return await self.launch(record.delegation.delegation_id)

    async def pause_project(self, caller: Caller, project_id: ProjectId, command: ProjectRunCommand) -> ProjectStatus:
        caller.require(Scope.PAS_PAUSE)
        await self._parts.pas.pause_run(await self._projects.find_run(project_id), command.reason)
        return await self._projects.get_status(project_id)

    async def resume_project(self, caller: Caller, project_id: ProjectId, command: ProjectRunCommand) -> ProjectStatus:
        caller.require(Scope.PAS_PAUSE)
        cap = None if command.max_cost_usd is None else parse_usd(command.max_cost_usd)
        await self._parts.pas.resume_run(
            await self._projects.find_run(project_id),
            command.reason,
            max_cost_microusd=cap,
            is_downshift=command.is_downshift,
        )
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
        allowed = request.constraints.max_cost_usd
        return Record(
            delegation,
            request.rationale,
            request.constraints.timeout_minutes,
            max_cost_microusd=None if allowed is None else parse_usd(allowed),
            session_id=request.context.session_id,
        )

    async def _fail_if_open(self, delegation_id: DelegationId, reason: str) -> None:
        record = await self._journal.read(delegation_id)
        if record.delegation.state in _INTERRUPTED:
            await self._journal.fail(record, reason, 2)
