"""The journal of steps: one transaction a step, covered by the passport, and the way to it from older tables."""

from importlib.resources import files

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from services.kernel.db import open_engine, sqlite_url, upgrade_schema
from services.kernel.ids import GitOid, ProjectId, ReceiptId, RunId, TaskId
from services.kernel.vocabulary import Lane
from services.pas.core.passports import digest_journal
from services.pas.core.records import EventDraft, NewRun, Snapshot, Step, StepChange, StepKind
from services.pas.journal import SqlStepJournal
from services.pas.models import (
    CONTRACT_VERSION,
    AgentPayload,
    ArtifactRef,
    EventKind,
    JobCard,
    PassportBasis,
    Receipt,
    StartRun,
)
from services.pas.schema import RECEIPTS
from services.pas.store import SqlPasStore

RUN, TASK, AT = RunId("run-1"), TaskId("fix"), "2026-11-21T06:00:00.000+00:00"
CARD = JobCard(
    task_id=TASK, lane=Lane.CODE_IMPL, title="Fix", configuration="agent/first", payload=AgentPayload(goal="fix it")
)


@pytest.fixture
def engine(tmp_path):
    engine = open_engine(sqlite_url(tmp_path / "pas.db"))
    yield engine
    engine.dispose()


@pytest.fixture
async def store(engine):
    upgrade_schema(engine, "services.pas")
    store = SqlPasStore(engine)
    basis = PassportBasis(repo="/repo", prd_sha256="0" * 64, contract_version=CONTRACT_VERSION)
    await store.create_run(
        NewRun(
            run_id=RUN,
            start=StartRun(project_id=ProjectId("p-1"), passport_basis=basis, max_cost_microusd=700),
            repo="/repo",
            snapshot=Snapshot(base_commit=GitOid("c"), base_branch="main", base_tree=GitOid("b"), tree=GitOid("t")),
            trace_id="x",
            body_sha256="1" * 64,
            cards=(CARD,),
            created_at=AT,
        )
    )
    return store


def _receipt(step, cost_microusd=0, number=1):
    return Receipt(
        receipt_id=ReceiptId(f"rcpt-{number}.{step}"),
        run_id=RUN,
        task_id=TASK,
        attempt=number,
        step=step,
        lane=Lane.CODE_IMPL,
        configuration="agent/first",
        time_ms=5,
        tokens_in=100,
        tokens_out=7,
        cost_microusd=cost_microusd,
        sandbox_tier="test",
        contract_version=CONTRACT_VERSION,
        exit_code=None,
        is_success=True,
        tree_in=GitOid("t"),
        tree_out=GitOid("t"),
        recorded_at=AT,
    )


def _change(position, *receipts, result="{}"):
    step = Step(
        task_id=TASK,
        attempt=1,
        position=position,
        kind=StepKind.MODEL,
        key=f"model:{position}",
        request_sha256="0" * 64,
        result=result,
        tree=GitOid("t"),
        at=AT,
    )
    artifact = ArtifactRef(path=f"artifacts/{position}", sha256="a" * 64, size_bytes=1)
    return StepChange(RUN, step, receipts, (artifact,), (EventDraft(EventKind.AGENT, f"step {position}", "", TASK),))


async def test_step_is_kept_with_its_receipts_events_and_artifacts(engine, store):
    journal = SqlStepJournal(engine)
    controls = await journal.add_step(_change(0, _receipt(1, 300), _receipt(2, 400)))
    assert not controls.is_paused
    assert [step.key for step in await journal.read_steps(RUN, TASK, 1)] == ["model:0"]
    assert await journal.read_steps(RUN, TASK, 2) == ()
    view = await store.view_run(RUN)
    assert (view.cost_microusd, view.tokens, view.cap_microusd) == (700, 214, 700)
    assert [artifact.path for artifact in view.artifacts] == ["artifacts/0"]
    assert await store.find_receipt(RUN, TASK, 1) is None, "a model's receipt does not end the attempt"


async def test_step_that_cannot_be_kept_leaves_nothing_behind(engine, store):
    journal = SqlStepJournal(engine)
    await journal.add_step(_change(0, _receipt(1)))
    before = await store.read_journal(RUN)
    for bad in (_change(0, _receipt(2)), _change(1, _receipt(1))):
        with pytest.raises(sa.exc.IntegrityError):
            await journal.add_step(bad)
    assert await store.read_journal(RUN) == before


async def test_step_brings_back_what_people_asked_for(engine, store):
    journal = SqlStepJournal(engine)
    await store.add_cancellation(RUN, TASK, "no need")
    assert (await journal.add_step(_change(0))).cancelled == {TASK: "no need"}
    await store.set_terminated(RUN, "enough")
    assert (await journal.add_step(_change(1))).is_terminated


async def test_digest_of_the_journal_covers_every_step(engine, store):
    journal = SqlStepJournal(engine)
    digests = [digest_journal(await store.read_journal(RUN))]
    await journal.add_step(_change(0))
    digests.append(digest_journal(await store.read_journal(RUN)))
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE steps SET result = '{\"forged\": true}'"))
    digests.append(digest_journal(await store.read_journal(RUN)))
    assert len(set(digests)) == 3


async def test_raised_ceiling_is_what_the_run_shows(store):
    await store.set_cap(RUN, 9000)
    assert (await store.view_run(RUN)).cap_microusd == 9000


def test_receipts_of_an_older_database_stay_and_may_get_steps_beside_them(engine):
    with engine.connect() as connection, connection.begin():
        config = Config()
        config.set_main_option("script_location", str(files("services.pas") / "migrations"))
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        connection.execute(
            sa.text(
                "INSERT INTO runs (run_id, project_id, repo, state, trace_id, start, body_sha256, snapshot, created_at)"
                " VALUES ('run-1', 'p', '/r', 'completed', 't', '{}', 'x', '{}', 'now')"
            )
        )
        old = _receipt(0).model_dump_json(exclude={"step", "call_id", "fallback_from"})
        insert = (
            "INSERT INTO receipts (receipt_id, run_id, task_id, attempt, receipt) VALUES ('a', 'run-1', 'fix', 1, :r)"
        )
        connection.execute(sa.text(insert), {"r": old})
    upgrade_schema(engine, "services.pas")
    with engine.begin() as connection:
        row = connection.execute(sa.select(RECEIPTS)).one()
        assert (row.receipt_id, row.step, row.cost_microusd) == ("a", 0, 0)
        assert Receipt.model_validate_json(row.receipt).step == 0
        row_of_step = {"receipt_id": "b", "run_id": RUN, "task_id": TASK, "attempt": 1, "step": 1, "receipt": "{}"}
        connection.execute(sa.insert(RECEIPTS).values(row_of_step))
    with pytest.raises(sa.exc.IntegrityError), engine.begin() as connection:
        connection.execute(sa.insert(RECEIPTS).values(row_of_step | {"receipt_id": "c"}))
