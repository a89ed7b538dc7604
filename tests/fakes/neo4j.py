"""A real Neo4j server for tests, from the folder of test services beside this repository.

`DIRENG_TEST_NEO4J_URL` names a running server instead, without authentication. Where neither is there the tests skip
and say so: users get the server from docker-compose.yml.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "services" / "neo4j"
START_TIMEOUT_S = 90


def find_fault() -> str:
    """Return why no server can be had here, or nothing."""
    if os.environ.get("DIRENG_TEST_NEO4J_URL"):
        return ""
    if not (FOLDER / "start").exists():
        return f"no Neo4j for tests: {FOLDER.name} is not beside this repository, and DIRENG_TEST_NEO4J_URL is not set"
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
            [FOLDER / "start", "--data", self._data, "--heap", "400m", *port],
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=START_TIMEOUT_S,
            check=True,
        )
        self.url = done.stdout.split("NEO4J_URI=")[1].split("\n")[0]

    def kill(self) -> None:
        """Kill at once, as a crash does."""
        pid = int((self._data / "pid").read_text())
        os.kill(pid, 9)
        while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]:
            pass


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


@contextmanager
def shared_url(data: Path) -> Iterator[str]:
    """Yield the URL of a server: the one that the environment names, or one of its own."""
    given = os.environ.get("DIRENG_TEST_NEO4J_URL")
    if given:
        yield given
        return
    with run_server(data) as server:
        yield server.url
