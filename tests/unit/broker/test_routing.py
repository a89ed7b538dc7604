"""Which models a lane's calls try, by the policy, the registry and the downshifts."""

import json
import os

import pytest

from services.broker.models import Provider, SetBudget
from services.broker.protocol import ModelMissingError, PolicyBrokenError
from services.kernel.errors import ConflictError
from services.kernel.vocabulary import Lane
from tests.fakes.broker import FREE, PRICE, ask, fault, new_model, reply, scope
from tests.fakes.identity import ENGINEER

CODE = Lane.CODE_IMPL


def entry(model, provider="local_llama", **more):
    return {"provider": provider, "model": model} | more


def write_policy(stage, default, chain=(), lanes=None, **thrift):
    body = {
        "version": "2026-11-21-001",
        "default_provider": default,
        "lane_overrides": lanes or {},
        "fallback_chain": list(chain),
        "cost_optimization": thrift,
    }
    path = stage.home / "model_broker.json"
    path.write_text(json.dumps(body))
    return path


async def add(service, *aliases, **changes):
    for alias in aliases:
        await service.add_model(ENGINEER, new_model(alias, **changes))


async def route(service, lane=CODE, budget=None):
    found = await service.get_route(ENGINEER, lane, None if budget is None else scope(budget))
    return [view.alias for view in found.models]


async def test_without_a_policy_every_lane_uses_the_default_model(stage):
    service = stage.open()
    await add(service, "first", "second")
    assert {tuple(await route(service, lane)) for lane in Lane} == {("first",)}
    found = await service.get_route(ENGINEER, CODE)
    assert (found.max_tokens, found.timeout_s, found.problem) == (4096, 120, "")


async def test_lane_override_comes_before_the_chain_and_nothing_twice(stage):
    service = stage.open()
    await add(service, "one", "two", "three")
    constraints = {"max_cost_per_task_usd": 2.5, "timeout_seconds": 9}
    lanes = {"Code-Impl": entry("two", max_tokens=77, temperature=1.5, constraints=constraints)}
    write_policy(stage, entry("one"), [entry("three"), entry("two-model"), entry("one")], lanes)
    assert await route(service) == ["two", "three", "one"]
    assert await route(service, Lane.NARRATIVE) == ["one", "three", "two"]
    found = await service.get_route(ENGINEER, CODE)
    assert (found.max_tokens, found.timeout_s, found.max_cost_per_task_microusd) == (77, 9, 2_500_000)
    await service.complete(ENGINEER, ask(max_tokens=None))
    [sent] = stage.wire.requests
    assert (sent.max_tokens, sent.timeout_s, sent.temperature) == (77, 9, 1.5)


async def test_prefer_local_puts_local_and_free_models_first(stage):
    service = stage.open()
    await add(service, "paid", "gratis", provider=Provider.OPENAI, base_url=None)
    await service.add_model(ENGINEER, new_model("gratis", provider=Provider.OPENAI, base_url=None, price=FREE))
    await add(service, "local")
    chain = [entry("local"), entry("gratis", "openai")]
    write_policy(stage, entry("paid", "openai"), chain, prefer_local=True)
    assert await route(service) == ["local", "gratis", "paid"]


async def test_caching_of_the_policy_reaches_the_wire(stage, broker):
    await broker.complete(ENGINEER, ask("call-0001"))
    write_policy(stage, entry("main"), enable_caching=False)
    await broker.complete(ENGINEER, ask("call-0002"))
    assert [request.target.is_caching for request in stage.wire.requests] == [True, False]


async def test_downshift_of_any_budget_passes_over_models_but_never_the_last(stage):
    service = stage.open()
    await add(service, "one", "two", "three")
    write_policy(stage, entry("one"), [entry("two"), entry("three")])

    async def shift(offset):
        change = SetBudget(scope=scope("run:run-1"), cap_microusd=10**9, chain_offset=offset, rationale="cheaper")
        await service.set_budget(ENGINEER, change)

    for offset, first in ((1, "two"), (2, "three"), (8, "three"), (0, "one")):
        await shift(offset)
        assert (await route(service, budget="run:run-1"))[0] == first
        completion = await service.complete(ENGINEER, ask(f"call-000{offset}", ("session:s-1", "run:run-1")))
        assert completion.alias == first
        assert (await service.complete(ENGINEER, ask(f"free-000{offset}"))).alias == "one"


