"""The store: one transaction a method, nothing recorded twice, states along their tables only."""

import asyncio

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from services.kernel.db import open_engine, sqlite_url, upgrade_schema
from services.kernel.ids import GitOid, ProjectId, ReceiptId, RunId, TaskId
from services.kernel.vocabulary import IllegalTransitionError, Lane, RunState, TaskState, Verdict
from services.pas.core.records import CardChange, EventDraft, NewRun, RunChange, RunResult, Snapshot
from services.pas.core.validators import make_finding
from services.pas.models import (
    CONTRACT_VERSION,
    ArtifactRef,
    EventKind,
    JobCard,
    PassportBasis,
    Receipt,
    SignedPassport,
    StartRun,
    TestsPayload,
)
from services.pas.schema import METADATA
from services.pas.store import SqlPasStore

RUN = RunId("run-1")
TASK = TaskId("code")
CARD = JobCard(
    task_id=TASK, lane=Lane.CODE_IMPL, title="Code", configuration="recipe/run-tests", payload=TestsPayload()
)


@pytest.fixture
def engine(tmp_path):
    engine = open_engine(sqlite_url(tmp_path / "pas.db"))
    upgrade_schema(engine, "services.pas")
    yield engine
    engine.dispose()


@pytest.fixture
async def store(engine):
    store = SqlPasStore(engine)
    assert await store.create_run(_new_run())
    return store


def _new_run():
    basis = PassportBasis(repo="/repo", prd_sha256="0" * 64, contract_version=CONTRACT_VERSION)
    return NewRun(
        run_id=RUN,
        start=StartRun(project_id=ProjectId("p-1"), passport_basis=basis),
        repo="/repo",
        snapshot=Snapshot(base_commit=GitOid("c"), base_branch="main", base_tree=GitOid("b"), tree=GitOid("t")),
        trace_id="x",
        body_sha256="1" * 64,
        cards=(CARD,),
        created_at="t0",
    )


def _finished_card(attempt=1, **changes):
    receipt = Receipt(
        receipt_id=ReceiptId(f"rcpt-{attempt}"),
        run_id=RUN,
        task_id=TASK,
        attempt=attempt,
        lane=Lane.CODE_IMPL,
        configuration="recipe/run-tests",
        time_ms=1500,
        sandbox_tier="rlimits",
        contract_version=CONTRACT_VERSION,
        exit_code=0,
        is_success=True,
        tree_in=GitOid("t"),
        tree_out=GitOid("u"),
        recorded_at="t2",
    )
    given = {
        "run_id": RUN,
        "task_id": TASK,
        "state": TaskState.SUCCEEDED,
        "at": "t2",
        "tree_out": GitOid("u"),
        "receipt": receipt,
        "artifacts": (ArtifactRef(path="artifacts/x", sha256="2" * 64, size_bytes=1),),
        "events": (EventDraft(EventKind.RECEIPT, "took 1.5 s", task_id=TASK),),
    }
    return CardChange(**given | changes)


async def _start_card(store):
    await store.change_card(CardChange(RUN, TASK, TaskState.RUNNING, "t1", attempt=1))


def test_migrations_make_exactly_the_tables_of_the_code(engine):
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []


async def test_second_run_with_the_same_id_is_not_stored(store):
    assert await store.create_run(_new_run()) is False
    assert len(await store.list_views(None, is_active=False)) == 1


async def test_finished_attempt_writes_card_receipt_artifact_and_event_together(store):
    await _start_card(store)
    assert await store.change_card(_finished_card())
    journal = await store.read_journal(RUN)
    assert [receipt.attempt for receipt in journal.receipts] == [1]
    assert [artifact.path for artifact in journal.artifacts] == ["artifacts/x"]
    assert [event.text for event in journal.events] == ["run accepted", "took 1.5 s"]
    view = await store.view_run(RUN)
    assert (view.cards[0].state, view.cards[0].time_s, view.cards[0].finished_at) == (TaskState.SUCCEEDED, 1.5, "t2")
    assert (await store.read_cards(RUN))[0].tree_out == "u"


async def test_repeated_step_records_nothing_twice(store):
    await _start_card(store)
    assert await store.change_card(_finished_card())
    before = await store.read_journal(RUN)
    assert await store.change_card(_finished_card()) is False
    assert await store.read_journal(RUN) == before


