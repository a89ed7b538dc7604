"""Google's protocol over real HTTP."""

import pytest

from services.broker.core.ports import Target, WireError, WireRequest
from services.broker.models import AttemptOutcome, Message, Provider, Role, ToolSpec, ToolStyle, Usage
from services.broker.providers.keys import ReferencedKeys
from services.broker.providers.wire import PydanticWire
from services.security.vault import Vault
from tests.fakes.model_server.google import KEY, MODEL, GeminiServer

SIGNATURE = "c2lnbmF0dXJlLW9mLWEtdGhvdWdodA=="
TEXT = [{"text": "Hel"}, {"text": "lo"}]
CALL = [
    {"text": "I look.", "thoughtSignature": SIGNATURE},
    {"functionCall": {"name": "fs_read", "args": {"path": "a.py"}}, "thoughtSignature": SIGNATURE},
]
FS_READ = ToolSpec(
    name="fs_read",
    description="Read a file.",
    parameters={"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
)
USER = Message(role=Role.USER, content="hello")


@pytest.fixture
async def server():
    async with GeminiServer() as server:
        yield server


@pytest.fixture
async def wire(tmp_path):
    wire = PydanticWire(ReferencedKeys({"GOOD": KEY, "BAD": "AIza-wrong-000000"}, Vault.open(tmp_path / "vault")))
    yield wire
    await wire.close()


def ask(server, *messages, key_ref="env:GOOD", model=MODEL, tools=(), timeout_s=10.0):
    target = Target("g", Provider.GOOGLE, model, server.base_url, key_ref, ToolStyle.NATIVE)
    return WireRequest(target, messages or (USER,), tools, "auto", 100, 0.2, timeout_s, "idem-google-1")


async def fail(wire, request, on_text=None):
    with pytest.raises(WireError) as caught:
        await wire.call(request, on_text)
    assert KEY not in caught.value.detail
    return caught.value


async def test_answer_comes_whole_with_its_usage(server, wire):
    server.answers = [TEXT]
    reply = await wire.call(ask(server, Message(role=Role.SYSTEM, content="Be brief."), USER))
    assert (reply.text, reply.finish_reason, reply.tool_calls) == ("Hello", "stop", ())
    assert reply.usage == Usage(tokens_in=100, tokens_cache_read=30, tokens_out=20, tokens_think=5)
    assert server.bodies[0]["systemInstruction"]["parts"] == [{"text": "Be brief."}]
    assert server.bodies[0]["generationConfig"]["maxOutputTokens"] == 100


async def test_answer_comes_in_pieces(server, wire):
    server.answers = [TEXT]
    pieces = []
    reply = await wire.call(ask(server), pieces.append)
    assert (pieces, reply.text) == (["Hel", "lo"], "Hello")
    assert reply.usage == Usage(tokens_in=100, tokens_cache_read=30, tokens_out=20, tokens_think=5)


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_turn_with_a_signed_call_goes_back_as_it_was(server, wire, is_streamed):
    server.answers = [CALL, TEXT]
    on_text = (lambda _: None) if is_streamed else None
    first = await wire.call(ask(server, tools=(FS_READ,)), on_text)
    [call] = first.tool_calls
    assert (call.name, call.arguments, first.finish_reason) == ("fs_read", '{"path": "a.py"}', "tool_calls")
    turn = Message(role=Role.ASSISTANT, content=first.text, tool_calls=first.tool_calls, opaque=first.opaque)
    result = Message(role=Role.TOOL, content="x = 1", tool_call_id=call.call_id)
    await wire.call(ask(server, USER, turn, result, tools=(FS_READ,)), on_text)
    said = str(server.bodies[1]["contents"])
    assert SIGNATURE in said
    assert "functionResponse" in said


async def test_stream_without_its_finish_is_cut(server, wire):
    server.answers, server.is_cut = [TEXT], True
    error = await fail(wire, ask(server), lambda _: None)
    assert (error.outcome, error.is_billable) == (AttemptOutcome.CUT, True)


async def test_wrong_key_is_refused_by_its_reference(server, wire):
    error = await fail(wire, ask(server, key_ref="env:BAD"))
    assert error.outcome is AttemptOutcome.KEY_REFUSED
    assert "env:BAD" in error.detail
    assert not error.is_billable


async def test_unknown_model_is_told(server, wire):
    error = await fail(wire, ask(server, model="gemini-none"))
    assert error.outcome is AttemptOutcome.MODEL_UNKNOWN


async def test_wait_is_read_from_googles_error_details(server, wire):
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "14s"}]
    body = {"error": {"code": 429, "message": "Quota", "status": "RESOURCE_EXHAUSTED", "details": details}}
    server.failures = [(429, body, {})]
    error = await fail(wire, ask(server))
    assert (error.outcome, error.retry_after_s, error.is_billable) == (AttemptOutcome.RATE_LIMITED, 14.0, False)
    assert len(server.headers) == 1


async def test_too_long_a_prompt_is_told(server, wire):
    message = "The input token count (2000000) exceeds the maximum number of tokens allowed (1048576)."
    server.failures = [(400, {"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}}, {})]
    assert (await fail(wire, ask(server))).outcome is AttemptOutcome.CONTEXT_OVERFLOW


async def test_server_error_is_not_retried_here(server, wire):
    server.failures = [(503, {"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}, {})]
    assert (await fail(wire, ask(server))).outcome is AttemptOutcome.SERVER_ERROR
    assert len(server.headers) == 1


async def test_only_the_configured_key_and_the_idempotency_key_leave(server, wire, monkeypatch):
    monkeypatch.setenv("GOOGLE_API_KEY", "AIza-from-the-environment")
    monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "true")
    server.answers = [TEXT]
    await wire.call(ask(server))
    assert server.headers[0]["x-goog-api-key"] == KEY
    assert server.headers[0]["idempotency-key"] == "idem-google-1"
    assert "x-goog-api-client" not in server.headers[0]


async def test_check_lists_the_models(server, wire):
    told = await wire.check(ask(server).target)
    assert "2 models" in told
    assert f"{MODEL} among them" in told
