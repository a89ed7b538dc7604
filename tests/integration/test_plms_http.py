"""The wire of PLMS, sent by hand: tokens, scopes, idempotency keys, bad bodies. What holds here holds for every app
that `kernel.http.make_app` builds.
"""

import io
import json

import aiohttp
import pytest

from services.kernel.clock import SystemClock
from services.kernel.db import sqlite_url
from services.kernel.endpoints import ENDPOINT_SCOPES
from services.kernel.errors import InternalError
from services.kernel.http import MAX_BODY_BYTES, make_app
from services.kernel.version import VERSION
from services.kernel.vocabulary import ServiceName
from services.plms.api import add_routes
from services.plms.app import create_app, open_plms
from services.plms.models import Health
from tests.fakes.identity import ENGINEER, NOBODY, READER, STRANGER, KnownCallers
from tests.fakes.sockets import serve

BODY = {"title": "Rename", "prd": "Rename a to b.", "repo": "/srv/repo"}
ENDPOINTS = [endpoint for endpoint, scope in ENDPOINT_SCOPES[ServiceName.PLMS].items() if scope is not None]


class Wire:
    """Sends requests as they are and returns (status, JSON body, headers)."""

    def __init__(self, session, base_url):
        self._session = session
        self._base_url = base_url

    async def send(self, method, path, caller=ENGINEER, *, body=None, data=None, key=None, headers=None):
        sent = {"Content-Type": "application/json"} if data is not None or body is not None else {}
        if caller is not None:
            sent["Authorization"] = f"Bearer {caller.token}"
        if key is not None:
            sent["Idempotency-Key"] = key
        content = json.dumps(body).encode() if body is not None else data
        async with self._session.request(
            method, self._base_url + path, data=content, headers=sent | (headers or {})
        ) as answer:
            return answer.status, json.loads(await answer.read()), answer.headers


@pytest.fixture
async def wire(tmp_path):
    parts = open_plms(sqlite_url(tmp_path / "plms.db"), SystemClock())
    async with serve(create_app(parts, KnownCallers())) as base_url, aiohttp.ClientSession() as session:
        yield Wire(session, base_url)
    parts.close()


def fill(endpoint):
    method, path = endpoint.split(" ")
    return method, path.format(project_id="prj-one", run_id="run-one")


async def test_health_is_open_and_names_version_and_schema(wire):
    status, body, _ = await wire.send("GET", "/health", None)
    assert (status, body) == (200, {"status": "ok", "service": "plms", "version": VERSION, "schema": "0002"})


async def test_no_or_bad_token_is_401_and_missing_scope_403_before_the_body_is_read(wire):
    assert len(ENDPOINTS) > 10
    for method, path in map(fill, ENDPOINTS):
        for caller in (None, STRANGER):
            status, body, _ = await wire.send(method, path, caller, data=b"{not json")
            assert (path, status, body["code"]) == (path, 401, "unauthenticated")
        status, body, _ = await wire.send(method, path, NOBODY, data=b"{not json")
        assert (path, status, body["code"], body["retryable"]) == (path, 403, "auth.scope_missing", False)


async def test_same_key_and_body_replays_the_answer_without_acting_again(wire):
    status, first, headers = await wire.send("POST", "/api/projects", body=BODY, key="key-0001")
    assert (status, "Idempotent-Replay" in headers) == (200, False)
    status, again, headers = await wire.send("POST", "/api/projects", body=BODY, key="key-0001")
    assert (status, again, headers["Idempotent-Replay"]) == (200, first, "true")
    _, projects, _ = await wire.send("GET", "/api/projects")
    assert [project["project_id"] for project in projects] == [first["project_id"]]


async def test_same_key_with_another_body_or_path_is_409(wire):
    _, project, _ = await wire.send("POST", "/api/projects", body=BODY, key="key-0001")
    status, body, _ = await wire.send("POST", "/api/projects", body=BODY | {"title": "B"}, key="key-0001")
    assert (status, body["code"]) == (409, "wire.idempotency_key_reused")
    status, body, _ = await wire.send("DELETE", f"/api/projects/{project['project_id']}", key="key-0001")
    assert (status, body["code"]) == (409, "wire.idempotency_key_reused")


async def test_stored_answer_is_given_to_its_own_admitted_caller_only(wire):
    await wire.send("POST", "/api/projects", body=BODY, key="key-0001")
    for caller, expected in ((None, 401), (STRANGER, 401), (READER, 403)):
        status, body, headers = await wire.send("POST", "/api/projects", caller, body=BODY, key="key-0001")
        assert (status, "project_id" in body, "Idempotent-Replay" in headers) == (expected, False, False)


