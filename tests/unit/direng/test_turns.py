"""What a turn does with the user's words."""

import asyncio

import pygit2
import pytest

from services.direng.models import Handling, NewSession, TurnInput, TurnState
from services.direng.protocol import (
    NothingPendingError,
    NothingToAcceptError,
    SessionNotFoundError,
    TurnInProgressError,
)
from services.edits.errors import DetachedHeadError, EmptyRepositoryError, NotARepositoryError
from services.kernel.vocabulary import RunState
from services.pas.models import RunCommand
from tests.fakes.identity import ENGINEER


def kinds(events):
    return [event.kind.value for event in events]


def end_of(events):
    assert kinds(events).count("end") == 1
    assert events[-1].kind.value == "end"
    return events[-1].data["state"], events[-1].data["exit_code"]


def text_of(events, kind):
    return "\n".join(event.text for event in events if event.kind.value == kind)


async def test_question_is_answered_with_path_line_and_stamp(world):
    session = await world.open_session()
    events = await world.say(session, "where is load_config defined?")
    assert kinds(events) == ["answer", "end"]
    assert "shop.py:1" in events[0].text
    assert "index at 1a2b3c4, fresh; 2 uncommitted files read from disk" in events[0].text
    assert events[0].data["hits"][0]["path"] == "shop.py"
    assert end_of(events) == ("done", 0)


async def test_unknown_symbol_is_refused_with_near_names(world):
    session = await world.open_session()
    events = await world.say(session, "who calls load_confg")
    assert end_of(events) == ("refused", 1)
    assert "load_config" in text_of(events, "error")


async def test_ask_without_a_known_verb_is_a_labelled_search(world):
    session = await world.open_session()
    events = await world.say(session, "how does total work", purpose="ask")
    assert "no model is configured" in text_of(events, "answer")
    assert "a.py:1" in text_of(events, "answer")


async def test_words_that_no_recipe_fits_end_with_one_line_and_exit_one(world):
    session = await world.open_session()
    events = await world.say(session, "implement a cache")
    assert end_of(events) == ("refused", 1)
    assert "no recipe fits" in text_of(events, "error")
    assert not world.pas.runs


@pytest.mark.parametrize("words", ["yes", "No.", "B", "(a)"])
async def test_answer_that_nothing_waits_for_is_told_so(world, words):
    session = await world.open_session()
    events = await world.say(session, words)
    assert end_of(events) == ("refused", 1)
    assert text_of(events, "error").startswith("nothing waits for an answer; ")


async def test_small_work_runs_directly_and_offers_the_result(world):
    session = await world.open_session()
    events = await world.say(session, "rename load_config to read_config")
    assert "small: the index expects 2 files to change" in text_of(events, "decision")
    assert "no earlier run" in text_of(events, "decision")
    assert {"plan", "tick", "report", "offer"} <= set(kinds(events))
    assert end_of(events) == ("done", 0)
    report = next(event for event in events if event.kind.value == "report")
    assert report.data["left_alone"] == ["notes.txt:3: plain text: old"]
    assert report.data["badge"] == "verified"
    assert not world.plms.projects
    run = (await world.direng.get_session(ENGINEER, session)).run_id
    assert world.pas.starts[run].project_id == "direct"


async def test_medium_work_asks_who_does_it_and_the_answer_decides(world):
    session = await world.open_session()
    events = await world.say(session, "rename middle to center")
    assert end_of(events) == ("waiting", 1)
    assert "medium" in text_of(events, "question")
    events = await world.say(session, "a")
    assert end_of(events) == ("done", 0)
    assert not world.plms.projects


async def test_large_work_goes_through_all_fourteen_steps_under_one_trace(world):
    session = await world.open_session()
    asked = await world.say(session, "rename spread to scatter")
    assert end_of(asked) == ("waiting", 0)
    assert "large: the index expects 13 files" in text_of(asked, "decision")
    assert "no model used: 0 tokens, $0.00" in text_of(asked, "estimate")
    assert not world.pas.runs
    done = await world.say(session, is_approved=True)
    assert end_of(done) == ("done", 0)
    steps = [event.step for event in (*asked, *done) if event.step is not None]
    assert set(steps) == set(range(1, 15))
    assert steps.index(14) == len(steps) - 1
    assert {event.trace_id for event in (*asked, *done)} == {asked[0].trace_id}
    delegation = (await world.direng.get_session(ENGINEER, session)).delegation_id
    assert world.pex_parts.service is not None
    assert (await world.pex_parts.service.get_delegation(ENGINEER, delegation)).trace_id == asked[0].trace_id
    assert [event.seq for event in (*asked, *done)] == list(range(1, len(asked) + len(done) + 1))


