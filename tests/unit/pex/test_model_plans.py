"""Where no recipe fits: plans of one agent, plans that a model makes, questions, prices, with and without a model."""

import asyncio

import pytest
import sqlalchemy as sa

from services.kernel.errors import InvalidRequestError
from services.kernel.vocabulary import (
    DelegationState,
    IllegalTransitionError,
    Lane,
    ProjectState,
    RunKind,
    RunState,
)
from services.pas.models import PlannedTask, TaskTree, TreeRef
from services.pex.core.driver import run_id_of
from services.pex.core.thinking import planning_run_of
from services.pex.models import (
    ApprovalReply,
    Constraints,
    DelegationContext,
    DelegationRequest,
    PlanRequest,
    StartProject,
)
from services.pex.protocol import ModelNeededError
from services.plms.models import Approval, NewProject
from tests.fakes.identity import ENGINEER

REPO = "/home/engineer/shop"
INTENT = "make `load_config` cache what it read, and say so in the guide"
YES = ApprovalReply(approved=True, idempotency_key="key-0001", rationale="the engineer said yes")
TREE = TaskTree(
    summary="cache the configuration; really",
    tasks=(
        PlannedTask(
            task_id="cache", lane=Lane.CODE_IMPL, title="Cache it", goal="Cache load_config.", files=("shop/config.py",)
        ),
        PlannedTask(
            task_id="tests",
            lane=Lane.NARRATIVE,
            title="Say so",
            goal="Write it down.",
            deps=("cache",),
            complexity="small",
        ),
    ),
)


def ask(intent=INTENT, **constraints):
    return DelegationRequest(
        intent=intent,
        context=DelegationContext(repo=REPO),
        constraints=Constraints(**constraints),
        rationale="the engineer asked",
    )


async def follow(world, delegation_id):
    async with asyncio.timeout(20):
        return [event async for event in world.pex.watch_delegation(ENGINEER, delegation_id)]


async def delegate(world, request):
    """Hand work over and wait until it was planned."""
    delegation = await world.pex.delegate(ENGINEER, request)
    await follow(world, delegation.delegation_id)
    return await world.pex.get_delegation(ENGINEER, delegation.delegation_id)


async def make_project(world, prd=INTENT):
    return (await world.plms.create_project(ENGINEER, NewProject(title="Cache", prd=prd, repo=REPO))).project_id


async def test_plan_without_a_recipe_is_one_agent_card_between_tests_and_spends_nothing(world):
    world.pas.connect()
    planning = await world.pex.plan(ENGINEER, PlanRequest(intent=INTENT, repo=REPO))
    baseline, agent, tests = planning.plan.cards
    assert (baseline.payload.tree, tests.payload.tree, tests.deps) == (TreeRef.BASE, TreeRef.INPUT, ("agent",))
    assert agent.configuration == "agent/fast"
    assert agent.payload.goal == INTENT
    assert agent.payload.files_hint[0] == "shop/config.py"
    assert planning.plan.files_expected == ("shop/app.py", "shop/config.py", "tests/test_config.py")
    assert not world.pas.runs


async def test_recipe_that_fits_goes_before_the_model(world):
    world.pas.connect()
    planning = await world.pex.plan(ENGINEER, PlanRequest(intent="rename load_config to read_config", repo=REPO))
    assert planning.plan.recipe == "rename-symbol"


@pytest.mark.parametrize("words", ["rename load_config to bar and fix the bug in baz", "make sure the tests pass"])
async def test_work_that_a_recipe_does_in_part_goes_to_the_model_where_there_is_one(world, words):
    asked = await world.pex.plan(ENGINEER, PlanRequest(intent=words, repo=REPO))
    assert asked.question is not None
    world.pas.connect()
    planning = await world.pex.plan(ENGINEER, PlanRequest(intent=words, repo=REPO))
    assert planning.plan.cards[1].payload.goal == words


async def test_question_that_no_model_could_answer_is_still_asked(world):
    world.pas.connect()
    asked = await world.pex.plan(ENGINEER, PlanRequest(intent="rename load_config", repo=REPO))
    assert asked.question.answer == "rename load_config to {answer}"


