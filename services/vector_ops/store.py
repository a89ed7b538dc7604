"""The index of one repository: one SQLite file, one writer at a time, one transaction per target commit (ADR-0006)."""

import fcntl
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from services.vector_ops.core.facts import FileFacts
from services.vector_ops.core.ports import Extract, IndexState
from services.vector_ops.core.words import damped_text
from services.vector_ops.facts_table import insert_facts, insert_file
from services.vector_ops.protocol import IndexBusyError, IndexUnwritableError
from services.vector_ops.reader import SqliteReader
from services.vector_ops.schema import APPLICATION_ID, FACT_TABLES, TEXT_TABLES, VERSIONS, statements_for

LOG = logging.getLogger("direng.vector_ops")
_BUSY_TIMEOUT_S = 30
_POLL_S = 0.05
_KEPT_BLOBS = 5_000
"""Facts of contents that no indexed path has now; kept, because switching back to a branch is then free."""


def connect(path: Path) -> sqlite3.Connection:
    """Open an index file with the platform's SQLite settings."""
    connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "cache_size=-16000", "temp_store=MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def find_fault(path: Path) -> str:
    """Return why an existing file cannot be used as an index, or nothing."""
    try:
        connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
        try:
            if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
                return "it is not an index file"
            found = connection.execute("SELECT value FROM meta WHERE key = 'versions'").fetchone()
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        return f"it cannot be read ({error})"
    if found is None or found[0] != VERSIONS:
        return f"its format is {found[0] if found else 'unknown'}, this version writes {VERSIONS}"
    return ""


def set_aside(path: Path) -> Path:
    """Move an unusable index out of the way, replacing the one set aside before; return its new path."""
    aside = path.with_name(f"{path.name}.set-aside")
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    path.replace(aside)
    return aside


