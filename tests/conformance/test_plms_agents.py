"""What PLMS promises about cards that call a model, whichever way it is reached: tokens, money, rehearsals."""

import pytest
from pydantic import ValidationError

from services.kernel.errors import InvalidRequestError
from services.kernel.ids import ProjectId, RunId, TaskId
from services.kernel.vocabulary import Lane, RunKind, RunState
from services.plms.models import (
    ZERO,
    Actual,
    Approval,
    EstimateRequest,
    Label,
    ModelPrice,
    NewProject,
    PlannedCard,
    RunActuals,
)
from tests.fakes.identity import ENGINEER, READER

PROJECT, OTHER = ProjectId("prj-one"), ProjectId("prj-two")
PRICE = ModelPrice(input_microusd=3_000_000, output_microusd=15_000_000, price_table_version="genai-prices 0.2.3")
FREE = ModelPrice(input_microusd=0, output_microusd=0, price_table_version="operator")
CARD = PlannedCard(task_id=TaskId("code"), lane=Lane.CODE_IMPL, configuration="agent/coder", price=PRICE)
PLAN = EstimateRequest(cards=(CARD,))


@pytest.fixture
async def projects(plms):
    """Return PLMS with two projects of different repositories."""
    for project_id in (PROJECT, OTHER):
        body = {"title": "Repair", "prd": "Repair it.", "repo": f"/srv/{project_id}", "project_id": project_id}
        await plms.create_project(ENGINEER, NewProject(**body))
    return plms


def attempt(**changes):
    body = {
        "task_id": "code",
        "attempt": 1,
        "lane": Lane.CODE_IMPL,
        "configuration": "agent/coder",
        "time_s": 60.0,
        "tokens": 110_000,
        "tokens_in": 100_000,
        "tokens_out": 10_000,
        "tokens_think": 4_000,
        "cost_microusd": 40_000,
        "is_success": True,
    }
    return Actual(**body | changes)


def run_actuals(*actuals, **changes):
    body = {"project_id": PROJECT, "run_kind": RunKind.BASELINE, "final_state": RunState.COMPLETED, "is_verified": True}
    return RunActuals(**body | {"actuals": actuals} | changes)


async def record(plms, count, name="run", *, changes=None, **run_changes):
    attempts = (attempt(task_id=f"card-{n}", **changes or {}) for n in range(count))
    await plms.record_actuals(ENGINEER, RunId(name), run_actuals(*attempts, **run_changes))


async def test_priced_card_has_intervals_of_money_and_tokens_and_pins_its_price(projects):
    estimate = await projects.estimate(ENGINEER, PROJECT, PLAN)
    card = estimate.cards[0]
    for quantiles in (card.time_s, card.cost_microusd, card.tokens_in, card.tokens_out, estimate.cost_microusd):
        assert 0 < quantiles.p05 < quantiles.p50 < quantiles.p95
    assert estimate.cost_microusd.p50 > card.cost_microusd.p50
    assert estimate.cost_microusd.p95 <= estimate.cost_microusd_p95 < estimate.cost_microusd.p95 + 1
    assert estimate.price_table_version == "genai-prices 0.2.3"
    assert (estimate.uses_model, estimate.label, estimate.rehearsed_cards) == (True, Label.PRIOR_LED, 0)
    assert (await projects.list_estimates(READER, PROJECT))[0] == estimate


async def test_recipes_beside_an_agent_card_spend_nothing_themselves(projects):
    recipe = PlannedCard(task_id=TaskId("tests"), lane=Lane.CODE_IMPL, configuration="recipe/run-tests")
    estimate = await projects.estimate(ENGINEER, PROJECT, EstimateRequest(cards=(recipe, CARD)))
    assert (estimate.cards[0].cost_microusd, estimate.cards[0].tokens_in) == (ZERO, ZERO)
    assert estimate.cards[1].cost_microusd.p50 > 0
    alone = await projects.estimate(ENGINEER, PROJECT, EstimateRequest(cards=(recipe,)))
    assert (alone.uses_model, alone.price_table_version) == (False, "none: no model used")
    assert (alone.cost_microusd, alone.cost_microusd_p95, alone.tokens_p95) == (ZERO, 0, 0)


