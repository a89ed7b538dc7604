"""What PLMS promises, whichever way it is reached."""

import asyncio

import pytest

from services.kernel.caller import ScopeMissingError
from services.kernel.errors import ForbiddenError, InvalidRequestError, PlatformError
from services.kernel.ids import EstimateId, ProjectId, RunId, TaskId
from services.kernel.vocabulary import (
    IllegalTransitionError,
    Lane,
    ProjectState,
    RunKind,
    RunState,
    Verdict,
)
from services.plms.core.lifecycle import NotByHandError
from services.plms.models import (
    Actual,
    Approval,
    EstimateRequest,
    KpiRecord,
    Label,
    NewProject,
    PlannedCard,
    RunActuals,
    RunKpis,
    StateChange,
)
from services.plms.protocol import (
    EstimateNotFoundError,
    EstimateOutdatedError,
    ProjectExistsError,
    ProjectNotFoundError,
)
from tests.fakes.identity import ENGINEER, NOBODY, READER, RUN_TWO, WRITER

PROJECT = ProjectId("prj-one")
RUN = RunId("run-one")
CODE = PlannedCard(task_id=TaskId("code"), lane=Lane.CODE_IMPL, configuration="recipe/rename-symbol")
DOCS = PlannedCard(task_id=TaskId("docs"), lane=Lane.NARRATIVE, configuration="recipe/mentions", deps=(TaskId("code"),))
PLAN = EstimateRequest(cards=(CODE, DOCS))


def new_project(**changes):
    body = {"title": "Rename", "prd": "Rename a to b.", "repo": "/srv/repo", "project_id": PROJECT}
    return NewProject(**body | changes)


def attempt(time_s=2.0, **changes):
    body = {"task_id": "code", "attempt": 1, "lane": Lane.CODE_IMPL, "configuration": "recipe/rename-symbol"}
    return Actual(**body | {"time_s": time_s, "is_success": True} | changes)


def run_actuals(*actuals, **changes):
    body = {"project_id": PROJECT, "run_kind": RunKind.BASELINE, "final_state": RunState.COMPLETED, "is_verified": True}
    return RunActuals(**body | {"actuals": actuals} | changes)


def yes(estimate, rationale="looks right"):
    return Approval(estimate_id=estimate.estimate_id, rationale=rationale)


async def move(plms, *targets):
    for target in targets:
        project = await plms.change_state(ENGINEER, PROJECT, StateChange(target=target, rationale="the run went on"))
    return project


async def lane_metrics(plms):
    return {entry.configuration: entry for entry in (await plms.get_metrics(ENGINEER, PROJECT)).lanes}


async def test_project_is_created_in_ideation_and_read_back(plms):
    project = await plms.create_project(ENGINEER, new_project(tags=("a", "b")))
    assert (project.project_id, project.state, project.tags) == (PROJECT, ProjectState.IDEATION, ("a", "b"))
    assert await plms.get_project(READER, PROJECT) == project


async def test_project_without_id_gets_one(plms):
    first = await plms.create_project(ENGINEER, new_project(project_id=None))
    second = await plms.create_project(ENGINEER, new_project(project_id=None))
    assert first.project_id != second.project_id


async def test_same_id_and_body_is_one_project_and_another_body_conflicts(plms):
    first = await plms.create_project(ENGINEER, new_project())
    assert await plms.create_project(ENGINEER, new_project()) == first
    with pytest.raises(ProjectExistsError, match="prj-one"):
        await plms.create_project(ENGINEER, new_project(title="Another"))
    assert await plms.list_projects(ENGINEER) == (first,)


async def test_racing_creations_of_one_id_make_one_project(plms):
    answers = await asyncio.gather(
        *(plms.create_project(ENGINEER, new_project(title=f"Title {n % 2}")) for n in range(8)), return_exceptions=True
    )
    made = [answer for answer in answers if not isinstance(answer, PlatformError)]
    refused = [answer for answer in answers if isinstance(answer, PlatformError)]
    assert len(made) == len(refused) == 4
    assert len(set(made)) == 1
    assert {type(answer) for answer in refused} == {ProjectExistsError}


