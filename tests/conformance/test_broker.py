"""What the broker promises, whichever way it is reached."""

import asyncio
import json

import aiohttp
import pytest

from services.broker.app import create_app
from services.broker.client import HttpBroker
from services.broker.models import AttemptOutcome, SetBudget, ToolStyle
from services.broker.protocol import (
    BudgetExceededError,
    CallConflictError,
    ContextOverflowError,
    KeyRefusedError,
    ModelMissingError,
    ModelNotFoundError,
    ModelRejectedError,
    ModelsUnavailableError,
    PolicyBrokenError,
    PriceUnknownError,
    UrlRefusedError,
)
from services.kernel.caller import ScopeMissingError
from services.kernel.errors import ForbiddenError, InvalidRequestError
from services.kernel.http import HttpCall, closing
from services.kernel.ids import new_id
from services.kernel.vocabulary import Lane
from tests.conformance.broker_process import CALLERS, IN_RUN, open_conforming
from tests.fakes.broker import COST_MICROUSD, PRICE, ask, new_model, scope
from tests.fakes.identity import ENGINEER, NOBODY
from tests.fakes.sockets import serve, serve_in_process

BINDINGS = ("embedded", "loopback", "networked")
MODELS = ("main", "slow", "tools", "rejecting", "overflowing", "refusing", "gone", "cutting", "mending", "breaking")


@pytest.fixture(scope="session")
def broker_process(tmp_path_factory):
    """A broker in a process of its own: its base URL and its home."""
    home = tmp_path_factory.mktemp("broker")
    with serve_in_process("tests.conformance.broker_process:build", str(home)) as base_url:
        yield base_url, home


async def add_models(broker):
    for alias in MODELS:
        await broker.add_model(ENGINEER, new_model(alias, key_ref="env:KEY"))


@pytest.fixture(params=BINDINGS)
async def bound(request, tmp_path):
    """The broker as an object, behind a socket of this process, and behind a process of its own; with its home."""
    if request.param == "networked":
        base_url, home = request.getfixturevalue("broker_process")
        call = HttpCall(base_url)
        async with closing(call):
            broker = HttpBroker(call)
            await add_models(broker)
            yield broker, home
            (home / "model_broker.json").unlink(missing_ok=True)
            for view in await broker.list_models(ENGINEER):
                await broker.remove_model(ENGINEER, view.alias)
        return
    parts = open_conforming(tmp_path)
    await add_models(parts.service)
    if request.param == "embedded":
        yield parts.service, tmp_path
    else:
        async with serve(create_app(parts, CALLERS)) as base_url:
            call = HttpCall(base_url)
            async with closing(call):
                yield HttpBroker(call), tmp_path
    await parts.close()


@pytest.fixture
def broker(bound):
    return bound[0]


@pytest.fixture
def run():
    """A run's budget that no other test uses."""
    return f"run:{new_id('run')}"


def fresh(run, **changes):
    return ask(new_id("call"), (run,), **changes)


async def test_answer_is_paid_once_and_replayed(broker, run):
    request = fresh(run)
    first = await broker.complete(ENGINEER, request)
    assert (first.text, first.cost_microusd, first.is_replayed) == ("one two three", COST_MICROUSD, False)
    again = await broker.complete(ENGINEER, request)
    assert again == first.model_copy(update={"is_replayed": True})
    assert await broker.list_attempts(ENGINEER, scope(run)) == first.receipts
    budget = await broker.get_budget(ENGINEER, scope(run))
    assert (budget.spent_microusd, budget.reserved_microusd, budget.attempts) == (COST_MICROUSD, 0, 1)


async def test_stream_comes_in_pieces_and_ends_with_the_completion(broker, run):
    deltas = [delta async for delta in broker.stream(ENGINEER, fresh(run))]
    assert [delta.text for delta in deltas[:-1]] == ["one", " two", " three"]
    assert deltas[-1].completion.text == "one two three"


async def test_broken_stream_says_that_it_begins_again(broker, run):
    deltas = [delta async for delta in broker.stream(ENGINEER, fresh(run, alias="cutting"))]
    assert [(delta.text, delta.is_restart) for delta in deltas[:3]] == [
        ("half of ", False),
        ("", True),
        ("other", False),
    ]
    outcomes = [receipt.outcome for receipt in deltas[-1].completion.receipts]
    assert outcomes == [AttemptOutcome.CUT, AttemptOutcome.OK]


