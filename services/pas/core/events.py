"""Wakes everybody who waits for something to happen in a run, without polling the database often."""

import asyncio
from collections.abc import AsyncIterator

from services.kernel.ids import RunId
from services.kernel.vocabulary import RUN_TRANSITIONS, is_final
from services.pas.core.ports import Store
from services.pas.models import RunEvent
from services.pas.protocol import RunNotFoundError

POLL_S = 1.0
"""Another process may write events too; so waiting never lasts longer than this."""


class Bell:
    """Rung after each commit, on the event loop's thread; one per process.

    Take `listen()` before reading the database and wait on what it gave: a ring in between is then never missed.
    """

    def __init__(self) -> None:
        self._next = asyncio.Event()
        self._is_closed = False

    @property
    def is_closed(self) -> bool:
        """Whether the server is shutting down."""
        return self._is_closed

    def listen(self) -> asyncio.Event:
        """Return the event that the next ring sets."""
        return self._next

    def ring(self) -> None:
        """Wake all waiters."""
        rung, self._next = self._next, asyncio.Event()
        rung.set()

    def close(self) -> None:
        """End all streams for good: the server shuts down."""
        self._is_closed = True
        self.ring()

    async def wait(self, heard: asyncio.Event, timeout_s: float = POLL_S) -> None:
        """Return when `heard` was rung, or after `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                await heard.wait()
        except TimeoutError:
            return


async def watch_events(store: Store, bell: Bell, run_id: RunId, after_seq: int) -> AsyncIterator[RunEvent]:
    """Yield the events after `after_seq` in order, live, until the run has ended or the server shuts down."""
    seen = after_seq
    while not bell.is_closed:
        heard = bell.listen()
        run = await store.read_run(run_id)
        if run is None:
            raise RunNotFoundError(f"no run {run_id}")
        events = await store.read_events(run_id, seen)
        for event in events:
            seen = event.seq
            yield event
        # The state was read before the events: a run seen as ended has no event that was not read.
        if is_final(RUN_TRANSITIONS, run.state):
            return
        if not events:
            await bell.wait(heard)