async def test_no_runs_nothing(world):
    session = await world.open_session()
    await world.say(session, "rename spread to scatter")
    events = await world.say(session, "no")
    assert end_of(events) == ("refused", 1)
    assert not world.pas.runs
    with pytest.raises(NothingPendingError):
        await world.say(session, is_approved=True)


async def test_question_between_plan_and_approval_keeps_the_plan_waiting(world):
    session = await world.open_session()
    asked = await world.say(session, "rename spread to scatter")
    between = await world.say(session, "where is load_config")
    assert between[0].trace_id != asked[0].trace_id
    done = await world.say(session, "yes")
    assert end_of(done) == ("done", 0)
    assert done[0].trace_id == asked[0].trace_id


async def test_ambiguous_symbol_is_asked_and_a_letter_picks_it(world):
    session = await world.open_session()
    events = await world.say(session, "rename total to sum_up")
    assert end_of(events) == ("waiting", 1)
    assert events[-2].data["options"] == ["rename a.total to sum_up", "rename b.total to sum_up"]
    events = await world.say(session, "B")
    assert end_of(events) == ("done", 0)
    assert "b.total" in text_of(events, "plan")


async def test_bare_reply_completes_the_missing_name(world):
    session = await world.open_session()
    asked = await world.say(session, "rename load_config")
    assert "What should `load_config` be called?" in text_of(asked, "question")
    events = await world.say(session, "read_config")
    assert end_of(events) == ("done", 0)


async def test_delegate_flag_forces_pex_and_direct_flag_forces_direct(world):
    session = await world.open_session()
    events = await world.say(session, "rename load_config to read_config", handling=Handling.DELEGATE)
    assert end_of(events) == ("waiting", 0)
    events = await world.say(session, "rename spread to scatter", handling=Handling.DIRECT)
    assert end_of(events) == ("done", 0)


async def test_asking_for_an_estimate_delegates(world):
    session = await world.open_session()
    events = await world.say(session, "rename load_config to read_config with an estimate first")
    assert "you asked for an estimate" in text_of(events, "decision")
    assert end_of(events) == ("waiting", 0)


async def test_leaving_the_iterator_leaves_the_run_running(world):
    world.pas.is_auto = False
    session = await world.open_session()
    turn = TurnInput(text="rename load_config to read_config")
    stream = world.direng.take_turn(ENGINEER, session, turn)
    async for event in stream:
        if "started" in event.text:
            break
    await stream.aclose()
    with pytest.raises(TurnInProgressError):
        await world.say(session, "where is load_config")
    run_id = (await world.direng.get_session(ENGINEER, session)).run_id
    task = asyncio.create_task(world.pas.play(run_id))
    events = [event async for event in world.direng.watch_session(ENGINEER, session, 0)]
    await task
    assert end_of(events) == ("done", 0)


async def test_quiet_run_is_told_by_ticks(world):
    world.pas.is_auto = False
    session = await world.open_session()
    stream = world.direng.take_turn(ENGINEER, session, TurnInput(text="rename load_config to read_config"))
    async for event in stream:
        if event.kind.value == "tick":
            break
    assert event.data["total"] == 4
    assert "ETA" not in event.text  # a direct run has no estimate
    assert "$" not in event.text
    await stream.aclose()


async def test_paused_run_asks_and_goes_on(world):
    world.pas.is_auto = False
    session = await world.open_session()
    await world.say(session, "rename spread to scatter")
    task = asyncio.create_task(world.say(session, "yes"))
    run_id = await world.pas.await_run(lambda run: True)
    await world.pas.begin(run_id)
    await world.pas.pause_run(ENGINEER, RunCommand(run_id=run_id, reason="over its time"))
    paused = await task
    assert end_of(paused) == ("waiting", 0)
    assert "over its time" in text_of(paused, "question")
    going_on = asyncio.create_task(world.say(session, "A"))
    await world.pas.await_run(lambda run: run.state is not RunState.PAUSED)
    await world.pas.end(run_id)
    done = await going_on
    assert end_of(done) == ("done", 0)
    told = [event.text for event in (*paused, *done) if event.step == 9]
    assert told == [event.text for event in world.pas.events[run_id]]


