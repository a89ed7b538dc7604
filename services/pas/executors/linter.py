"""The `linter_pass` validator: ruff on the base tree and on the result tree; only new findings count."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from services.kernel.errors import PlatformError, UnavailableError
from services.kernel.ids import GitOid
from services.kernel.vocabulary import Lane, Verdict
from services.pas.core.isolation import WORKSPACE_TARGET
from services.pas.core.records import CardRecord, RunRecord
from services.pas.core.stage import Stage
from services.pas.core.validators import make_finding
from services.pas.executors.recipe import first_line
from services.pas.executors.ruff import read_lines, renames_of, uses_ruff
from services.pas.executors.workbench import Order, Workbench, explain_stop
from services.pas.models import Finding
from services.pas.recipes import commands
from services.pas.recipes.lint import new_findings
from services.pas.recipes.models import PathsParams

KPI = "linter_pass"
SHOWN = 3


class _LintFailedError(UnavailableError):
    code = "pas.lint_failed"


class LinterPass:
    """Runs ruff twice in the sandbox, each time on a fresh export."""

    def __init__(self, bench: Workbench, stage: Stage) -> None:
        self._bench = bench
        self._stage = stage

    async def judge(self, run: RunRecord, cards: Sequence[CardRecord], tree: GitOid, cancel: asyncio.Event) -> Finding:
        try:
            return await self._judge(run, renames_of(record.card.payload for record in cards), tree, cancel)
        except PlatformError as error:
            return make_finding(KPI, Verdict.UNKNOWN, None, error.detail)

    async def _judge(self, run: RunRecord, renames: dict[str, str], tree: GitOid, cancel: asyncio.Event) -> Finding:
        async with self._stage.lay_out(run.run_id, "lint.result", run.repo, tree) as result:
            if not await asyncio.to_thread(uses_ruff, result):
                return make_finding(KPI, Verdict.UNKNOWN, None, "the repository has no ruff configuration")
            async with self._stage.lay_out(run.run_id, "lint.base", run.repo, run.snapshot.tree) as base:
                before, after = await asyncio.gather(self._lint(base, cancel), self._lint(result, cancel))
                new = await asyncio.to_thread(_compare, base, before, result, after, renames)
        detail = f"{len(new)} new findings ({len(before)} before)"
        if new:
            detail += ": " + ", ".join(f"{each.path}:{each.line} {each.code}" for each in new[:SHOWN])
        return make_finding(KPI, Verdict.FAIL if new else Verdict.PASS, float(not new), detail)

    async def _lint(self, folder: Path, cancel: asyncio.Event) -> tuple[commands.Finding, ...]:
        argv = tuple(commands.check_argv(PathsParams()))
        result = await self._bench.run(Order(Lane.CODE_IMPL, argv, folder), cancel)
        stopped = explain_stop(result)
        if stopped is not None or result.exit_code != 0:
            raise _LintFailedError(f"ruff did not run: {stopped or first_line(result.stderr)}")
        if result.is_truncated:
            raise _LintFailedError("ruff reported more findings than can be read")
        try:
            return commands.parse_findings(result.stdout.decode("utf-8", "replace"), WORKSPACE_TARGET)
        except ValueError as error:
            raise _LintFailedError(f"ruff's report cannot be read: {error}") from error


def _compare(
    base: Path,
    before: Sequence[commands.Finding],
    result: Path,
    after: Sequence[commands.Finding],
    renames: dict[str, str],
) -> tuple[commands.Finding, ...]:
    return new_findings(before, after, read_lines(base, before), read_lines(result, after), renames)
