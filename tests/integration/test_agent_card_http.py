"""Agent cards over the wire of PAS: models by lane, refusals by class, a pause for money and its answer."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from services.kernel.http import HttpCall, closing
from services.kernel.vocabulary import Lane, RunState
from services.pas import workflows
from services.pas.app import create_app
from services.pas.client import HttpPas
from services.pas.models import RunCommand
from services.pas.protocol import ModelMissingError
from tests.fakes.agent import agent_bench, agent_start
from tests.fakes.identity import ENGINEER, KnownCallers
from tests.fakes.scripted_broker import ScriptedBroker, call
from tests.fakes.sockets import serve

SCRIPT = (
    call("fs_write", path="shop/price.py", text="def total(prices):\n    return sum(prices)\n"),
    call("finish", summary="done"),
)


@asynccontextmanager
async def _client(bench):
    async with serve(create_app(bench.parts, KnownCallers())) as url:
        call_ = HttpCall(url)
        async with closing(call_):
            yield HttpPas(call_)


async def test_models_and_refusals_come_over_the_wire(tmp_path):
    broker = ScriptedBroker(models=())
    async with agent_bench(tmp_path, broker) as bench, _client(bench) as pas:
        models = await pas.list_lane_models(ENGINEER)
        assert [model.lane for model in models] == list(Lane)
        assert "direng model add" in models[0].problem
        with pytest.raises(ModelMissingError, match="no model is configured for Code-Impl"):
            await pas.start_run(ENGINEER, agent_start(bench.repository))


async def test_pause_for_money_is_answered_over_the_wire(tmp_path):
    async with agent_bench(tmp_path, ScriptedBroker(SCRIPT)) as bench, _client(bench) as pas:
        await pas.start_run(ENGINEER, agent_start(bench.repository, max_cost_microusd=1500))
        await workflows._runtime().runs.begin("run-1")
        attempt = asyncio.create_task(bench.attempt())
        await bench.await_state(RunState.PAUSED)
        paused = await pas.get_run(ENGINEER, "run-1")
        assert (paused.cost_microusd, paused.cap_microusd) == (1000, 1500)
        answer = RunCommand(run_id="run-1", reason="worth it", max_cost_microusd=5000, is_downshift=True)
        view = await pas.resume_run(ENGINEER, answer)
        assert (view.state, view.cap_microusd) == (RunState.EXECUTING, 5000)
        assert await attempt == "succeeded"
        receipts = await pas.list_receipts(ENGINEER, "run-1")
        assert [(receipt.step, receipt.model) for receipt in receipts] == [
            (1, "model-first"),
            (2, "model-second"),
            (0, "none"),
        ]
