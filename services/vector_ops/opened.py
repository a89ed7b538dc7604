"""One repository, opened: its source, its truth, and everything that is derived from them and brought level on use."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from services.kernel.clock import Clock
from services.vector_ops.answers.file_graph import FileGraph, make_file_graph
from services.vector_ops.answers.mapping import UseCounts
from services.vector_ops.answers.places import Lines
from services.vector_ops.answers.sketching import list_sketchable, sketch_map
from services.vector_ops.core.answering import Reading
from services.vector_ops.core.view import IndexView
from services.vector_ops.graph.local import ViewGraph
from services.vector_ops.graph.mirror import FallbackGraph, Mirror
from services.vector_ops.graph.neo4j_store import GraphStoreAwayError, Neo4jGraph
from services.vector_ops.history.history import History
from services.vector_ops.languages.catalogue import language_name, load_language
from services.vector_ops.models import IndexAnswer, Stamp
from services.vector_ops.protocol import IndexBusyError, IndexUnwritableError
from services.vector_ops.ranking import Derivations, Ranker
from services.vector_ops.retrieval.search import Searcher
from services.vector_ops.source.heads import Head
from services.vector_ops.source.overlay import WorktreeState
from services.vector_ops.source.repository import GitSource
from services.vector_ops.source.worktree import Worktree
from services.vector_ops.truth.ports import Applied
from services.vector_ops.truth.store import TruthStore
from services.vector_ops.vectors.dense import DenseIndex
from services.vector_ops.vectors.embedder import EmbedderUnusableError, VectorsUnavailableError

if TYPE_CHECKING:
    from neo4j import Driver

_SLICE_S = 0.5
"""Work behind the queries is done in slices: between two of them the index may be closed."""
_ATTEMPTS = 5
_SKETCHED_FILES = 200
"""A repository of fewer files is indexed in the time that a sketch of its map would save."""


@dataclass(frozen=True, slots=True)
class Derived:
    """What an index is given beside its file: vectors always, a graph store elsewhere when one is configured."""

    make_dense: Callable[[Path], DenseIndex]
    driver: "Driver | None" = None
    graph_timeout_s: float = 5.0
    lock_wait_s: float = 10.0
    query_budget_s: float = 10.0


@dataclass(slots=True)
class _Kept:
    """What is derived in memory."""

    searcher: Searcher = field(default_factory=Searcher)
    counts: UseCounts = field(default_factory=UseCounts)
    lines: Lines = field(default_factory=Lines)
    files: FileGraph | None = None

    def read_files(self, view: IndexView) -> FileGraph:
        """Return the graph of files, level with a view."""
        if self.files is None or self.files.epoch != view.epoch:
            self.files = make_file_graph(view)
        return self.files


class OpenIndex:
    """The index of one repository; safe for several threads. Questions to one repository wait for each other."""

    def __init__(self, root: Path, path: Path, clock: Clock, derived: Derived) -> None:
        self.root = root
        self._clock = clock
        self._derived = derived
        self._source = GitSource(str(root))
        self._worktree = Worktree(self._source)
        self._truth = TruthStore(path, load_language, language_name, now=clock.now)
        self._history = History(path.with_suffix(".history.sqlite3"), clock=clock.monotonic_s)
        self._dense = derived.make_dense(path)
        self._mirror = self._make_mirror(derived)
        self._kept = _Kept()
        self._reading = threading.Lock()
        self._tending = threading.Lock()
        self._tended = ""
        self._is_closed = False
        self._is_awaited = False

    def _make_mirror(self, derived: Derived) -> Mirror | None:
        if derived.driver is None:
            return None
        graph = Neo4jGraph(derived.driver, str(self.root), derived.graph_timeout_s)
        return Mirror(graph, self._clock.monotonic_s, derived.graph_timeout_s)

    def is_current(self) -> bool:
        """Return whether the path still is the repository that was opened."""
        return self._source.is_current()

    def close(self) -> None:
        """Close everything; waits for the slice of work that is under way."""
        self._is_closed = True
        with self._tending, self._reading:
            self._worktree.close()
            self._truth.close()
            self._history.close()
            self._dense.close()
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
            return self._truth.refresh(source, wait_s=self._derived.lock_wait_s, is_stopping=is_stopping)
        except IndexUnwritableError:
            if self._truth.peek_state() is not None:
                raise
            # A damaged file was set aside: build a new one.
            return self._truth.refresh(source, wait_s=self._derived.lock_wait_s, is_stopping=is_stopping)

    def level(self, is_stopping: Callable[[], bool]) -> None:
        """Refresh when HEAD has moved; an index that another process is writing answers as it is."""
        with self._reading:
            head = self._source.read_head()
        state = self._truth.peek_state()
        if state is not None and state.commit_sha == head.commit_sha:
            return
        try:
            self.refresh(is_stopping)
        except IndexBusyError:
            if state is None:
                raise

    def sketch_map(self, budget_tokens: int) -> IndexAnswer | None:
        """Return a map by names alone while a large repository has no index; None when the index can answer.

        Raises UnindexableError. The index is built by `tend`, behind the queries.
        """
        if self._truth.peek_state() is not None:
            return None
        with self._reading:
            head = self._source.read_head()
            blobs = self._source.list_blobs(head.commit_sha)
            if len(blobs) < _SKETCHED_FILES:
                return None
            work = self._worktree.read(head.commit_sha)
            gone = {path for path, content in work.overlay.items() if content is None}
            paths = list_sketchable(sorted((blobs.keys() | work.overlay.keys()) - gone))

            def read_file(path: str) -> bytes:
                content = work.overlay.get(path)  # an empty file is one, too
                return self._source.read_blob(blobs[path]) if content is None else content

            text, hits, is_cut = sketch_map(paths, read_file, budget_tokens)
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
    def read(self) -> Iterator[tuple[Reading, Callable[[], Stamp]]]:
        """Open one consistent reading, and what makes the stamp of its answer at the end."""
        with self._reading, self._view() as (view, work):
            graph = self._mirror.over(view) if self._mirror else ViewGraph(view)
            lines = self._kept.lines.over(view)
            ranking = Ranker(view, lines, Derivations(self._kept.searcher, self._history, self._dense))
            reading = Reading(
                view=view,
                graph=graph,
                retrieval=ranking,
                files=lambda: self._kept.read_files(view),
                counts=self._kept.counts,
                lines=lines,
                is_cut=work.is_cut,
            )
            yield reading, lambda: self._stamp(work, ranking, graph)

    @contextmanager
    def _view(self) -> Iterator[tuple[IndexView, WorktreeState]]:
        for _attempt in range(_ATTEMPTS):
            state = self._truth.peek_state()
            if state is None:
                raise IndexUnwritableError("there is no index yet; ask again")
            work = self._worktree.read(state.commit_sha)
            budget_s = self._derived.query_budget_s
            with self._truth.view(work.overlay, self._source.read_blob, budget_s=budget_s) as view:
                # Another process may have moved the index on since it was looked at.
                if view.commit_sha == work.base_sha:
                    yield view, work
                    return
        raise IndexBusyError("the index moves on faster than it can be read; ask again")

    def _stamp(self, work: WorktreeState, ranking: Ranker, graph: object) -> Stamp:
        head: Head = work.head
        is_fresh = work.base_sha == head.commit_sha
        moved_s = 0.0 if is_fresh else max(0.0, (self._clock.now() - head.moved_at).total_seconds())
        away = tuple(graph.warnings) if isinstance(graph, FallbackGraph) else ()
        return Stamp(
            indexed_commit=work.base_sha,
            head_commit=head.commit_sha,
            dirty_paths=tuple(sorted(work.overlay)),
            lag_s=moved_s,
            is_fresh=is_fresh,
            dense_pending=ranking.dense_pending,
            history_commit=ranking.history_commit,
            warnings=(*ranking.warnings, *away),
        )

    def needs_tending(self) -> bool:
        """Return whether there is work behind the queries that has not been done for this commit."""
        state = self._truth.peek_state()
        is_due = self._is_awaited if state is None else state.commit_sha != self._tended
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
            self._mine(source, state.commit_sha, is_stopping)
            work = worktree.read(state.commit_sha)
            with self._truth.view(work.overlay, source.read_blob) as view:
                self._embed(view, is_stopping, faults)
            if self._mirror is not None:
                with self._truth.view({}, source.read_blob) as view:
                    self._copy(self._mirror, view, faults)
            if not faults and not is_stopping():
                self._tended = state.commit_sha
        finally:
            worktree.close()
            source.close()
        return faults

    def _mine(self, source: GitSource, commit_sha: str, is_stopping: Callable[[], bool]) -> None:
        before = -1
        while not is_stopping():
            with source.reading():
                progress = self._history.refresh(
                    source.repository, commit_sha, budget_s=_SLICE_S, is_stopping=is_stopping
                )
            if progress.is_complete or progress.mined == before:
                return
            before = progress.mined

    def _embed(self, view: IndexView, is_stopping: Callable[[], bool], faults: dict[str, str]) -> None:
        try:
            while not is_stopping() and self._dense.sync(view, _SLICE_S):
                pass
        except (VectorsUnavailableError, EmbedderUnusableError) as error:
            faults["vectors"] = error.detail

    def _copy(self, mirror: Mirror, view: IndexView, faults: dict[str, str]) -> None:
        try:
            mirror.level(view)
        except GraphStoreAwayError as error:
            faults["graph"] = error.detail
