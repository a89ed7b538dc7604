"""The writing connection: one transaction for each commit that the index is brought level with."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from services.vector_ops.truth.applying import Applier, Outcome
from services.vector_ops.truth.building import write_state
from services.vector_ops.truth.collector import paused_collector
from services.vector_ops.truth.contents import MISSING_MARK, Forms, is_missing_key
from services.vector_ops.truth.dependents import Dependents, read_dependents
from services.vector_ops.truth.index_file import connect, migrate, read_inode
from services.vector_ops.truth.layers import Layers, StoredFile
from services.vector_ops.truth.outline import OutlineCache
from services.vector_ops.truth.pool import ContentReader
from services.vector_ops.truth.ports import Applied, Head, IsStopping, Source, State, Totals
from services.vector_ops.truth.tables import CommittedTables

_KEPT_BLOBS = 2_000
"""Facts of contents that no path has now; kept, because switching back to a branch is then free."""

_MISSING = "SELECT count(*) FROM file WHERE blob_id IN (SELECT id FROM blob WHERE form LIKE '%' || ?)"
_KEPT_EPOCHS = 1_000
_TIDY_EVERY = 50


def read_state(connection: sqlite3.Connection) -> State | None:
    """Return what the index was built from."""
    values = dict(connection.execute("SELECT key, value FROM main.meta").fetchall())
    if "commit_sha" not in values:
        return None
    commit_time, updated_at = (datetime.fromisoformat(values[key]) for key in ("commit_time", "updated_at"))
    totals = Totals(*map(int, values["totals"].split()))
    return State(values["commit_sha"], commit_time, updated_at, int(values["epoch"]), totals)


class Writer:
    """Keeps outlines and questions between refreshes; both are dropped when another process wrote in between."""

    def __init__(self, path: Path, forms: Forms) -> None:
        self.inode = read_inode(path)
        self._connection = connect(path)
        self._forms = forms
        self._layers = Layers(self._connection, OutlineCache())
        self._dependents: Dependents | None = None
        self._level: int | None = None
        self._is_checked = False

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def refresh(self, source: Source, now: Callable[[], datetime], is_stopping: IsStopping) -> Applied:
        """Bring the tables level with HEAD; cycles are collected once the commit is there to be read."""
        with paused_collector(), self._transact():
            migrate(self._connection)
            state = read_state(self._connection)
            # HEAD is read under the lock: two refreshes in a row can then never move the index backwards.
            head = source.read_head()
            wanted = self._list_changes(source, state, head)
            if state is not None and state.commit_sha == head.commit_sha and not wanted:
                return Applied("fresh", state, 0, 0)
            epoch = 1 if state is None else state.epoch + 1
            outcome = self._apply(source, wanted, state, is_stopping)
            totals = outcome.added if state is None else state.totals.add(outcome.added)
            state = State(head.commit_sha, head.commit_time, now(), epoch, totals)
            self._log_changes(outcome, epoch)
            write_state(self._connection, state)
            if epoch % _TIDY_EVERY == 0:
                self._tidy(epoch)
            applied = Applied("refreshed", state, outcome.parsed, outcome.resolved)
        self._level = epoch
        return applied

    def count_missing(self) -> int:
        """Return how many files have a content that the repository lacks."""
        return int(self._connection.execute(_MISSING, (MISSING_MARK,)).fetchone()[0])

    @contextmanager
    def _transact(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._dependents = None
            if self._connection.in_transaction:  # a full disk has rolled it back already
                self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def _list_changes(self, source: Source, state: State | None, head: Head) -> Mapping[str, str | None]:
        """Return what has to change; once in the life of a process, every file is compared."""
        if self._is_checked and state is not None:
            if state.commit_sha == head.commit_sha:
                return {}
            changes = source.changes(state.commit_sha, head.commit_sha)
            if changes is not None:
                return changes
        wanted = source.list_blobs(head.commit_sha)
        reader = ContentReader(source, self._forms, workers=1)
        present = {file.path: file for file in self._layers.list_files()}
        changed: dict[str, str | None] = dict.fromkeys(present.keys() - wanted.keys())
        for path, sha in wanted.items():
            file = present.get(path)
            if file is None or file.sha != sha or self._is_outdated(file, reader):
                changed[path] = sha
        self._is_checked = True
        return changed

    def _is_outdated(self, file: StoredFile, reader: ContentReader) -> bool:
        """Return whether a file would be read otherwise now; one that was missing: whether it is there now."""
        if is_missing_key(file.form):
            return reader.has_blob(file.sha)
        return file.form != self._forms.form_of(file.path).key

    def _apply(
        self, source: Source, wanted: Mapping[str, str | None], state: State | None, is_stopping: IsStopping
    ) -> Outcome:
        level = None if state is None else state.epoch
        if self._dependents is None or self._level != level:
            self._dependents = read_dependents(self._connection)
        read = ContentReader(source, self._forms, workers=1).read_one
        tables = CommittedTables(self._connection)
        return Applier(self._layers, tables, self._forms, self._dependents, read, is_stopping).apply(wanted)

    def _log_changes(self, outcome: Outcome, epoch: int) -> None:
        self._connection.executemany(
            "INSERT OR IGNORE INTO change VALUES (?, ?)", [(epoch, path) for path in outcome.touched]
        )

    def _tidy(self, epoch: int) -> None:
        """Forget the oldest unused contents and the oldest changes beyond what is kept."""
        unused = "SELECT id FROM blob WHERE id NOT IN (SELECT blob_id FROM file) ORDER BY id DESC LIMIT -1 OFFSET ?"
        gone = self._connection.execute(unused, (_KEPT_BLOBS,)).fetchall()
        self._connection.executemany("DELETE FROM blob WHERE id = ?", gone)
        since = epoch - _KEPT_EPOCHS
        if self._connection.execute("DELETE FROM change WHERE epoch <= ?", (since,)).rowcount > 0:
            self._connection.execute("INSERT OR REPLACE INTO meta VALUES ('changes_since', ?)", (str(since),))
