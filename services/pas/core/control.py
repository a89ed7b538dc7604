"""Gates, lane slots and cancel signals of the cards that run in this process."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from enum import StrEnum

from services.kernel.clock import Clock, to_iso
from services.kernel.ids import RunId, TaskId
from services.kernel.vocabulary import TASK_TRANSITIONS, Lane, TaskState, is_final
from services.pas.core.events import Bell
from services.pas.core.limits import stop_over_time
from services.pas.core.ports import Store
from services.pas.core.records import CardRecord, Controls

HEARTBEAT_S = 1.0


class Admission(StrEnum):
    """Whether a card may start."""

    GO = "go"
    WAIT = "wait"
    SKIP = "skip"
    CANCEL = "cancel"


class LaneSlots:
    """At most `max_parallel` cards of a lane run at once in this process (one process embedded)."""

    def __init__(self, max_parallel: Mapping[Lane, int]) -> None:
        self._max_parallel = dict(max_parallel)
        self._slots: dict[Lane, asyncio.Semaphore] = {}

    def limit_of(self, lane: Lane) -> int:
        """Return how many cards may run at once."""
        return self._max_parallel[lane]

    def slot(self, lane: Lane) -> asyncio.Semaphore:
        """Return the lane's semaphore, made inside the running loop."""
        return self._slots.setdefault(lane, asyncio.Semaphore(self._max_parallel[lane]))


class Seat:
    """A running card's place among those of its lane; given back while its run is paused."""

    def __init__(self, slot: asyncio.Semaphore) -> None:
        self._slot = slot
        self._is_held = False

    async def take(self) -> None:
        """Wait for the place."""
        await self._slot.acquire()
        self._is_held = True

    def leave(self) -> None:
        """Give the place back, once."""
        if self._is_held:
            self._is_held = False
            self._slot.release()


def judge(card: CardRecord, cards: Mapping[TaskId, CardRecord], controls: Controls) -> Admission:
    """Return whether the card may start now, given its dependencies and what people asked for."""
    task_id = card.card.task_id
    if controls.is_terminated or task_id in controls.cancelled:
        return Admission.CANCEL
    states = [cards[dep].state for dep in card.card.deps]
    if any(state in {TaskState.FAILED, TaskState.SKIPPED, TaskState.CANCELLED} for state in states):
        return Admission.SKIP
    if any(not is_final(TASK_TRANSITIONS, state) for state in states) or controls.is_paused:
        return Admission.WAIT
    return Admission.GO


class Gatekeeper:
    """Waits until a card may start, and tells a running one to stop."""

    def __init__(self, store: Store, bell: Bell, slots: LaneSlots, clock: Clock) -> None:
        self._store = store
        self._bell = bell
        self._slots = slots
        self._clock = clock
        self._seats: dict[tuple[RunId, TaskId], Seat] = {}

    @asynccontextmanager
    async def admit(self, run_id: RunId, card: CardRecord) -> AsyncIterator[Admission]:
        """Yield GO while holding a slot of the card's lane; or SKIP or CANCEL, without one."""
        while True:
            decision = await self._await_decision(run_id, card)
            if decision is not Admission.GO:
                yield decision
                return
            async with self._seated(run_id, card):
                # The gate may have closed while the card stood in the queue; a paused run must not hold a slot.
                if await self._judge_now(run_id, card) is Admission.GO:
                    yield Admission.GO
                    return

    @asynccontextmanager
    async def _seated(self, run_id: RunId, card: CardRecord) -> AsyncIterator[None]:
        key = (run_id, card.card.task_id)
        seat = self._seats[key] = Seat(self._slots.slot(card.card.lane))
        try:
            await seat.take()
            yield
        finally:
            seat.leave()
            self._seats.pop(key, None)

    async def stand_aside(self, run_id: RunId, task_id: TaskId) -> Controls:
        """Return the controls once a running card may go on or must stop; while its run is paused, others may work."""
        seat = self._seats.get((run_id, task_id))
        if seat is not None:
            seat.leave()
        while True:
            heard = self._bell.listen()
            controls = await self._store.read_controls(run_id)
            if controls.is_terminated or task_id in controls.cancelled:
                return controls
            if not controls.is_paused:
                break
            await self._wait(heard)
        if seat is not None:
            await seat.take()
        return await self._store.read_controls(run_id)

    async def _await_decision(self, run_id: RunId, card: CardRecord) -> Admission:
        while True:
            heard = self._bell.listen()
            decision = await self._judge_now(run_id, card)
            if decision is not Admission.WAIT and not self._bell.is_closed:
                return decision
            await self._wait(heard)

    async def _judge_now(self, run_id: RunId, card: CardRecord) -> Admission:
        cards = {record.card.task_id: record for record in await self._store.read_cards(run_id)}
        controls = await self._store.read_controls(run_id)
        decision = judge(card, cards, controls)
        if decision is Admission.GO and await stop_over_time(self._store, self._clock, run_id, controls):
            self._bell.ring()
            return Admission.WAIT
        return decision

    async def await_open_gate(self, run_id: RunId) -> Controls:
        """Return the controls once the run is not paused, or is terminated."""
        while True:
            heard = self._bell.listen()
            controls = await self._store.read_controls(run_id)
            if controls.is_terminated or not controls.is_paused:
                return controls
            await self._wait(heard)

    async def _wait(self, heard: asyncio.Event) -> None:
        if self._bell.is_closed:  # the server drains: whoever waits here is started again after the next start
            await asyncio.Event().wait()
        await self._bell.wait(heard)

    @asynccontextmanager
    async def watch(self, run_id: RunId, task_id: TaskId | None) -> AsyncIterator[asyncio.Event]:
        """Yield an event that is set when the run is terminated or the card cancelled; beats while the block runs."""
        cancel = asyncio.Event()
        watcher = asyncio.create_task(self._follow(run_id, task_id, cancel))
        try:
            yield cancel
        finally:
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)

    async def _follow(self, run_id: RunId, task_id: TaskId | None, cancel: asyncio.Event) -> None:
        last_beat_s = float("-inf")
        while True:
            heard = self._bell.listen()
            controls = await self._store.read_controls(run_id)
            if controls.is_terminated or (task_id is not None and task_id in controls.cancelled):
                cancel.set()
            if task_id is not None and self._clock.monotonic_s() - last_beat_s >= HEARTBEAT_S:
                last_beat_s = self._clock.monotonic_s()
                await self._store.beat(run_id, task_id, to_iso(self._clock.now()))
            await self._bell.wait(heard, HEARTBEAT_S)
