"""The app of a PLMS that runs in a process of its own (`tests.fakes.sockets.serve_in_process` calls `build`)."""

from fastapi import FastAPI

from services.kernel.clock import SystemClock
from services.plms.app import create_app, open_plms
from tests.fakes.identity import KnownCallers


def build(database_url: str) -> FastAPI:
    """Return the app over the database at `database_url`."""
    return create_app(open_plms(database_url, SystemClock()), KnownCallers())
