"""What PEX promises, whichever way it is reached; its neighbours are in memory, its database is real."""

import asyncio
from random import Random

import pytest

from services.kernel.caller import ScopeMissingError
from services.kernel.clock import SystemClock
from services.kernel.db import sqlite_url
from services.kernel.errors import InvalidRequestError, UnauthenticatedError
from services.kernel.http import HttpCall, closing
from services.kernel.vocabulary import DelegationState, Lane, ProjectState, RunKind, RunState
from services.pas.models import PlannedTask, TaskTree
from services.pex.app import create_app, create_service
from services.pex.client import HttpPex
from services.pex.models import (
    ApprovalReply,
    DelegationContext,
    DelegationRequest,
    PlanRequest,
    ProjectRunCommand,
    SimulateProject,
    StartProject,
)
from services.pex.protocol import (
    DelegationNotFoundError,
    ModelNeededError,
    NoRunYetError,
    NotApprovedError,
    NotAwaitingApprovalError,
)
from services.plms.models import Approval, NewProject
from services.plms.protocol import ProjectNotFoundError
from tests.fakes.callers import FixedCallers
from tests.fakes.identity import ENGINEER, NOBODY, STRANGER, KnownCallers
from tests.fakes.memory_pas import FakePas
from tests.fakes.plms import FakePlms
from tests.fakes.sockets import serve
from tests.fakes.vector_ops import FakeVectorOps, make_hit

REPO = "/home/engineer/shop"
YES = ApprovalReply(approved=True, idempotency_key="key-0001", rationale="the engineer said yes")
NO = ApprovalReply(approved=False, idempotency_key="key-0002", rationale="not now")
START = StartProject(rationale="the engineer started it")


class World:
    """A binding of PEX and the neighbours behind it."""

    def __init__(self):
        self.plms, self.pas = FakePlms(), FakePas()
        self.index = FakeVectorOps([make_hit("shop/config.py", 3, "shop.config.load_config")])
        self.pex = None

    async def make_project(self, prd="Rename load_config to read_config."):
        project = await self.plms.create_project(ENGINEER, NewProject(title="Names", prd=prd, repo=REPO))
        return project.project_id

    async def approve_project(self, project_id, estimate):
        approval = Approval(estimate_id=estimate.estimate_id, rationale="good")
        await self.plms.approve(ENGINEER, project_id, approval)

    async def follow(self, delegation_id):
        async with asyncio.timeout(20):
            return [event async for event in self.pex.watch_delegation(ENGINEER, delegation_id)]


@pytest.fixture(params=("embedded", "loopback"))
async def world(request, tmp_path):
    made = World()
    parts = create_service(
        sqlite_url(tmp_path / "pex.db"),
        plms=made.plms,
        pas=made.pas,
        vector_ops=made.index,
        callers=FixedCallers(),
        clock=SystemClock(),
        random=Random(1),
    )
    if request.param == "embedded":
        made.pex = parts.service
        yield made
    else:
        async with serve(create_app(parts, KnownCallers())) as base_url:
            call = HttpCall(base_url)
            async with closing(call):
                made.pex = HttpPex(call)
                yield made
    await parts.close()


def ask(intent="rename load_config to read_config"):
    return DelegationRequest(intent=intent, context=DelegationContext(repo=REPO), rationale="the engineer asked")


async def test_plan_says_what_would_be_done_and_keeps_nothing(world):
    planning = await world.pex.plan(ENGINEER, PlanRequest(intent="rename load_config to read_config", repo=REPO))
    assert planning.plan.recipe == "rename-symbol"
    assert [card.task_id for card in planning.plan.cards] == ["baseline", "rename", "mentions", "tests"]
    assert await world.pex.list_delegations(ENGINEER) == ()


async def test_plan_asks_or_refuses_in_one_line(world):
    asked = await world.pex.plan(ENGINEER, PlanRequest(intent="rename load_config", repo=REPO))
    assert asked.question is not None
    refused = await world.pex.plan(ENGINEER, PlanRequest(intent="make it faster", repo=REPO))
    assert "direng model add" in refused.refusal


async def test_delegation_is_approved_run_and_reported(world):
    delegation = await world.pex.delegate(ENGINEER, ask())
    assert delegation.state is DelegationState.AWAITING_APPROVAL
    await world.pex.approve(ENGINEER, delegation.delegation_id, YES)
    events = await world.follow(delegation.delegation_id)
    done = await world.pex.get_delegation(ENGINEER, delegation.delegation_id)
    assert done.state is DelegationState.DONE
    assert events[-1].step == 13
    assert done.last_seq == events[-1].seq
    assert [d.delegation_id for d in await world.pex.list_delegations(ENGINEER, REPO)] == [delegation.delegation_id]
    assert await world.pex.list_delegations(ENGINEER, "/elsewhere") == ()


async def test_watching_goes_on_after_the_last_event_seen(world):
    delegation = await world.pex.delegate(ENGINEER, ask())
    first = await world.follow(delegation.delegation_id)
    rest = [e async for e in world.pex.watch_delegation(ENGINEER, delegation.delegation_id, first[1].seq)]
    assert rest == first[2:]


async def test_decided_delegation_takes_no_other_decision(world):
    delegation = await world.pex.delegate(ENGINEER, ask())
    await world.pex.reject(ENGINEER, delegation.delegation_id, NO)
    with pytest.raises(NotAwaitingApprovalError):
        await world.pex.approve(ENGINEER, delegation.delegation_id, YES)


async def test_unknown_delegation_is_not_found(world):
    with pytest.raises(DelegationNotFoundError):
        await world.pex.get_delegation(ENGINEER, "dlg-none")
    with pytest.raises(DelegationNotFoundError):
        await anext(aiter(world.pex.watch_delegation(ENGINEER, "dlg-none")))


