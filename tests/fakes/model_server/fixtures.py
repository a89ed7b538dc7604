"""Pytest fixtures: import what you need into a conftest or a test module.

`model_server(script)` runs in the test's event loop; `serve_script(script)` in a process of its own, for tests that run
commands.
"""

import json
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.model_server.server import ScriptedModelServer

REPOSITORY = Path(__file__).resolve().parents[3]
STOP_TIMEOUT_S = 10
PROBE_RULE = {
    "note": "what `direng model add` and `direng model test` ask",
    "when": {"tools_include": "report_ready"},
    "reply": {"tool_calls": [{"name": "report_ready", "arguments": {"word": "ready"}}]},
}


def write_text_call(name: str, **arguments: object) -> str:
    """Return a tool call as the broker's text protocol wants it: what a model without native calls answers."""
    return f"```tool\n{json.dumps({'name': name, 'arguments': arguments})}\n```"


TEXT_PROBE_RULE = {
    "note": "the same, by a model that is spoken to in text",
    "when": {"system_contains": "report_ready", "tools_offered": False},
    "reply": write_text_call("report_ready", word="ready"),
}


class RemoteModelServer:
    """A scripted server in another process: the same URLs, its records over HTTP."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.base_url = f"http://127.0.0.1:{port}"
        self.anthropic_url = self.base_url
        self.openai_url = f"{self.base_url}/v1"

    def requests(self) -> list[dict[str, Any]]:
        """Return every recorded request, oldest first, as RecordedRequest's fields."""
        requests: list[dict[str, Any]] = self._exchange("GET", "/__requests")
        return requests

    def stats(self) -> dict[str, Any]:
        """Return Stats' fields."""
        stats: dict[str, Any] = self._exchange("GET", "/__stats")
        return stats

    def reset(self) -> None:
        """Forget the requests and how often rules were used."""
        self._exchange("POST", "/__reset")

    def play(self, script: object) -> None:
        """Put another script in force."""
        self._exchange("PUT", "/__script", script)

    def _exchange(self, method: str, path: str, body: object = None) -> Any:
        content = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.base_url + path, content, headers, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())


@contextmanager
def run_model_server(script: object, folder: Path, port: int = 0) -> Iterator[RemoteModelServer]:
    """Run the command on `script` (JSON) while the block lasts; `folder` gets the script's file.

    Give `port` to come back where an earlier server was.
    """
    file = folder / "model_script.json"
    file.write_text(json.dumps(script), encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, "-m", "tests.fakes.model_server", "--script", str(file), "--port", str(port)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline().strip()
            if not line:
                raise RuntimeError("the scripted model server did not start; what it printed is above")
            yield RemoteModelServer(int(line))
        finally:
            process.terminate()
            process.wait(STOP_TIMEOUT_S)


@pytest.fixture
def serve_script(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., RemoteModelServer]]:
    """Return a function that starts a server process for a script (and a port); all are stopped at the end."""
    with ExitStack() as stack:

        def start(script: object, port: int = 0) -> RemoteModelServer:
            return stack.enter_context(run_model_server(script, tmp_path_factory.mktemp("models"), port))

        yield start


@pytest.fixture
async def model_server() -> AsyncIterator[Callable[[object], Awaitable[ScriptedModelServer]]]:
    """Return a coroutine function that starts a server in this loop for a script; all are stopped at the end."""
    async with AsyncExitStack() as stack:

        async def start(script: Any) -> ScriptedModelServer:
            return await stack.enter_async_context(ScriptedModelServer(script))

        yield start
