"""A real Neo4j server for tests, from the folder of test services beside this repository.

Where that folder is absent the tests skip and say so: users get the server from docker-compose.yml.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
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
