"""Answers and model work as DirEng tells them: the whole platform, a real index, real HTTP to scripted models."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.broker.models import BudgetKind, BudgetScope, NewModel, Price, Provider
from services.direng.core.service import DirEngService
from services.direng.models import NewSession, TurnInput
from services.home import Home
from services.kernel.vocabulary import RunState
from services.topology import Opened, Wiring, embedded
from tests.fakes import pas as fake
from tests.fakes.commands import platform
from tests.fakes.identity import ENGINEER
from tests.fakes.model_server import ScriptedModelServer
from tests.fakes.model_server.fixtures import serve_script
from tests.fakes.terminal import Terminal

__all__ = ["platform", "serve_script"]

WAIT_S = 120
PRICE = Price(input_microusd=3_000_000, output_microusd=15_000_000, source="operator")
FREE = Price(input_microusd=0, output_microusd=0, source="operator")
ANSWER = "It is width times height (shapes.py:{{line}}).\nNothing else is there, unlike ghost.py:7."
ANSWERING = {
    "when": {"last_contains": "Question:", "stream": True, "tools_offered": False},
    "capture": {"line": r"(\d+)\|\s+return width \* height"},
    "reply": {"text": ANSWER, "usage": {"input": 1000, "output": 100}},
}
FILES = {
    "shapes.py": "def area(width, height):\n    return width * height\n",
    "tests/test_shapes.py": "from shapes import area\n\n\ndef test_area():\n    assert area(2, 3) == 6\n",
    "README.md": "# Shapes\n",
}


def call(tool, **arguments):
    return {"tool_calls": [{"name": tool, "arguments": arguments}], "usage": {"input": 3000, "output": 200}}


EDIT = {"path": "shapes.py", "search": "return width * height", "replace": "return height * width"}
AGENT = [
    {"when": {"tools_include": "finish", "has_tool_result": False}, "reply": call("fs_patch", edits=[EDIT])},
    {
        "when": {"tools_include": "finish", "has_tool_result": True},
        "reply": call("finish", summary="swapped", status="done"),
    },
]


@dataclass
class Bench:
    """The platform, and one conversation with it."""

    opened: Opened
    server: ScriptedModelServer
    repository: str
    session: str = ""

    @property
    def direng(self) -> DirEngService:
        return self.opened.direng.service

    async def say(self, text="", **fields):
        async with asyncio.timeout(WAIT_S):
            turn = TurnInput(text=text, **fields)
            return [event async for event in self.direng.take_turn(ENGINEER, self.session, turn)]

    async def budget(self):
        scope = BudgetScope(kind=BudgetKind.SESSION, id=self.session)
        return await self.opened.broker.service.get_budget(ENGINEER, scope)


@asynccontextmanager
async def open_bench(folder: Path, script, provider=Provider.LOCAL_LLAMA, price=PRICE, untracked=None):
    repository = fake.make_repository(folder / "repo", FILES)
    for name, text in (untracked or {}).items():
        (repository / name).write_text(text)
    async with ScriptedModelServer(script) as server, embedded(Home(folder / "home"), Wiring()) as opened:
        url = server.anthropic_url if provider is Provider.ANTHROPIC else server.openai_url
        model = NewModel(
            alias="scripted", provider=provider, model="scripted", base_url=url, price=price, context_tokens=32_000
        )
        await opened.opened.broker.service.add_model(ENGINEER, model)
        bench = Bench(opened.opened, server, str(repository))
        new = NewSession(repo=bench.repository)
        bench.session = (await bench.direng.open_session(ENGINEER, new)).session_id
        yield bench


def kinds(events):
    return [event.kind.value for event in events]


def find(events, kind):
    found = [event for event in events if event.kind.value == kind]
    assert found, [(event.kind.value, event.text) for event in events]
    return found[0]


def end_of(events):
    return events[-1].data["state"], events[-1].data["exit_code"]


@pytest.mark.parametrize("provider", [Provider.LOCAL_LLAMA, Provider.ANTHROPIC])
async def test_answer_over_the_wire_is_grounded_streamed_and_paid_from_the_session(tmp_path, provider, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "test-key")
    async with open_bench(tmp_path, [ANSWERING], provider) as bench:
        asked = await bench.say("how is the area computed?", purpose="ask")
        assert "go on? (yes/no)" in find(asked, "approval_required").text
        assert bench.server.stats().requests == 0
        events = await bench.say("yes")
        answer = find(events, "answer")
        assert "(shapes.py:2)." in answer.text
        assert "ghost.py:7 (not among what it was shown)." in answer.text
        assert "".join(event.text for event in events if event.kind.value == "delta") == answer.data["body"]
        assert answer.text.rstrip(")").endswith("fresh")
        assert (answer.data["checked"], answer.data["unknown"]) == (2, 1)
        assert end_of(events) == ("done", 0)
        paid = await bench.budget()
        assert paid.spent_microusd == 4500
        assert paid.reserved_microusd == 0
        assert answer.data["cost_usd"] == 0.0045
        assert "$0.0045 of $5.00 spent in this session" in answer.text


async def test_index_question_reaches_no_model(tmp_path):
    async with open_bench(tmp_path, [ANSWERING]) as bench:
        events = await bench.say("where is area defined?", purpose="ask")
        assert kinds(events) == ["answer", "end"]
        assert bench.server.stats().requests == 0


async def test_secret_file_and_its_words_stay_out_of_the_request(tmp_path):
    secret = {".env": "AREA_KEY = 'area of hunter2'\n"}
    async with open_bench(tmp_path, [ANSWERING], price=FREE, untracked=secret) as bench:
        await bench.say("how is the area computed?", purpose="ask")
        (request,) = bench.server.requests
        assert "hunter2" not in str(request.body)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"kind": "unauthorized"}, "key"),
        ({"kind": "context_overflow"}, "context"),
        ({"kind": "malformed_body"}, "scripted"),
    ],
)
async def test_fault_of_the_model_ends_the_turn_with_one_line(tmp_path, fault, words):
    async with open_bench(tmp_path, [{"fault": fault}], price=FREE) as bench:
        events = await bench.say("how is the area computed?", purpose="ask")
        assert events[-1].data["state"] == "failed"
        error = find(events, "error")
        assert words in error.text
        assert "\n" not in error.text


async def test_stream_that_is_cut_begins_again_and_the_answer_is_whole(tmp_path):
    cut = ANSWERING | {"fault": {"kind": "cut_stream", "times": 1, "after": 3}}
    async with open_bench(tmp_path, [cut], price=FREE) as bench:
        events = await bench.say("how is the area computed?", purpose="ask")
        heard = ""
        for event in events:
            if event.kind.value == "delta":
                heard = event.text if event.data["is_restart"] else heard + event.text
        assert heard == find(events, "answer").data["body"]
        assert heard.startswith("It is width times height (shapes.py:2).")
        assert find(events, "answer").data["attempts"] == 2


@pytest.mark.sandbox
async def test_direct_model_work_tells_its_steps_and_what_it_spent(tmp_path):
    async with open_bench(tmp_path, AGENT) as bench:
        await bench.say("swap the factors in area", handling="direct")
        events = await bench.say("yes")
        assert end_of(events) == ("done", 0), find(events, "report").text
        steps = [event.text for event in events if event.kind.value == "step"]
        assert any("shapes.py" in step for step in steps)
        report = find(events, "report")
        assert "verified" in report.text.splitlines()[0]
        assert report.data["models"] == ["scripted"]
        assert report.data["files"] == ["shapes.py"]
        spent = (await bench.budget()).spent_microusd
        assert spent == 24_000
        assert report.data["cost_usd"] == 0.024
        assert "$0.0240 of $5.00" in report.text


@pytest.mark.sandbox
async def test_run_over_its_budget_pauses_calls_nothing_and_goes_on_with_more(tmp_path):
    async with open_bench(tmp_path, AGENT) as bench:
        await bench.say("swap the factors in area", handling="direct", max_cost_usd="0.001")
        events = await bench.say("yes")
        assert end_of(events) == ("waiting", 3)
        question = find(events, "question")
        assert question.data["options"][0] == "raise"
        assert bench.server.stats().requests == 0
        events = await bench.say("raise 2.00")
        assert end_of(events) == ("done", 0), events[-2].text
        run_id = find(events, "report").data["run_id"]
        run = await bench.opened.pas.service.get_run(ENGINEER, run_id)
        assert run.state is RunState.COMPLETED
        assert run.cap_microusd == 2_001_000
        assert (await bench.budget()).spent_microusd <= (await bench.budget()).cap_microusd


SLOW = {
    "when": {"last_contains": "Question:"},
    "reply": {"text": "It is width times height (shapes.py:2). " + "And so on and so on. " * 40},
    "fault": {"kind": "slow", "trickle_s": 0.3},
}


def test_interrupt_in_the_terminal_stops_the_answer_and_nothing_is_said_twice(platform, serve_script, tmp_path):
    server = serve_script({"rules": [SLOW], "models": ["m1"]})
    repository = fake.make_repository(tmp_path / "repo", FILES)
    added = platform.direng(
        *("model", "add", "local", "--provider", "local_llama", "--model", "m1"),
        *("--url", server.openai_url, "--free", "--no-test"),
        cwd=repository,
    )
    assert added.code == 0, added.err
    terminal = Terminal(["direng"], cwd=repository, environment=platform.environment())
    terminal.expect("direng> ")
    terminal.send("how is the area computed?")
    terminal.expect("(shapes.py:2).")
    terminal.interrupt()
    terminal.expect("stopped by you")
    terminal.expect("fresh)")
    terminal.expect("direng> ")
    terminal.send("/cost")
    terminal.expect("$0.00 of $5.00")
    terminal.expect("direng> ")
    terminal.send("/context")
    terminal.expect("snippet")
    terminal.expect("direng> ")
    terminal.send("/quit")
    assert terminal.close() == 0
    assert terminal.text.count("(shapes.py:2).") == 1
    assert "Traceback" not in terminal.text
