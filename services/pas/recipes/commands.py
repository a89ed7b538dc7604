"""Recipes that are a command of their own: what to run in the sandbox, and what its output says.

The program is the logical name `ruff` or `python`: the executor resolves it. Nothing here reads the environment.
"""

from __future__ import annotations

import json
from typing import Literal

from pydantic import Field, TypeAdapter, ValidationError

from services.pas.recipes.models import PathsParams, Shape, TestParams

RESULT_MARKER = "::direng-test-result::"
_SYNTAX_ERROR_CODE = "invalid-syntax"
_UNFORMATTED_CODE = "unformatted"


class Finding(Shape):
    """One finding of ruff: path relative to the root, line from 1."""

    path: str
    line: int
    code: str
    message: str
    is_safely_fixable: bool = False


class TestFailure(Shape):
    """A test that failed, and the last line of why."""

    __test__ = False

    nodeid: str
    message: str


class ImportedFrom(Shape):
    """Where a top-level name of the tree was imported from; `outside` lists modules that came from elsewhere."""

    is_from_tree: bool
    file: str | None = None
    outside: tuple[str, ...] = ()


class TestReport(Shape):
    """What a run of the tests found.

    `status` is `unknown`, with the reason, when nothing was learned: no pytest, no tests, a configuration it refuses.
    `files_not_imported` counts test files that need `missing_modules`, which neither interpreter nor tree has.
    `outcomes` maps test ids to passed, failed, error, skipped, xfailed or xpassed; it is capped, failures first.
    """

    __test__ = False

    status: Literal["passed", "failed", "unknown"]
    reason: str | None = None
    collected: int = 0
    passed: int = 0
    failed: int = 0
    errors: int = 0
    skipped: int = 0
    exit_status: int | None = None
    duration_s: float = 0.0
    outcomes: dict[str, str] = Field(default_factory=dict)
    outcomes_omitted: int = 0
    failures: tuple[TestFailure, ...] = ()
    files_not_imported: int = 0
    missing_modules: tuple[str, ...] = ()
    imported_from: dict[str, ImportedFrom] = Field(default_factory=dict)

    @property
    def pass_rate(self) -> float | None:
        """Passed tests over those that passed, failed or could not run; None when none ran."""
        total = self.passed + self.failed + self.errors
        return self.passed / total if total else None


def format_argv(params: PathsParams) -> list[str]:
    """Return the command that formats."""
    return ["ruff", "format", "--no-cache", "--force-exclude", "--", *_paths(params)]


def format_check_argv(params: PathsParams) -> list[str]:
    """Return the command that lists, as JSON, what formatting would change, and changes nothing."""
    return [
        "ruff",
        "format",
        "--check",
        "--output-format",
        "json",
        "--no-cache",
        "--force-exclude",
        "--",
        *_paths(params),
    ]


def fix_argv(params: PathsParams) -> list[str]:
    """Return the command that applies safe fixes, whatever the project's configuration allows, and reports the rest."""
    return ["ruff", "check", "--fix", "--no-unsafe-fixes", *_REPORT, "--", *_paths(params)]


def check_argv(params: PathsParams) -> list[str]:
    """Return the command that reports findings and changes nothing."""
    return ["ruff", "check", "--no-fix", "--no-unsafe-fixes", *_REPORT, "--", *_paths(params)]


_REPORT = ("--output-format", "json", "--exit-zero", "--no-cache", "--force-exclude")


def tidy_argv(new: tuple[Finding, ...]) -> list[str] | None:
    """Return the command that fixes what a transformation has made untidy, such as the order of renamed imports.

    `new` are the findings that the transformation added. The command is limited to their codes and files; it is None
    when none of them has a safe fix.
    """
    fixable = [each for each in new if each.is_safely_fixable]
    if not fixable:
        return None
    codes = ",".join(sorted({each.code for each in fixable}))
    paths = sorted({each.path for each in fixable})
    return ["ruff", "check", "--fix", "--no-unsafe-fixes", "--select", codes, *_REPORT, "--", *paths]


def pytest_argv(params: TestParams, driver: str, root: str, *, is_own_interpreter: bool) -> list[str]:
    """Return the command that runs the tests: `driver` is the path of driver.py inside the sandbox.

    `is_own_interpreter` tells whether the interpreter is the project's; another one loads only declared plugins.
    """
    argv = ["python", "-I", driver, "--root", root, "--plugins", "all" if is_own_interpreter else "declared"]
    if params.select is not None:
        argv.append(f"--select={params.select}")
    return [*argv, "--", *params.paths]


def _paths(params: PathsParams) -> tuple[str, ...]:
    return params.paths or (".",)


class _Location(Shape, extra="ignore"):
    row: int
    column: int


class _Fix(Shape, extra="ignore"):
    applicability: str


class _Raw(Shape, extra="ignore"):
    code: str | None
    filename: str
    location: _Location | None
    message: str
    fix: _Fix | None = None


_RAW = TypeAdapter(tuple[_Raw, ...])


def parse_findings(output: str, root: str) -> tuple[Finding, ...]:
    """Return ruff's findings with paths relative to `root`. Raises ValueError when the output is not ruff's JSON."""
    try:
        raw = _RAW.validate_json(output or "[]")
    except ValidationError as error:
        raise ValueError(f"not a report of ruff: {error.errors()[0]['msg']}") from None
    return tuple(
        Finding(
            path=each.filename.removeprefix(f"{root.rstrip('/')}/"),
            line=each.location.row if each.location else 1,
            code=each.code or _SYNTAX_ERROR_CODE,
            message=each.message,
            is_safely_fixable=each.fix is not None and each.fix.applicability == "safe",
        )
        for each in raw
    )


def unformatted_files(findings: tuple[Finding, ...]) -> tuple[str, ...]:
    """Return the files that `format_check_argv` reports as not formatted, sorted."""
    return tuple(sorted({each.path for each in findings if each.code == _UNFORMATTED_CODE}))


def parse_test_output(output: str) -> TestReport:
    """Return the report in the output of driver.py: its last marked line. Without one, the status is `failed`.

    A process that ended without a report was killed or left by itself; that is never a pass.
    """
    lines = [line for line in output.splitlines() if line.startswith(RESULT_MARKER)]
    if not lines:
        return TestReport(status="failed", reason="the test process ended before it reported")
    try:
        return TestReport.model_validate(json.loads(lines[-1].removeprefix(RESULT_MARKER)))
    except ValueError:
        return TestReport(status="failed", reason="the report of the test process is damaged")
