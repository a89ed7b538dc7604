"""What follows a failed attempt, and the receipts it leaves."""

import asyncio
import json

import pytest

from services.broker.core.breaker import OPEN_S
from services.broker.models import AttemptOutcome, AttemptState, Provider, SetBudget, ToolCall, Usage
from services.broker.protocol import (
    BudgetExceededError,
    CallConflictError,
    ContextOverflowError,
    KeyRefusedError,
    ModelMissingError,
    ModelNotFoundError,
    ModelRejectedError,
    ModelsUnavailableError,
    PriceUnknownError,
)
from services.kernel.errors import InvalidRequestError
from services.wire.storage import StorageUnwritableError
from tests.fakes.broker import COST_MICROUSD, ask, fault, new_model, reply, scope
from tests.fakes.identity import ENGINEER

O = AttemptOutcome  # noqa: E741 - read as the word outcome
SESSION = scope("session:s-1")


async def add_chain(stage, service, *aliases, **changes):
    """Configure models and a policy that tries them in this order."""
    for alias in aliases:
        await service.add_model(ENGINEER, new_model(alias, **changes.get(alias, {})))
    entries = [{"provider": "local_llama", "model": alias} for alias in aliases]
    policy = {
        "version": "2026-11-21-001",
        "default_provider": entries[0],
        "lane_overrides": {},
        "fallback_chain": entries,
    }
    (stage.home / "model_broker.json").write_text(json.dumps(policy))


def told(receipts):
    return [(receipt.alias, receipt.outcome, receipt.state, receipt.fallback_from) for receipt in receipts]


async def spent(service):
    budget = await service.get_budget(ENGINEER, SESSION)
    return budget.spent_microusd, budget.reserved_microusd


async def test_answer_costs_its_usage_and_holds_nothing_back(stage, broker):
    completion = await broker.complete(ENGINEER, ask())
    assert (completion.text, completion.cost_microusd, completion.is_replayed) == ("done", COST_MICROUSD, False)
    [receipt] = completion.receipts
    assert receipt.reserved_microusd > COST_MICROUSD
    assert receipt.price_table_version == "operator"
    assert await spent(broker) == (COST_MICROUSD, 0)
    assert await broker.list_attempts(ENGINEER, SESSION) == completion.receipts
    [sent] = stage.wire.requests
    assert (sent.idempotency_key, sent.max_tokens, sent.timeout_s) == ("call-0001:1", 100, 120)


async def test_attempt_stands_in_the_ledger_before_the_model_is_asked(stage, broker):
    seen = []

    async def look(_request):
        seen.extend(await broker.list_attempts(ENGINEER, SESSION))
        seen.append(await spent(broker))
        return reply()

    stage.wire.play("main", look)
    await broker.complete(ENGINEER, ask())
    receipt, (spent_microusd, reserved_microusd) = seen
    assert (receipt.state, receipt.outcome) == (AttemptState.RESERVED, O.OPEN)
    assert (spent_microusd, reserved_microusd) == (0, receipt.reserved_microusd)


async def test_reservation_is_every_byte_as_a_token_and_all_of_max_tokens(stage, broker):
    request = ask()
    completion = await broker.complete(ENGINEER, request)
    size_bytes = len(request.model_dump_json().encode())
    assert completion.receipts[0].reserved_microusd >= size_bytes + 2 * 100


async def test_transient_failures_are_retried_with_growing_jitter_and_one_receipt_each(stage, broker):
    stage.wire.play("main", fault(O.SERVER_ERROR, status=500), fault(O.RATE_LIMITED, status=429), reply())
    completion = await broker.complete(ENGINEER, ask())
    assert told(completion.receipts) == [
        ("main", O.SERVER_ERROR, AttemptState.FAILED, None),
        ("main", O.RATE_LIMITED, AttemptState.FAILED, None),
        ("main", O.OK, AttemptState.SETTLED, None),
    ]
    assert [request.idempotency_key for request in stage.wire.requests] == [f"call-0001:{n}" for n in (1, 2, 3)]
    first, second = stage.pauses.slept_s
    assert 0 <= first <= 0.5
    assert 0 <= second <= 1.0
    assert completion.cost_microusd == COST_MICROUSD
    assert await spent(broker) == (COST_MICROUSD, 0)


