"""Caps hold, whoever asks; and nobody raises their own."""

import asyncio
import json
from dataclasses import replace

import pytest

from services.broker.core.pricing import count_most_tokens_in
from services.broker.models import Purpose, SetBudget
from services.broker.protocol import BudgetExceededError
from services.kernel.caller import ScopeMissingError
from services.kernel.errors import ForbiddenError, InvalidRequestError
from services.kernel.vocabulary import Scope
from tests.fakes.broker import COST_MICROUSD, FREE, ask, new_model, reply, scope
from tests.fakes.identity import ENGINEER, READER, make_caller

IN_RUN = replace(make_caller("service:run-1", Scope.MODEL_CALL, Scope.PAS_SUBMIT), run_id="run-1", project_id="prj-1")
ALL_SCOPES = ("session:s-1", "project:prj-1", "run:run-1", "card:run-1/fix")


def cap(name, microusd, **more):
    return SetBudget(scope=scope(name), cap_microusd=microusd, rationale="a test's cap", **more)


def most(request):
    """Return what one call can cost at most."""
    size_bytes = len(request.model_dump_json().encode())
    return count_most_tokens_in(request, size_bytes) + 2 * request.max_tokens


def write_policy(stage, constraints=None, **thrift):
    lane = {"provider": "local_llama", "model": "main"} | ({"constraints": constraints} if constraints else {})
    policy = {
        "version": "2026-11-21-001",
        "default_provider": {"provider": "local_llama", "model": "main"},
        "lane_overrides": {"Code-Impl": lane},
        "fallback_chain": [],
        "cost_optimization": thrift,
    }
    (stage.home / "model_broker.json").write_text(json.dumps(policy))


@pytest.mark.parametrize("name", ALL_SCOPES)
async def test_cap_on_any_budget_of_a_call_holds_it(stage, broker, name):
    request = ask(scopes=ALL_SCOPES)
    await broker.set_budget(ENGINEER, cap(name, most(request) - 1))
    with pytest.raises(BudgetExceededError, match=f"the cap of {name} is ") as refusal:
        await broker.complete(ENGINEER, request)
    for words in ("is left", "could cost up to", "nothing was called", "lower max_tokens"):
        assert words in refusal.value.detail
    assert stage.wire.requests == []
    assert await broker.list_attempts(ENGINEER) == ()
    await broker.set_budget(ENGINEER, cap(name, most(request)))
    assert (await broker.complete(ENGINEER, request)).cost_microusd == COST_MICROUSD


async def test_every_budget_of_a_call_is_charged_once(broker):
    await broker.complete(ENGINEER, ask(scopes=(*ALL_SCOPES, "run:run-1")))
    for name in ALL_SCOPES:
        budget = await broker.get_budget(ENGINEER, scope(name))
        assert (budget.spent_microusd, budget.reserved_microusd) == (COST_MICROUSD, 0)
        assert (budget.tokens, budget.attempts) == (15, 1)


async def test_token_cap_holds_too(stage, broker):
    request = ask()
    await broker.set_budget(ENGINEER, cap("session:s-1", None, cap_tokens=150))
    with pytest.raises(BudgetExceededError, match="150 tokens and 150 of it are left"):
        await broker.complete(ENGINEER, request)
    assert stage.wire.requests == []


async def test_session_without_a_cap_gets_the_house_cap_at_first_use(stage):
    service = stage.open(session_cap_microusd=1000)
    await service.add_model(ENGINEER, new_model())
    assert (await service.get_budget(ENGINEER, scope("session:s-1"))).cap_microusd is None
    await service.complete(ENGINEER, ask())
    assert (await service.get_budget(ENGINEER, scope("session:s-1"))).cap_microusd == 1000
    with pytest.raises(BudgetExceededError, match=r"session:s-1 is \$0.001 "):
        await service.complete(ENGINEER, ask("call-0002", max_tokens=5000))


async def test_budget_never_used_is_empty(broker):
    budget = await broker.get_budget(ENGINEER, scope("run:run-9"))
    assert (budget.cap_microusd, budget.spent_microusd, budget.attempts) == (None, 0, 0)


