"""One call: attempts, each reserved before it is made and settled after it, until a model answers or none is left."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from random import Random

from services.broker.core.booking import (
    Booking,
    Closing,
    Replayed,
    Reserved,
    Shifted,
    TaskCap,
    record_skip,
    reserve,
    settle,
)
from services.broker.core.breaker import Breakers
from services.broker.core.ledger import NewAttempt, Settlement, Store
from services.broker.core.lineup import SET_PRICE, Candidate, downshift, find_fallback
from services.broker.core.policy import LaneRule
from services.broker.core.ports import ModelWire, WireError, WireReply, WireRequest
from services.broker.core.pricing import count_most_tokens_in, price_most
from services.broker.core.receipts import (
    explain_end,
    make_receipt,
    settle_answer,
    settle_failure,
    settle_skip,
    sum_usage,
    tidy,
)
from services.broker.core.retrying import BREAKING, Decision, Verdict, decide
from services.broker.models import (
    AttemptOutcome,
    AttemptState,
    Completion,
    CompletionRequest,
    Delta,
    Price,
    RoutingReceipt,
)
from services.broker.protocol import (
    ModelRejectedError,
    PriceUnknownError,
)
from services.kernel.clock import Clock, to_iso

GRACE_S = 5.0
"""Added to the wire's own timeout before the broker ends a call itself."""
EXPIRY_S = 60.0
"""How long after its timeout an open attempt of another process counts as alive."""


@dataclass(frozen=True)
class CallTools:
    """What calls are made with."""

    store: Store
    wire: ModelWire
    clock: Clock
    random: Random
    sleep: Callable[[float], Awaitable[None]]
    breakers: Breakers
    owner: str
    session_cap_microusd: int
    offsets: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Call:
    """A request with what it is booked under. `chain` is before any downshift."""

    request: CompletionRequest
    digest: str
    size_bytes: int
    keys: tuple[str, ...]
    rule: LaneRule
    chain: tuple[Candidate, ...]
    policy_caps: tuple[TaskCap, ...]


@dataclass(frozen=True)
class _Opened:
    """An attempt that is written. `booking.attempt` still has no position; that is in `reserved`."""

    candidate: Candidate
    price: Price
    booking: Booking
    reserved: Reserved
    is_skipped: bool
    started_s: float


