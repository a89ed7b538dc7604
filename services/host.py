"""The local server: one process a home, every service on its own loopback port (ARCHITECTURE.md, "Processes").

python -I -m services.host --home DIR
"""

import argparse
import asyncio
import contextlib
import errno
import fcntl
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from services.home import Home, ServerFile, default_home
from services.kernel.clock import SystemClock, to_iso
from services.kernel.errors import ConflictError, PlatformError, UnavailableError
from services.kernel.log import configure_logging
from services.kernel.version import VERSION
from services.kernel.vocabulary import PORTS, ServiceName
from services.topology import Platform, Wiring, embedded

LOG = logging.getLogger("direng.host")
HOST = "127.0.0.1"
GRACEFUL_SHUTDOWN_S = 3
TOKEN_CHECK_S = 60.0
LOCK_TRIES = 5
LOCK_PAUSE_S = 0.02


class HomeLockedError(ConflictError):
    """Another server holds this home."""

    code = "host.home_locked"


class PortTakenError(UnavailableError):
    """Another program listens on a port of ours."""

    code = "host.port_taken"


@contextmanager
def lock_home(home: Home) -> Iterator[None]:
    """Hold the home's lock; raise HomeLockedError when another server does."""
    with home.lock_file.open("a+") as file:
        if not _try_lock(file):
            file.seek(0)
            owner = file.read().strip() or "unknown"
            raise HomeLockedError(f"a server already runs on {home.path} (process {owner}); stop it with `direng down`")
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _try_lock(file: TextIO) -> bool:
    for _ in range(LOCK_TRIES):  # a command that looks who holds the lock holds it for some microseconds itself
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(LOCK_PAUSE_S)
    return False


def bind_ports(services: tuple[ServiceName, ...], *, is_fixed: bool) -> dict[ServiceName, socket.socket]:
    """Bind one loopback socket a service: on its fixed port, or on any free one.

    Raises PortTakenError naming the port and the way out; nothing stays bound then.
    """
    bound: dict[ServiceName, socket.socket] = {}
    for service in services:
        # asyncio sets TCP_NODELAY only where the protocol is named; without it each answer waits 40 ms for an ACK.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        port = PORTS[service] if is_fixed else 0
        try:
            listener.bind((HOST, port))
            listener.listen(128)
        except OSError as error:
            for other in (listener, *bound.values()):
                other.close()
            why = (
                "is taken by another program"
                if error.errno == errno.EADDRINUSE
                else f"cannot be used ({error.strerror})"
            )
            cure = "stop that program, or set DIRENG_HOME to another folder: its server takes free ports"
            raise PortTakenError(f"port {port} ({service}) {why}; {cure}") from None
        bound[service] = listener
    return bound


def dispatch_by_port(apps: Mapping[int, ASGIApp]) -> ASGIApp:
    """Return one ASGI app that serves each port with its own: a single uvicorn loop for all services saves idle CPU."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        await apps[scope["server"][1]](scope, receive, send)

    return serve


class _Server(uvicorn.Server):
    """uvicorn without its own signal handling: the host drains in its own order."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def run(home: Home, wiring: Wiring | None = None) -> None:
    """Serve until SIGTERM or SIGINT, then drain: no new requests, running cards stop, their runs stay recoverable."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    is_fixed = home.path == default_home(os.environ)
    with lock_home(home):
        home.server_file.unlink(missing_ok=True)  # a killed server leaves its file behind
        listeners = bind_ports(Platform.SERVICES, is_fixed=is_fixed)
        ports = {service: listener.getsockname()[1] for service, listener in listeners.items()}
        async with embedded(home, wiring or Wiring()) as platform:
            await _serve(home, platform, listeners, ports, stop)


async def _serve(
    home: Home,
    platform: Platform,
    listeners: Mapping[ServiceName, socket.socket],
    ports: Mapping[ServiceName, int],
    stop: asyncio.Event,
) -> None:
    app = dispatch_by_port({ports[service]: platform.apps[service] for service in listeners})
    config = uvicorn.Config(
        app,
        lifespan="off",
        ws="none",  # no service speaks it, and its library stays loaded
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACEFUL_SHUTDOWN_S,
    )
    server = _Server(config)
    serving: asyncio.Task[object] = asyncio.create_task(server.serve(sockets=list(listeners.values())))
    renewing: asyncio.Task[object] = asyncio.create_task(_keep_published(home, platform, ports))
    LOG.info("serving %s", {service.value: port for service, port in ports.items()})
    waiting: asyncio.Task[object] = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait({serving, renewing, waiting}, return_when=asyncio.FIRST_COMPLETED)
    LOG.info("draining")
    home.server_file.unlink(missing_ok=True)
    await platform.begin_drain()
    server.should_exit = True
    for task in (renewing, waiting):
        task.cancel()
    await asyncio.gather(serving, renewing, waiting, return_exceptions=True)
    for task in done - {waiting}:
        task.result()  # a task that ended by itself ended by an error: let it be seen


async def _keep_published(home: Home, platform: Platform, ports: Mapping[ServiceName, int]) -> None:
    """Publish the server with fresh user tokens, and again whenever half of their life is over."""
    clock = SystemClock()
    started_at = to_iso(clock.now())
    renew_at = 0.0
    while True:
        if clock.now().timestamp() >= renew_at:
            tokens, expires_at = await platform.mint_user_tokens()
            home.write_server(
                ServerFile(
                    pid=os.getpid(),
                    version=VERSION,
                    started_at=started_at,
                    ports={service.value: port for service, port in ports.items()},
                    tokens={service.value: token for service, token in tokens.items()},
                    tokens_expire_at=expires_at,
                )
            )
            now = clock.now().timestamp()
            renew_at = now + (expires_at - now) / 2
        await asyncio.sleep(TOKEN_CHECK_S)


def main() -> int:
    """Run the server of one home; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m services.host", description="Serve the platform for one home.")
    parser.add_argument("--home", type=Path, required=True)
    home = Home(parser.parse_args().home.absolute())
    os.umask(0o077)
    try:
        home.create()
        configure_logging(home.log_file)
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(run(home))
    except PlatformError as error:
        sys.stderr.write(f"{error.detail}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