async def test_stream_that_breaks_for_good_ends_with_the_error_that_complete_raises(broker, run):
    deltas = []

    async def collect():
        async for delta in broker.stream(ENGINEER, fresh(run, alias="breaking")):
            deltas.append(delta)  # noqa: PERF401 - the pieces before the error are what counts

    with pytest.raises(ModelsUnavailableError, match="after 3 attempts; the last, breaking: cut"):
        await collect()
    assert [(delta.text, delta.is_restart) for delta in deltas] == [("half of ", False), ("", True)] * 2 + [
        ("half of ", False)
    ]


@pytest.mark.parametrize(
    ("alias", "error"),
    [
        ("rejecting", ModelRejectedError),
        ("overflowing", ContextOverflowError),
        ("refusing", KeyRefusedError),
        ("gone", ModelsUnavailableError),
        ("nobody", ModelNotFoundError),
    ],
)
async def test_failures_are_the_same_class_everywhere_streamed_or_not(bound, run, alias, error):
    broker, home = bound
    write_policy(home, "rejecting")
    if alias == "rejecting":
        alias = None
    else:
        (home / "model_broker.json").unlink()
    with pytest.raises(error) as refusal:
        await broker.complete(ENGINEER, fresh(run, alias=alias))
    assert "\n" not in refusal.value.detail
    with pytest.raises(error):
        [delta async for delta in broker.stream(ENGINEER, fresh(run, alias=alias))]


def write_policy(home, model):
    entry = {"provider": "local_llama", "model": model}
    body = {"version": "2026-11-21-001", "default_provider": entry, "lane_overrides": {}, "fallback_chain": []}
    (home / "model_broker.json").write_text(json.dumps(body))


async def test_conflicts_and_caps_are_told(broker, run):
    request = fresh(run)
    await broker.complete(ENGINEER, request)
    with pytest.raises(CallConflictError):
        await broker.complete(ENGINEER, request.model_copy(update={"max_tokens": 9}))
    change = SetBudget(scope=scope(run), cap_microusd=COST_MICROUSD, rationale="no more")
    assert (await broker.set_budget(ENGINEER, change)).cap_microusd == COST_MICROUSD
    with pytest.raises(BudgetExceededError, match="nothing was called"):
        await broker.complete(ENGINEER, fresh(run))
    closed = await broker.close_budget(ENGINEER, scope(run), "done")
    assert closed.cap_microusd == COST_MICROUSD
    with pytest.raises(BudgetExceededError, match="is closed"):
        await broker.complete(ENGINEER, fresh(run))


async def test_same_call_at_once_is_one_call(broker, run):
    request = fresh(run, alias="slow")
    answers = await asyncio.gather(*(broker.complete(ENGINEER, request) for _ in range(4)))
    assert sorted(answer.is_replayed for answer in answers) == [False, True, True, True]
    assert (await broker.get_budget(ENGINEER, scope(run))).attempts == 1


async def test_run_bound_caller_stays_in_its_run(broker):
    await broker.complete(IN_RUN, ask(new_id("call"), ("project:prj-1", "run:run-1", "card:run-1/fix")))
    with pytest.raises(ForbiddenError):
        await broker.complete(IN_RUN, ask(new_id("call"), ("run:run-2",)))
    with pytest.raises(ForbiddenError):
        await broker.set_budget(IN_RUN, SetBudget(scope=scope("run:run-1"), cap_microusd=10**9, rationale="greed"))
    with pytest.raises(ScopeMissingError):
        await broker.list_models(NOBODY)
    with pytest.raises(ScopeMissingError):
        await broker.add_model(IN_RUN, new_model("mine"))


async def test_models_are_kept_changed_tested_and_removed(broker):
    assert [view.alias for view in await broker.list_models(ENGINEER)] == sorted(MODELS)
    added = await broker.add_model(ENGINEER, new_model("extra", context_tokens=9999))
    assert (added.context_tokens, added.is_default) == (9999, False)
    assert (await broker.set_default(ENGINEER, "extra")).is_default
    await broker.set_default(ENGINEER, "main")
    probe = await broker.test_model(ENGINEER, "tools")
    assert (probe.is_good, probe.tool_style) == (True, ToolStyle.NATIVE)
    assert not (await broker.test_model(ENGINEER, "main")).is_good
    probes = {probe.alias: probe for probe in await broker.check_models(ENGINEER)}
    assert (probes["main"].is_good, probes["gone"].is_good) == (True, False)
    await broker.remove_model(ENGINEER, "extra")
    with pytest.raises(ModelNotFoundError):
        await broker.remove_model(ENGINEER, "extra")


