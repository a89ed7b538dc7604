"""Vector-Ops: authorisation, freshness, stamps; the blocking work runs in threads, off the event loop."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

from services.kernel.caller import Caller
from services.kernel.clock import Clock
from services.kernel.errors import PlatformError
from services.kernel.vocabulary import Scope
from services.vector_ops.models import (
    CypherAnswer,
    CypherQuery,
    IndexAnswer,
    IndexQuery,
    IndexSnapshot,
    QueryKind,
    RefreshReport,
    RefreshRequest,
    Stamp,
)
from services.vector_ops.truth.collector import paused_collector
from services.vector_ops.truth.ports import Applied

if TYPE_CHECKING:
    from services.vector_ops.core.answering import Reading

LOG = logging.getLogger("direng.vector_ops")
MAX_THREADS = 3
"""Queries wait for a first indexing of their repository; they must not take all threads that the services share."""
_POLL_S = 0.25
"""How often a follower of freshness looks: reading HEAD costs less than a tenth of a millisecond."""


class Index(Protocol):
    """The index of one repository."""

    def refresh(self, is_stopping: Callable[[], bool]) -> Applied: ...
    def level(self, is_stopping: Callable[[], bool]) -> None: ...
    def sketch_map(self, budget_tokens: int) -> IndexAnswer | None: ...
    def read(self, *, with_lag: bool = False) -> AbstractContextManager[tuple["Reading", Callable[[], Stamp]]]: ...
    def needs_tending(self) -> bool: ...
    def tend(self, is_stopping: Callable[[], bool]) -> Mapping[str, str]: ...


class VectorOpsService:
    """The code index of any number of repositories; satisfies `VectorOps`."""

    def __init__(
        self,
        *,
        open_index: Callable[[str], Index],
        ask_graph: Callable[[CypherQuery], CypherAnswer],
        clock: Clock,
        schema_version: int,
    ) -> None:
        self._open = open_index
        self._ask_graph = ask_graph
        self._clock = clock
        self._schema_version = schema_version
        # A plain flag, not an Event: close() is called from signal handlers, which must take no lock.
        self._is_stopping = False
        self._slots = asyncio.Semaphore(MAX_THREADS)
        self._tending: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        """Stop indexing between two files; the transaction is rolled back and nothing is lost."""
        self._is_stopping = True

    def is_stopping(self) -> bool:
        """Return whether `close` was called."""
        return self._is_stopping

    async def refresh(self, caller: Caller, request: RefreshRequest) -> RefreshReport:
        caller.require(Scope.INDEX_REFRESH)
        async with self._slots:
            report = await asyncio.to_thread(self.refresh_now, request.repo)
        self._tend_later(request.repo)
        return report

    async def query(self, caller: Caller, query: IndexQuery) -> IndexAnswer:
        caller.require(Scope.INDEX_READ)
        async with self._slots:
            found = await asyncio.to_thread(self.query_now, query)
        self._tend_later(query.repo)
        return found

    async def snapshot(self, caller: Caller, repo: str) -> IndexSnapshot:
        caller.require(Scope.INDEX_READ)
        async with self._slots:
            return await asyncio.to_thread(self._snapshot, repo)

    async def cypher(self, caller: Caller, query: CypherQuery) -> CypherAnswer:
        caller.require(Scope.INDEX_READ)
        async with self._slots:
            return await asyncio.to_thread(self._ask_graph, query)

    async def follow(self, caller: Caller, repo: str) -> AsyncIterator[IndexSnapshot]:
        caller.require(Scope.INDEX_READ)
        last: tuple[object, ...] = ()
        while not self._is_stopping:
            async with self._slots:
                snapshot = await asyncio.to_thread(self._snapshot, repo)
            stamp = snapshot.stamp
            now = (stamp.head_commit, stamp.indexed_commit, stamp.dirty_paths, stamp.dense_pending, stamp.warnings)
            if now != last:
                last = now
                yield snapshot
                self._tend_later(repo)
            await asyncio.sleep(_POLL_S)

    def refresh_now(self, repo: str) -> RefreshReport:
        """Refresh in the present thread (the daemon has no event loop)."""
        started_s = self._clock.monotonic_s()
        applied = self._open(repo).refresh(self.is_stopping)
        return RefreshReport(
            outcome=applied.outcome,
            commit_sha=applied.state.commit_sha,
            commit_time=applied.state.commit_time.isoformat(),
            files_parsed=applied.files_parsed,
            files_total=applied.state.totals.files,
            symbols_total=applied.state.totals.symbols,
            duration_s=self._clock.monotonic_s() - started_s,
            note="; ".join(applied.notes),
        )

    def query_now(self, query: IndexQuery) -> IndexAnswer:
        """Answer in the present thread."""
        index = self._open(query.repo)
        if query.kind is QueryKind.REPO_MAP and not query.text:
            sketch = index.sketch_map(query.budget_tokens)
            if sketch is not None:
                is_cut = sketch.is_truncated or len(sketch.hits) > query.limit
                return sketch.model_copy(update={"hits": sketch.hits[: query.limit], "is_truncated": is_cut})
        from services.vector_ops.core.answering import answer  # noqa: PLC0415 - needs numpy, which an idle server spares

        index.level(self.is_stopping)
        # An answer makes thousands of objects that live for a moment; counted as if they stayed, they would have the
        # collector walk over all indexes of the process every few dozen answers, and one of them wait for that.
        with paused_collector(), index.read() as (reading, stamp):
            found = answer(reading, query)
            return IndexAnswer(
                hits=tuple(found.hits),
                stamp=stamp(),
                is_truncated=found.is_truncated or reading.is_cut,
                text=found.text,
            )

    def tend_now(self, repo: str) -> Mapping[str, str]:
        """Do in the present thread what would be done behind the queries; return what could not be, by part."""
        return self._open(repo).tend(self.is_stopping)

    def _tend_later(self, repo: str) -> None:
        if self._is_stopping or self._tending:
            return
        task = asyncio.create_task(self._tend(repo))
        self._tending.add(task)
        task.add_done_callback(self._tending.discard)

    async def _tend(self, repo: str) -> None:
        try:
            await asyncio.to_thread(self._tend_when_needed, repo)
        except PlatformError as error:
            LOG.warning("the work behind the queries of %s was not done: %s", repo, error.detail)

    def _tend_when_needed(self, repo: str) -> None:
        index = self._open(repo)
        faults = index.tend(self.is_stopping) if index.needs_tending() else {}
        for part, fault in faults.items():
            LOG.warning("%s of %s: %s", part, repo, fault)

    def _snapshot(self, repo: str) -> IndexSnapshot:
        index = self._open(repo)
        index.level(self.is_stopping)
        with index.read(with_lag=True) as (reading, stamp):
            files, symbols, edges = reading.view.count()
            return IndexSnapshot(
                stamp=stamp(), files=files, symbols=symbols, references=edges, schema_version=self._schema_version
            )