class SqliteWriter:
    """One open transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def read_state(self) -> IndexState | None:
        return read_state(self._connection)

    def list_files(self) -> dict[str, str]:
        rows = self._connection.execute("SELECT f.path, b.sha FROM file f JOIN blob b ON b.id = f.blob_id")
        return dict(rows.fetchall())

    def has_blob(self, blob_sha: str, *, python: bool) -> bool:
        return self._find_blob(blob_sha, python=python) is not None

    def _find_blob(self, blob_sha: str, *, python: bool) -> int | None:
        found = self._connection.execute(
            "SELECT id FROM blob WHERE sha = ? AND is_python = ?", (blob_sha, int(python))
        ).fetchone()
        return None if found is None else int(found[0])

    def add_blob(self, blob_sha: str, *, python: bool, facts: FileFacts) -> None:
        insert_facts(self._connection, "main", blob_sha, python=python, facts=facts)

    def put_file(self, path: str, blob_sha: str, text: str) -> None:
        python = path.endswith((".py", ".pyi"))
        blob_id = self._find_blob(blob_sha, python=python)
        if blob_id is None:
            raise IndexUnwritableError(f"the index holds no facts for {path}; refresh again")
        file_id = insert_file(self._connection, "main", path, blob_id)
        names = self._connection.execute("SELECT name FROM definition WHERE blob_id = ?", (blob_id,)).fetchall()
        symbols = damped_text(" ".join(name for (name,) in names))
        self._connection.execute(
            "INSERT INTO text (rowid, path, symbols, body) VALUES (?, ?, ?, ?)",
            (file_id, damped_text(path), symbols, damped_text(text)),
        )

    def remove_files(self, paths: Iterable[str]) -> None:
        for path in paths:
            self._connection.execute("DELETE FROM text WHERE rowid = (SELECT id FROM file WHERE path = ?)", (path,))
            self._connection.execute("DELETE FROM file WHERE path = ?", (path,))

    def set_state(self, state: IndexState) -> None:
        values = {
            "commit_sha": state.commit_sha,
            "commit_time": state.commit_time.isoformat(),
            "updated_at": state.updated_at.isoformat(),
        }
        self._connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", values.items())

    def count(self) -> tuple[int, int]:
        files, symbols = self._connection.execute(
            "SELECT (SELECT count(*) FROM file),"
            " (SELECT count(*) FROM definition d JOIN file f ON f.blob_id = d.blob_id)"
        ).fetchone()
        return int(files), int(symbols)

    def prune(self) -> None:
        """Forget the oldest unused facts beyond the number that is kept."""
        unused = "SELECT id FROM blob WHERE id NOT IN (SELECT blob_id FROM file) ORDER BY id DESC LIMIT -1 OFFSET ?"
        gone = self._connection.execute(unused, (_KEPT_BLOBS,)).fetchall()
        for table in FACT_TABLES:
            self._connection.executemany(f"DELETE FROM {table} WHERE blob_id = ?", gone)  # noqa: S608 - our own names
        self._connection.executemany("DELETE FROM blob WHERE id = ?", gone)


def read_state(connection: sqlite3.Connection) -> IndexState | None:
    """Return what the index was built from."""
    values = dict(connection.execute("SELECT key, value FROM meta").fetchall())
    if "commit_sha" not in values:
        return None
    return IndexState(
        values["commit_sha"],
        datetime.fromisoformat(values["commit_time"]),
        datetime.fromisoformat(values["updated_at"]),
    )


class SqliteStore:
    """The index file and its lock; safe for several threads and several processes.

    The lock (`flock` on a file beside the index) is held only while writing; readers work on WAL snapshots without it.
    """

    def __init__(self, path: Path, extract: Extract) -> None:
        self.notes: list[str] = []
        self._path = path
        self._extract = extract
        self._reading = threading.Lock()
        self._writing = threading.Lock()
        self._reader: SqliteReader | None = None
        self._inode: int | None = None

    @contextmanager
    def write(self, *, wait_s: float) -> Iterator[SqliteWriter]:
        """Open one transaction; raises IndexBusyError, IndexUnwritableError."""
        try:
            with self._writing, self._hold_lock(wait_s), self._transact() as connection:
                writer = SqliteWriter(connection)
                yield writer
                writer.prune()
        except (sqlite3.Error, OSError) as error:
            if _is_damage(error):
                self._set_aside(f"it cannot be read ({error})")
            raise IndexUnwritableError(f"the index {self._path} cannot be written: {error}") from error

    @contextmanager
    def _hold_lock(self, wait_s: float) -> Iterator[None]:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _flock(handle, wait_s)
            yield
        finally:
            os.close(handle)

    @contextmanager
    def _transact(self) -> Iterator[sqlite3.Connection]:
        connection = self._open_for_writing()
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
        finally:
            connection.close()

    def _open_for_writing(self) -> sqlite3.Connection:
        fault = find_fault(self._path) if self._path.exists() and self._path.stat().st_size else ""
        if fault:
            self._set_aside(fault)
        connection = connect(self._path)
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            self._path.chmod(0o600)
            head = f"PRAGMA application_id = {APPLICATION_ID}; BEGIN;"
            connection.executescript(head + statements_for("main") + TEXT_TABLES + "COMMIT;")
            connection.execute("INSERT INTO meta VALUES ('versions', ?)", (VERSIONS,))
        return connection

    def _set_aside(self, fault: str) -> None:
        aside = set_aside(self._path)
        note = f"the index was set aside as {aside.name} and is rebuilt: {fault}"
        self.notes.append(note)
        LOG.warning("%s: %s", self._path, note)

    @contextmanager
    def read(self, overlay: Mapping[str, bytes | None]) -> Iterator[SqliteReader]:
        """Open a consistent view; raises IndexUnwritableError after setting a damaged file aside."""
        with self._reading:
            try:
                reader = self._open_reader()
                with reader.view(overlay):
                    yield reader
            except sqlite3.DatabaseError as error:
                if _is_damage(error):
                    self._close_reader()
                    self._set_aside(f"it cannot be read ({error})")
                raise IndexUnwritableError(f"the index {self._path} cannot be read: {error}; ask again") from error

    def _open_reader(self) -> SqliteReader:
        """Return the reading connection; a new one when another process replaced the file."""
        inode = self._path.stat().st_ino if self._path.exists() else None
        if self._reader is not None and inode != self._inode:
            self._close_reader()
        if self._reader is None:
            self._reader = SqliteReader(connect(self._path), self._extract)
            self._inode = self._path.stat().st_ino
        return self._reader

    def peek_state(self) -> IndexState | None:
        with self._reading:
            if self._reader is None and (not self._path.exists() or find_fault(self._path)):
                return None
            try:
                return self._open_reader().read_state()
            except sqlite3.DatabaseError:
                self._close_reader()
                return None

    def close(self) -> None:
        """Close the reading connection."""
        with self._reading:
            self._close_reader()

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None


def _is_damage(error: Exception) -> bool:
    return isinstance(error, sqlite3.DatabaseError) and any(
        word in str(error) for word in ("malformed", "not a database", "no such table")
    )


def _flock(handle: int, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise IndexBusyError("another process is writing the index; try again in a moment") from None
            time.sleep(_POLL_S)
        else:
            return
