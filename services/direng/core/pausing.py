"""The question that a paused run asks: why, what was spent, what can be done; pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from services.direng.core.money import MICRO, format_usd, read_usd
from services.direng.core.ports import EventDraft, Following, Pending
from services.direng.models import TurnEventKind
from services.kernel.ids import ProjectId, TaskId
from services.kernel.vocabulary import Lane
from services.pas.models import Receipt, RunView
from services.pex.models import BudgetState, LaneOverrun

DIRECT_PROJECT = ProjectId("direct")
"""The project of all direct runs; the ledger does not know it."""
BUDGET_EXIT = 3
SHOWN_LANES = 3
SHOWN_RECEIPTS = 5
_LEAST_RAISE_MICROUSD = 10_000
_MONEY_WORDS = re.compile(r"\b(?:cap|caps|budget|budgets|cost|costs|projected|spend|spent)\b", re.IGNORECASE)
_NEEDED = re.compile(r"could cost (?:up to )?\$(\d{1,9}(?:\.\d{1,6})?)")
_ADVICE = ": raise it, shorten the prompt"
"""Where the broker's reason goes over to what its caller could do; the question offers what the user can."""
_STEERING = re.compile(
    r"^(?P<word>raise|resume|go on|downshift|terminate|stop)"
    r"(?:\s+(?:(?P<upto>up\s+to)|by|with)?\s*\$?(?P<usd>\d{1,9}(?:\.\d{1,6})?)(?:\s+more)?)?[.! ]*$",
    re.IGNORECASE,
)
_STOP = "end it now; what was done so far is kept, untested"


@dataclass(frozen=True)
class Pause:
    """A paused run, its budget, and the models that a downshift could go on with."""

    run: RunView
    budget: BudgetState
    next_model: str = ""

    @property
    def is_over_budget(self) -> bool:
        """Return whether money is why it paused."""
        return self.run.cap_microusd > 0 and bool(_MONEY_WORDS.search(self.run.reason))


@dataclass(frozen=True)
class Steering:
    """What a paused run is told: the word, and its new cap or how much more it gets where the words say it."""

    word: str
    more_microusd: int | None = None
    cap_microusd: int | None = None

    def find_cap(self, run: RunView, offered_microusd: int) -> int | None:
        """Return the run's new cap; None leaves it as it is."""
        if self.cap_microusd is not None:
            return self.cap_microusd
        if self.more_microusd is None and self.word != "raise":
            return None
        return run.cap_microusd + (self.more_microusd or offered_microusd)


def read_steering(text: str) -> Steering | None:
    """Return what words like `raise 2.50`, `resume up to 10`, `downshift`, `terminate` tell a paused run."""
    match = _STEERING.match(text.strip())
    if match is None:
        return None
    word, usd = match["word"].lower(), match["usd"]
    amount = None if usd is None else read_usd(usd)
    word = {"go on": "resume", "stop": "terminate"}.get(word, word)
    if match["upto"]:
        return Steering(word, cap_microusd=amount)
    return Steering("raise" if amount is not None and word == "resume" else word, more_microusd=amount)


def is_direct(run: RunView) -> bool:
    """Return whether DirEng started the run itself."""
    return run.project_id == DIRECT_PROJECT


def measure_directly(run: RunView, receipts: Sequence[Receipt]) -> BudgetState:
    """Return the budget of a direct run: what its receipts say, without an estimate."""
    lanes: dict[Lane, int] = {}
    times: dict[Lane, float] = {}
    for receipt in receipts:
        lanes[receipt.lane] = lanes.get(receipt.lane, 0) + receipt.cost_microusd
        times[receipt.lane] = times.get(receipt.lane, 0.0) + (receipt.time_ms / 1000 if receipt.step == 0 else 0.0)
    spent = max(run.cost_microusd, sum(lanes.values()))
    top = sorted(lanes, key=lambda lane: -lanes[lane])[:SHOWN_LANES]
    asked = [receipt for receipt in receipts if receipt.step > 0] or list(receipts)
    return BudgetState(
        spent_microusd=spent,
        cap_microusd=run.cap_microusd,
        projected_microusd=spent,
        projected_overrun_pct=None,
        t_minus_depletion_min=None,
        top_lanes=tuple(
            LaneOverrun(
                lane=lane,
                spent_microusd=lanes[lane],
                projected_microusd=lanes[lane],
                estimated_microusd=0,
                spent_s=round(times[lane], 3),
                estimated_s=0,
            )
            for lane in top
        ),
        last_receipts=tuple(asked[-SHOWN_RECEIPTS:]),
    )


