"""An agent card cut off at any point of its journal: the next start goes on, pays nothing twice, ends the same."""

import asyncio
from contextlib import suppress

import pytest

from services.broker.models import SetBudget
from services.broker.protocol import BudgetExceededError
from services.kernel.vocabulary import BreachPolicy, RunState, TaskState
from services.pas.journal import SqlStepJournal
from services.pas.models import RunCommand
from services.pas.protocol import NoNextModelError
from services.pas.schema import STEPS
from tests.fakes.agent import PlainTools, agent_bench, agent_card
from tests.fakes.identity import ENGINEER
from tests.fakes.scripted_broker import Reply, ScriptedBroker, call, make_model, run_budget

SCRIPT = (
    call("fs_read", path="shop/price.py"),
    Reply(
        text="Two files at once.",
        calls=(
            ("fs_write", {"path": "shop/price.py", "text": "def total(prices):\n    return sum(prices)\n"}),
            ("fs_write", {"path": "shop/new.py", "text": "NEW = 1\n"}),
        ),
    ),
    call("fs_remove", path="README.md"),
    call("finish", summary="first try"),
    call("fs_write", path="README.md", text="# Shop\n\nBack.\n"),
    call("finish", summary="second try"),
)
POINTS = ("agent_model_called", "agent_tool_ran", "agent_checked", "agent_looked", "agent_step_recorded")


class CutOffError(BaseException):
    """What kill -9 looks like from inside: nothing of ours handles it."""


class CutOffAt:
    """A fault point that cuts off at its n-th passing, once."""

    def __init__(self, name, count):
        self.name, self.left = name, count

    async def hit(self, name):
        if name == self.name:
            self.left -= 1
            if self.left == 0:
                raise CutOffError


async def _run_undisturbed(folder):
    broker = ScriptedBroker(SCRIPT)
    async with agent_bench(folder, broker) as bench:
        await bench.work()
        records = await bench.parts.store.read_cards("run-1")
        return records[0].tree_out, list(broker.paid), await bench.steps(), await bench.events()


@pytest.mark.parametrize("point", POINTS)
async def test_card_cut_off_at_each_passing_of_a_point_ends_as_if_it_had_not_been(tmp_path, point):
    tree, paid, steps, events = await _run_undisturbed(tmp_path / "undisturbed")
    cuts = 0
    while True:
        cuts += 1
        folder = tmp_path / str(cuts)
        folder.mkdir()
        broker, was_cut = ScriptedBroker(SCRIPT), False
        async with agent_bench(folder, broker, faults=CutOffAt(point, cuts)) as bench:
            await bench.begin()
            try:
                await bench.attempt()
            except CutOffError:
                was_cut = True
        if not was_cut:
            break
        async with agent_bench(folder, broker) as bench:
            assert await bench.attempt() is TaskState.SUCCEEDED
            records = await bench.parts.store.read_cards("run-1")
            assert records[0].tree_out == tree
            assert broker.paid == paid, "nothing was paid twice"
            assert await bench.steps() == steps, "no step was recorded twice"
            receipts = await bench.parts.service.list_receipts(ENGINEER, "run-1")
            assert [receipt.step for receipt in receipts] == [*range(1, len(paid) + 1), 0]
            lines = [text for kind, text in await bench.events() if kind == "agent"]
            assert lines == [text for kind, text in events if kind == "agent"]
    assert cuts > 2, "the point was passed several times"


async def test_card_cut_off_at_every_start_still_ends(tmp_path):
    broker = ScriptedBroker(SCRIPT)
    for start in range(60):
        point = ("agent_step_recorded", "agent_model_called", "agent_tool_ran")[start % 3]
        async with agent_bench(tmp_path, broker, faults=CutOffAt(point, 1)) as bench:
            if start == 0:
                await bench.begin()
            with suppress(CutOffError):
                if await bench.attempt() is TaskState.SUCCEEDED:
                    break
    assert start > 5
    assert len(broker.paid) == len(SCRIPT)


async def test_recorded_tool_calls_are_not_carried_out_again(tmp_path):
    broker, first, second = ScriptedBroker(SCRIPT), PlainTools(), PlainTools()
    async with agent_bench(tmp_path, broker, first, CutOffAt("agent_model_called", 4)) as bench:
        await bench.begin()
        with suppress(CutOffError):
            await bench.attempt()
    async with agent_bench(tmp_path, broker, second) as bench:
        await bench.attempt()
    assert first.ran == ["run_test", "fs_read", "fs_write", "fs_write", "fs_remove"]
    assert second.ran == ["finish", "run_test", "fs_write", "finish", "run_test"]