async def test_without_a_model_the_refusal_names_the_command_that_connects_one(world):
    planning = await world.pex.plan(ENGINEER, PlanRequest(intent=INTENT, repo=REPO))
    assert "direng model add" in planning.refusal
    assert "Connect a model" in planning.refusal
    assert "not available" not in planning.refusal


async def test_model_plans_a_delegation_on_two_lanes_and_its_cost_is_told_and_booked(world):
    world.pas.connect()
    world.pas.tree = TREE
    delegation = await delegate(world, ask())
    assert delegation.state is DelegationState.AWAITING_APPROVAL
    cards = {card.task_id: card for card in delegation.plan.cards}
    assert list(cards) == ["baseline", "cache", "do-tests", "tests"]
    assert [cards[name].lane for name in ("cache", "do-tests")] == [Lane.CODE_IMPL, Lane.NARRATIVE]
    assert cards["do-tests"].deps == ("cache",)
    assert cards["tests"].deps == ("do-tests",)
    assert delegation.plan.title == "Cache the configuration, really"
    assert delegation.plan.complexities == {"cache": "medium", "do-tests": "small"}
    texts = [event.text for event in await follow(world, delegation.delegation_id)]
    assert "planning cost $0.0123 with fast-1" in texts
    run_id = planning_run_of(delegation.delegation_id)
    booked = world.plms.actuals[run_id]
    assert [(actual.configuration, actual.cost_microusd, actual.is_success) for actual in booked.actuals] == [
        ("plan/fast", 12_300, True)
    ]
    assert booked.is_verified
    assert world.pas.starts[run_id].max_cost_microusd == 500_000


async def test_estimate_carries_prices_and_tells_the_cost_with_its_label(world):
    world.pas.connect()
    world.pas.tree = TREE
    delegation = await delegate(world, ask())
    prices = {card.task_id: card.price for card in world.plms.requests[-1].cards}
    assert prices["baseline"] is None
    assert prices["cache"].output_microusd == 10_000_000
    step_3 = next(event for event in await follow(world, delegation.delegation_id) if event.step == 3)
    assert "P50 $0.20, P80 $0.34, P95 $0.80 (prior-led)" in step_3.text


async def test_approval_binds_the_run_to_the_upper_bound(world):
    world.pas.connect()
    world.pas.tree = TREE
    delegation = await delegate(world, ask())
    await world.pex.approve(ENGINEER, delegation.delegation_id, YES)
    start = world.pas.starts[run_id_of(delegation.delegation_id)]
    assert start.max_cost_microusd == world.plms.approvals[-1].max_cost_microusd == 800_000
    assert start.passport_basis.provider_matrix == {"Code-Impl": "openai/fast-1", "Narrative": "openai/fast-1"}
    assert start.passport_basis.price_table_version == "test"


async def test_approval_is_refused_while_the_model_is_gone_and_the_plan_goes_on_waiting(world):
    world.pas.connect()
    world.pas.tree = TREE
    delegation = await delegate(world, ask())
    world.pas.models = {}
    with pytest.raises(ModelNeededError, match="no model is configured"):
        await world.pex.approve(ENGINEER, delegation.delegation_id, YES)
    world.pas.connect()
    assert (await world.pex.approve(ENGINEER, delegation.delegation_id, YES)).run_id is not None


@pytest.mark.parametrize(("cap", "said"), [("0.10", "below P50"), ("0.01", "may not pay for one call"), ("0.50", "")])
async def test_cap_of_the_user_is_the_bound_and_one_that_is_low_is_told(world, cap, said):
    world.pas.connect()
    world.pas.tree = TREE
    delegation = await delegate(world, ask(max_cost_usd=cap))
    step_4 = next(event for event in await follow(world, delegation.delegation_id) if event.step == 4)
    assert said in step_4.text
    assert ("below" in step_4.text) == bool(said)
    await world.pex.approve(ENGINEER, delegation.delegation_id, YES)
    micro = round(float(cap) * 1e6)
    assert world.pas.starts[run_id_of(delegation.delegation_id)].max_cost_microusd == micro
    assert world.pas.starts[planning_run_of(delegation.delegation_id)].max_cost_microusd == min(micro, 500_000)