async def test_retry_after_is_honoured(stage, broker):
    stage.wire.play("main", fault(O.RATE_LIMITED, retry_after_s=7.0), reply())
    await broker.complete(ENGINEER, ask())
    assert stage.pauses.slept_s == [7.0]


async def test_retry_after_that_is_too_long_goes_to_the_next_model_at_once(stage):
    service = stage.open()
    await add_chain(stage, service, "first", "second")
    stage.wire.play("first", fault(O.RATE_LIMITED, retry_after_s=31.0))
    completion = await service.complete(ENGINEER, ask())
    assert stage.pauses.slept_s == []
    assert told(completion.receipts) == [
        ("first", O.RATE_LIMITED, AttemptState.FAILED, None),
        ("second", O.OK, AttemptState.SETTLED, "first"),
    ]


async def test_fallback_leaves_receipts_in_order_and_the_ledger_has_the_same(stage):
    service = stage.open()
    await add_chain(stage, service, "first", "second", "third")
    stage.wire.play("first", fault(O.SERVER_ERROR))
    stage.wire.play("second", fault(O.KEY_REFUSED, status=401))
    completion = await service.complete(ENGINEER, ask())
    assert told(completion.receipts) == [
        ("first", O.SERVER_ERROR, AttemptState.FAILED, None),
        ("first", O.SERVER_ERROR, AttemptState.FAILED, None),
        ("first", O.SERVER_ERROR, AttemptState.FAILED, None),
        ("second", O.KEY_REFUSED, AttemptState.FAILED, "first"),
        ("third", O.OK, AttemptState.SETTLED, "second"),
    ]
    assert [receipt.position for receipt in completion.receipts] == [1, 2, 3, 4, 5]
    assert tuple(reversed(await service.list_attempts(ENGINEER, SESSION))) == completion.receipts


async def test_all_models_failing_says_how_often_and_why_last(stage):
    service = stage.open()
    await add_chain(stage, service, "first", "second")
    stage.wire.play("first", fault(O.UNREACHABLE))
    stage.wire.play("second", fault(O.MODEL_UNKNOWN, detail="no such model"))
    with pytest.raises(
        ModelsUnavailableError, match="after 4 attempts; the last, second: model_unknown, no such model"
    ):
        await service.complete(ENGINEER, ask())
    assert await spent(service) == (0, 0)


async def test_failed_call_may_be_tried_again_under_its_id_and_counts_on(stage, broker):
    stage.wire.play("main", fault(O.REDIRECTED), reply())
    with pytest.raises(ModelsUnavailableError):
        await broker.complete(ENGINEER, ask())
    completion = await broker.complete(ENGINEER, ask())
    assert [(receipt.position, receipt.outcome) for receipt in completion.receipts] == [(1, O.REDIRECTED), (2, O.OK)]


@pytest.mark.parametrize("outcome", [O.TIMEOUT, O.CUT, O.MALFORMED])
async def test_failure_that_tells_no_usage_but_may_be_billed_counts_in_full(stage, broker, outcome):
    stage.wire.play("main", fault(outcome))
    with pytest.raises(ModelsUnavailableError):
        await broker.complete(ENGINEER, ask())
    receipts = await broker.list_attempts(ENGINEER, SESSION)
    assert len(receipts) == 3
    assert all(receipt.is_estimated and receipt.cost_microusd == receipt.reserved_microusd for receipt in receipts)
    assert await spent(broker) == (sum(receipt.reserved_microusd for receipt in receipts), 0)


async def test_usage_told_with_a_failure_is_what_it_costs(stage, broker):
    stage.wire.play("main", fault(O.CUT, usage=Usage(tokens_in=3, tokens_out=1), is_billable=True), reply())
    completion = await broker.complete(ENGINEER, ask())
    assert [receipt.cost_microusd for receipt in completion.receipts] == [5, COST_MICROUSD]
    assert (completion.cost_microusd, completion.usage.tokens_in) == (25, 13)


@pytest.mark.parametrize("usage", [None, Usage()])
async def test_answer_without_usage_counts_its_whole_reservation(stage, broker, usage):
    stage.wire.play("main", reply(usage=usage))
    [receipt] = (await broker.complete(ENGINEER, ask())).receipts
    assert receipt.is_estimated
    assert receipt.cost_microusd == receipt.reserved_microusd


