"""Words of a turn: estimate, ticks, report, offer; pure."""

from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel, ConfigDict, JsonValue

from services.direng.core.ports import EventDraft
from services.direng.models import TurnEventKind
from services.kernel.vocabulary import RUN_TRANSITIONS, RunState, TaskState, Verdict, is_final
from services.pas.models import Badge, Finding, RunView
from services.pex.models import Delegation, Plan
from services.plms.models import Estimate

MAX_LEFT_ALONE_SHOWN = 10
MAX_FILES_SHOWN = 20
_ENDED = frozenset({TaskState.SUCCEEDED, TaskState.FAILED, TaskState.SKIPPED, TaskState.CANCELLED})
_GOOD = frozenset({RunState.COMPLETED})
_FOR_MENTIONS = "left to the mentions part"
_K = TurnEventKind


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
    """The part of a card's JSON detail that a report tells."""

    model_config = ConfigDict(extra="ignore")
    left_alone: tuple[_LeftAlone, ...] = ()


def list_left_alone(details: Sequence[CardDetail]) -> tuple[str, ...]:
    """Return one line for each occurrence left alone, by path and line; `details` are the parts of a rename in order.

    What the code part leaves to the mentions part is told by the last part alone.
    """
    places = {
        (left.occurrence.path, left.occurrence.line, left.reason, left.occurrence.text)
        for index, detail in enumerate(details)
        for left in detail.left_alone
        if index == len(details) - 1 or _FOR_MENTIONS not in left.reason
    }
    return tuple(f"{path}:{line}: {reason}{f': {text}' if text else ''}" for path, line, reason, text in sorted(places))


def format_duration(seconds: float) -> str:
    """Return seconds for people."""
    if seconds < 90:  # noqa: PLR2004
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"  # noqa: PLR2004
    return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"


def tell_plan(plan: Plan) -> EventDraft:
    """Return the plan: what, on which lanes, which files."""
    lines = [f"plan: {plan.summary}"]
    lines += [f"  {card.task_id} ({card.lane.value}): {card.title}" for card in plan.cards]
    lines += [f"  warning: {warning}" for warning in plan.warnings]
    data: dict[str, JsonValue] = {
        "recipe": plan.recipe,
        "cards": [str(card.task_id) for card in plan.cards],
        "files_expected": list(plan.files_expected),
    }
    return EventDraft(_K.PLAN, "\n".join(lines), data=data)


def tell_estimate(estimate: Estimate) -> EventDraft:
    """Return step 4 for the user: P50, P80, P95, the label, the spend."""
    time = estimate.time_s
    spend = f"at most {estimate.tokens_p95} tokens, ${estimate.cost_microusd_p95 / 1e6:.2f}"
    cost = spend if estimate.uses_model else "no model used: 0 tokens, $0.00"
    text = (
        f"estimate: half of such plans end within {format_duration(time.p50)} (P50), 80% within "
        f"{format_duration(time.p80)} (P80), 95% within {format_duration(time.p95)} (P95); "
        f"{estimate.label.value}; {cost}"
    )
    data: dict[str, JsonValue] = {
        "time_p50_s": time.p50,
        "time_p80_s": time.p80,
        "time_p95_s": time.p95,
        "label": estimate.label.value,
        "cost_usd": estimate.cost_microusd_p95 / 1e6,
        "uses_model": estimate.uses_model,
    }
    return EventDraft(_K.ESTIMATE, text, step=4, data=data)


def tell_approval(delegation: Delegation) -> EventDraft:
    """Return step 5: the question whether the plan may run."""
    bound = format_duration(delegation.estimate.time_s.p95) if delegation.estimate else "the estimate"
    text = f"approve this plan, up to {bound}? (yes/no) It works on a copy; your files change only when you accept."
    return EventDraft(_K.APPROVAL_REQUIRED, text, step=5, data={"delegation_id": str(delegation.delegation_id)})


def find_eta_s(estimate: Estimate | None, run: RunView) -> float | None:
    """Return the median time to the end: of every open card but the baseline, which runs beside the others."""
    if estimate is None:
        return None
    open_tasks = {card.task_id for card in run.cards if card.state not in _ENDED and card.task_id != "baseline"}
    return sum(card.time_s.p50 for card in estimate.cards if card.task_id in open_tasks)


