"""Follow a delegation or a direct run to its end, telling the user: steps 8 to 14. Goes on after a restart."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from pydantic import ValidationError

from services.broker.models import BudgetKind, BudgetScope
from services.direng.calls.broker import BrokerEdge
from services.direng.calls.pas import PasEdge
from services.direng.calls.pex import PexEdge
from services.direng.core.money import read_usd
from services.direng.core.notebook import Notebook
from services.direng.core.pausing import Pause, ask_about, is_direct, measure_directly
from services.direng.core.ports import EventDraft, Following, OpenTurn, Pending
from services.direng.core.spending import ANSWER_LANE
from services.direng.core.telling import (
    CardDetail,
    exit_code_of,
    list_files,
    list_left_alone,
    models_of,
    tell_approval,
    tell_estimate,
    tell_offer,
    tell_plan,
    tell_question,
    tell_report,
    tell_tick,
)
from services.direng.models import Handling, TurnEventKind, TurnState
from services.kernel.clock import Clock, to_iso
from services.kernel.errors import PlatformError, UnavailableError
from services.kernel.ids import DelegationId, RunId
from services.kernel.vocabulary import (
    DELEGATION_TRANSITIONS,
    RUN_TRANSITIONS,
    DelegationState,
    RunState,
    TaskState,
    is_final,
)
from services.pas.models import EventKind, RunView
from services.pex.models import BudgetState, Delegation, DelegationEvent
from services.plms.models import Estimate

LOG = logging.getLogger("direng.direng")
E = TypeVar("E")
DIFF_PATH = "artifacts/diff.patch"
TICK_S = 5.0
RECONNECT_S = 0.5
STORAGE_UNWRITABLE = "wire.storage_unwritable"
_RENAME = "recipe/rename-symbol"
_LOOKS = {EventKind.AGENT: TurnEventKind.STEP}
_OWN_STEPS = frozenset({2, 7})
"""Steps that DirEng tells itself."""
_PLANNED = frozenset({DelegationState.AWAITING_APPROVAL, DelegationState.FAILED})
_SHOWN = frozenset({"agent", "planning", "planning_cost"})
"""Kinds of PEX's events that people see as they come: one line for a step of an agent, and what planning costs."""
_PROGRESS = frozenset({EventKind.CARD_STATE, EventKind.RUN_STATE})


@dataclass(frozen=True)
class FollowerParts:
    """What following needs."""

    notebook: Notebook
    pex: PexEdge
    pas: PasEdge
    broker: BrokerEdge
    clock: Clock
    tick_s: float = TICK_S


