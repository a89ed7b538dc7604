"""Work that a model does: the word to pay, caps, what is told, pauses over the budget and their answers."""

import asyncio

import pytest

from services.direng.core.pausing import Pause, ask_about, measure_directly, read_steering, suggest_raise
from services.direng.core.ports import Following
from services.direng.models import Handling, SetCap, TurnInput, TurnState
from services.kernel.ids import TaskId
from services.kernel.vocabulary import Lane, RunState
from services.pas.models import EventKind, PlannedTask, RunCommand, TaskTree
from services.pex.models import BudgetState
from tests.fakes.identity import ENGINEER
from tests.fakes.speaking_broker import SpeakingBroker, make_model
from tests.unit.direng.test_telling import make_run
from tests.unit.direng.test_turns import end_of, kinds, text_of

INTENT = "make load_config read a file"
FOLLOWING = Following(kind="run", id="run-1")


@pytest.fixture
def modelled(world):
    """A world with a priced model on every lane, and another one behind it in the chain."""
    world.pas.connect("big")
    world.broker.models = list(SpeakingBroker.of(models=[make_model("big"), make_model("small")]).models)
    return world


async def start_directly(world, session, **fields):
    asked = await world.say(session, INTENT, handling=Handling.DIRECT, **fields)
    assert end_of(asked) == ("waiting", 0)
    return asked, await world.say(session, "yes")


async def test_model_work_shows_its_plan_and_asks_before_anything_is_paid(modelled):
    session = await modelled.open_session()
    asked, done = await start_directly(modelled, session)
    assert kinds(asked)[-3:] == ["plan", "approval_required", "end"]
    assert "this uses the model big (big-1, $2.00 in and $10.00 out per million tokens; up to $5.00" in asked[-2].text
    assert "plan" not in kinds(done), "it was shown before"
    assert end_of(done) == ("done", 0)
    (start,) = modelled.pas.starts.values()
    assert start.session_id == session
    assert start.max_cost_microusd == 5_000_000
    assert start.passport_basis.provider_matrix == {"Code-Impl": "openai/big-1"}
    assert start.passport_basis.price_table_version == "test"


async def test_second_piece_of_work_is_not_asked_about_again(modelled):
    session = await modelled.open_session()
    await start_directly(modelled, session)
    events = await modelled.say(session, "make load_config return a list", handling=Handling.DIRECT)
    assert "approval_required" not in kinds(events)


async def test_request_for_an_estimate_is_still_one_after_the_word_to_pay(modelled):
    modelled.pas.tree = TREE
    session = await modelled.open_session()
    asked = await modelled.say(session, f"{INTENT} with an estimate first")
    assert kinds(asked)[-2:] == ["approval_required", "end"]
    assert "plan" not in kinds(asked), "the plan that counts is made by PEX"
    events = await modelled.say(session, "yes")
    assert "you asked for an estimate" in text_of(events, "decision")
    assert "approve this plan" in text_of(events, "approval_required")


async def test_no_to_paying_runs_nothing(modelled):
    session = await modelled.open_session()
    await modelled.say(session, INTENT, handling=Handling.DIRECT)
    events = await modelled.say(session, "no")
    assert end_of(events) == ("refused", 1)
    assert not modelled.pas.runs


async def test_recipe_work_is_never_asked_about(modelled):
    session = await modelled.open_session()
    events = await modelled.say(session, "rename load_config to read_config")
    assert end_of(events) == ("done", 0)
    (start,) = modelled.pas.starts.values()
    assert (start.session_id, start.max_cost_microusd) == (None, 0)


async def test_run_gets_what_is_left_of_the_session(modelled):
    session = await modelled.open_session()
    await start_directly(modelled, session, max_cost_usd="0.75")
    (start,) = modelled.pas.starts.values()
    assert start.max_cost_microusd == 750_000


async def test_spent_session_starts_nothing_and_says_how_to_go_on(modelled):
    session = await modelled.open_session()
    await modelled.say(session, INTENT, handling=Handling.DIRECT, max_cost_usd="0")
    events = await modelled.say(session, "yes")
    assert end_of(events) == ("failed", 3)
    assert "raise it with /budget USD or --max-cost" in text_of(events, "error")
    assert not modelled.pas.runs


