"""Reserve, then settle: the use cases that move money, each one transaction (ADR-0013).

A reservation counts against every budget of its call at once, or nothing is written: so no number of callers, in any
number of threads or processes, passes a cap.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.broker.core.ledger import Books, Change, LastAttempt, Ledger, NewAttempt, Settlement
from services.broker.core.pricing import format_usd
from services.broker.models import AttemptOutcome, AttemptState, RoutingReceipt, Usage
from services.broker.protocol import BudgetExceededError, CallConflictError

SESSION_PREFIX = "session:"


@dataclass(frozen=True)
class TaskCap:
    """A cap that stands in the policy, not in the books: the month's, or a lane's for one task."""

    key: str
    cap_microusd: int | None
    cap_tokens: int | None
    name: str
    cure: str


@dataclass(frozen=True)
class Booking:
    """All that a reservation needs. `keys` are sorted: budgets are always locked in the same order."""

    attempt: NewAttempt
    keys: tuple[str, ...]
    policy_caps: tuple[TaskCap, ...]
    session_cap_microusd: int
    chain_offset: int
    is_first: bool


@dataclass(frozen=True)
class Reserved:
    """The attempt is written. `earlier` are attempts of the same call before this server took it up."""

    sequence: int
    position: int
    earlier: tuple[RoutingReceipt, ...]


@dataclass(frozen=True)
class Replayed:
    """The call has its answer already; nothing was written."""

    answer: str


@dataclass(frozen=True)
class Shifted:
    """A budget of the call passes over another number of models than was thought; nothing was written."""

    chain_offset: int


def reserve(ledger: Ledger, booking: Booking) -> Reserved | Replayed | Shifted:
    """Write an attempt and what it may cost; raise BudgetExceededError when that could pass a cap."""
    last = ledger.find_call(booking.attempt.call_id)
    if last is not None:
        replayed = check_last(last, booking)
        if replayed is not None:
            return replayed
    budgets = ledger.lock_budgets(booking.keys)
    chain_offset = max(books.chain_offset for books in budgets)
    if booking.is_first and chain_offset != booking.chain_offset:
        return Shifted(chain_offset)
    _check_caps(ledger, booking, budgets)
    attempt = replace(booking.attempt, position=1 if last is None else last.position + 1)
    earlier = ledger.list_call(attempt.call_id) if last is not None and booking.is_first else ()
    sequence = ledger.add_attempt(attempt, booking.keys)
    change = Change(reserved_microusd=attempt.reserved_microusd, reserved_tokens=attempt.reserved_tokens, attempts=1)
    ledger.change_budgets(booking.keys, change)
    return Reserved(sequence, attempt.position, earlier)


def check_last(last: LastAttempt, booking: Booking) -> Replayed | None:
    """Return the stored answer of a call that came before; raise CallConflictError when it may not go on."""
    attempt = booking.attempt
    if last.digest != attempt.digest:
        raise CallConflictError(f"call {attempt.call_id} was made with another body; use a new call id")
    if last.answer is not None:
        return Replayed(last.answer)
    if last.state is AttemptState.SETTLED:
        raise CallConflictError(
            f"call {attempt.call_id} was answered, but its answer is no longer kept; use a new call id to pay again"
        )
    if last.state is AttemptState.RESERVED and (last.owner != attempt.owner and last.expires_at > attempt.started_at):
        raise CallConflictError(f"call {attempt.call_id} is under way in another process; ask again when it has ended")
    return None


def record_skip(ledger: Ledger, booking: Booking) -> Reserved | Replayed | Shifted:
    """Write that a model was not asked because its breaker is open; costs nothing and holds nothing."""
    last = ledger.find_call(booking.attempt.call_id)
    if last is not None:
        replayed = check_last(last, booking)
        if replayed is not None:
            return replayed
    if booking.is_first:
        chain_offset = max((books.chain_offset for books in ledger.read_budgets(booking.keys)), default=0)
        if chain_offset != booking.chain_offset:
            return Shifted(chain_offset)
    attempt = replace(booking.attempt, position=1 if last is None else last.position + 1)
    earlier = ledger.list_call(attempt.call_id) if last is not None and booking.is_first else ()
    return Reserved(ledger.add_attempt(attempt, booking.keys), attempt.position, earlier)


@dataclass(frozen=True)
class Closing:
    """All that a settlement needs; `answer` is the call's answer when this attempt brought it."""

    call_id: str
    sequence: int
    keys: tuple[str, ...]
    reserved_microusd: int
    reserved_tokens: int
    settlement: Settlement
    answer: str | None
    at: str


