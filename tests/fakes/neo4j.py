"""A real Neo4j server for tests, from the folder of test services beside this repository.

Where that folder is absent the tests skip and say so: users get the server from docker-compose.yml.
"""

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "services" / "neo4j"
START_TIMEOUT_S = 90
QUICK_START = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto"
"""A server of a minute's life gains nothing from the second compiler."""


def find_fault() -> str:
    """Return why no server can be had here, or nothing."""
    if not (FOLDER / "start").exists():
        return f"no Neo4j for tests: {FOLDER.name} is not beside this repository"
    if shutil.which("java") is None:
        return "no Neo4j for tests: java is not installed (openjdk-17-jre-headless)"
    return ""


class Server:
    """A running server; its data survive a stop, and a kill."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self.url = ""

    def start(self) -> None:
        """Start, on the former port when there was one."""
        port = ["--port", self.url.rsplit(":", 1)[1]] if self.url else []
        done = subprocess.run(
            [FOLDER / "start", "--data", self._data, "--heap", "300m", *port],
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "JAVA_TOOL_OPTIONS": QUICK_START},
            timeout=START_TIMEOUT_S,
            check=True,
        )
        self.url = done.stdout.split("NEO4J_URI=")[1].split("\n")[0]

    def kill(self) -> None:
        """Kill at once, as a crash does."""
        pid = int((self._data / "pid").read_text())
        os.kill(pid, 9)
        while _is_running(pid):
            time.sleep(0.05)
        (self._data / "pid").unlink()

    def hang(self) -> None:
        """Answer nothing any more, and keep the connections."""
        os.kill(int((self._data / "pid").read_text()), signal.SIGSTOP)

    def go_on(self) -> None:
        """End `hang`."""
        os.kill(int((self._data / "pid").read_text()), signal.SIGCONT)


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@contextmanager
def run_server(data: Path) -> Iterator[Server]:
    """Run a server of its own."""
    fault = find_fault()
    if fault:
        pytest.skip(fault)
    server = Server(data)
    server.start()
    try:
        yield server
    finally:
        server.kill()


class SlowWire:
    """A way to a server on which everything that it says arrives late; `url` leads over it."""

    def __init__(self, url: str) -> None:
        self._delay_s = 0.0
        self._port = int(url.rsplit(":", 1)[1])
        self._open: list[socket.socket] = []
        self._hurried = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"bolt://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def slow_down(self, delay_s: float) -> None:
        """Hold back each piece of what the server says."""
        self._delay_s = delay_s
        self._hurried.clear()

    def hurry(self) -> None:
        """End the delay, also of what is on its way."""
        self._delay_s = 0.0
        self._hurried.set()

    def close(self) -> None:
        """Cut every connection."""
        self.hurry()
        for one in (self._listener, *self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _address = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._port))
                self._open += [client, server]
                threading.Thread(target=_pass_on, args=(client, server, lambda: None), daemon=True).start()
                threading.Thread(target=_pass_on, args=(server, client, self._wait), daemon=True).start()

    def _wait(self) -> None:
        if self._delay_s:
            self._hurried.wait(self._delay_s)


def _pass_on(source: socket.socket, target: socket.socket, wait: Callable[[], None]) -> None:
    with suppress(OSError):
        while content := source.recv(65_536):
            wait()
            target.sendall(content)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


@contextmanager
def run_slow_wire(url: str) -> Iterator[SlowWire]:
    """Open a way to a server that can be slow."""
    wire = SlowWire(url)
    try:
        yield wire
    finally:
        wire.close()