async def test_refused_request_does_not_use_its_key_up(wire):
    change = {"target": "executing", "rationale": "go"}
    _, project, _ = await wire.send("POST", "/api/projects", body=BODY)
    path = f"/api/projects/{project['project_id']}/state"
    status, _, _ = await wire.send("POST", path, body=change, key="key-0001")
    assert status == 409
    status, _, _ = await wire.send("POST", path, body=change | {"target": "planning"}, key="key-0001")
    assert status == 200


@pytest.mark.parametrize("key", ["short", "x" * 201])
async def test_key_of_wrong_length_is_refused(wire, key):
    status, body, _ = await wire.send("POST", "/api/projects", body=BODY, key=key)
    assert (status, body["detail"]) == (422, "Idempotency-Key must have 8 to 200 printable characters")


@pytest.mark.parametrize(
    "change",
    [
        {"prd": ""},
        {"prd": " \n "},
        {"prd": "\0"},
        {"prd": "x" * 1_000_000},
        {"title": "\ud800"},
        {"project_id": "../escape"},
        {"unknown": 1},
    ],
    ids=["empty", "blank", "binary", "1 MB", "surrogate", "path", "unknown field"],
)
async def test_bad_project_is_422_in_one_line_and_creates_nothing(wire, change):
    status, body, _ = await wire.send("POST", "/api/projects", body=BODY | change)
    assert (status, body["retryable"], "\n" in body["detail"]) == (422, False, False)
    assert len(body["detail"]) < 300
    assert (await wire.send("GET", "/api/projects"))[1] == []


async def test_body_that_is_no_json_is_422(wire):
    status, body, _ = await wire.send("POST", "/api/projects", data=b"{not json")
    assert (status, body["code"]) == (422, "invalid_request")


async def test_oversized_or_chunked_body_is_refused(wire):
    async def chunks():
        yield b"{}"

    status, body, _ = await wire.send("POST", "/api/projects", data=chunks())
    assert (status, body["detail"]) == (422, "chunked request bodies are not accepted; send a Content-Length")
    status, body, _ = await wire.send("POST", "/api/projects", data=io.BytesIO(b" " * (MAX_BODY_BYTES + 1)))
    assert (status, str(MAX_BODY_BYTES) in body["detail"]) == (422, True)


async def test_blank_rationale_is_refused(wire):
    _, project, _ = await wire.send("POST", "/api/projects", body=BODY)
    path = f"/api/projects/{project['project_id']}/state"
    for rationale in ("", " \t\n", "\u00a0"):
        status, body, _ = await wire.send("POST", path, body={"target": "planning", "rationale": rationale})
        assert (status, "rationale" in body["detail"]) == (422, True)


async def test_infinite_time_is_refused(wire):
    _, project, _ = await wire.send("POST", "/api/projects", body=BODY)
    data = b"""{"project_id": "%s", "run_kind": "baseline", "final_state": "completed", "is_verified": true, "actuals":
        [{"task_id": "t", "attempt": 1, "lane": "Code-Impl", "configuration": "recipe/format", "time_s": Infinity,
        "is_success": true}]}"""
    status, _, _ = await wire.send("POST", "/api/runs/r/actuals", data=data % project["project_id"].encode())
    assert status == 422


async def test_unknown_path_and_method_have_error_bodies(wire):
    assert (await wire.send("GET", "/nowhere"))[0] == 404
    status, body, _ = await wire.send("PUT", "/api/projects")
    assert (status, body["code"]) == (422, "invalid_request")


@pytest.mark.parametrize(
    "headers",
    [{"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}],
    ids=["host", "origin", "fetch"],
)
async def test_web_page_is_refused(wire, headers):
    status, body, _ = await wire.send("GET", "/api/projects", headers=headers)
    assert (status, body["code"]) == (403, "forbidden")


async def test_answer_carries_the_trace_id_that_came(wire):
    _, _, headers = await wire.send("GET", "/api/projects", headers={"X-Trace-Id": "a" * 32})
    assert headers["X-Trace-Id"] == "a" * 32


def test_app_with_a_route_outside_the_scope_table_is_refused():
    def add_too_many(app):
        add_routes(app, None, Health(version=VERSION, schema="0001"))
        app.get("/secret")(lambda: None)

    with pytest.raises(InternalError, match="GET /secret"):
        make_app(ServiceName.PLMS, KnownCallers(), add_too_many, version=VERSION)
