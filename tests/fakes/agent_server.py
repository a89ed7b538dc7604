"""A whole PAS in a process of its own, its models scripted; it kills itself (SIGKILL) at a fault point's n-th pass.

python -m tests.fakes.agent_server HOME FAULT COUNT   (the start request, or nothing, on standard input)

The script is `script.json` in the home: a list of replies by turn, each a list of [tool, arguments].
"""

import asyncio
import json
import os
import signal
import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from services.pas.app import PasParts
from services.pas.core.ports import FaultPoints, NoFaults
from services.pas.models import StartRun
from tests.fakes import pas as fake
from tests.fakes.identity import ENGINEER
from tests.fakes.scripted_broker import Reply, ScriptedBroker


class KillAtPass:
    """A fault point that ends this process the hard way when it is passed for the n-th time."""

    def __init__(self, name: str, count: int) -> None:
        self._name, self._left = name, count

    async def hit(self, name: str) -> None:
        if name == self._name:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def write_script(home: Path, replies: list[list[tuple[str, object]]]) -> None:
    """Keep what the model will say, turn by turn."""
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    (home / "script.json").write_text(json.dumps(replies))


def open_broker(home: Path) -> ScriptedBroker:
    """Return the broker of the home; its ledger is a file, so it outlives the process."""
    replies = json.loads((home / "script.json").read_text())
    script = [Reply(calls=tuple((name, arguments) for name, arguments in calls)) for calls in replies]
    return ScriptedBroker(script, ledger_path=home / "ledger.jsonl")


def open_server(home: Path, faults: FaultPoints | None = None) -> AbstractAsyncContextManager[PasParts]:
    """Open PAS over the home with its scripted broker and the platform's own tools."""
    return fake.running_pas(home, faults, broker=open_broker(home))


async def _serve(home: Path, request: StartRun | None, faults: FaultPoints) -> None:
    async with open_server(home, faults) as parts:
        if request is not None:
            await parts.service.start_run(ENGINEER, request)
        for view in await parts.service.list_runs(ENGINEER, is_active=True):
            await fake.finish(parts, view.run_id)


def main() -> None:
    """Start a run (or take up those there are), and stay until all have ended."""
    home, fault, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    text = sys.stdin.read()
    request = StartRun.model_validate_json(text) if text else None
    asyncio.run(_serve(home, request, NoFaults() if fault == "none" else KillAtPass(fault, count)))


if __name__ == "__main__":
    main()
