"""One attempt of one job card: a pure function from tree to tree (ADR 0009)."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

from services.kernel.clock import Clock, to_iso
from services.kernel.errors import ForbiddenError, PlatformError
from services.kernel.ids import GitOid, ReceiptId, RunId, TaskId
from services.kernel.vocabulary import TASK_TRANSITIONS, Lane, TaskState, is_final
from services.pas.core.allowlist import Allowlist
from services.pas.core.control import Admission, Gatekeeper
from services.pas.core.events import Bell
from services.pas.core.ports import ArtifactBox, CardExecutor, CardResult, CardWork, Store, Trees
from services.pas.core.reasons import explain_error
from services.pas.core.records import CardChange, CardRecord, EventDraft, RunRecord
from services.pas.core.stage import Stage
from services.pas.models import (
    CONTRACT_VERSION,
    ArtifactRef,
    CardOutcome,
    CommandPayload,
    EventKind,
    PlanPayload,
    Receipt,
    TestsPayload,
    TreeRef,
)
from services.pas.protocol import RunNotFoundError, TaskNotFoundError
from services.wire.storage import StorageUnwritableError

LOG = logging.getLogger("direng.pas")


@dataclass(frozen=True)
class CardParts:
    """What running cards needs."""

    store: Store
    trees: Trees
    artifacts: ArtifactBox
    executors: Mapping[str, CardExecutor]
    gatekeeper: Gatekeeper
    bell: Bell
    clock: Clock
    allowlists: Mapping[Lane, Allowlist]
    stage: Stage


@dataclass(frozen=True)
class _Attempt:
    run: RunRecord
    record: CardRecord
    number: int
    tree_in: GitOid

    @property
    def task_id(self) -> TaskId:
        return self.record.card.task_id


class CardRunner:
    """Runs attempts; safe to call again for an attempt that was interrupted."""

    def __init__(self, parts: CardParts) -> None:
        self._parts = parts

    async def run_attempt(self, run_id: RunId, task_id: TaskId, attempt: int) -> TaskState:
        """Wait for the dependencies, the gate and a slot, then run the attempt; return where the card stands.

        An attempt that has its receipt is not run again. One that was in flight when the server died starts from the
        recorded trees of its dependencies (invariant 11): its working folder is made anew each time.
        """
        run, record = await self._read(run_id, task_id)
        recorded = await self._parts.store.find_receipt(run_id, task_id, attempt)
        if recorded is not None or is_final(TASK_TRANSITIONS, record.state):
            return record.state
        async with self._parts.gatekeeper.admit(run_id, record) as admission:
            if admission is not Admission.GO:
                return await self._close_unstarted(run, record, admission)
            return await self._run_admitted(run, record, attempt)

    async def _read(self, run_id: RunId, task_id: TaskId) -> tuple[RunRecord, CardRecord]:
        run = await self._parts.store.read_run(run_id)
        if run is None:
            raise RunNotFoundError(f"no run {run_id}")
        for record in await self._parts.store.read_cards(run_id):
            if record.card.task_id == task_id:
                return run, record
        raise TaskNotFoundError(f"the run {run_id} has no card {task_id}")

    async def _close_unstarted(self, run: RunRecord, record: CardRecord, admission: Admission) -> TaskState:
        state = TaskState.SKIPPED if admission is Admission.SKIP else TaskState.CANCELLED
        if admission is Admission.SKIP:
            reason = "a card it depends on did not succeed"
        else:
            controls = await self._parts.store.read_controls(run.run_id)
            reason = controls.cancelled.get(record.card.task_id, controls.reason)
        if record.state is not TaskState.QUEUED:
            await self._requeue(run, record)
        await self._change(run, record.card.task_id, state, reason)
        return state

    async def _requeue(self, run: RunRecord, record: CardRecord) -> None:
        await self._change(
            run, record.card.task_id, TaskState.QUEUED, "the server stopped while the card ran; it starts again"
        )

    async def _change(
        self, run: RunRecord, task_id: TaskId, state: TaskState, reason: str = "", attempt: int | None = None
    ) -> None:
        change = CardChange(
            run_id=run.run_id,
            task_id=task_id,
            state=state,
            at=to_iso(self._parts.clock.now()),
            reason=reason,
            attempt=attempt,
            events=(
                EventDraft(
                    EventKind.CARD_STATE, f"{task_id} {state}" + (f": {reason}" if reason else ""), state, task_id
                ),
            ),
        )
        await self._parts.store.change_card(change)
        self._parts.bell.ring()

    async def _run_admitted(self, run: RunRecord, record: CardRecord, number: int) -> TaskState:
        if record.state is not TaskState.QUEUED:
            await self._requeue(run, record)
        await self._change(run, record.card.task_id, TaskState.RUNNING, attempt=number)
        started_s = self._parts.clock.monotonic_s()
        tree_in = run.snapshot.tree
        try:
            tree_in = await self._find_input(run, record)
            attempt = _Attempt(run, record, number, tree_in)
            result, tree_out = await self._execute(attempt)
        except StorageUnwritableError:
            raise  # not the card's fault: the step is repeated once there is space (workflows.py)
        except Exception as error:  # noqa: BLE001 - the step's boundary: whatever it is fails this card, not the server
            denied = (error.detail,) if isinstance(error, ForbiddenError) else ()
            result, tree_out = replace(_failure(explain_error(error)), denied=denied), tree_in
        time_s = self._parts.clock.monotonic_s() - started_s - result.idle_s
        return await self._record(_Attempt(run, record, number, tree_in), result, tree_out, time_s)

    async def _find_input(self, run: RunRecord, record: CardRecord) -> GitOid:
        payload = record.card.payload
        if isinstance(payload, TestsPayload | CommandPayload) and payload.tree is TreeRef.BASE:
            return run.snapshot.tree
        cards = {other.card.task_id: other for other in await self._parts.store.read_cards(run.run_id)}
        trees = [tree for dep in record.card.deps if (tree := cards[dep].tree_out) is not None]
        return await self._parts.trees.merge(run.repo, run.snapshot.tree, trees)

    async def _execute(self, attempt: _Attempt) -> tuple[CardResult, GitOid]:
        run, name = attempt.run, f"{attempt.task_id}.{attempt.number}"
        has_files = not isinstance(attempt.record.card.payload, PlanPayload)  # a plan looks at no file
        async with (
            self._parts.stage.lay_out(run.run_id, name, run.repo, attempt.tree_in if has_files else None) as folder,
            self._parts.gatekeeper.watch(run.run_id, attempt.task_id) as cancel,
        ):
            work = CardWork(
                run_id=run.run_id,
                repo=run.repo,
                card=attempt.record.card,
                attempt=attempt.number,
                folder=folder,
                base_tree=run.snapshot.tree,
                tree_in=attempt.tree_in,
                cancel=cancel,
            )
            result = await self._parts.executors[attempt.record.card.payload.kind].execute(work)
            if not result.changes_tree:
                return result, attempt.tree_in
            await self._parts.stage.reclaim(folder)
            tree_out = await self._parts.trees.import_(run.repo, attempt.tree_in, folder)
        if result.tree is not None and tree_out != result.tree:
            # Only what was recorded may become the result; the recorded part is kept as partial work.
            return _disown(result), result.tree
        if tree_out != attempt.tree_in:
            result = await self._check_changes(attempt, result, tree_out)
        return result, tree_out

    async def _check_changes(self, attempt: _Attempt, result: CardResult, tree_out: GitOid) -> CardResult:
        """Hold every changed file against the lane's globs; count the files where the executor did not."""
        diff = await self._parts.trees.diff(attempt.run.repo, attempt.tree_in, tree_out)
        allowlist = self._parts.allowlists[attempt.record.card.lane]
        decisions = [allowlist.check_path(path) for path in diff.files]
        denied = tuple(f"{each.reason} ({each.rule})" for each in decisions if not each.is_allowed)
        if denied:
            return replace(
                result, is_success=False, reason=f"the card changed a file it may not: {denied[0]}", denied=denied
            )
        if result.outcome.files_changed:
            return result
        count = len(diff.files)
        summary = f"{result.outcome.summary}: {count} {'file' if count == 1 else 'files'} changed"
        return replace(result, outcome=result.outcome.model_copy(update={"files_changed": count, "summary": summary}))

    async def _record(self, attempt: _Attempt, result: CardResult, tree_out: GitOid, time_s: float) -> TaskState:
        state = _final_state(attempt, result)
        artifacts = result.artifacts
        if not result.is_success and tree_out != attempt.tree_in:
            artifacts = (*artifacts, *await self._keep_partial(attempt, tree_out))
        receipt = self._receipt(attempt, result, tree_out, time_s, artifacts)
        await self._parts.store.change_card(
            CardChange(
                run_id=attempt.run.run_id,
                task_id=attempt.task_id,
                state=state,
                at=receipt.recorded_at,
                reason=result.reason,
                outcome=result.outcome,
                tree_out=tree_out if result.is_success else None,
                receipt=receipt,
                artifacts=artifacts,
                events=_events_of(attempt, result, state, time_s),
            )
        )
        self._parts.bell.ring()
        return state

    async def _keep_partial(self, attempt: _Attempt, tree_out: GitOid) -> tuple[ArtifactRef, ...]:
        """Keep what a stopped or failed card had done so far; it never enters the result."""
        try:
            diff = await self._parts.trees.diff(attempt.run.repo, attempt.tree_in, tree_out)
            sha256 = await self._parts.artifacts.put(diff.patch)
        except PlatformError as error:
            LOG.warning("the partial result of %s was not kept: %s", attempt.task_id, error.detail)
            return ()
        path = f"artifacts/partial/{attempt.task_id}.{attempt.number}.patch"
        return (ArtifactRef(path=path, sha256=sha256, size_bytes=len(diff.patch)),)

    def _receipt(
        self, attempt: _Attempt, result: CardResult, tree_out: GitOid, time_s: float, artifacts: tuple[ArtifactRef, ...]
    ) -> Receipt:
        run_id, card = attempt.run.run_id, attempt.record.card
        return Receipt(
            # The id is a function of the attempt, so that a repeated step can never make a second one.
            receipt_id=ReceiptId(f"rcpt-{run_id}.{card.task_id}.{attempt.number}"),
            run_id=run_id,
            task_id=card.task_id,
            attempt=attempt.number,
            lane=card.lane,
            configuration=card.configuration,
            time_ms=round(time_s * 1000),
            sandbox_tier=result.tier,
            contract_version=CONTRACT_VERSION,
            exit_code=result.exit_code,
            is_success=result.is_success,
            tree_in=attempt.tree_in,
            tree_out=tree_out,
            artifacts=artifacts,
            recorded_at=to_iso(self._parts.clock.now()),
        )


def _failure(reason: str) -> CardResult:
    return CardResult(is_success=False, outcome=CardOutcome(summary=reason), tier="none", reason=reason)


def _disown(result: CardResult) -> CardResult:
    reason = "the card's folder holds something else than its recorded steps made; nothing of it was taken"
    return replace(result, is_success=False, is_cancelled=False, reason=reason)


def _final_state(attempt: _Attempt, result: CardResult) -> TaskState:
    if result.is_success:
        return TaskState.SUCCEEDED
    if result.is_cancelled:
        return TaskState.CANCELLED
    return TaskState.QUEUED if attempt.number < attempt.record.card.max_attempts else TaskState.FAILED


def _events_of(attempt: _Attempt, result: CardResult, state: TaskState, time_s: float) -> tuple[EventDraft, ...]:
    task_id = attempt.task_id
    denied = [EventDraft(EventKind.DENIED, line, task_id=task_id) for line in result.denied]
    text = f"{task_id} {state}: {result.outcome.summary if result.is_success else result.reason}"
    return (
        *denied,
        EventDraft(EventKind.RECEIPT, f"{task_id} attempt {attempt.number} took {time_s:.1f} s", task_id=task_id),
        EventDraft(EventKind.CARD_STATE, text, state, task_id),
    )
