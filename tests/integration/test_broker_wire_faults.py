"""Everything that can go wrong between the broker and a provider, over real HTTP: one clear error each, no secret."""

import asyncio
import json
import logging
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from services.broker.core.ports import Target, WireError, WireRequest
from services.broker.models import MAX_MESSAGE_CHARS, AttemptOutcome, Message, Provider, Role, ToolSpec, ToolStyle
from services.broker.providers.keys import ReferencedKeys
from services.broker.providers.wire import PydanticWire
from services.security.vault import Vault
from tests.fakes.model_server import ScriptedModelServer

KEY = "sk-test-0123456789abcdef"
TOOL = ToolSpec(name="fs_read", description="Read.", parameters={"type": "object", "properties": {}})
BARE_URLS = {Provider.ANTHROPIC, Provider.GOOGLE}
REPLY = {"text": "A longer answer, so that there is something to cut off."}
CALL_REPLY = {"text": "", "tool_calls": [{"name": "fs_read", "arguments": {"path": "a"}}]}


@pytest.fixture
async def wire(tmp_path):
    wire = PydanticWire(ReferencedKeys({"GOOD": KEY}, Vault.open(tmp_path / "vault")))
    yield wire
    await wire.close()


@pytest.fixture
async def server():
    async with ScriptedModelServer([]) as server:
        yield server


@pytest.fixture(
    params=[Provider.OPENAI, Provider.LOCAL_LLAMA, Provider.ANTHROPIC, Provider.GOOGLE], ids=lambda each: each.value
)
def provider(request):
    return request.param


@pytest.fixture
def target(provider, server):
    url = server.base_url if provider in BARE_URLS else server.openai_url
    return Target("a", provider, "m1", url, "env:GOOD", ToolStyle.NATIVE)


@pytest.fixture(params=[False, True], ids=["whole", "streamed"])
def on_text(request):
    return (lambda _: None) if request.param else None


def ask(target, text="hello", timeout_s=20.0):
    return WireRequest(
        target, (Message(role=Role.USER, content=text),), (TOOL,), "auto", 4096, 0.2, timeout_s, "idem-key-1"
    )


async def fail(wire, request, on_text=None):
    with pytest.raises(WireError) as caught:
        await wire.call(request, on_text)
    error = caught.value
    assert KEY not in error.detail
    assert "\n" not in error.detail
    assert len(error.detail) <= 300
    # A traceback would show the provider's own error, and what it echoed.
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None
    return error