async def test_bill_over_the_reservation_is_recorded_as_it_is_and_said(stage, broker):
    stage.wire.play("main", reply(usage=Usage(tokens_in=10**6, tokens_out=10**6)))
    [receipt] = (await broker.complete(ENGINEER, ask())).receipts
    assert receipt.cost_microusd == 3 * 10**6
    assert "more than was reserved" in receipt.detail
    assert await spent(broker) == (3 * 10**6, 0)


async def test_three_failures_open_the_breaker_and_one_trial_closes_it(stage, broker):
    stage.wire.play("main", fault(O.SERVER_ERROR))
    with pytest.raises(ModelsUnavailableError):
        await broker.complete(ENGINEER, ask("call-0001"))
    assert len(stage.wire.requests) == 3
    with pytest.raises(ModelsUnavailableError, match="left alone for 30 s more"):
        await broker.complete(ENGINEER, ask("call-0002"))
    assert len(stage.wire.requests) == 3
    [skipped] = [r for r in await broker.list_attempts(ENGINEER, SESSION) if r.call_id == "call-0002"]
    assert (skipped.outcome, skipped.state) == (O.BREAKER_OPEN, AttemptState.FAILED)
    assert (skipped.reserved_microusd, skipped.cost_microusd) == (0, 0)
    [view] = await broker.list_models(ENGINEER)
    assert view.is_breaker_open
    stage.clock.advance(OPEN_S)
    stage.wire.play("main", reply())
    await broker.complete(ENGINEER, ask("call-0003"))
    [view] = await broker.list_models(ENGINEER)
    assert not view.is_breaker_open


async def test_half_open_breaker_lets_one_trial_through_and_opens_again_when_it_fails(stage, broker):
    stage.wire.play("main", fault(O.UNREACHABLE))
    with pytest.raises(ModelsUnavailableError):
        await broker.complete(ENGINEER, ask("call-0001"))
    stage.clock.advance(OPEN_S)
    stage.wire.requests.clear()
    answers = await asyncio.gather(
        *(broker.complete(ENGINEER, ask(f"call-000{n}")) for n in range(2, 6)), return_exceptions=True
    )
    assert {type(answer) for answer in answers} == {ModelsUnavailableError}
    assert len(stage.wire.requests) == 1


async def test_model_that_is_only_busy_opens_no_breaker(stage, broker):
    stage.wire.play("main", fault(O.RATE_LIMITED))
    for n in range(2):
        with pytest.raises(ModelsUnavailableError):
            await broker.complete(ENGINEER, ask(f"call-000{n}"))
    assert len(stage.wire.requests) == 6


async def test_skipped_model_hands_over_to_the_next_with_a_receipt(stage):
    service = stage.open()
    await add_chain(stage, service, "first", "second")
    stage.wire.play("first", fault(O.SERVER_ERROR))
    await service.complete(ENGINEER, ask("call-0001"))
    completion = await service.complete(ENGINEER, ask("call-0002"))
    assert told(completion.receipts) == [
        ("first", O.BREAKER_OPEN, AttemptState.FAILED, None),
        ("second", O.OK, AttemptState.SETTLED, "first"),
    ]


async def test_refused_key_names_its_reference(stage):
    service = stage.open()
    stage.keys.keys["env:MY_KEY"] = "sk-secret"
    await service.add_model(ENGINEER, new_model(key_ref="env:MY_KEY"))
    stage.wire.play("main", fault(O.KEY_REFUSED, status=401))
    with pytest.raises(KeyRefusedError, match=r"the key behind env:MY_KEY was refused \(401\)") as refusal:
        await service.complete(ENGINEER, ask())
    assert "sk-secret" not in refusal.value.detail
    assert len(stage.wire.requests) == 1