async def test_steps_of_an_agent_are_told_one_line_each_with_spend(modelled):
    modelled.pas.is_auto = False
    session = await modelled.open_session()
    await modelled.say(session, INTENT, handling=Handling.DIRECT)
    task = asyncio.create_task(modelled.say(session, "yes"))
    run_id = await modelled.pas.await_run(lambda run: True)
    await modelled.pas.begin(run_id)
    await modelled.pas._put(run_id, EventKind.AGENT, "agent 1: fs.search load_config: 3 places")
    await modelled.pas.spend(run_id, TaskId("agent"), 123_000)
    await modelled.pas.end(run_id)
    events = await task
    assert text_of(events, "step") == "agent 1: fs.search load_config: 3 places"
    assert "$0.12 of $5.00" in text_of(events, "tick")
    report = next(event for event in events if event.kind.value == "report")
    assert "spent $0.12 of $5.00" in report.text
    assert "model big" in report.text
    assert report.data["models"] == ["big"]
    assert report.data["cost_usd"] == 0.123


async def pause_over_budget(world, session):
    """Start a direct run and have it pause over its cap; return the run and what was told."""
    world.pas.is_auto = False
    await world.say(session, INTENT, handling=Handling.DIRECT, max_cost_usd="1.00")
    task = asyncio.create_task(world.say(session, "yes"))
    run_id = await world.pas.await_run(lambda run: True)
    await world.pas.begin(run_id)
    await world.pas.spend(run_id, TaskId("agent"), 900_000, tokens=5000)
    reason = "the next call could cost $0.2000 and the cap of the run is $1.00"
    await world.pas.pause_run(ENGINEER, RunCommand(run_id=run_id, reason=reason))
    return run_id, await task


async def test_run_paused_over_its_budget_says_why_and_what_can_be_done(modelled):
    session = await modelled.open_session()
    _, events = await pause_over_budget(modelled, session)
    assert end_of(events) == ("waiting", 3)
    text = text_of(events, "question")
    assert "is paused: the next call could cost $0.2000" in text
    assert "spent $0.90 of $1.00" in text
    assert "Code-Impl: $0.90 spent" in text
    assert "agent fast-1: $0.90, 5,000 in, 5,000 out" in text
    assert "A) go on with $0.50 more" in text
    assert "B) go on with the next model of the chain, small" in text
    assert "C) end it now" in text
    question = next(event for event in events if event.kind.value == "question")
    assert question.data["options"] == ["raise", "downshift", "terminate"]
    assert question.data["budget"]["spent_microusd"] == 900_000


@pytest.mark.parametrize(
    ("words", "cap", "is_downshift"),
    [
        ("A", 1_500_000, False),
        ("raise", 1_500_000, False),
        ("raise 2.50", 3_500_000, False),
        ("resume up to $4", 4_000_000, False),
        ("B", None, True),
        ("downshift up to 3", 3_000_000, True),
    ],
)
async def test_answer_to_a_pause_reaches_the_run(modelled, words, cap, is_downshift):
    session = await modelled.open_session()
    run_id, _ = await pause_over_budget(modelled, session)
    going_on = asyncio.create_task(modelled.say(session, words))
    await modelled.pas.await_run(lambda run: run.state is not RunState.PAUSED)
    await modelled.pas.end(run_id)
    assert end_of(await going_on) == ("done", 0)
    (command,) = modelled.pas.commands
    assert (command.max_cost_microusd, command.is_downshift) == (cap, is_downshift)
    if cap is not None:
        spend = (await modelled.direng.get_session(ENGINEER, session)).spend
        assert spend.cap_microusd >= cap - 900_000, "the session holds what the run may still spend"