async def test_attempt_that_asks_for_something_else_than_recorded_fails_and_says_where(tmp_path):
    broker = ScriptedBroker(SCRIPT)
    async with agent_bench(tmp_path, broker, faults=CutOffAt("agent_tool_ran", 3)) as bench:
        await bench.begin()
        with suppress(CutOffError):
            await bench.attempt()
        with bench.parts.engine.begin() as connection:
            connection.execute(STEPS.update().where(STEPS.c.key == "model:2").values(request_sha256="0" * 64))
    async with agent_bench(tmp_path, broker) as bench:
        assert await bench.attempt() is TaskState.FAILED
        card = (await bench.view()).cards[0]
        assert card.reason.startswith("diverged at step 5 (model:2)")


async def test_long_result_is_kept_as_an_artifact_and_read_back(tmp_path):
    big = "x" * 40_000
    script = (
        Reply(text=big, calls=(("fs_read", {"path": "shop/price.py"}),)),
        *SCRIPT[1:2],
        call("finish", summary="done"),
    )
    broker = ScriptedBroker(script)
    async with agent_bench(tmp_path, broker, faults=CutOffAt("agent_model_called", 2)) as bench:
        await bench.begin()
        with suppress(CutOffError):
            await bench.attempt()
        steps = await SqlStepJournal(bench.parts.engine).read_steps("run-1", "fix", 1)
        assert steps[3].result.startswith("artifact:")
    async with agent_bench(tmp_path, broker) as bench:
        assert await bench.attempt() is TaskState.SUCCEEDED
        assert "artifacts/fix.1/step-3.json" in {artifact.path for artifact in (await bench.view()).artifacts}


def _resume(**options):
    return RunCommand(run_id="run-1", reason="go on", **options)


async def test_run_that_could_pass_its_cap_is_paused_and_goes_on_with_a_higher_one(tmp_path):
    broker = ScriptedBroker(SCRIPT)
    async with agent_bench(tmp_path, broker) as bench:
        await bench.begin(max_cost_microusd=2500)
        attempt = asyncio.create_task(bench.attempt())
        await bench.await_state(RunState.PAUSED)
        paused = await bench.view()
        assert "run:run-1 has $0.0005 left" in paused.reason
        assert len(broker.paid) == 2
        await bench.parts.service.resume_run(ENGINEER, _resume(max_cost_microusd=50_000))
        assert await attempt is TaskState.SUCCEEDED
        view = await bench.view()
        assert (view.cap_microusd, view.cost_microusd) == (50_000, 6000)
        ids = [request.call_id for request in broker.requests]
        assert ids[2] == ids[3], "the refused call is made under the same id"
        kinds = [kind for kind, _ in await bench.events()]
        assert kinds.count("budget") == 2


async def test_resume_without_more_money_pauses_again(tmp_path):
    broker = ScriptedBroker(SCRIPT)
    async with agent_bench(tmp_path, broker) as bench:
        await bench.begin(max_cost_microusd=500)
        attempt = asyncio.create_task(bench.attempt())
        await bench.await_state(RunState.PAUSED)
        await bench.parts.service.resume_run(ENGINEER, _resume())
        await bench.await_state(RunState.PAUSED)
        await bench.parts.service.terminate_run(ENGINEER, _resume())
        assert await attempt is TaskState.CANCELLED
        assert broker.paid == []


async def test_downshift_goes_on_with_the_next_model_under_a_new_call_id(tmp_path):
    models = (make_model("first"), make_model("second", context_tokens=32_000))
    broker = ScriptedBroker(SCRIPT, models=models)
    async with agent_bench(tmp_path, broker) as bench:
        await bench.begin(max_cost_microusd=2000)
        attempt = asyncio.create_task(bench.attempt())
        await bench.await_state(RunState.PAUSED)
        await bench.parts.service.resume_run(ENGINEER, _resume(is_downshift=True, max_cost_microusd=20_000))
        assert await attempt is TaskState.SUCCEEDED
        receipts = await bench.parts.service.list_receipts(ENGINEER, "run-1")
        assert [receipt.model for receipt in receipts if receipt.step] == ["model-first"] * 2 + ["model-second"] * 4
        assert ("budget", "goes on with second instead of first") in await bench.events()
        ids = [request.call_id for request in broker.requests]
        assert len(set(ids)) == len(ids)


