"""The scripted model server, seen through the providers' own SDKs."""

import asyncio
import json

import anthropic
import httpx2
import openai
import pytest

from tests.fakes.model_server import ScriptedModelServer
from tests.fakes.model_server.fixtures import model_server

__all__ = ["model_server"]

KEY = "test-key"
PARAMETERS = {"type": "object", "properties": {"path": {"type": "string"}}}
OPENAI_TOOLS = [{"type": "function", "function": {"name": "fs_read", "description": "Read", "parameters": PARAMETERS}}]
ANTHROPIC_TOOLS = [{"name": "fs_read", "description": "Read", "input_schema": PARAMETERS}]
CALL = {"tool_calls": [{"name": "fs_read", "arguments": {"path": "a/long/path/to/some/module.py", "line": 7}}]}
USAGE = {"input": 1000, "output": 50, "cache_read": 600, "cache_write": 100, "reasoning": 20}
ASK = [{"role": "user", "content": "mend it"}]


def openai_client(server, key=KEY):
    return openai.AsyncOpenAI(base_url=server.openai_url, api_key=key, max_retries=0, timeout=10)


def anthropic_client(server, key=KEY):
    return anthropic.AsyncAnthropic(base_url=server.anthropic_url, api_key=key, max_retries=0, timeout=10)


async def ask_openai(server, key=KEY, messages=None, **options):
    async with openai_client(server, key) as client:
        return await client.chat.completions.create(model="m1", messages=messages or ASK, **options)


async def ask_anthropic(server, key=KEY, messages=None, **options):
    async with anthropic_client(server, key) as client:
        return await client.messages.create(
            **{"model": "m1", "max_tokens": 500, "messages": messages or ASK, **options}
        )


async def stream_openai(server, **options):
    """Return the text, the calls' arguments and the last chunk of a streamed answer."""
    text, arguments, last = "", "", None
    async with openai_client(server) as client:
        stream = await client.chat.completions.create(model="m1", messages=ASK, stream=True, **options)
        async for last in stream:
            for choice in last.choices:
                text += choice.delta.content or ""
                for call in choice.delta.tool_calls or []:
                    arguments += call.function.arguments or ""
    return text, arguments, last


async def stream_anthropic(server, **options):
    async with (
        anthropic_client(server) as client,
        client.messages.stream(model="m1", max_tokens=500, messages=ASK, **options) as stream,
    ):
        return await stream.get_final_message()


async def test_openai_answers_with_text_and_usage(model_server):
    server = await model_server([{"reply": {"text": "done", "usage": USAGE}}])
    answer = await ask_openai(server)
    assert answer.choices[0].message.content == "done"
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (1000, 50)
    assert answer.usage.prompt_tokens_details.cached_tokens == 600
    assert answer.usage.completion_tokens_details.reasoning_tokens == 20


async def test_anthropic_answers_with_text_and_usage(model_server):
    server = await model_server([{"reply": {"text": "done", "thinking": "hm", "usage": USAGE}}])
    answer = await ask_anthropic(server)
    assert [block.type for block in answer.content] == ["thinking", "text"]
    assert answer.content[1].text == "done"
    assert answer.stop_reason == "end_turn"
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (300, 50)
    assert (answer.usage.cache_read_input_tokens, answer.usage.cache_creation_input_tokens) == (600, 100)


async def test_openai_calls_a_tool_and_reads_its_result(model_server):
    rules = [
        {
            "when": {"has_tool_result": True},
            "capture": {"line": {"regex": r"line (\d+)", "in": "last_tool_result"}},
            "reply": {"tool_calls": [{"name": "fs_read", "arguments": {"line": "{{int:line}}", "why": "l{{line}}"}}]},
        },
        {"when": {"tools_include": "fs_read"}, "reply": CALL},
    ]
    server = await model_server(rules)
    first = (await ask_openai(server, tools=OPENAI_TOOLS)).choices[0]
    assert first.finish_reason == "tool_calls"
    call = first.message.tool_calls[0]
    assert json.loads(call.function.arguments) == CALL["tool_calls"][0]["arguments"]
    talk = [*ASK, first.message, {"role": "tool", "tool_call_id": call.id, "content": "see line 42"}]
    second = (await ask_openai(server, messages=talk, tools=OPENAI_TOOLS)).choices[0].message.tool_calls[0]
    assert json.loads(second.function.arguments) == {"line": 42, "why": "l42"}
    assert second.id != call.id


