"""The `linter_pass` validator: ruff on the base tree and on the result tree; only new findings count."""

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path

from services.kernel.errors import PlatformError
from services.kernel.ids import GitOid
from services.kernel.vocabulary import Lane, Verdict
from services.pas.core.isolation import WORKSPACE_TARGET, Isolation
from services.pas.core.ports import Trees
from services.pas.core.records import CardRecord, RunRecord
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


class _LintFailedError(PlatformError):
    code = "pas.lint_failed"


class LinterPass:
    """Runs ruff twice in the sandbox, each time on a fresh export."""

    def __init__(self, bench: Workbench, trees: Trees, isolation: Isolation, stage_root: Path) -> None:
        self._bench = bench
        self._trees = trees
        self._isolation = isolation
        self._stage_root = stage_root

    async def judge(self, run: RunRecord, cards: Sequence[CardRecord], tree: GitOid, cancel: asyncio.Event) -> Finding:
        base, result = (self._stage_root / run.run_id / f"lint.{side}" for side in ("base", "result"))
        try:
            await self._export(run, tree, result)
            if not await asyncio.to_thread(uses_ruff, result):
                return make_finding(KPI, Verdict.UNKNOWN, None, "the repository has no ruff configuration")
            await self._export(run, run.snapshot.tree, base)
            before, after = await asyncio.gather(self._lint(base, cancel), self._lint(result, cancel))
            new = await asyncio.to_thread(
                _compare, base, before, result, after, renames_of(record.card.payload for record in cards)
            )
        except PlatformError as error:
            return make_finding(KPI, Verdict.UNKNOWN, None, error.detail)
        finally:
            for folder in (base, result):
                await asyncio.to_thread(self._clear, folder)
        detail = f"{len(new)} new findings ({len(before)} before)"
        if new:
            detail += ": " + ", ".join(f"{each.path}:{each.line} {each.code}" for each in new[:SHOWN])
        return make_finding(KPI, Verdict.FAIL if new else Verdict.PASS, float(not new), detail)

    async def _export(self, run: RunRecord, tree: GitOid, folder: Path) -> None:
        await asyncio.to_thread(self._clear, folder)
        await asyncio.to_thread(folder.mkdir, parents=True, mode=0o700)
        await self._trees.export(run.repo, tree, folder)

    def _clear(self, folder: Path) -> None:
        if folder.exists():
            self._isolation.reclaim(folder)
            shutil.rmtree(folder)

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