@asynccontextmanager
async def serve(target, answer):
    """Yield `target` at a server that answers everything by `answer`, and the list of requests it saw."""
    seen = []

    async def handle(request):
        seen.append((request.method, request.path, await request.read()))
        return await answer(request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield Target(**{**target.__dict__, "base_url": base_url}), seen
    finally:
        await runner.cleanup()


def answer_with(status=200, body=b"", **headers):
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    names.setdefault("Content-Type", "application/json")

    async def answer(_request):
        return web.Response(status=status, body=body if isinstance(body, bytes) else json.dumps(body), headers=names)

    return answer


REFUSALS = [
    ({"kind": "rate_limited", "retry_after_s": 7}, AttemptOutcome.RATE_LIMITED, 429),
    ({"kind": "server_error"}, AttemptOutcome.SERVER_ERROR, 500),
    ({"kind": "server_error", "status": 503}, AttemptOutcome.SERVER_ERROR, 503),
    ({"kind": "server_error", "status": 529}, AttemptOutcome.SERVER_ERROR, 529),
    ({"kind": "unauthorized"}, AttemptOutcome.KEY_REFUSED, None),
    ({"kind": "forbidden"}, AttemptOutcome.KEY_REFUSED, 403),
    ({"kind": "bad_request"}, AttemptOutcome.REJECTED, 400),
    ({"kind": "context_overflow"}, AttemptOutcome.CONTEXT_OVERFLOW, 400),
    ({"kind": "redirect", "to": "http://elsewhere.example/v1?key=1"}, AttemptOutcome.REDIRECTED, 302),
]


@pytest.mark.parametrize(("fault", "outcome", "status"), REFUSALS, ids=str)
async def test_refusal_is_told_apart_and_costs_nothing(wire, target, server, on_text, *, fault, outcome, status):
    server.script = [{"fault": fault, "reply": REPLY}]
    error = await fail(wire, ask(target), on_text)
    wrong_key = 400 if target.provider is Provider.GOOGLE else 401
    assert (error.outcome, error.status, error.is_billable) == (outcome, status or wrong_key, False)
    assert server.stats().requests == 1, "the wire retries nothing"


async def test_wait_is_read(wire, target, server, on_text):
    server.script = [{"fault": {"kind": "rate_limited", "retry_after_s": 7}}]
    assert (await fail(wire, ask(target), on_text)).retry_after_s == 7.0


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"retry_after_ms": "1500", "Retry_After": "9"}, 1.5),
        ({"Retry_After": "0.25"}, 0.25),
        ({"Retry_After": "Wed, 21 Oct 2026 07:28:30 GMT", "Date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 30.0),
        ({"Retry_After": "Wed, 21 Oct 2026 07:28:00 GMT", "Date": "Wed, 21 Oct 2026 07:28:30 GMT"}, 0.0),
        ({"Retry_After": "99999999999"}, 86400.0),
        ({"Retry_After": "-3"}, 0.0),
        ({"Retry_After": "nan"}, None),
        ({"Retry_After": "soon"}, None),
        ({}, None),
    ],
    ids=str,
)
async def test_wait_is_read_in_every_form(wire, target, headers, wait_s):
    async with serve(target, answer_with(429, {"error": {"message": "slow down"}}, **headers)) as (there, _):
        assert (await fail(wire, ask(there))).retry_after_s == wait_s


async def test_redirect_is_not_followed_and_names_where_it_leads(wire, target):
    async with serve(target, answer_with(200, {})) as (goal, seen):
        for status in (301, 302, 303, 307, 308):
            location = goal.base_url + "/chat?key=sk-secret"
            async with serve(target, answer_with(status, b"", Location=location)) as (there, _):
                error = await fail(wire, ask(there))
                with pytest.raises(WireError) as caught:
                    await wire.check(there)
            for each in (error, caught.value):
                assert (each.outcome, each.is_billable) == (AttemptOutcome.REDIRECTED, False)
                assert "configure that URL" in each.detail
                assert "sk-secret" not in each.detail
        assert seen == []


@pytest.mark.parametrize(
    "fault",
    [{"kind": "cut_stream"}, {"kind": "cut_stream", "clean": True}, {"kind": "cut_body"}],
    ids=["hung-up", "ended-cleanly", "amid-an-event"],
)
async def test_cut_stream_is_no_success(wire, target, server, fault):
    server.script = [{"fault": fault, "reply": REPLY}]
    pieces = []
    error = await fail(wire, ask(target), pieces.append)
    assert (error.outcome, error.is_billable) == (AttemptOutcome.CUT, True)
    assert "".join(pieces) != REPLY["text"]


@pytest.mark.parametrize("fault", ["cut_body", "drop"])
async def test_cut_body_is_no_success(wire, target, server, fault):
    server.script = [{"fault": fault, "reply": REPLY}]
    error = await fail(wire, ask(target))
    assert (error.outcome, error.is_billable) == (AttemptOutcome.CUT, True)