async def test_model_without_a_price_costs_nothing_but_its_tokens_are_learned(projects):
    free = EstimateRequest(cards=(CARD.model_copy(update={"price": FREE}),))
    before = await projects.estimate(ENGINEER, PROJECT, free)
    assert (before.cost_microusd, before.cost_microusd_p95) == (ZERO, 0)
    assert before.tokens_p95 > 0
    await record(projects, 5, changes={"cost_microusd": 0, "tokens_in": 1000})
    after = await projects.estimate(ENGINEER, PROJECT, free)
    assert (after.cost_microusd, after.label) == (ZERO, Label.LEARNING)
    assert after.cards[0].tokens_in.p50 < before.cards[0].tokens_in.p50 / 3


async def test_attempts_narrow_every_figure_and_earn_the_label(projects):
    before = (await projects.estimate(ENGINEER, PROJECT, PLAN)).cards[0]
    await record(projects, 20)
    after = (await projects.estimate(ENGINEER, PROJECT, PLAN)).cards[0]
    assert (after.attempts_observed, after.label) == (20, Label.CALIBRATED)
    for name, value in (
        ("time_s", 60.0),
        ("cost_microusd", 40_000),
        ("tokens_in", 100_000),
        ("tokens_out", 10_000),
        ("tokens_think", 4_000),
    ):
        was, now = getattr(before, name), getattr(after, name)
        assert now.p05 < value < now.p95
        assert now.p75 - now.p25 < was.p75 - was.p25


async def test_model_work_in_one_repository_teaches_about_all(projects):
    before = await projects.estimate(ENGINEER, OTHER, PLAN)
    await record(projects, 5)
    after = await projects.estimate(ENGINEER, OTHER, PLAN)
    assert after.cards[0].cost_microusd.p50 < before.cards[0].cost_microusd.p50
    assert after.label is Label.LEARNING


async def test_other_lane_and_other_model_learn_nothing_from_it(projects):
    strangers = (
        CARD.model_copy(update={"configuration": "agent/other"}),
        CARD.model_copy(update={"task_id": TaskId("docs"), "lane": Lane.NARRATIVE}),
    )
    before = await projects.estimate(ENGINEER, PROJECT, EstimateRequest(cards=strangers))
    await record(projects, 5)
    after = await projects.estimate(ENGINEER, PROJECT, EstimateRequest(cards=strangers))
    assert after.cards == before.cards


async def test_failed_attempts_raise_what_the_plan_costs_but_not_what_a_success_costs(projects):
    before = await projects.estimate(ENGINEER, PROJECT, PLAN)
    changes = {"is_success": False, "cost_microusd": 30_000_000}
    await record(projects, 10, changes=changes, final_state=RunState.FAILED, is_verified=False)
    after = await projects.estimate(ENGINEER, PROJECT, PLAN)
    was, now = before.cards[0], after.cards[0]
    assert (now.cost_microusd, now.tokens_in, now.time_s) == (was.cost_microusd, was.tokens_in, was.time_s)
    assert after.cost_microusd.p50 > 2 * before.cost_microusd.p50


async def test_unverified_success_teaches_nothing_about_money(projects):
    before = await projects.estimate(ENGINEER, PROJECT, PLAN)
    await record(projects, 5, is_verified=False)
    assert (await projects.estimate(ENGINEER, PROJECT, PLAN)).cards == before.cards


async def test_rehearsal_moves_the_estimate_of_its_own_project_alone(projects):
    before = [await projects.estimate(ENGINEER, project_id, PLAN) for project_id in (PROJECT, OTHER)]
    await record(projects, 5, "rehearsal", run_kind=RunKind.REHEARSAL)
    own, other = [await projects.estimate(ENGINEER, project_id, PLAN) for project_id in (PROJECT, OTHER)]
    assert (own.rehearsed_cards, other.rehearsed_cards) == (5, 0)
    assert own.cards[0].cost_microusd.p50 < before[0].cards[0].cost_microusd.p50
    assert own.cards[0].attempts_observed == 5
    assert other.cards == before[1].cards


async def test_rehearsal_adds_to_what_baselines_taught(projects):
    await record(projects, 3, changes={"cost_microusd": 40_000})
    taught = (await projects.estimate(ENGINEER, PROJECT, PLAN)).cards[0]
    await record(projects, 2, "rehearsal", changes={"cost_microusd": 4_000_000}, run_kind=RunKind.REHEARSAL)
    own, other = [(await projects.estimate(ENGINEER, project_id, PLAN)).cards[0] for project_id in (PROJECT, OTHER)]
    assert (taught.attempts_observed, own.attempts_observed) == (3, 5)
    assert own.cost_microusd.p50 > taught.cost_microusd.p50
    assert other == taught