async def test_paused_card_is_still_paused_after_a_restart_and_pays_nothing_twice(tmp_path):
    broker = ScriptedBroker(SCRIPT)
    async with agent_bench(tmp_path, broker) as bench:
        await bench.begin(max_cost_microusd=2500)
        attempt = asyncio.create_task(bench.attempt())
        await bench.await_state(RunState.PAUSED)
        attempt.cancel()
        await asyncio.gather(attempt, return_exceptions=True)
    async with agent_bench(tmp_path, broker) as bench:
        attempt = asyncio.create_task(bench.attempt())
        await asyncio.sleep(0.1)
        assert not attempt.done()
        assert len(broker.paid) == 2
        await bench.parts.service.resume_run(ENGINEER, _resume(max_cost_microusd=50_000))
        assert await attempt is TaskState.SUCCEEDED
        assert len(broker.paid) == len(set(broker.paid)) == len(SCRIPT)


async def test_run_of_policy_kill_ends_at_its_cap(tmp_path):
    async with agent_bench(tmp_path, ScriptedBroker(SCRIPT)) as bench:
        await bench.begin(max_cost_microusd=2500, breach_policy=BreachPolicy.KILL)
        assert await bench.attempt() is TaskState.CANCELLED
        view = await bench.view()
        assert view.cost_microusd == 2000
        assert "artifacts/partial/fix.1.patch" in {artifact.path for artifact in view.artifacts}


async def test_card_cap_that_stood_in_the_way_is_raised_with_the_run_s(tmp_path):
    broker = ScriptedBroker(SCRIPT)
    async with agent_bench(tmp_path, broker) as bench:
        await bench.begin(agent_card(max_cost_microusd=1500))
        attempt = asyncio.create_task(bench.attempt())
        await bench.await_state(RunState.PAUSED)
        assert "card:run-1/fix" in (await bench.view()).reason
        await bench.parts.service.resume_run(ENGINEER, _resume(max_cost_microusd=1_000_000))
        assert await attempt is TaskState.SUCCEEDED


async def test_pause_acts_between_two_steps_and_frees_the_lane(tmp_path):
    gate = asyncio.Event()
    broker, tools = ScriptedBroker(SCRIPT), PlainTools(gate=gate)
    async with agent_bench(tmp_path, broker, tools) as bench:
        await bench.begin()
        attempt = asyncio.create_task(bench.attempt())
        await tools.is_reading.wait()
        await bench.parts.service.pause_run(ENGINEER, _resume())
        gate.set()
        await asyncio.sleep(0.2)
        assert len(broker.paid) == 1, "no call was made while the run was paused"
        others = [agent_card("one"), agent_card("two")]
        await bench.begin(*others, run_id="run-2")
        results = await asyncio.gather(*(bench.attempt(card.task_id, run_id="run-2") for card in others))
        assert results == [TaskState.SUCCEEDED] * 2, "both slots of the lane were free"
        await bench.parts.service.resume_run(ENGINEER, _resume())
        assert await attempt is TaskState.SUCCEEDED
        card = (await bench.view()).cards[0]
        assert card.time_s < 5


async def test_cancelled_card_gives_up_a_model_call_under_way(tmp_path):
    hanging = asyncio.Event()

    class Hanging(ScriptedBroker):
        async def complete(self, caller, request):
            hanging.set()
            await asyncio.Event().wait()

    async with agent_bench(tmp_path, Hanging(SCRIPT)) as bench:
        await bench.begin()
        attempt = asyncio.create_task(bench.attempt())
        await hanging.wait()
        await bench.parts.service.cancel_card(ENGINEER, _resume(task_id="fix"))
        async with asyncio.timeout(10):
            assert await attempt is TaskState.CANCELLED


async def test_caps_are_set_before_the_first_card_and_closed_at_the_end(tmp_path):
    broker = ScriptedBroker(SCRIPT)
    async with agent_bench(tmp_path, broker) as bench:
        await bench.begin(agent_card(max_cost_microusd=70_000), max_project_cost_microusd=5_000_000)
        caps = {key: budget.cap_microusd for key, budget in broker.budgets.items()}
        assert caps == {"run:run-1": 1_000_000, "project:p-1": 5_000_000, "card:run-1/fix": 70_000}
        await bench.attempt()
        assert (await broker.get_budget(ENGINEER, run_budget("run-1"))).spent_microusd == 6000