async def test_question_of_the_model_ends_the_delegation_with_full_intents_to_send_instead(world):
    world.pas.connect()
    world.pas.tree = TaskTree(question="Where should it be kept?", options=("in memory", "on disk"))
    delegation = await delegate(world, ask())
    assert delegation.state is DelegationState.FAILED
    assert delegation.question.text == "Where should it be kept?"
    assert delegation.question.options[0] == f'{INTENT} (asked "Where should it be kept?": in memory)'
    assert delegation.question.answer.endswith('kept?": {answer})')
    assert [project.state for project in world.plms.projects.values()] == [ProjectState.CANCELLED]


async def test_planning_run_that_fails_fails_the_delegation_with_its_reason(world):
    world.pas.connect()
    world.pas.is_auto = False
    asked = asyncio.create_task(delegate(world, ask()))
    run_id = await world.pas.await_run(lambda run: run.run_id.startswith("plan-"))
    await world.pas.begin(run_id)
    await world.pas.end(run_id, RunState.FAILED, "every model of the chain failed: fast: timeout")
    delegation = await asked
    assert delegation.state is DelegationState.FAILED
    assert "timeout" in delegation.reason


async def test_planning_run_that_is_paused_at_its_cap_is_ended(world):
    world.pas.connect()
    world.pas.is_auto = False
    asked = asyncio.create_task(delegate(world, ask()))
    run_id = await world.pas.await_run(lambda run: run.run_id.startswith("plan-"))
    await world.pas.begin(run_id)
    await world.pas._put(run_id, "run.state", "run paused", state=RunState.PAUSED, reason="the cap of $0.50 is reached")
    delegation = await asked
    assert delegation.state is DelegationState.FAILED
    assert "the cap of $0.50" in delegation.reason
    assert world.pas.runs[run_id].state is RunState.TERMINATED


async def test_killed_while_a_model_plans_goes_on_with_the_same_run(world):
    world.pas.connect()
    world.pas.tree = TREE
    world.pas.is_auto = False
    asked = asyncio.create_task(delegate(world, ask()))
    run_id = await world.pas.await_run(lambda run: run.run_id.startswith("plan-"))
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    await world.restart()
    await world.pex.recover()
    await world.pas.play(run_id)
    (delegation,) = await world.pex.list_delegations(ENGINEER)
    await follow(world, delegation.delegation_id)
    again = await world.pex.get_delegation(ENGINEER, delegation.delegation_id)
    assert again.state is DelegationState.AWAITING_APPROVAL
    assert [run for run in world.pas.runs if run.startswith("plan-")] == [run_id]
    assert world.plms.posts.count(f"actuals {run_id}") == 1


@pytest.mark.parametrize("state", ["planning", "estimating"])
async def test_row_put_back_after_planning_comes_to_the_same_plan_and_books_once(world, state):
    world.pas.connect()
    world.pas.tree = TREE
    delegation = await delegate(world, ask())
    with world.parts.engine.begin() as connection:
        connection.execute(sa.text("UPDATE delegations SET state = :state, estimate = NULL"), {"state": state})
    await world.restart()
    await world.pex.recover()
    await follow(world, delegation.delegation_id)
    again = await world.pex.get_delegation(ENGINEER, delegation.delegation_id)
    assert again.state is DelegationState.AWAITING_APPROVAL
    assert again.plan == delegation.plan
    assert len(world.pas.runs) == len(world.plms.actuals) == 1


async def test_approval_right_after_the_plan_always_leads_to_the_run(world):
    world.pas.connect()
    world.pas.tree = TREE
    for number in range(5):
        delegation = await delegate(world, ask(f"{INTENT}, take {number}"))
        await world.pex.approve(ENGINEER, delegation.delegation_id, YES)
        await follow(world, delegation.delegation_id)
        done = await world.pex.get_delegation(ENGINEER, delegation.delegation_id)
        assert done.state is DelegationState.DONE