async def test_downshift_that_another_process_set_holds_too(stage):
    service, other = stage.open(), stage.open()
    await add(service, "one", "two")
    write_policy(stage, entry("one"), [entry("two")])
    change = SetBudget(scope=scope("run:run-1"), cap_microusd=10**9, chain_offset=1, rationale="cheaper")
    await other.set_budget(ENGINEER, change)
    completion = await service.complete(ENGINEER, ask(scopes=("run:run-1",)))
    assert [receipt.alias for receipt in completion.receipts] == ["two"]
    stage.wire.play("one", fault(completion.receipts[0].outcome))


async def test_model_that_only_the_policy_names_is_called_when_its_key_is_there(stage):
    service = stage.open()
    stage.prices.prices["anthropic/claude-x"] = PRICE
    stage.prices.contexts["anthropic/claude-x"] = 200_000
    write_policy(stage, entry("claude-x", "anthropic"))
    with pytest.raises(ModelMissingError, match=r"anthropic/claude-x: env:ANTHROPIC_API_KEY holds no key"):
        await service.complete(ENGINEER, ask())
    assert "ANTHROPIC_API_KEY" in (await service.get_route(ENGINEER, CODE)).problem
    stage.keys.keys["env:ANTHROPIC_API_KEY"] = "sk"
    stage.clock.advance(60)
    completion = await service.complete(ENGINEER, ask())
    assert (completion.alias, completion.model) == ("anthropic-claude-x", "claude-x")
    [view] = await service.list_models(ENGINEER)
    assert (view.key_ref, view.context_tokens, view.is_default) == ("env:ANTHROPIC_API_KEY", 200_000, True)


async def test_local_model_that_is_not_configured_is_a_problem_but_the_chain_goes_on(stage, broker):
    write_policy(stage, entry("qwen"), [entry("main")])
    found = await broker.get_route(ENGINEER, CODE)
    assert [view.alias for view in found.models] == ["main"]
    assert found.problem == "the policy names local_llama/qwen, which is not configured"
    assert (await broker.complete(ENGINEER, ask())).alias == "main"


async def test_broken_policy_calls_nothing_and_names_every_reason(stage, broker):
    path = write_policy(stage, entry("main", "acme"), version=1)
    with pytest.raises(PolicyBrokenError, match=r"acme.*version|version.*acme") as refusal:
        await broker.complete(ENGINEER, ask())
    assert "\n" not in refusal.value.detail
    assert str(path) in refusal.value.detail
    assert stage.wire.requests == []
    assert "acme" in (await broker.get_route(ENGINEER, CODE)).problem
    path.unlink()
    await broker.complete(ENGINEER, ask())


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"[" * 100_000, b'{"cost_optimization": {"budget_cap_usd": NaN}}', b" " * 1_000_001, b""]
)
async def test_file_that_is_no_policy_at_all_fails_closed(stage, broker, content):
    (stage.home / "model_broker.json").write_bytes(content)
    with pytest.raises(PolicyBrokenError):
        await broker.complete(ENGINEER, ask())
    assert stage.wire.requests == []


async def test_policy_that_is_a_folder_fails_closed(stage, broker):
    (stage.home / "model_broker.json").mkdir()
    with pytest.raises(PolicyBrokenError, match="cannot be read"):
        await broker.complete(ENGINEER, ask())


async def test_changed_policy_is_read_again(stage):
    service = stage.open()
    await add(service, "one", "two")
    path = write_policy(stage, entry("one"))
    assert await route(service) == ["one"]
    write_policy(stage, entry("two"))
    os.utime(path, ns=(1, 1))
    assert await route(service) == ["two"]


async def test_facts_name_the_policy_the_prices_and_the_models(stage, broker):
    without = await broker.get_facts(ENGINEER)
    assert without.provider_matrix == {lane.value: "local_llama/main-model" for lane in Lane}
    assert without.price_table_version == "list-1"
    write_policy(stage, entry("main"), lanes={"Narrative": entry("gone")})
    facts = await broker.get_facts(ENGINEER)
    assert facts.policy_sha256 != without.policy_sha256
    assert facts.provider_matrix["Narrative"] == "none"


async def test_default_of_a_policy_file_is_changed_in_the_file(stage):
    service = stage.open()
    await add(service, "one", "two")
    write_policy(stage, entry("one"))
    with pytest.raises(ConflictError, match="change default_provider there"):
        await service.set_default(ENGINEER, "two")
    (stage.home / "model_broker.json").unlink()
    assert (await service.set_default(ENGINEER, "two")).is_default
    assert await route(service) == ["two"]


async def test_two_spellings_of_one_model_are_one(stage):
    service = stage.open()
    await add(service, "one")
    write_policy(stage, entry("one"), [entry("one-model")])
    stage.wire.play("one", reply())
    assert await route(service) == ["one"]
