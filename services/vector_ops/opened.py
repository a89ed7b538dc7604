"""One repository, opened: its source, its truth, and everything that is derived from them and brought level on use."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from services.kernel.clock import Clock
from services.vector_ops.core.view import IndexView
from services.vector_ops.languages.catalogue import language_name, load_language
from services.vector_ops.models import IndexAnswer, Stamp
from services.vector_ops.preparing import Opening
from services.vector_ops.protocol import IndexBusyError, IndexUnwritableError
from services.vector_ops.source.heads import Head
from services.vector_ops.source.overlay import WorktreeState
from services.vector_ops.source.repository import BlobMissingError, GitSource
from services.vector_ops.source.worktree import Worktree
from services.vector_ops.truth.ports import Applied

if TYPE_CHECKING:
    from services.vector_ops.core.answering import Reading
    from services.vector_ops.derived import Derived, Notes
    from services.vector_ops.truth.store import TruthStore

_ATTEMPTS = 5
_SKETCHED_FILES = 50
"""A repository of fewer files is indexed at once: a sketch of its map would save a third of a second."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a writer waits for the lock of an index, and how long a query may take."""

    lock_wait_s: float = 10.0
    query_budget_s: float = 10.0


class OpenIndex:
    """The index of one repository; safe for several threads. Questions to one repository wait for each other."""

    def __init__(
        self, root: Path, path: Path, clock: Clock, derive: "Callable[[], Derived]", patience: Patience | None = None
    ) -> None:
        """Keep the index of the repository at `root` in the file `path`; `derive` is called at the first question."""
        self.root = root
        self._clock = clock
        self._patience = patience or Patience()
        self._source = GitSource(str(root))
        self._worktree = Worktree(self._source)
        self._path = path
        self._stored: TruthStore | None = None
        self._derive = derive
        self._derived: Derived | None = None
        self._opening = threading.Lock()
        self._reading = threading.Lock()
        self._tending = threading.Lock()
        self._tended = ""
        self._is_closed = False
        self._is_awaited = False
        self._said: tuple[str, ...] = ()

    @property
    def _truth(self) -> "TruthStore":
        with self._opening:
            if self._stored is None:
                # A first map is drawn without it, and so without numpy.
                from services.vector_ops.truth.store import TruthStore  # noqa: PLC0415

                self._stored = TruthStore(self._path, load_language, language_name, now=self._clock.now)
            return self._stored

    def _open_derived(self) -> "Derived":
        with self._opening:
            if self._derived is None:
                self._derived = self._derive()
            return self._derived

    def is_current(self) -> bool:
        """Return whether the path still is the repository that was opened."""
        return self._source.is_current()

    def close(self) -> None:
        """Close everything; waits for the slice of work that is under way."""
        self._is_closed = True
        with self._tending, self._reading:
            self._worktree.close()
            for part in (self._derived, self._stored):
                if part is not None:
                    part.close()
            self._source.close()

    def refresh(self, is_stopping: Callable[[], bool]) -> Applied:
        """Bring the truth level with HEAD; raises UnindexableError, IndexBusyError, IndexUnwritableError."""
        source = GitSource(str(self.root))  # the other one belongs to the questions' thread
        try:
            return self._apply(source, is_stopping)
        finally:
            source.close()

    def _apply(self, source: GitSource, is_stopping: Callable[[], bool]) -> Applied:
        try:
            return self._truth.refresh(source, wait_s=self._patience.lock_wait_s, is_stopping=is_stopping)
        except IndexUnwritableError:
            if self._truth.peek_state() is not None:
                raise
            # A damaged file was set aside: build a new one.
            return self._truth.refresh(source, wait_s=self._patience.lock_wait_s, is_stopping=is_stopping)

    def level(self, is_stopping: Callable[[], bool]) -> None:
        """Refresh when HEAD has moved; an index that cannot be written now answers as it is, as its stamp says."""
        with self._reading:
            head = self._source.read_head()
        state = self._truth.peek_state()
        if state is not None and state.commit_sha == head.commit_sha:
            return
        try:
            self._said += self.refresh(is_stopping).notes
        except (IndexBusyError, IndexUnwritableError) as error:
            if state is None:
                raise
            if isinstance(error, IndexUnwritableError):
                self._said += (error.detail,)

    def sketch_map(self, budget_tokens: int) -> IndexAnswer | None:
        """Return a map by names alone while a large repository has no index; None when the index can answer.

        Raises UnindexableError. The index is built by `tend`, behind the queries.
        """
        if self._path.exists() and self._truth.peek_state() is not None:
            return None
        # Only a first map needs it; a refresh from cron does not.
        from services.vector_ops.answers.sketching import list_sketchable, sketch_map  # noqa: PLC0415

        left_s = partial(self._count_left, self._clock.monotonic_s() + self._patience.query_budget_s)
        with self._wait_for_turn():
            head = self._source.read_head()
            blobs = self._source.list_blobs(head.commit_sha)
            if len(blobs) < _SKETCHED_FILES:
                return None
            work = self._worktree.read(head.commit_sha)
            gone = {path for path, content in work.overlay.items() if content is None}
            paths = list_sketchable(sorted((blobs.keys() | work.overlay.keys()) - gone))

            def read_file(path: str) -> bytes:
                content = work.overlay.get(path)  # an empty file is one, too
                if content is not None:
                    return content
                try:
                    return self._source.read_blob(blobs[path])
                except BlobMissingError:  # a partial clone
                    return b""

            text, hits, is_cut = sketch_map(paths, read_file, budget_tokens, left_s)
        self._is_awaited = True
        stamp = Stamp(
            indexed_commit=head.commit_sha,
            head_commit=head.commit_sha,
            dirty_paths=tuple(sorted(work.overlay)),
            lag_s=0.0,
            is_fresh=True,
            warnings=("drawn by names alone, for there is no index yet; ask again for a map by what uses what",),
        )
        return IndexAnswer(hits=tuple(hits), stamp=stamp, is_truncated=is_cut or work.is_cut, text=text)

    @contextmanager
    def read(self, *, with_lag: bool = False) -> "Iterator[tuple[Reading, Callable[[], Stamp]]]":
        """Open one consistent reading, and what makes the stamp of its answer at the end.

        With `with_lag` the stamp says how far vectors and history are behind though nothing was asked of them.
        """
        with self._wait_for_turn(), self._view() as (opening, work):
            reading, note = self._open_derived().open_reading(opening, is_cut=work.is_cut, with_lag=with_lag)
            yield reading, lambda: self._stamp(work, note())

    @contextmanager
    def _wait_for_turn(self) -> Iterator[None]:
        budget_s = self._patience.query_budget_s
        if not self._reading.acquire(timeout=budget_s):
            raise IndexBusyError(f"other questions about this repository took longer than {budget_s:g} s; ask again")
        try:
            yield
        finally:
            self._reading.release()

    @contextmanager
    def _view(self) -> Iterator[tuple[Opening, WorktreeState]]:
        for _attempt in range(_ATTEMPTS):
            state = self._truth.peek_state()
            if state is None:
                raise IndexUnwritableError("there is no index yet; ask again")
            work = self._worktree.read(state.commit_sha)
            budget_s = self._patience.query_budget_s
            left_s = partial(self._count_left, self._clock.monotonic_s() + budget_s)
            with self._truth.view(work.overlay, self._source.read_blob, budget_s=budget_s) as view:
                # Another process may have moved the index on since it was looked at.
                if view.commit_sha == work.base_sha:
                    open_another = partial(self._open_another, work.overlay)
                    yield Opening(view, open_another, state.totals.files, left_s), work
                    return
        raise IndexBusyError("the index moves on faster than it can be read; ask again")

    def _count_left(self, deadline_s: float) -> float:
        return deadline_s - self._clock.monotonic_s()

    @contextmanager
    def _open_another(self, overlay: Mapping[str, bytes | None]) -> Iterator[IndexView]:
        source = GitSource(str(self.root))  # the other one belongs to the questions' thread
        try:
            with self._truth.view(overlay, source.read_blob) as view:
                yield view
        finally:
            source.close()

    def _stamp(self, work: WorktreeState, notes: "Notes") -> Stamp:
        head: Head = work.head
        said, self._said = self._said, ()  # told once: what happened to the index file
        is_fresh = work.base_sha == head.commit_sha
        moved_s = 0.0 if is_fresh else max(0.0, (self._clock.now() - head.moved_at).total_seconds())
        return Stamp(
            indexed_commit=work.base_sha,
            head_commit=head.commit_sha,
            dirty_paths=tuple(sorted(work.overlay)),
            lag_s=moved_s,
            is_fresh=is_fresh,
            dense_pending=notes.dense_pending,
            history_commit=notes.history_commit,
            warnings=(*said, *notes.warnings),
        )

    def needs_tending(self) -> bool:
        """Return whether there is work behind the queries that has not been done for this commit, or not held."""
        state = self._truth.peek_state()
        is_due = self._is_awaited if state is None else state.commit_sha != self._tended
        is_due = is_due or (self._derived is not None and self._derived.is_copy_doubted())
        return not self._is_closed and is_due

    def tend(self, is_stopping: Callable[[], bool]) -> Mapping[str, str]:
        """Do the work behind the queries: history, vectors, the graph store. Return what could not be done, by part.

        One thread at a time; another one returns at once. Done in slices, so that closing waits for one of them.
        """
        if not self._tending.acquire(blocking=False):
            return {}
        try:
            return self._tend(lambda: is_stopping() or self._is_closed)
        finally:
            self._tending.release()

    def _tend(self, is_stopping: Callable[[], bool]) -> dict[str, str]:
        source = GitSource(str(self.root))
        worktree = Worktree(source, is_watched=False)
        faults: dict[str, str] = {}
        try:
            state = self._truth.peek_state()
            if state is None and self._is_awaited:
                state = self.refresh(is_stopping).state
            if state is None:
                return faults
            derived = self._open_derived()
            derived.mine(source, state.commit_sha, is_stopping, faults)
            work = worktree.read(state.commit_sha)
            with self._truth.view(work.overlay, source.read_blob) as view:
                derived.embed(view, is_stopping, faults)
            if derived.mirror is not None:
                with self._truth.view({}, source.read_blob) as view:
                    derived.copy(view, faults)
            if not faults and not is_stopping():
                self._tended = state.commit_sha
        finally:
            worktree.close()
            source.close()
        return faults
