"""The life of a run around its cards: begin, settle, validate, publish, finish. Each method may be called again."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from services.kernel.clock import Clock, to_iso
from services.kernel.errors import PlatformError, UnavailableError
from services.kernel.ids import GitOid, RunId, TaskId
from services.kernel.vocabulary import RUN_TRANSITIONS, RunKind, RunState, TaskState, Verdict, is_final
from services.pas.core.budgets import RunBudgets
from services.pas.core.control import Gatekeeper
from services.pas.core.events import Bell
from services.pas.core.graph import find_leaves
from services.pas.core.jacket import Jacket
from services.pas.core.ports import ArtifactBox, Seal, Store, Trees
from services.pas.core.records import CardRecord, EventDraft, RunChange, RunRecord, RunResult
from services.pas.core.stage import Stage
from services.pas.core.validators import Validator
from services.pas.models import ArtifactRef, Badge, EventKind, Finding
from services.pas.protocol import RunNotFoundError

LOG = logging.getLogger("direng.pas")


class Settled(StrEnum):
    """How the cards of a run ended."""

    DONE = "done"
    FAILED = "failed"
    TERMINATED = "terminated"


@dataclass(frozen=True)
class RunParts:
    """What the life of a run needs."""

    store: Store
    trees: Trees
    artifacts: ArtifactBox
    validators: Mapping[str, Validator]
    gatekeeper: Gatekeeper
    bell: Bell
    clock: Clock
    jacket: Jacket
    seal: Seal
    stage: Stage
    budgets: RunBudgets


class RunKeeper:
    """Leads a run from pending to its end."""

    def __init__(self, parts: RunParts) -> None:
        self._parts = parts

    @property
    def validator_names(self) -> tuple[str, ...]:
        """The KPIs that are judged, in order."""
        return tuple(self._parts.validators)

    async def begin(self, run_id: RunId) -> tuple[tuple[TaskId, int], ...]:
        """Start the run; return its cards in order, each with the attempts it may take.

        The caps of its spend are set first: whatever happens, no card of it can call a model without them.
        """
        run, cards = await self._read(run_id), await self._parts.store.read_cards(run_id)
        if run.state is RunState.PENDING:
            models = await self._parts.budgets.open(run, [record.card for record in cards])
            if models is not None:
                await self._parts.store.keep_models(run_id, models)
        await self._change(run_id, RunState.EXECUTING, "run started")
        return tuple((record.card.task_id, record.card.max_attempts) for record in cards)

    async def settle(self, run_id: RunId) -> Settled:
        """Return how the cards ended, and go on to validating when all succeeded.

        A paused run waits here: nothing more happens to it until it is resumed or terminated.
        """
        while True:
            controls = await self._parts.gatekeeper.await_open_gate(run_id)
            if controls.is_terminated:
                return Settled.TERMINATED
            if _find_failure(await self._parts.store.read_cards(run_id)) is not None:
                return Settled.FAILED
            await self._change(run_id, RunState.VALIDATING, "all cards succeeded; judging the result")
            if (await self._read(run_id)).state is not RunState.PAUSED:  # else somebody paused it this very moment
                return Settled.DONE

    async def merge_result(self, run_id: RunId) -> GitOid:
        """Return the run's result: what its last cards made, merged. Raises MergeConflictError.

        A rehearsal has none: its cards each worked alone on the snapshot, to show what they cost.
        """
        run = await self._read(run_id)
        if run.start.run_kind is RunKind.REHEARSAL:
            return run.snapshot.tree
        records = {record.card.task_id: record for record in await self._parts.store.read_cards(run_id)}
        leaves = find_leaves([record.card for record in records.values()])
        trees = [tree for leaf in leaves if (tree := records[leaf].tree_out) is not None]
        return await self._parts.trees.merge(run.repo, run.snapshot.tree, trees)

    async def validate(self, run_id: RunId, name: str, tree: GitOid) -> Verdict:
        """Judge one KPI against the base and store the finding; a check that cannot run is unknown."""
        for finding in await self._parts.store.read_findings(run_id):
            if finding.name == name:
                return finding.verdict
        run = await self._read(run_id)
        cards = await self._parts.store.read_cards(run_id)
        async with self._parts.gatekeeper.watch(run_id, None) as cancel:
            finding = await self._parts.validators[name].judge(run, cards, tree, cancel)
        await self._parts.store.add_finding(run_id, to_iso(self._parts.clock.now()), finding)
        self._parts.bell.ring()
        return finding.verdict

    async def publish(self, run_id: RunId, tree: GitOid) -> RunResult | None:
        """Write branch and diff; again gives the same result. Nothing changed: no branch. Terminated: None, nothing."""
        run = await self._read(run_id)
        if run.result is not None:
            return run.result
        if (await self._parts.store.read_controls(run_id)).is_terminated:
            return None
        diff = await self._parts.trees.diff(run.repo, run.snapshot.tree, tree)
        sha256 = await self._parts.artifacts.put(diff.patch)
        ref = ArtifactRef(path="artifacts/diff.patch", sha256=sha256, size_bytes=len(diff.patch))
        result = RunResult(
            tree=tree, files_changed=len(diff.files), lines_added=diff.lines_added, lines_deleted=diff.lines_deleted
        )
        if diff.files:
            message = f"{run.start.title or 'Result of a run'}\n\nRun: {run_id}\n"
            published = await self._parts.trees.publish(run, tree, message)
            result = result.model_copy(update={"branch": published.branch, "commit": published.commit})
            notes = tuple(EventDraft(EventKind.NOTE, line) for line in published.notes)
        else:
            notes = (EventDraft(EventKind.NOTE, "nothing changed: the run has an empty diff and no branch"),)
        await self._parts.store.keep_result(run_id, to_iso(self._parts.clock.now()), result, (ref,), notes)
        self._parts.bell.ring()
        return result

    async def finish(self, run_id: RunId, settled: Settled, reason: str = "") -> RunState:
        """Move the run to its final state and sign its passport; return the state."""
        run = await self._read(run_id)
        if is_final(RUN_TRANSITIONS, run.state):
            return run.state
        controls = await self._parts.store.read_controls(run_id)
        change = await self._final_change(run, Settled.TERMINATED if controls.is_terminated else settled, reason)
        if change.state is RunState.FAILED and run.state is RunState.PAUSED:
            await self._change(run_id, RunState.EXECUTING, "run resumed")
        cards = await self._parts.store.read_cards(run_id)
        await self._parts.budgets.close(run_id, [record.card for record in cards])
        await self._fill_jacket(run_id)
        await self._parts.store.finish_run(change, self._parts.seal)
        await self._parts.stage.clear_run(run_id)
        await self._fill_jacket(run_id)
        self._parts.bell.ring()
        return change.state

    async def note_delay(self, run_id: RunId, why: str) -> bool:
        """Tell those who watch why a run does not go on; return whether at least that could be kept."""
        LOG.warning("%s waits: %s", run_id, why)
        note = EventDraft(EventKind.NOTE, f"the run waits: {why}")
        try:
            await self._parts.store.add_events(run_id, to_iso(self._parts.clock.now()), [note])
        except UnavailableError:
            return False
        self._parts.bell.ring()
        return True

    async def _final_change(self, run: RunRecord, settled: Settled, reason: str) -> RunChange:
        at = to_iso(self._parts.clock.now())
        if settled is Settled.TERMINATED:
            why = (await self._parts.store.read_controls(run.run_id)).reason or reason
            return RunChange(run.run_id, RunState.TERMINATED, at, f"run terminated: {why}", why)
        if settled is Settled.FAILED:
            why = reason or _find_failure(await self._parts.store.read_cards(run.run_id)) or "the run failed"
            return RunChange(run.run_id, RunState.FAILED, at, f"run failed: {why}", why)
        findings = await self._parts.store.read_findings(run.run_id)
        failed = [f.name for f in findings if f.verdict is Verdict.FAIL and f.is_critical]
        if failed:
            why = f"{', '.join(failed)} failed; look at the findings before you use the branch"
            return RunChange(run.run_id, RunState.NEEDS_REVIEW, at, f"run needs review: {why}", why)
        badge = find_badge(findings)
        return RunChange(run.run_id, RunState.COMPLETED, at, f"run completed ({badge.value})", badge=badge)

    async def _fill_jacket(self, run_id: RunId) -> None:
        try:
            await self._parts.jacket.write(run_id)
        except (PlatformError, OSError) as error:
            LOG.warning("the jacket of %s is incomplete: %s", run_id, error)

    async def _read(self, run_id: RunId) -> RunRecord:
        run = await self._parts.store.read_run(run_id)
        if run is None:
            raise RunNotFoundError(f"no run {run_id}")
        return run

    async def _change(self, run_id: RunId, state: RunState, text: str) -> None:
        """Move on unless an earlier, interrupted call of the same step did so already."""
        run = await self._read(run_id)
        if state in RUN_TRANSITIONS[run.state]:
            await self._parts.store.change_run(RunChange(run_id, state, to_iso(self._parts.clock.now()), text))
            self._parts.bell.ring()


def find_badge(findings: tuple[Finding, ...]) -> Badge:
    """Return `verified` only when the tests passed and no critical finding failed (SPEC.md section 1)."""
    verdicts = {finding.name: finding.verdict for finding in findings}
    is_tested = verdicts.get("test_pass_rate") is Verdict.PASS
    has_failed = any(finding.verdict is Verdict.FAIL and finding.is_critical for finding in findings)
    return Badge.VERIFIED if is_tested and not has_failed else Badge.UNVERIFIED


def _find_failure(cards: tuple[CardRecord, ...]) -> str | None:
    for record in cards:
        if record.state in {TaskState.FAILED, TaskState.CANCELLED}:
            summary = record.reason or (record.outcome.summary if record.outcome else "")
            return f"{record.card.title}: {summary or record.state.value}"
    return None
