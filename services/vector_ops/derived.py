"""What is derived from the truth of one repository and brought level on use: words, vectors, history, a graph store.

Imported when the first question about a repository is asked: refreshing its index needs none of this.
"""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from services.vector_ops.answers.file_graph import FileGraph, make_file_graph
from services.vector_ops.answers.mapping import UseCounts
from services.vector_ops.answers.places import Lines
from services.vector_ops.core.answering import Reading
from services.vector_ops.core.view import IndexView
from services.vector_ops.graph.local import ViewGraph
from services.vector_ops.graph.mirror import FallbackGraph, Mirror
from services.vector_ops.graph.neo4j_store import GraphStoreAwayError
from services.vector_ops.history.history import History
from services.vector_ops.preparing import Opening, Preparations
from services.vector_ops.ranking import Derivations, Ranker
from services.vector_ops.retrieval.search import Searcher
from services.vector_ops.source.repository import GitSource
from services.vector_ops.vectors.dense import DenseIndex
from services.vector_ops.vectors.embedder import EmbedderUnusableError, VectorsUnavailableError

_SLICE_S = 0.5
"""Work behind the queries is done in slices: between two of them the index may be closed."""


_LARGE_FILES = 5_000
"""What is derived from fewer files takes a second at most, and is made as part of the question."""


def history_path(path: Path) -> Path:
    """Return the file of an index's history."""
    return path.with_suffix(".history.sqlite3")


@dataclass(frozen=True, slots=True)
class Notes:
    """What an answer was made from beside the truth, for its stamp."""

    dense_pending: int | None = None
    history_commit: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(slots=True)
class Derived:
    """Answers over views of one repository, by one thread at a time, and does the work behind the queries."""

    history: History
    dense: DenseIndex
    mirror: Mirror | None = None
    preparations: Preparations = field(default_factory=Preparations)
    _has_words: bool = False
    _searcher: Searcher = field(default_factory=Searcher)
    _counts: UseCounts = field(default_factory=UseCounts)
    _lines: Lines = field(default_factory=Lines)
    _files: FileGraph | None = None

    def close(self) -> None:
        """Wait for what is being prepared, and close the files."""
        self.preparations.close()
        self.history.close()
        self.dense.close()

    def open_reading(
        self, opening: Opening, *, is_cut: bool, with_lag: bool = False
    ) -> tuple[Reading, Callable[[], Notes]]:
        """Return what answers over a view, and what says at the end what the answer was made from.

        With `with_lag` it says how far vectors and history are behind though nothing was asked of them.
        """
        view = opening.view
        graph = self.mirror.over(view) if self.mirror else ViewGraph(view)
        lines = self._lines.over(view)
        ranker = Ranker(view, graph, lines, Derivations(lambda: self._read_words(opening), self.history, self.dense))
        reading = Reading(
            view=view,
            graph=graph,
            retrieval=ranker,
            files=lambda: self._read_files(opening),
            counts=self._counts,
            lines=lines,
            is_cut=is_cut,
        )

        def note() -> Notes:
            away = graph.warnings if isinstance(graph, FallbackGraph) else ()
            warnings = (*ranker.warnings, *away, *self.dense.take_notes())
            if with_lag:
                return Notes(self.dense.count_lag(view), self.history.find_newest(view.commit_sha), warnings)
            return Notes(ranker.dense_pending, ranker.history_commit, warnings)

        return reading, note

    def _read_words(self, opening: Opening) -> Searcher:
        """Return what searches; the first time for a large repository, once its words are read."""

        def prepare() -> None:
            with opening.open_another() as view:
                self._searcher.prepare(view)
            self._has_words = True

        if not self._has_words and opening.files > _LARGE_FILES:
            self.preparations.wait_for("the words", prepare, opening.left_s())
        return self._searcher

    def _read_files(self, opening: Opening) -> FileGraph:
        """Return the graph of files, level with a view."""

        def prepare() -> None:
            with opening.open_another() as view:
                self._files = make_file_graph(view)

        if not self._is_level(opening.view) and opening.files > _LARGE_FILES:
            self.preparations.wait_for("the graph of files", prepare, opening.left_s())
        found = self._files
        if found is None or found.epoch != opening.view.epoch:
            found = self._files = make_file_graph(opening.view)
        return found

    def _is_level(self, view: IndexView) -> bool:
        return self._files is not None and self._files.epoch == view.epoch

    def mine(self, source: GitSource, commit_sha: str, is_stopping: Callable[[], bool], faults: dict[str, str]) -> None:
        """Mine what is new in the history, in slices; note under `history` why it cannot be kept."""
        before = -1
        while not is_stopping():
            try:
                with source.reading():
                    progress = self.history.refresh(
                        source.repository, commit_sha, budget_s=_SLICE_S, is_stopping=is_stopping
                    )
            except sqlite3.Error as error:  # the disk is full, or the folder may not be written
                faults["history"] = f"the file of its history cannot be written: {error}"
                return
            if progress.is_complete or progress.mined == before:
                return
            before = progress.mined

    def embed(self, view: IndexView, is_stopping: Callable[[], bool], faults: dict[str, str]) -> None:
        """Compute vectors for what has changed, in slices; note under `vectors` why they cannot be had."""
        try:
            while not is_stopping() and self.dense.sync(view, _SLICE_S):
                pass
        except (VectorsUnavailableError, EmbedderUnusableError) as error:
            faults["vectors"] = error.detail

    def is_copy_doubted(self) -> bool:
        """Return whether a question has found the graph store behind or damaged."""
        return self.mirror is not None and self.mirror.is_doubted

    def copy(self, view: IndexView, faults: dict[str, str]) -> None:
        """Bring the graph store level; note under `graph` why it is not."""
        if self.mirror is None:
            return
        try:
            self.mirror.level(view)
        except GraphStoreAwayError as error:
            faults["graph"] = error.detail