def ask_about(pause: Pause, trace_id: str, following: Following) -> tuple[EventDraft, Pending, int]:
    """Return the question, what the next turn may answer, and the exit code of this one."""
    if not pause.is_over_budget:
        return _ask_plainly(pause, trace_id, following)
    more = suggest_raise(pause.budget, _find_needed(pause.run.reason))
    choices = [("raise", f"go on with {format_usd(more)} more")]
    if pause.next_model:
        choices.append(("downshift", f"go on with the next model of the chain, {pause.next_model}"))
    choices.append(("terminate", _STOP))
    lettered = [f"  {letter}) {line}" for letter, (_, line) in zip("ABC", choices, strict=False)]
    last = "  (or say `raise 2.50` to go on with another amount)"
    text = "\n".join(
        [f"run {pause.run.run_id} is paused: {_tell_reason(pause.run)}", *_tell(pause.budget), *lettered, last]
    )
    options = tuple(word for word, _ in choices)
    pending = Pending(kind="paused", trace_id=trace_id, options=options, following=following, raise_microusd=more)
    data: dict[str, JsonValue] = {
        "options": list(options),
        "budget": pause.budget.model_dump(mode="json"),
        "raise_usd": more / MICRO,
    }
    return EventDraft(TurnEventKind.QUESTION, text, data=data), pending, BUDGET_EXIT


def _tell_reason(run: RunView) -> str:
    """Return why a run paused, for whoever is asked: not its id again, nor what a caller of the broker could do."""
    return run.reason.replace(f"the cap of run:{run.run_id} ", "its cap ").partition(_ADVICE)[0]


def _ask_plainly(pause: Pause, trace_id: str, following: Following) -> tuple[EventDraft, Pending, int]:
    options = ("resume", "terminate")
    run = pause.run
    text = f"run {run.run_id} is paused ({run.reason or 'no reason given'}). A) resume it  B) end it now"
    pending = Pending(kind="paused", trace_id=trace_id, options=options, following=following)
    return EventDraft(TurnEventKind.QUESTION, text, data={"options": list(options)}), pending, 0


def suggest_raise(budget: BudgetState, needed_microusd: int = 0) -> int:
    """Return how much more to offer: what is projected beyond the cap and a fifth on top, at least half the cap.

    And enough for two calls like the one that was refused. In whole cents, so that it can be read.
    """
    beyond = (budget.projected_microusd - budget.cap_microusd) * 1.2
    wanted = max(beyond, budget.cap_microusd / 2, 2 * needed_microusd, _LEAST_RAISE_MICROUSD)
    return -(-int(wanted) // 10_000) * 10_000


def _find_needed(reason: str) -> int:
    """Return what the refused call could have cost, where the broker's reason says it."""
    match = _NEEDED.search(reason)
    return read_usd(match[1]) if match else 0


def _tell(budget: BudgetState) -> list[str]:
    spent = f"  spent {format_usd(budget.spent_microusd)} of {format_usd(budget.cap_microusd)}"
    if budget.projected_overrun_pct is not None:
        spent += f", projected {format_usd(budget.projected_microusd)} ({budget.projected_overrun_pct:+.0f}%)"
    if budget.t_minus_depletion_min is not None:
        spent += f", the cap is spent in {budget.t_minus_depletion_min:.1f} min at this rate"
    lines = [spent]
    lines += [f"  {_tell_lane(lane)}" for lane in budget.top_lanes[:SHOWN_LANES]]
    if budget.last_receipts:
        lines.append("  last receipts:")
    return lines + [f"    {_tell_receipt(receipt)}" for receipt in budget.last_receipts[-SHOWN_RECEIPTS:]]


def _tell_lane(lane: LaneOverrun) -> str:
    estimated = f", {format_usd(lane.estimated_microusd)} estimated" if lane.estimated_microusd else ""
    return f"{lane.lane.value}: {format_usd(lane.spent_microusd)} spent{estimated}"


def _tell_receipt(receipt: Receipt) -> str:
    who = receipt.model if receipt.model != "none" else receipt.configuration
    task: TaskId = receipt.task_id
    ended = "" if receipt.is_success else ", failed"
    tokens = f"{receipt.tokens_in:,} in, {receipt.tokens_out:,} out"
    return f"{task} {who}: {format_usd(receipt.cost_microusd)}, {tokens}, {receipt.time_ms / 1000:.1f} s{ended}"