async def test_terminate_ends_a_paused_run_and_keeps_what_there_is(modelled):
    session = await modelled.open_session()
    run_id, _ = await pause_over_budget(modelled, session)
    patch = await modelled.pas.keep("artifacts/partial/agent.1.patch", b"--- a/shop.py\n+++ b/shop.py\n")
    modelled.pas.runs[run_id] = modelled.pas.runs[run_id].model_copy(update={"artifacts": (patch,)})
    events = await modelled.say(session, "C")
    assert end_of(events) == ("failed", 1)
    assert modelled.pas.runs[run_id].state is RunState.TERMINATED
    assert f"kept, not tested: artifacts/partial/agent.1.patch (see it with direng diff {run_id})" in text_of(
        events, "report"
    )
    assert (await modelled.direng.get_diff(ENGINEER, session)).patch.startswith("--- a/shop.py")


async def test_question_in_between_keeps_the_paused_run_waiting(modelled):
    session = await modelled.open_session()
    await pause_over_budget(modelled, session)
    assert end_of(await modelled.say(session, "where is load_config")) == ("done", 0)
    assert end_of(await modelled.say(session, "C")) == ("failed", 1)


async def test_paused_run_can_be_resumed_after_its_question_was_forgotten(modelled):
    session = await modelled.open_session()
    run_id, _ = await pause_over_budget(modelled, session)
    await modelled.direng._store.end_turn(
        await modelled.direng._store.begin_turn(session, "x", "0" * 32), TurnState.DONE, (), None
    )
    going_on = asyncio.create_task(modelled.say(session, "resume up to 2", purpose="resume"))
    await modelled.pas.await_run(lambda run: run.state is not RunState.PAUSED)
    await modelled.pas.end(run_id)
    assert end_of(await going_on) == ("done", 0)
    assert modelled.pas.commands[0].max_cost_microusd == 2_000_000
    events = await modelled.say(session, "resume", purpose="resume")
    assert "not paused" in text_of(events, "error")
    events = await modelled.say(session, "make me a sandwich", purpose="resume")
    assert end_of(events) == ("refused", 2)


async def delegate(world, session, **fields):
    asked = await world.say(session, INTENT, handling=Handling.DELEGATE, **fields)
    if "is_payment" in asked[-2].data:
        asked = await world.say(session, "yes")
    return asked


TREE = TaskTree(
    summary="read a file",
    tasks=(PlannedTask(task_id=TaskId("read"), lane=Lane.CODE_IMPL, title="Read", goal="Read a file."),),
)


async def test_delegation_that_a_model_plans_asks_with_the_quantiles_of_its_cost(modelled):
    modelled.pas.tree = TREE
    session = await modelled.open_session()
    events = await delegate(modelled, session, max_cost_usd="9")
    assert end_of(events) == ("waiting", 0), text_of(events, "error")
    assert "read (Code-Impl): Read" in text_of(events, "plan")
    estimate = next(event for event in events if event.kind.value == "estimate")
    for quantile in ("(P50)", "(P80)", "(P95)"):
        assert quantile in estimate.text.partition("cost ")[2]
    assert estimate.data["cost_p50_usd"] <= estimate.data["cost_p80_usd"] <= estimate.data["cost_usd"]
    assert " and $9.00? (yes/no)" in text_of(events, "approval_required")
    done = await modelled.say(session, "yes")
    assert end_of(done) == ("done", 0)
    steps = [event.step for event in (*events, *done) if event.step is not None]
    assert {3, 4, 5, 6, 7, 8, 12, 13, 14} <= set(steps)
    run = next(run for run in modelled.pas.starts.values() if run.project_id != "direct" and "plan" not in run.run_id)
    assert run.session_id == session


async def test_approval_of_more_than_the_session_holds_raises_its_cap_and_says_so(modelled):
    modelled.pas.tree = TREE
    session = await modelled.open_session()
    events = await delegate(modelled, session)
    p95 = next(event for event in events if event.kind.value == "estimate").data["cost_usd"]
    await modelled.direng.set_cap(ENGINEER, session, SetCap(max_cost_usd="0.01"))
    done = await modelled.say(session, "yes")
    assert "the session's cap is now $" in text_of(done, "decision")
    assert (await modelled.direng.get_session(ENGINEER, session)).spend.cap_microusd == round(p95 * 1e6)