async def test_overflow_goes_to_a_model_with_a_larger_context_and_to_no_other(stage):
    service = stage.open()
    await add_chain(stage, service, "first", "small", "large", large={"context_tokens": 100_000})
    stage.wire.play("first", fault(O.CONTEXT_OVERFLOW, status=400))
    completion = await service.complete(ENGINEER, ask())
    assert [receipt.alias for receipt in completion.receipts] == ["first", "large"]
    stage.wire.play("large", fault(O.CONTEXT_OVERFLOW, status=400))
    with pytest.raises(ContextOverflowError, match=r"large \(100000 tokens\)"):
        await service.complete(ENGINEER, ask("call-0002"))


async def test_rejected_request_is_not_sent_anywhere_else(stage):
    service = stage.open()
    await add_chain(stage, service, "first", "second")
    stage.wire.play("first", fault(O.REJECTED, status=400, detail="bad\nparameter"))
    with pytest.raises(ModelRejectedError, match="bad parameter"):
        await service.complete(ENGINEER, ask())
    assert len(stage.wire.requests) == 1


async def test_unknown_price_refuses_before_anything_is_written(stage, broker):
    stage.prices.prices["openai/mystery"] = new_model().price
    await broker.add_model(ENGINEER, new_model("mystery", provider=Provider.OPENAI, model="mystery", price=None))
    stage.prices.prices.clear()  # a newer price table may know the model no more
    broker = stage.open()
    with pytest.raises(PriceUnknownError, match="--price-in USD --price-out USD per million tokens, or --free"):
        await broker.complete(ENGINEER, ask(alias="mystery"))
    assert await broker.list_attempts(ENGINEER) == ()
    assert stage.wire.requests == []


async def test_no_model_and_unknown_model_say_what_to_do(stage):
    service = stage.open()
    with pytest.raises(ModelMissingError, match="no model is configured for Code-Impl; add one: direng model add NAME"):
        await service.complete(ENGINEER, ask())
    with pytest.raises(ModelNotFoundError, match="'nobody'"):
        await service.complete(ENGINEER, ask(alias="nobody"))


async def test_explicit_alias_goes_first_and_the_chain_after_it(stage):
    service = stage.open()
    await add_chain(stage, service, "first", "second")
    await service.add_model(ENGINEER, new_model("extra"))
    stage.wire.play("extra", fault(O.KEY_MISSING))
    completion = await service.complete(ENGINEER, ask(alias="extra"))
    assert [(receipt.alias, receipt.fallback_from) for receipt in completion.receipts] == [
        ("extra", None),
        ("first", "extra"),
    ]


async def test_settled_call_is_answered_from_the_books_and_paid_once(stage, broker):
    first = await broker.complete(ENGINEER, ask())
    again = await broker.complete(ENGINEER, ask())
    assert again == first.model_copy(update={"is_replayed": True})
    assert len(stage.wire.requests) == 1
    assert await spent(broker) == (COST_MICROUSD, 0)
    restarted = stage.open()
    assert await restarted.complete(ENGINEER, ask()) == again
    assert len(stage.wire.requests) == 1


async def test_answer_comes_back_whole_from_the_books(stage, broker):
    calls = (ToolCall(call_id="t-1", name="fs_read", arguments='{"path": "\\u0000ä"}'),)
    stage.wire.play("main", reply("a\0b \U0001f600", tool_calls=calls, opaque="signed"))
    first = await broker.complete(ENGINEER, ask())
    again = await stage.open().complete(ENGINEER, ask())
    assert again.model_copy(update={"is_replayed": False}) == first


async def test_same_call_id_with_another_body_conflicts(stage, broker):
    await broker.complete(ENGINEER, ask())
    with pytest.raises(CallConflictError, match="another body"):
        await broker.complete(ENGINEER, ask(max_tokens=99))
    assert len(stage.wire.requests) == 1


async def test_same_call_at_once_is_one_call_and_another_body_meanwhile_conflicts(stage, broker):
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def wait(_request):
        begun.set()
        await may_end.wait()
        return reply()

    stage.wire.play("main", wait)
    calls = [asyncio.create_task(broker.complete(ENGINEER, ask())) for _ in range(5)]
    await begun.wait()
    with pytest.raises(CallConflictError, match="under way"):
        await broker.complete(ENGINEER, ask(max_tokens=99))
    may_end.set()
    answers = await asyncio.gather(*calls)
    assert sorted(answer.is_replayed for answer in answers) == [False, True, True, True, True]
    assert len(stage.wire.requests) == 1


