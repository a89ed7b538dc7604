"""An agent card without a sandbox: real store, journal, trees and loop; plain tools, tests that are predicates."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from services.broker.models import ToolCall, ToolSpec
from services.kernel.db import open_engine, sqlite_url, upgrade_schema
from services.kernel.vocabulary import Lane, RunState, TaskState
from services.pas import workflows
from services.pas.app import PasParts
from services.pas.core.isolation import ExecResult, IsolationReport, SandboxCommand
from services.pas.core.ports import FaultPoints
from services.pas.core.runs import Settled
from services.pas.executors.agent.toolbox import TestRun, ToolResult, ToolScene
from services.pas.journal import SqlStepJournal
from services.pas.models import AgentPayload, JobCard, RunView, StartRun, TestCounts
from tests.fakes import pas as fake
from tests.fakes.identity import ENGINEER
from tests.fakes.scripted_broker import ScriptedBroker

SAMPLE = {
    "shop/price.py": "def total(prices):\n    return sum(prices) + 1\n",
    "shop/tax.py": "RATE = 0\n",
    "README.md": "# Shop\n",
}
TASK = "fix"


class NoSandbox:
    """Satisfies Isolation for cards whose tools run nothing; running a command fails the test."""

    async def run(self, command: SandboxCommand, *, cancel: asyncio.Event | None = None) -> ExecResult:
        raise AssertionError(f"nothing may be executed here: {command.argv}")

    def reclaim(self, workspace: Path) -> None:
        del workspace

    def describe(self) -> IsolationReport:
        return IsolationReport("test", (), ())


def spec(name: str) -> ToolSpec:
    """Return a tool's description that says little."""
    return ToolSpec(name=name, description=f"does {name}", parameters={"type": "object"})


Judge = Callable[[Path], Mapping[str, bool]]
"""Says of each test whether it passes in a folder; an empty answer: the tests could not run."""


def adds_up(folder: Path) -> dict[str, bool]:
    """Return the tests of the sample: the total is right, the rate is set, and something that always fails."""
    scope: dict[str, object] = {}
    exec((folder / "shop/price.py").read_text(), scope)
    total = scope["total"]
    return {
        "test_total": callable(total) and total([1, 2]) == 3,
        "test_rate": "RATE = 19" in (folder / "shop/tax.py").read_text(),
        "test_old": False,
        "test_still": (folder / "README.md").exists(),
    }


@dataclass
class PlainTools:
    """Reads, writes, judges and finishes; `ran` lists the calls that were carried out, with their folders."""

    judge: Judge = adds_up
    ran: list[str] = field(default_factory=list)
    gate: asyncio.Event | None = None
    """A read waits for it."""
    is_reading: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        return tuple(spec(name) for name in ("fs_read", "fs_write", "fs_remove", "run_test", "finish"))

    async def run(self, call: ToolCall, scene: ToolScene) -> ToolResult:
        self.ran.append(call.name)
        if self.gate is not None and call.name == "fs_read":
            self.is_reading.set()
            await self.gate.wait()
        try:
            arguments = json.loads(call.arguments)
        except ValueError:
            return ToolResult(text="the arguments are no JSON", line="malformed", is_error=True)
        acts = {
            "fs_read": self._read,
            "fs_write": self._write,
            "fs_remove": self._remove,
            "run_test": self._test,
            "finish": self._finish,
        }
        if call.name not in acts:
            return ToolResult(text=f"there is no tool {call.name}", line="unknown tool", is_error=True)
        return acts[call.name](arguments, scene)

    def _read(self, arguments: Mapping[str, str], scene: ToolScene) -> ToolResult:
        path = arguments["path"]
        if not scene.allowlist.check_path(path).is_allowed:
            line = f"{path} may not be read"
            return ToolResult(text=line, line=line, is_error=True, denied=(line,))
        place = scene.folder / path
        if not place.is_file():
            return ToolResult(text=f"there is no file {path}", line=f"no {path}", is_error=True)
        content = place.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        return ToolResult(text=content.decode(), line=f"reads {path}", shown={path: digest})

    def _write(self, arguments: Mapping[str, str], scene: ToolScene) -> ToolResult:
        path = arguments["path"]
        return ToolResult(text="written", line=f"writes {path}", changes={path: arguments["text"].encode()})

    def _remove(self, arguments: Mapping[str, str], scene: ToolScene) -> ToolResult:
        return ToolResult(text="removed", line="removes", changes={arguments["path"]: None})

    def _test(self, arguments: Mapping[str, list[str]], scene: ToolScene) -> ToolResult:
        outcomes = self.judge(scene.folder)
        failing = tuple(sorted(name for name, is_good in outcomes.items() if not is_good))
        passed = len(outcomes) - len(failing)
        counts = TestCounts(collected=len(outcomes), passed=passed, failed=len(failing), errors=0, skipped=0)
        line = f"{passed} passed, {len(failing)} failed"
        run = TestRun(counts, failing, is_unknown=not outcomes, detail=None)
        return ToolResult(text=line, line=line, tests=run)

    def _finish(self, arguments: Mapping[str, str], scene: ToolScene) -> ToolResult:
        return ToolResult(text="", line="finishes", is_done=True)