async def test_second_receipt_of_an_attempt_is_refused_with_everything_beside_it(store):
    await _start_card(store)
    await store.change_card(_finished_card(state=TaskState.QUEUED))
    await _start_card(store)
    before = await store.read_journal(RUN)
    with pytest.raises(sa.exc.IntegrityError):
        await store.change_card(_finished_card())
    assert await store.read_journal(RUN) == before
    assert (await store.read_cards(RUN))[0].state is TaskState.RUNNING


async def test_illegal_transitions_change_nothing(store):
    before = await store.read_journal(RUN)
    with pytest.raises(IllegalTransitionError):
        await store.change_card(_finished_card())
    with pytest.raises(IllegalTransitionError):
        await store.change_run(RunChange(RUN, RunState.COMPLETED, "t", "done"))
    assert await store.read_journal(RUN) == before


async def test_numbers_of_events_have_no_gap_and_no_double_under_concurrency(store):
    drafts = [EventDraft(EventKind.NOTE, f"note {number}") for number in range(3)]
    await asyncio.gather(*(store.add_events(RUN, "t", drafts) for _ in range(10)))
    events = await store.read_events(RUN, 0)
    assert [event.seq for event in events] == list(range(1, 32))
    assert (await store.read_events(RUN, 29))[0].seq == 30
    assert (await store.read_run(RUN)).last_seq == 31


async def test_finding_and_result_are_stored_once(store):
    first = make_finding("linter_pass", Verdict.PASS, 1.0, "clean")
    await store.add_finding(RUN, "t", first)
    await store.add_finding(RUN, "t", make_finding("linter_pass", Verdict.FAIL, 0.0, "dirty"))
    assert await store.read_findings(RUN) == (first,)
    await store.keep_result(RUN, "t", RunResult(tree=GitOid("r")), (), (EventDraft(EventKind.NOTE, "one"),))
    await store.keep_result(RUN, "t", RunResult(tree=GitOid("s")), (), (EventDraft(EventKind.NOTE, "two"),))
    assert (await store.read_run(RUN)).result.tree == "r"
    assert [event.text for event in await store.read_events(RUN, 2)] == ["one"]


async def test_passport_is_sealed_over_the_journal_with_the_final_event_in_one_transaction(store):
    await store.change_run(RunChange(RUN, RunState.EXECUTING, "t", "started"))
    seen = []

    def seal(run, journal, cards):
        seen.append((run.state, journal.events[-1].text, cards))
        return SignedPassport(document="{}", sha256="3" * 64, kid="k", signature="s")

    change = RunChange(RUN, RunState.FAILED, "t9", "run failed: why", "why")
    assert await store.finish_run(change, seal)
    assert await store.finish_run(change, seal) is False
    assert seen == [(RunState.FAILED, "run failed: why", (CARD,))]
    assert (await store.read_passport(RUN)).kid == "k"


async def test_failing_seal_leaves_the_run_unfinished(store):
    await store.change_run(RunChange(RUN, RunState.EXECUTING, "t", "started"))

    def seal(run, journal, cards):
        raise OSError("no key")

    with pytest.raises(OSError, match="no key"):
        await store.finish_run(RunChange(RUN, RunState.FAILED, "t9", "run failed"), seal)
    assert (await store.read_run(RUN)).state is RunState.EXECUTING
    assert await store.read_passport(RUN) is None


async def test_gate_closes_with_the_state_and_requests_stay(store):
    await store.change_run(RunChange(RUN, RunState.EXECUTING, "t", "started"))
    await store.change_run(RunChange(RUN, RunState.PAUSED, "t", "paused", is_paused=True))
    assert (await store.read_controls(RUN)).is_paused
    await store.change_run(RunChange(RUN, RunState.EXECUTING, "t", "resumed", is_paused=False))
    await store.set_terminated(RUN, "enough")
    await store.add_cancellation(RUN, TASK, "first")
    await store.add_cancellation(RUN, TASK, "second")
    controls = await store.read_controls(RUN)
    assert (controls.is_paused, controls.is_terminated, controls.reason) == (False, True, "enough")
    assert controls.cancelled == {TASK: "first"}


async def test_loads_count_only_runs_that_have_not_ended(store):
    await _start_card(store)
    loads = {load.lane: (load.running, load.queued) for load in await store.count_loads()}
    assert loads[Lane.CODE_IMPL] == (1, 0)
    assert await store.count_active_runs() == 1
    await store.change_run(RunChange(RUN, RunState.TERMINATED, "t", "over"))
    assert await store.count_active_runs() == 0
    assert sum(load.running for load in await store.count_loads()) == 0
