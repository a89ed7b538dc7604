"""Vector-Ops: authorisation, freshness, stamps; the blocking work runs in threads, off the event loop."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from services.kernel.caller import Caller
from services.kernel.clock import Clock
from services.kernel.db import in_thread
from services.kernel.vocabulary import Scope
from services.vector_ops.core.answers import View, answer
from services.vector_ops.core.indexing import Indexer
from services.vector_ops.core.ports import Extract, Head, IndexState, Reader, Source, Store
from services.vector_ops.models import (
    IndexAnswer,
    IndexQuery,
    IndexSnapshot,
    RefreshReport,
    RefreshRequest,
    Stamp,
)
from services.vector_ops.protocol import IndexBusyError, IndexUnwritableError

MAX_THREADS = 3
"""Queries wait for a first indexing of their repository; they must not take all threads that the services share."""


@dataclass(frozen=True, slots=True)
class Opened:
    """One repository and its index."""

    source: Source
    store: Store


class VectorOpsService:
    """The code index of any number of repositories; satisfies `VectorOps`."""

    def __init__(
        self,
        *,
        open_repository: Callable[[str], Opened],
        extract: Extract,
        clock: Clock,
        schema_version: int,
        lock_wait_s: float,
    ) -> None:
        self._open = open_repository
        self._clock = clock
        self._schema_version = schema_version
        # A plain flag, not an Event: close() is called from signal handlers, which must take no lock.
        self._is_stopping = False
        self._slots = asyncio.Semaphore(MAX_THREADS)
        self._indexer = Indexer(extract, clock, lambda: self._is_stopping, lock_wait_s)

    def close(self) -> None:
        """Stop indexing between two files; the transaction is rolled back and nothing is lost."""
        self._is_stopping = True

    async def refresh(self, caller: Caller, request: RefreshRequest) -> RefreshReport:
        caller.require(Scope.INDEX_REFRESH)
        async with self._slots:
            return await in_thread(self.refresh_now, request.repo)

    async def query(self, caller: Caller, query: IndexQuery) -> IndexAnswer:
        caller.require(Scope.INDEX_READ)
        async with self._slots:
            return await in_thread(self._query, query)

    async def snapshot(self, caller: Caller, repo: str) -> IndexSnapshot:
        caller.require(Scope.INDEX_READ)
        async with self._slots:
            return await in_thread(self._snapshot, repo)

    def refresh_now(self, repo: str) -> RefreshReport:
        """Refresh in the present thread (the daemon has no event loop)."""
        opened = self._open(repo)
        return self._refresh(opened)

    def _refresh(self, opened: Opened) -> RefreshReport:
        try:
            return self._indexer.refresh(opened.source, opened.store)
        except IndexUnwritableError:
            if not opened.store.notes:
                raise
            return self._indexer.refresh(opened.source, opened.store)  # a damaged file was set aside: build a new one

    def _query(self, query: IndexQuery) -> IndexAnswer:
        opened = self._open(query.repo)
        with self._view(opened) as (view, stamp):
            hits, is_truncated = answer(view, query)
        return IndexAnswer(hits=tuple(hits), stamp=stamp, is_truncated=is_truncated or view.is_cut)

    def _snapshot(self, repo: str) -> IndexSnapshot:
        opened = self._open(repo)
        with self._view(opened) as (view, stamp):
            totals = view.reader.count()
        return IndexSnapshot(
            stamp=stamp,
            files=totals.files,
            symbols=totals.symbols,
            references=totals.references,
            schema_version=self._schema_version,
        )

    @contextmanager
    def _view(self, opened: Opened) -> Iterator[tuple[View, Stamp]]:
        """Open a view level with HEAD; one behind it, and stamped so, while another process writes the index."""
        self._level(opened)
        dirty, is_cut = opened.source.list_dirty()
        overlay = {file.path: file.content for file in dirty}
        with opened.store.read(overlay) as reader:
            yield (
                View(reader, opened.source, overlay, is_cut),
                self._stamp(reader, opened.source.read_head(), tuple(overlay)),
            )

    def _level(self, opened: Opened) -> None:
        state = opened.store.peek_state()
        head = opened.source.read_head()
        if state is not None and state.commit_sha == head.commit_sha:
            return
        try:
            self._refresh(opened)
        except IndexBusyError:
            if state is None:
                raise

    def _stamp(self, reader: Reader, head: Head, dirty: tuple[str, ...]) -> Stamp:
        state: IndexState | None = reader.read_state()
        indexed = state.commit_sha if state is not None else ""
        is_fresh = indexed == head.commit_sha
        lag_s = 0.0 if is_fresh else max(0.0, (self._clock.now() - head.moved_at).total_seconds())
        return Stamp(
            indexed_commit=indexed,
            head_commit=head.commit_sha,
            dirty_paths=dirty,
            lag_s=lag_s,
            is_fresh=is_fresh,
        )