@pytest.mark.parametrize("prd", ["  \n\t ", "PK\x03\x04 zipped", "nul\0inside"])
async def test_blank_or_binary_prd_is_refused_in_one_line(plms, prd):
    with pytest.raises(InvalidRequestError, match="PRD") as refusal:
        await plms.create_project(ENGINEER, new_project(prd=prd))
    assert "\n" not in refusal.value.detail
    assert await plms.list_projects(ENGINEER) == ()


async def test_projects_are_listed_newest_first_by_state_and_tag(plms):
    for name in ("prj-a", "prj-b", "prj-c"):
        await plms.create_project(ENGINEER, new_project(project_id=name, tags=(name[-1], "all")))
        await asyncio.sleep(0.002)
    await plms.delete_project(ENGINEER, ProjectId("prj-b"))
    assert [p.project_id for p in await plms.list_projects(READER, tag="all")] == ["prj-c", "prj-b", "prj-a"]
    assert [p.project_id for p in await plms.list_projects(READER, state=ProjectState.CANCELLED)] == ["prj-b"]
    assert await plms.list_projects(READER, ProjectState.IDEATION, "b") == ()


async def test_unknown_project_is_not_found(plms):
    ghost = ProjectId("prj-ghost")
    calls = (
        plms.get_project(ENGINEER, ghost),
        plms.delete_project(ENGINEER, ghost),
        plms.change_state(ENGINEER, ghost, StateChange(target=ProjectState.PLANNING, rationale="why not")),
        plms.estimate(ENGINEER, ghost, PLAN),
        plms.list_estimates(ENGINEER, ghost),
        plms.approve(ENGINEER, ghost, Approval(estimate_id=EstimateId("est-x"), rationale="yes")),
        plms.record_actuals(ENGINEER, RUN, run_actuals(project_id=ghost)),
        plms.record_kpis(ENGINEER, RUN, RunKpis(project_id=ghost, kpis=())),
        plms.get_metrics(ENGINEER, ghost),
        plms.list_kpis(ENGINEER, ghost),
    )
    for answer in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(answer, ProjectNotFoundError)


async def test_every_method_refuses_a_caller_without_scope(plms):
    change = StateChange(target=ProjectState.PLANNING, rationale="why not")
    calls = (
        plms.create_project(READER, new_project()),
        plms.list_projects(NOBODY),
        plms.get_project(NOBODY, PROJECT),
        plms.delete_project(READER, PROJECT),
        plms.change_state(READER, PROJECT, change),
        plms.estimate(READER, PROJECT, PLAN),
        plms.list_estimates(NOBODY, PROJECT),
        plms.approve(READER, PROJECT, Approval(estimate_id=EstimateId("est-x"), rationale="yes")),
        plms.record_actuals(READER, RUN, run_actuals()),
        plms.record_kpis(READER, RUN, RunKpis(project_id=PROJECT, kpis=())),
        plms.get_metrics(NOBODY, PROJECT),
        plms.list_kpis(NOBODY, PROJECT),
    )
    for answer in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(answer, ScopeMissingError)


async def test_estimate_walks_to_pending_approval_and_is_prior_led(plms):
    await plms.create_project(ENGINEER, new_project())
    estimate = await plms.estimate(ENGINEER, PROJECT, PLAN)
    project = await plms.get_project(ENGINEER, PROJECT)
    assert project.state is ProjectState.PENDING_APPROVAL
    assert project.current_estimate_id == estimate.estimate_id
    assert estimate.label is Label.PRIOR_LED
    assert (estimate.uses_model, estimate.cost_microusd_p95, estimate.tokens_p95) == (False, 0, 0)
    assert [card.task_id for card in estimate.cards] == ["code", "docs"]
    for time_s in (estimate.time_s, *(card.time_s for card in estimate.cards)):
        levels = list(time_s.model_dump().values())
        assert levels == sorted(levels)
        assert levels[0] > 0
    assert estimate.time_s.p50 > max(card.time_s.p50 for card in estimate.cards)


