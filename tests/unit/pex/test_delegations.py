"""A delegation from words to report, over neighbours in memory."""

import asyncio

import pytest
import sqlalchemy as sa

from services.kernel.errors import UnavailableError
from services.kernel.log import trace
from services.kernel.vocabulary import DelegationState, ProjectState, RunState
from services.pas.core.isolation import IsolationUnavailableError
from services.pex.core.driver import run_id_of
from services.pex.models import ApprovalReply, DelegationContext, DelegationRequest
from services.pex.protocol import NotAwaitingApprovalError
from tests.fakes.identity import ENGINEER
from tests.fakes.vector_ops import make_hit

REPO = "/home/engineer/shop"
YES = ApprovalReply(approved=True, idempotency_key="key-0001", rationale="the engineer said yes")
NO = ApprovalReply(approved=False, idempotency_key="key-0002", rationale="too slow")


def ask(intent="rename load_config to read_config"):
    return DelegationRequest(intent=intent, context=DelegationContext(repo=REPO), rationale="the engineer asked")


async def follow(world, delegation_id, after_seq=0):
    return [event async for event in world.pex.watch_delegation(ENGINEER, delegation_id, after_seq)]


async def test_delegation_waits_for_approval_with_an_estimate(world):
    delegation = await world.pex.delegate(ENGINEER, ask())
    assert delegation.state is DelegationState.AWAITING_APPROVAL
    assert [card.task_id for card in delegation.plan.cards] == ["baseline", "rename", "mentions", "tests"]
    assert delegation.plan.files_expected == ("shop/app.py", "shop/config.py", "tests/test_config.py")
    assert delegation.estimate.time_s.p95 > delegation.estimate.time_s.p50
    assert world.plms.projects[delegation.project_id].state is ProjectState.PENDING_APPROVAL
    assert [event.step for event in await follow(world, delegation.delegation_id)] == [2, 2, 3, 4]
    assert not world.pas.runs


async def test_approved_delegation_runs_and_reports(world):
    delegation = await world.pex.delegate(ENGINEER, ask())
    running = await world.pex.approve(ENGINEER, delegation.delegation_id, YES)
    assert running.run_id == run_id_of(delegation.delegation_id)
    events = await follow(world, delegation.delegation_id)
    done = await world.pex.get_delegation(ENGINEER, delegation.delegation_id)
    assert done.state is DelegationState.DONE
    assert {event.step for event in events} == {2, 3, 4, 7, 8, 9, 10, 12, 13}
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert done.report.left_alone == ("notes.txt:3: plain text: old",)
    assert done.report.diff_sha256 in world.pas.artifacts
    assert world.plms.projects[done.project_id].state is ProjectState.COMPLETED
    actuals = world.plms.actuals[done.run_id]
    assert [actual.task_id for actual in actuals.actuals] == ["baseline", "rename", "mentions", "tests"]
    assert actuals.is_verified
    assert [kpi.name for kpi in world.plms.kpis[done.run_id].kpis] == ["test_pass_rate"]


async def test_every_event_carries_the_trace_of_the_request(world):
    with trace(None) as trace_id:
        delegation = await world.pex.delegate(ENGINEER, ask())
    with trace(None) as other:
        await world.pex.approve(ENGINEER, delegation.delegation_id, YES)
    events = await follow(world, delegation.delegation_id)
    assert {event.trace_id for event in events} == {trace_id} != {other}
    assert world.pas.runs[run_id_of(delegation.delegation_id)].trace_id == trace_id


async def test_second_approval_changes_nothing(world):
    delegation = await world.pex.delegate(ENGINEER, ask())
    first, second = await asyncio.gather(
        world.pex.approve(ENGINEER, delegation.delegation_id, YES),
        world.pex.approve(ENGINEER, delegation.delegation_id, YES),
    )
    assert first.run_id == second.run_id
    await follow(world, delegation.delegation_id)
    again = await world.pex.approve(ENGINEER, delegation.delegation_id, YES)
    assert again.state is DelegationState.DONE
    assert len(world.pas.runs) == 1
    assert world.plms.posts == [f"actuals {first.run_id}", f"kpis {first.run_id}"]


async def test_declined_delegation_runs_nothing_and_cancels_its_project(world):
    delegation = await world.pex.delegate(ENGINEER, ask())
    declined = await world.pex.reject(ENGINEER, delegation.delegation_id, NO)
    assert declined.state is DelegationState.REJECTED
    assert not world.pas.runs
    assert world.plms.projects[declined.project_id].state is ProjectState.CANCELLED
    with pytest.raises(NotAwaitingApprovalError):
        await world.pex.approve(ENGINEER, delegation.delegation_id, YES)


async def test_words_that_no_recipe_fits_fail_with_one_line_and_no_project(world):
    delegation = await world.pex.delegate(ENGINEER, ask("implement a cache"))
    assert delegation.state is DelegationState.FAILED
    assert "no recipe fits" in delegation.reason
    assert "\n" not in delegation.reason
    assert not world.plms.projects


async def test_unsure_words_fail_with_one_question(world):
    delegation = await world.pex.delegate(ENGINEER, ask("rename total to sum_up"))
    assert delegation.state is DelegationState.FAILED
    assert delegation.question.options == (
        "rename shop.prices.total to sum_up",
        "rename shop.orders.Order.total to sum_up",
    )


