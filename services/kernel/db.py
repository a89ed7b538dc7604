"""One way to open a database: SQLite (WAL, immediate writes) embedded, PostgreSQL when scaled.

SQLite settings follow facts measured for this project (ADR-0002): WAL with synchronous=NORMAL, foreign keys on, a busy
timeout, and BEGIN IMMEDIATE for every transaction, so that a read that turns into a write can never deadlock.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import ParamSpec, TypeVar

import sqlalchemy as sa

P = ParamSpec("P")
R = TypeVar("R")

NAMING_CONVENTION = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
BUSY_TIMEOUT_S = 30
WAL_TRIES = 100
WAL_PAUSE_S = 0.02
MIGRATION_LOCK_ID = 7_209_811


def new_metadata() -> sa.MetaData:
    """Return a MetaData whose constraint names are stable on every database."""
    return sa.MetaData(naming_convention=NAMING_CONVENTION)


def sqlite_url(path: Path) -> str:
    """Return the SQLAlchemy URL of a SQLite file."""
    return f"sqlite:///{path}"


def set_sqlite_pragmas(connection: object, _record: object = None) -> None:
    """Prepare a fresh SQLite connection; a no-op for other databases."""
    if not isinstance(connection, sqlite3.Connection):
        return
    for pragma in (f"busy_timeout={BUSY_TIMEOUT_S * 1000}", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
    _switch_to_wal(connection)


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """Make the file WAL, which lasts; SQLite does not wait for its busy timeout here when two openers race."""
    for _ in range(WAL_TRIES):
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            time.sleep(WAL_PAUSE_S)
        else:
            return
    connection.execute("PRAGMA journal_mode=WAL")


def open_engine(url: str) -> sa.Engine:
    """Return an engine for `url` with the platform's connection settings; the caller disposes of it."""
    if not url.startswith("sqlite"):
        return sa.create_engine(url, pool_pre_ping=True)
    # pysqlite's own transaction handling is switched off: "begin" below opens every transaction with the write lock.
    engine = sa.create_engine(url, connect_args={"isolation_level": None, "check_same_thread": False})
    sa.event.listen(engine, "connect", set_sqlite_pragmas)
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine


def upgrade_schema(engine: sa.Engine, package: str) -> None:
    """Bring the database to the newest Alembic revision of `package` (a package with a `migrations` folder).

    The file of revision 0001 is named `versions/m0001_<what>.py`; a test holds names and revisions together.
    """
    if _is_current(engine, package):
        return
    # Alembic costs 100 ms and 11 MB: only a start that has something to migrate pays for it.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    # Config values are interpolated: a percent sign in a path must be doubled.
    config.set_main_option("script_location", str(files(package) / "migrations").replace("%", "%%"))
    with engine.connect() as connection:
        _prepare_for_migration(connection)
        with connection.begin():
            _wait_for_other_migrations(connection)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        connection.invalidate()  # the next user of the pool gets a connection with foreign keys on again


def _is_current(engine: sa.Engine, package: str) -> bool:
    versions = (path.name for path in (files(package) / "migrations" / "versions").iterdir())
    newest = max((name for name in versions if name.startswith("m")), default="")
    with engine.begin() as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return False
        found = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    return found == newest[1:5]


def _prepare_for_migration(connection: sa.Connection) -> None:
    """Switch foreign keys off on SQLite: a batch migration re-creates tables (inside a transaction it is too late)."""
    if connection.dialect.name == "sqlite":
        connection.connection.cursor().execute("PRAGMA foreign_keys=OFF")


def _wait_for_other_migrations(connection: sa.Connection) -> None:
    """Let one process migrate at a time: SQLite's BEGIN IMMEDIATE does so already, PostgreSQL needs a lock."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK_ID)))


async def in_thread(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run a blocking store method off the event loop; context variables (the trace id) go along."""
    return await asyncio.to_thread(function, *args, **kwargs)
