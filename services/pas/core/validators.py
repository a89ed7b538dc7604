"""KPI validators: each holds the result against the base commit; what cannot be checked is unknown, never a pass."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.kernel.ids import GitOid
from services.kernel.vocabulary import KPI_GATES, KpiGate, Verdict
from services.pas.core.ports import ArtifactBox
from services.pas.core.records import CardRecord, RunRecord
from services.pas.models import Finding, TestsPayload, TreeRef
from services.pas.recipes.commands import TestReport

SHOWN = 3
FAILING_OUTCOMES = frozenset({"failed", "error", "xpassed"})
GATES: Mapping[str, KpiGate] = {gate.name: gate for gate in KPI_GATES}


class Validator(Protocol):
    """Judges one KPI."""

    async def judge(self, run: RunRecord, cards: Sequence[CardRecord], tree: GitOid, cancel: asyncio.Event) -> Finding:
        """Return the finding on the result `tree`; never raises for a check that cannot run."""
        ...


def make_finding(name: str, verdict: Verdict, value: float | None, detail: str) -> Finding:
    """Return a finding of the KPI table's row `name`."""
    gate = GATES[name]
    return Finding(
        name=name,
        lane=gate.lane,
        verdict=verdict,
        value=value,
        threshold=gate.threshold,
        is_critical=gate.is_critical,
        detail=detail,
    )


@dataclass(frozen=True)
class TestRecord:
    """What the test cards on one tree saw together."""

    __test__ = False

    passed: int
    ran: int
    """Passed, failed or broken; skipped tests do not count."""
    failing: frozenset[str]


def sum_reports(reports: Sequence[TestReport]) -> TestRecord:
    """Return one record over several reports."""
    failing = {name for report in reports for name, outcome in report.outcomes.items() if outcome in FAILING_OUTCOMES}
    passed = sum(report.passed for report in reports)
    broken = sum(report.failed + report.errors for report in reports)
    return TestRecord(passed, passed + broken, frozenset(failing))


def judge_tests(base: TestRecord | None, result: TestRecord) -> Finding:
    """Return the finding: pass iff the rate is at least the threshold and no test fails that did not fail before.

    Deltas against the base commit, not absolutes (SPEC.md section 1): tests that failed before and still fail are named
    in the detail and set aside from the rate, so that a repository's old failures do not make its every run look bad.
    """
    failing_before = base.failing if base is not None else frozenset[str]()
    new, old = result.failing - failing_before, result.failing & failing_before
    ran = result.ran - len(old)
    detail = f"{result.passed} of {result.ran} tests passed, {len(new)} newly failing"
    if base is None:
        detail += "; no run on the base to compare with"
    if old:
        detail += f", {len(old)} failed before too"
    if new:
        detail += ": " + ", ".join(sorted(new)[:SHOWN])
    if ran <= 0:
        return make_finding("test_pass_rate", Verdict.UNKNOWN, None, detail)
    rate = result.passed / ran
    is_pass = rate >= GATES["test_pass_rate"].threshold and not new
    return make_finding("test_pass_rate", Verdict.PASS if is_pass else Verdict.FAIL, round(rate, 4), detail)


def judge_unknown(reason: str, *, ran_on_base: bool) -> Finding:
    """Return fail when the tests ran before and cannot run now: the change broke them; else nothing is known."""
    if ran_on_base:
        return make_finding(
            "test_pass_rate", Verdict.FAIL, 0.0, f"the tests ran before the change and not after it: {reason}"
        )
    return make_finding("test_pass_rate", Verdict.UNKNOWN, None, reason)


def note_missing(finding: Finding, reports: Sequence[TestReport]) -> Finding:
    """Return the finding; a pass becomes unknown when test files could not run: what they test was not shown."""
    missing = sorted({name for report in reports for name in report.missing_modules})
    if not missing:
        return finding
    count = sum(report.files_not_imported for report in reports)
    detail = f"{finding.detail}; {count} test files not run: {', '.join(missing[:SHOWN])} not installed"
    verdict = Verdict.UNKNOWN if finding.verdict is Verdict.PASS else finding.verdict
    return finding.model_copy(update={"detail": detail, "verdict": verdict})


class TestPassRate:
    """`test_pass_rate` from what the run's test cards recorded."""

    __test__ = False

    def __init__(self, artifacts: ArtifactBox) -> None:
        self._artifacts = artifacts

    async def judge(self, run: RunRecord, cards: Sequence[CardRecord], tree: GitOid, cancel: asyncio.Event) -> Finding:
        del run, tree, cancel
        reports = await self._read(cards, TreeRef.INPUT)
        if not reports:
            return make_finding("test_pass_rate", Verdict.UNKNOWN, None, "the run has no test card on its result")
        on_base = [report for report in await self._read(cards, TreeRef.BASE) if report.status != "unknown"]
        unknown = next((report for report in reports if report.status == "unknown"), None)
        if unknown is not None:
            return judge_unknown(unknown.reason or "the tests did not run", ran_on_base=any(r.passed for r in on_base))
        finding = judge_tests(sum_reports(on_base) if on_base else None, sum_reports(reports))
        return note_missing(finding, reports)

    async def _read(self, cards: Sequence[CardRecord], tree: TreeRef) -> list[TestReport]:
        reports = []
        for record in cards:
            payload, outcome = record.card.payload, record.outcome
            if isinstance(payload, TestsPayload) and payload.tree is tree and outcome is not None and outcome.detail:
                reports.append(TestReport.model_validate_json(await self._artifacts.get(outcome.detail.sha256)))
        return reports


class TypeCheck:
    """`type_check`: not judged yet without the project's own checker; says so."""

    async def judge(self, run: RunRecord, cards: Sequence[CardRecord], tree: GitOid, cancel: asyncio.Event) -> Finding:
        del run, cards, tree, cancel
        return make_finding("type_check", Verdict.UNKNOWN, None, "types were not checked in this run")
