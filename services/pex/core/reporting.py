"""What a finished run comes to: actuals, findings for the ledger, the report; all pure."""

from collections.abc import Iterable, Mapping

from pydantic import BaseModel, ConfigDict

from services.kernel.ids import ProjectId, Sha256, TaskId
from services.kernel.vocabulary import ProjectState, RunKind, RunState, TaskState, Verdict
from services.pas.models import Badge, Finding, Receipt, RunView
from services.pex.core.cards import MENTIONS
from services.pex.core.money import format_usd
from services.pex.models import BudgetState, Report
from services.plms.models import Actual, KpiRecord, RunActuals, RunKpis

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
    """Return one observation per card attempt.

    Time and success are those of the attempt as a whole (step 0); tokens and money those of the model attempts within
    it (steps 1 and up), so that neither is counted twice. A failed model attempt costs, and fails nothing by itself. An
    attempt that was stopped or killed has no receipt of step 0: what it spent is kept, but it is discarded from what is
    learned, for how long it would have taken, and whether it would have succeeded, nobody knows.
    Some runs have no result to be verified by: in a planning run the schema is what proves a card, in a rehearsal the
    tests that each card ran itself. These are verified when every card succeeded.
    """
    attempts: dict[tuple[TaskId, int], Actual] = {}
    for receipt in receipts:
        key = (receipt.task_id, receipt.attempt)
        attempts[key] = _add(attempts.get(key) or _begin(receipt), receipt)
    has_no_result = run.run_kind is RunKind.REHEARSAL or all(
        card.configuration.startswith("plan/") for card in run.cards
    )
    is_sound = has_no_result and all(card.state is TaskState.SUCCEEDED for card in run.cards)
    return RunActuals(
        project_id=project_id,
        run_kind=run.run_kind,
        final_state=run.state,
        is_verified=run.badge is Badge.VERIFIED or is_sound,
        actuals=tuple(attempts.values()),
    )


def _begin(receipt: Receipt) -> Actual:
    return Actual(
        task_id=receipt.task_id,
        attempt=receipt.attempt,
        lane=receipt.lane,
        configuration=receipt.configuration,
        time_s=0,
        is_success=False,
        is_discarded=True,  # until the receipt of the whole attempt says how it ended
    )


def _add(actual: Actual, receipt: Receipt) -> Actual:
    if receipt.step == 0:
        ended = {"time_s": receipt.time_ms / 1000, "is_success": receipt.is_success, "is_discarded": False}
        return actual.model_copy(update=ended)
    return actual.model_copy(
        update={
            "tokens": actual.tokens + receipt.tokens_in + receipt.tokens_out,
            "tokens_in": actual.tokens_in + receipt.tokens_in,
            "tokens_out": actual.tokens_out + receipt.tokens_out,
            "tokens_think": actual.tokens_think + receipt.tokens_think,
            "cost_microusd": actual.cost_microusd + receipt.cost_microusd,
        }
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


def make_report(run: RunView, left_alone: tuple[str, ...], budget: BudgetState | None) -> Report:
    """Return step 13."""
    diff = next((ref.sha256 for ref in run.artifacts if ref.path == DIFF_PATH), None)
    return Report(
        summary=summarise(run),
        run=run,
        left_alone=left_alone,
        diff_sha256=None if diff is None else Sha256(diff),
        projected_overrun_pct=budget.projected_overrun_pct if budget else None,
        budget=budget,
    )


def summarise(run: RunView) -> str:
    """Return the one line that people read first."""
    spent = f"; {format_usd(run.cost_microusd)} spent" if run.cost_microusd else ""
    if run.state in {RunState.FAILED, RunState.TERMINATED}:
        return f"the run {run.state.value}: {run.reason or 'no reason was recorded'}{spent}; your files are untouched"
    judged = ", ".join(f"{f.name} {f.verdict.value}" for f in run.findings if f.verdict is not Verdict.UNKNOWN)
    state = f"completed, {run.badge.value}" if run.badge else run.state.value.replace("_", " ")
    changed = (
        f"{run.files_changed} file{'' if run.files_changed == 1 else 's'} changed (+{run.lines_added} "
        f"-{run.lines_deleted})"
        if run.files_changed
        else "nothing changed"
    )
    return f"{state}: {changed}; {judged or 'no check could be judged'}{spent}" + (
        f"; {run.reason}" if run.reason else ""
    )


def count_done(run: RunView) -> tuple[int, int]:
    """Return how many cards have ended, and how many there are."""
    return sum(card.state in _ENDED for card in run.cards), len(run.cards)