async def test_models_that_may_not_be_kept_are_refused(broker):
    with pytest.raises(PriceUnknownError):
        await broker.add_model(ENGINEER, new_model("dear", price=None))
    with pytest.raises(UrlRefusedError):
        await broker.add_model(ENGINEER, new_model("far", base_url="http://169.254.169.254/v1"))
    with pytest.raises(InvalidRequestError):
        await broker.add_model(ENGINEER, new_model("lost", base_url=None))


async def test_route_and_facts_follow_policy_and_downshift(bound, run):
    broker, home = bound
    assert (await broker.get_facts(ENGINEER)).provider_matrix["Narrative"] == "local_llama/main-model"
    write_policy(home, "tools")
    route = await broker.get_route(ENGINEER, Lane.NARRATIVE)
    assert [view.alias for view in route.models] == ["tools"]
    assert route.models[0].price == PRICE
    change = SetBudget(scope=scope(run), chain_offset=2, rationale="cheaper")
    assert (await broker.set_budget(ENGINEER, change)).chain_offset == 2
    assert (await broker.get_route(ENGINEER, Lane.NARRATIVE, scope(run))).models == route.models
    (home / "model_broker.json").write_text("{}")
    with pytest.raises(PolicyBrokenError, match="default_provider"):
        await broker.complete(ENGINEER, fresh(run))
    write_policy(home, "absent")
    with pytest.raises(ModelMissingError, match="absent"):
        await broker.complete(ENGINEER, fresh(run))


async def test_health_is_open_and_counts_the_models(tmp_path):
    parts = open_conforming(tmp_path)
    await add_models(parts.service)
    async with (
        serve(create_app(parts, CALLERS)) as base_url,
        aiohttp.ClientSession() as session,
        session.get(f"{base_url}/health") as answer,
    ):
        body = await answer.json()
    assert (body["status"], body["service"], body["models"], body["schema"]) == ("ok", "broker", len(MODELS), "0001")
    await parts.close()


@pytest.fixture
async def chat(tmp_path):
    """The OpenAI-compatible door over a socket: a function that returns the data lines of a streamed chat."""
    parts = open_conforming(tmp_path)
    await add_models(parts.service)
    async with serve(create_app(parts, CALLERS)) as base_url, aiohttp.ClientSession() as session:

        async def stream(model, **headers):
            body = {"model": model, "stream": True, "messages": [{"role": "user", "content": "Say it."}]}
            body["stream_options"] = {"include_usage": True}
            sent = {"Authorization": f"Bearer {ENGINEER.token}"} | headers
            async with session.post(f"{base_url}/v1/chat/completions", json=body, headers=sent) as answer:
                text = await answer.text()
            lines = [line[6:] for line in text.splitlines() if line.startswith("data: ")]
            assert lines[-1] == "[DONE]"
            return [json.loads(line) for line in lines[:-1]], parts.service

        yield stream
    await parts.close()


def join(chunks):
    return "".join(c["choices"][0]["delta"].get("content", "") for c in chunks if c.get("choices"))


async def test_streamed_chat_is_chunks_with_usage_and_done(chat):
    chunks, _ = await chat("main")
    assert join(chunks) == "one two three"
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["usage"]["total_tokens"] == 15
    chunks, _ = await chat("tools")
    [call] = [
        c["choices"][0]["delta"]["tool_calls"][0]
        for c in chunks
        if c.get("choices") and "tool_calls" in c["choices"][0]["delta"]
    ]
    assert (call["index"], call["function"]["name"]) == (0, "report_ready")


async def test_streamed_chat_never_runs_two_answers_together(chat):
    chunks, _ = await chat("cutting")
    assert join(chunks) == "half of "
    assert "begins differently" in chunks[-1]["error"]["message"]
    chunks, _ = await chat("mending")
    assert join(chunks) == "half of it is enough"


async def test_streamed_chat_with_a_key_is_paid_once(chat):
    for _ in range(2):
        chunks, service = await chat("main", **{"Idempotency-Key": "key-00000001"})
        assert join(chunks) == "one two three"
    assert (await service.get_budget(ENGINEER, scope("session:user:engineer"))).attempts == 1
