"""A whole PAS over a home folder, with real bubblewrap, real git and a real key; small repositories to run it on."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from dbos import DBOS

from services.artifacts.store import ObstoreArtifactStore
from services.broker.protocol import Broker
from services.home import Home
from services.kernel.clock import SystemClock
from services.kernel.db import sqlite_url
from services.kernel.ids import RunId
from services.kernel.vocabulary import RUN_TRANSITIONS, Lane, is_final
from services.pas.app import PasParts, PasPorts, open_pas
from services.pas.core.allowlist import Allowlist
from services.pas.core.isolation import Isolation
from services.pas.core.ports import ArtifactBox, FaultPoints, NoFaults
from services.pas.core.service import PasService
from services.pas.engine import close_dbos, dbos_config, launch_dbos, open_workflow_engine
from services.pas.executors.agent.hands import Toolset
from services.pas.models import (
    CONTRACT_VERSION,
    CommandPayload,
    JobCard,
    PassportBasis,
    RecipePayload,
    RunCommand,
    RunView,
    StartRun,
    TestsPayload,
    TreeRef,
)
from services.pas.passport.signature import ARCHIVE, RingSigner
from services.pas.sandbox.bubblewrap import BubblewrapIsolation
from services.vector_ops.protocol import VectorOps
from tests.fakes.callers import FixedCallers
from tests.fakes.identity import ENGINEER

WAIT_S = 60
SAMPLE = {
    "shapes.py": "def area(width, height):\n    return width * height\n",
    "report.py": "from shapes import area\n\n\ndef describe(width, height):\n    return f'{area(width, height)} m2'\n",
    "tests/test_shapes.py": "from shapes import area\n\n\ndef test_area():\n    assert area(2, 3) == 6\n",
    "README.md": "# Shapes\n\nCall `area` to get the area.\n",
}


@cache
def open_isolation() -> BubblewrapIsolation:
    """Return one sandbox for all tests of this process: probing takes a while."""
    return BubblewrapIsolation()


@cache
def signing_key() -> tuple[str, rsa.RSAPrivateKey]:
    """Return the key that signs passports in tests."""
    return "test-key", rsa.generate_private_key(65537, 2048)


def make_repository(folder: Path, files: Mapping[str, str] = SAMPLE) -> Path:
    """Return a git repository with one commit of `files`."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "-c", "user.name=Ada", "-c", "user.email=ada@example.org", "commit", "-q", "-m", "First commit")
    return folder


def git(folder: Path, *words: str) -> str:
    """Run git in a repository of the test's own making and return its output."""
    return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def basis(repository: Path) -> PassportBasis:
    """Return a passport basis for the repository."""
    return PassportBasis(repo=str(repository), prd_sha256="0" * 64, contract_version=CONTRACT_VERSION)


def start(repository: Path, *cards: JobCard, run_id: str | None = None, title: str = "A run") -> StartRun:
    """Return the request for a run."""
    return StartRun(project_id="p-1", run_id=run_id, title=title, passport_basis=basis(repository), cards=cards)


def _card(task_id, configuration, payload, deps, **options) -> JobCard:
    settings = {"lane": Lane.CODE_IMPL, "title": f"Card {task_id}"} | options
    return JobCard(task_id=task_id, configuration=f"recipe/{configuration}", payload=payload, deps=deps, **settings)


def rename(task_id: str, old: str, new: str, *deps: str, part: str = "code", attempts: int = 1) -> JobCard:
    """Return a rename card."""
    payload = RecipePayload(recipe="rename-symbol", params={"old": old, "new": new, "part": part})
    lane = Lane.CODE_IMPL if part == "code" else Lane.NARRATIVE
    return _card(task_id, "rename-symbol", payload, deps, lane=lane, max_attempts=attempts)


def formatting(task_id: str, *deps: str, paths: tuple[str, ...] = ()) -> JobCard:
    """Return a format card."""
    payload = RecipePayload(recipe="format", params={"paths": list(paths)})
    return _card(task_id, "format", payload, deps)


def check_tests(task_id: str, *deps: str, tree: TreeRef = TreeRef.INPUT, paths: tuple[str, ...] = ()) -> JobCard:
    """Return a test card."""
    return _card(task_id, "run-tests", TestsPayload(paths=paths, tree=tree), deps)


def command(task_id: str, *argv: str, deps: tuple[str, ...] = (), lane: Lane = Lane.CODE_IMPL) -> JobCard:
    """Return a command card."""
    return _card(task_id, "command", CommandPayload(argv=argv), deps, lane=lane)