@pytest.mark.parametrize(
    "run_changes", [{"is_verified": False}, {"final_state": RunState.FAILED}], ids=["unverified", "failed"]
)
async def test_rehearsed_success_counts_by_its_own_verdict(projects, run_changes):
    before = await projects.estimate(ENGINEER, PROJECT, PLAN)
    attempts = (attempt(), attempt(task_id="other", is_success=False))
    rehearsal = run_actuals(*attempts, run_kind=RunKind.REHEARSAL, **run_changes)
    await projects.record_actuals(ENGINEER, RunId("rehearsal"), rehearsal)
    after = await projects.estimate(ENGINEER, PROJECT, PLAN)
    assert (after.rehearsed_cards, after.cards[0].attempts_observed) == (2, 1)
    assert after.cards[0].cost_microusd.p50 < before.cards[0].cost_microusd.p50


async def test_discarded_rehearsal_moves_nothing(projects):
    before = await projects.estimate(ENGINEER, PROJECT, PLAN)
    await record(projects, 3, changes={"is_discarded": True}, run_kind=RunKind.REHEARSAL)
    after = await projects.estimate(ENGINEER, PROJECT, PLAN)
    assert (after.cards, after.rehearsed_cards) == (before.cards, 0)


async def test_attempt_that_was_stopped_at_once_teaches_no_time(projects):
    before = await projects.estimate(ENGINEER, PROJECT, PLAN)
    nothing = {"is_success": False, "time_s": 0.0, "cost_microusd": 0, "tokens_in": 0, "tokens_out": 0}
    await record(projects, 5, changes=nothing, final_state=RunState.TERMINATED, is_verified=False)
    after = await projects.estimate(ENGINEER, PROJECT, PLAN)
    assert after.cards[0].time_s == before.cards[0].time_s
    assert after.time_s.p50 > before.time_s.p50


async def test_changed_price_moves_what_was_learned_by_less_than_its_ratio(projects):
    await projects.approve(
        ENGINEER,
        PROJECT,
        Approval(estimate_id=(await projects.estimate(ENGINEER, PROJECT, PLAN)).estimate_id, rationale="cheap enough"),
    )
    await record(projects, 20)
    learned = (await projects.estimate(ENGINEER, PROJECT, PLAN)).cards[0]
    doubled = PRICE.model_copy(update={"output_microusd": 30_000_000, "input_microusd": 6_000_000})
    card = CARD.model_copy(update={"price": doubled})
    dearer = (await projects.estimate(ENGINEER, PROJECT, EstimateRequest(cards=(card,)))).cards[0]
    assert 1.05 < dearer.cost_microusd.p50 / learned.cost_microusd.p50 < 2
    assert dearer.time_s == learned.time_s


async def test_cards_of_one_plan_may_have_different_prices(projects):
    free = CARD.model_copy(update={"task_id": TaskId("local"), "price": FREE})
    mixed = await projects.estimate(ENGINEER, PROJECT, EstimateRequest(cards=(free, CARD)))
    assert [card.cost_microusd.p50 > 0 for card in mixed.cards] == [False, True]
    assert mixed.cost_microusd.p05 > 0
    assert mixed.price_table_version == "genai-prices 0.2.3, operator"


async def test_attempts_are_scored_on_money_too(projects):
    predicted = (await projects.estimate(ENGINEER, PROJECT, PLAN)).cards[0].cost_microusd
    await record(projects, 1, "in", changes={"cost_microusd": round(predicted.p50)})
    await record(projects, 1, "out", changes={"cost_microusd": round(predicted.p95 * 100)})
    await record(projects, 1, "unpaid", changes={"cost_microusd": 0})
    metrics = await projects.get_metrics(READER, PROJECT)
    lane = metrics.lanes[0]
    assert (lane.attempts, lane.cost_attempts, lane.cost_inside_50, lane.cost_inside_90) == (3, 2, 1, 1)
    assert lane.cost_microusd.p50 > 0
    assert metrics.total_cost_microusd == round(predicted.p50) + round(predicted.p95 * 100)


async def test_card_of_an_unknown_kind_is_refused(projects):
    with pytest.raises(ValidationError, match="configuration"):
        CARD.model_validate(CARD.model_dump() | {"configuration": "wizard/merlin"})
    with pytest.raises(InvalidRequestError, match="neither recipe/, agent/ nor plan/"):
        await record(projects, 1, changes={"configuration": "wizard/merlin"})
