"""What a run has spent, what it will come to, and when that is too much; pure (SPEC.md section 4).

Projected is what was spent plus what every card that has not ended is still expected to take. A card that has not begun
is expected to take its share of the estimate's median. One that is running is expected to end at the median of all
cards like it that took at least as much: log-normal by P50 and P95, so a card that has passed its median is never
"nearly free".

A card's own figures are those of one successful attempt; the estimate's total counts failed attempts too, and medians
do not add up. So the cards' costs are scaled, all by the same factor, until their medians come to the total's: at its
start a run is projected at the P50 that was approved with its bound, and overruns are measured from there.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import exp, log
from statistics import NormalDist

from services.kernel.ids import TaskId
from services.kernel.vocabulary import Lane, RunState, TaskState
from services.pas.models import CardView, Receipt, RunView
from services.pex.core.cards import BASELINE
from services.pex.core.money import format_usd
from services.pex.core.ports import GuardMark
from services.pex.models import BudgetState, LaneOverrun
from services.plms.models import CardEstimate, Estimate, Quantiles

THRESHOLD_PCT = 25.0
"""A run pauses above +25 percent projected."""
PREFIX = "projected "
"""How the guard's own reasons begin."""
RATE_WINDOW = timedelta(minutes=5)
LEAST_RATE_MIN = 0.5
"""The first call of a run is no rate yet: its cost is spread over at least this long."""
SHOWN_RECEIPTS = 5
SHOWN_LANES = 3
_ENDED = frozenset({TaskState.SUCCEEDED, TaskState.FAILED, TaskState.SKIPPED, TaskState.CANCELLED})
_NORMAL = NormalDist()
_Z95 = _NORMAL.inv_cdf(0.95)
_MOST = 1 - 1e-9


@dataclass(frozen=True)
class Books:
    """What a budget is computed from; `bound_microusd` is the approved upper bound while PAS knows no newer cap."""

    estimate: Estimate
    run: RunView
    receipts: Sequence[Receipt]
    bound_microusd: int
    now: datetime

    @property
    def cap_microusd(self) -> int:
        """The cap in force: what the user raised it to, else what was approved."""
        return self.run.cap_microusd or self.bound_microusd

    @property
    def cost_scale(self) -> float:
        """What a card's cost is multiplied by, so that all medians together are the total's."""
        medians = sum(card.cost_microusd.p50 for card in self.estimate.cards)
        total = self.estimate.cost_microusd.p50
        return total / medians if medians > 0 and total > 0 else 1.0

    @property
    def is_money(self) -> bool:
        """Whether money is the budget; else time is, as where recipes or free models work."""
        return self.estimate.uses_model and self.estimate.cost_microusd.p95 > 0


def measure(books: Books, options: tuple[str, ...] = ()) -> BudgetState:
    """Return the state of a run's budget."""
    spent = max(books.run.cost_microusd, sum(receipt.cost_microusd for receipt in books.receipts))
    lanes = _list_lanes(books)
    projected = spent + round(sum(_remaining_costs(books).values()))
    cap = books.cap_microusd
    return BudgetState(
        spent_microusd=spent,
        cap_microusd=cap,
        projected_microusd=projected,
        projected_overrun_pct=_overrun(projected, cap) if books.is_money else _find_time_overrun(books),
        t_minus_depletion_min=_find_depletion_min(books, spent),
        top_lanes=tuple(sorted(lanes, key=_excess, reverse=True)[:SHOWN_LANES]),
        last_receipts=_list_last(books.receipts),
        options=options,
    )


def find_breach(books: Books, state: BudgetState, mark: GuardMark) -> GuardMark | None:
    """Return where the guard stands after pausing now, or None when there is no reason to.

    Each pause moves the threshold by another 25 points, so a run that was resumed is not paused again at once. A new
    cap starts anew. What was known when the cap was set, the estimate's median, is accepted beforehand: a cap below
    P50 is told at the approval and does not stop the run before its first call. Time is PAS's own limit, at the
    same +25 percent of the seconds worked (ADR-0011), so it is not guarded twice.
    """
    overrun = state.projected_overrun_pct
    if overrun is None or not books.is_money:
        return None
    cap = books.cap_microusd
    known = _overrun(_expect_at_start(books, books.estimate.cards), cap)
    threshold = mark.next_pct if mark.bound == cap else max(THRESHOLD_PCT, known + THRESHOLD_PCT)
    return GuardMark(cap, overrun + THRESHOLD_PCT) if overrun > threshold else None


