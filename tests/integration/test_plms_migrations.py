"""How the database of PLMS gets from one revision to the next, on SQLite and a real PostgreSQL server."""

import threading
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from services.kernel.clock import SystemClock
from services.kernel.db import open_engine, sqlite_url
from services.kernel.ids import ProjectId, RunId
from services.kernel.vocabulary import Lane, RunKind, RunState
from services.plms.app import load_priors, open_plms
from services.plms.core.calibration import Calibration
from services.plms.core.ledger import PosteriorKey
from services.plms.core.posterior import Outcome
from services.plms.models import ZERO, Actual, EstimateRequest, NewProject, PlannedCard, Quantiles, RunActuals
from services.plms.store import SqlStore, prepare_schema
from tests.fakes.identity import ENGINEER
from tests.fakes.postgres import new_database, serve_postgres

PROJECT = ProjectId("prj-one")
RECIPE = "recipe/format"
KEY = PosteriorKey("/srv/repo", Lane.CODE_IMPL, RECIPE, Outcome.SUCCESS)
PLAN = EstimateRequest(cards=(PlannedCard(task_id="format", lane=Lane.CODE_IMPL, configuration=RECIPE),))
NEWEST = "0002"


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


def new_project():
    return NewProject(title="Format", prd="Format it.", repo="/srv/repo", project_id=PROJECT)


def run_actuals(*times_s, **changes):
    body = {"attempt": 1, "lane": Lane.CODE_IMPL, "configuration": RECIPE, "is_success": True} | changes
    actuals = tuple(Actual(task_id=f"card-{n}", time_s=time_s, **body) for n, time_s in enumerate(times_s))
    return RunActuals(
        project_id=PROJECT,
        run_kind=RunKind.BASELINE,
        final_state=RunState.COMPLETED,
        is_verified=True,
        actuals=actuals,
    )


def alembic_config(connection):
    config = Config()
    config.set_main_option("script_location", str(files("services.plms") / "migrations"))
    config.attributes["connection"] = connection
    return config


def test_migrations_and_tables_do_not_drift(parts):
    with parts.engine.begin() as connection:
        command.check(alembic_config(connection))


def test_migrations_go_down_and_up_again(parts):
    with parts.engine.begin() as connection:
        command.downgrade(alembic_config(connection), "base")
    with parts.engine.begin() as connection:
        assert sa.inspect(connection).get_table_names() == ["alembic_version"]
    assert prepare_schema(parts.engine) == parts.schema_revision


def insert_rows_of_revision_0001(engine):
    """Write a project, an approved estimate and two attempts as the first release did."""
    with engine.begin() as connection:
        command.upgrade(alembic_config(connection), "0001")
    old = sa.MetaData()
    old.reflect(engine)
    at, levels = "2026-01-01T00:00:00.000+00:00", dict.fromkeys(Quantiles.model_fields, 2.5)
    card = {"task_id": "format", "lane": "Code-Impl", "configuration": RECIPE, "time_s": levels}
    project = new_project().model_dump(mode="json") | {"prd_sha256": "0" * 64, "state": "approved", "reason": "yes"}
    stamps = {"current_estimate_id": "est-1", "creation_digest": "0" * 64, "created_at": at, "updated_at": at}
    attempt = {"run_id": "run-1", "repo": "/srv/repo", "attempt": 1, "lane": "Code-Impl", "configuration": RECIPE}
    flags = {"is_success": True, "is_discarded": False, "is_counted": True, "is_learned": True, "predicted": levels}
    key = {"repo": "/srv/repo", "lane": "Code-Impl", "configuration": RECIPE, "outcome": "success"}
    rows = {
        "projects": [project | stamps | {"approved_estimate_id": "est-1"}],
        "estimates": [
            {"estimate_id": "est-1", "project_id": PROJECT, "label": "prior-led", "uses_model": False}
            | {"time_s": levels, "cost_microusd_p95": 0, "tokens_p95": 0, "created_at": at}
            | {"cards": [card | {"attempts_observed": 0, "label": "prior-led"}]}
        ],
        "runs": [
            {"run_id": "run-1", "project_id": PROJECT, "run_kind": "baseline", "final_state": "completed"}
            | {"is_verified": True, "recorded_at": at}
        ],
        "actuals": [
            attempt | flags | {"task_id": name, "time_s": time_s, "tokens": 0, "cost_microusd": 0}
            for name, time_s in (("a", 2.0), ("b", 3.0))
        ],
        "posteriors": [
            key
            | {"m": 1.0, "kappa": 2.0, "a": 4.5, "b": 1.0, "observations": 2, "attempts": 2}
            | {"prior_version": "recipes.v1"}
        ],
    }
    with engine.begin() as connection:
        for table, entries in rows.items():
            connection.execute(sa.insert(old.tables[table]), entries)


async def test_database_of_the_first_revision_is_upgraded_with_all_its_data(database_url):
    engine = open_engine(database_url)
    insert_rows_of_revision_0001(engine)
    engine.dispose()
    parts = open_plms(database_url, SystemClock())
    (estimate,) = await parts.service.list_estimates(ENGINEER, PROJECT)
    assert (estimate.estimate_id, estimate.time_s.p50, estimate.cards[0].time_s.p50) == ("est-1", 2.5, 2.5)
    assert (estimate.cost_microusd, estimate.tokens_in, estimate.rehearsed_cards) == (ZERO, ZERO, 0)
    assert (estimate.price_table_version, estimate.cards[0].price) == ("none: no model used", None)
    metrics = await parts.service.get_metrics(ENGINEER, PROJECT)
    assert (metrics.runs, metrics.total_time_s, metrics.lanes[0].attempts) == (1, 5.0, 2)
    posterior = SqlStore(parts.engine).transact_now(lambda ledger: Calibration(load_priors()).read(ledger, KEY))
    assert (posterior.observations, posterior.attempts) == (2, 2)
    assert (await parts.service.estimate(ENGINEER, PROJECT, PLAN)).cards[0].attempts_observed == 2
    parts.close()


async def test_database_can_go_back_a_revision_and_keeps_recipes(parts, database_url):
    await parts.service.create_project(ENGINEER, new_project())
    await parts.service.record_actuals(ENGINEER, RunId("run-1"), run_actuals(2.0, 3.0))
    await parts.service.record_actuals(
        ENGINEER, RunId("run-2"), run_actuals(60.0, configuration="agent/coder", cost_microusd=40_000)
    )
    with parts.engine.begin() as connection:
        command.downgrade(alembic_config(connection), "0001")
        assert connection.execute(sa.text("SELECT count(*) FROM actuals")).scalar_one() == 3
    again = open_plms(database_url, SystemClock())
    assert (await again.service.get_metrics(ENGINEER, PROJECT)).runs == 2
    again.close()


def test_two_servers_may_migrate_a_new_database_at_once(database_url):
    engines, start = [open_engine(database_url) for _ in range(2)], threading.Barrier(2)

    def migrate(engine):
        start.wait()
        return prepare_schema(engine)

    with ThreadPoolExecutor(2) as pool:
        revisions = list(pool.map(migrate, engines))
    assert revisions == [NEWEST, NEWEST]
    for engine in engines:
        engine.dispose()
