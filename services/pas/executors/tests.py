"""Test cards: the project's tests, on its own tree, with its own interpreter when it has one."""

import asyncio
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from services.kernel.errors import InvalidRequestError
from services.kernel.vocabulary import Lane
from services.pas.core.argument import INPUTS_TARGET
from services.pas.core.isolation import WORKSPACE_TARGET, ExecResult
from services.pas.core.ports import ArtifactBox, CardResult, CardWork
from services.pas.executors.recipe import fail, first_line, keep_at
from services.pas.executors.workbench import Order, Programs, Workbench, explain_stop
from services.pas.models import ArtifactRef, CardOutcome, TestCounts, TestsPayload
from services.pas.recipes.commands import RESULT_MARKER, TestReport, parse_test_output, pytest_argv
from services.pas.recipes.models import TestParams

DRIVER_FILE = "driver.py"


@dataclass(frozen=True)
class TestOrder:
    """Which tests to run: those of `paths`, or the project's own default, in `folder` with `repo`'s interpreter.

    `place` names the folder of the artifacts in the run jacket.
    """

    __test__ = False

    lane: Lane
    folder: Path
    repo: Path
    paths: tuple[str, ...]
    place: str


@dataclass(frozen=True)
class TestExecution:
    """What an execution recorded. `stopped` is why it did not end by itself; the report then says nothing.

    `artifacts` are the report and the output, none when nothing was proved.
    """

    __test__ = False

    report: TestReport
    result: ExecResult
    stopped: str | None
    artifacts: tuple[ArtifactRef, ...]

    @property
    def counts(self) -> TestCounts:
        """Return how many tests did what."""
        return _count(self.report)

    @property
    def summary(self) -> str:
        """Return one line for people."""
        return self.stopped or _summarise(self.report)

    @property
    def detail(self) -> ArtifactRef | None:
        """Return where the full report is."""
        return self.artifacts[0] if self.artifacts else None

    @property
    def is_proved(self) -> bool:
        """Return whether the tests themselves were judged, with whatever result."""
        return not (self.report.status == "failed" and self.report.reason is not None)

    @property
    def output(self) -> str:
        """Return what the tests printed, without the report's own line."""
        text = self.result.stdout.decode("utf-8", "replace")
        return text.partition(f"\n{RESULT_MARKER}")[0]


async def run_tests(
    bench: Workbench, artifacts: ArtifactBox, programs: Programs, order: TestOrder, cancel: asyncio.Event
) -> TestExecution:
    """Run tests in the sandbox and keep their report and output as artifacts.

    Raises CommandDeniedError or IsolationUnavailableError before anything ran.
    """
    driver = f"{INPUTS_TARGET}/{DRIVER_FILE}"
    python = await asyncio.to_thread(choose_interpreter, order.repo, programs.python)
    params, is_own = TestParams(paths=order.paths), python != programs.python
    command = Order(
        lane=order.lane,
        argv=tuple(pytest_argv(params, driver, WORKSPACE_TARGET, is_own_interpreter=is_own)),
        folder=order.folder,
        inputs={DRIVER_FILE: _read_driver()},
        scripts={"test-driver": driver},
        python=python,
    )
    result = await bench.run(command, cancel)
    stopped = explain_stop(result)
    if stopped is not None:
        return TestExecution(TestReport(status="failed", reason=stopped), result, stopped, ())
    report = parse_test_output(result.stdout.decode("utf-8", "replace"))
    if is_silent(report):
        return TestExecution(report, result, None, ())
    content = report.model_dump_json(indent=1).encode()
    log = result.stdout + b"\n" + result.stderr
    detail = await keep_at(artifacts, order.place, "tests.json", content)
    output = await keep_at(artifacts, order.place, "tests.log", log)
    return TestExecution(report, result, None, (detail, output))


def is_silent(report: TestReport) -> bool:
    """Return whether the tests failed with a reason before any of them was even collected."""
    return report.status == "failed" and report.reason is not None and report.collected == 0 and not report.outcomes


class TestsExecutor:
    """Runs `tests` payloads. Failing tests are a result that the KPI judges; the card fails when nothing is proved."""

    __test__ = False

    def __init__(self, bench: Workbench, artifacts: ArtifactBox, programs: Programs) -> None:
        self._bench = bench
        self._artifacts = artifacts
        self._programs = programs

    async def execute(self, work: CardWork) -> CardResult:
        payload = work.card.payload
        if not isinstance(payload, TestsPayload):
            raise InvalidRequestError(f"the card {work.card.task_id} is no test card")
        order = TestOrder(
            lane=work.card.lane,
            folder=work.folder,
            repo=Path(work.repo),
            paths=payload.paths,
            place=f"{work.card.task_id}.{work.attempt}",
        )
        done = await run_tests(self._bench, self._artifacts, self._programs, order, work.cancel)
        if done.stopped is not None:
            return fail(done.result, f"tests {done.stopped}")
        if is_silent(done.report):
            return fail(done.result, f"{done.report.reason}: {first_line(done.result.stderr)}".removesuffix(": "))
        return _judge(done)


def _judge(done: TestExecution) -> CardResult:
    return CardResult(
        is_success=done.is_proved,
        outcome=CardOutcome(summary=done.summary, tests=done.counts, detail=done.detail),
        tier=done.result.tier,
        reason="" if done.is_proved else done.summary,
        exit_code=done.report.exit_status,
        changes_tree=False,
        artifacts=done.artifacts,
    )


def _read_driver() -> bytes:
    return (files("services.pas.recipes") / DRIVER_FILE).read_bytes()


def choose_interpreter(repo: Path, own: Path) -> Path:
    """Return the repository's `.venv/bin/python` when it exists and has pytest, else the platform's interpreter."""
    python = repo / ".venv" / "bin" / "python"
    has_pytest = any((repo / ".venv" / "lib").glob("python3*/site-packages/pytest/__init__.py"))
    return python if python.is_file() and has_pytest else own


def _count(report: TestReport) -> TestCounts:
    return TestCounts(
        collected=report.collected,
        passed=report.passed,
        failed=report.failed,
        errors=report.errors,
        skipped=report.skipped,
    )


def _summarise(report: TestReport) -> str:
    if report.reason is not None:
        return report.reason
    broken = report.failed + report.errors
    return f"{report.passed} passed, {broken} failed, {report.skipped} skipped in {report.duration_s:.1f} s"
