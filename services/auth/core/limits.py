"""A brake on guessing: a client that was refused too often within a minute waits."""

from collections import deque
from collections.abc import Hashable

from services.auth.protocol import TooManyFailuresError
from services.kernel.clock import Clock

MAX_FAILURES = 20
WINDOW_S = 60
MAX_CLIENTS = 1024


class FailureLimiter:
    """Counts failures per client over the last WINDOW_S seconds; successes cost nothing."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: dict[Hashable, deque[float]] = {}

    def check(self, client: Hashable) -> None:
        """Raise TooManyFailuresError while `client` has failed MAX_FAILURES times in the window."""
        failures = self._failures.get(client, deque())
        self._forget_old(failures)
        if len(failures) >= MAX_FAILURES:
            wait_s = WINDOW_S - (self._clock.monotonic_s() - failures[0])
            raise TooManyFailuresError(f"{MAX_FAILURES} refused attempts within {WINDOW_S} s; wait {wait_s:.0f} s")

    def record_failure(self, client: Hashable) -> None:
        """Count one refused attempt."""
        failures = self._failures.pop(client, deque())  # put back last: the first in the dict is the stalest
        self._forget_old(failures)
        failures.append(self._clock.monotonic_s())
        self._failures[client] = failures
        if len(self._failures) > MAX_CLIENTS:
            del self._failures[next(iter(self._failures))]

    def _forget_old(self, failures: deque[float]) -> None:
        now = self._clock.monotonic_s()
        while failures and now - failures[0] >= WINDOW_S:
            failures.popleft()