async def test_failed_run_returns_the_project_to_approved_with_the_reason(world):
    world.pas.is_auto = False
    delegation = await world.pex.delegate(ENGINEER, ask())
    running = await world.pex.approve(ENGINEER, delegation.delegation_id, YES)
    await world.pas.begin(running.run_id)
    await world.pas.end(running.run_id, RunState.FAILED, "Rename: refused")
    await follow(world, delegation.delegation_id)
    failed = await world.pex.get_delegation(ENGINEER, delegation.delegation_id)
    assert failed.state is DelegationState.FAILED
    assert "Rename: refused" in failed.reason
    assert failed.report is not None
    project = world.plms.projects[failed.project_id]
    assert project.state is ProjectState.APPROVED
    assert "Rename: refused" in project.reason


async def test_run_that_needs_review_is_reported_as_such(world):
    world.pas.final = RunState.NEEDS_REVIEW
    delegation = await world.pex.delegate(ENGINEER, ask())
    await world.pex.approve(ENGINEER, delegation.delegation_id, YES)
    await follow(world, delegation.delegation_id)
    done = await world.pex.get_delegation(ENGINEER, delegation.delegation_id)
    assert done.state is DelegationState.DONE
    assert world.plms.projects[done.project_id].state is ProjectState.NEEDS_REVIEW
    assert not world.plms.actuals[done.run_id].is_verified


async def test_no_isolation_fails_the_delegation_at_once(world):
    world.pas.refusal = IsolationUnavailableError("bubblewrap is missing; apt-get install bubblewrap")
    delegation = await world.pex.delegate(ENGINEER, ask())
    failed = await world.pex.approve(ENGINEER, delegation.delegation_id, YES)
    assert failed.state is DelegationState.FAILED
    assert "bubblewrap" in failed.reason


async def test_neighbour_that_is_away_for_a_moment_is_asked_again(world):
    world.pas.failures = [UnavailableError("starting"), UnavailableError("starting")]
    delegation = await world.pex.delegate(ENGINEER, ask())
    running = await world.pex.approve(ENGINEER, delegation.delegation_id, YES)
    assert running.state in {DelegationState.RUNNING, DelegationState.REPORTING, DelegationState.DONE}


async def test_restart_while_running_goes_on_from_the_cursor(world):
    world.pas.is_auto = False
    delegation = await world.pex.delegate(ENGINEER, ask())
    running = await world.pex.approve(ENGINEER, delegation.delegation_id, YES)
    await world.pas.begin(running.run_id)
    async for event in world.pex.watch_delegation(ENGINEER, delegation.delegation_id):
        if event.step == 10:
            break
    await world.restart()
    for card in world.pas.runs[running.run_id].cards:
        await world.pas.end_card(running.run_id, card.task_id)
    await world.pas.end(running.run_id)
    await world.pex.recover()
    events = await follow(world, delegation.delegation_id)
    relayed = [event.text for event in events if event.step == 9]
    assert relayed == [event.text for event in world.pas.events[running.run_id]]
    assert (await world.pex.get_delegation(ENGINEER, delegation.delegation_id)).state is DelegationState.DONE


@pytest.mark.parametrize("state", ["approved", "running", "reporting"])
async def test_killed_in_any_state_ends_with_one_report_and_one_set_of_actuals(world, state):
    delegation = await world.pex.delegate(ENGINEER, ask())
    await world.pex.approve(ENGINEER, delegation.delegation_id, YES)
    await follow(world, delegation.delegation_id)
    # What a kill leaves: the row as it was before, the neighbours as they are after.
    engine = world.parts.engine
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE delegations SET state = :state, report = NULL"), {"state": state})
    await world.restart()
    await world.pex.recover()
    events = await follow(world, delegation.delegation_id)
    done = await world.pex.get_delegation(ENGINEER, delegation.delegation_id)
    assert done.state is DelegationState.DONE
    assert done.report is not None
    assert len(world.pas.runs) == len(world.plms.actuals) == 1
    relayed = [event.text for event in events if event.step == 9]
    assert relayed == [event.text for event in world.pas.events[done.run_id]]


async def test_killed_while_planning_fails_with_a_reason(world):
    delegation = await world.pex.delegate(ENGINEER, ask())
    with world.parts.engine.begin() as connection:
        connection.execute(sa.text("UPDATE delegations SET state = 'estimating'"))
    await world.restart()
    await world.pex.recover()
    failed = await world.pex.get_delegation(ENGINEER, delegation.delegation_id)
    assert failed.state is DelegationState.FAILED
    assert "ask again" in failed.reason


async def test_database_refuses_a_blank_rationale(world):
    await world.pex.delegate(ENGINEER, ask())
    for column in ("rationale", "decision_rationale"):
        with pytest.raises(sa.exc.IntegrityError), world.parts.engine.begin() as connection:
            connection.execute(sa.text(f"UPDATE delegations SET approval_key = 'k', {column} = ' \t'"))


async def test_file_that_only_imports_the_module_is_not_expected_to_change(world):
    importer = make_hit("shop/main.py", 1, "<module>", "file").model_copy(
        update={"snippet": "import load_config", "reason": "imports shop/config.py", "section": "indirect"}
    )
    world.index.references.append(importer)
    delegation = await world.pex.delegate(ENGINEER, ask())
    assert "shop/main.py" not in delegation.plan.files_expected
    assert "shop/app.py" in delegation.plan.files_expected
