"""Words of a turn: estimate, ticks, report, offer; pure."""

from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel, ConfigDict, JsonValue

from services.broker.protocol import KeyRefusedError
from services.direng.core.money import format_usd
from services.direng.core.ports import EventDraft, Pending
from services.direng.models import Handling, TurnEventKind
from services.kernel.errors import LimitExceededError, PlatformError
from services.kernel.vocabulary import RUN_TRANSITIONS, RunState, TaskState, Verdict, is_final
from services.pas.models import Badge, Finding, Receipt, RunView
from services.pex.models import Delegation, Plan, Question
from services.plms.models import Estimate

MAX_LEFT_ALONE_SHOWN = 10
MAX_FILES_SHOWN = 20
_ENDED = frozenset({TaskState.SUCCEEDED, TaskState.FAILED, TaskState.SKIPPED, TaskState.CANCELLED})
_GOOD = frozenset({RunState.COMPLETED})
PARTIAL = "artifacts/partial/"
"""Where PAS keeps the patch of a card that did not get to its end."""
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
    """Return seconds for people: `0.4 s`, `89 s`, `3 min 05 s`, `1 h 45 min`."""
    if seconds < 90:  # noqa: PLR2004
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"  # noqa: PLR2004
    if seconds < 3600:  # noqa: PLR2004
        return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"
    return f"{int(seconds) // 3600} h {int(seconds) % 3600 // 60:02d} min"


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


def tell_question(question: Question, trace_id: str, handling: Handling) -> tuple[EventDraft, Pending]:
    """Return PEX's question with its letters, and what the next turn may answer."""
    lettered = [f"  {letter}) {option}" for letter, option in zip("ABC", question.options, strict=False)]
    event = EventDraft(_K.QUESTION, "\n".join([question.text, *lettered]), data={"options": list(question.options)})
    pending = Pending(
        kind="question", trace_id=trace_id, options=question.options, answer=question.answer, handling=handling
    )
    return event, pending


def exit_code_of_error(error: PlatformError) -> int:
    """Return the exit code of a turn that an error ended: 3 a budget, 4 a refused key, else 1."""
    if isinstance(error, LimitExceededError):
        return 3
    return 4 if isinstance(error, KeyRefusedError) else 1


def describe_cost(estimate: Estimate) -> str:
    """Return what a plan costs: quantiles in dollars and tokens, or that no model is used."""
    if not estimate.uses_model:
        return "no model used: 0 tokens, $0.00"
    cost = estimate.cost_microusd
    if estimate.cost_microusd_p95 == 0:
        return f"a free model: at most {estimate.tokens_p95:,} tokens, $0.00"
    quantiles = f"{format_usd(cost.p50)} (P50), {format_usd(cost.p80)} (P80), {format_usd(cost.p95)} (P95)"
    return f"cost {quantiles}, at most {estimate.tokens_p95:,} tokens"


def tell_estimate(estimate: Estimate) -> EventDraft:
    """Return step 4 for the user: P50, P80, P95 of time and money, the label."""
    time = estimate.time_s
    cost = describe_cost(estimate)
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
        "cost_p50_usd": estimate.cost_microusd.p50 / 1e6,
        "cost_p80_usd": estimate.cost_microusd.p80 / 1e6,
        "tokens_p95": estimate.tokens_p95,
        "uses_model": estimate.uses_model,
    }
    return EventDraft(_K.ESTIMATE, text, step=4, data=data)


def tell_approval(delegation: Delegation, max_cost_microusd: int | None = None) -> EventDraft:
    """Return step 5: the question whether the plan may run; `max_cost_microusd` is what the user set, if anything."""
    estimate = delegation.estimate
    bound = format_duration(estimate.time_s.p95) if estimate else "the estimate"
    if estimate is not None and estimate.cost_microusd_p95:
        most = estimate.cost_microusd_p95 if max_cost_microusd is None else max_cost_microusd
        bound += f" and {format_usd(most)}"
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
    cap = run.cap_microusd or (estimate.cost_microusd_p95 if estimate else 0)
    active = ", ".join(card.title for card in run.cards if card.state is TaskState.RUNNING)
    eta = "" if eta_s is None else f"ETA {format_duration(eta_s)}"  # a direct run has no estimate and no cap
    if is_final(RUN_TRANSITIONS, run.state):
        active, eta = "", "ended"
    elif done == len(run.cards):
        active, eta = "judging the result", "ETA soon"
    spend = f"{format_usd(run.cost_microusd)} of {format_usd(cap)}" if estimate or run.cap_microusd else ""
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


def tell_report(
    run: RunView,
    left_alone: tuple[str, ...],
    files: tuple[str, ...],
    step: int | None,
    receipts: Sequence[Receipt] = (),
) -> EventDraft:
    """Return step 13: what came of the run; `receipts` say which models really answered."""
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
    lines += _tell_spend(run, receipts)
    lines += _tell_kept(run)
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
        "models": list(models_of(run)),
        "cost_usd": run.cost_microusd / 1e6,
        "tokens": run.tokens,
        "kept": [ref.path for ref in run.artifacts if ref.path.startswith(PARTIAL)],
        "findings": [{"name": f.name, "verdict": f.verdict.value, "detail": f.detail} for f in run.findings],
        "left_alone": list(left_alone),
    }
    return EventDraft(_K.REPORT, "\n".join(lines), step=step, data=data)


def models_of(run: RunView) -> tuple[str, ...]:
    """Return the aliases of the models that a run's cards use."""
    kinds = (card.configuration.partition("/") for card in run.cards)
    return tuple(dict.fromkeys(alias for kind, _, alias in kinds if kind in {"agent", "plan"}))


def _tell_spend(run: RunView, receipts: Sequence[Receipt]) -> list[str]:
    models = models_of(run)
    if not models:
        return []
    answered = dict.fromkeys(receipt.model for receipt in receipts if receipt.is_success and receipt.step)
    by = f", answered by {', '.join(answered)}" if answered else ""  # after a downshift not the model it began with
    cap = f" of {format_usd(run.cap_microusd)}" if run.cap_microusd else ""
    return [f"  spent {format_usd(run.cost_microusd)}{cap}, {run.tokens:,} tokens, model {', '.join(models)}{by}"]


def _tell_kept(run: RunView) -> list[str]:
    """Return what is left of a card that did not get to its end."""
    kept = [ref.path for ref in run.artifacts if ref.path.startswith(PARTIAL)]
    if not kept or run.files_changed:
        return []
    return [f"  kept, not tested: {path} (see it with direng diff {run.run_id})" for path in kept]


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