async def test_planning_that_a_stopped_server_left_goes_on_to_its_question(modelled):
    modelled.pas.is_auto = False
    modelled.pas.tree = TREE
    session = await modelled.open_session()
    await modelled.say(session, INTENT, handling=Handling.DELEGATE)
    stream = modelled.direng.take_turn(ENGINEER, session, TurnInput(is_approved=True))
    async for event in stream:
        if event.kind.value == "step":
            assert "plans" in event.text
            break
    await stream.aclose()
    run_id = await modelled.pas.await_run(lambda run: True)
    await modelled.restart()
    task = asyncio.create_task(modelled.pas.play(run_id))
    events = [event async for event in modelled.direng.watch_session(ENGINEER, session, 0)]
    await task
    last = [event for event in events if event.turn_index == 1]
    assert end_of(last) == ("waiting", 0)
    assert "approve this plan" in text_of(last, "approval_required")
    assert "read (Code-Impl): Read" in text_of(last, "plan")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("resume", ("resume", None, None)),
        ("Go on.", ("resume", None, None)),
        ("raise $2.5", ("raise", 2_500_000, None)),
        ("resume with 1 more", ("raise", 1_000_000, None)),
        ("resume up to 10", ("resume", None, 10_000_000)),
        ("downshift", ("downshift", None, None)),
        ("downshift up to 0.05", ("downshift", None, 50_000)),
        ("stop", ("terminate", None, None)),
    ],
)
def test_words_to_a_paused_run_are_read(text, expected):
    found = read_steering(text)
    assert (found.word, found.more_microusd, found.cap_microusd) == expected


@pytest.mark.parametrize("text", ["", "resume the rename of foo", "raise the roof", "rename a to b", "up to 3"])
def test_other_words_do_not_steer(text):
    assert read_steering(text) is None


def make_state(**fields):
    known = {"spent_microusd": 0, "cap_microusd": 1_000_000, "projected_microusd": 0}
    return BudgetState(**(known | fields), projected_overrun_pct=None, t_minus_depletion_min=None)


@pytest.mark.parametrize(
    ("cap", "projected", "more"),
    [(1_000_000, 900_000, 500_000), (1_000_000, 3_000_000, 2_400_000), (1, 0, 10_000), (333_333, 0, 170_000)],
)
def test_suggested_raise_covers_the_projection_in_whole_cents(cap, projected, more):
    assert suggest_raise(make_state(cap_microusd=cap, projected_microusd=projected)) == more


def test_pause_for_another_reason_offers_no_money():
    run = make_run(state=RunState.PAUSED, reason="over its time", cap_microusd=1_000_000)
    event, pending, exit_code = ask_about(Pause(run, measure_directly(run, ())), "0" * 32, FOLLOWING)
    assert (pending.options, exit_code) == (("resume", "terminate"), 0)
    assert "$" not in event.text


def test_pause_without_another_model_offers_no_downshift():
    run = make_run(state=RunState.PAUSED, reason="the cap of the run", cap_microusd=1_000_000)
    _, pending, exit_code = ask_about(Pause(run, make_state()), "0" * 32, FOLLOWING)
    assert (pending.options, exit_code) == (("raise", "terminate"), 3)
    assert pending.raise_microusd == 500_000


def test_pause_tells_the_reason_without_its_id_again_and_without_what_only_a_caller_can_do():
    reason = (
        "the cap of run:run-1 is $0.03 and $0.03 of it is left, but one call to big could cost up to $0.084762; "
        "nothing was called: raise it, shorten the prompt or lower max_tokens"
    )
    run = make_run(state=RunState.PAUSED, reason=reason, cap_microusd=30_000)
    asked, _, _ = ask_about(Pause(run, measure_directly(run, ())), "0" * 32, Following(kind="run", id="run-1"))
    head = asked.text.splitlines()[0]
    assert head == (
        "run run-1 is paused: its cap is $0.03 and $0.03 of it is left, "
        "but one call to big could cost up to $0.084762; nothing was called"
    )
    assert asked.data["raise_usd"] == 0.17
