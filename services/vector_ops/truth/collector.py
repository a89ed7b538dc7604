"""The cycle collector while many facts are made: it would walk over all of them again and again."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_EVERY = 32


@contextmanager
def paused_collector() -> Iterator[None]:
    """Pause the collector; whoever pauses it calls `free_cycles` as it goes."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def free_cycles(number: int) -> None:
    """Free the cycles that reading files left, every few files; each survivor is walked over once."""
    if number % _EVERY == _EVERY - 1:
        gc.collect(0)
