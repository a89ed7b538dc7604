"""run_test: the project's tests in the sandbox, on a copy of the folder, so that no test can change the work."""

import asyncio
import re
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from pydantic import JsonValue

from services.broker.models import ToolSpec
from services.kernel.errors import PlatformError
from services.pas.core.ports import ArtifactBox
from services.pas.executors.agent.toolbox import MAX_RESULT_CHARS, TestRun, ToolResult, ToolScene
from services.pas.executors.agent.tools.arguments import make_schema, read_texts
from services.pas.executors.agent.tools.paths import Ground, PathRefusedError
from services.pas.executors.tests import TestExecution, TestOrder, run_tests
from services.pas.executors.workbench import Programs, Workbench

_BAD = ("failed", "error", "xpassed")
_MAX_NAMED = 30
_MAX_SECTION_CHARS = 2_500
_HEADING = re.compile(r"^_{3,} (.+?) _{3,}$", re.MULTILINE)
_END = re.compile(r"^=+ (?:short test summary info|\d+ .*|warnings summary) ?.*=+$", re.MULTILINE)


class RunTestTool:
    """Runs tests."""

    spec = ToolSpec(
        name="run_test",
        description="Run the project's tests (all, or those of the given paths or pytest ids).",
        parameters=make_schema({"paths": {"type": "array", "items": {"type": "string"}, "maxItems": 50}}),
    )

    def __init__(self, bench: Workbench, artifacts: ArtifactBox, programs: Programs) -> None:
        self._bench = bench
        self._artifacts = artifacts
        self._programs = programs

    async def run(self, arguments: Mapping[str, JsonValue], scene: ToolScene) -> ToolResult:
        try:
            paths = tuple(_check_test_path(Ground(scene), path) for path in read_texts(arguments, "paths"))
        except PathRefusedError as error:
            return error.to_result("run_test")
        work = scene.work
        async with self._copy(scene) as folder:
            order = TestOrder(
                lane=work.card.lane,
                folder=folder,
                repo=Path(work.repo),
                paths=paths,
                place=f"{work.card.task_id}.{work.attempt}/{scene.step_name}",
            )
            try:
                done = await run_tests(self._bench, self._artifacts, self._programs, order, work.cancel)
            except PlatformError as error:
                line = f"the tests cannot run: {error.detail}"
                return ToolResult(text=line, line=line[:200], is_error=True, denied=_denials(error))
        return _report(done, paths)

    @asynccontextmanager
    async def _copy(self, scene: ToolScene) -> AsyncIterator[Path]:
        folder = scene.folder.with_name(f"{scene.folder.name}.{scene.step_name}")
        await self._bench.discard(folder)
        try:
            await asyncio.to_thread(shutil.copytree, scene.folder, folder, symlinks=True)
            yield folder
        finally:
            await self._bench.discard(folder)


def _denials(error: PlatformError) -> tuple[str, ...]:
    return (f"run_test: {error.detail}",) if error.status == 403 else ()  # noqa: PLR2004 - Forbidden


def _check_test_path(ground: Ground, path: str) -> str:
    """Return a path, or a pytest id, whose file exists in the folder."""
    file, mark, name = path.strip().partition("::")
    plain = ground.check_readable(file)
    if ground.kind_of(plain) is None:
        raise PathRefusedError(ground.suggest(plain))
    return f"{plain}{mark}{name}"


def _report(done: TestExecution, paths: tuple[str, ...]) -> ToolResult:
    report = done.report
    what = f"tests of {', '.join(paths)}" if paths else "the project's tests"
    if done.stopped is not None:
        line = f"{what}: {done.stopped}"
        tests = TestRun(done.counts, (done.stopped,), is_unknown=False, detail=done.detail)
        return ToolResult(text=line, line=line[:200], is_error=True, tests=tests)
    failing = tuple(name for name, outcome in report.outcomes.items() if outcome in _BAD)
    if report.status == "failed" and not failing:
        failing = (report.reason or "the test process ended without a result",)
    is_unknown = report.status == "unknown"
    tests = TestRun(done.counts, failing, is_unknown=is_unknown, detail=done.detail)
    line = f"{what}: {done.summary}"
    text = "\n".join([line, *_show_failing(done, failing)]) if failing else line
    return ToolResult(text=text, line=line[:200], tests=tests, is_error=is_unknown)


def _show_failing(done: TestExecution, failing: tuple[str, ...]) -> list[str]:
    messages = {each.nodeid: each.message for each in done.report.failures}
    rows = [f"- {name}: {messages[name]}" if name in messages else f"- {name}" for name in failing[:_MAX_NAMED]]
    if len(failing) > _MAX_NAMED:
        rows.append(f"- and {len(failing) - _MAX_NAMED} more")
    room = MAX_RESULT_CHARS - sum(len(row) + 1 for row in rows) - 500
    for section in find_sections(done.output):
        shown = _cut_middle(section, _MAX_SECTION_CHARS)
        if len(shown) + 1 > room:
            break
        room -= len(shown) + 1
        rows.append(shown)
    return rows


def find_sections(output: str) -> list[str]:
    """Return what pytest wrote about each failure, heading and all."""
    end = _END.search(output)
    starts = [match.start() for match in _HEADING.finditer(output, 0, end.start() if end else len(output))]
    stops = [*starts[1:], end.start() if end else len(output)]
    return [output[start:stop].rstrip() for start, stop in zip(starts, stops, strict=False)]


def _cut_middle(text: str, limit: int) -> str:
    """Return the text with its middle left out: the failing line stands at the end, the test's name at the start."""
    if len(text) <= limit:
        return text
    head = limit // 4
    return f"{text[:head]}\n[...]\n{text[-(limit - head) :]}"