def slow_repository(folder: Path, seconds: float) -> Path:
    """Return the sample with a test that takes `seconds` of sleep."""
    imports = "import time\n\nfrom shapes import area\n\n\n"
    slow = f"{imports}def test_slow():\n    time.sleep({seconds})\n    assert area(1, 1)\n"
    return make_repository(folder, {**SAMPLE, "tests/test_slow.py": slow})


@asynccontextmanager
async def running_pas(
    home: Path,
    faults: FaultPoints | None = None,
    allowlists: Mapping[Lane, Allowlist] | None = None,
    isolation: Isolation | None = None,
    artifacts: ArtifactBox | None = None,
    *,
    broker: Broker | None = None,
    vector_ops: VectorOps | None = None,
    tools: Toolset | None = None,
    is_launching: bool = True,
) -> AsyncIterator[PasParts]:
    """Open PAS with its durable engine on this event loop; drain and close it when the block ends."""
    Home(home).create()
    ports = PasPorts(
        home=home,
        database_url=sqlite_url(home / "pas.db"),
        clock=SystemClock(),
        signer=RingSigner(signing_key, home / ARCHIVE),
        isolation=isolation or open_isolation(),
        artifacts=artifacts or await ObstoreArtifactStore.open_folder(home / "artifacts"),
        faults=faults or NoFaults(),
        allowlists=allowlists,
        broker=broker,
        vector_ops=vector_ops,
        callers=FixedCallers(),
        tools=tools,
    )
    parts = open_pas(ports)
    if not is_launching:
        try:
            yield _without_launch(parts)
        finally:
            parts.close()
        return
    url = sqlite_url(home / "workflows.db")
    engine = open_workflow_engine(url)
    DBOS(config=dbos_config(url, engine, "test-server", polling_s=0.02))
    launch_dbos()
    await parts.recover()
    try:
        yield parts
    finally:
        await parts.drain()
        await close_dbos()
        parts.close()
        engine.dispose()


def _without_launch(parts: PasParts) -> PasParts:
    """Return PAS as it is when the server dies right after a run was stored."""

    async def die(_run_id: RunId) -> None:
        return

    service = PasService(replace(parts.service._parts, launch=die))
    return replace(parts, service=service)


def reason(run_id: str) -> RunCommand:
    """Return a command with a reason."""
    return RunCommand(run_id=run_id, reason="a test asks for it")


async def finish(parts: PasParts, run_id: str) -> RunView:
    """Wait for the end of a run and return it."""
    async with asyncio.timeout(WAIT_S):
        async for _ in parts.service.watch_run(ENGINEER, run_id):
            pass
    return await parts.service.get_run(ENGINEER, run_id)


async def wait_until(parts: PasParts, run_id: str, is_reached: Callable[[RunView], bool]) -> RunView:
    """Wait until the run looks as wanted; fail when it ends before."""
    async with asyncio.timeout(WAIT_S):
        while True:
            view = await parts.service.get_run(ENGINEER, run_id)
            if is_reached(view):
                return view
            assert not is_final(RUN_TRANSITIONS, view.state), f"the run ended as {view.state}: {view.reason}"
            await asyncio.sleep(0.02)


class KillAt:
    """A fault point that ends this process the hard way."""

    def __init__(self, name: str, delay_s: float = 0.0) -> None:
        self._name = name
        self._delay_s = delay_s

    async def hit(self, name: str) -> None:
        if name == self._name:
            await asyncio.sleep(self._delay_s)
            os.kill(os.getpid(), signal.SIGKILL)


async def _run_in_process(home: Path, request: StartRun | None, fault: str) -> None:
    """Start a run (or take up those there are), and stay until all have ended."""
    faults = KillAt(fault, 0.2 if fault == "card_running" else 0.0) if fault else NoFaults()
    async with running_pas(home, faults) as parts:
        if request is not None:
            await parts.service.start_run(ENGINEER, request)
        for view in await parts.service.list_runs(ENGINEER, is_active=True):
            await finish(parts, view.run_id)


def main() -> None:
    """Run as `python -m tests.fakes.pas HOME FAULT` with the start request, or nothing, on standard input."""
    home, fault = Path(sys.argv[1]), sys.argv[2]
    text = sys.stdin.read()
    request = StartRun.model_validate_json(text) if text else None
    asyncio.run(_run_in_process(home, request, "" if fault == "none" else fault))


if __name__ == "__main__":
    main()
