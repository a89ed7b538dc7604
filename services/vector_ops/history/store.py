"""Mined commits in an SQLite file of their own beside the index; it can be deleted at any time and is mined anew."""

import contextlib
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.vector_ops.history.mining import MinedCommit
from services.vector_ops.lexical.terms import TERMS_VERSION, hash_text

HISTORY_VERSION: Final = 1 * 1_000 + TERMS_VERSION
_SCHEMA = """
CREATE TABLE IF NOT EXISTS commit_(
  id INTEGER PRIMARY KEY AUTOINCREMENT, sha TEXT NOT NULL UNIQUE, parent_sha TEXT NOT NULL, time_s INTEGER NOT NULL,
  path_count INTEGER NOT NULL, terms BLOB NOT NULL, paths BLOB NOT NULL, renames BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS path(id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE);
"""
_BUSY_MS = 5_000


class StoredCommit(NamedTuple):
    """One commit: distinct term hashes of its message, ids of its paths, and (old, new) ids of its renames."""

    id: int
    parent_sha: str
    time_s: int
    terms: NDArray[np.uint32]
    paths: NDArray[np.uint32]
    renames: NDArray[np.uint32]


class HistoryStore:
    """The file of mined commits. A damaged file, or one of another version, is replaced by an empty one."""

    def __init__(self, path: Path) -> None:
        self._connection = _open(path)
        self._path_ids: dict[str, int] = {}

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def add(self, commits: Iterable[MinedCommit]) -> None:
        """Store commits in one transaction."""
        with contextlib.closing(self._connection.cursor()) as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            try:
                cursor.executemany(
                    "INSERT OR IGNORE INTO commit_(sha, parent_sha, time_s, path_count, terms, paths, renames)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    [self._row(cursor, commit) for commit in commits],
                )
            except BaseException:
                self._path_ids.clear()
                cursor.execute("ROLLBACK")
                raise
            cursor.execute("COMMIT")

    def _row(self, cursor: sqlite3.Cursor, commit: MinedCommit) -> tuple[str, str, int, int, bytes, bytes, bytes]:
        terms = np.unique(hash_text(commit.message))
        paths = np.array([self._path_id(cursor, path) for path in commit.paths], np.uint32)
        renames = np.array([[self._path_id(cursor, path) for path in pair] for pair in commit.renames], np.uint32)
        packed = terms.tobytes(), paths.tobytes(), renames.tobytes()
        return commit.sha, commit.parent_sha, commit.time_s, commit.path_count, *packed

    def _path_id(self, cursor: sqlite3.Cursor, path: str) -> int:
        key = path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        found = self._path_ids.get(key)
        if found is None:
            cursor.execute("INSERT OR IGNORE INTO path(path) VALUES (?)", (key,))
            found = int(cursor.execute("SELECT id FROM path WHERE path = ?", (key,)).fetchone()[0])
            self._path_ids[key] = found
        return found

    def read_version(self) -> int:
        """Return a number that is another one once another connection has written."""
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def read_commits(self, after_id: int = 0) -> dict[str, StoredCommit]:
        """Return the stored commits with a higher id, by sha."""
        rows = self._connection.execute(
            "SELECT sha, id, parent_sha, time_s, terms, paths, renames FROM commit_ WHERE id > ?", (after_id,)
        )
        return {
            str(sha): StoredCommit(number, parent, time_s, *(np.frombuffer(blob, np.uint32) for blob in blobs))
            for sha, number, parent, time_s, *blobs in rows
        }

    def read_paths(self, after_id: int = 0) -> dict[int, str]:
        """Return the paths with a higher id, by id."""
        rows = self._connection.execute("SELECT id, path FROM path WHERE id > ?", (after_id,))
        return {int(number): str(path) for number, path in rows}

    def forget(self, ids: Iterable[int]) -> None:
        """Delete commits."""
        self._connection.executemany("DELETE FROM commit_ WHERE id = ?", [(number,) for number in ids])


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return _connect(path)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        for suffix in ("", "-wal", "-shm"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)
        return _connect(path)


def _connect(path: Path) -> sqlite3.Connection:
    """Open the file and lay out an empty one; raise DatabaseError for anything else that is not of this version."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        _prepare(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        # Another process may be doing the same: then this waits, and finds it done.
        connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {HISTORY_VERSION}; COMMIT;")
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version != HISTORY_VERSION:
        raise sqlite3.DatabaseError(f"a history of version {version}, not {HISTORY_VERSION}")
