"""Keep tidy what was tidy: a transformation must not leave a sorted import unsorted or a formatted file unformatted.

Only where the repository uses ruff, only findings that the transformation itself added and that have a safe fix, only
files that were formatted before. Everything runs in the card's own sandbox and lane.
"""

import asyncio
from dataclasses import dataclass

from services.kernel.errors import UnavailableError
from services.pas.core.isolation import WORKSPACE_TARGET
from services.pas.core.ports import CardWork
from services.pas.executors.ruff import read_lines, uses_ruff
from services.pas.executors.workbench import Order, Workbench, explain_stop
from services.pas.recipes import commands
from services.pas.recipes.lint import new_findings
from services.pas.recipes.models import PathsParams


class TidyFailedError(UnavailableError):
    """Ruff could not look at the tree; the transformation stands as it is, and the linter's check will say so."""

    code = "pas.tidy_failed"


@dataclass(frozen=True)
class Tidiness:
    """How tidy a tree is: its findings with the lines they stand on, and the files that formatting would change."""

    findings: tuple[commands.Finding, ...]
    lines: dict[str, list[str]]
    unformatted: frozenset[str]


class Tidier:
    """Looks before a transformation, and mends after it."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench

    async def look(self, work: CardWork) -> Tidiness | None:
        """Return how tidy the tree is now; None where the repository does not use ruff or ruff cannot read it."""
        if not await asyncio.to_thread(uses_ruff, work.folder):
            return None
        try:
            findings = await self._report(work, commands.check_argv(PathsParams()))
            unformatted = await self._report(work, commands.format_check_argv(PathsParams()))
        except TidyFailedError:
            return None
        lines = await asyncio.to_thread(read_lines, work.folder, findings)
        return Tidiness(findings, lines, frozenset(commands.unformatted_files(unformatted)))

    async def mend(self, work: CardWork, before: Tidiness, renames: dict[str, str]) -> None:
        """Fix what became untidy since `before`."""
        after = await self.look(work)
        if after is None:
            return
        new = new_findings(before.findings, after.findings, before.lines, after.lines, renames)
        fix = commands.tidy_argv(tuple(new))
        if fix is not None:
            await self._run(work, fix)
        files = tuple(sorted(after.unformatted - before.unformatted))
        if files:
            await self._run(work, commands.format_argv(PathsParams(paths=files)))

    async def _report(self, work: CardWork, argv: list[str]) -> tuple[commands.Finding, ...]:
        output = await self._run(work, argv)
        try:
            return commands.parse_findings(output.decode("utf-8", "replace"), WORKSPACE_TARGET)
        except ValueError as error:
            raise TidyFailedError(f"ruff's report cannot be read: {error}") from error

    async def _run(self, work: CardWork, argv: list[str]) -> bytes:
        result = await self._bench.run(Order(work.card.lane, tuple(argv), work.folder), work.cancel)
        # `ruff format --check` ends with 1 when a file is not formatted: that is its answer.
        if explain_stop(result) is not None or result.is_truncated or result.exit_code not in {0, 1}:
            raise TidyFailedError(f"ruff ended with code {result.exit_code}")
        return result.stdout