def settle(ledger: Ledger, closing: Closing) -> None:
    """Write how an attempt ended, move its money from reserved to spent, and keep the answer, all in one."""
    done = closing.settlement
    ledger.hold_budgets(closing.keys)
    change = Change(
        spent_microusd=done.cost_microusd,
        reserved_microusd=-closing.reserved_microusd,
        tokens=done.charged_tokens,
        reserved_tokens=-closing.reserved_tokens,
    )
    if not ledger.settle_attempt(closing.sequence, done, AttemptState.RESERVED):
        # It was given up as lost meanwhile, its reservation counted as spent: now the truth is known.
        if not ledger.settle_attempt(closing.sequence, done, AttemptState.LOST):
            return
        change = Change(
            spent_microusd=done.cost_microusd - closing.reserved_microusd,
            tokens=done.charged_tokens - closing.reserved_tokens,
        )
    ledger.change_budgets(closing.keys, change)
    if closing.answer is not None:
        ledger.add_answer(closing.call_id, closing.answer, closing.at)


def recover_lost(ledger: Ledger, expired_before: str | None) -> int:
    """Count the reservations of dead processes as spent; return how many. None: every open attempt is a dead one's."""
    lost = ledger.list_open_attempts(expired_before)
    for attempt in lost:
        keys = sorted(attempt.scope_keys)
        ledger.hold_budgets(keys)
        settlement = Settlement(
            state=AttemptState.LOST,
            outcome=AttemptOutcome.LOST,
            status=None,
            usage=Usage(),
            charged_tokens=attempt.reserved_tokens,
            cost_microusd=attempt.reserved_microusd,
            is_estimated=True,
            time_ms=0,
            detail="the server died while the call was under way; its whole reservation counts as spent",
        )
        if ledger.settle_attempt(attempt.sequence, settlement, AttemptState.RESERVED):
            change = Change(
                spent_microusd=attempt.reserved_microusd,
                reserved_microusd=-attempt.reserved_microusd,
                tokens=attempt.reserved_tokens,
                reserved_tokens=-attempt.reserved_tokens,
            )
            ledger.change_budgets(keys, change)
    return len(lost)


def _check_caps(ledger: Ledger, booking: Booking, budgets: Sequence[Books]) -> None:
    """Raise BudgetExceededError when the attempt could pass any cap of its budgets."""
    for books in budgets:
        if books.is_closed:
            raise BudgetExceededError(f"{books.key} is closed to further calls; set a cap on it to open it again")
        cap_microusd = books.cap_microusd
        if cap_microusd is None and books.key.startswith(SESSION_PREFIX):
            cap_microusd = booking.session_cap_microusd
            ledger.cap_budget(books.key, cap_microusd)
        _check_cap(booking.attempt, books, TaskCap(books.key, cap_microusd, books.cap_tokens, books.key, "raise it"))
        for cap in booking.policy_caps:
            if cap.key == books.key:
                _check_cap(booking.attempt, books, cap)


def _check_cap(attempt: NewAttempt, books: Books, cap: TaskCap) -> None:
    if cap.cap_microusd is not None:
        used = books.spent_microusd + books.reserved_microusd
        if used + attempt.reserved_microusd > cap.cap_microusd:
            left = format_usd(max(0, cap.cap_microusd - used))
            raise BudgetExceededError(
                f"the cap of {cap.name} is {format_usd(cap.cap_microusd)} and {left} of it is left, but one call to"
                f" {attempt.alias} could cost up to {format_usd(attempt.reserved_microusd)}; nothing was called:"
                f" {cap.cure}, shorten the prompt or lower max_tokens"
            )
    if cap.cap_tokens is not None:
        used = books.tokens + books.reserved_tokens
        if used + attempt.reserved_tokens > cap.cap_tokens:
            raise BudgetExceededError(
                f"the cap of {cap.name} is {cap.cap_tokens} tokens and {max(0, cap.cap_tokens - used)} of it are left,"
                f" but one call to {attempt.alias} could use up to {attempt.reserved_tokens}; nothing was called:"
                f" {cap.cure}, shorten the prompt or lower max_tokens"
            )