FINISHED = {
    Provider.OPENAI: [
        {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hi"}, "finish_reason": None}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    ],
    Provider.ANTHROPIC: [
        {"type": "message_start", "message": {
            "id": "m", "type": "message", "role": "assistant", "model": "m1", "content": [], "stop_reason": None,
            "stop_sequence": None, "usage": {"input_tokens": 3, "output_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "Hi"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None},
         "usage": {"output_tokens": 2}},
    ],
    Provider.GOOGLE: [
        {"candidates": [{"content": {"role": "model", "parts": [{"text": "Hi"}]}, "index": 0}]},
        {"candidates": [{"content": {"role": "model", "parts": [{"text": ""}]}, "index": 0, "finishReason": "STOP"}]},
    ],
}  # fmt: skip


def write_events(provider):
    frame = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m1"}
    if provider is Provider.ANTHROPIC:
        return [f"event: {each['type']}\ndata: {json.dumps(each)}\n\n".encode() for each in FINISHED[provider]]
    if provider is Provider.GOOGLE:
        return [f"data: {json.dumps(each)}\n\n".encode() for each in FINISHED[provider]]
    return [f"data: {json.dumps(frame | each)}\n\n".encode() for each in FINISHED[Provider.OPENAI]]


async def test_stream_is_whole_once_its_finish_reason_came(wire, target):
    """What is missing then is only an end mark; asking again would pay twice for the same answer."""
    events = write_events(target.provider)
    stream = {"Content_Type": "text/event-stream"}
    async with serve(target, answer_with(200, b"".join(events), **stream)) as (there, _):
        reply = await wire.call(ask(there), lambda _: None)
    assert (reply.text, reply.finish_reason) == ("Hi", "stop")
    async with serve(target, answer_with(200, b"".join(events[:-1]), **stream)) as (there, _):
        assert (await fail(wire, ask(there), lambda _: None)).outcome is AttemptOutcome.CUT


async def test_end_mark_stands_for_a_finish_reason_that_a_server_never_sends(wire, server):
    target = Target("a", Provider.LOCAL_LLAMA, "m1", server.openai_url, "env:GOOD", ToolStyle.NATIVE)
    body = write_events(Provider.LOCAL_LLAMA)[0] + b"data: [DONE]\n\n"
    async with serve(target, answer_with(200, body, Content_Type="text/event-stream")) as (there, _):
        reply = await wire.call(ask(there), lambda _: None)
    assert (reply.text, reply.usage) == ("Hi", None)


async def test_error_in_the_middle_of_a_stream_was_paid_for(wire, target, server):
    server.script = [{"fault": "error_in_stream", "reply": REPLY}]
    error = await fail(wire, ask(target), lambda _: None)
    assert (error.outcome, error.is_billable) == (AttemptOutcome.SERVER_ERROR, True)
    assert "verloaded" in error.detail


async def test_malformed_body_is_told(wire, target, server, on_text):
    server.script = [{"fault": "malformed_body", "reply": REPLY}]
    error = await fail(wire, ask(target), on_text)
    assert (error.outcome, error.is_billable) == (AttemptOutcome.MALFORMED, True)


NO_REPLIES = [
    b"", b"null", b"[]", b"{}", b'"text"', b"<html>login</html>", b"\xff\xfe", b"[" * 100_000,
    b'{"choices": null}', b'{"choices": []}', b'{"choices": [null]}', b'{"choices": [{}]}',
    b'{"choices": [{"message": null, "finish_reason": "stop"}]}',
    b'{"choices": [{"message": {"role": "assistant", "content": 7}, "finish_reason": "stop"}]}',
    b'{"choices": [{"message": {"role": "assistant", "tool_calls": [{}]}, "finish_reason": "stop"}]}',
    b'{"content": null}', b'{"content": [null]}', b'{"content": [{"type": "text"}], "role": "assistant"}',
    b'{"type": "message", "content": [{"type": "tool_use"}], "usage": {"input_tokens": "many"}}',
]  # fmt: skip


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "text/event-stream"])
async def test_body_that_is_no_reply_never_becomes_an_answer_or_a_crash(wire, target, content_type, on_text):
    bodies = []

    async def answer(_request):
        body = bodies[-1]
        if content_type == "text/event-stream":
            body = b"data: " + body + b"\n\n"
        return web.Response(body=body, headers={"Content-Type": content_type})

    async with serve(target, answer) as (there, _):
        for body in NO_REPLIES:
            bodies.append(body)
            seen = await _try(wire, ask(there), on_text)
            assert seen in {"malformed", "cut", "empty answer"}, (body, seen)


async def _try(wire, request, on_text):
    try:
        reply = await wire.call(request, on_text)
    except WireError as error:
        return error.outcome.value if error.is_billable else f"{error.outcome.value} unpaid"
    return f"{reply.text}{reply.tool_calls or ''}" or "empty answer"


async def test_empty_choices_are_malformed(wire, server, on_text):
    server.script = [{"fault": "empty_choices", "reply": REPLY}]
    target = Target("a", Provider.OPENAI, "m1", server.openai_url, "env:GOOD", ToolStyle.NATIVE)
    error = await fail(wire, ask(target), on_text)
    assert (error.outcome, error.is_billable) == (AttemptOutcome.MALFORMED, True)


async def test_malformed_arguments_reach_the_caller_as_they_are(wire, target, server, on_text):
    server.script = [{"fault": "malformed_arguments", "reply": CALL_REPLY}]
    if target.provider is Provider.GOOGLE:
        # Its protocol carries arguments decoded, so the provider itself gives such an answer up.
        assert "MALFORMED_FUNCTION_CALL" in (await fail(wire, ask(target), on_text)).detail
        return
    reply = await wire.call(ask(target), on_text)
    assert reply.tool_calls[0].arguments == '{"path": "a", "oops'


async def test_wrong_tool_reaches_the_caller(wire, target, server, on_text):
    server.script = [{"fault": "wrong_tool", "reply": CALL_REPLY}]
    assert (await wire.call(ask(target), on_text)).tool_calls[0].name == "no_such_tool"


async def test_two_megabytes_of_text_arrive_whole(wire, target, server, on_text):
    server.script = [{"fault": "huge_text"}]
    reply = await wire.call(ask(target, timeout_s=60), on_text)
    assert len(reply.text) == 2_000_000


async def test_more_text_than_a_message_may_have_is_malformed(wire, target, server, on_text):
    server.script = [{"fault": {"kind": "huge_text", "size_bytes": MAX_MESSAGE_CHARS + 1}}]
    error = await fail(wire, ask(target, timeout_s=60), on_text)
    assert (error.outcome, error.is_billable) == (AttemptOutcome.MALFORMED, True)


async def test_body_without_end_is_left(wire, target):
    async def pour(request):
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        try:
            while True:
                await response.write(b" " * 1_000_000)
        except ConnectionError:
            return response

    async with serve(target, pour) as (there, _):
        error = await fail(wire, ask(there, timeout_s=60))
        with pytest.raises(WireError, match="too large"):
            await wire.check(there)
    assert (error.outcome, error.is_billable) == (AttemptOutcome.MALFORMED, True)
    assert "too large" in error.detail


async def test_event_without_end_is_left(wire, target):
    async def pour(request):
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 1_000_000)
        except ConnectionError:
            return response

    async with serve(target, pour) as (there, _):
        error = await fail(wire, ask(there, timeout_s=60), lambda _: None)
    assert "too large" in error.detail


async def test_reply_that_is_compressed_unasked_is_refused(wire, target):
    async with serve(target, answer_with(200, b"\x1f\x8b", Content_Encoding="gzip")) as (there, _):
        assert "compressed" in (await fail(wire, ask(there))).detail


async def test_slow_reply_times_out_and_may_have_cost(wire, target, server, on_text):
    server.script = [{"fault": {"kind": "slow", "delay_s": 3}, "reply": REPLY}]
    error = await fail(wire, ask(target, timeout_s=0.3), on_text)
    assert (error.outcome, error.is_billable) == (AttemptOutcome.TIMEOUT, True)


async def test_timeout_covers_the_whole_stream(wire, target, server):
    server.script = [{"fault": {"kind": "slow", "trickle_s": 0.2}, "reply": {"text": "word " * 200}}]
    error = await fail(wire, ask(target, timeout_s=0.7), lambda _: None)
    assert (error.outcome, error.is_billable) == (AttemptOutcome.TIMEOUT, True)


async def test_line_is_free_again_after_a_timeout(wire, target, server):
    server.script = [
        {"when": {"contains": "slow"}, "fault": {"kind": "slow", "delay_s": 3}, "reply": REPLY},
        {"reply": REPLY},
    ]
    await fail(wire, ask(target, "slow", timeout_s=0.3))
    assert (await wire.call(ask(target))).text == REPLY["text"]
    line, _ = await wire._open(target)
    assert line.calls == 0


async def test_cancelled_call_leaves_nothing_behind(wire, target, server):
    server.script = [{"fault": {"kind": "slow", "delay_s": 3}, "reply": REPLY}]
    task = asyncio.create_task(wire.call(ask(target)))
    await asyncio.sleep(0.3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    line, _ = await wire._open(target)
    assert line.calls == 0


async def test_unreachable_endpoint_is_named_with_what_to_check(wire, target, server):
    await server.stop()
    error = await fail(wire, ask(target))
    assert (error.outcome, error.is_billable) == (AttemptOutcome.UNREACHABLE, False)
    assert server.base_url.removeprefix("http://") in error.detail
    assert "check" in error.detail
    with pytest.raises(WireError, match="cannot be reached"):
        await wire.check(target)


async def test_server_that_speaks_no_http_is_told(wire, target, on_text):
    async def babble(_reader, writer):
        writer.write(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
        await writer.drain()
        writer.close()

    listener = await asyncio.start_server(babble, "127.0.0.1", 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        there = Target(**{**target.__dict__, "base_url": f"http://127.0.0.1:{port}/v1"})
        error = await fail(wire, ask(there), on_text)
    assert error.outcome in {AttemptOutcome.CUT, AttemptOutcome.MALFORMED}


async def test_https_where_none_is_spoken_is_unreachable(wire, target, server):
    there = Target(**{**target.__dict__, "base_url": target.base_url.replace("http://", "https://")})
    error = await fail(wire, ask(there))
    assert (error.outcome, error.is_billable) == (AttemptOutcome.UNREACHABLE, False)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500])
async def test_key_that_the_provider_echoes_is_taken_out(wire, target, status, caplog, on_text):
    caplog.set_level(logging.DEBUG)
    said = f"Incorrect API key provided: {KEY}\n\nor {KEY[:6]}****{KEY[-4:]}. " + "x" * 5000
    async with serve(target, answer_with(status, {"error": {"message": said, "param": KEY}})) as (there, _):
        error = await fail(wire, ask(there), on_text)
    assert "Incorrect API key" in error.detail
    assert KEY[-4:] not in error.detail
    assert "Incorrect API key" not in caplog.text


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (
            429,
            {"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}},
            AttemptOutcome.KEY_REFUSED,
        ),
        (402, {"error": {"message": "Pay first"}}, AttemptOutcome.KEY_REFUSED),
        (
            400,
            {"error": {"type": "invalid_request_error", "message": "Your credit balance is too low"}},
            AttemptOutcome.KEY_REFUSED,
        ),
        (413, {"error": {"message": "request too large"}}, AttemptOutcome.CONTEXT_OVERFLOW),
        (
            400,
            {"error": {"message": "the request exceeds the available context size (4096 tokens)"}},
            AttemptOutcome.CONTEXT_OVERFLOW,
        ),
        (400, {"error": {"code": "context_length_exceeded", "message": "too long"}}, AttemptOutcome.CONTEXT_OVERFLOW),
        (422, {"detail": [{"msg": "field required"}]}, AttemptOutcome.REJECTED),
        (404, {"error": {"message": "no such model"}}, AttemptOutcome.MODEL_UNKNOWN),
        (408, {}, AttemptOutcome.SERVER_ERROR),
        (418, {"error": "teapot"}, AttemptOutcome.REJECTED),
        (502, b"<html>Bad gateway</html>", AttemptOutcome.SERVER_ERROR),
        (500, b"", AttemptOutcome.SERVER_ERROR),
    ],
    ids=str,
)
async def test_status_and_body_are_judged_together(wire, target, status, body, outcome):
    async with serve(target, answer_with(status, body)) as (there, _):
        error = await fail(wire, ask(there))
    assert (error.outcome, error.status, error.is_billable) == (outcome, status, False)
