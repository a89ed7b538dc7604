"""The PAS service: what callers may do to runs. It decides and records; `workflows.py` does the work durably."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from services.kernel.caller import Caller
from services.kernel.clock import Clock, to_iso
from services.kernel.errors import PlatformError
from services.kernel.ids import RunId, Sha256, new_id
from services.kernel.log import current_trace_id
from services.kernel.vocabulary import (
    RUN_TRANSITIONS,
    TASK_TRANSITIONS,
    RunState,
    Scope,
    TaskState,
    check_transition,
    is_final,
)
from services.pas.core.budgets import RunBudgets
from services.pas.core.control import LaneSlots
from services.pas.core.events import Bell, watch_events
from services.pas.core.graph import order_cards
from services.pas.core.isolation import Isolation, IsolationUnavailableError
from services.pas.core.passports import canonical_json, digest_of
from services.pas.core.ports import ArtifactBox, Store, Trees
from services.pas.core.records import EventDraft, NewRun, RunChange, RunRecord
from services.pas.core.routes import LaneRoutes
from services.pas.models import (
    CONTRACT_VERSION,
    ArtifactRef,
    CardAccepted,
    CardSubmission,
    EventKind,
    JobCard,
    LaneModel,
    PassportBasis,
    Portfolio,
    Receipt,
    RunCommand,
    RunEvent,
    RunView,
    SignedPassport,
    StartRun,
)
from services.pas.protocol import (
    ArtifactNotFoundError,
    CardGraphError,
    PassportBasisMissingError,
    RunExistsError,
    RunNotFoundError,
    RunStartedError,
    TaskNotFoundError,
)

Launch = Callable[[RunId], Awaitable[None]]
"""Starts the durable workflow of a run; the same id twice is one workflow."""


@dataclass(frozen=True)
class ServiceParts:
    """What the service needs."""

    store: Store
    trees: Trees
    artifacts: ArtifactBox
    isolation: Isolation
    slots: LaneSlots
    bell: Bell
    clock: Clock
    launch: Launch
    routes: LaneRoutes
    budgets: RunBudgets


class PasService:
    """Implements `protocol.Pas`."""

    def __init__(self, parts: ServiceParts) -> None:
        self._parts = parts

    async def submit_card(self, caller: Caller, submission: CardSubmission) -> CardAccepted:
        caller.require(Scope.PAS_SUBMIT)
        run_id, card = submission.run_id, submission.card
        if await self._parts.store.read_run(run_id) is not None:
            raise RunStartedError(f"the run {run_id} has started; its cards are settled")
        stored = await self._parts.store.add_submission(run_id, submission.project_id, card)
        if stored != card:
            raise CardGraphError(f"the run {run_id} has another card {card.task_id}; use another task id")
        return CardAccepted(task_id=card.task_id, run_id=run_id)

    async def start_run(self, caller: Caller, start: StartRun) -> RunView:
        caller.require(Scope.PAS_SUBMIT)
        basis = check_basis(start.passport_basis)
        run_id = start.run_id or RunId(new_id("run"))
        body = digest_of(canonical_json(start.model_copy(update={"run_id": run_id}).model_dump(mode="json")))
        existing = await self._parts.store.read_run(run_id)
        if existing is None:
            await self._create(run_id, start, basis, body)
            existing = await self._read(run_id)
        if existing.body_sha256 != body:
            raise RunExistsError(f"the run {run_id} exists with another body; use another run id")
        if not is_final(RUN_TRANSITIONS, existing.state):
            # Also for a run that is there already: the server may have died between storing and launching it.
            await self._parts.launch(run_id)
        return await self._view(run_id)

    async def _create(self, run_id: RunId, start: StartRun, basis: PassportBasis, body: str) -> None:
        report = await asyncio.to_thread(self._parts.isolation.describe)
        if not report.is_available:
            lines = "; ".join(f"{problem.what}: {problem.cure}" for problem in report.problems if problem.is_fatal)
            raise IsolationUnavailableError(f"no isolation, no run: {lines}")
        cards = await self._gather_cards(run_id, start)
        await self._parts.routes.check(cards)
        repo = await self._parts.trees.resolve(basis.repo)
        snapshot = await self._parts.trees.take_snapshot(repo)
        run = NewRun(
            run_id=run_id,
            start=start,
            repo=repo,
            snapshot=snapshot,
            trace_id=current_trace_id(),
            body_sha256=body,
            cards=cards,
            created_at=to_iso(self._parts.clock.now()),
        )
        await self._parts.store.create_run(run)

    async def _gather_cards(self, run_id: RunId, start: StartRun) -> tuple[JobCard, ...]:
        submitted = {card.task_id: card for card in await self._parts.store.list_submissions(run_id)}
        given = [card for card in start.cards if submitted.get(card.task_id) != card]
        return order_cards([*submitted.values(), *given])

    async def get_run(self, caller: Caller, run_id: RunId) -> RunView:
        caller.require(Scope.PAS_READ_STATUS)
        return await self._view(run_id)

    async def list_runs(
        self, caller: Caller, repo: str | None = None, *, is_active: bool = False
    ) -> tuple[RunView, ...]:
        caller.require(Scope.PAS_READ_STATUS)
        root = repo
        if repo is not None:
            try:
                root = await self._parts.trees.resolve(repo)
            except PlatformError:
                root = repo  # a repository that is gone still has its runs
        return await self._parts.store.list_views(root, is_active=is_active)

    async def watch_run(self, caller: Caller, run_id: RunId, after_seq: int = 0) -> AsyncIterator[RunEvent]:
        caller.require(Scope.PAS_READ_STATUS)
        async for event in watch_events(self._parts.store, self._parts.bell, run_id, after_seq):
            yield event

    async def list_receipts(self, caller: Caller, run_id: RunId) -> tuple[Receipt, ...]:
        caller.require(Scope.PAS_READ_STATUS)
        await self._read(run_id)
        return await self._parts.store.read_receipts(run_id)

    async def get_passport(self, caller: Caller, run_id: RunId) -> SignedPassport:
        caller.require(Scope.PAS_READ_STATUS)
        run = await self._read(run_id)
        passport = await self._parts.store.read_passport(run_id)
        if passport is None:
            raise RunNotFoundError(f"the run {run_id} is {run.state}; it gets its passport when it ends")
        return passport

    async def pause_run(self, caller: Caller, command: RunCommand) -> RunView:
        caller.require(Scope.PAS_PAUSE)
        run = await self._read(command.run_id)
        if run.state is not RunState.PAUSED:
            check_transition(RUN_TRANSITIONS, run.state, RunState.PAUSED)
            await self._steer(run, RunState.PAUSED, f"run paused: {command.reason}", command.reason)
        return await self._view(run.run_id)

    async def resume_run(self, caller: Caller, command: RunCommand) -> RunView:
        caller.require(Scope.PAS_PAUSE)
        run = await self._read(command.run_id)
        is_waiting = run.state is not RunState.EXECUTING
        if is_waiting:
            check_transition(RUN_TRANSITIONS, run.state, RunState.EXECUTING)
        else:  # a repeated command must not pass over a second model; a cap may be set as often as one likes
            command = command.model_copy(update={"is_downshift": False})
        cards = await self._parts.store.read_cards(run.run_id)
        lines = await self._parts.budgets.change(run, [record.card for record in cards], command)
        if command.max_cost_microusd is not None:
            await self._parts.store.set_cap(run.run_id, command.max_cost_microusd)
        if lines:
            await self._tell(run, [EventDraft(EventKind.BUDGET, line) for line in lines])
        if is_waiting:
            await self._steer(run, RunState.EXECUTING, f"run resumed: {command.reason}")
        return await self._view(run.run_id)

    async def terminate_run(self, caller: Caller, command: RunCommand) -> RunView:
        caller.require(Scope.PAS_PAUSE)
        run = await self._read(command.run_id)
        if run.state is not RunState.TERMINATED:
            check_transition(RUN_TRANSITIONS, run.state, RunState.TERMINATED)
            await self._parts.store.set_terminated(run.run_id, command.reason)
            await self._note(run, f"termination asked for: {command.reason}")
            await self._parts.launch(run.run_id)
        return await self._view(run.run_id)

    async def cancel_card(self, caller: Caller, command: RunCommand) -> RunView:
        caller.require(Scope.PAS_PAUSE)
        run = await self._read(command.run_id)
        if command.task_id is None:
            raise TaskNotFoundError("say which card to cancel: task_id is missing")
        known = {record.card.task_id: record for record in await self._parts.store.read_cards(run.run_id)}
        if command.task_id not in known:
            raise TaskNotFoundError(f"the run {run.run_id} has no card {command.task_id}")
        check_transition(TASK_TRANSITIONS, known[command.task_id].state, TaskState.CANCELLED)
        await self._parts.store.add_cancellation(run.run_id, command.task_id, command.reason)
        await self._note(run, f"cancellation of {command.task_id} asked for: {command.reason}")
        return await self._view(run.run_id)

    async def get_portfolio(self, caller: Caller) -> Portfolio:
        caller.require(Scope.PAS_READ_STATUS)
        loads = await self._parts.store.count_loads()
        lanes = tuple(load.model_copy(update={"max_parallel": self._parts.slots.limit_of(load.lane)}) for load in loads)
        return Portfolio(active_runs=await self._parts.store.count_active_runs(), lanes=lanes)

    async def list_lane_models(self, caller: Caller) -> tuple[LaneModel, ...]:
        caller.require(Scope.PAS_READ_STATUS)
        return await self._parts.routes.list_models()

    async def put_artifact(self, caller: Caller, content: bytes) -> ArtifactRef:
        caller.require(Scope.ARTIFACT_WRITE)
        sha256 = await self._parts.artifacts.put(content)
        return ArtifactRef(path=f"artifacts/{sha256}", sha256=sha256, size_bytes=len(content))

    async def get_artifact(self, caller: Caller, sha256: Sha256) -> bytes:
        caller.require(Scope.ARTIFACT_READ)
        try:
            return await self._parts.artifacts.get(sha256)
        except PlatformError as error:
            if error.status == ArtifactNotFoundError.status:
                raise ArtifactNotFoundError(f"nothing is stored under {sha256}") from error
            raise

    async def _read(self, run_id: RunId) -> RunRecord:
        run = await self._parts.store.read_run(run_id)
        if run is None:
            raise RunNotFoundError(f"no run {run_id}; `vp list` shows the runs there are")
        return run

    async def _view(self, run_id: RunId) -> RunView:
        view = await self._parts.store.view_run(run_id)
        if view is None:
            raise RunNotFoundError(f"no run {run_id}; `vp list` shows the runs there are")
        return view

    async def _steer(self, run: RunRecord, state: RunState, text: str, reason: str = "") -> None:
        change = RunChange(
            run_id=run.run_id,
            state=state,
            at=to_iso(self._parts.clock.now()),
            text=text,
            reason=reason,
            is_paused=state is RunState.PAUSED,
        )
        await self._parts.store.change_run(change)
        self._parts.bell.ring()

    async def _note(self, run: RunRecord, text: str) -> None:
        await self._tell(run, [EventDraft(EventKind.NOTE, text)])

    async def _tell(self, run: RunRecord, events: list[EventDraft]) -> None:
        await self._parts.store.add_events(run.run_id, to_iso(self._parts.clock.now()), events)
        self._parts.bell.ring()


def check_basis(basis: PassportBasis | None) -> PassportBasis:
    """Return the basis when a run may start on it; raise PassportBasisMissingError otherwise."""
    if basis is None:
        raise PassportBasisMissingError("a run needs a passport basis: repo, prd_sha256 and contract_version")
    if basis.contract_version != CONTRACT_VERSION:
        raise PassportBasisMissingError(
            f"the passport basis was made for contract {basis.contract_version}; this engine speaks {CONTRACT_VERSION}"
        )
    return basis