async def test_caller_without_scope_or_identity_is_refused(world, request):
    with pytest.raises(ScopeMissingError):
        await world.pex.delegate(NOBODY, ask())
    with pytest.raises(ScopeMissingError):
        await world.pex.list_delegations(NOBODY)
    if isinstance(world.pex, HttpPex):
        with pytest.raises(UnauthenticatedError):
            await world.pex.list_delegations(STRANGER)


async def test_project_is_estimated_approved_and_started_once(world):
    project_id = await world.make_project()
    with pytest.raises(NotApprovedError):
        await world.pex.start_project(ENGINEER, project_id, START)
    estimate = await world.pex.estimate_project(ENGINEER, project_id)
    await world.approve_project(project_id, estimate)
    world.pas.is_auto = False
    first = await world.pex.start_project(ENGINEER, project_id, START)
    second = await world.pex.start_project(ENGINEER, project_id, START)
    assert first.delegation_id == second.delegation_id
    assert len(world.pas.runs) == 1
    await world.pas.play(first.run_id)
    await world.follow(first.delegation_id)
    status = await world.pex.get_status(ENGINEER, project_id)
    assert status.run.state is RunState.COMPLETED
    assert status.projected_overrun_pct is not None
    assert len(await world.pex.list_receipts(ENGINEER, project_id)) == 4
    assert [ref.path for ref in await world.pex.list_artifacts(ENGINEER, project_id)] == ["artifacts/diff.patch"]
    assert world.plms.projects[project_id].state is ProjectState.COMPLETED


async def test_newer_estimate_lets_the_older_plan_expire(world):
    project_id = await world.make_project()
    await world.pex.estimate_project(ENGINEER, project_id)
    await world.pex.estimate_project(ENGINEER, project_id)
    states = [d.state for d in await world.pex.list_delegations(ENGINEER)]
    assert states == [DelegationState.AWAITING_APPROVAL, DelegationState.EXPIRED]


async def test_terminated_run_can_be_started_again(world):
    world.pas.is_auto = False
    project_id = await world.make_project()
    await world.approve_project(project_id, await world.pex.estimate_project(ENGINEER, project_id))
    first = await world.pex.start_project(ENGINEER, project_id, START)
    await world.pas.begin(first.run_id)
    command = ProjectRunCommand(reason="wrong name")
    assert (await world.pex.pause_project(ENGINEER, project_id, command)).run.state is RunState.PAUSED
    assert (await world.pex.resume_project(ENGINEER, project_id, command)).run.state is RunState.EXECUTING
    await world.pex.terminate_project(ENGINEER, project_id, command)
    await world.follow(first.delegation_id)
    assert world.plms.projects[project_id].state is ProjectState.APPROVED
    second = await world.pex.start_project(ENGINEER, project_id, START)
    assert second.run_id != first.run_id
    await world.pas.play(second.run_id)
    await world.follow(second.delegation_id)
    assert world.plms.projects[project_id].state is ProjectState.COMPLETED


async def test_project_without_a_model_is_estimated_by_priors_and_its_start_says_what_to_configure(world):
    project_id = await world.make_project("Build a web shop with a cart.")
    estimate = await world.pex.estimate_project(ENGINEER, project_id)
    assert estimate.uses_model
    assert [card.configuration for card in estimate.cards][1] == "agent/unconfigured"
    await world.approve_project(project_id, estimate)
    with pytest.raises(ModelNeededError, match="direng model add"):
        await world.pex.start_project(ENGINEER, project_id, START)
    assert not world.pas.runs
    assert world.plms.projects[project_id].state is ProjectState.APPROVED


async def test_project_is_planned_by_a_model_rehearsed_and_resumed_under_a_new_cap(world):
    world.pas.connect()
    task = PlannedTask(task_id="cart", lane=Lane.CODE_IMPL, title="Cart", goal="Build the cart.")
    world.pas.tree = TaskTree(summary="a cart", tasks=(task,))
    project_id = await world.make_project("Build a web shop with a cart.")
    before = await world.pex.estimate_project(ENGINEER, project_id)
    order = SimulateProject(rehearsal=0.01, rationale="to know more")
    simulation = await world.pex.simulate_project(ENGINEER, project_id, order)
    assert (simulation.before, simulation.cards_rehearsed) == (before, 1)
    assert simulation.run.run_kind is RunKind.REHEARSAL
    await world.approve_project(project_id, simulation.after)
    world.pas.is_auto = False
    started = await world.pex.start_project(ENGINEER, project_id, START)
    await world.pas.begin(started.run_id)
    await world.pex.pause_project(ENGINEER, project_id, ProjectRunCommand(reason="wait"))
    command = ProjectRunCommand(reason="go on", max_cost_usd="2.50", is_downshift=True)
    resumed = await world.pex.resume_project(ENGINEER, project_id, command)
    assert resumed.budget.cap_microusd == 2_500_000
    assert world.pas.commands[-1].is_downshift
    await world.pas.play(started.run_id)


async def test_project_whose_words_are_unsure_is_asked_about(world):
    unsure = await world.make_project("Rename load_config.")
    with pytest.raises(InvalidRequestError, match="be called"):
        await world.pex.estimate_project(ENGINEER, unsure)
    assert world.plms.projects[unsure].state is ProjectState.IDEATION


async def test_project_without_a_run_or_unknown_is_not_found(world):
    project_id = await world.make_project()
    with pytest.raises(NoRunYetError):
        await world.pex.list_receipts(ENGINEER, project_id)
    with pytest.raises(ProjectNotFoundError):
        await world.pex.get_status(ENGINEER, "prj-none")
