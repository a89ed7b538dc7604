"""Test cards: the project's tests, on its own tree, with its own interpreter when it has one."""

import asyncio
from importlib.resources import files
from pathlib import Path

from services.kernel.errors import InvalidRequestError
from services.pas.core.argument import INPUTS_TARGET
from services.pas.core.isolation import WORKSPACE_TARGET, ExecResult
from services.pas.core.ports import ArtifactBox, CardResult, CardWork
from services.pas.executors.recipe import fail, first_line, keep
from services.pas.executors.workbench import Order, Programs, Workbench, explain_stop
from services.pas.models import CardOutcome, TestCounts, TestsPayload
from services.pas.recipes.commands import TestReport, parse_test_output, pytest_argv
from services.pas.recipes.models import TestParams

DRIVER_FILE = "driver.py"


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
        driver = f"{INPUTS_TARGET}/{DRIVER_FILE}"
        python = await asyncio.to_thread(choose_interpreter, Path(work.repo), self._programs.python)
        params, is_own = TestParams(paths=payload.paths), python != self._programs.python
        order = Order(
            lane=work.card.lane,
            argv=tuple(pytest_argv(params, driver, WORKSPACE_TARGET, is_own_interpreter=is_own)),
            folder=work.folder,
            inputs={DRIVER_FILE: _read_driver()},
            scripts={"test-driver": driver},
            python=python,
        )
        result = await self._bench.run(order, work.cancel)
        stopped = explain_stop(result)
        if stopped is not None:
            return fail(result, f"tests {stopped}")
        return await self._judge(work, parse_test_output(result.stdout.decode("utf-8", "replace")), result)

    async def _judge(self, work: CardWork, report: TestReport, result: ExecResult) -> CardResult:
        if report.status == "failed" and report.reason is not None and report.collected == 0 and not report.outcomes:
            return fail(result, f"{report.reason}: {first_line(result.stderr)}".removesuffix(": "))
        content = report.model_dump_json(indent=1).encode()
        log = result.stdout + b"\n" + result.stderr
        detail = await keep(self._artifacts, work.card.task_id, work.attempt, "tests.json", content)
        output = await keep(self._artifacts, work.card.task_id, work.attempt, "tests.log", log)
        is_success = not (report.status == "failed" and report.reason is not None)
        summary = _summarise(report)
        return CardResult(
            is_success=is_success,
            outcome=CardOutcome(summary=summary, tests=_count(report), detail=detail),
            tier=result.tier,
            reason="" if is_success else summary,
            exit_code=report.exit_status,
            changes_tree=False,
            artifacts=(detail, output),
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
