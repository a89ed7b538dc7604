"""The OpenAI-compatible door, asked as its clients ask it."""

import json
from dataclasses import replace

import pytest

from services.broker.app import create_app
from services.broker.models import AttemptOutcome, SetBudget, ToolCall, Usage
from services.kernel.vocabulary import Scope
from tests.fakes.asgi import ask as send
from tests.fakes.broker import COST_MICROUSD, fault, new_model, reply, scope
from tests.fakes.identity import ENGINEER, KnownCallers, make_caller

IN_RUN = replace(make_caller("service:run-1", Scope.MODEL_CALL), run_id="run-1", project_id="prj-1")
SAY = [{"role": "user", "content": "Say done."}]


@pytest.fixture
def app(stage, broker):
    return create_app(stage.opened[0], KnownCallers((ENGINEER, IN_RUN)))


async def chat(app, body, caller=ENGINEER, **headers):
    sent = {"authorization": f"Bearer {caller.token}", "content-type": "application/json"} | headers
    content = json.dumps({"model": "default", "messages": SAY} | body).encode()
    return await send(app, "POST", "/v1/chat/completions", sent, content)


async def test_answer_has_the_shape_of_the_api_and_the_receipts_beside_it(stage, app):
    stage.wire.play("main", reply("hi", usage=Usage(tokens_in=9, tokens_cache_read=4, tokens_out=3, tokens_think=1)))
    answer = await chat(app, {"max_completion_tokens": 50, "temperature": 0})
    body = answer.read_json()
    assert (answer.status, body["object"], body["model"]) == (200, "chat.completion", "main")
    [choice] = body["choices"]
    assert choice["message"] == {"role": "assistant", "content": "hi"}
    assert choice["finish_reason"] == "stop"
    assert body["usage"] == {
        "prompt_tokens": 9,
        "completion_tokens": 3,
        "total_tokens": 12,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 1},
    }
    assert body["receipts"][0]["outcome"] == "ok"
    [sent] = stage.wire.requests
    assert (sent.max_tokens, sent.temperature) == (50, 0)


async def test_tools_go_both_ways(stage, app):
    call = ToolCall(call_id="t-2", name="fs_read", arguments='{"path": "a"}')
    stage.wire.play("main", replace(reply("", tool_calls=(call,)), finish_reason="tool_calls"))
    history = [
        {"role": "developer", "content": [{"type": "text", "text": "Be "}, {"type": "text", "text": "brief."}]},
        *SAY,
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "t-1", "type": "function", "function": {"name": "fs_read", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "t-1", "content": "text of the file"},
    ]
    tool = {"type": "function", "function": {"name": "fs_read", "parameters": {"type": "object"}}}
    answer = await chat(app, {"messages": history, "tools": [tool], "tool_choice": "required"})
    message = answer.read_json()["choices"][0]["message"]
    assert message["content"] is None
    assert message["tool_calls"][0]["function"] == {"name": "fs_read", "arguments": '{"path": "a"}'}
    [sent] = stage.wire.requests
    assert [(m.role.value, m.content, m.tool_call_id) for m in sent.messages] == [
        ("system", "Be brief.", ""),
        ("user", "Say done.", ""),
        ("assistant", "", ""),
        ("tool", "text of the file", "t-1"),
    ]
    assert sent.messages[2].tool_calls[0].call_id == "t-1"
    assert (sent.tools[0].name, sent.tool_choice) == ("fs_read", "required")


async def test_refusal_before_the_first_piece_of_a_stream_is_a_plain_answer(stage, app):
    stage.wire.play("main", fault(AttemptOutcome.REJECTED, detail="no"))
    answer = await chat(app, {"stream": True})
    assert (answer.status, answer.read_json()["code"]) == (422, "broker.model_rejected")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x/"}}]}]},
            "fetches no URL",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "file", "file": {}}]}]}, "only text is taken"),
        ({"n": 2}, "does not support n over 1"),
        ({"stop": ["x"]}, "does not support stop"),
        ({"response_format": {"type": "json_object"}}, "does not support response_format"),
        ({"tool_choice": {"type": "function", "function": {"name": "a"}}}, "tool_choice is auto, required or none"),
        ({"tools": [{"type": "function", "function": {"name": "a.b"}}]}, "name"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "role"),
    ],
)
async def test_what_cannot_be_honoured_is_refused_in_one_line(stage, app, body, words):
    answer = await chat(app, body)
    assert answer.status == 422
    assert words in answer.read_json()["detail"]
    assert "\n" not in answer.read_json()["detail"]
    assert stage.wire.requests == []


async def test_model_is_an_alias_or_default(stage, app, broker):
    await broker.add_model(ENGINEER, new_model("other"))
    assert (await chat(app, {"model": "other"})).read_json()["model"] == "other"
    answer = await chat(app, {"model": "gpt-99"})
    assert (answer.status, answer.read_json()["code"]) == (404, "broker.model_not_found")


async def test_budget_is_the_headers_or_the_callers_own(app, broker):
    await chat(app, {})
    await chat(app, {}, **{"x-budget-scope": "project:prj-2, run:run-9"})
    await chat(app, {}, IN_RUN)
    for name in ("session:user:engineer", "project:prj-2", "run:run-9", "project:prj-1", "run:run-1"):
        assert (await broker.get_budget(ENGINEER, scope(name))).spent_microusd == COST_MICROUSD
    answer = await chat(app, {}, IN_RUN, **{"x-budget-scope": "run:run-9"})
    assert answer.status == 403
    answer = await chat(app, {}, **{"x-budget-scope": "wallet:mine"})
    assert (answer.status, "kind:id" in answer.read_json()["detail"]) == (422, True)


async def test_spent_budget_is_a_429(app, broker, stage):
    await broker.set_budget(ENGINEER, SetBudget(scope=scope("run:run-9"), cap_microusd=1, rationale="a test's cap"))
    answer = await chat(app, {}, **{"x-budget-scope": "run:run-9"})
    assert (answer.status, answer.read_json()["code"]) == (429, "broker.budget_exceeded")
    assert stage.wire.requests == []


async def test_idempotency_key_pays_once(app, stage):
    first = await chat(app, {}, **{"idempotency-key": "key-00000001"})
    again = await chat(app, {}, **{"idempotency-key": "key-00000001"})
    assert again.body == first.body
    assert again.headers["idempotent-replay"] == "true"
    assert len(stage.wire.requests) == 1
    other = await chat(app, {"max_tokens": 3}, **{"idempotency-key": "key-00000001"})
    assert other.status == 409