async def test_anthropic_calls_a_tool_and_reads_its_result(model_server):
    server = await model_server(
        [{"when": {"turn": 0}, "reply": CALL}, {"when": {"turn": 1}, "reply": "got {{last_tool_result}}"}]
    )
    first = await ask_anthropic(server, tools=ANTHROPIC_TOOLS)
    assert first.stop_reason == "tool_use"
    use = first.content[0]
    assert use.input == CALL["tool_calls"][0]["arguments"]
    result = {"type": "tool_result", "tool_use_id": use.id, "content": [{"type": "text", "text": "the text"}]}
    talk = [*ASK, {"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    assert (await ask_anthropic(server, messages=talk, tools=ANTHROPIC_TOOLS)).content[0].text == "got the text"


async def test_openai_streams_text_arguments_and_usage(model_server):
    server = await model_server([{"reply": {"text": "word " * 40, "usage": USAGE, **CALL}}])
    text, arguments, last = await stream_openai(server, tools=OPENAI_TOOLS, stream_options={"include_usage": True})
    assert text == "word " * 40
    assert json.loads(arguments) == CALL["tool_calls"][0]["arguments"]
    assert last.usage.completion_tokens == 50


async def test_openai_streams_no_usage_unless_asked(model_server):
    server = await model_server([{"reply": "yes"}])
    text, _, last = await stream_openai(server)
    assert text == "yes"
    assert last.usage is None
    assert last.choices[0].finish_reason == "stop"


async def test_anthropic_streams_text_thinking_arguments_and_usage(model_server):
    server = await model_server([{"reply": {"text": "word " * 40, "thinking": "hm " * 30, "usage": USAGE, **CALL}}])
    answer = await stream_anthropic(server, tools=ANTHROPIC_TOOLS)
    thinking, text, use = answer.content
    assert thinking.thinking == "hm " * 30
    assert thinking.signature
    assert text.text == "word " * 40
    assert use.input == CALL["tool_calls"][0]["arguments"]
    assert answer.stop_reason == "tool_use"
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (300, 50)


@pytest.mark.parametrize("ask", [ask_openai, ask_anthropic])
async def test_same_request_gets_the_same_answer(model_server, ask):
    server = await model_server([{"reply": CALL}])
    tools = OPENAI_TOOLS if ask is ask_openai else ANTHROPIC_TOOLS
    assert await ask(server, tools=tools) == await ask(server, tools=tools)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "rate_limited", "retry_after_s": 7}, "RateLimitError"),
        ("server_error", "InternalServerError"),
        ({"kind": "server_error", "status": 502}, "InternalServerError"),
        ("unauthorized", "AuthenticationError"),
        ("forbidden", "PermissionDeniedError"),
        ("bad_request", "BadRequestError"),
        ("context_overflow", "BadRequestError"),
        ("drop", "APIConnectionError"),
    ],
)
@pytest.mark.parametrize(("ask", "sdk"), [(ask_openai, openai), (ask_anthropic, anthropic)])
async def test_a_fault_raises_the_sdks_own_error(model_server, ask, sdk, fault, error):
    server = await model_server([{"fault": fault}])
    with pytest.raises(getattr(sdk, error)) as caught:
        await ask(server)
    assert type(caught.value) is getattr(sdk, error)
    if error == "RateLimitError":
        assert caught.value.response.headers["retry-after"] == "7"
    assert server.requests[-1].state == "failed"


async def test_context_overflow_speaks_as_the_provider_does(model_server):
    server = await model_server([{"fault": "context_overflow"}])
    with pytest.raises(openai.BadRequestError) as caught:
        await ask_openai(server)
    assert caught.value.code == "context_length_exceeded"
    with pytest.raises(anthropic.BadRequestError, match="prompt is too long"):
        await ask_anthropic(server)


@pytest.mark.parametrize("ask", [ask_openai, ask_anthropic])
@pytest.mark.parametrize("kind", ["cut_body", "malformed_body"])
async def test_a_broken_body_is_an_error(model_server, ask, kind):
    server = await model_server([{"reply": "text " * 100, "fault": kind}])
    with pytest.raises((openai.APIError, anthropic.APIError, json.JSONDecodeError, httpx2.HTTPError)):
        await ask(server)


@pytest.mark.parametrize("stream", [stream_openai, stream_anthropic])
@pytest.mark.parametrize("kind", ["cut_stream", "cut_body", "error_in_stream"])
async def test_a_cut_stream_is_an_error(model_server, stream, kind):
    server = await model_server([{"reply": "text " * 100, "fault": {"kind": kind, "after": 4}}])
    with pytest.raises((openai.APIError, anthropic.APIError, json.JSONDecodeError, httpx2.HTTPError)):
        await stream(server)
    assert server.requests[-1].state == "failed"