async def test_new_estimate_replaces_the_old_one_and_takes_its_approval(plms):
    await plms.create_project(ENGINEER, new_project())
    first = await plms.estimate(ENGINEER, PROJECT, PLAN)
    approved = await plms.approve(ENGINEER, PROJECT, yes(first))
    assert (approved.state, approved.approved_estimate_id) == (ProjectState.APPROVED, first.estimate_id)
    assert await plms.approve(ENGINEER, PROJECT, yes(first)) == approved
    second = await plms.estimate(ENGINEER, PROJECT, PLAN)
    waiting = await plms.get_project(ENGINEER, PROJECT)
    assert (waiting.state, waiting.approved_estimate_id) == (ProjectState.PENDING_APPROVAL, None)
    with pytest.raises(EstimateOutdatedError, match=second.estimate_id):
        await plms.approve(ENGINEER, PROJECT, yes(first))
    with pytest.raises(EstimateNotFoundError):
        await plms.approve(ENGINEER, PROJECT, Approval(estimate_id=EstimateId("est-ghost"), rationale="yes"))
    assert [e.estimate_id for e in await plms.list_estimates(READER, PROJECT)] == [
        second.estimate_id,
        first.estimate_id,
    ]


async def test_estimate_can_be_asked_for_again_after_a_run(plms):
    await plms.create_project(ENGINEER, new_project())
    for end in (ProjectState.NEEDS_REVIEW, ProjectState.COMPLETED):
        await plms.approve(ENGINEER, PROJECT, yes(await plms.estimate(ENGINEER, PROJECT, PLAN)))
        assert (await move(plms, ProjectState.EXECUTING, ProjectState.VALIDATING, end)).state is end
    await plms.estimate(ENGINEER, PROJECT, PLAN)
    assert (await plms.get_project(ENGINEER, PROJECT)).state is ProjectState.PENDING_APPROVAL


async def test_executing_project_is_neither_estimated_nor_approved_nor_deleted(plms):
    await plms.create_project(ENGINEER, new_project())
    estimate = await plms.estimate(ENGINEER, PROJECT, PLAN)
    await plms.approve(ENGINEER, PROJECT, yes(estimate))
    executing = await move(plms, ProjectState.EXECUTING)
    for call in (
        plms.estimate(ENGINEER, PROJECT, PLAN),
        plms.approve(ENGINEER, PROJECT, yes(estimate)),
        plms.delete_project(ENGINEER, PROJECT),
    ):
        with pytest.raises(IllegalTransitionError):
            await call
    assert await plms.get_project(ENGINEER, PROJECT) == executing


async def test_failed_run_returns_its_project_to_approved_with_the_reason(plms):
    await plms.create_project(ENGINEER, new_project())
    estimate = await plms.estimate(ENGINEER, PROJECT, PLAN)
    await plms.approve(ENGINEER, PROJECT, yes(estimate))
    await move(plms, ProjectState.EXECUTING)
    back = await plms.change_state(
        ENGINEER, PROJECT, StateChange(target=ProjectState.APPROVED, rationale="the tests card failed")
    )
    assert back.reason == "the tests card failed"
    assert back.approved_estimate_id == estimate.estimate_id


async def test_state_cannot_be_set_round_an_approval_or_a_failed_kpi(plms):
    await plms.create_project(ENGINEER, new_project())
    await move(plms, ProjectState.PLANNING, ProjectState.ESTIMATING)
    with pytest.raises(NotByHandError):
        await move(plms, ProjectState.PENDING_APPROVAL)
    estimate = await plms.estimate(ENGINEER, PROJECT, PLAN)
    with pytest.raises(NotByHandError):
        await move(plms, ProjectState.APPROVED)
    await plms.approve(ENGINEER, PROJECT, yes(estimate))
    await move(plms, ProjectState.EXECUTING, ProjectState.VALIDATING, ProjectState.NEEDS_REVIEW)
    with pytest.raises(NotByHandError):
        await move(plms, ProjectState.APPROVED)
    completed = StateChange(target=ProjectState.COMPLETED, rationale="the failing check is known")
    with pytest.raises(ScopeMissingError, match=r"kpi\.override"):
        await plms.change_state(WRITER, PROJECT, completed)
    assert (await move(plms, ProjectState.COMPLETED)).state is ProjectState.COMPLETED


async def test_same_state_again_changes_nothing(plms):
    await plms.create_project(ENGINEER, new_project())
    planning = await move(plms, ProjectState.PLANNING)
    assert await move(plms, ProjectState.PLANNING) == planning