async def test_project_is_planned_by_a_model_once_however_often_it_is_estimated(world):
    world.pas.connect()
    world.pas.tree = TREE
    project_id = await make_project(world)
    first = await world.pex.estimate_project(ENGINEER, project_id)
    second = await world.pex.estimate_project(ENGINEER, project_id)
    assert [card.task_id for card in first.cards] == [card.task_id for card in second.cards]
    assert len(world.pas.runs) == 1
    newest = (await world.pex.list_delegations(ENGINEER))[0]
    texts = [event.text for event in await follow(world, newest.delegation_id)]
    assert texts[0] == "planning cost $0.0123 with fast-1"


async def test_project_whose_planning_failed_is_planned_anew(world):
    world.pas.connect()
    world.pas.is_auto = False
    project_id = await make_project(world)
    asked = asyncio.create_task(world.pex.estimate_project(ENGINEER, project_id))
    run_id = await world.pas.await_run(lambda run: run.run_id.startswith("plan-"))
    await world.pas.begin(run_id)
    await world.pas.end(run_id, RunState.FAILED, "the provider is away")
    with pytest.raises(InvalidRequestError, match="planning did not succeed: the provider is away"):
        await asked
    world.pas.is_auto, world.pas.tree = True, TREE
    assert (await world.pex.estimate_project(ENGINEER, project_id)).uses_model
    assert len(world.pas.runs) == 2


async def test_question_about_a_project_is_one_line_with_letters(world):
    world.pas.connect()
    world.pas.tree = TaskTree(question="Which?", options=("one", "two"))
    with pytest.raises(InvalidRequestError, match=r"Which\? A\) .*one\); B\) .*two\)"):
        await world.pex.estimate_project(ENGINEER, await make_project(world))


async def test_project_without_a_model_is_estimated_and_its_start_refused_until_it_is_estimated_with_one(world):
    project_id = await make_project(world)
    estimate = await world.pex.estimate_project(ENGINEER, project_id)
    assert world.plms.requests[-1].cards[1].price is None
    (waiting,) = await world.pex.list_delegations(ENGINEER)
    step_4 = next(event for event in await follow(world, waiting.delegation_id) if event.step == 4)
    assert "no model is configured" in step_4.text
    await world.plms.approve(ENGINEER, project_id, Approval(estimate_id=estimate.estimate_id, rationale="good"))
    with pytest.raises(ModelNeededError, match="direng model add"):
        await world.pex.start_project(ENGINEER, project_id, StartProject(rationale="go"))
    world.pas.connect()
    with pytest.raises(ModelNeededError, match="estimate the project again"):
        await world.pex.start_project(ENGINEER, project_id, StartProject(rationale="go"))
    assert not world.pas.runs


async def test_project_that_runs_or_is_cancelled_is_not_planned_by_a_paid_model(world):
    world.pas.connect()
    world.pas.tree = TREE
    project_id = await make_project(world)
    for state in (ProjectState.EXECUTING, ProjectState.CANCELLED):
        world.plms._put(world.plms.projects[project_id], state=state)
        with pytest.raises(IllegalTransitionError):
            await world.pex.estimate_project(ENGINEER, project_id)
    assert not world.pas.runs


async def test_cap_given_at_the_start_of_a_project_is_the_runs(world):
    world.pas.connect()
    world.pas.tree = TREE
    project_id = await make_project(world)
    estimate = await world.pex.estimate_project(ENGINEER, project_id)
    await world.plms.approve(ENGINEER, project_id, Approval(estimate_id=estimate.estimate_id, rationale="good"))
    started = await world.pex.start_project(ENGINEER, project_id, StartProject(max_cost_usd="0.30", rationale="go"))
    assert world.pas.starts[started.run_id].max_cost_microusd == 300_000
    assert world.pas.starts[started.run_id].run_kind is RunKind.BASELINE