async def test_closed_budget_lets_nothing_through_not_even_what_is_free(stage, broker):
    await broker.add_model(ENGINEER, new_model("free", price=FREE))
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def wait(_request):
        begun.set()
        await may_end.wait()
        return reply()

    stage.wire.play("main", wait)
    call = asyncio.create_task(broker.complete(ENGINEER, ask(scopes=("run:run-1",))))
    await begun.wait()
    closed = await broker.close_budget(ENGINEER, scope("run:run-1"), "terminated")
    assert closed.cap_microusd == closed.reserved_microusd > 0
    assert await broker.close_budget(ENGINEER, scope("run:run-1"), "again") == closed
    may_end.set()
    await call
    for alias in ("main", "free"):
        with pytest.raises(BudgetExceededError, match="run:run-1 is closed"):
            await broker.complete(ENGINEER, ask(f"call-{alias}", ("run:run-1",), alias=alias))
    await broker.set_budget(ENGINEER, cap("run:run-1", 10**6))
    await broker.complete(ENGINEER, ask("call-0003", ("run:run-1",), alias="free"))


async def test_downshift_leaves_the_cap_and_the_closing_as_they_are(broker):
    await broker.set_budget(ENGINEER, cap("run:run-1", 500, cap_tokens=900))
    shifted = await broker.set_budget(
        ENGINEER, SetBudget(scope=scope("run:run-1"), chain_offset=1, rationale="cheaper")
    )
    assert (shifted.cap_microusd, shifted.cap_tokens, shifted.chain_offset) == (500, 900, 1)
    await broker.close_budget(ENGINEER, scope("run:run-1"), "terminated")
    await broker.set_budget(ENGINEER, SetBudget(scope=scope("run:run-1"), chain_offset=0, rationale="dearer"))
    with pytest.raises(BudgetExceededError, match="is closed"):
        await broker.complete(ENGINEER, ask(scopes=("run:run-1",)))


async def test_repeated_change_leaves_one_record(stage, broker):
    first = await broker.set_budget(ENGINEER, cap("run:run-1", 500, chain_offset=1))
    assert await broker.set_budget(ENGINEER, cap("run:run-1", 500)) == first
    assert first.chain_offset == 1
    with stage.opened[0].engine.begin() as connection:
        rows = connection.exec_driver_sql("SELECT author, rationale, cap_microusd FROM budget_changes").all()
    assert rows == [("user:engineer", "a test's cap", 500)]


async def test_months_cap_is_the_policys_and_counts_what_was_spent_before_it_was_set(stage, broker):
    await broker.complete(ENGINEER, ask("call-0001"))
    request = ask("call-0002")
    write_policy(stage, budget_cap_usd=(COST_MICROUSD + most(request) - 1) / 10**6)
    with pytest.raises(BudgetExceededError, match=r"the cap of month:2026-11 \(the policy's\)"):
        await broker.complete(ENGINEER, request)
    write_policy(stage, budget_cap_usd=(COST_MICROUSD + most(request)) / 10**6)
    await broker.complete(ENGINEER, request)
    month = await broker.get_budget(ENGINEER, scope("month:2026-11"))
    assert month.spent_microusd == 2 * COST_MICROUSD
    assert month.cap_microusd == COST_MICROUSD + most(request)


async def test_a_new_month_is_a_new_budget(stage, broker):
    await broker.complete(ENGINEER, ask("call-0001"))
    stage.clock.advance(11 * 86_400)
    write_policy(stage, budget_cap_usd=1)
    await broker.complete(ENGINEER, ask("call-0002"))
    assert (await broker.get_budget(ENGINEER, scope("month:2026-12"))).spent_microusd == COST_MICROUSD


@pytest.mark.parametrize(
    ("constraints", "words"),
    [({"max_cost_per_task_usd": 0.000_3}, r"\$0.0003 and"), ({"max_tokens_per_task": 200}, "200 tokens")],
)
@pytest.mark.parametrize("scopes", [("run:run-1", "card:run-1/fix"), ("run:run-1", "session:s-1")])
async def test_lanes_constraints_hold_one_task(stage, broker, constraints, words, scopes):
    write_policy(stage, constraints)
    with pytest.raises(BudgetExceededError, match=f"one Code-Impl task .{scopes[-1]}, by the policy. is {words}"):
        await broker.complete(ENGINEER, ask(scopes=scopes))
    with pytest.raises(BudgetExceededError):
        await broker.complete(ENGINEER, ask("probe-0001", scopes, purpose=Purpose.PROBE))
    stage.wire.play("main", reply())
    assert (await broker.test_model(ENGINEER, "main")).cost_microusd > 0