@pytest.mark.parametrize("configuration", ["agent/unconfigured", "plan/unconfigured"])
async def test_card_without_a_model_is_estimated_from_the_prior_alone(plms, configuration):
    await plms.create_project(ENGINEER, new_project())
    card = CODE.model_copy(update={"configuration": configuration})
    estimate = await plms.estimate(ENGINEER, PROJECT, EstimateRequest(cards=(card,)))
    assert (estimate.label, estimate.uses_model) == (Label.PRIOR_LED, True)
    assert estimate.price_table_version == "none: no model configured"
    assert 0 < estimate.cost_microusd.p05 < estimate.cost_microusd.p95 <= estimate.cost_microusd_p95
    assert estimate.tokens_p95 >= estimate.tokens_in.p95 > 0


@pytest.mark.parametrize(
    ("cards", "reason"),
    [
        ((CODE, CODE), "same task id"),
        ((DOCS,), "not in the plan"),
        ((CODE.model_copy(update={"deps": (TaskId("docs"),)}), DOCS), "circle"),
    ],
)
async def test_plan_that_cannot_be_ordered_is_refused_and_changes_nothing(plms, cards, reason):
    await plms.create_project(ENGINEER, new_project())
    with pytest.raises(InvalidRequestError, match=reason):
        await plms.estimate(ENGINEER, PROJECT, EstimateRequest(cards=cards))
    assert (await plms.get_project(ENGINEER, PROJECT)).state is ProjectState.IDEATION


async def test_actuals_move_the_estimate_and_count_once(plms):
    await plms.create_project(ENGINEER, new_project())
    before = await plms.estimate(ENGINEER, PROJECT, PLAN)
    for n in range(5):
        for _ in range(2):
            await plms.record_actuals(ENGINEER, RunId(f"run-{n}"), run_actuals(attempt(time_s=0.5)))
    after = await plms.estimate(ENGINEER, PROJECT, PLAN)
    assert after.cards[0].attempts_observed == 5
    assert (after.cards[0].label, after.label) == (Label.LEARNING, Label.PRIOR_LED)
    assert after.cards[0].time_s.p50 < before.cards[0].time_s.p50
    assert after.cards[1].time_s == before.cards[1].time_s
    metrics = await plms.get_metrics(READER, PROJECT)
    assert (metrics.runs, metrics.total_time_s, metrics.total_cost_microusd) == (5, 2.5, 0)
    lane = metrics.lanes[0]
    assert (lane.attempts, lane.label) == (5, Label.LEARNING)
    assert 0 <= lane.inside_50 <= lane.inside_90 <= 5
    assert lane.time_s == after.cards[0].time_s


async def test_attempt_is_scored_against_what_was_predicted_before_it(plms):
    await plms.create_project(ENGINEER, new_project())
    predicted = (await plms.estimate(ENGINEER, PROJECT, PLAN)).cards[0].time_s
    await plms.record_actuals(ENGINEER, RunId("run-in"), run_actuals(attempt(time_s=predicted.p50)))
    await plms.record_actuals(ENGINEER, RunId("run-out"), run_actuals(attempt(time_s=predicted.p95 * 50)))
    lane = (await lane_metrics(plms))["recipe/rename-symbol"]
    assert (lane.attempts, lane.inside_50, lane.inside_90) == (2, 1, 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"run_kind": RunKind.REPLAY},
        {"final_state": RunState.NEEDS_REVIEW},
        {"final_state": RunState.FAILED},
        {"is_verified": False},
    ],
)
async def test_successes_of_unproven_runs_are_kept_but_not_learned_from(plms, changes):
    await plms.create_project(ENGINEER, new_project())
    before = await plms.estimate(ENGINEER, PROJECT, PLAN)
    await plms.record_actuals(ENGINEER, RUN, run_actuals(attempt(time_s=900.0), **changes))
    after = await plms.estimate(ENGINEER, PROJECT, PLAN)
    assert after.cards == before.cards
    assert (await plms.get_metrics(ENGINEER, PROJECT)).total_time_s == 900.0