async def test_cap_set_again_by_a_repeated_first_step_does_not_undo_a_raise(tmp_path):
    broker = ScriptedBroker(SCRIPT)
    async with agent_bench(tmp_path, broker) as bench:
        await bench.begin()
        raised = SetBudget(scope=run_budget("run-1"), cap_microusd=9_000_000, rationale="raised")
        await broker.set_budget(ENGINEER, raised)
        await bench.begin()
        assert broker.budgets["run:run-1"].cap_microusd == 9_000_000


async def test_downshift_without_a_further_model_is_refused_and_changes_nothing(tmp_path):
    broker = ScriptedBroker(SCRIPT, models=(make_model("only"),))
    async with agent_bench(tmp_path, broker) as bench:
        await bench.begin(max_cost_microusd=500)
        attempt = asyncio.create_task(bench.attempt())
        await bench.await_state(RunState.PAUSED)
        with pytest.raises(NoNextModelError):
            await bench.parts.service.resume_run(ENGINEER, _resume(is_downshift=True, max_cost_microusd=9000))
        assert (await bench.view()).state is RunState.PAUSED
        assert broker.budgets["run:run-1"].cap_microusd == 500
        attempt.cancel()
        await asyncio.gather(attempt, return_exceptions=True)


async def test_card_that_works_over_the_run_s_time_is_paused_once(tmp_path):
    broker = ScriptedBroker(SCRIPT)
    async with agent_bench(tmp_path, broker) as bench:
        await bench.begin(max_time_s=0.001)
        attempt = asyncio.create_task(bench.attempt())
        await bench.await_state(RunState.PAUSED)
        assert "the limit was 0 s" in (await bench.view()).reason
        await bench.parts.service.resume_run(ENGINEER, _resume())
        assert await attempt is TaskState.SUCCEEDED


async def test_repeated_resume_passes_over_one_model_only_and_may_raise_the_cap_of_a_going_run(tmp_path):
    models = tuple(make_model(alias) for alias in ("first", "second", "third"))
    broker = ScriptedBroker(SCRIPT, models=models)
    gate = asyncio.Event()
    async with agent_bench(tmp_path, broker, PlainTools(gate=gate)) as bench:
        await bench.begin(max_cost_microusd=500)
        attempt = asyncio.create_task(bench.attempt())
        await bench.await_state(RunState.PAUSED)
        command = _resume(is_downshift=True, max_cost_microusd=50_000)
        await bench.parts.service.resume_run(ENGINEER, command)
        view = await bench.parts.service.resume_run(ENGINEER, command.model_copy(update={"max_cost_microusd": 60_000}))
        assert view.cap_microusd == 60_000
        budget = broker.budgets["run:run-1"]
        assert (budget.chain_offset, budget.cap_microusd) == (1, 60_000)
        gate.set()
        assert await attempt is TaskState.SUCCEEDED


async def test_answer_that_comes_before_the_card_looks_at_the_gate_is_heard(tmp_path):
    broker = ScriptedBroker(SCRIPT)
    async with agent_bench(tmp_path, broker) as bench:
        store = bench.parts.store
        change_run = store.change_run

        async def answer_at_once(change):
            is_changed = await change_run(change)
            if change.state is RunState.PAUSED:
                await bench.parts.service.resume_run(ENGINEER, _resume(max_cost_microusd=50_000))
            return is_changed

        store.change_run = answer_at_once
        await bench.begin(max_cost_microusd=2500)
        assert await bench.attempt() is TaskState.SUCCEEDED
        assert (await bench.view()).cap_microusd == 50_000


async def test_refusal_from_before_a_resume_does_not_pause_the_run_again(tmp_path):
    broker = ScriptedBroker(SCRIPT)
    async with agent_bench(tmp_path, broker) as bench:
        complete, service = broker.complete, bench.parts.service

        async def refuse_late(caller, request):
            try:
                return await complete(caller, request)
            except BudgetExceededError:
                await asyncio.sleep(0.002)  # times of events are milliseconds
                await service.pause_run(ENGINEER, _resume())
                await service.resume_run(ENGINEER, _resume(max_cost_microusd=50_000))
                raise

        broker.complete = refuse_late
        await bench.begin(max_cost_microusd=2500)
        async with asyncio.timeout(20):
            assert await bench.attempt() is TaskState.SUCCEEDED
        journal = await bench.parts.store.read_journal("run-1")
        assert [event.text for event in journal.events if event.state == "paused"] == ["run paused: go on"]
