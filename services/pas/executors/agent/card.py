"""Agent cards: opens an attempt's journal, lets the loop work, and reports what was recorded."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass

from services.broker.models import Purpose, ToolSpec
from services.kernel.errors import InvalidRequestError, PlatformError
from services.kernel.vocabulary import Lane
from services.pas.calls.broker import BrokerEdge
from services.pas.calls.vector_ops import VectorOpsEdge
from services.pas.core.allowlist import Allowlist
from services.pas.core.isolation import Isolation
from services.pas.core.ports import CardResult, CardWork
from services.pas.core.records import RunRecord
from services.pas.core.routes import NO_BROKER
from services.pas.executors.agent.baseline import find_baseline
from services.pas.executors.agent.hands import TEST_TOOL, Hands, Toolset
from services.pas.executors.agent.loop import AgentLoop, Ending
from services.pas.executors.agent.survey import search_places, survey
from services.pas.executors.agent.toolbox import TestRun, ToolResult
from services.pas.executors.dialogue import Dialogue
from services.pas.executors.receipts import ReceiptBook
from services.pas.executors.recipe import keep
from services.pas.executors.recorder import CardStoppedError, Recorder, RecorderParts
from services.pas.models import CONTRACT_VERSION, AgentPayload, CardOutcome
from services.pas.protocol import ModelMissingError, PassportBasisMissingError, RunNotFoundError
from services.wire.storage import StorageUnwritableError

TEST_DRIVER = "{test-driver}"
INDEX_TOOL = "rag_query"


@dataclass(frozen=True)
class AgentParts:
    """What agent cards need; `broker` None: this server has no models; `index` None: no code index."""

    broker: BrokerEdge | None
    index: VectorOpsEdge | None
    recorder: RecorderParts
    tools: Toolset
    isolation: Isolation
    allowlists: Mapping[Lane, Allowlist]


class AgentExecutor:
    """Runs `agent` payloads; safe to call again for an attempt that was interrupted."""

    def __init__(self, parts: AgentParts) -> None:
        self._parts = parts

    async def execute(self, work: CardWork) -> CardResult:
        payload = work.card.payload
        if not isinstance(payload, AgentPayload):
            raise InvalidRequestError(f"the card {work.card.task_id} is no agent card")
        if self._parts.broker is None:
            raise ModelMissingError(NO_BROKER)
        run = await self._read_run(work)
        tier = (await asyncio.to_thread(self._parts.isolation.describe)).tier
        recorder = await Recorder.open(self._parts.recorder, work)
        book = ReceiptBook(work, tier)
        dialogue = Dialogue(
            self._parts.broker, recorder, run, book, Purpose.AGENT, payload.alias, self._choose_tools(work)
        )
        loop = self._make_loop(payload, recorder, dialogue)
        try:
            ending = await loop.run()
        except CardStoppedError as error:
            return _fail(error.detail, tier, recorder, is_cancelled=True)
        except StorageUnwritableError:
            raise
        except PlatformError as error:
            return _fail(error.detail, tier, recorder)
        return await self._report(work, ending, tier, recorder)

    async def _read_run(self, work: CardWork) -> RunRecord:
        run = await self._parts.recorder.store.read_run(work.run_id)
        if run is None:
            raise RunNotFoundError(f"no run {work.run_id}")
        basis = run.start.passport_basis
        if basis is None or basis.contract_version != CONTRACT_VERSION:
            spoken = basis.contract_version if basis else "none"
            raise PassportBasisMissingError(
                f"the run was made for contract {spoken}; this executor speaks {CONTRACT_VERSION}: start the run again"
            )
        return run

    def _choose_tools(self, work: CardWork) -> tuple[ToolSpec, ...]:
        offers = {TEST_TOOL: self._runs_tests(work), INDEX_TOOL: self._parts.index is not None}
        return tuple(spec for spec in self._parts.tools.specs if offers.get(spec.name, True))

    def _runs_tests(self, work: CardWork) -> bool:
        """Return whether the lane may run the platform's test driver."""
        return any(TEST_DRIVER in head for head in self._parts.allowlists[work.card.lane].commands.allow)

    def _make_loop(self, payload: AgentPayload, recorder: Recorder, dialogue: Dialogue) -> AgentLoop:
        work, allowlist = recorder.work, self._parts.allowlists[recorder.work.card.lane]
        hands = Hands(self._parts.tools, recorder, allowlist)

        async def look() -> str:
            places = await search_places(self._parts.index, work.repo, payload.goal, allowlist)
            return await asyncio.to_thread(survey, work.folder, payload.files_hint, places, allowlist)

        async def find() -> ToolResult | None:
            parts = self._parts.recorder
            return await find_baseline(parts.store, parts.artifacts, work, payload.test_paths)

        return AgentLoop(payload, dialogue, hands, look, find if self._runs_tests(work) else None)

    async def _report(self, work: CardWork, ending: Ending, tier: str, recorder: Recorder) -> CardResult:
        content = json.dumps(
            {
                "is_success": ending.is_success,
                "reason": ending.reason,
                "summary": ending.summary,
                "turns": ending.turns,
                "steps": recorder.position,
                "tests_before": _dump(ending.before),
                "tests_after": _dump(ending.after),
            },
            indent=1,
        ).encode()
        ref = await keep(self._parts.recorder.artifacts, work.card.task_id, work.attempt, "agent.json", content)
        told = ending.summary or "done"
        summary = f"{told} ({ending.check})" if ending.is_success else ending.reason
        counts = ending.after.counts if ending.after is not None and not ending.after.is_unknown else None
        return CardResult(
            is_success=ending.is_success,
            outcome=CardOutcome(summary=summary, tests=counts, detail=ref),
            tier=tier,
            reason=ending.reason,
            artifacts=(ref,),
            tree=recorder.folder_tree,
            idle_s=recorder.idle_s,
        )


def _fail(reason: str, tier: str, recorder: Recorder, *, is_cancelled: bool = False) -> CardResult:
    return CardResult(
        is_success=False,
        outcome=CardOutcome(summary=reason),
        tier=tier,
        reason=reason,
        is_cancelled=is_cancelled,
        tree=recorder.folder_tree,
        idle_s=recorder.idle_s,
    )


def _dump(run: TestRun | None) -> dict[str, object] | None:
    if run is None:
        return None
    return {
        "is_unknown": run.is_unknown,
        "counts": run.counts.model_dump(),
        "failing": list(run.failing),
        "detail": run.detail.model_dump() if run.detail else None,
    }