async def test_failed_attempts_leave_successes_alone_and_lengthen_the_total(plms):
    await plms.create_project(ENGINEER, new_project())
    before = await plms.estimate(ENGINEER, PROJECT, PLAN)
    failed = [attempt(time_s=300.0, attempt=n, is_success=False) for n in range(1, 9)]
    await plms.record_actuals(ENGINEER, RUN, run_actuals(*failed, final_state=RunState.FAILED, is_verified=False))
    after = await plms.estimate(ENGINEER, PROJECT, PLAN)
    assert after.cards == before.cards
    assert after.time_s.p95 > before.time_s.p95


async def test_one_repository_teaches_nothing_about_another(plms):
    await plms.create_project(ENGINEER, new_project())
    other = ProjectId("prj-elsewhere")
    await plms.create_project(ENGINEER, new_project(project_id=other, repo="/srv/elsewhere"))
    before = await plms.estimate(ENGINEER, other, PLAN)
    await plms.record_actuals(ENGINEER, RUN, run_actuals(*(attempt(time_s=900.0, attempt=n) for n in range(1, 9))))
    assert (await plms.estimate(ENGINEER, other, PLAN)).cards == before.cards
    assert (await plms.estimate(ENGINEER, PROJECT, PLAN)).cards != before.cards


async def test_discarded_attempts_teach_nothing(plms):
    await plms.create_project(ENGINEER, new_project())
    before = await plms.estimate(ENGINEER, PROJECT, PLAN)
    await plms.record_actuals(ENGINEER, RUN, run_actuals(attempt(time_s=900.0, is_discarded=True)))
    assert (await plms.estimate(ENGINEER, PROJECT, PLAN)).cards == before.cards
    assert await lane_metrics(plms) == {}


async def test_attempt_reported_twice_is_refused(plms):
    await plms.create_project(ENGINEER, new_project())
    with pytest.raises(InvalidRequestError, match="once"):
        await plms.record_actuals(ENGINEER, RUN, run_actuals(attempt(), attempt()))


async def test_kpis_of_a_run_are_kept_once(plms):
    await plms.create_project(ENGINEER, new_project())
    kpis = [
        KpiRecord(
            name=name, lane=Lane.CODE_IMPL, verdict=verdict, value=value, threshold=0.9, detail="12 of 12\npassed"
        )
        for name, verdict, value in (("test_pass_rate", Verdict.PASS, 1.0), ("type_check", Verdict.UNKNOWN, None))
    ]
    for _ in range(2):
        await plms.record_kpis(ENGINEER, RUN, RunKpis(project_id=PROJECT, kpis=tuple(kpis)))
    history = await plms.list_kpis(READER, PROJECT)
    assert [entry.kpi for entry in history] == kpis[::-1]
    assert {entry.run_id for entry in history} == {RUN}


async def test_control_characters_of_a_tool_are_replaced_in_a_finding(plms):
    await plms.create_project(ENGINEER, new_project())
    kpi = KpiRecord(
        name="linter_pass", lane=Lane.CODE_IMPL, verdict=Verdict.FAIL, value=0, threshold=1, detail="\x1b[1mE501\0\n"
    )
    await plms.record_kpis(ENGINEER, RUN, RunKpis(project_id=PROJECT, kpis=(kpi,)))
    assert [entry.kpi.detail for entry in await plms.list_kpis(ENGINEER, PROJECT)] == ["\ufffd[1mE501\ufffd\n"]


async def test_run_token_reports_its_own_run_only(plms):
    await plms.create_project(ENGINEER, new_project())
    with pytest.raises(ForbiddenError, match="another run"):
        await plms.record_actuals(RUN_TWO, RUN, run_actuals(attempt()))
    with pytest.raises(ForbiddenError, match="another run"):
        await plms.record_kpis(RUN_TWO, RUN, RunKpis(project_id=PROJECT, kpis=()))
    await plms.record_actuals(RUN_TWO, RunId("run-two"), run_actuals(attempt()))


async def test_prd_of_the_largest_size_goes_through(plms):
    prd = "é" * 200_000
    await plms.create_project(ENGINEER, new_project(prd=prd))
    assert (await plms.get_project(ENGINEER, PROJECT)).prd == prd
