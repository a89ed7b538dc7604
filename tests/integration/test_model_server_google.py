"""The scripted model server, seen through Google's own SDK."""

from contextlib import asynccontextmanager

import httpx2
import pytest
from google import genai
from google.genai.errors import APIError as GoogleError
from google.genai.types import HttpOptions

from tests.fakes.model_server.fixtures import model_server

__all__ = ["model_server"]

KEY = "test-key"
PARAMETERS = {"type": "object", "properties": {"path": {"type": "string"}}}
CALL = {"tool_calls": [{"name": "fs_read", "arguments": {"path": "a/long/path/to/some/module.py", "line": 7}}]}
USAGE = {"input": 1000, "output": 50, "cache_read": 600, "cache_write": 100, "reasoning": 20}
GOOGLE_TOOLS = [{"function_declarations": [{"name": "fs_read", "parameters_json_schema": PARAMETERS}]}]


@asynccontextmanager
async def google_models(server, key=KEY):
    """Google's client over the HTTP library that the broker gives it; its own choice warns."""
    async with httpx2.AsyncClient(timeout=10) as http:
        options = HttpOptions(base_url=server.base_url, httpx_async_client=http)
        with genai.Client(api_key=key, http_options=options) as client:
            yield client.aio.models


async def test_google_answers_calls_a_tool_and_reads_its_result(model_server):
    rules = [
        {"when": {"turn": 1}, "reply": "got {{last_tool_result}}"},
        {"when": {"tools_include": "fs_read"}, "reply": {"thinking": "hm", "text": "go", "usage": USAGE, **CALL}},
    ]
    server = await model_server({"rules": rules, "keys": [KEY]})
    config = {"tools": GOOGLE_TOOLS, "system_instruction": "be brief", "max_output_tokens": 100}
    async with google_models(server) as models:
        first = await models.generate_content(model="m1", contents="mend it", config=config)
        content = first.candidates[0].content
        assert [(part.text, bool(part.thought)) for part in content.parts[:2]] == [("hm", True), ("go", False)]
        call = content.parts[2].function_call
        assert call.args == CALL["tool_calls"][0]["arguments"]
        used = first.usage_metadata
        assert (used.prompt_token_count, used.cached_content_token_count) == (1000, 600)
        assert (used.candidates_token_count, used.thoughts_token_count) == (30, 20)
        result = {"function_response": {"id": call.id, "name": call.name, "response": {"output": "the text"}}}
        talk = [{"role": "user", "parts": [{"text": "mend it"}]}, content, {"role": "user", "parts": [result]}]
        second = await models.generate_content(model="m1", contents=talk, config=config)
        assert second.text == "got the text"
        with pytest.raises(GoogleError, match="function call turn must be followed"):
            await models.generate_content(model="m1", contents=talk[:2], config=config)
    assert server.requests[-2].provider == "google"


async def test_google_streams_text_and_calls(model_server):
    server = await model_server([{"reply": {"text": "word " * 40, **CALL}}])
    async with google_models(server) as models:
        stream = await models.generate_content_stream(model="m1", contents="go", config={"tools": GOOGLE_TOOLS})
        chunks = [chunk async for chunk in stream]
    parts = [part for chunk in chunks for part in chunk.candidates[0].content.parts or []]
    assert "".join(part.text or "" for part in parts) == "word " * 40
    assert parts[-1].function_call.name == "fs_read"
    assert chunks[-1].candidates[0].finish_reason == "STOP"
    assert chunks[0].candidates[0].finish_reason is None


@pytest.mark.parametrize(
    ("fault", "code"),
    [("rate_limited", 429), ("server_error", 500), ("unauthorized", 400), ("context_overflow", 400)],
)
async def test_google_says_its_own_errors(model_server, fault, code):
    server = await model_server([{"fault": fault}])
    async with google_models(server) as models:
        with pytest.raises(GoogleError) as caught:
            await models.generate_content(model="m1", contents="go")
    assert caught.value.code == code


async def test_google_refuses_a_wrong_key_and_an_unknown_model(model_server):
    server = await model_server({"rules": [{"reply": "yes"}], "keys": [KEY], "models": ["m1"]})
    async with google_models(server, "wrong") as models:
        with pytest.raises(GoogleError, match="API_KEY_INVALID"):
            await models.generate_content(model="m1", contents="go")
    async with google_models(server) as models:
        assert [model.name async for model in await models.list()] == ["models/m1"]
        with pytest.raises(GoogleError, match="m2") as caught:
            await models.generate_content(model="m2", contents="go")
    assert caught.value.code == 404


async def test_google_tells_of_malformed_arguments_in_its_own_way(model_server):
    server = await model_server([{"reply": CALL, "fault": "malformed_arguments"}])
    async with google_models(server) as models:
        answer = await models.generate_content(model="m1", contents="go", config={"tools": GOOGLE_TOOLS})
    assert answer.candidates[0].finish_reason == "MALFORMED_FUNCTION_CALL"
    assert not answer.candidates[0].content.parts