class CallInProgress:
    """One call under way; `run` once."""

    def __init__(self, tools: CallTools, call: Call, on_delta: Callable[[Delta], None] | None = None) -> None:
        self._tools = tools
        self._call = call
        self._on_delta = on_delta
        self._offset = max(tools.offsets.get(key, 0) for key in call.keys)
        self._chain = downshift(call.chain, self._offset)
        self._place = 0
        self._tries = 1
        self._fallback_from: str | None = None
        self._receipts: list[RoutingReceipt] = []
        self._failures: list[tuple[Candidate, WireError]] = []
        self._is_first = True
        self._has_streamed = False

    async def run(self) -> Completion:
        """Return the answer, or the stored one; raise what the protocol says."""
        while True:
            opened = await self._open()
            if isinstance(opened, Completion):
                return opened
            if opened.is_skipped:
                wait_s = self._tools.breakers.find_wait_s(opened.candidate.alias)
                error = WireError(
                    AttemptOutcome.BREAKER_OPEN,
                    f"it failed three times in a row and is left alone for {wait_s:.0f} s more",
                )
                attempt = opened.booking.attempt
                self._receipts.append(make_receipt(attempt, opened.reserved.position, settle_skip(attempt)))
                decision = Decision(Verdict.NEXT)
            else:
                answer = await self._attempt(opened)
                if isinstance(answer, Completion):
                    return answer
                error = answer
                decision = decide(error, self._tries, self._tools.random)
            self._failures.append((opened.candidate, error))
            await self._go_on(opened.candidate, error, decision)

    async def _open(self) -> _Opened | Completion:
        """Write the next attempt: reserved, or skipped when the model's breaker is open."""
        tools = self._tools
        while True:
            candidate = self._chain[self._place]
            price = _find_price(candidate)
            is_admitted = tools.breakers.admit(candidate.alias)
            booking = self._book(candidate, price, is_admitted=is_admitted)
            try:
                booked = await tools.store.transact(partial(reserve if is_admitted else record_skip, booking=booking))
            except BaseException:
                tools.breakers.give_back(candidate.alias)
                raise
            if isinstance(booked, Reserved):
                self._receipts.extend(booked.earlier)
                self._is_first = False
                return _Opened(candidate, price, booking, booked, not is_admitted, tools.clock.monotonic_s())
            if is_admitted:
                tools.breakers.give_back(candidate.alias)
            if isinstance(booked, Replayed):
                return Completion.model_validate_json(booked.answer).model_copy(update={"is_replayed": True})
            self._shift(booked)

    def _shift(self, shifted: Shifted) -> None:
        self._offset = shifted.chain_offset
        self._chain = downshift(self._call.chain, self._offset)

    def _book(self, candidate: Candidate, price: Price, *, is_admitted: bool) -> Booking:
        call, tools = self._call, self._tools
        now = tools.clock.now()
        tokens_in = count_most_tokens_in(call.request, call.size_bytes)
        max_tokens = call.request.max_tokens or call.rule.max_tokens
        attempt = NewAttempt(
            call_id=call.request.call_id,
            position=0,
            digest=call.digest,
            owner=tools.owner,
            expires_at=to_iso(now + timedelta(seconds=call.rule.timeout_s + EXPIRY_S)),
            lane=call.request.lane,
            purpose=call.request.purpose,
            alias=candidate.alias,
            provider=candidate.target.provider,
            model=candidate.target.model,
            fallback_from=self._fallback_from,
            price=price.model_dump_json(),
            price_table_version=price.source,
            reserved_microusd=price_most(price, tokens_in, max_tokens) if is_admitted else 0,
            reserved_tokens=tokens_in + max_tokens if is_admitted else 0,
            started_at=to_iso(now),
            state=AttemptState.RESERVED if is_admitted else AttemptState.FAILED,
            outcome=AttemptOutcome.OPEN if is_admitted else AttemptOutcome.BREAKER_OPEN,
            detail="" if is_admitted else "it failed three times in a row and is left alone for a while",
        )
        return Booking(attempt, call.keys, call.policy_caps, tools.session_cap_microusd, self._offset, self._is_first)

    async def _attempt(self, opened: _Opened) -> Completion | WireError:
        """Make the written attempt and settle it; return the answer, or why there is none."""
        try:
            reply = await self._call_wire(opened)
        except WireError as error:
            await self._fail(opened, error)
            return error
        except BaseException:
            # Stopped in the middle, or a fault of the wire's own: the provider may have worked for it.
            stopped = WireError(AttemptOutcome.CUT, "the call was stopped before its answer came", is_billable=True)
            await self._fail(opened, stopped)
            raise
        return await self._finish(opened, reply)

    async def _call_wire(self, opened: _Opened) -> WireReply:
        request, rule = self._call.request, self._call.rule
        if self._has_streamed:
            self._stream(Delta(is_restart=True))
        wire_request = WireRequest(
            target=opened.candidate.target,
            messages=request.messages,
            tools=request.tools,
            tool_choice=request.tool_choice,
            max_tokens=request.max_tokens or rule.max_tokens,
            temperature=rule.temperature if request.temperature is None else request.temperature,
            timeout_s=rule.timeout_s,
            idempotency_key=f"{request.call_id}:{opened.reserved.position}",
        )
        on_text = None if self._on_delta is None else self._stream_text
        try:
            async with asyncio.timeout(rule.timeout_s + GRACE_S):
                return await self._tools.wire.call(wire_request, on_text)
        except TimeoutError:
            raise WireError(
                AttemptOutcome.TIMEOUT, f"no answer within {rule.timeout_s:g} s", is_billable=True
            ) from None

    def _stream_text(self, text: str) -> None:
        self._has_streamed = True
        self._stream(Delta(text=text))

    def _stream(self, delta: Delta) -> None:
        if self._on_delta is not None:
            self._on_delta(delta)

    async def _finish(self, opened: _Opened, reply: WireReply) -> Completion:
        self._tools.breakers.close(opened.candidate.alias)
        attempt = opened.booking.attempt
        settlement = settle_answer(attempt, opened.price, reply.usage, self._measure_ms(opened))
        receipts = (*self._receipts, make_receipt(attempt, opened.reserved.position, settlement))
        completion = Completion(
            call_id=attempt.call_id,
            text=reply.text,
            tool_calls=reply.tool_calls,
            finish_reason=reply.finish_reason,
            usage=sum_usage(receipts),
            cost_microusd=sum(receipt.cost_microusd for receipt in receipts),
            alias=attempt.alias,
            provider=attempt.provider,
            model=attempt.model,
            receipts=receipts,
            opaque=reply.opaque,
        )
        await self._close(opened, settlement, completion.model_dump_json())
        return completion

    async def _fail(self, opened: _Opened, error: WireError) -> None:
        if error.outcome in BREAKING:
            self._tools.breakers.count_failure(opened.candidate.alias)
        else:
            self._tools.breakers.give_back(opened.candidate.alias)
        attempt = opened.booking.attempt
        settlement = settle_failure(attempt, opened.price, error, self._measure_ms(opened))
        self._receipts.append(make_receipt(attempt, opened.reserved.position, settlement))
        await self._close(opened, settlement, None)

    def _measure_ms(self, opened: _Opened) -> int:
        return round((self._tools.clock.monotonic_s() - opened.started_s) * 1000)

    async def _close(self, opened: _Opened, settlement: Settlement, answer: str | None) -> None:
        attempt = opened.booking.attempt
        closing = Closing(
            call_id=attempt.call_id,
            sequence=opened.reserved.sequence,
            keys=opened.booking.keys,
            reserved_microusd=attempt.reserved_microusd,
            reserved_tokens=attempt.reserved_tokens,
            settlement=settlement,
            answer=answer,
            at=to_iso(self._tools.clock.now()),
        )
        await self._tools.store.transact(partial(settle, closing=closing))

    async def _go_on(self, candidate: Candidate, error: WireError, decision: Decision) -> None:
        """Wait, or turn to the next model; raise when there is none."""
        if decision.verdict is Verdict.RETRY:
            self._tries += 1
            await self._tools.sleep(decision.delay_s)
            return
        if decision.verdict is Verdict.GIVE_UP:
            raise ModelRejectedError(f"{candidate.alias} refused the request: {tidy(error.detail)}")
        over = candidate.context_tokens if decision.verdict is Verdict.LARGER else 0
        place = find_fallback(self._chain, self._place, over)
        if place is None:
            raise explain_end(self._failures)
        self._place, self._tries, self._fallback_from = place, 1, candidate.alias


def _find_price(candidate: Candidate) -> Price:
    if candidate.price is None:
        raise PriceUnknownError(
            f"the price of {candidate.alias} is unknown, so nothing may be spent on it; {SET_PRICE}"
        )
    return candidate.price
