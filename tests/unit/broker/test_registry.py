"""The configured models: kept, checked, tested."""

import pytest

from services.broker.app import open_configured
from services.broker.models import AttemptOutcome, Price, Provider, ToolCall, ToolStyle
from services.broker.protocol import ModelNotFoundError, PriceUnknownError, UrlRefusedError
from services.kernel.clock import SystemClock
from services.kernel.db import sqlite_url
from services.kernel.errors import InvalidRequestError
from tests.fakes.broker import COST_MICROUSD, FREE, PRICE, ask, fault, new_model, reply, scope
from tests.fakes.identity import ENGINEER

DEARER = Price(input_microusd=3_000_000, output_microusd=9_000_000, source="list-1")
CALLED = (ToolCall(call_id="t-1", name="report_ready", arguments='{"word": "ready"}'),)


async def aliases(service):
    return [view.alias for view in await service.list_models(ENGINEER) if view.is_default], [
        view.alias for view in await service.list_models(ENGINEER)
    ]


async def test_first_model_is_the_default_and_another_takes_over_when_it_goes(stage):
    service = stage.open()
    for alias in ("b", "a", "c"):
        await service.add_model(ENGINEER, new_model(alias))
    assert await aliases(service) == (["b"], ["a", "b", "c"])
    await service.set_default(ENGINEER, "c")
    assert await aliases(service) == (["c"], ["a", "b", "c"])
    await service.remove_model(ENGINEER, "c")
    assert await aliases(service) == (["a"], ["a", "b"])
    assert await aliases(stage.open()) == (["a"], ["a", "b"])


async def test_model_is_replaced_by_one_of_the_same_alias_and_stays_default(broker):
    view = await broker.add_model(ENGINEER, new_model(context_tokens=99_000, price=FREE))
    assert (view.context_tokens, view.price, view.is_default) == (99_000, FREE, True)
    assert await aliases(broker) == (["main"], ["main"])


async def test_alias_that_is_not_there_is_named(broker):
    for work in (
        broker.remove_model(ENGINEER, "gone"),
        broker.set_default(ENGINEER, "gone"),
        broker.test_model(ENGINEER, "gone"),
    ):
        with pytest.raises(ModelNotFoundError, match="'gone'"):
            await work


async def test_price_comes_from_the_table_or_the_operator_or_the_model_is_refused(stage):
    service = stage.open()
    new = new_model("gpt", provider=Provider.OPENAI, model="gpt-x", base_url=None, price=None, context_tokens=None)
    with pytest.raises(PriceUnknownError, match="--price-in USD --price-out USD per million tokens, or --free"):
        await service.add_model(ENGINEER, new)
    assert await service.list_models(ENGINEER) == ()
    stage.prices.prices["openai/gpt-x"] = PRICE
    stage.prices.contexts["openai/gpt-x"] = 400_000
    stage.keys.keys["env:OPENAI_API_KEY"] = "sk"
    view = await service.add_model(ENGINEER, new)
    assert (view.price, view.context_tokens, view.key_ref) == (PRICE, 400_000, "env:OPENAI_API_KEY")
    assert view.problem == ""


async def test_list_price_of_the_day_counts(stage):
    service = stage.open()
    stage.prices.prices["openai/gpt-x"], stage.keys.keys["env:OPENAI_API_KEY"] = PRICE, "sk"
    new = new_model("gpt", provider=Provider.OPENAI, model="gpt-x", base_url=None, price=None)
    await service.add_model(ENGINEER, new)
    stage.prices.prices["openai/gpt-x"] = DEARER
    assert [view.price for view in await service.list_models(ENGINEER)] == [PRICE]
    stage.clock.advance(24 * 3600)
    assert [view.price for view in await service.list_models(ENGINEER)] == [DEARER]


async def test_url_that_may_not_be_called_and_missing_url_are_refused(stage):
    service = stage.open()
    with pytest.raises(UrlRefusedError):
        await service.add_model(ENGINEER, new_model(base_url="http://169.254.169.254/"))
    with pytest.raises(InvalidRequestError, match="needs its server's URL"):
        await service.add_model(ENGINEER, new_model(base_url=None))
    assert await service.list_models(ENGINEER) == ()


async def test_missing_key_is_the_models_problem(stage):
    service = stage.open()
    view = await service.add_model(ENGINEER, new_model(key_ref="env:ABSENT"))
    assert "env:ABSENT holds no key" in view.problem