async def test_caller_that_goes_away_finds_the_answer_under_its_call_id(stage, broker):
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def wait(_request):
        begun.set()
        await may_end.wait()
        return reply()

    stage.wire.play("main", wait)
    call = asyncio.create_task(broker.complete(ENGINEER, ask()))
    await begun.wait()
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    may_end.set()
    assert (await broker.complete(ENGINEER, ask())).is_replayed
    assert len(stage.wire.requests) == 1


async def test_broker_that_is_closed_settles_what_was_under_way(stage, broker):
    begun = asyncio.Event()

    async def hang(_request):
        begun.set()
        await asyncio.Event().wait()

    stage.wire.play("main", hang)
    call = asyncio.create_task(broker.complete(ENGINEER, ask()))
    await begun.wait()
    await broker.close()
    with pytest.raises(asyncio.CancelledError):
        await call
    [receipt] = await broker.list_attempts(ENGINEER)
    assert (receipt.state, receipt.outcome, receipt.is_estimated) == (AttemptState.FAILED, O.CUT, True)
    assert await spent(broker) == (receipt.reserved_microusd, 0)


async def test_fault_of_the_wire_itself_is_settled_too(stage, broker):
    async def break_down(_request):
        raise RuntimeError("a bug")

    stage.wire.play("main", break_down)
    with pytest.raises(RuntimeError, match="a bug"):
        await broker.complete(ENGINEER, ask())
    budget = await broker.get_budget(ENGINEER, SESSION)
    assert budget.reserved_microusd == 0
    assert budget.spent_microusd > 0


async def test_stream_yields_the_text_and_ends_with_the_completion(stage, broker):
    stage.wire.play("main", reply("one two three"))
    deltas = [delta async for delta in broker.stream(ENGINEER, ask())]
    assert "".join(delta.text for delta in deltas) == "one two three"
    assert [delta.completion is not None for delta in deltas] == [False, False, False, True]
    again = [delta async for delta in broker.stream(ENGINEER, ask())]
    assert [delta.completion.is_replayed for delta in again] == [True]


async def test_broken_stream_restarts_and_says_so(stage, broker):
    stage.wire.play("main", fault(O.CUT), reply("whole"))
    deltas = [delta async for delta in broker.stream(ENGINEER, ask())]
    assert [(delta.text, delta.is_restart) for delta in deltas] == [
        ("half of ", False),
        ("", True),
        ("whole", False),
        ("", False),
    ]
    assert [receipt.outcome for receipt in deltas[-1].completion.receipts] == [O.CUT, O.OK]


async def test_stream_that_fails_raises_what_complete_would(stage, broker):
    stage.wire.play("main", fault(O.REJECTED))
    with pytest.raises(ModelRejectedError):
        [delta async for delta in broker.stream(ENGINEER, ask())]


async def test_budget_refusal_in_a_retry_stops_the_call(stage, broker):
    first = await broker.complete(ENGINEER, ask("call-0000"))
    cap = COST_MICROUSD + first.receipts[0].reserved_microusd + 1
    await broker.set_budget(ENGINEER, SetBudget(scope=SESSION, cap_microusd=cap, rationale="one call's worth"))
    stage.wire.play("main", fault(O.CUT))
    with pytest.raises(BudgetExceededError, match="nothing was called"):
        await broker.complete(ENGINEER, ask())
    assert sum(await spent(broker)) <= cap


async def test_call_id_that_cannot_be_printed_is_refused(stage, broker):
    with pytest.raises(InvalidRequestError, match="printable"):
        await broker.complete(ENGINEER, ask("call-\0-0001"))


async def call_until_refused(service):
    for number in range(1000):
        await service.complete(ENGINEER, ask(f"call-{number:04}", (f"run:{'x' * 200}{number}",)))


async def test_full_disk_is_told_in_one_line_and_no_unwritten_call_is_made(stage, broker):
    with stage.opened[0].engine.begin() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count=1")  # no page more than there are
    with pytest.raises(StorageUnwritableError, match="free some space on that disk"):
        await call_until_refused(broker)
    assert len(stage.wire.requests) <= len(await broker.list_attempts(ENGINEER, limit=1000)) < 1000