def agent_card(task_id: str = TASK, **options: object) -> JobCard:
    """Return an agent card; payload fields may be given as options."""
    names = set(AgentPayload.model_fields)
    payload = {"goal": "Mend the total"} | {key: value for key, value in options.items() if key in names}
    rest = {key: value for key, value in options.items() if key not in names}
    settings = {"lane": Lane.CODE_IMPL, "title": f"Card {task_id}", "configuration": "agent/first"} | rest
    return JobCard(task_id=task_id, payload=AgentPayload(**payload), **settings)


def agent_start(repository: Path, *cards: JobCard, run_id: str = "run-1", **options: object) -> StartRun:
    """Return the request for a run that may spend a dollar."""
    request = fake.start(repository, *(cards or (agent_card(),)), run_id=run_id)
    return request.model_copy(update={"max_cost_microusd": 1_000_000} | options)


@dataclass
class AgentBench:
    """A PAS without workflows: the test drives the attempts itself."""

    parts: PasParts
    broker: ScriptedBroker
    tools: PlainTools
    home: Path
    repository: Path

    async def begin(self, *cards: JobCard, **options: object) -> StartRun:
        """Store a run and set it going."""
        request = agent_start(self.repository, *cards, **options)
        await self.parts.service.start_run(ENGINEER, request)
        await workflows._runtime().runs.begin(request.run_id)
        return request

    async def attempt(self, task_id: str = TASK, number: int = 1, run_id: str = "run-1") -> TaskState:
        """Run one attempt of a card to its end."""
        return await workflows._runtime().cards.run_attempt(run_id, task_id, number)

    async def finish(self, run_id: str = "run-1") -> None:
        """Bring a run whose cards have ended to its end."""
        await workflows._runtime().runs.finish(run_id, Settled.DONE)

    async def work(self, *cards: JobCard, **options: object) -> RunView:
        """Store a run, run the first attempt of its card, and return the run."""
        await self.begin(*cards, **options)
        await self.attempt()
        return await self.view()

    async def view(self, run_id: str = "run-1") -> RunView:
        """Return the run."""
        return await self.parts.service.get_run(ENGINEER, run_id)

    async def await_state(self, state: RunState) -> None:
        """Wait until the run stands there."""
        async with asyncio.timeout(20):
            while True:
                heard = self.parts.bell.listen()
                if (await self.view()).state is state:
                    return
                await self.parts.bell.wait(heard)

    async def events(self, run_id: str = "run-1") -> list[tuple[str, str]]:
        """Return kind and text of all events so far."""
        return [(event.kind.value, event.text) for event in await self.parts.store.read_events(run_id, 0)]

    async def steps(self, task_id: str = TASK, number: int = 1, run_id: str = "run-1") -> list[str]:
        """Return the keys of the recorded steps."""
        journal = SqlStepJournal(self.parts.engine)
        return [step.key for step in await journal.read_steps(run_id, task_id, number)]

    def read_result(self, tree: str) -> dict[str, str]:
        """Return the files of a result tree."""
        stores = list((self.home / "trees").glob("*.git"))
        names = fake.git(stores[0], "ls-tree", "-r", "--name-only", tree).splitlines()
        return {name: fake.git(stores[0], "cat-file", "blob", f"{tree}:{name}") for name in names}


@cache
def empty_database() -> bytes:
    """Return a database of PAS with its tables and no rows: migrating each test's own costs more than the test."""
    with TemporaryDirectory() as folder:
        place = Path(folder) / "pas.db"
        engine = open_engine(sqlite_url(place))
        upgrade_schema(engine, "services.pas")
        engine.dispose()
        return place.read_bytes()


@asynccontextmanager
async def agent_bench(
    folder: Path,
    broker: ScriptedBroker,
    tools: PlainTools | None = None,
    faults: FaultPoints | None = None,
    files: Mapping[str, str] = SAMPLE,
) -> AsyncIterator[AgentBench]:
    """Open a PAS over `folder/home` for a repository of `files` at `folder/repo`, made when it is not there."""
    repository, home, plain = folder / "repo", folder / "home", tools or PlainTools()
    if not repository.exists():
        fake.make_repository(repository, files)
    if not home.exists():
        home.mkdir(mode=0o700)
        (home / "pas.db").write_bytes(empty_database())
    async with fake.running_pas(
        home, faults, isolation=NoSandbox(), broker=broker, tools=plain, is_launching=False
    ) as parts:
        yield AgentBench(parts, broker, plain, home, repository)
