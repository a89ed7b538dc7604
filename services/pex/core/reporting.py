"""What a finished run comes to: actuals, findings for the ledger, the report; all pure."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from services.kernel.ids import ProjectId, Sha256, TaskId
from services.kernel.vocabulary import RUN_TRANSITIONS, ProjectState, RunState, TaskState, Verdict, is_final
from services.pas.models import Badge, CardView, Finding, Receipt, RunView
from services.pex.core.cards import BASELINE, MENTIONS
from services.pex.models import Report
from services.plms.models import Actual, Estimate, KpiRecord, RunActuals, RunKpis

DIFF_PATH = "artifacts/diff.patch"
_ENDED = frozenset({TaskState.SUCCEEDED, TaskState.FAILED, TaskState.SKIPPED, TaskState.CANCELLED})
_FOR_MENTIONS = "left to the mentions part"
"""How the code part of a rename marks what the mentions part then decides on, and tells itself."""
_MAX_DETAIL_CHARS = 2000


class _Place(BaseModel):
    model_config = ConfigDict(extra="ignore")
    path: str
    line: int
    text: str = ""


class _LeftAlone(BaseModel):
    model_config = ConfigDict(extra="ignore")
    occurrence: _Place
    reason: str


class CardDetail(BaseModel):
    """The part of a card's JSON detail that a report tells: occurrences left alone, and why."""

    model_config = ConfigDict(extra="ignore")
    left_alone: tuple[_LeftAlone, ...] = ()
    left_alone_total: int = 0


def list_actuals(run: RunView, receipts: Iterable[Receipt], project_id: ProjectId) -> RunActuals:
    """Return one observation per card attempt; receipts of one attempt are added up."""
    attempts: dict[tuple[TaskId, int], Actual] = {}
    for receipt in receipts:
        key = (receipt.task_id, receipt.attempt)
        before = attempts.get(key)
        attempts[key] = Actual(
            task_id=receipt.task_id,
            attempt=receipt.attempt,
            lane=receipt.lane,
            configuration=receipt.configuration,
            time_s=receipt.time_ms / 1000 + (before.time_s if before else 0),
            tokens=receipt.tokens_in + receipt.tokens_out + (before.tokens if before else 0),
            cost_microusd=receipt.cost_microusd + (before.cost_microusd if before else 0),
            is_success=receipt.is_success and (before is None or before.is_success),
        )
    return RunActuals(
        project_id=project_id,
        run_kind=run.run_kind,
        final_state=run.state,
        is_verified=run.badge is Badge.VERIFIED,
        actuals=tuple(attempts.values()),
    )


def list_kpis(run: RunView, project_id: ProjectId) -> RunKpis:
    """Return the run's findings for the ledger."""
    return RunKpis(project_id=project_id, kpis=tuple(_to_kpi(finding) for finding in run.findings))


def _to_kpi(finding: Finding) -> KpiRecord:
    return KpiRecord(
        name=finding.name,
        lane=finding.lane,
        verdict=finding.verdict,
        value=finding.value,
        threshold=finding.threshold,
        detail=finding.detail.replace("\0", "")[:_MAX_DETAIL_CHARS],
    )


def project_state_after(run: RunView) -> ProjectState:
    """Return where the project goes: its verdict, or back to approved after a failure or an end by hand."""
    return {RunState.COMPLETED: ProjectState.COMPLETED, RunState.NEEDS_REVIEW: ProjectState.NEEDS_REVIEW}.get(
        run.state, ProjectState.APPROVED
    )


def find_overrun_pct(estimate: Estimate | None, run: RunView, now: datetime) -> float | None:
    """Return by how many percent the projected time passes the approved upper bound (P95); negative: under it.

    Cost is zero by construction where no model is used, so time is the budget (SPEC.md section 5). Projected is the
    time since the start plus the median of every card that has not ended (the baseline runs beside the others).
    """
    if estimate is None or not run.started_at or estimate.time_s.p95 <= 0:
        return None
    end = datetime.fromisoformat(run.finished_at) if run.finished_at else now
    projected_s = (end - datetime.fromisoformat(run.started_at)).total_seconds()
    if not is_final(RUN_TRANSITIONS, run.state):
        projected_s += _remaining_s(estimate, run.cards)
    return round(100 * (projected_s / estimate.time_s.p95 - 1), 1)


def _remaining_s(estimate: Estimate, cards: tuple[CardView, ...]) -> float:
    open_tasks = {card.task_id for card in cards if card.state not in _ENDED and card.task_id != BASELINE}
    return sum(card.time_s.p50 for card in estimate.cards if card.task_id in open_tasks)


def list_left_alone(details: Mapping[TaskId, CardDetail]) -> tuple[str, ...]:
    """Return one line for each occurrence that no card changed, by path and line.

    What the code part of a rename leaves to the mentions part is told by the mentions part alone, when that ran.
    """
    places = {
        (left.occurrence.path, left.occurrence.line, left.reason, left.occurrence.text)
        for task, detail in details.items()
        for left in detail.left_alone
        if MENTIONS not in details or task == MENTIONS or _FOR_MENTIONS not in left.reason
    }
    return tuple(f"{path}:{line}: {reason}{f': {text}' if text else ''}" for path, line, reason, text in sorted(places))


def make_report(run: RunView, left_alone: tuple[str, ...], overrun_pct: float | None) -> Report:
    """Return step 13."""
    diff = next((ref.sha256 for ref in run.artifacts if ref.path == DIFF_PATH), None)
    return Report(
        summary=summarise(run),
        run=run,
        left_alone=left_alone,
        diff_sha256=None if diff is None else Sha256(diff),
        projected_overrun_pct=overrun_pct,
    )


def summarise(run: RunView) -> str:
    """Return the one line that people read first."""
    if run.state in {RunState.FAILED, RunState.TERMINATED}:
        return f"the run {run.state.value}: {run.reason or 'no reason was recorded'}; your files are untouched"
    judged = ", ".join(f"{f.name} {f.verdict.value}" for f in run.findings if f.verdict is not Verdict.UNKNOWN)
    state = f"completed, {run.badge.value}" if run.badge else run.state.value.replace("_", " ")
    changed = (
        f"{run.files_changed} file{'' if run.files_changed == 1 else 's'} changed (+{run.lines_added} "
        f"-{run.lines_deleted})"
        if run.files_changed
        else "nothing changed"
    )
    return f"{state}: {changed}; {judged or 'no check could be judged'}" + (f"; {run.reason}" if run.reason else "")


def count_done(run: RunView) -> tuple[int, int]:
    """Return how many cards have ended, and how many there are."""
    return sum(card.state in _ENDED for card in run.cards), len(run.cards)
