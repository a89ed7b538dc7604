"""Wakes watchers in this process when something was kept; a poll covers writers in other processes."""

import asyncio

POLL_S = 1.0


class Bell:
    """Anybody may wait; a ring wakes all who wait."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Wake all who wait now."""
        self._rung.set()
        self._rung = asyncio.Event()

    def listen(self) -> asyncio.Event:
        """Return what the next ring will set; take it before you read, so that no ring is missed."""
        return self._rung


async def wait_for_ring(rung: asyncio.Event, timeout_s: float = POLL_S) -> None:
    """Return when `rung` is set or after `timeout_s`."""
    try:
        async with asyncio.timeout(timeout_s):
            await rung.wait()
    except TimeoutError:
        return
