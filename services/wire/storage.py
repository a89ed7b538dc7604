"""Databases that say in one clear line what is wrong with them, and transactions that lose a race and run again."""

import sqlite3
import time
from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa

from services.kernel.db import open_engine as open_plain_engine
from services.kernel.errors import InvalidRequestError, UnavailableError

R = TypeVar("R")
MAX_TRIES = 20
RETRY_PAUSE_S = 0.01
# PostgreSQL: serialization failure, deadlock, and the unique violation that a concurrent twin causes.
_LOST_RACES = frozenset({"40001", "40P01", "23505"})
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


def transact(engine: sa.Engine, use_case: Callable[[sa.Connection], R], *, name: str) -> R:
    """Run `use_case` in one transaction on this thread and return its result; again when another got in its way.

    `name` is how people know the database. Raises UnavailableError when it does not answer or stays crowded,
    InvalidRequestError for a value that it cannot keep.
    """
    for attempt in range(1, MAX_TRIES + 1):
        try:
            with engine.begin() as connection:
                return use_case(connection)
        except sa.exc.DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) not in _LOST_RACES:
                raise _translate(error, name) from error
            time.sleep(RETRY_PAUSE_S * attempt)
        except OverflowError as error:  # SQLite's driver says so itself
            raise InvalidRequestError(f"a number is too large to be kept: {error}") from error
    raise UnavailableError(f"too many transactions at once on {name}; try again")


def _translate(error: sa.exc.DBAPIError, name: str) -> Exception:
    reason = str(error.orig).partition("\n")[0]
    if isinstance(error, sa.exc.OperationalError):
        return UnavailableError(f"{name} does not answer ({reason}); try again")
    if isinstance(error, sa.exc.DataError):
        return InvalidRequestError(f"a value cannot be kept: {reason}")
    return error