async def test_a_stream_that_ends_early_but_properly_has_no_finish(model_server):
    server = await model_server([{"reply": "text " * 100, "fault": {"kind": "cut_stream", "after": 3, "clean": True}}])
    text, _, last = await stream_openai(server)
    assert text.startswith("text ")
    assert last.choices[0].finish_reason is None


async def test_malformed_arguments_and_a_tool_that_was_not_offered_come_through(model_server):
    rules = [
        {"when": {"contains": "mend"}, "reply": CALL, "fault": {"kind": "malformed_arguments", "times": 1}},
        {"fault": {"kind": "wrong_tool", "tool": "rm_rf"}, "reply": ""},
    ]
    server = await model_server(rules)
    broken = (await ask_openai(server, tools=OPENAI_TOOLS)).choices[0].message.tool_calls[0]
    with pytest.raises(json.JSONDecodeError):
        json.loads(broken.function.arguments)
    healed = (await ask_openai(server, tools=OPENAI_TOOLS)).choices[0].message.tool_calls[0]
    json.loads(healed.function.arguments)
    talk = [{"role": "user", "content": "other"}]
    assert (await ask_openai(server, messages=talk)).choices[0].message.tool_calls[0].function.name == "rm_rf"
    assert (await ask_anthropic(server, messages=talk)).content[0].name == "rm_rf"


async def test_two_megabytes_of_text_arrive(model_server):
    server = await model_server([{"fault": "huge_text"}])
    assert len((await ask_openai(server)).choices[0].message.content) == 2_000_000
    text, _, _ = await stream_openai(server)
    assert len(text) == 2_000_000
    assert len((await ask_anthropic(server)).content[0].text) == 2_000_000


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_an_endless_answer_ends_when_the_client_leaves(model_server, is_streamed):
    server = await model_server([{"fault": "endless"}])
    stream = ask_openai(server) if not is_streamed else stream_openai(server)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(stream, 0.3)
    await asyncio.wait_for(server.wait_until_idle(), 10)
    assert server.requests[-1].state == "abandoned"


async def test_a_slow_answer_times_out_and_heals(model_server):
    server = await model_server([{"reply": "late", "fault": {"kind": "slow", "delay_s": 5, "times": 1}}])
    async with openai_client(server) as client:
        with pytest.raises(openai.APITimeoutError):
            await client.with_options(timeout=0.2).chat.completions.create(model="m1", messages=ASK)
    assert (await ask_openai(server)).choices[0].message.content == "late"


@pytest.mark.parametrize("ask", [ask_openai, ask_anthropic])
async def test_a_trickling_answer_arrives_whole(model_server, ask):
    server = await model_server([{"reply": "late", "fault": {"kind": "slow", "trickle_s": 0.005}}])
    assert "late" in (await ask(server)).model_dump_json()


async def test_empty_choices_and_missing_usage_come_through(model_server):
    server = await model_server(
        [{"reply": "x", "fault": {"kind": "empty_choices"}, "times": 2}, {"reply": "x", "fault": "no_usage"}]
    )
    assert (await ask_openai(server)).choices == []
    assert (await ask_anthropic(server)).content == []
    assert (await ask_openai(server)).usage is None
    text, _, last = await stream_openai(server, stream_options={"include_usage": True})
    assert (text, last.usage) == ("x", None)


async def test_a_redirect_names_its_target(model_server):
    server = await model_server([{"fault": {"kind": "redirect", "to": "http://127.0.0.1:9/elsewhere"}}])
    async with httpx2.AsyncClient() as client:
        answer = await client.post(f"{server.openai_url}/chat/completions", json={"model": "m1", "messages": ASK})
    assert answer.status_code == 302
    assert answer.headers["location"] == "http://127.0.0.1:9/elsewhere"


@pytest.mark.parametrize(("ask", "sdk"), [(ask_openai, openai), (ask_anthropic, anthropic)])
async def test_wrong_key_and_unknown_model_are_refused_in_the_providers_shape(model_server, ask, sdk):
    server = await model_server({"rules": [{"reply": "yes"}], "keys": [KEY], "models": ["m1"]})
    await ask(server)
    with pytest.raises(sdk.AuthenticationError):
        await ask(server, key="stolen")
    server.script = {"rules": [{"reply": "yes"}], "models": ["m2"]}
    with pytest.raises(sdk.NotFoundError, match="m1"):
        await ask(server)
    assert "stolen" not in str(server.requests)
    assert KEY not in str(server.requests)