def tell_tick(run: RunView, estimate: Estimate | None, now: datetime, step: int | None) -> EventDraft:
    """Return where the run stands: cards, time, ETA, spend against the cap."""
    done = sum(card.state in _ENDED for card in run.cards)
    started = run.started_at or run.created_at
    end = datetime.fromisoformat(run.finished_at) if run.finished_at else now
    elapsed_s = max(0.0, (end - datetime.fromisoformat(started)).total_seconds())
    eta_s = find_eta_s(estimate, run)
    cap = estimate.cost_microusd_p95 if estimate else 0
    active = ", ".join(card.title for card in run.cards if card.state is TaskState.RUNNING)
    eta = "" if eta_s is None else f"ETA {format_duration(eta_s)}"  # a direct run has no estimate and no cap
    if is_final(RUN_TRANSITIONS, run.state):
        active, eta = "", "ended"
    elif done == len(run.cards):
        active, eta = "judging the result", "ETA soon"
    spend = f"${run.cost_microusd / 1e6:.2f} of ${cap / 1e6:.2f}" if estimate else ""
    parts = (f"{done}/{len(run.cards)} cards", f"{format_duration(elapsed_s)} elapsed", eta, spend)
    text = ", ".join(part for part in parts if part)
    data: dict[str, JsonValue] = {
        "state": run.state.value,
        "done": done,
        "total": len(run.cards),
        "elapsed_s": round(elapsed_s, 3),
        "eta_s": eta_s,
        "cost_microusd": run.cost_microusd,
        "cap_microusd": cap,
    }
    return EventDraft(_K.TICK, f"{text}: {active}" if active else text, step=step, data=data)


def tell_report(run: RunView, left_alone: tuple[str, ...], files: tuple[str, ...], step: int | None) -> EventDraft:
    """Return step 13: what came of the run."""
    lines = [_headline(run)]
    lines += [
        f"  {finding.name}: {finding.verdict.value}: {finding.detail}"
        for finding in run.findings
        if _is_told(finding, run)
    ]
    if run.files_changed:
        lines.append(f"  {count_of(run.files_changed, 'file')} changed, +{run.lines_added} -{run.lines_deleted} lines")
        lines += [f"    {path}" for path in files[:MAX_FILES_SHOWN]]
        lines += _rest(len(files) - MAX_FILES_SHOWN, "file")
        lines.append(f"  branch: {run.branch or 'none (the result overlaps with your uncommitted edits)'}")
    if left_alone:
        lines.append(f"  left alone, {count_of(len(left_alone), 'occurrence')}:")
        lines += [f"    {line}" for line in left_alone[:MAX_LEFT_ALONE_SHOWN]]
        lines += _rest(len(left_alone) - MAX_LEFT_ALONE_SHOWN, "occurrence")
    data: dict[str, JsonValue] = {
        "run_id": str(run.run_id),
        "state": run.state.value,
        "badge": run.badge.value if run.badge else None,
        "branch": run.branch,
        "files": list(files),
        "findings": [{"name": f.name, "verdict": f.verdict.value, "detail": f.detail} for f in run.findings],
        "left_alone": list(left_alone),
    }
    return EventDraft(_K.REPORT, "\n".join(lines), step=step, data=data)


def _headline(run: RunView) -> str:
    state = run.state.value.replace("_", " ")
    badge = f", {run.badge.value}" if run.badge else ""
    nothing = "" if run.files_changed else "; no file changed"
    return f"run {run.run_id} {state}{badge}{nothing}" + (f": {run.reason}" if run.reason else "")


def _is_told(finding: Finding, run: RunView) -> bool:
    """Return whether a finding is shown: a check that the repository does not use is not (SPEC.md section 11).

    Untested work is: it is why a run is unverified.
    """
    return finding.verdict is not Verdict.UNKNOWN or (
        run.badge is Badge.UNVERIFIED and finding.name == "test_pass_rate"
    )


def _rest(count: int, what: str) -> list[str]:
    return [f"    ... and {count_of(count, f'more {what}')}"] if count > 0 else []


def count_of(count: int, what: str) -> str:
    """Return `1 file`, `2 files`."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def tell_offer(run: RunView, step: int | None) -> EventDraft | None:
    """Return step 14: what the user may do now; None when there is nothing to take."""
    if run.state not in {RunState.COMPLETED, RunState.NEEDS_REVIEW} or not run.files_changed:
        return None
    caution = "" if run.state in _GOOD else "look at the findings first; "
    return EventDraft(
        _K.OFFER,
        f"{caution}/diff shows the change, /accept merges it (outside the REPL: direng diff, direng accept)",
        step=step,
        data={"run_id": str(run.run_id)},
    )


def list_files(patch: bytes) -> tuple[str, ...]:
    """Return the files of a unified diff in order."""
    found: dict[str, None] = {}
    for line in patch.decode("utf-8", "replace").splitlines():
        if line.startswith("diff --git "):
            found.setdefault(line.rpartition(" b/")[2], None)
    return tuple(found)


def exit_code_of(run: RunView) -> int:
    """Return 0 for a completed run, 1 for any other end."""
    return 0 if run.state in _GOOD else 1
