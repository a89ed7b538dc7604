"""Time that moves when a test says so."""

from datetime import UTC, datetime, timedelta

START = datetime(2026, 11, 21, 2, 0, tzinfo=UTC)


class HandClock:
    """A kernel.clock.Clock that is moved by hand."""

    def __init__(self, start: datetime = START) -> None:
        self._start = start
        self._elapsed_s = 0.0

    def now(self) -> datetime:
        """Return the present moment."""
        return self._start + timedelta(seconds=self._elapsed_s)

    def monotonic_s(self) -> float:
        """Return the seconds since the start."""
        return self._elapsed_s

    def now_s(self) -> int:
        """Return whole seconds since 1970."""
        return int(self.now().timestamp())

    def advance(self, seconds: float) -> None:
        """Move on."""
        self._elapsed_s += seconds
