"""The truth store: the index of one repository in one SQLite file; edges included, level with one commit."""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from services.kernel.errors import DeadlineExceededError
from services.vector_ops.protocol import IndexBusyError, IndexUnwritableError
from services.vector_ops.truth.building import Builder, build_file
from services.vector_ops.truth.contents import Forms
from services.vector_ops.truth.index_file import find_damage, find_fault, hold_lock, is_damage, read_inode, set_aside
from services.vector_ops.truth.pool import ContentReader
from services.vector_ops.truth.ports import Applied, IsStopping, LanguageName, LoadLanguage, Source, State
from services.vector_ops.truth.reading import Reader
from services.vector_ops.truth.view import ReadBlob, StoredView
from services.vector_ops.truth.writing import Writer, read_state

_IDLE = 3
"""Readers that are kept although their overlays have nothing in common with the one that is wanted."""

_MAX_IDLE = 6
_STEPS_PER_LOOK = 20_000
"""SQLite's virtual machine runs so many steps in about a tenth of a millisecond."""

LOG = logging.getLogger("direng.vector_ops")


def _now() -> datetime:
    return datetime.now(UTC)


class TruthStore:
    """Safe for several threads and several processes.

    The lock (`flock` on a file beside the index) is held only while writing; readers work on WAL snapshots without it.
    `workers` processes read contents when a build has hundreds; 1: none besides this one.
    """

    def __init__(
        self,
        path: Path,
        load_language: LoadLanguage,
        language_name: LanguageName,
        *,
        workers: int = 2,
        now: Callable[[], datetime] = _now,
        make_lineage: Callable[[], str] = lambda: uuid4().hex[:12],
    ) -> None:
        self._path = path
        self._forms = Forms(load_language, language_name)
        self._workers = workers
        self._now = now
        self._make_lineage = make_lineage
        self._writing = threading.Lock()
        self._reading = threading.Lock()
        self._writer: Writer | None = None
        self._readers: list[Reader] = []
        self._notes: list[str] = []

    def peek_state(self) -> State | None:
        """Return what the index was built from; None when there is no usable index."""
        inode = read_inode(self._path)
        with self._reading:
            is_open = any(reader.inode == inode for reader in self._readers)
        if inode is None or (not is_open and find_fault(self._path)):
            return None
        try:
            reader = self._take_reader(None)
        except sqlite3.DatabaseError:
            return None
        try:
            return read_state(reader.connection)
        except sqlite3.DatabaseError:
            return None
        finally:
            self._give_back(reader)

    def refresh(self, source: Source, *, wait_s: float, is_stopping: IsStopping = lambda: False) -> Applied:
        """Bring the file level with HEAD in one transaction.

        Raises UnindexableError, IndexBusyError, IndexUnwritableError, IndexingStoppedError.
        """
        try:
            with self._writing, hold_lock(self._path, wait_s):
                return self._refresh(source, is_stopping)
        except (sqlite3.Error, OSError) as error:
            self._close_writer()
            if is_damage(error) and self._path.exists():
                self._set_aside(f"it cannot be read ({error})")
            cure = "check the free space and the permissions of its folder"
            raise IndexUnwritableError(f"the index {self._path} cannot be written: {error}; {cure}") from error

    def _refresh(self, source: Source, is_stopping: IsStopping) -> Applied:
        self._check_file()
        if not self._path.exists():
            return self._build(source, is_stopping)
        if self._writer is None:
            self._writer = Writer(self._path, self._forms)
        applied = self._writer.refresh(source, self._now, is_stopping)
        return self._with_notes(applied)

    def _check_file(self) -> None:
        """Let go of a file that another process replaced; set an unusable one aside."""
        if self._writer is not None and self._writer.inode != read_inode(self._path):
            self._close_writer()
        if self._writer is None and self._path.exists():
            fault = find_fault(self._path) if self._path.stat().st_size else "it is empty"
            if fault:
                self._set_aside(fault)

    def _build(self, source: Source, is_stopping: IsStopping) -> Applied:
        head = source.read_head()
        state = State(head.commit_sha, head.commit_time, self._now(), 1)
        wanted = dict(source.list_blobs(head.commit_sha))
        read = ContentReader(source, self._forms, self._workers).read_all
        built = build_file(
            self._path,
            self._make_lineage(),
            state,
            wanted,
            lambda connection: Builder(connection, self._forms, read, is_stopping),
        )
        self._writer = Writer(self._path, self._forms)
        return self._with_notes(Applied("refreshed", replace(state, totals=built.totals), built.parsed, built.resolved))

    def _with_notes(self, applied: Applied) -> Applied:
        notes, self._notes = tuple(self._notes), []
        missing = self._writer.count_missing() if self._writer is not None else 0
        if missing:
            cure = "`git fetch --refetch --no-filter` brings them"
            notes += (f"{missing} files are not read, for this partial clone lacks their contents; {cure}",)
        return replace(applied, notes=notes)

    def _set_aside(self, fault: str) -> None:
        aside = set_aside(self._path)
        note = f"the index was set aside as {aside.name} and is rebuilt: {fault}"
        self._notes.append(note)
        LOG.warning("%s: %s", self._path, note)

    @contextmanager
    def view(
        self, overlay: Mapping[str, bytes | None], read_blob: ReadBlob, *, budget_s: float | None = None
    ) -> Iterator[StoredView]:
        """Open a consistent view with `overlay` (path -> content, None: gone) on top.

        Raises IndexUnwritableError after a damaged file was set aside, or when there is none yet, and
        DeadlineExceededError from a question that is asked of the tables longer than `budget_s` after the opening.
        """
        try:
            if not self._path.exists():
                raise IndexUnwritableError(f"there is no index at {self._path} yet; refresh it first")
            reader = self._take_reader(overlay)
            try:
                with reader.open_view(overlay, read_blob) as view, _within(reader.connection, budget_s):
                    yield view
            finally:
                self._give_back(reader)
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
                raise DeadlineExceededError(f"the query took longer than {budget_s:g} s; narrow it") from None
            if is_damage(error):
                self._close_readers()
                self._set_damaged_aside()
            raise IndexUnwritableError(f"the index {self._path} cannot be read: {error}; ask again") from error

    def _set_damaged_aside(self) -> None:
        """Set the file aside when it really is what is damaged, and nobody is writing or replacing it now."""
        try:
            with hold_lock(self._path, 0):
                fault = find_damage(self._path) if self._path.exists() else ""
                if fault:
                    self._set_aside(fault)
        except IndexBusyError:
            return

    def _take_reader(self, overlay: Mapping[str, bytes | None] | None) -> Reader:
        """Return an idle reader with an overlay that is alike (None: any); a new one when there is none."""
        inode = read_inode(self._path)
        with self._reading:
            stale = [reader for reader in self._readers if reader.inode != inode]
            self._readers = [reader for reader in self._readers if reader.inode == inode]
            best = max(self._readers, key=lambda reader: reader.likeness(overlay or {}), default=None)
            if best is not None and overlay is not None and best.likeness(overlay) < 0 and len(self._readers) < _IDLE:
                best = None
            if best is not None:
                self._readers.remove(best)
        for reader in stale:
            reader.close()
        return best if best is not None else Reader(self._path, self._forms)

    def _give_back(self, reader: Reader) -> None:
        with self._reading:
            self._readers.append(reader)
            surplus = self._readers.pop(0) if len(self._readers) > _MAX_IDLE else None
        if surplus is not None:
            surplus.close()

    def close(self) -> None:
        """Close the connections."""
        with self._writing:
            self._close_writer()
        self._close_readers()

    def _close_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _close_readers(self) -> None:
        with self._reading:
            readers, self._readers = self._readers, []
        for reader in readers:
            reader.close()


@contextmanager
def _within(connection: sqlite3.Connection, budget_s: float | None) -> Iterator[None]:
    """Interrupt what runs on the connection once the time is over."""
    if budget_s is None:
        yield
        return
    deadline_s = time.monotonic() + budget_s
    connection.set_progress_handler(lambda: time.monotonic() > deadline_s, _STEPS_PER_LOOK)
    try:
        yield
    finally:
        connection.set_progress_handler(None, 0)
