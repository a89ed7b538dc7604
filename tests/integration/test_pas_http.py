"""The wire of PAS: event streams that are taken up again, and idempotency keys."""

import asyncio
import json
from contextlib import asynccontextmanager

import aiohttp
import pytest

from services.kernel.http import HttpCall, closing
from services.pas.app import create_app
from services.pas.client import HttpPas
from tests.fakes import pas as fake
from tests.fakes.identity import ENGINEER, KnownCallers
from tests.fakes.sockets import serve

pytestmark = pytest.mark.sandbox
HEADERS = {"Authorization": f"Bearer {ENGINEER.token}"}


@pytest.fixture
async def server(tmp_path):
    async with fake.running_pas(tmp_path / "home") as parts, serve(create_app(parts, KnownCallers())) as base_url:
        yield parts, base_url
        await parts.begin_drain()


async def _read_stream(base_url, run_id, **headers):
    """Return (id, event, data) of each server-sent event until the stream ends."""
    found, fields = [], {}
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{base_url}/pas/v1/runs/{run_id}/events", headers=HEADERS | headers) as answer,
    ):
        assert answer.status in {200, 204}
        async for raw in answer.content:
            name, _, value = raw.decode().strip().partition(": ")
            if name:
                fields[name] = value
            elif "data" in fields:
                found.append((fields["id"], fields["event"], json.loads(fields["data"])))
                fields = {}
    return answer.status, found


async def test_stream_numbers_its_events_and_resumes_after_the_last_one_seen(server, tmp_path):
    parts, base_url = server
    repository = fake.make_repository(tmp_path / "repo")
    view = await parts.service.start_run(ENGINEER, fake.start(repository, fake.formatting("format")))
    status, events = await _read_stream(base_url, view.run_id)
    assert status == 200
    assert [int(number) for number, _, _ in events] == [data["seq"] for _, _, data in events]
    assert events[-1][1:] == ("run.state", events[-1][2])
    assert events[-1][2]["state"] == "completed"
    _, rest = await _read_stream(base_url, view.run_id, **{"Last-Event-ID": "3"})
    assert rest == events[3:]
    _, everything = await _read_stream(base_url, view.run_id, **{"Last-Event-ID": "no number"})
    assert everything == events
    status, nothing = await _read_stream(base_url, view.run_id, **{"Last-Event-ID": events[-1][0]})
    assert (status, nothing) == (204, [])


async def test_open_streams_end_when_the_server_drains(server, tmp_path):
    parts, base_url = server
    repository = fake.slow_repository(tmp_path / "repo", 60)
    view = await parts.service.start_run(ENGINEER, fake.start(repository, fake.check_tests("slow")))
    reading = asyncio.create_task(_read_stream(base_url, view.run_id))
    await fake.wait_until(parts, view.run_id, lambda seen: seen.cards[0].state == "running")
    await parts.begin_drain()
    async with asyncio.timeout(10):
        _, events = await reading
    assert events[0][2]["state"] == "pending"


async def test_client_goes_on_after_a_broken_stream_without_losing_or_repeating_an_event(server, tmp_path):
    parts, base_url = server
    repository = fake.slow_repository(tmp_path / "repo", 1.5)
    view = await parts.service.start_run(ENGINEER, fake.start(repository, fake.check_tests("slow")))
    async with _relay(int(base_url.rpartition(":")[2]), cuts=2) as (relay_url, connections):
        call = HttpCall(relay_url)
        async with closing(call):
            seen = [event.seq async for event in HttpPas(call).watch_run(ENGINEER, view.run_id)]
    assert len(connections) > 2, "the relay cut the first two"
    assert seen == list(range(1, (await parts.service.get_run(ENGINEER, view.run_id)).last_seq + 1))


@asynccontextmanager
async def _relay(port, cuts):
    """Pass bytes on to `port`; the first `cuts` connections are cut off after the answer's first bytes."""
    connections = []

    async def pump(reader, writer, limit):
        passed = 0
        while (limit is None or passed < limit) and (chunk := await reader.read(256)):
            writer.write(chunk)
            await writer.drain()
            passed += len(chunk)
        writer.close()

    async def relay(reader, writer):
        connections.append(writer)
        limit = 700 if len(connections) <= cuts else None
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        asking = asyncio.create_task(pump(reader, inner_writer, None))
        await pump(inner_reader, writer, limit)
        asking.cancel()
        inner_writer.close()

    listener = await asyncio.start_server(relay, "127.0.0.1", 0)
    async with listener:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}", connections


async def test_same_key_and_body_is_one_run_and_another_body_a_conflict(server, tmp_path):
    parts, base_url = server
    repository = fake.make_repository(tmp_path / "repo")
    request = fake.start(repository, fake.formatting("format"))
    body = request.model_dump_json()
    other = request.model_copy(update={"title": "Another"}).model_dump_json()
    headers = HEADERS | {"Idempotency-Key": "key-of-the-test", "Content-Type": "application/json"}
    url = f"{base_url}/pas/v1/runs/start"
    async with aiohttp.ClientSession() as session:
        answers = []
        for data in (body, body, other):
            async with session.post(url, data=data, headers=headers) as answer:
                answers.append((answer.status, answer.headers.get("Idempotent-Replay"), await answer.json()))
    assert answers[0][0] == answers[1][0] == 200
    assert answers[0][2]["run_id"] == answers[1][2]["run_id"]
    assert answers[1][1] == "true"
    assert (answers[2][0], answers[2][2]["code"]) == (409, "wire.idempotency_key_reused")
    assert len(await parts.service.list_runs(ENGINEER)) == 1
    await fake.finish(parts, answers[0][2]["run_id"])


async def test_health_is_open_and_everything_else_needs_a_token(server):
    _, base_url = server
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{base_url}/health") as answer:
            assert (answer.status, (await answer.json())["status"]) == (200, "ok")
        async with session.get(f"{base_url}/pas/v1/runs") as answer:
            assert answer.status == 401
