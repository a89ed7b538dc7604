"""How the durable engine (DBOS) is set up for this platform; `services/topology.py` alone creates it."""

import asyncio
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import sqlalchemy as sa
from dbos import DBOS, DBOSConfig
from dbos._serialization import Serializer  # the base class has no public name in 3.4

from services.kernel.db import set_sqlite_pragmas
from services.wire.storage import StorageUnwritableError, refuse_unwritable

APPLICATION_NAME = "direng"
APPLICATION_VERSION = "pas-1"
"""Raised only when running workflows cannot go on under new code; by default DBOS would hash the sources."""


MAX_THREADS = 12
"""DBOS's pool also becomes the event loop's; its default is no limit at all."""


class JsonSerializer(Serializer):
    """Plain JSON instead of pickle: whoever can write the database must not be able to run code here."""

    def name(self) -> str:
        return "direng_json"

    def serialize(self, data: Any) -> str:
        return json.dumps(data, default=_encode_exception, separators=(",", ":"))

    def deserialize(self, serialized_data: str) -> Any:
        return _decode(json.loads(serialized_data))


def _encode_exception(value: object) -> dict[str, str]:
    if isinstance(value, BaseException):
        return {"__exception__": value.__class__.__name__, "message": str(value)}
    raise TypeError(f"{value.__class__.__name__} is no JSON value; steps take and return plain JSON")


def _decode(value: Any) -> Any:
    if isinstance(value, dict) and "__exception__" in value:
        return RuntimeError(f"{value['__exception__']}: {value['message']}")
    return value


def open_workflow_engine(url: str) -> sa.Engine:
    """Return the SQLAlchemy engine that DBOS uses, with the platform's SQLite settings."""
    if not url.startswith("sqlite"):
        return sa.create_engine(url, pool_pre_ping=True)
    engine = sa.create_engine(url)

    def prepare(connection: Any, record: object) -> None:
        set_sqlite_pragmas(connection, record)
        connection.isolation_level = "IMMEDIATE"  # what DBOS sets on engines of its own making

    sa.event.listen(engine, "connect", prepare)
    sa.event.listen(engine, "handle_error", _wait_for_space)
    return engine


def _wait_for_space(context: sa.engine.ExceptionContext) -> None:
    """Have DBOS repeat what meets a full disk: it repeats, by this very phrase, what meets a locked database.

    Otherwise it would lose the end of a workflow that others wait for.
    """
    try:
        refuse_unwritable(context)
    except StorageUnwritableError as error:
        raise StorageUnwritableError(f"{error.detail} (as if: database is locked)") from error


def dbos_config(url: str, engine: sa.Engine, executor_id: str, *, polling_s: float = 1.0) -> DBOSConfig:
    """Return the configuration; `executor_id` is unique per process and the same after its restart.

    `polling_s` is how often DBOS's own listener looks for messages (runs use none) and for the end of the server.
    """
    quiet_dbos_log()
    return DBOSConfig(
        name=APPLICATION_NAME,
        system_database_url=url,
        system_database_engine=engine,
        executor_id=executor_id,
        application_version=APPLICATION_VERSION,
        log_level="WARNING",
        max_executor_threads=MAX_THREADS,
        serializer=JsonSerializer(),
        notification_listener_polling_interval_sec=polling_s,
    )


def quiet_dbos_log() -> None:
    """Send DBOS's log through the root logger (the server's file) instead of its own handler on stderr."""
    logger = logging.getLogger("dbos")
    logger.handlers[:] = [logging.NullHandler()]
    logger.propagate = True
    logger.setLevel(logging.WARNING)


def launch_dbos() -> None:
    """Launch DBOS and the recovery of pending workflows.

    Call it on the event loop's own thread (it blocks for some 100 ms): DBOS runs recovered workflows on the loop it was
    launched from, and runs share semaphores and conditions with the service, which belong to one loop.
    """
    asyncio.get_running_loop()
    DBOS.launch()


async def close_dbos() -> None:
    """Destroy DBOS and give the event loop a thread pool of its own again.

    DBOS makes its pool the loop's default one and shuts it down with itself; without this nothing that closes after it
    could use a thread. Stop the workflows first (`PasParts.drain`).
    """
    await asyncio.to_thread(DBOS.destroy)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(thread_name_prefix="asyncio"))
