"""Rehearsals: which cards, under which cap, what they teach, and what there is without a model."""

import asyncio
from collections import Counter

import pytest
from pydantic import ValidationError

from services.kernel.vocabulary import DelegationState, Lane, RunKind, RunState
from services.pas.models import JobCard, LaneModel, PlannedTask, TaskTree
from services.pex.core.cards import plan_tree
from services.pex.core.rehearsal import choose_cards, echo_fraction, list_strata
from services.pex.models import (
    ApprovalReply,
    Constraints,
    DelegationContext,
    DelegationRequest,
    Plan,
    SimulateProject,
)
from tests.fakes.identity import ENGINEER
from tests.unit.pex.test_model_plans import INTENT, REPO, TREE, delegate, make_project

ORDER = SimulateProject(rehearsal=0.01, rationale="to know more")


def make_plan(count=60):
    lanes, sizes = (Lane.CODE_IMPL, Lane.NARRATIVE), ("small", "large")
    tasks = tuple(
        PlannedTask(
            task_id=f"t{number}", lane=lanes[number % 2], title="T", goal="G", complexity=sizes[number // 2 % 2]
        )
        for number in range(count)
    )
    trees = [TaskTree(tasks=tasks[start : start + 40]) for start in range(0, count, 40)]
    cards: tuple[JobCard, ...] = ()
    for tree in trees:
        cards += plan_tree(tree, [LaneModel(lane=lane, alias="fast") for lane in lanes])[1:-1]
    return Plan(
        summary="s", recipe="agent", cards=cards, complexities={task.task_id: task.complexity for task in tasks}
    )


def test_every_stratum_is_rehearsed_at_least_once_and_the_fraction_is_rounded_up():
    plan = make_plan()
    assert Counter(len(cards) for cards in list_strata(plan).values()) == {15: 4}
    assert len(choose_cards(plan, 0.001, "est-1")) == 4
    assert len(choose_cards(plan, 0.05, "est-1")) == 4
    assert len(choose_cards(make_plan(80), 0.05, "est-1")) == 4


def test_choice_is_the_same_each_time_and_another_for_another_estimate():
    plan = make_plan()
    assert choose_cards(plan, 0.01, "est-1") == choose_cards(plan, 0.01, "est-1")
    assert choose_cards(plan, 0.01, "est-1") != choose_cards(plan, 0.01, "est-2")


def test_fraction_is_echoed_as_a_percentage():
    assert echo_fraction(0.01) == "0.01 = 1%"
    assert echo_fraction(0.005) == "0.005 = 0.5%"


@pytest.mark.parametrize("rehearsal", [0, 0.0009, 0.051, 1])
def test_fraction_outside_its_range_is_refused(rehearsal):
    with pytest.raises(ValidationError):
        SimulateProject(rehearsal=rehearsal, rationale="x")


async def test_rehearsal_runs_single_cards_and_moves_the_estimate(world):
    world.pas.connect()
    world.pas.tree = TREE
    project_id = await make_project(world)
    await world.pex.estimate_project(ENGINEER, project_id)
    simulation = await world.pex.simulate_project(ENGINEER, project_id, ORDER)
    assert (simulation.strata, simulation.cards_rehearsed) == (2, 2)
    start = world.pas.starts[simulation.run.run_id]
    assert start.run_kind is RunKind.REHEARSAL
    assert [(card.task_id, card.deps) for card in start.cards] == [("cache", ()), ("do-tests", ())]
    assert start.max_cost_microusd == 800_000
    booked = world.plms.actuals[simulation.run.run_id]
    assert (booked.run_kind, booked.is_verified) == (RunKind.REHEARSAL, True)
    assert simulation.after.cost_microusd.p50 == simulation.before.cost_microusd.p50 / 2
    assert simulation.note.startswith("0.01 = 1%: 2 of 2 cards rehearsed")
    states = [each.state for each in await world.pex.list_delegations(ENGINEER)]
    assert states == [DelegationState.AWAITING_APPROVAL, DelegationState.EXPIRED]


async def test_cap_of_a_delegation_outlives_its_rehearsal(world):
    world.pas.connect()
    world.pas.tree = TREE
    request = DelegationRequest(
        intent=INTENT,
        context=DelegationContext(repo=REPO, session_id="ses-1"),
        constraints=Constraints(max_cost_usd="0.33"),
        rationale="the engineer asked",
    )
    delegation = await delegate(world, request)
    await world.pex.simulate_project(ENGINEER, delegation.project_id, ORDER)
    (waiting, _) = await world.pex.list_delegations(ENGINEER)
    reply = ApprovalReply(approved=True, idempotency_key="key-0001", rationale="yes")
    running = await world.pex.approve(ENGINEER, waiting.delegation_id, reply)
    start = world.pas.starts[running.run_id]
    assert (start.max_cost_microusd, start.session_id) == (330_000, "ses-1")


async def test_project_that_was_not_estimated_is_estimated_first(world):
    world.pas.connect()
    world.pas.tree = TREE
    simulation = await world.pex.simulate_project(ENGINEER, await make_project(world), ORDER)
    assert simulation.cards_rehearsed == 2


async def test_rehearsal_that_is_asked_for_twice_is_one_run(world):
    world.pas.connect()
    world.pas.tree = TREE
    project_id = await make_project(world)
    await world.pex.estimate_project(ENGINEER, project_id)
    world.pas.is_auto = False
    first = asyncio.create_task(world.pex.simulate_project(ENGINEER, project_id, ORDER))
    run_id = await world.pas.await_run(lambda run: run.run_kind is RunKind.REHEARSAL)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await world.restart()
    second = asyncio.create_task(world.pex.simulate_project(ENGINEER, project_id, ORDER))
    await world.pas.play(run_id)
    assert (await second).run.run_id == run_id
    assert sum(run.run_kind is RunKind.REHEARSAL for run in world.pas.runs.values()) == 1
    assert world.plms.posts.count(f"actuals {run_id}") == 1


async def test_rehearsal_that_reaches_its_cap_is_ended_and_counted(world):
    world.pas.connect()
    world.pas.tree = TREE
    project_id = await make_project(world)
    await world.pex.estimate_project(ENGINEER, project_id)
    world.pas.is_auto = False
    order = SimulateProject(rehearsal=0.02, max_cost_usd="0.05", rationale="to know more")
    asked = asyncio.create_task(world.pex.simulate_project(ENGINEER, project_id, order))
    run_id = await world.pas.await_run(lambda run: run.run_kind is RunKind.REHEARSAL)
    assert world.pas.starts[run_id].max_cost_microusd == 50_000
    await world.pas.begin(run_id)
    await world.pas.spend(run_id, "cache", 40_000)
    await world.pas._put(run_id, "run.state", "paused", state=RunState.PAUSED, reason="the cap of $0.05 is reached")
    simulation = await asked
    assert simulation.run.state is RunState.TERMINATED
    assert "the cap of $0.05 is reached" in simulation.note
    assert world.plms.actuals[run_id].actuals[0].cost_microusd == 40_000
    assert not world.plms.actuals[run_id].is_verified


async def test_without_a_model_nothing_is_rehearsed_and_the_note_says_why(world):
    project_id = await make_project(world)
    await world.pex.estimate_project(ENGINEER, project_id)
    simulation = await world.pex.simulate_project(ENGINEER, project_id, ORDER)
    assert simulation.run is None
    assert simulation.after == simulation.before
    assert "direng model add" in simulation.note


async def test_recipes_need_no_rehearsal(world):
    world.pas.connect()
    simulation = await world.pex.simulate_project(ENGINEER, await make_project(world, "Format the code."), ORDER)
    assert simulation.run is None
    assert simulation.strata == 0
    assert "only recipes" in simulation.note
