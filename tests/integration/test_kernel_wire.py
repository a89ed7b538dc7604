"""The client half of the wire against real sockets: long events, broken servers, foreign error bodies."""

import asyncio

import pytest
from fastapi import FastAPI
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse

from services.kernel.errors import ConflictError, DeadlineExceededError, NotFoundError, UnavailableError
from services.kernel.http import HttpCall, closing
from tests.fakes.identity import ENGINEER
from tests.fakes.sockets import serve

LONG = "x" * 1_000_000


@pytest.fixture
async def base_url():
    app = FastAPI()

    @app.get("/events")
    async def events():
        async def chunks():
            yield f"id: 1\ndata: {LONG}\n\n: ping\n\ndata: a\ndata: b\n\n"

        return StreamingResponse(chunks(), media_type="text/event-stream")

    @app.get("/foreign")
    async def foreign():
        return JSONResponse({"code": "other.busy", "detail": "ask later", "retryable": True}, status_code=409)

    @app.get("/plain")
    async def plain():
        return PlainTextResponse("nothing here", status_code=404)

    @app.get("/slow")
    async def slow():
        await asyncio.sleep(0.5)

    async with serve(app) as url:
        yield url


async def test_event_of_a_megabyte_and_one_of_two_lines_arrive(base_url):
    call = HttpCall(base_url)
    async with closing(call):
        events = [data async for data in call.stream("GET", "/events", ENGINEER)]
    assert events == [LONG, "a\nb"]


async def test_error_with_an_unknown_code_keeps_code_and_retryability(base_url):
    call = HttpCall(base_url)
    async with closing(call):
        with pytest.raises(ConflictError, match="ask later") as refusal:
            await call.send("GET", "/foreign", ENGINEER)
    assert (refusal.value.code, refusal.value.is_retryable) == ("other.busy", True)
    assert (ConflictError.code, ConflictError.is_retryable) == ("conflict", False)


async def test_error_without_a_body_is_known_by_its_status(base_url):
    call = HttpCall(base_url)
    async with closing(call):
        with pytest.raises(NotFoundError, match="404"):
            await call.send("GET", "/plain", ENGINEER)


async def test_server_that_is_slow_or_gone_is_a_retryable_error(base_url):
    hasty, lost = HttpCall(base_url, timeout_s=0.05), HttpCall("http://127.0.0.1:1")
    async with closing(hasty, lost):
        with pytest.raises(DeadlineExceededError):
            await hasty.send("GET", "/slow", ENGINEER)
        with pytest.raises(UnavailableError, match="is the service running"):
            await lost.send("GET", "/slow", ENGINEER)
