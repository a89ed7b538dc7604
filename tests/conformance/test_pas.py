"""What PAS promises, whichever way it is reached: as an object, and behind a real socket."""

import pytest

from services.kernel.caller import ScopeMissingError
from services.kernel.http import HttpCall, closing
from services.kernel.ids import RunId, Sha256
from services.kernel.vocabulary import IllegalTransitionError, Lane, RunState, TaskState
from services.pas.app import create_app
from services.pas.client import HttpPas
from services.pas.models import CardSubmission, RunCommand
from services.pas.protocol import (
    ArtifactNotFoundError,
    CardGraphError,
    PassportBasisMissingError,
    RunExistsError,
    RunNotFoundError,
    RunStartedError,
    TaskNotFoundError,
)
from tests.fakes import pas as fake
from tests.fakes.identity import ENGINEER, READER, KnownCallers
from tests.fakes.sockets import serve

pytestmark = pytest.mark.sandbox


@pytest.fixture(params=["embedded", "loopback"])
async def pas(request, tmp_path):
    async with fake.running_pas(tmp_path / "home") as parts:
        if request.param == "embedded":
            yield parts.service
            return
        async with serve(create_app(parts, KnownCallers())) as base_url:
            call = HttpCall(base_url)
            async with closing(call):
                yield HttpPas(call)
            await parts.begin_drain()


@pytest.fixture
def repository(tmp_path):
    return fake.make_repository(tmp_path / "repo")


async def _watch(pas, run_id, after_seq=0):
    return [event async for event in pas.watch_run(ENGINEER, run_id, after_seq)]


async def test_run_is_started_watched_and_read(pas, repository):
    started = await pas.start_run(ENGINEER, fake.start(repository, fake.rename("code", "area", "surface")))
    events = await _watch(pas, started.run_id)
    view = await pas.get_run(ENGINEER, started.run_id)
    assert (view.state, view.cards[0].state) == (RunState.COMPLETED, TaskState.SUCCEEDED)
    assert [event.seq for event in events] == list(range(1, view.last_seq + 1))
    assert {event.trace_id for event in events} == {view.trace_id}
    assert await _watch(pas, started.run_id, 4) == events[4:]
    assert await _watch(pas, started.run_id, view.last_seq) == []
    assert (await pas.list_runs(ENGINEER))[0] == view
    assert (await pas.list_runs(ENGINEER, str(repository)))[0] == view
    assert await pas.list_runs(ENGINEER, is_active=True) == ()
    receipts = await pas.list_receipts(ENGINEER, started.run_id)
    assert [(receipt.task_id, receipt.provider, receipt.cost_microusd) for receipt in receipts] == [("code", "none", 0)]
    assert (await pas.get_passport(ENGINEER, started.run_id)).kid == "test-key"


async def test_submitted_cards_become_part_of_the_run(pas, repository):
    run_id = RunId("run-submitted")
    for card in (fake.formatting("format"), fake.formatting("again", "format")):
        submission = CardSubmission(project_id="p-1", run_id=run_id, card=card)
        first = await pas.submit_card(ENGINEER, submission)
        assert await pas.submit_card(ENGINEER, submission) == first
    changed = CardSubmission(project_id="p-1", run_id=run_id, card=fake.formatting("format", paths=("shapes.py",)))
    with pytest.raises(CardGraphError):
        await pas.submit_card(ENGINEER, changed)
    view = await pas.start_run(ENGINEER, fake.start(repository, run_id=run_id))
    assert [card.task_id for card in view.cards] == ["format", "again"]
    with pytest.raises(RunStartedError):
        await pas.submit_card(ENGINEER, submission)
    await _watch(pas, run_id)


async def test_errors_keep_their_class(pas, repository):
    nobody = RunId("run-nobody")
    with pytest.raises(RunNotFoundError):
        await pas.get_run(ENGINEER, nobody)
    with pytest.raises(RunNotFoundError):
        await _watch(pas, nobody)
    with pytest.raises(RunNotFoundError):
        await pas.pause_run(ENGINEER, RunCommand(run_id=nobody, reason="why not"))
    with pytest.raises(ArtifactNotFoundError):
        await pas.get_artifact(ENGINEER, Sha256("0" * 64))
    loop = (fake.formatting("a", "b"), fake.formatting("b", "a"))
    with pytest.raises(CardGraphError, match="circle"):
        await pas.start_run(ENGINEER, fake.start(repository, *loop))
    with pytest.raises(PassportBasisMissingError):
        await pas.start_run(ENGINEER, fake.start(repository).model_copy(update={"passport_basis": None}))
    with pytest.raises(ScopeMissingError):
        await pas.start_run(READER, fake.start(repository, fake.formatting("format")))
    assert await pas.list_runs(ENGINEER) == ()


async def test_final_run_cannot_be_steered_and_its_id_is_taken(pas, repository):
    request = fake.start(repository, fake.formatting("format"), run_id="run-taken")
    await pas.start_run(ENGINEER, request)
    await _watch(pas, "run-taken")
    command = RunCommand(run_id="run-taken", reason="too late")
    for steer in (pas.pause_run, pas.resume_run, pas.terminate_run):
        with pytest.raises(IllegalTransitionError):
            await steer(ENGINEER, command)
    with pytest.raises(IllegalTransitionError):
        await pas.cancel_card(ENGINEER, command.model_copy(update={"task_id": "format"}))
    with pytest.raises(TaskNotFoundError):
        await pas.cancel_card(ENGINEER, command.model_copy(update={"task_id": "other"}))
    with pytest.raises(RunExistsError):
        await pas.start_run(ENGINEER, fake.start(repository, fake.formatting("other"), run_id="run-taken"))


async def test_artifacts_come_back_byte_for_byte(pas):
    ref = await pas.put_artifact(ENGINEER, b"\x00bytes\xff")
    assert await pas.get_artifact(ENGINEER, ref.sha256) == b"\x00bytes\xff"
    assert await pas.put_artifact(ENGINEER, b"\x00bytes\xff") == ref
    with pytest.raises(ScopeMissingError):
        await pas.put_artifact(READER, b"")


async def test_portfolio_lists_all_lanes_with_their_limits(pas):
    portfolio = await pas.get_portfolio(ENGINEER)
    assert portfolio.active_runs == 0
    assert {load.lane for load in portfolio.lanes} == set(Lane)
    assert all(load.max_parallel >= 1 and load.running == 0 for load in portfolio.lanes)
