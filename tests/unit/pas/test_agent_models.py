"""What agent cards do with their models: refusals, fallbacks, overflow, and runs that have no model at all."""

import pytest

from services.broker.protocol import (
    ContextOverflowError,
    KeyRefusedError,
    ModelsUnavailableError,
    PriceUnknownError,
)
from services.kernel.vocabulary import Lane, TaskState
from services.pas.models import Passport, RunCommand
from services.pas.protocol import ModelMissingError
from tests.fakes import pas as fake
from tests.fakes.agent import NoSandbox, agent_bench, agent_card, agent_start
from tests.fakes.identity import ENGINEER
from tests.fakes.scripted_broker import Reply, ScriptedBroker, call, make_model

FIX = call("fs_write", path="shop/price.py", text="def total(prices):\n    return sum(prices)\n")
DONE = call("finish", summary="done")


async def test_run_is_refused_when_its_lane_has_no_model(tmp_path):
    async with agent_bench(tmp_path, ScriptedBroker(models=())) as bench:
        with pytest.raises(ModelMissingError, match="no model is configured for Code-Impl; add one: direng model add"):
            await bench.begin()
        assert await bench.parts.service.list_runs(ENGINEER) == ()


async def test_run_is_refused_for_an_alias_that_nobody_configured(tmp_path):
    async with agent_bench(tmp_path, ScriptedBroker()) as bench:
        with pytest.raises(ModelMissingError, match="no model is named none; there are: first, second"):
            await bench.begin(agent_card(alias="none"))


async def test_run_is_refused_when_the_price_is_not_known(tmp_path):
    broker = ScriptedBroker(models=(make_model("first").model_copy(update={"price": None}),))
    async with agent_bench(tmp_path, broker) as bench:
        with pytest.raises(ModelMissingError, match=r"the price of first \(model-first\) is not known"):
            await bench.begin()


async def test_run_without_a_broker_is_refused_and_recipes_still_run(tmp_path):
    repository = fake.make_repository(tmp_path / "repo")
    async with fake.running_pas(tmp_path / "home", isolation=NoSandbox(), is_launching=False) as parts:
        with pytest.raises(ModelMissingError, match="without a model broker"):
            await parts.service.start_run(ENGINEER, agent_start(repository))
        view = await parts.service.start_run(ENGINEER, fake.start(repository, fake.rename("code", "area", "size")))
        assert view.cards[0].state is TaskState.QUEUED
        models = await parts.service.list_lane_models(ENGINEER)
        assert {model.lane for model in models} == set(Lane)
        assert all(model.problem for model in models)


async def test_models_of_all_lanes_are_listed_with_their_prices(tmp_path):
    async with agent_bench(tmp_path, ScriptedBroker()) as bench:
        models = await bench.parts.service.list_lane_models(ENGINEER)
    assert [model.lane for model in models] == list(Lane)
    assert {(model.alias, model.input_microusd, model.chain, model.problem) for model in models} == {
        ("first", 1_000_000, ("first", "second"), "")
    }


@pytest.mark.parametrize(
    "refusal",
    [
        KeyRefusedError("the key env:WRONG was refused; set it"),
        PriceUnknownError("the price of x is not known"),
        ModelsUnavailableError("every model failed, the last: 500"),
    ],
)
async def test_refusal_fails_the_card_with_its_line_and_keeps_the_work_so_far(tmp_path, refusal):
    async with agent_bench(tmp_path, ScriptedBroker([FIX, refusal])) as bench:
        view = await bench.work()
        card = view.cards[0]
        assert (card.state, card.reason) == (TaskState.FAILED, refusal.detail)
        assert "artifacts/partial/fix.1.patch" in {artifact.path for artifact in view.artifacts}
        assert "denied" not in [kind for kind, _ in await bench.events()]


async def test_next_attempt_starts_anew_when_no_model_answered(tmp_path):
    outage = [ModelsUnavailableError("every model failed")]

    def script(request, turn):
        if turn == 1 and outage:
            return outage.pop()
        return FIX if turn == 0 else DONE

    async with agent_bench(tmp_path, ScriptedBroker(script)) as bench:
        await bench.begin(agent_card(max_attempts=2))
        assert await bench.attempt(number=1) is TaskState.QUEUED
        assert await bench.attempt(number=2) is TaskState.SUCCEEDED
        receipts = await bench.parts.service.list_receipts(ENGINEER, "run-1")
        assert [(receipt.attempt, receipt.step) for receipt in receipts] == [(1, 1), (1, 0), (2, 1), (2, 2), (2, 0)]


async def test_fallback_is_told_and_each_model_attempt_has_its_receipt(tmp_path):
    broker = ScriptedBroker([FIX, Reply(calls=(("finish", {"summary": "done"}),), fallback_from="cheap")])
    async with agent_bench(tmp_path, broker) as bench:
        view = await bench.work()
        assert view.cards[0].state is TaskState.SUCCEEDED
        receipts = await bench.parts.service.list_receipts(ENGINEER, "run-1")
        assert [(receipt.step, receipt.is_success) for receipt in receipts] == [
            (1, True),
            (2, False),
            (3, True),
            (0, True),
        ]
        assert receipts[2].fallback_from == "cheap"
        assert receipts[2].call_id == "run-1:fix:1:5"
        told = [text for kind, text in await bench.events() if kind == "budget"]
        assert told == ["cheap (model-cheap): rate limited; fell back to first"]


async def test_overflow_is_answered_by_leaving_more_out_once(tmp_path):
    long = call("fs_read", path="long.txt")
    refused = [ContextOverflowError("too long")]

    def script(request, turn):
        if turn == 1 and refused:
            return refused.pop()
        return (long, FIX, DONE)[turn]

    broker = ScriptedBroker(script)
    files = {"shop/price.py": "def total(p):\n    return 1\n", "shop/tax.py": "", "long.txt": "word " * 2000}
    async with agent_bench(tmp_path, broker, files=files) as bench:
        view = await bench.work()
        assert view.cards[0].state is TaskState.SUCCEEDED
        sizes = [len(request.messages[-1].content) for request in broker.requests]
        assert sizes[1] == 10_000
        assert sizes[2] < 2500
        assert [request.call_id.removeprefix("run-1:fix:1:") for request in broker.requests] == ["3", "5", "5:1", "7:1"]


async def test_overflow_that_stays_fails_the_card_clearly(tmp_path):
    broker = ScriptedBroker(lambda request, turn: ContextOverflowError("the prompt does not fit"))
    async with agent_bench(tmp_path, broker) as bench:
        card = (await bench.work()).cards[0]
        assert (card.state, card.reason) == (TaskState.FAILED, "the prompt does not fit")
        assert len(broker.requests) == 2


async def test_passport_says_which_models_and_prices_the_run_began_with(tmp_path):
    async with agent_bench(tmp_path, ScriptedBroker([FIX, DONE])) as bench:
        await bench.work()
        await bench.parts.service.terminate_run(ENGINEER, RunCommand(run_id="run-1", reason="enough"))
        await bench.finish()
        signed = await bench.parts.service.get_passport(ENGINEER, "run-1")
        passport = Passport.model_validate_json(signed.document)
        assert passport.broker_policy_sha256 == "b" * 64
        assert passport.price_table_version == "test"
        assert passport.provider_matrix["Code-Impl"] == "local_llama/model-first"
        budget = bench.broker.budgets["run:run-1"]
        assert budget.cap_microusd == budget.spent_microusd == 2000