async def test_restart_in_the_middle_of_a_delegation_tells_the_rest_once(world):
    world.pas.is_auto = False
    session = await world.open_session()
    await world.say(session, "rename spread to scatter")
    stream = world.direng.take_turn(ENGINEER, session, TurnInput(is_approved=True))
    async for event in stream:
        if event.step == 8:
            break
    await stream.aclose()
    run_id = next(iter(world.pas.runs))
    await world.pas.begin(run_id)
    await world.restart()
    task = asyncio.create_task(world.pas.end(run_id))
    events = [event async for event in world.direng.watch_session(ENGINEER, session, 0)]
    await task
    last = [event for event in events if event.turn_index == 1]
    assert end_of(last) == ("done", 0)
    assert [event.step for event in last].count(8) == 1
    assert [event.text for event in last if event.step == 9] == ["run started", "run completed"]


async def test_turn_that_was_cut_off_before_anything_ran_ends_with_a_reason(world):
    session = await world.open_session()
    store = world.direng._store
    await store.begin_turn(session, "rename load_config to read_config", "0" * 32)
    await world.restart()
    events = [event async for event in world.direng.watch_session(ENGINEER, session, 0)]
    assert end_of(events) == ("failed", 1)
    assert "say it again" in events[0].text


async def test_failed_run_ends_with_exit_one_and_no_offer(world):
    world.pas.final = RunState.FAILED
    session = await world.open_session()
    events = await world.say(session, "rename load_config to read_config")
    assert end_of(events) == ("failed", 1)
    assert "offer" not in kinds(events)


async def test_two_turns_at_once_are_refused(world):
    world.pas.is_auto = False
    session = await world.open_session()
    first = world.direng.take_turn(ENGINEER, session, TurnInput(text="rename load_config to read_config"))
    await anext(first)
    with pytest.raises(TurnInProgressError):
        await world.say(session, "where is load_config")
    await first.aclose()


async def test_unknown_session_and_missing_run_are_refused(world):
    with pytest.raises(SessionNotFoundError):
        await world.say("ses-none", "hello")
    session = await world.open_session()
    for ask in (world.direng.get_diff(ENGINEER, session), world.direng.undo(ENGINEER, session)):
        with pytest.raises(NothingToAcceptError):
            await ask


async def test_diff_of_the_newest_run_is_its_artifact(world):
    session = await world.open_session()
    await world.say(session, "rename load_config to read_config")
    assert (await world.direng.get_diff(ENGINEER, session)).patch.startswith("--- a/x")


async def test_session_refuses_what_is_no_usable_repository(world, tmp_path):
    (tmp_path / "plain").mkdir()
    pygit2.init_repository(str(tmp_path / "empty"))
    cases = {tmp_path / "plain": NotARepositoryError, tmp_path / "empty": EmptyRepositoryError}
    for folder, error in cases.items():
        with pytest.raises(error):
            await world.direng.open_session(ENGINEER, NewSession(repo=str(folder)))
    repository = pygit2.Repository(str(world.repo))
    repository.set_head(repository.head.target)
    with pytest.raises(DetachedHeadError):
        await world.open_session()


async def test_session_opens_from_a_folder_inside_the_repository(world):
    (world.repo / "deep").mkdir()
    session = await world.direng.open_session(ENGINEER, NewSession(repo=str(world.repo / "deep")))
    assert session.repo == str(world.repo)
    assert [s.session_id for s in await world.direng.list_sessions(ENGINEER, str(world.repo))] == [session.session_id]


async def test_turns_are_kept(world):
    session = await world.open_session()
    await world.say(session, "where is load_config")
    turns = (await world.direng.get_session(ENGINEER, session)).turns
    assert [(turn.turn_index, turn.state) for turn in turns] == [(0, TurnState.DONE)]
    assert turns[0].finished_at


async def test_doctor_looks_at_repository_and_index(world):
    checks = await world.direng.examine(ENGINEER, str(world.repo))
    assert {check.name for check in checks if check.is_good} == {"repository", "index", "model"}
    checks = await world.direng.examine(ENGINEER, "/nowhere/at/all")
    assert [check.is_good for check in checks if check.name != "model"] == [False, True]
