"""OpenAI's and Anthropic's protocols over real HTTP: what is said, what comes back, and what never leaves."""

import asyncio
import json
import logging
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from services.broker.core.ports import Target, WireError, WireRequest
from services.broker.models import AttemptOutcome, Message, Provider, Role, ToolCall, ToolSpec, ToolStyle, Usage
from services.broker.providers.keys import ReferencedKeys
from services.broker.providers.wire import MAX_LINES, PydanticWire, Route
from services.security.vault import Vault
from tests.fakes.model_server import ScriptedModelServer

KEY = "sk-test-0123456789abcdef"
PROVIDERS = [Provider.OPENAI, Provider.LOCAL_LLAMA, Provider.ANTHROPIC, Provider.GOOGLE]
BARE_URLS = {Provider.ANTHROPIC, Provider.GOOGLE}
FS_READ = ToolSpec(
    name="fs_read",
    description="Read a file.",
    parameters={"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
)
SYSTEM = Message(role=Role.SYSTEM, content="Be brief.")
USER = Message(role=Role.USER, content="hello")
USAGE = {"input": 100, "output": 20, "cache_read": 30, "cache_write": 10, "reasoning": 5}
SCRIPT = {
    "keys": [KEY],
    "models": ["m1", "m2"],
    "rules": [
        {"when": {"has_tool_result": True}, "reply": {"text": "It says {{last_tool_result}}."}},
        {
            "when": {"contains": "think"},
            "reply": {
                "text": "I look.",
                "thinking": "hm",
                "tool_calls": [{"name": "fs_read", "arguments": {"path": "a"}}],
            },
        },
        {
            "when": {"contains": "call"},
            "reply": {"text": "", "tool_calls": [{"name": "fs_read", "arguments": {"path": "ä b"}}]},
        },
        {"when": {"contains": "long"}, "reply": {"text": "on and on", "finish_reason": "length"}},
        {"reply": {"text": "Hello there, friend.", "usage": USAGE}},
    ],
}


@pytest.fixture
async def server():
    async with ScriptedModelServer(SCRIPT) as server:
        yield server


@pytest.fixture
def environ():
    return {"GOOD": KEY}


@pytest.fixture
async def wire(tmp_path, environ):
    wire = PydanticWire(ReferencedKeys(environ, Vault.open(tmp_path / "vault")))
    yield wire
    await wire.close()


@pytest.fixture(params=PROVIDERS, ids=lambda provider: provider.value)
def target(request, server):
    url = server.base_url if request.param in BARE_URLS else server.openai_url
    return Target("a", request.param, "m1", url, "env:GOOD", ToolStyle.NATIVE)


def ask(target, *messages, tools=(), tool_choice="auto", timeout_s=20.0):
    return WireRequest(target, messages or (SYSTEM, USER), tools, tool_choice, 100, 0.2, timeout_s, "idem-key-1")


async def fail(wire, request):
    with pytest.raises(WireError) as caught:
        await wire.call(request)
    return caught.value


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_answer_comes_with_its_usage(wire, target, is_streamed):
    pieces = []
    reply = await wire.call(ask(target), pieces.append if is_streamed else None)
    assert (reply.text, reply.finish_reason, reply.tool_calls) == ("Hello there, friend.", "stop", ())
    assert "".join(pieces) == (reply.text if is_streamed else "")
    written = 10 if target.provider is Provider.ANTHROPIC else 0
    assert reply.usage == Usage(
        tokens_in=100, tokens_cache_read=30, tokens_cache_write=written, tokens_out=20, tokens_think=5
    )
    assert reply.opaque == ""


async def test_request_says_what_was_asked_and_names_its_idempotency_key(wire, target, server):
    await wire.call(ask(target, tools=(FS_READ,)))
    sent = server.requests[-1]
    assert sent.idempotency_key == "idem-key-1"
    said = json.dumps(sent.body)
    assert sent.model == "m1"
    assert re.search(r'"(max_tokens|max_completion_tokens|maxOutputTokens)": 100\b', said)
    assert '"temperature": 0.2' in said
    assert "Be brief." in said
    assert json.dumps(FS_READ.parameters, sort_keys=True) in json.dumps(sent.body, sort_keys=True)


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_tool_call_comes_back_and_its_result_is_understood(wire, target, is_streamed):
    on_text = (lambda _: None) if is_streamed else None
    user = Message(role=Role.USER, content="call it")
    first = await wire.call(ask(target, user, tools=(FS_READ,)), on_text)
    [call] = first.tool_calls
    assert (call.name, json.loads(call.arguments), first.finish_reason) == ("fs_read", {"path": "ä b"}, "tool_calls")
    turn = Message(role=Role.ASSISTANT, content=first.text, tool_calls=first.tool_calls, opaque=first.opaque)
    result = Message(role=Role.TOOL, content="x = 1", tool_call_id=call.call_id)
    second = await wire.call(ask(target, user, turn, result, tools=(FS_READ,)), on_text)
    assert second.text == "It says x = 1."


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_signed_thinking_goes_back_to_the_same_model_only(wire, target, server, is_streamed):
    user = Message(role=Role.USER, content="think first")
    on_text = (lambda _: None) if is_streamed else None
    first = await wire.call(ask(target, user, tools=(FS_READ,)), on_text)
    assert first.text == "I look."
    turn = Message(role=Role.ASSISTANT, content=first.text, tool_calls=first.tool_calls, opaque=first.opaque)
    result = Message(role=Role.TOOL, content="x", tool_call_id=first.tool_calls[0].call_id)
    await wire.call(ask(target, user, turn, result, tools=(FS_READ,)))
    assert '"hm"' in json.dumps(server.requests[-1].body)
    await wire.call(ask(replace(target, model="m2"), user, turn, result, tools=(FS_READ,)))
    assert '"hm"' not in json.dumps(server.requests[-1].body)
    changed = turn.model_copy(update={"content": "I looked."})
    await wire.call(ask(target, user, changed, result, tools=(FS_READ,)))
    assert '"hm"' not in json.dumps(server.requests[-1].body)
    assert "I looked." in json.dumps(server.requests[-1].body)


@pytest.mark.parametrize("opaque", ["{", "[]", "null", '{"provider":"openai"}', "\ud800", '{"provider":1,"model":2}'])
async def test_opaque_that_is_none_is_ignored(wire, target, opaque):
    turn = Message(role=Role.ASSISTANT, content="before", opaque=opaque)
    assert (await wire.call(ask(target, USER, turn, USER))).text == "Hello there, friend."


async def test_malformed_arguments_of_an_earlier_call_do_not_stop_the_conversation(wire, target):
    call = ToolCall(call_id="c1", name="fs_read", arguments='{"path": ')
    turn = Message(role=Role.ASSISTANT, tool_calls=(call,))
    result = Message(role=Role.TOOL, content="not JSON", tool_call_id="c1")
    assert "not JSON" in (await wire.call(ask(target, USER, turn, result, tools=(FS_READ,)))).text


async def test_tool_message_without_its_call_is_refused_before_anything_is_sent(wire, target, server):
    error = await fail(wire, ask(target, USER, Message(role=Role.TOOL, content="x", tool_call_id="c9")))
    assert (error.outcome, error.is_billable) == (AttemptOutcome.REJECTED, False)
    assert "c9" in error.detail
    assert server.requests == ()


async def test_length_is_told(wire, target):
    assert (await wire.call(ask(target, Message(role=Role.USER, content="long")))).finish_reason == "length"


async def test_caching_is_asked_for_where_it_has_to_be_and_only_when_wanted(wire, target, server):
    await wire.call(ask(target, tools=(FS_READ,)))
    is_anthropic = target.provider is Provider.ANTHROPIC
    assert ("cache_control" in json.dumps(server.requests[-1].body)) is is_anthropic
    await wire.call(ask(replace(target, is_caching=False), tools=(FS_READ,)))
    assert "cache_control" not in json.dumps(server.requests[-1].body)


def read_tool_choice(body):
    if "toolConfig" in body:
        return body["toolConfig"]["functionCallingConfig"]["mode"].lower()
    choice = body["tool_choice"]
    return choice["type"] if isinstance(choice, dict) else choice


async def test_tool_choice_is_passed_on(wire, target, server):
    for choice, names in (("required", {"required", "any"}), ("none", {"none"}), ("auto", {"auto"})):
        await wire.call(ask(target, tools=(FS_READ,), tool_choice=choice))
        assert read_tool_choice(server.requests[-1].body) in names


async def test_fifty_calls_at_once_share_one_client_and_do_not_mix(wire, target, server):
    server.script = {"keys": [KEY], "rules": [{"reply": {"text": "{{last}}"}}]}
    asked = [f"number {number}" for number in range(50)]
    replies = await asyncio.gather(*(wire.call(ask(target, Message(role=Role.USER, content=text))) for text in asked))
    assert [reply.text for reply in replies] == asked
    [lines] = wire._lines.values()
    assert len(lines) == 1
    assert server.stats().answered == 50


async def test_connection_is_used_again(wire, target):
    ports = set()

    async def answer(request):
        ports.add(request.transport.get_extra_info("peername")[1])
        raise web.HTTPInternalServerError

    app = web.Application()
    app.router.add_post("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        there = replace(target, base_url=f"http://127.0.0.1:{runner.addresses[0][1]}")
        for _ in range(5):
            assert (await fail(wire, ask(there))).outcome is AttemptOutcome.SERVER_ERROR
    finally:
        await runner.cleanup()
    assert len(ports) == 1


async def test_changed_key_counts_at_once(wire, target, environ):
    await wire.call(ask(target))
    environ["GOOD"] = "sk-other-key-00000000"
    error = await fail(wire, ask(target))
    assert error.outcome is AttemptOutcome.KEY_REFUSED
    environ["GOOD"] = KEY
    await wire.call(ask(target))


async def test_idle_lines_are_dropped(wire, target, environ):
    for number in range(MAX_LINES + 3):
        environ["GOOD"] = f"sk-key-number-{number:04d}"
        await fail(wire, ask(target))
    [lines] = wire._lines.values()
    assert len(lines) == MAX_LINES
    assert KEY not in repr(lines)


async def test_key_of_the_vault_is_used(wire, target, tmp_path):
    Vault.open(tmp_path / "vault").put("mine", KEY)
    assert (await wire.call(ask(replace(target, key_ref="vault:mine")))).text == "Hello there, friend."


async def test_nothing_of_the_environment_leaves(wire, target, monkeypatch):
    monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "true")
    for name in (
        "GOOGLE_API_KEY", "GEMINI_API_KEY", "OPENAI_API_KEY",
        "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN",
    ):  # fmt: skip
        monkeypatch.setenv(name, "from-the-environment")
    for name in ("OPENAI_BASE_URL", "ANTHROPIC_BASE_URL", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/v1")
    for name in ("ANTHROPIC_CUSTOM_HEADERS", "OPENAI_CUSTOM_HEADERS"):
        monkeypatch.setenv(name, "x-custom: from-the-environment")
    seen = []

    async def answer(request):
        seen.append(dict(request.headers))
        raise web.HTTPInternalServerError

    app = web.Application()
    app.router.add_post("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        await fail(wire, ask(replace(target, base_url=f"http://127.0.0.1:{runner.addresses[0][1]}")))
        await fail(wire, ask(replace(target, base_url=f"http://127.0.0.1:{runner.addresses[0][1]}", key_ref=None)))
    finally:
        await runner.cleanup()
    assert "from-the-environment" not in str(seen)
    assert KEY in str(seen[0])
    assert not {"authorization", "x-api-key", "x-goog-api-key"} & {name.lower() for name in seen[1]}
    allowed = {
        "host", "connection", "accept", "accept-encoding", "content-type", "content-length", "user-agent",
        "idempotency-key", "authorization", "x-api-key", "x-goog-api-key", "anthropic-version", "anthropic-beta",
    }  # fmt: skip
    assert {name.lower() for name in seen[0]} <= allowed


async def test_key_is_in_no_log_and_no_repr(wire, target, caplog):
    caplog.set_level(logging.DEBUG)
    await wire.call(ask(target), lambda _: None)
    await wire.check(target)
    line, site = await wire._open(target)
    assert KEY not in caplog.text
    assert KEY not in repr((line, site, line.client, line.client._transport, wire, wire._keys))


async def test_model_without_tool_calls_is_spoken_to_in_text(wire, target, server):
    block = '```tool\n{"name": "fs_read", "arguments": {"path": "a.py"}}\n```'
    server.script = {
        "rules": [
            {"when": {"last_contains": "Result of the tool fs_read"}, "reply": {"text": "Done."}},
            {"when": {"system_contains": "fs_read"}, "reply": {"text": f"I look.\n{block}"}},
        ]
    }
    texter = replace(target, tool_style=ToolStyle.TEXT)
    pieces = []
    first = await wire.call(ask(texter, tools=(FS_READ,)), pieces.append)
    [call] = first.tool_calls
    assert (first.text, pieces, call.name, call.arguments) == ("I look.", ["I look."], "fs_read", '{"path": "a.py"}')
    assert first.finish_reason == "tool_calls"
    assert "tools" not in server.requests[-1].body
    turn = Message(role=Role.ASSISTANT, content=first.text, tool_calls=first.tool_calls)
    result = Message(role=Role.TOOL, content="x = 1", tool_call_id=call.call_id)
    second = await wire.call(ask(texter, SYSTEM, USER, turn, result, tools=(FS_READ,)))
    assert (second.text, second.tool_calls) == ("Done.", ())


async def test_check_lists_the_models_unpaid(wire, target, server):
    told = await wire.check(target)
    assert "2 models" in told
    assert "m1 among them" in told
    assert "m9 is not among them" in await wire.check(replace(target, model="m9"))
    assert server.stats().requests == 0


async def test_check_tells_a_wrong_key_by_its_reference(wire, target, environ):
    environ["GOOD"] = "sk-wrong-key-00000000"
    with pytest.raises(WireError, match="env:GOOD") as caught:
        await wire.check(target)
    assert caught.value.outcome is AttemptOutcome.KEY_REFUSED


async def test_check_tells_a_wrong_base_url(wire, target):
    with pytest.raises(WireError, match="check the base URL") as caught:
        await wire.check(replace(target, base_url=target.base_url + "/elsewhere"))
    assert caught.value.outcome is AttemptOutcome.MODEL_UNKNOWN


async def test_model_without_a_key_reference_is_told_what_to_do(wire, target):
    if target.provider is Provider.LOCAL_LLAMA:
        error = await fail(wire, ask(replace(target, base_url=None)))
        assert (error.outcome, "base URL" in error.detail) == (AttemptOutcome.REJECTED, True)
    else:
        error = await fail(wire, ask(replace(target, base_url=None, key_ref=None)))
        assert (error.outcome, "--key" in error.detail) == (AttemptOutcome.KEY_MISSING, True)


async def test_url_that_may_not_be_called_is_refused_before_anything_is_sent(wire, target):
    error = await fail(wire, ask(replace(target, base_url="http://169.254.169.254/v1")))
    assert error.outcome is AttemptOutcome.REJECTED
    assert "metadata" in error.detail


@pytest.mark.parametrize(
    "route", [Route(ca_file="/nowhere/ca.pem"), Route(proxy_url="gopher://127.0.0.1:1")], ids=["certificates", "proxy"]
)
async def test_wrong_route_is_told_at_every_call(target, route):
    target = replace(target, base_url="https://models.example.com")
    wire = PydanticWire(ReferencedKeys({"GOOD": KEY}, Vault.open(Path("/nowhere"))), route=route)
    for _ in range(2):
        error = await fail(wire, ask(target))
        assert (error.outcome, error.is_billable) == (AttemptOutcome.REJECTED, False)
        assert "no connection for a can be prepared" in error.detail
    await wire.close()


def test_importing_the_room_loads_no_sdk_and_warming_loads_only_those_in_use():
    program = """
import asyncio, sys
from services.broker.models import Provider
from services.broker.providers import keys, prices, text_protocol, urls, wire
heavy = {"pydantic_ai", "openai", "anthropic", "google.genai", "genai_prices", "httpx2"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
asyncio.run(wire.PydanticWire(None).warm(frozenset()))
assert not heavy & set(sys.modules)
asyncio.run(wire.PydanticWire(None).warm(frozenset({Provider.ANTHROPIC})))
assert "anthropic" in sys.modules and not {"openai", "google.genai"} & set(sys.modules)
"""
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", program], check=True, cwd=root, timeout=60)
