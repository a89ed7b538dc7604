"""The budget guard over a running delegation: it pauses once, tells the facts first, and takes the user's word."""

import asyncio

import pytest

from services.kernel.vocabulary import DelegationState, RunState
from services.pex.models import ApprovalReply, Constraints, DelegationContext, DelegationRequest, ProjectRunCommand
from tests.fakes.identity import ENGINEER
from tests.unit.pex.test_model_plans import INTENT, REPO, TREE, delegate

YES = ApprovalReply(approved=True, idempotency_key="key-0001", rationale="the engineer said yes")


@pytest.fixture
async def running(world):
    """A delegation of two agent cards that runs under its P95 of $0.80."""
    world.pas.connect()
    world.pas.tree = TREE
    request = DelegationRequest(intent=INTENT, context=DelegationContext(repo=REPO), rationale="the engineer asked")
    delegation = await delegate(world, request)
    world.pas.is_auto = False
    running = await world.pex.approve(ENGINEER, delegation.delegation_id, YES)
    await world.pas.begin(running.run_id)
    return running


async def watch_until(world, delegation_id, is_wanted):
    async with asyncio.timeout(10):
        async for event in world.pex.watch_delegation(ENGINEER, delegation_id):
            if is_wanted(event):
                return event
    raise AssertionError("the delegation ended without that event")


async def list_budget_events(world, delegation_id):
    return [e for e in await world.parts.service._journal.store.list_events(delegation_id, 0) if e.kind == "budget"]


async def settle(world, running):
    """Wait until PEX has relayed everything that PAS told."""
    newest = world.pas.events[running.run_id][-1].text
    await watch_until(world, running.delegation_id, lambda event: event.text == newest)


async def test_run_that_will_cost_too_much_is_paused_once_with_its_facts(world, running):
    await world.pas.spend(running.run_id, "cache", 900_000)
    event = await watch_until(world, running.delegation_id, lambda event: event.kind == "budget")
    await watch_until(world, running.delegation_id, lambda event: "run paused" in event.text and event.step == 9)
    run = world.pas.runs[running.run_id]
    assert run.state is RunState.PAUSED
    assert run.reason.startswith("projected $")
    assert "Code-Impl: $0.90 spent" in event.text
    assert "receipt: cache fast-1: $0.90" in event.text
    assert "A) resume: " in event.text
    assert "C) downshift: go on with the next model of the chain (cheap)" in event.text
    assert len(await list_budget_events(world, running.delegation_id)) == 1


async def test_resumed_run_is_not_paused_again_for_the_same_reason(world, running):
    await world.pas.spend(running.run_id, "cache", 900_000)
    await watch_until(world, running.delegation_id, lambda event: "run paused" in event.text and event.step == 9)
    await world.pex.resume_project(ENGINEER, running.project_id, ProjectRunCommand(reason="go on"))
    await world.pas.spend(running.run_id, "cache", 1_000)
    await settle(world, running)
    assert world.pas.runs[running.run_id].state is RunState.EXECUTING
    assert len(await list_budget_events(world, running.delegation_id)) == 1
    await world.pas.spend(running.run_id, "cache", 600_000)
    await settle(world, running)
    async with asyncio.timeout(10):
        await world.pas.await_run(lambda run: run.run_id == running.run_id and run.state is RunState.PAUSED)


async def test_raised_cap_goes_to_pas_and_is_what_is_measured_against(world, running):
    await world.pas.spend(running.run_id, "cache", 900_000)
    await watch_until(world, running.delegation_id, lambda event: "run paused" in event.text and event.step == 9)
    command = ProjectRunCommand(reason="worth it", max_cost_usd="5", is_downshift=True)
    status = await world.pex.resume_project(ENGINEER, running.project_id, command)
    sent = world.pas.commands[-1]
    assert (sent.max_cost_microusd, sent.is_downshift) == (5_000_000, True)
    assert status.budget.cap_microusd == 5_000_000
    assert status.projected_overrun_pct < 0
    await world.pas.spend(running.run_id, "cache", 1_000_000)
    await settle(world, running)
    assert world.pas.runs[running.run_id].state is RunState.EXECUTING


async def test_killed_server_neither_pauses_nor_tells_twice(world, running):
    await world.pas.spend(running.run_id, "cache", 900_000)
    await watch_until(world, running.delegation_id, lambda event: "run paused" in event.text and event.step == 9)
    await world.pex.resume_project(ENGINEER, running.project_id, ProjectRunCommand(reason="go on"))
    await world.restart()
    await world.pex.recover()
    await world.pas.spend(running.run_id, "cache", 1_000)
    await settle(world, running)
    assert world.pas.runs[running.run_id].state is RunState.EXECUTING
    assert len(await list_budget_events(world, running.delegation_id)) == 1


async def test_pause_that_pas_made_at_the_cap_is_told_with_the_same_facts_before_it(world, running):
    await world.pas.spend(running.run_id, "cache", 100_000)
    refusal = "the next call could cost $0.90; the cap of run:x has $0.70 left"
    await world.pas._put(running.run_id, "run.state", f"run paused: {refusal}", state=RunState.PAUSED, reason=refusal)
    told = await watch_until(world, running.delegation_id, lambda event: refusal in event.text)
    assert told.kind == "budget"
    assert "A) raise: " in told.text
    assert "resume: " not in told.text
    status = await world.pex.get_status(ENGINEER, running.project_id)
    assert [line.partition(":")[0] for line in status.budget.options] == ["raise", "downshift", "terminate"]


async def test_report_and_status_carry_the_budget(world, running):
    await world.pas.spend(running.run_id, "cache", 100_000)
    status = await world.pex.get_status(ENGINEER, running.project_id)
    assert status.budget.spent_microusd == 100_000
    assert status.t_minus_depletion_min == 3.5
    for card in world.pas.runs[running.run_id].cards:
        await world.pas.end_card(running.run_id, card.task_id)
    await world.pas.end(running.run_id)
    await watch_until(world, running.delegation_id, lambda event: event.step == 13)
    async with asyncio.timeout(10):
        async for _ in world.pex.watch_delegation(ENGINEER, running.delegation_id):
            pass
    done = await world.pex.get_delegation(ENGINEER, running.delegation_id)
    assert done.state is DelegationState.DONE
    assert done.report.budget.projected_microusd == 100_000
    assert "$0.10 spent" in done.report.summary
    booked = {actual.task_id: actual for actual in world.plms.actuals[running.run_id].actuals}
    assert (booked["cache"].time_s, booked["cache"].cost_microusd) == (1.5, 100_000)
    assert (booked["cache"].tokens_in, booked["cache"].tokens_out, booked["cache"].tokens) == (100, 100, 200)
    assert booked["do-tests"].cost_microusd == 0


async def test_run_of_recipes_is_left_to_the_limit_of_time(world):
    request = DelegationRequest(
        intent="rename load_config to read_config",
        context=DelegationContext(repo=REPO),
        constraints=Constraints(max_cost_usd="0.01"),
        rationale="the engineer asked",
    )
    delegation = await world.pex.delegate(ENGINEER, request)
    await world.pex.approve(ENGINEER, delegation.delegation_id, YES)
    async with asyncio.timeout(10):
        async for _ in world.pex.watch_delegation(ENGINEER, delegation.delegation_id):
            pass
    assert await list_budget_events(world, delegation.delegation_id) == []
    done = await world.pex.get_delegation(ENGINEER, delegation.delegation_id)
    assert world.pas.starts[done.run_id].max_cost_microusd == 0