async def test_models_are_listed_in_both_shapes(model_server):
    server = await model_server({"rules": [], "models": ["m1", "m2"], "keys": [KEY]})
    async with openai_client(server) as client:
        assert [model.id async for model in client.models.list()] == ["m1", "m2"]
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve("m3")
    async with anthropic_client(server) as client:
        assert [model.id async for model in client.models.list()] == ["m1", "m2"]
    async with openai_client(server, "wrong") as client:
        with pytest.raises(openai.AuthenticationError):
            await client.models.list()


async def test_a_model_without_tools_answers_in_text_or_refuses(model_server):
    rules = [{"when": {"tools_include": "fs_read"}, "reply": CALL}, {"reply": {"text": "in words", **CALL}}]
    server = await model_server({"rules": rules, "models": {"m1": {"no_tools": True}}})
    choice = (await ask_openai(server, tools=OPENAI_TOOLS)).choices[0]
    assert (choice.message.content, choice.message.tool_calls) == ("in words", None)
    server.script = {"rules": rules, "models": {"m1": {"refuses_tools": True}}}
    with pytest.raises(openai.BadRequestError, match="does not support tools"):
        await ask_openai(server, tools=OPENAI_TOOLS)
    assert (await ask_openai(server)).choices[0].message.content == "in words"


async def test_a_small_context_overflows(model_server):
    server = await model_server({"rules": [{"reply": "fits"}], "models": {"m1": {"context_tokens": 100}}})
    await ask_openai(server)
    with pytest.raises(openai.BadRequestError, match="maximum context length"):
        await ask_openai(server, messages=[{"role": "user", "content": "x" * 1000}])


async def test_a_text_longer_than_max_tokens_is_cut(model_server):
    server = await model_server([{"reply": "word " * 100}])
    choice = (await ask_openai(server, max_tokens=10)).choices[0]
    assert choice.finish_reason == "length"
    assert len(choice.message.content) == 40
    assert (await ask_anthropic(server, max_tokens=10)).stop_reason == "max_tokens"


async def test_broken_protocol_is_refused(model_server):
    server = await model_server([{"reply": CALL}])
    call = {"id": "c1", "type": "function", "function": {"name": "fs_read", "arguments": "{}"}}
    orphan = [*ASK, {"role": "assistant", "tool_calls": [call]}, {"role": "user", "content": "well?"}]
    with pytest.raises(openai.BadRequestError, match="c1"):
        await ask_openai(server, messages=orphan)
    use = {"type": "tool_use", "id": "c1", "name": "fs_read", "input": {}}
    orphan = [*ASK, {"role": "assistant", "content": [use]}, {"role": "user", "content": "well?"}]
    with pytest.raises(anthropic.BadRequestError, match="c1"):
        await ask_anthropic(server, messages=orphan)
    with pytest.raises(anthropic.BadRequestError, match="input_schema"):
        await ask_anthropic(server, tools=[{"name": "fs_read", "input_schema": {"type": "string"}}])


async def test_a_request_that_no_rule_fits_is_refused_loudly(model_server):
    server = await model_server([{"when": {"contains": "nothing like it"}, "reply": "no"}])
    with pytest.raises(openai.BadRequestError, match="no rule of the script fits"):
        await ask_openai(server)
    assert server.stats().unmatched == 1


async def test_repeated_calls_are_counted_by_key_and_by_body(model_server):
    server = await model_server([{"reply": "yes", "fault": {"kind": "server_error", "times": 1}}])
    for key in ("k1", "k1", "k1", "k2"):
        headers = {"Idempotency-Key": key}
        if not server.requests:
            with pytest.raises(openai.InternalServerError):
                await ask_openai(server, extra_headers=headers)
            continue
        await ask_openai(server, extra_headers=headers)
    stats = server.stats()
    assert (stats.requests, stats.answered, stats.failed) == (4, 3, 1)
    assert stats.repeated_keys == {"k1": 2}
    assert list(stats.repeated_bodies.values()) == [3]
    assert [record.idempotency_key for record in server.requests] == ["k1", "k1", "k1", "k2"]


async def test_it_can_be_used_without_a_fixture():
    async with ScriptedModelServer([{"reply": "yes"}]) as server:
        assert (await ask_openai(server)).choices[0].message.content == "yes"
