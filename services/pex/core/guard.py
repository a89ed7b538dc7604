"""The budget guard: looks at a running delegation as PAS tells of it, pauses it above the threshold, tells the facts.

What it decided is kept before it acts, so a killed server neither pauses twice for the same reason nor forgets to tell.
"""

import logging

from services.kernel.clock import Clock
from services.kernel.errors import ConflictError, PlatformError
from services.kernel.ids import DelegationId, RunId
from services.kernel.vocabulary import Lane, RunState
from services.pas.models import EventKind, RunEvent, RunView
from services.pex.calls.pas import PasEdge
from services.pex.core.bounds import find_cost_bound
from services.pex.core.budget import PREFIX, Books, explain_breach, find_breach, list_options, measure, tell_budget
from services.pex.core.cards import needs_model
from services.pex.core.journal import Journal
from services.pex.core.planning import find_model
from services.pex.core.ports import EventDraft, Record
from services.pex.models import BudgetState, Delegation

LOG = logging.getLogger("direng.pex")
LOOK_EVERY_S = 0.5
"""Receipts of model calls may come faster than this; cards and states are looked at as they come."""
_AT_ONCE = frozenset({EventKind.CARD_STATE, EventKind.RUN_STATE, EventKind.BUDGET})
_MONEY = frozenset({EventKind.RECEIPT, EventKind.AGENT})


class Guard:
    """Watches the spend of the delegations that this process follows."""

    def __init__(self, journal: Journal, pas: PasEdge, clock: Clock) -> None:
        self._journal = journal
        self._pas = pas
        self._clock = clock
        self._looked_s: dict[DelegationId, float] = {}
        self._told: set[RunId] = set()

    async def look(self, record: Record, event: RunEvent) -> tuple[EventDraft, ...]:
        """Look at the run behind an event of it; return the facts to tell before the event when it has been paused."""
        delegation = record.delegation
        if not _spends(delegation) or not self._is_due(delegation.delegation_id, event):
            return ()
        run = await self._pas.get_run(event.run_id)
        if run.state is RunState.PAUSED:
            # Told before whatever event showed it: who follows may stop listening at the first sight of a pause.
            return await self._tell_pause(record, run)
        self._told.discard(run.run_id)
        if run.state is RunState.EXECUTING:
            await self._pause_when_over(record, run)
        return ()

    async def measure(self, record: Record, run: RunView) -> BudgetState | None:
        """Return the state of a run's budget, with what can be done about it while it is paused."""
        if record.delegation.estimate is None:
            return None
        books = await self._open(record, run)
        state = measure(books)
        if run.state is not RunState.PAUSED:
            return state
        return await self._add_options(books, state)

    async def _open(self, record: Record, run: RunView) -> Books:
        estimate = record.delegation.estimate
        assert estimate is not None  # noqa: S101 - both callers have looked
        return Books(
            estimate=estimate,
            run=run,
            receipts=await self._pas.list_receipts(run.run_id),
            bound_microusd=find_cost_bound(estimate, record.max_cost_microusd),
            now=self._clock.now(),
        )

    async def _add_options(self, books: Books, state: BudgetState) -> BudgetState:
        lane = state.top_lanes[0].lane if state.top_lanes else Lane.CODE_IMPL
        chain = await self._find_chain(lane) if books.is_money else ()
        # PAS itself stopped the run at its cap when the guard did not: under the same cap it would stop again at once.
        is_cap_reached = books.is_money and not books.run.reason.startswith(PREFIX) and _names_cap(books.run)
        return state.model_copy(update={"options": list_options(state, chain, is_cap_reached=is_cap_reached)})

    async def _find_chain(self, lane: Lane) -> tuple[str, ...]:
        """Return the lane's models in order; a policy that cannot be read now must not break what follows the run."""
        try:
            return find_model(await self._pas.list_lane_models(), lane).chain
        except PlatformError as error:
            LOG.warning("the models of lane %s are not known: %s", lane, error.detail)
            return ()

    async def _pause_when_over(self, record: Record, run: RunView) -> None:
        books = await self._open(record, run)
        fresh = await self._journal.read(record.delegation.delegation_id)
        state = measure(books)
        mark = find_breach(books, state, fresh.guard_mark)
        if mark is None:
            return
        state = await self._add_options(books, state)
        reason = explain_breach(state)
        LOG.warning("pausing run %s: %s", run.run_id, reason)
        facts = EventDraft(10, "budget", tell_budget(state, reason))
        await self._journal.mark(record.delegation.delegation_id, mark, facts)
        await self._pause(run.run_id, reason)

    async def _pause(self, run_id: RunId, reason: str) -> None:
        try:
            await self._pas.pause_run(run_id, reason)
        except ConflictError as error:
            LOG.info("run %s was not paused: %s", run_id, error.detail)  # it ended, or was stopped, this very moment

    async def _tell_pause(self, record: Record, run: RunView) -> tuple[EventDraft, ...]:
        if run.run_id in self._told or run.reason.startswith(PREFIX):
            return ()  # its own pauses were told before they were made
        self._told.add(run.run_id)
        state = await self.measure(record, run)
        return () if state is None else (EventDraft(10, "budget", tell_budget(state, run.reason or "by hand")),)

    def _is_due(self, delegation_id: DelegationId, event: RunEvent) -> bool:
        if event.kind in _AT_ONCE:
            return True
        now_s = self._clock.monotonic_s()
        if event.kind not in _MONEY or now_s - self._looked_s.get(delegation_id, float("-inf")) < LOOK_EVERY_S:
            return False
        self._looked_s[delegation_id] = now_s
        return True


def _spends(delegation: Delegation) -> bool:
    plan, estimate = delegation.plan, delegation.estimate
    return plan is not None and estimate is not None and any(needs_model(card) for card in plan.cards)


def _names_cap(run: RunView) -> bool:
    return "cap" in run.reason or "budget" in run.reason
