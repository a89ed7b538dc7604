"""Time as an injected dependency; every stored time is aware UTC, ISO-8601 with offset."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What core code may know of time."""

    def now(self) -> datetime:
        """Return the present moment, aware, in UTC."""
        ...

    def monotonic_s(self) -> float:
        """Return seconds on a clock that never goes backwards; only differences mean anything."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        return time.monotonic()


def to_iso(moment: datetime) -> str:
    """Return ISO-8601 with milliseconds and offset, e.g. `2026-11-21T02:03:04.567+00:00`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")
