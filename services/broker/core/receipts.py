"""What an attempt cost, its receipt, and the last word when no attempt brought an answer."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.broker.core.ledger import NewAttempt, Settlement
from services.broker.core.lineup import Candidate
from services.broker.core.ports import WireError
from services.broker.core.pricing import format_usd, price_usage
from services.broker.core.retrying import KEY_FAULTS, may_be_billed
from services.broker.models import AttemptOutcome, AttemptState, Price, RoutingReceipt, Usage
from services.broker.protocol import ContextOverflowError, KeyRefusedError, ModelsUnavailableError
from services.kernel.errors import PlatformError

MAX_DETAIL_CHARS = 500


@dataclass(frozen=True)
class Bill:
    """What an attempt used and cost. `is_estimated`: nobody told, so the whole reservation counts."""

    usage: Usage
    tokens: int
    cost_microusd: int
    is_estimated: bool


def make_bill(attempt: NewAttempt, price: Price, usage: Usage | None, *, is_billed: bool) -> Bill:
    """Return the bill by the usage told, else nothing when nothing is owed, else the whole reservation."""
    if usage is not None and (usage.tokens_in > 0 or usage.tokens_out > 0):
        return Bill(usage, usage.tokens_in + usage.tokens_out, price_usage(price, usage), is_estimated=False)
    if not is_billed:
        return Bill(Usage(), 0, 0, is_estimated=False)
    return Bill(Usage(), attempt.reserved_tokens, attempt.reserved_microusd, is_estimated=True)


def settle_answer(attempt: NewAttempt, price: Price, usage: Usage | None, time_ms: int) -> Settlement:
    """Return the settlement of an attempt that brought the answer."""
    bill = make_bill(attempt, price, usage, is_billed=True)
    return _make_settlement(attempt, bill, AttemptState.SETTLED, AttemptOutcome.OK, 200, time_ms, "")


def settle_failure(attempt: NewAttempt, price: Price, error: WireError, time_ms: int) -> Settlement:
    """Return the settlement of an attempt that failed."""
    bill = make_bill(attempt, price, error.usage, is_billed=may_be_billed(error))
    detail = tidy(error.detail)
    return _make_settlement(attempt, bill, AttemptState.FAILED, error.outcome, error.status, time_ms, detail)


def settle_skip(attempt: NewAttempt) -> Settlement:
    """Return the settlement of an attempt that was not made."""
    bill = Bill(Usage(), 0, 0, is_estimated=False)
    return _make_settlement(attempt, bill, attempt.state, attempt.outcome, None, 0, attempt.detail)


def _make_settlement(  # noqa: PLR0917 - one value per column
    attempt: NewAttempt,
    bill: Bill,
    state: AttemptState,
    outcome: AttemptOutcome,
    status: int | None,
    time_ms: int,
    detail: str,
) -> Settlement:
    excess = bill.cost_microusd - attempt.reserved_microusd
    if excess > 0:
        detail = f"{detail} the provider billed {format_usd(excess)} more than was reserved".strip()
    return Settlement(
        state=state,
        outcome=outcome,
        status=status,
        usage=bill.usage,
        charged_tokens=bill.tokens,
        cost_microusd=bill.cost_microusd,
        is_estimated=bill.is_estimated,
        time_ms=time_ms,
        detail=detail,
    )


def make_receipt(attempt: NewAttempt, position: int, settlement: Settlement) -> RoutingReceipt:
    """Return the receipt of a settled attempt."""
    return RoutingReceipt(
        attempt_id=f"{attempt.call_id}:{position}",
        call_id=attempt.call_id,
        position=position,
        alias=attempt.alias,
        provider=attempt.provider,
        model=attempt.model,
        fallback_from=attempt.fallback_from,
        state=settlement.state,
        outcome=settlement.outcome,
        status=settlement.status,
        usage=settlement.usage,
        reserved_microusd=attempt.reserved_microusd,
        cost_microusd=settlement.cost_microusd,
        is_estimated=settlement.is_estimated,
        price_table_version=attempt.price_table_version,
        time_ms=settlement.time_ms,
        started_at=attempt.started_at,
        detail=settlement.detail,
    )


def sum_usage(receipts: Sequence[RoutingReceipt]) -> Usage:
    """Return the tokens of all attempts of a call."""
    if len(receipts) == 1:
        return receipts[0].usage
    return Usage(**{name: sum(getattr(receipt.usage, name) for receipt in receipts) for name in Usage.model_fields})


def explain_end(failures: Sequence[tuple[Candidate, WireError]]) -> PlatformError:
    """Return the error of a call that no model answered; `failures` in their order, at least one."""
    candidate, error = failures[-1]
    detail = tidy(error.detail)
    if error.outcome is AttemptOutcome.CONTEXT_OVERFLOW:
        return ContextOverflowError(
            f"the prompt does not fit into the context of {candidate.alias} ({candidate.context_tokens} tokens):"
            f" {detail}; shorten it, or configure a model with a larger context"
        )
    if all(failure.outcome in KEY_FAULTS for _, failure in failures):
        return KeyRefusedError("; ".join(_explain_key(model, failure) for model, failure in failures))
    made = sum(failure.outcome is not AttemptOutcome.BREAKER_OPEN for _, failure in failures)
    wait = "" if error.retry_after_s is None else f"; it asks to come back in {error.retry_after_s:.0f} s"
    if not made:
        return ModelsUnavailableError(
            f"no model was asked: {candidate.alias}: {detail}; try again then, or see what is wrong: direng model test"
        )
    attempts = f"{made} attempt{'' if made == 1 else 's'}"
    return ModelsUnavailableError(
        f"no model answered after {attempts}; the last, {candidate.alias}: {error.outcome.value}, {detail}{wait}"
    )


def _explain_key(candidate: Candidate, error: WireError) -> str:
    if error.outcome is AttemptOutcome.KEY_MISSING:
        return tidy(error.detail)
    status = "" if error.status is None else f" ({error.status})"
    where = candidate.target.key_ref
    if where is None:
        cure = f"name one with `direng model add {candidate.alias} ... --key env:NAME`"
        return f"{candidate.alias} refused a call without a key{status}; {cure}"
    return (
        f"the key behind {where} was refused{status} by {candidate.alias};"
        " put a valid key there, or name another reference"
    )


def tidy(detail: str) -> str:
    """Return one printable line that every database keeps."""
    line = " ".join("".join(char if char.isprintable() else " " for char in detail).split())
    return line[:MAX_DETAIL_CHARS]
