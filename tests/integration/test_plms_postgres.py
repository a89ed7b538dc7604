"""The books of PLMS on both databases: one suite, SQLite and a real PostgreSQL server."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
import sqlalchemy as sa

from services.kernel.clock import SystemClock
from services.kernel.db import open_engine, sqlite_url
from services.kernel.errors import InvalidRequestError, UnavailableError
from services.kernel.ids import ProjectId, RunId
from services.kernel.vocabulary import Lane, ProjectState, RunKind, RunState
from services.plms import tables
from services.plms.app import load_priors, open_plms
from services.plms.core.calibration import EVERYWHERE, Calibration
from services.plms.core.ledger import PosteriorKey
from services.plms.core.lifecycle import Move
from services.plms.core.posterior import Metric, Outcome
from services.plms.core.service import _create
from services.plms.models import (
    Actual,
    Approval,
    EstimateRequest,
    ModelPrice,
    NewProject,
    PlannedCard,
    RunActuals,
    StateChange,
)
from services.plms.protocol import ProjectExistsError
from services.plms.store import SqlStore
from services.wire.idempotency import KeyReusedError, RequestInProgressError, SqlIdempotencyStore
from tests.fakes.identity import ENGINEER
from tests.fakes.postgres import new_database, serve_postgres

PROJECT = ProjectId("prj-one")
RECIPE, AGENT = "recipe/format", "agent/coder"
PRICE = ModelPrice(input_microusd=3_000_000, output_microusd=15_000_000, price_table_version="v1")
KEY = PosteriorKey("/srv/repo", Lane.CODE_IMPL, RECIPE, Outcome.SUCCESS)
PLAN = EstimateRequest(cards=(PlannedCard(task_id="format", lane=Lane.CODE_IMPL, configuration=RECIPE),))


@pytest.fixture(scope="session")
def postgres_server():
    with serve_postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request, tmp_path):
    if request.param == "sqlite":
        yield sqlite_url(tmp_path / "a 100% new.db")
        return
    with new_database(request.getfixturevalue("postgres_server")) as url:
        yield url


@pytest.fixture
def parts(database_url):
    opened = open_plms(database_url, SystemClock())
    yield opened
    opened.close()


@pytest.fixture
def store(parts):
    return SqlStore(parts.engine)


def new_project(**changes):
    return NewProject(**{"title": "Format", "prd": "Format it.", "repo": "/srv/repo", "project_id": PROJECT} | changes)


def run_actuals(*times_s, **changes):
    actuals = tuple(
        Actual(
            task_id=f"card-{n}", attempt=1, lane=Lane.CODE_IMPL, configuration=RECIPE, time_s=time_s, is_success=True
        )
        for n, time_s in enumerate(times_s)
    )
    body = {"project_id": PROJECT, "run_kind": RunKind.BASELINE, "final_state": RunState.COMPLETED, "is_verified": True}
    return RunActuals(**body | {"actuals": actuals} | changes)


def agent_actuals(*costs_microusd, **changes):
    actuals = tuple(
        Actual(
            task_id=f"card-{n}",
            attempt=1,
            lane=Lane.CODE_IMPL,
            configuration=AGENT,
            time_s=60.0 + n,
            tokens_in=1000 * (n + 1),
            tokens_out=100,
            tokens_think=n % 2,
            cost_microusd=cost,
            is_success=n % 3 != 2,
        )
        for n, cost in enumerate(costs_microusd)
    )
    return run_actuals(**changes).model_copy(update={"actuals": actuals})


def run_together(*works):
    """Start all works at the same moment, each in a thread; return results and exceptions in order."""
    start = threading.Barrier(len(works))

    def run(work):
        start.wait()
        try:
            return work()
        except Exception as error:  # noqa: BLE001 - it is this thread's answer
            return error

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


@pytest.mark.parametrize("rationale", ["", "  ", "\n\t\r "])
@pytest.mark.parametrize("table", [tables.PROJECT_EVENTS, tables.APPROVALS], ids=str)
async def test_database_refuses_a_blank_rationale(parts, table, rationale):
    await parts.service.create_project(ENGINEER, new_project())
    estimate = await parts.service.estimate(ENGINEER, PROJECT, PLAN)
    row = {"project_id": PROJECT, "at": "now", "author": "user:engineer", "rationale": rationale}
    own = {
        "project_events": {"target": "planning"},
        "approvals": {"estimate_id": estimate.estimate_id, "max_cost_microusd": 0, "breach_policy": "pause"},
    }[table.name]
    with parts.engine.begin() as connection:
        connection.execute(sa.insert(table).values(row | own | {"rationale": "a reason"}))
    with pytest.raises(sa.exc.IntegrityError, match="rationale_is_given"), parts.engine.begin() as connection:
        connection.execute(sa.insert(table).values(row | own))


async def test_every_move_is_an_event_with_author_and_reason(parts, store):
    service = parts.service
    await service.create_project(ENGINEER, new_project())
    estimate = await service.estimate(ENGINEER, PROJECT, PLAN)
    await service.approve(ENGINEER, PROJECT, Approval(estimate_id=estimate.estimate_id, rationale="cheap enough"))
    await service.change_state(ENGINEER, PROJECT, StateChange(target=ProjectState.EXECUTING, rationale="run r started"))
    events = await store.transact(lambda ledger: ledger.list_events(PROJECT))
    assert [event.target for event in events] == [
        ProjectState.IDEATION,
        ProjectState.PLANNING,
        ProjectState.ESTIMATING,
        ProjectState.PENDING_APPROVAL,
        ProjectState.APPROVED,
        ProjectState.EXECUTING,
    ]
    assert [event.source for event in events] == [None, *(event.target for event in events[:-1])]
    assert [event.rationale for event in events[-2:]] == ["cheap enough", "run r started"]
    assert {event.author for event in events} == {"user:engineer"}


async def test_what_was_written_is_read_back_after_reopening(parts, database_url):
    service = parts.service
    project = await service.create_project(
        ENGINEER, new_project(prd="Grüße, 世界 🎉\r\n\t- \"quoted\" 'x'", tags=("é",))
    )
    estimate = await service.estimate(ENGINEER, PROJECT, PLAN)
    await service.record_actuals(ENGINEER, RunId("run-1"), run_actuals(1.25, 2.5))
    metrics = await service.get_metrics(ENGINEER, PROJECT)
    again = open_plms(database_url, SystemClock())
    found = await again.service.get_project(ENGINEER, PROJECT)
    assert (found.prd, found.tags, found.prd_sha256) == (project.prd, ("é",), project.prd_sha256)
    assert await again.service.list_estimates(ENGINEER, PROJECT) == (estimate,)
    assert await again.service.get_metrics(ENGINEER, PROJECT) == metrics
    again.close()


def test_threads_that_create_one_id_agree_on_one_project(store):
    def create(title):
        move = Move("user:engineer", "2026-01-01T00:00:00.000+00:00", "created")
        return store.transact_now(partial(_create, new=new_project(title=title), project_id=PROJECT, move=move))

    answers = run_together(*(partial(create, title) for title in ("A", "B", "A", "B")))
    made = [answer for answer in answers if not isinstance(answer, Exception)]
    refused = [answer for answer in answers if isinstance(answer, Exception)]
    assert {type(answer) for answer in refused} == {ProjectExistsError}
    assert (len(made), len(refused), len(set(made))) == (2, 2, 1)
    assert len(store.transact_now(lambda ledger: ledger.list_events(PROJECT))) == 1


async def test_runs_recorded_at_once_lose_no_observation(parts, store):
    await parts.service.create_project(ENGINEER, new_project())
    await asyncio.gather(
        *(parts.service.record_actuals(ENGINEER, RunId(f"run-{n}"), run_actuals(n + 1.0)) for n in range(6))
    )
    calibration = Calibration(load_priors())
    posterior = await store.transact(lambda ledger: calibration.read(ledger, KEY))
    assert (posterior.observations, posterior.attempts) == (6, 6)


async def test_posteriors_can_be_derived_again_from_the_attempts(parts, store):
    await parts.service.create_project(ENGINEER, new_project())
    await parts.service.record_actuals(ENGINEER, RunId("run-1"), run_actuals(1.0, 2.0, 3.0))
    await parts.service.record_actuals(ENGINEER, RunId("run-2"), run_actuals(9.0, run_kind=RunKind.REHEARSAL))
    await parts.service.record_actuals(ENGINEER, RunId("run-3"), run_actuals(4.0, is_verified=False))
    await parts.service.record_actuals(ENGINEER, RunId("run-4"), run_actuals(5.0))
    calibration = Calibration(load_priors())
    kept = await store.transact(lambda ledger: calibration.read(ledger, KEY))
    await store.transact(calibration.rebuild_posteriors)
    assert await store.transact(lambda ledger: calibration.read(ledger, KEY)) == kept
    assert (kept.observations, kept.attempts) == (4, 5)


async def estimate_agent(parts):
    card = PlannedCard(task_id="code", lane=Lane.CODE_IMPL, configuration=AGENT, price=PRICE)
    return await parts.service.estimate(ENGINEER, PROJECT, EstimateRequest(cards=(card,)))


async def test_money_and_tokens_can_be_derived_again_at_the_prices_of_their_time(parts, store):
    await parts.service.create_project(ENGINEER, new_project())
    await parts.service.record_actuals(ENGINEER, RunId("run-0"), agent_actuals(30_000))
    await estimate_agent(parts)
    await parts.service.record_actuals(ENGINEER, RunId("run-1"), agent_actuals(40_000, 0, 90_000, 60_000))
    await parts.service.record_actuals(ENGINEER, RunId("run-2"), agent_actuals(9, run_kind=RunKind.REHEARSAL))
    calibration = Calibration(load_priors())
    keys = [
        PosteriorKey(EVERYWHERE, Lane.CODE_IMPL, AGENT, outcome, metric) for outcome in Outcome for metric in Metric
    ]
    kept = await store.transact(lambda ledger: [calibration.read(ledger, key, PRICE) for key in keys])
    await store.transact(calibration.rebuild_posteriors)
    assert await store.transact(lambda ledger: [calibration.read(ledger, key, PRICE) for key in keys]) == kept
    counts = {
        (key.outcome, key.metric): (entry.observations, entry.attempts) for key, entry in zip(keys, kept, strict=True)
    }
    assert counts[Outcome.SUCCESS, Metric.TIME] == (4, 4)
    assert counts[Outcome.SUCCESS, Metric.COST] == (3, 4)
    assert counts[Outcome.SUCCESS, Metric.TOKENS_THINK] == (2, 4)
    assert counts[Outcome.FAILURE, Metric.COST] == (1, 1)


async def test_rehearsal_taken_out_of_the_books_leaves_no_trace(parts):
    await parts.service.create_project(ENGINEER, new_project())
    before = await estimate_agent(parts)
    rehearsal = agent_actuals(40_000, 50_000, run_kind=RunKind.REHEARSAL)
    await parts.service.record_actuals(ENGINEER, RunId("run-1"), rehearsal)
    rehearsed = await estimate_agent(parts)
    assert (rehearsed.rehearsed_cards, rehearsed.cards == before.cards) == (2, False)
    with parts.engine.begin() as connection:
        connection.execute(sa.delete(tables.ACTUALS))
    after = await estimate_agent(parts)
    assert (after.rehearsed_cards, after.cards) == (0, before.cards)


async def test_new_priors_are_adopted_with_all_that_was_learned(parts, store):
    await parts.service.create_project(ENGINEER, new_project())
    await parts.service.record_actuals(ENGINEER, RunId("run-1"), run_actuals(1.0, 2.0, 3.0))
    newer = Calibration(replace(load_priors(), model=load_priors().model.model_copy(update={"version": "agent.v2"})))
    await store.transact(newer.adopt_priors)
    assert (await store.transact(lambda ledger: newer.read(ledger, KEY))).observations == 3
    assert not await store.transact(lambda ledger: ledger.has_posterior_of_other_prior(newer.priors.version))


async def test_failed_use_case_leaves_nothing_behind(parts, store):
    def use_case(ledger):
        move = Move("user:engineer", "2026-01-01T00:00:00.000+00:00", "created")
        _create(ledger, new=new_project(), project_id=PROJECT, move=move)
        raise InvalidRequestError("changed my mind")

    with pytest.raises(InvalidRequestError):
        await store.transact(use_case)
    assert await parts.service.list_projects(ENGINEER) == ()


async def test_idempotency_key_is_claimed_once_answered_and_given_up(parts):
    keys = parts.idempotency
    assert await keys.begin("plms:a", "key-0001", "body") is None
    with pytest.raises(RequestInProgressError):
        await keys.begin("plms:a", "key-0001", "body")
    await keys.finish("plms:a", "key-0001", 200, b"\x00answer")
    stored = await keys.begin("plms:a", "key-0001", "body")
    assert (stored.status, stored.body) == (200, b"\x00answer")
    with pytest.raises(KeyReusedError):
        await keys.begin("plms:a", "key-0001", "another body")
    assert await keys.begin("plms:b", "key-0001", "another body") is None
    await keys.abandon("plms:b", "key-0001")
    assert await keys.begin("plms:b", "key-0001", "a third body") is None
    keys.forget_unfinished()
    assert await keys.begin("plms:b", "key-0001", "a fourth body") is None
    assert await keys.begin("plms:a", "key-0001", "body") == stored


async def test_restarted_server_gives_unfinished_keys_back_at_once_or_when_they_are_old(parts, database_url):
    class HourAgo(SystemClock):
        def now(self):
            return super().now() - timedelta(hours=1)

    dead = SqlIdempotencyStore(parts.engine, tables.IDEMPOTENCY, HourAgo())
    assert await dead.begin("plms:a", "key-old-claim", "body") is None
    assert await dead.begin("plms:a", "key-old-answer", "body") is None
    await dead.finish("plms:a", "key-old-answer", 200, b"{}")
    again = open_plms(database_url, SystemClock())
    assert await again.idempotency.begin("plms:a", "key-old-claim", "another body") is None
    assert (await again.idempotency.begin("plms:a", "key-old-answer", "body")).body == b"{}"
    again.close()


@pytest.mark.parametrize("changes", [{"tokens": 2**63}, {"task_id": "a\0b"}], ids=["number", "nul"])
async def test_value_that_no_database_keeps_is_refused_in_one_line(parts, changes):
    await parts.service.create_project(ENGINEER, new_project())
    run = run_actuals(1.0)
    odd = run.model_copy(update={"actuals": (run.actuals[0].model_copy(update=changes),)})
    with pytest.raises(InvalidRequestError) as refusal:
        await parts.service.record_actuals(ENGINEER, RunId("run-1"), odd)
    assert "\n" not in refusal.value.detail
    assert (await parts.service.get_metrics(ENGINEER, PROJECT)).runs == 0


async def test_control_characters_of_a_failed_tool_do_not_stop_the_lifecycle(parts, store):
    await parts.service.create_project(ENGINEER, new_project())
    change = StateChange(target=ProjectState.PLANNING, rationale="\x1b[31mfailed\0")
    project = await parts.service.change_state(ENGINEER, PROJECT, change)
    assert project.reason == "\ufffd[31mfailed\ufffd"
    with pytest.raises(InvalidRequestError, match="blank"):
        await parts.service.change_state(
            ENGINEER, PROJECT, change.model_copy(update={"target": ProjectState.ESTIMATING, "rationale": "\u2003"})
        )
    assert [event.target for event in await store.transact(lambda ledger: ledger.list_events(PROJECT))] == [
        ProjectState.IDEATION,
        ProjectState.PLANNING,
    ]


def test_database_that_cannot_be_opened_is_unavailable_in_one_line(tmp_path):
    engine = open_engine(sqlite_url(tmp_path / "missing" / "plms.db"))
    with pytest.raises(UnavailableError, match="unable to open database file") as refusal:
        SqlStore(engine).transact_now(lambda ledger: ledger.list_projects(None, None))
    assert "\n" not in refusal.value.detail
    engine.dispose()