class Follower:
    """Tells a run until it ends or pauses, and closes the turn."""

    def __init__(self, parts: FollowerParts) -> None:
        self._parts = parts
        self._notebook = parts.notebook
        self._looks: dict[RunId, tuple[RunState, tuple[TaskState, ...]]] = {}

    async def follow(self, turn: OpenTurn, following: Following) -> None:
        """Go on telling from the cursor; a neighbour that is away for a moment is waited for."""
        while True:
            try:
                if following.kind == "delegation":
                    following, is_over = await self._follow_delegation(turn, following)
                else:
                    following, is_over = await self._follow_run(turn, following)
            except UnavailableError as error:
                LOG.warning("%s %s is out of sight: %s", following.kind, following.id, error.detail)
                if error.code == STORAGE_UNWRITABLE:
                    line = f"{error.detail}; {following.kind} {following.id} goes on then: `direng status`"
                    self._notebook.interrupt(turn, line, to_iso(self._parts.clock.now()))
                is_over = False
                following = await self._notebook.read_following(turn) or following
            if is_over:
                return
            await asyncio.sleep(RECONNECT_S)

    async def _follow_delegation(self, turn: OpenTurn, following: Following) -> tuple[Following, bool]:
        delegation_id = DelegationId(following.id)
        async with _pump(self._parts.pex.watch(delegation_id, following.cursor)) as queue:
            while (event := await _next(queue, self._parts.tick_s)) is not None:
                delegation = await self._parts.pex.get_delegation(delegation_id)
                if isinstance(event, _Quiet):
                    await self._tick_delegation(turn, delegation)
                    continue
                following = following.model_copy(update={"cursor": event.seq})
                told = await self._retell(delegation, event)
                await self._notebook.tell(turn, *told, following=following)
                if delegation.run_id is not None:
                    await self._notebook.store.point_to(turn, run_id=delegation.run_id)
                    if await self._pause(turn, delegation.run_id, following):
                        return following, True
        delegation = await self._parts.pex.get_delegation(delegation_id)
        if following.is_planning and delegation.state in _PLANNED:
            await self.offer(turn, delegation, (), following.max_cost_usd)
            return following, True
        if delegation.state is DelegationState.AWAITING_APPROVAL:
            await self._ask_again(turn)
            return following, True
        if not is_final(DELEGATION_TRANSITIONS, delegation.state):
            return following, False
        await self._close_delegation(turn, delegation)
        return following, True

    async def offer(
        self, turn: OpenTurn, delegation: Delegation, relayed: tuple[EventDraft, ...], max_cost_usd: str | None
    ) -> None:
        """Close a turn with what planning led to: the estimate and its question, PEX's question, or the reason."""
        if delegation.question is not None:
            event, asked = tell_question(delegation.question, turn.trace_id, Handling.DELEGATE)
            await self._notebook.close(turn, TurnState.WAITING, event, exit_code=1, pending=asked)
            return
        if delegation.state is not DelegationState.AWAITING_APPROVAL or delegation.estimate is None:
            await self._notebook.refuse(turn, delegation.reason or "PEX could not plan this", "pex.not_planned")
            return
        pending = Pending(kind="approval", trace_id=turn.trace_id, intent=delegation.intent, max_cost_usd=max_cost_usd)
        most = None if max_cost_usd is None else read_usd(max_cost_usd)
        planned = self._tell_own_plan(delegation)
        events = (*relayed, *planned, tell_estimate(delegation.estimate), tell_approval(delegation, most))
        await self._notebook.close(turn, TurnState.WAITING, *events, pending=pending)

    def _tell_own_plan(self, delegation: Delegation) -> tuple[EventDraft, ...]:
        """Return the plan that a model made: it is not the one that was shown before."""
        plan = delegation.plan
        return () if plan is None or plan.planning is None else (tell_plan(plan),)

    async def _ask_again(self, turn: OpenTurn) -> None:
        """Ask for the user's word once more: the server stopped before it reached PEX."""
        asked = EventDraft(
            TurnEventKind.APPROVAL_REQUIRED, "your word did not reach PEX; approve the plan? (yes/no)", 5
        )
        pending = Pending(kind="approval", trace_id=turn.trace_id)
        await self._notebook.close(turn, TurnState.WAITING, asked, pending=pending)

    async def _retell(self, delegation: Delegation, event: DelegationEvent) -> tuple[EventDraft, ...]:
        """Return PEX's event under its own step number; progress brings a tick (step 11) along."""
        if event.kind in _SHOWN:
            return (EventDraft(TurnEventKind.STEP, event.text, step=event.step),)
        if event.step in _OWN_STEPS or event.kind == "report":
            return ()
        told = EventDraft(TurnEventKind.TRACE, event.text, step=event.step)
        if event.kind != "progress" or delegation.run_id is None:
            return (told,)
        run = await self._parts.pas.get_run(delegation.run_id)
        if not self._has_moved(run):
            return (told,)
        return told, tell_tick(run, delegation.estimate, self._parts.clock.now(), 11)

    def _has_moved(self, run: RunView) -> bool:
        """Return whether a run looks different from its last tick (a stopped server forgets: one tick more)."""
        if is_final(RUN_TRANSITIONS, run.state):
            return False  # the last tick comes with the report
        look = (run.state, tuple(card.state for card in run.cards))
        if self._looks.get(run.run_id) == look:
            return False
        self._looks[run.run_id] = look
        return True

    async def _tick_delegation(self, turn: OpenTurn, delegation: Delegation) -> None:
        if delegation.run_id is None:
            return
        run = await self._parts.pas.get_run(delegation.run_id)
        if not is_final(RUN_TRANSITIONS, run.state):
            await self._notebook.tell(turn, tell_tick(run, delegation.estimate, self._parts.clock.now(), 11))

    async def _close_delegation(self, turn: OpenTurn, delegation: Delegation) -> None:
        if delegation.report is None:
            await self._notebook.refuse(
                turn, delegation.reason or f"the delegation is {delegation.state}", "pex.failed"
            )
            return
        run = delegation.report.run
        await self._notebook.store.point_to(turn, run_id=run.run_id)
        left_alone = delegation.report.left_alone
        await self._close_run(turn, run, left_alone, estimate=delegation.estimate, step=13)

    async def _follow_run(self, turn: OpenTurn, following: Following) -> tuple[Following, bool]:
        run_id = RunId(following.id)
        async with _pump(self._parts.pas.watch(run_id, following.cursor)) as queue:
            while (event := await _next(queue, self._parts.tick_s)) is not None:
                run = await self._parts.pas.get_run(run_id)
                tick = tell_tick(run, None, self._parts.clock.now(), None)
                if isinstance(event, _Quiet):
                    await self._notebook.tell(turn, tick)
                    continue
                following = following.model_copy(update={"cursor": event.seq})
                told = EventDraft(_LOOKS.get(event.kind, TurnEventKind.TRACE), event.text)
                events = (told, tick) if event.kind in _PROGRESS and self._has_moved(run) else (told,)
                await self._notebook.tell(turn, *events, following=following)
                if await self._pause(turn, run_id, following):
                    return following, True
        run = await self._parts.pas.get_run(run_id)
        if not is_final(RUN_TRANSITIONS, run.state):
            return following, False
        await self._close_run(turn, run, await self._read_left_alone(run))
        return following, True

    async def _close_run(
        self,
        turn: OpenTurn,
        run: RunView,
        left_alone: tuple[str, ...],
        *,
        estimate: Estimate | None = None,
        step: int | None = None,
    ) -> None:
        self._looks.pop(run.run_id, None)
        receipts = await self._parts.pas.list_receipts(run.run_id) if models_of(run) else ()
        report = tell_report(run, left_alone, await self._read_files(run), step, receipts)
        offer = tell_offer(run, None if step is None else 14)
        last = tell_tick(run, estimate, self._parts.clock.now(), None if step is None else 11)
        events = (last, report) if offer is None else (last, report, offer)
        code = exit_code_of(run)
        await self._notebook.close(turn, TurnState.DONE if code == 0 else TurnState.FAILED, *events, exit_code=code)

    async def _pause(self, turn: OpenTurn, run_id: RunId, following: Following) -> bool:
        """Close the turn with a question when its run is paused; the next turn may go on with it."""
        run = await self._parts.pas.get_run(run_id)
        if run.state is not RunState.PAUSED:
            return False
        budget = await self._measure(run)
        pause = Pause(run, budget, await self._find_next_model(run, budget))
        question, pending, exit_code = ask_about(pause, turn.trace_id, following)
        await self._notebook.close(turn, TurnState.WAITING, question, exit_code=exit_code, pending=pending)
        return True

    async def _measure(self, run: RunView) -> BudgetState:
        """Return the run's budget as PEX sees it; a direct run has no estimate, its receipts speak."""
        if run.cap_microusd and not is_direct(run):
            status = await self._parts.pex.get_status(run.project_id)
            if status.budget is not None:
                return status.budget
        return measure_directly(run, await self._parts.pas.list_receipts(run.run_id))

    async def _find_next_model(self, run: RunView, budget: BudgetState) -> str:
        """Return the model that a downshift would go on with; empty when the chain ends."""
        if not run.cap_microusd:
            return ""
        lane = budget.top_lanes[0].lane if budget.top_lanes else ANSWER_LANE
        route = await self._parts.broker.get_route(lane, BudgetScope(kind=BudgetKind.RUN, id=run.run_id))
        return route.models[1].alias if len(route.models) > 1 else ""

    async def _read_left_alone(self, run: RunView) -> tuple[str, ...]:
        details: list[CardDetail] = []
        for card in run.cards:
            if card.outcome is None or card.outcome.detail is None or not card.configuration.startswith(_RENAME):
                continue
            content = await self._parts.pas.get_artifact(card.outcome.detail.sha256)
            try:
                details.append(CardDetail.model_validate_json(content))
            except ValidationError:
                LOG.warning("the detail of card %s of %s is unreadable", card.task_id, run.run_id)
        return list_left_alone(details)

    async def _read_files(self, run: RunView) -> tuple[str, ...]:
        for ref in run.artifacts:
            if ref.path == DIFF_PATH:
                return list_files(await self._parts.pas.get_artifact(ref.sha256))
        return ()


class _Quiet:
    """Nothing came within the time of a tick."""


class _Over:
    """The stream has ended."""


@asynccontextmanager
async def _pump(events: AsyncIterator[E]) -> AsyncIterator[asyncio.Queue[E | _Over | PlatformError]]:
    """Read `events` in a task of its own, so that waiting for the next one can time out without breaking the stream."""
    queue: asyncio.Queue[E | _Over | PlatformError] = asyncio.Queue()

    async def read() -> None:
        try:
            async for event in events:
                queue.put_nowait(event)
            queue.put_nowait(_Over())
        except PlatformError as error:
            queue.put_nowait(error)

    task = asyncio.create_task(read())
    try:
        yield queue
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _next(queue: asyncio.Queue[E | _Over | PlatformError], timeout_s: float) -> E | _Quiet | None:
    """Return the next event, None at the end, or `_Quiet` when nothing came in time; raise what broke the stream."""
    try:
        async with asyncio.timeout(timeout_s):
            found = await queue.get()
    except TimeoutError:
        return _Quiet()
    if isinstance(found, PlatformError):
        raise found
    return None if isinstance(found, _Over) else found