def expect_total(quantiles: Quantiles, so_far: float, scale: float = 1.0) -> float:
    """Return the median of what a card takes in the end, given that it took `so_far` already (same unit).

    Log-normal with the given P50 and P95, both times `scale`; P50 itself before anything was taken.
    """
    if quantiles.p50 <= 0:
        return so_far
    median = quantiles.p50 * scale
    spread = log(max(quantiles.p95, quantiles.p50) / quantiles.p50) / _Z95
    if so_far <= 0 or spread <= 0:
        return max(so_far, median)
    below = _NORMAL.cdf(log(so_far / median) / spread)
    return max(so_far, median * exp(spread * _NORMAL.inv_cdf(min(_MOST, (1 + below) / 2))))


def list_options(state: BudgetState, chain: tuple[str, ...], *, is_cap_reached: bool) -> tuple[str, ...]:
    """Return what a paused run can be told, one line each, the word first."""
    cap, wanted = format_usd(state.cap_microusd), format_usd(state.projected_microusd)
    options = [] if is_cap_reached else [f"resume: go on under the cap of {cap}"]
    options.append(f"raise: go on with a higher cap (projected: {wanted})")
    if len(chain) > 1:
        options.append(f"downshift: go on with the next model of the chain ({chain[1]})")
    return (*options, "terminate: end the run now; what it spent is spent")


def tell_budget(state: BudgetState, reason: str) -> str:
    """Return the facts of a paused run for people: lanes, last receipts, options with their letters."""
    overrun = state.projected_overrun_pct
    share = "" if overrun is None else f" ({overrun:+.0f}% against the cap)"
    spent = f"  spent {format_usd(state.spent_microusd)} of {format_usd(state.cap_microusd)}"
    projected = f"projected {format_usd(state.projected_microusd)}{share}{_tell_depletion(state)}"
    lines = [f"run paused: {reason}", f"{spent}, {projected}"]
    lines += [
        f"  {lane.lane.value}: {format_usd(lane.spent_microusd)} spent, "
        f"{format_usd(lane.projected_microusd)} projected, {format_usd(lane.estimated_microusd)} estimated"
        for lane in state.top_lanes
    ]
    lines += [f"  receipt: {_tell_receipt(receipt)}" for receipt in state.last_receipts]
    return "\n".join([*lines, *(f"  {letter}) {line}" for letter, line in zip("ABCD", state.options, strict=False))])


def explain_breach(state: BudgetState) -> str:
    """Return why the guard pauses, in one line."""
    top = state.top_lanes[0] if state.top_lanes else None
    lane = f"; most in {top.lane.value}" if top else ""
    share = f"{state.projected_overrun_pct or 0:+.0f}%"
    return (
        f"{PREFIX}{format_usd(state.projected_microusd)} is {share} against the cap of "
        f"{format_usd(state.cap_microusd)}, {format_usd(state.spent_microusd)} spent{lane}"
    )


def _tell_receipt(receipt: Receipt) -> str:
    who = receipt.model if receipt.model != "none" else receipt.configuration
    tokens = f", {receipt.tokens_in} in, {receipt.tokens_out} out" if receipt.tokens_in or receipt.tokens_out else ""
    ended = "" if receipt.is_success else ", failed"
    return (
        f"{receipt.task_id} {who}: {format_usd(receipt.cost_microusd)}{tokens}, {receipt.time_ms / 1000:.1f} s{ended}"
    )


def _tell_depletion(state: BudgetState) -> str:
    left = state.t_minus_depletion_min
    return "" if left is None else f", the cap is spent in {left:.1f} min at this rate"


def _overrun(projected: float, bound: float) -> float:
    return round(100 * (projected / max(bound, 1) - 1), 1)


def _excess(lane: LaneOverrun) -> tuple[float, float]:
    return lane.projected_microusd - lane.estimated_microusd, lane.spent_s - lane.estimated_s


def _list_last(receipts: Sequence[Receipt]) -> tuple[Receipt, ...]:
    """Return the newest calls of models where there are any, else the newest receipts."""
    asked = [receipt for receipt in receipts if receipt.step > 0]
    return tuple((asked or list(receipts))[-SHOWN_RECEIPTS:])


def _cost_by_task(receipts: Iterable[Receipt]) -> Mapping[TaskId, int]:
    spent: dict[TaskId, int] = {}
    for receipt in receipts:
        spent[receipt.task_id] = spent.get(receipt.task_id, 0) + receipt.cost_microusd
    return spent