async def test_compactions_probes_and_retries_spend_from_the_same_budget(stage, broker):
    for number, purpose in enumerate(Purpose):
        await broker.complete(ENGINEER, ask(f"call-{number:04}", purpose=purpose))
    assert (await broker.get_budget(ENGINEER, scope("session:s-1"))).spent_microusd == len(Purpose) * COST_MICROUSD


async def test_run_bound_caller_spends_from_its_own_run_only(broker):
    await broker.complete(IN_RUN, ask(scopes=ALL_SCOPES))
    for names in (
        ("session:s-1",),
        ("project:prj-1",),
        ("card:run-1/fix",),
        ("run:run-2",),
        ("run:run-1", "run:run-2"),
        ("run:run-1", "card:run-2/fix"),
        ("run:run-1", "card:run-10/fix"),
        ("run:run-1", "project:prj-2"),
    ):
        with pytest.raises(ForbiddenError, match="belongs to run run-1"):
            await broker.complete(IN_RUN, ask("call-0002", names))


async def test_run_bound_caller_cannot_raise_its_cap_or_close_a_budget(broker):
    await broker.set_budget(ENGINEER, cap("run:run-1", 10))
    with pytest.raises(ForbiddenError, match="may not change budgets"):
        await broker.set_budget(IN_RUN, cap("run:run-1", 10**9))
    with pytest.raises(ForbiddenError, match="may not change budgets"):
        await broker.close_budget(IN_RUN, scope("run:run-2"), "mischief")
    assert (await broker.get_budget(ENGINEER, scope("run:run-1"))).cap_microusd == 10


async def test_scopes_are_checked_on_every_method(broker):
    with pytest.raises(ScopeMissingError):
        await broker.complete(READER, ask())
    with pytest.raises(ScopeMissingError):
        [delta async for delta in broker.stream(READER, ask())]
    for work in (
        broker.list_attempts(READER),
        broker.get_budget(READER, scope("run:run-1")),
        broker.set_budget(READER, cap("run:run-1", 1)),
        broker.close_budget(READER, scope("run:run-1"), "no"),
        broker.list_models(READER),
        broker.add_model(READER, new_model()),
        broker.remove_model(READER, "main"),
        broker.set_default(READER, "main"),
        broker.test_model(READER, "main"),
        broker.check_models(READER),
        broker.get_route(READER, ask().lane),
        broker.get_facts(READER),
    ):
        with pytest.raises(ScopeMissingError):
            await work


@pytest.mark.parametrize("name", ["month:2026-11", "run: padded", "run:a\nb"])
async def test_budget_that_is_no_callers_to_name_is_refused(broker, name):
    with pytest.raises(InvalidRequestError):
        await broker.complete(ENGINEER, ask(scopes=(name,)))
    with pytest.raises(InvalidRequestError):
        await broker.set_budget(ENGINEER, cap(name, 5))


async def test_cap_that_no_database_keeps_is_refused(broker):
    with pytest.raises(InvalidRequestError, match="a cap is at most"):
        await broker.set_budget(ENGINEER, cap("run:run-1", 2**63))


async def test_fifty_children_at_once_never_pass_a_cap_by_one_call(stage, broker):
    request = ask("call-0000", ALL_SCOPES)
    room = 7
    await broker.set_budget(ENGINEER, cap("run:run-1", room * most(request) - 1))
    stage.wire.play("main", reply(usage=None))
    answers = await asyncio.gather(
        *(broker.complete(ENGINEER, ask(f"call-{number:04}", ALL_SCOPES)) for number in range(50)),
        return_exceptions=True,
    )
    refused = [answer for answer in answers if isinstance(answer, BudgetExceededError)]
    assert (len(stage.wire.requests), len(refused)) == (room - 1, 50 - room + 1)
    budget = await broker.get_budget(ENGINEER, scope("run:run-1"))
    assert budget.spent_microusd == (room - 1) * most(request) <= budget.cap_microusd
