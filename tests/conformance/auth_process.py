"""The app of an auth that runs in a process of its own (`tests.fakes.sockets.serve_in_process` calls `build`)."""

from pathlib import Path

from fastapi import FastAPI

from services.auth.app import create_app, create_service
from services.auth.settings import AuthSettings
from services.kernel.clock import SystemClock


def build(keys_dir: str) -> FastAPI:
    """Return the app over the keys in `keys_dir`."""
    clock = SystemClock()
    return create_app(create_service(AuthSettings(keys_dir=Path(keys_dir)), clock), clock)