def _open_cards(books: Books) -> list[tuple[CardView, CardEstimate]]:
    estimates = {card.task_id: card for card in books.estimate.cards}
    return [
        (card, estimates[card.task_id])
        for card in books.run.cards
        if card.state not in _ENDED and card.task_id in estimates
    ]


def _remaining_costs(books: Books) -> Mapping[TaskId, float]:
    spent, scale = _cost_by_task(books.receipts), books.cost_scale
    return {
        card.task_id: expect_total(estimate.cost_microusd, so_far, scale) - so_far
        for card, estimate in _open_cards(books)
        for so_far in (spent.get(card.task_id, 0),)
    }


def _expect_at_start(books: Books, cards: Iterable[CardEstimate]) -> float:
    return books.cost_scale * sum(card.cost_microusd.p50 for card in cards)


def _list_lanes(books: Books) -> list[LaneOverrun]:
    spent, left = _cost_by_task(books.receipts), _remaining_costs(books)
    worked = {card.task_id: _worked_s(card, books.now) for card in books.run.cards}
    by_lane: dict[Lane, list[CardEstimate]] = {}
    for card in books.estimate.cards:
        by_lane.setdefault(card.lane, []).append(card)
    return [
        LaneOverrun(
            lane=lane,
            spent_microusd=sum(spent.get(card.task_id, 0) for card in cards),
            projected_microusd=round(sum(spent.get(card.task_id, 0) + left.get(card.task_id, 0) for card in cards)),
            estimated_microusd=round(_expect_at_start(books, cards)),
            spent_s=round(sum(worked.get(card.task_id, 0) for card in cards), 3),
            estimated_s=round(sum(card.time_s.p50 for card in cards), 3),
        )
        for lane, cards in by_lane.items()
    ]


def _find_depletion_min(books: Books, spent: int) -> float | None:
    """Minutes until the cap is spent at the rate of the last minutes; None while nothing is being spent."""
    since = books.now - RATE_WINDOW
    if books.run.started_at:
        since = max(since, datetime.fromisoformat(books.run.started_at))
    lately = sum(r.cost_microusd for r in books.receipts if datetime.fromisoformat(r.recorded_at) >= since)
    minutes = max((books.now - since).total_seconds() / 60, LEAST_RATE_MIN)
    if books.run.state is not RunState.EXECUTING or not lately:
        return None
    return round(max(0, books.cap_microusd - spent) / (lately / minutes), 1)


def _find_time_overrun(books: Books) -> float | None:
    """By time: seconds in which a card worked plus the longest chain of what is open, against P95."""
    bound_s = books.estimate.time_s.p95
    if bound_s <= 0 or not books.run.started_at:
        return None
    return _overrun_s(_busy_s(books) + _longest_chain_s(books), bound_s)


def _overrun_s(projected_s: float, bound_s: float) -> float:
    return round(100 * (projected_s / bound_s - 1), 1)


def _worked_s(card: CardView, now: datetime) -> float:
    if card.state is TaskState.RUNNING and card.started_at:
        return max(0.0, (now - datetime.fromisoformat(card.started_at)).total_seconds())
    return card.time_s


def _busy_s(books: Books) -> float:
    """Length of the union of all cards' times: what a paused run waited is not counted."""
    spans = sorted(
        (
            datetime.fromisoformat(card.started_at),
            datetime.fromisoformat(card.finished_at) if card.finished_at else books.now,
        )
        for card in books.run.cards
        if card.started_at
    )
    total_s, reached = 0.0, None
    for start, end in spans:
        begin = start if reached is None else max(start, reached)
        total_s += max(0.0, (end - begin).total_seconds())
        reached = end if reached is None else max(end, reached)
    return total_s


def _longest_chain_s(books: Books) -> float:
    """Return the longest chain of what is open; the baseline runs beside the others and is left out."""
    left = {
        card.task_id: expect_total(estimate.time_s, worked) - worked
        for card, estimate in _open_cards(books)
        if card.task_id != BASELINE
        for worked in (_worked_s(card, books.now),)
    }
    ends: dict[TaskId, float] = {}
    for card in books.run.cards:  # each comes after its dependencies
        ends[card.task_id] = left.get(card.task_id, 0.0) + max((ends.get(dep, 0.0) for dep in card.deps), default=0.0)
    return max(ends.values(), default=0.0)
