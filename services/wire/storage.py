"""Databases that say in one clear line that they cannot be written: the disk is full, or failing, or read-only."""

import sqlite3

import sqlalchemy as sa

from services.kernel.db import open_engine as open_plain_engine
from services.kernel.errors import UnavailableError

_UNWRITABLE = frozenset(
    {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}
)
_PRIMARY_CODE = 0xFF  # an extended code, such as SQLITE_IOERR_WRITE, holds its primary one in the low byte


class StorageUnwritableError(UnavailableError):
    """The platform's own files cannot be written; nothing of the transaction was kept."""

    code = "wire.storage_unwritable"


def open_engine(url: str) -> sa.Engine:
    """Return an engine as `kernel.db.open_engine` does, whose transactions raise StorageUnwritableError."""
    engine = open_plain_engine(url)
    sa.event.listen(engine, "handle_error", refuse_unwritable)
    return engine


def refuse_unwritable(context: sa.engine.ExceptionContext) -> None:
    """Raise StorageUnwritableError when SQLite could not write; other errors go their way."""
    error = context.original_exception
    if not isinstance(error, sqlite3.Error) or getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE not in _UNWRITABLE:
        return
    place = "its database" if context.engine is None else f"its database {context.engine.url.database}"
    raise StorageUnwritableError(
        f"the platform cannot write {place} ({error}); free some space on that disk"
    ) from error
