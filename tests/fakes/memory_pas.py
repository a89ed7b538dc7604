"""PAS in memory: runs whose cards end when the test says so (`play`), with events, receipts and artifacts."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

from services.kernel.caller import Caller
from services.kernel.clock import to_iso
from services.kernel.errors import UnavailableError
from services.kernel.ids import GitOid, ReceiptId, RunId, Sha256, TaskId, new_id
from services.kernel.log import current_trace_id
from services.kernel.vocabulary import RUN_TRANSITIONS, Lane, RunState, Scope, TaskState, Verdict, is_final
from services.pas.models import (
    CONTRACT_VERSION,
    ArtifactRef,
    Badge,
    CardAccepted,
    CardOutcome,
    CardSubmission,
    CardView,
    EventKind,
    Finding,
    LaneModel,
    Portfolio,
    Receipt,
    RunCommand,
    RunEvent,
    RunView,
    SignedPassport,
    StartRun,
    TaskTree,
)
from services.pas.protocol import (
    ArtifactNotFoundError,
    PassportBasisMissingError,
    RunExistsError,
    RunNotFoundError,
    TaskNotFoundError,
)

TREE = GitOid("a" * 40)
LEFT_ALONE = [
    {
        "occurrence": {"path": "notes.txt", "line": 3, "column": 1, "kind": "string", "text": "old"},
        "reason": "plain text",
    }
]


def _now() -> str:
    return to_iso(datetime.now(UTC))


class FakePas:
    """Keeps runs. `is_auto` plays every run to its end; otherwise the test calls `play`.

    `connect` gives every lane a model; a plan card then ends with `tree` and the receipt of one call.
    """

    def __init__(self, *, is_auto: bool = True, final: RunState = RunState.COMPLETED) -> None:
        self.runs: dict[RunId, RunView] = {}
        self.starts: dict[RunId, StartRun] = {}
        self.events: dict[RunId, list[RunEvent]] = {}
        self.receipts: dict[RunId, list[Receipt]] = {}
        self.artifacts: dict[str, bytes] = {}
        self.is_auto = is_auto
        self.final = final
        self.failures: list[UnavailableError] = []
        self.refusal: Exception | None = None
        self.models: dict[Lane, LaneModel] = {}
        self.tree: TaskTree | None = None
        self.commands: list[RunCommand] = []
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    async def submit_card(self, caller: Caller, submission: CardSubmission) -> CardAccepted:
        return CardAccepted(task_id=submission.card.task_id, run_id=submission.run_id)

    async def start_run(self, caller: Caller, start: StartRun) -> RunView:
        caller.require(Scope.PAS_SUBMIT)
        if self.failures:
            raise self.failures.pop()
        if self.refusal is not None:
            raise self.refusal
        if start.passport_basis is None:
            raise PassportBasisMissingError("a run needs a passport basis")
        run_id = start.run_id or RunId(new_id("run"))
        if run_id in self.runs:
            if self.starts[run_id] != start:
                raise RunExistsError(f"run {run_id} exists with another body")
            return self.runs[run_id]
        self.starts[run_id] = start
        self.runs[run_id] = self._make_run(run_id, start)
        self.events[run_id] = []
        self.receipts[run_id] = []
        async with self._changed:
            self._changed.notify_all()
        if self.is_auto:
            task = asyncio.create_task(self.play(run_id))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return self.runs[run_id]

    def _make_run(self, run_id: RunId, start: StartRun) -> RunView:
        basis = start.passport_basis
        assert basis is not None
        cards = tuple(
            CardView(
                task_id=card.task_id,
                lane=card.lane,
                title=card.title,
                configuration=card.configuration,
                deps=card.deps,
                state=TaskState.QUEUED,
                attempt=0,
            )
            for card in start.cards
        )
        return RunView(
            run_id=run_id,
            project_id=start.project_id,
            run_kind=start.run_kind,
            title=start.title,
            repo=basis.repo,
            state=RunState.PENDING,
            reason="",
            trace_id=current_trace_id(),
            cards=cards,
            base_commit=GitOid("b" * 40),
            base_branch="main",
            snapshot_tree=TREE,
            cap_microusd=start.max_cost_microusd,
            created_at=_now(),
        )

    def connect(self, alias: str = "fast", chain: tuple[str, ...] = ("fast", "cheap")) -> None:
        """Give every lane a model of 2 and 10 dollars a million tokens."""
        self.models = {
            lane: LaneModel(
                lane=lane,
                alias=alias,
                provider="openai",
                model=f"{alias}-1",
                input_microusd=2_000_000,
                output_microusd=10_000_000,
                context_tokens=100_000,
                price_table_version="test",
                chain=chain,
            )
            for lane in Lane
        }

    async def spend(self, run_id: RunId, task_id: TaskId, cost_microusd: int, *, tokens: int = 100) -> None:
        """Have a running card call its model once."""
        run = self.runs[run_id]
        card = next(card for card in run.cards if card.task_id == task_id)
        step = 1 + sum(receipt.task_id == task_id for receipt in self.receipts[run_id])
        whole = self._make_receipt(run_id, card)
        call = {
            "receipt_id": ReceiptId(f"{whole.receipt_id}.{step}"),
            "step": step,
            "time_ms": 800,
            "provider": "openai",
        }
        spent = {"model": "fast-1", "tokens_in": tokens, "tokens_out": tokens, "cost_microusd": cost_microusd}
        self.receipts[run_id].append(whole.model_copy(update=call | spent))
        cards = tuple(
            each.model_copy(update={"state": TaskState.RUNNING, "attempt": 1}) if each == card else each
            for each in run.cards
        )
        total = run.cost_microusd + cost_microusd
        await self._put(run_id, EventKind.CARD_STATE, f"{task_id} called", cards=cards, cost_microusd=total)

    async def play(self, run_id: RunId) -> None:
        """Lead a run from start to end, card by card."""
        await self.begin(run_id)
        for card in self.runs[run_id].cards:
            await self.end_card(run_id, card.task_id)
        await self.end(run_id)

    async def await_run(self, is_wanted: Callable[[RunView], bool]) -> RunId:
        """Return the first run that is as wanted, waiting for it."""
        async with self._changed:
            while True:
                for run in self.runs.values():
                    if is_wanted(run):
                        return run.run_id
                await self._changed.wait()

    async def begin(self, run_id: RunId) -> None:
        """Set the run going."""
        await self._put(run_id, EventKind.RUN_STATE, "run started", state=RunState.EXECUTING, started_at=_now())

    async def end_card(self, run_id: RunId, task_id: TaskId) -> None:
        """End one card well, with its receipt."""
        run = self.runs[run_id]
        if task_id == "plan" and self.tree is not None:
            await self.spend(run_id, task_id, 12_300)
            run = self.runs[run_id]
            ref = await self.keep("artifacts/plan.json", self.tree.model_dump_json().encode())
        else:
            detail = json.dumps({"left_alone": LEFT_ALONE, "left_alone_total": 1}).encode()
            ref = await self.keep("artifacts/detail.json", detail)
        cards = tuple(
            card.model_copy(
                update={
                    "state": TaskState.SUCCEEDED,
                    "attempt": 1,
                    "outcome": CardOutcome(summary="done", left_alone=1, detail=ref),
                }
            )
            if card.task_id == task_id
            else card
            for card in run.cards
        )
        ended = next(card for card in cards if card.task_id == task_id)
        self.receipts[run_id].append(self._make_receipt(run_id, ended))
        await self._put(run_id, EventKind.CARD_STATE, f"{ended.title}: succeeded", cards=cards)

    def _make_receipt(self, run_id: RunId, card: CardView) -> Receipt:
        return Receipt(
            receipt_id=ReceiptId(f"{run_id}.{card.task_id}.1"),
            run_id=run_id,
            task_id=card.task_id,
            attempt=1,
            lane=card.lane,
            configuration=card.configuration,
            time_ms=1500,
            sandbox_tier="fake",
            contract_version=CONTRACT_VERSION,
            exit_code=0,
            is_success=True,
            tree_in=TREE,
            tree_out=TREE,
            recorded_at=_now(),
        )

    async def end(self, run_id: RunId, final: RunState | None = None, reason: str = "") -> None:
        """End the run: judged when it completes."""
        state = final or self.final
        fields: dict[str, object] = {"state": state, "finished_at": _now(), "reason": reason}
        if state in {RunState.COMPLETED, RunState.NEEDS_REVIEW}:
            verdict = Verdict.PASS if state is RunState.COMPLETED else Verdict.FAIL
            finding = Finding(
                name="test_pass_rate",
                lane=Lane.CODE_IMPL,
                verdict=verdict,
                value=1.0,
                threshold=0.9,
                is_critical=True,
                detail="12 of 12 tests pass",
            )
            diff = await self.keep("artifacts/diff.patch", b"--- a/x\n+++ b/x\n")
            fields |= {
                "findings": (finding,),
                "badge": Badge.VERIFIED if state is RunState.COMPLETED else None,
                "branch": f"direng/{run_id}",
                "commit": GitOid("c" * 40),
                "result_tree": GitOid("d" * 40),
                "files_changed": 2,
                "lines_added": 5,
                "lines_deleted": 4,
                "artifacts": (diff,),
            }
        await self._put(run_id, EventKind.RUN_STATE, f"run {state.value}", **fields)

    async def keep(self, path: str, content: bytes) -> ArtifactRef:
        """Keep bytes under a path."""
        sha256 = Sha256(hashlib.sha256(content).hexdigest())
        self.artifacts[sha256] = content
        return ArtifactRef(path=path, sha256=sha256, size_bytes=len(content))

    async def _put(self, run_id: RunId, kind: EventKind, text: str, **fields: object) -> None:
        async with self._changed:
            seq = len(self.events[run_id]) + 1
            run = self.runs[run_id].model_copy(update={**fields, "last_seq": seq})
            self.runs[run_id] = run
            event = RunEvent(
                run_id=run_id, seq=seq, at=_now(), trace_id=run.trace_id, kind=kind, state=run.state.value, text=text
            )
            self.events[run_id].append(event)
            self._changed.notify_all()

    async def get_run(self, caller: Caller, run_id: RunId) -> RunView:
        if run_id not in self.runs:
            raise RunNotFoundError(f"no run {run_id}")
        return self.runs[run_id]

    async def list_runs(
        self, caller: Caller, repo: str | None = None, *, is_active: bool = False
    ) -> tuple[RunView, ...]:
        return tuple(
            run
            for run in reversed(self.runs.values())
            if repo in {None, run.repo} and not (is_active and is_final(RUN_TRANSITIONS, run.state))
        )

    async def watch_run(self, caller: Caller, run_id: RunId, after_seq: int = 0) -> AsyncIterator[RunEvent]:
        await self.get_run(caller, run_id)
        seen = after_seq
        while True:
            async with self._changed:
                while len(self.events[run_id]) <= seen and not is_final(RUN_TRANSITIONS, self.runs[run_id].state):
                    await self._changed.wait()
                fresh = self.events[run_id][seen:]
            for event in fresh:
                seen = event.seq
                yield event
            if not fresh:
                return

    async def list_receipts(self, caller: Caller, run_id: RunId) -> tuple[Receipt, ...]:
        await self.get_run(caller, run_id)
        return tuple(self.receipts[run_id])

    async def get_passport(self, caller: Caller, run_id: RunId) -> SignedPassport:
        raise RunNotFoundError("the fake signs no passports")

    async def pause_run(self, caller: Caller, command: RunCommand) -> RunView:
        await self._put(command.run_id, EventKind.RUN_STATE, "run paused", state=RunState.PAUSED, reason=command.reason)
        return self.runs[command.run_id]

    async def resume_run(self, caller: Caller, command: RunCommand) -> RunView:
        self.commands.append(command)
        cap = {} if command.max_cost_microusd is None else {"cap_microusd": command.max_cost_microusd}
        await self._put(command.run_id, EventKind.RUN_STATE, "run resumed", state=RunState.EXECUTING, reason="", **cap)
        return self.runs[command.run_id]

    async def terminate_run(self, caller: Caller, command: RunCommand) -> RunView:
        await self.end(command.run_id, RunState.TERMINATED, command.reason)
        return self.runs[command.run_id]

    async def cancel_card(self, caller: Caller, command: RunCommand) -> RunView:
        run = await self.get_run(caller, command.run_id)
        if command.task_id not in {card.task_id for card in run.cards}:
            raise TaskNotFoundError(f"run {command.run_id} has no card {command.task_id}")
        return run

    async def get_portfolio(self, caller: Caller) -> Portfolio:
        return Portfolio(active_runs=0, lanes=())

    async def list_lane_models(self, caller: Caller) -> tuple[LaneModel, ...]:
        caller.require(Scope.PAS_READ_STATUS)
        return tuple(
            self.models.get(lane, LaneModel(lane=lane, problem=f"no model is configured for {lane}")) for lane in Lane
        )

    async def put_artifact(self, caller: Caller, content: bytes) -> ArtifactRef:
        return await self.keep("artifact", content)

    async def get_artifact(self, caller: Caller, sha256: Sha256) -> bytes:
        if sha256 not in self.artifacts:
            raise ArtifactNotFoundError(f"no artifact {sha256}")
        return self.artifacts[sha256]
