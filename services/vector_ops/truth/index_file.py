"""The file of an index and its lock: opening, faults, setting aside, and damage."""

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from services.vector_ops.protocol import IndexBusyError
from services.vector_ops.truth.schema import APPLICATION_ID, MIGRATIONS, SCHEMA_VERSION

_BUSY_TIMEOUT_S = 30
_POLL_S = 0.02
_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=NORMAL",
    "cache_size=-64000",
    "temp_store=MEMORY",
    "mmap_size=268435456",
    "wal_autocheckpoint=4000",
)


def connect(path: Path) -> sqlite3.Connection:
    """Open an index file, which must exist, with the platform's SQLite settings."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=_BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    return connection


def connect_for_building(path: Path) -> sqlite3.Connection:
    """Open a new file that nobody else sees before it is complete: no journal, no waiting for the disk."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    for pragma in ("page_size=4096", "journal_mode=OFF", "synchronous=OFF", "cache_size=-128000", "temp_store=MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("PRAGMA locking_mode=EXCLUSIVE")
    return connection


def find_fault(path: Path) -> str:
    """Return why an existing file cannot be used as an index, or nothing."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
                return "it is not an index file"
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if connection.execute("SELECT 1 FROM meta WHERE key = 'commit_sha'").fetchone() is None and version:
                return "it is not complete"
    except sqlite3.OperationalError as error:
        return f"it cannot be read ({error})" if _is_damage(error) else ""
    except sqlite3.DatabaseError as error:
        return f"it cannot be read ({error})"
    return _find_version_fault(version)


def find_damage(path: Path) -> str:
    """Return why a file cannot be used after reading all of it, or nothing."""
    fault = find_fault(path)
    if fault:
        return fault
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.DatabaseError as error:
        verdict = str(error)
    return "" if verdict == "ok" else f"it is damaged ({' '.join(str(verdict).split())[:200]})"


def _find_version_fault(version: int) -> str:
    if version == 0:
        return "it has the format of an older version, which knew no edges between files"
    if version > SCHEMA_VERSION:
        return f"its format is {version}, newer than {SCHEMA_VERSION}, which this version writes"
    if any(step not in MIGRATIONS for step in range(version, SCHEMA_VERSION)):
        return f"its format is {version}, which cannot be brought to {SCHEMA_VERSION}"
    return ""


def migrate(connection: sqlite3.Connection) -> bool:
    """Bring the tables of an older format forward, in the open transaction; return whether anything was done."""
    found = version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    while version < SCHEMA_VERSION:
        MIGRATIONS[version](connection)
        version += 1
    if version != found:
        connection.execute(f"PRAGMA user_version = {version}")
    return version != found


def set_aside(path: Path) -> Path:
    """Move an unusable index out of the way, replacing the one set aside before; return its new path."""
    aside = path.with_name(f"{path.name}.set-aside")
    remove_journal(path)
    path.replace(aside)
    return aside


def remove_journal(path: Path) -> None:
    """Remove the write-ahead log beside an index file."""
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def read_inode(path: Path) -> int | None:
    """Return which file lies at a path, or None."""
    try:
        return path.stat().st_ino
    except (FileNotFoundError, NotADirectoryError):
        return None


def _is_damage(error: sqlite3.Error) -> bool:
    return any(word in str(error) for word in ("malformed", "not a database", "no such table", "disk image"))


def is_damage(error: BaseException) -> bool:
    """Return whether an error says that the file is no usable database."""
    return isinstance(error, sqlite3.DatabaseError) and _is_damage(error)


@contextmanager
def hold_lock(path: Path, wait_s: float) -> Iterator[None]:
    """Hold the lock beside an index file; raise IndexBusyError when another process keeps it."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _flock(handle, wait_s)
        yield
    finally:
        os.close(handle)


def _flock(handle: int, wait_s: float) -> None:
    deadline_s = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline_s:
                raise IndexBusyError("another process is writing the index; try again in a moment") from None
            time.sleep(_POLL_S)
        else:
            return
