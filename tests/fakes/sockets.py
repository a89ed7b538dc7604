"""Real servers on ephemeral loopback ports: in this process (`serve`) and in a process of their own.

Run as `python -m tests.fakes.sockets MODULE:FUNCTION [ARG...]`, this module serves the ASGI app that the function
returns and prints its port as the first line.
"""

import asyncio
import importlib
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import uvicorn
from fastapi import FastAPI

REPOSITORY = Path(__file__).parents[2]
STOP_TIMEOUT_S = 20


def _open_socket() -> socket.socket:
    # As services.host does: asyncio sets TCP_NODELAY only where the protocol is named.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    return listener


def _make_server(app: FastAPI) -> uvicorn.Server:
    return uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, ws="none", lifespan="on"))


@asynccontextmanager
async def serve(app: FastAPI) -> AsyncIterator[str]:
    """Serve `app` on this event loop while the block runs; yield its base URL."""
    listener = _open_socket()
    server = _make_server(app)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started:
            if task.done():
                await task
                raise RuntimeError("the server ended before it started; its log says why")
            await asyncio.sleep(0.005)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        listener.close()


@contextmanager
def serve_in_process(factory: str, *args: str) -> Iterator[str]:
    """Serve the app that `factory` ("module:function") returns for `args` from a new process; yield its base URL."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.fakes.sockets", factory, *args],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            port = process.stdout.readline().strip()
            if not port:
                raise RuntimeError(f"{factory} did not start; its traceback is above")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(STOP_TIMEOUT_S)


async def _serve_forever(app: FastAPI) -> None:
    listener = _open_socket()
    # The backlog of the listening socket holds a client that comes before uvicorn accepts.
    listener.listen()
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    await _make_server(app).serve(sockets=[listener])


def main() -> None:
    """Serve the app named on the command line."""
    module, _, function = sys.argv[1].partition(":")
    app = getattr(importlib.import_module(module), function)(*sys.argv[2:])
    asyncio.run(_serve_forever(app))


if __name__ == "__main__":
    main()
