"""What DirEng promises, whichever way it is reached; PEX, its repository and its databases are real."""

import asyncio
from random import Random

import pytest

from services.direng.app import create_app, create_service
from services.direng.client import HttpDirEng
from services.direng.models import Check, NewSession, SetCap, TurnInput
from services.direng.protocol import (
    NothingPendingError,
    NothingToAcceptError,
    NothingToStopError,
    SessionNotFoundError,
)
from services.edits.errors import NotARepositoryError
from services.kernel.caller import ScopeMissingError
from services.kernel.clock import SystemClock
from services.kernel.db import sqlite_url
from services.kernel.errors import UnauthenticatedError
from services.kernel.http import HttpCall, closing
from services.pex.app import create_service as create_pex
from tests.fakes.callers import FixedCallers
from tests.fakes.identity import ENGINEER, NOBODY, STRANGER, KnownCallers
from tests.fakes.memory_pas import FakePas
from tests.fakes.plms import FakePlms
from tests.fakes.sockets import serve
from tests.fakes.speaking_broker import FREE, Reply, SpeakingBroker, make_model
from tests.fakes.vector_ops import FakeVectorOps, make_hit
from tests.unit.direng.conftest import make_repository


async def _is_well():
    return (Check(name="sandbox", is_good=True, detail="works"),)


@pytest.fixture
def broker():
    return SpeakingBroker.of(models=[make_model("local", price=FREE)])


@pytest.fixture(params=("embedded", "loopback"))
async def direng(request, tmp_path, broker):
    plms, pas = FakePlms(), FakePas()
    index = FakeVectorOps([make_hit("shop.py", 1, "shop.load_config")])
    shared = {"callers": FixedCallers(), "clock": SystemClock(), "random": Random(1), "vector_ops": index, "pas": pas}
    pex = create_pex(sqlite_url(tmp_path / "pex.db"), plms=plms, **shared)
    (tmp_path / "home").mkdir()
    parts = create_service(
        sqlite_url(tmp_path / "direng.db"),
        home=tmp_path / "home",
        pex=pex.service,
        broker=broker,
        checks=(_is_well,),
        **shared,
    )
    if request.param == "embedded":
        yield parts.service
    else:
        async with serve(create_app(parts, KnownCallers())) as base_url:
            call = HttpCall(base_url)
            async with closing(call):
                yield HttpDirEng(call)
    await parts.close()
    await pex.close()


@pytest.fixture
async def session(direng, tmp_path):
    repo = make_repository(tmp_path / "repo")
    return (await direng.open_session(ENGINEER, NewSession(repo=str(repo)))).session_id


async def say(direng, session, text="", **fields):
    async with asyncio.timeout(20):
        turn = TurnInput(text=text, **fields)
        return [event async for event in direng.take_turn(ENGINEER, session, turn)]


async def test_turn_is_told_live_and_again_from_any_event(direng, session):
    events = await say(direng, session, "rename load_config to read_config")
    assert events[-1].kind.value == "end"
    assert events[-1].data == {"state": "done", "exit_code": 0}
    again = [event async for event in direng.watch_session(ENGINEER, session)]
    assert again == events
    rest = [event async for event in direng.watch_session(ENGINEER, session, events[2].seq)]
    assert rest == events[3:]


async def test_delegation_takes_fourteen_steps_under_one_trace(direng, session):
    asked = await say(direng, session, "rename load_config to read_config", handling="delegate")
    done = await say(direng, session, is_approved=True)
    events = (*asked, *done)
    assert {event.step for event in events} - {None} == set(range(1, 15))
    assert len({event.trace_id for event in events}) == 1
    found = await direng.get_session(ENGINEER, session)
    assert found.run_id == next(event for event in done if event.kind.value == "report").data["run_id"]
    assert (await direng.get_diff(ENGINEER, session)).run_id == found.run_id


async def test_sessions_are_listed_and_found(direng, session):
    assert [found.session_id for found in await direng.list_sessions(ENGINEER)] == [session]
    assert await direng.list_sessions(ENGINEER, "/elsewhere") == ()
    with pytest.raises(SessionNotFoundError):
        await direng.get_session(ENGINEER, "ses-none")


async def test_errors_before_the_first_event_are_plain_answers(direng, session):
    with pytest.raises(NothingPendingError):
        await say(direng, session, is_approved=True)
    with pytest.raises(SessionNotFoundError):
        await say(direng, "ses-none", "where is load_config")
    with pytest.raises(NothingToAcceptError):
        await direng.get_diff(ENGINEER, session)
    with pytest.raises(NothingToAcceptError):
        await direng.undo(ENGINEER, session)


ANSWER = "It returns an empty dict (shop.py:2), which ghost.py:3 does not."


async def test_answer_comes_in_pieces_and_is_kept_whole(direng, session, broker):
    broker.replies.append(ANSWER)
    events = await say(direng, session, "how does load_config work?")
    heard = "".join(event.text for event in events if event.kind.value == "delta")
    assert heard == ANSWER.replace("ghost.py:3", "ghost.py:3 (not among what it was shown)")
    answer = next(event for event in events if event.kind.value == "answer")
    assert answer.text.startswith(heard)
    assert answer.data["context"]["prompt_sha256"]
    again = [event async for event in direng.watch_session(ENGINEER, session)]
    assert again == [event for event in events if event.kind.value != "delta"]


async def test_answer_is_stopped_and_its_beginning_kept(direng, session, broker):
    broker.replies.append(Reply(ANSWER, gate=asyncio.Event()))
    with pytest.raises(NothingToStopError):
        await direng.stop_answer(ENGINEER, session)
    async with asyncio.timeout(20):
        stream = direng.take_turn(ENGINEER, session, TurnInput(text="how does load_config work?"))
        events = [await anext(stream)]
        await direng.stop_answer(ENGINEER, session)
        events += [event async for event in stream]
    assert events[-1].data == {"state": "failed", "exit_code": 1}
    assert events[-2].text.startswith("It ")
    assert events[-2].data["is_stopped"]


async def test_cap_of_a_session_is_set_and_told(direng, session):
    assert (await direng.get_session(ENGINEER, session)).spend.cap_microusd == 5_000_000
    changed = await direng.set_cap(ENGINEER, session, SetCap(max_cost_usd="1.25"))
    assert changed.spend.cap_microusd == 1_250_000
    with pytest.raises(SessionNotFoundError):
        await direng.set_cap(ENGINEER, "ses-none", SetCap(max_cost_usd="1"))


async def test_folder_that_is_no_repository_is_refused(direng, tmp_path):
    with pytest.raises(NotARepositoryError):
        await direng.open_session(ENGINEER, NewSession(repo=str(tmp_path)))


async def test_grants_and_checks_are_told(direng, session):
    assert {grant.risk for grant in await direng.list_grants(ENGINEER)} == {"low", "high", "critical"}
    checks = await direng.examine(ENGINEER)
    assert [(check.name, check.is_good) for check in checks] == [("sandbox", True), ("model local", True)]


async def test_caller_without_scope_or_identity_is_refused(direng, tmp_path):
    with pytest.raises(ScopeMissingError):
        await direng.list_sessions(NOBODY)
    if isinstance(direng, HttpDirEng):
        with pytest.raises(UnauthenticatedError):
            await direng.list_sessions(STRANGER)
