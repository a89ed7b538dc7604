"""Work that a question waits for, but not longer than its time: then it goes on, and a later question finds it done."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import NamedTuple

from services.kernel.errors import DeadlineExceededError
from services.vector_ops.core.view import IndexView


class Opening(NamedTuple):
    """A view, what opens another one like it that has no deadline, how many files its commit has, the time left."""

    view: IndexView
    open_another: Callable[[], AbstractContextManager[IndexView]]
    files: int
    left_s: Callable[[], float]


class Preparations:
    """Runs one preparation at a time in a thread of its own; safe for many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._running: dict[str, Future[None]] = {}

    def wait_for(self, what: str, prepare: Callable[[], None], left_s: float) -> None:
        """Have `prepare` done, unless `what` is under way already, and wait for that, at most `left_s`.

        Raises DeadlineExceededError, and what `prepare` raises.
        """
        try:
            self._start(what, prepare).result(max(0.0, left_s))
        except TimeoutError:
            raise DeadlineExceededError(
                f"{what} of this repository could not be prepared within the time of a query; that goes on, ask again"
            ) from None

    def _start(self, what: str, prepare: Callable[[], None]) -> "Future[None]":
        with self._lock:
            running = self._running.get(what)
            if running is None or running.done():
                if self._pool is None:
                    self._pool = ThreadPoolExecutor(1, "prepare")
                running = self._running[what] = self._pool.submit(prepare)
            return running

    def close(self) -> None:
        """Wait for what is under way, and drop what has not begun."""
        with self._lock:
            pool, self._pool = self._pool, None
            self._running.clear()
        if pool is not None:
            pool.shutdown(cancel_futures=True)