async def test_native_tool_call_passes_the_test_and_is_paid_from_the_probes_budget(stage, broker):
    stage.wire.play("main", reply(tool_calls=CALLED))
    probe = await broker.test_model(ENGINEER, "main")
    assert (probe.is_good, probe.tool_style, probe.cost_microusd) == (True, ToolStyle.NATIVE, COST_MICROUSD)
    assert (await broker.get_budget(ENGINEER, scope("session:probe"))).spent_microusd == COST_MICROUSD
    [sent] = stage.wire.requests
    assert [tool.name for tool in sent.tools] == ["report_ready"]


async def test_model_that_calls_tools_in_text_only_is_remembered_as_such(stage, broker):
    stage.wire.play("main", reply("I am ready"), reply(tool_calls=CALLED))
    probe = await broker.test_model(ENGINEER, "main")
    assert (probe.is_good, probe.tool_style, probe.cost_microusd) == (True, ToolStyle.TEXT, 2 * COST_MICROUSD)
    [view] = await broker.list_models(ENGINEER)
    assert (view.tool_style, view.is_default) == (ToolStyle.TEXT, True)
    await broker.complete(ENGINEER, ask())
    assert [request.target.tool_style.value for request in stage.wire.requests] == ["native", "text", "text"]


async def test_server_that_refuses_tools_is_asked_in_text(stage, broker):
    refusal = fault(AttemptOutcome.REJECTED, status=400, detail="does not support tools")
    stage.wire.play("main", refusal, reply(tool_calls=CALLED))
    assert (await broker.test_model(ENGINEER, "main")).tool_style is ToolStyle.TEXT


async def test_model_that_calls_no_tool_either_way_is_no_model_for_agents(stage, broker):
    stage.wire.play("main", reply("hello"))
    probe = await broker.test_model(ENGINEER, "main")
    assert (probe.is_good, probe.tool_style) == (False, None)
    assert "called no tool" in probe.detail
    assert "answers only" in probe.cure
    [view] = await broker.list_models(ENGINEER)
    assert view.tool_style is ToolStyle.NATIVE


async def test_test_that_cannot_reach_the_model_says_why(stage, broker):
    stage.wire.play("main", fault(AttemptOutcome.KEY_REFUSED, status=401))
    probe = await broker.test_model(ENGINEER, "main")
    assert not probe.is_good
    assert "refused" in probe.detail
    assert "(401)" in probe.detail
    assert probe.cure == "mend that and test again"
    assert len(stage.wire.requests) == 1


async def test_test_asks_a_model_even_when_its_breaker_is_open(stage, broker):
    stage.wire.play("main", fault(AttemptOutcome.UNREACHABLE))
    for _ in range(2):
        probe = await broker.test_model(ENGINEER, "main")
        assert not probe.is_good
        assert "after 3 attempts" in probe.detail
    assert len(stage.wire.requests) == 6
    stage.wire.play("main", reply(tool_calls=CALLED))
    assert (await broker.test_model(ENGINEER, "main")).is_good


async def test_model_whose_native_calls_are_garbled_is_asked_in_text(stage, broker):
    stage.wire.play("main", *[fault(AttemptOutcome.MALFORMED)] * 3, reply(tool_calls=CALLED))
    assert (await broker.test_model(ENGINEER, "main")).tool_style is ToolStyle.TEXT


async def test_check_asks_every_endpoint_and_pays_nothing(stage, broker):
    await broker.add_model(ENGINEER, new_model("second"))
    stage.wire.checks["second"] = fault(AttemptOutcome.UNREACHABLE, detail="nothing listens there")
    good, bad = await broker.check_models(ENGINEER)
    assert (good.alias, good.is_good, good.detail) == ("main", True, "it answers")
    assert (bad.alias, bad.is_good, bad.detail) == ("second", False, "nothing listens there")
    assert await broker.list_attempts(ENGINEER) == ()


async def test_warm_loads_the_providers_that_are_configured_and_nothing_without_a_model(stage):
    service = stage.open()
    await stage.opened[0].warm()
    assert stage.wire.warmed == set()
    await service.add_model(ENGINEER, new_model())
    await stage.opened[0].warm()
    assert stage.wire.warmed == {Provider.LOCAL_LLAMA}


async def test_process_of_its_own_is_composed_from_its_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("BROKER_HOME", str(tmp_path))
    monkeypatch.setenv("BROKER_DATABASE_URL", sqlite_url(tmp_path / "broker.db"))
    monkeypatch.setenv("MY_KEY", "sk-some-secret")
    parts = open_configured(SystemClock())
    view = await parts.service.add_model(ENGINEER, new_model(key_ref="env:MY_KEY"))
    assert (view.alias, view.problem) == ("main", "")
    with pytest.raises(UrlRefusedError):
        await parts.service.add_model(ENGINEER, new_model("far", base_url="http://169.254.169.254/"))
    await parts.close()
