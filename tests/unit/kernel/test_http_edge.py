"""What every service's edge does before and after an endpoint runs."""

import json
import logging

import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from pydantic import BaseModel

from services.kernel.db import new_metadata, open_engine, sqlite_url
from services.kernel.errors import ConflictError, InternalError
from services.kernel.http import MAX_BODY_BYTES, CallerOf, make_app
from services.kernel.log import current_trace_id
from services.kernel.vocabulary import ServiceName
from services.wire.idempotency import SqlIdempotencyStore, idempotency_table
from tests.fakes.asgi import ask
from tests.fakes.identity import ENGINEER, NOBODY, STRANGER, KnownCallers
from tests.fakes.time import HandClock

TOKEN = {"Authorization": f"Bearer {ENGINEER.token}", "Content-Type": "application/json"}


class Order(BaseModel):
    amount: int


class Counter:
    """A small real service: each refresh adds, and negative amounts are refused."""

    def __init__(self):
        self.total = 0
        self.traces = []

    def add_routes(self, app: FastAPI) -> None:
        @app.get("/health")
        async def health() -> dict[str, str]:
            return {"status": "ok"}

        @app.post("/refresh")
        async def refresh(caller: CallerOf, body: Order) -> dict[str, int]:
            self.traces.append(current_trace_id())
            if body.amount < 0:
                raise ConflictError("the amount is negative")
            if body.amount == 13:
                raise ZeroDivisionError("a secret detail")
            self.total += body.amount
            return {"total": self.total}

        @app.get("/query")
        async def query(caller: CallerOf) -> dict[str, str]:
            return {"subject": caller.subject}

        @app.post("/mcp")
        @app.get("/mcp")
        @app.get("/freshness")
        @app.get("/cypher")
        @app.get("/snapshot")
        async def snapshot(caller: CallerOf) -> dict[str, str]:
            return {"subject": caller.subject}


@pytest.fixture
def counter():
    return Counter()


@pytest.fixture
def app(counter, tmp_path):
    metadata = new_metadata()
    table = idempotency_table(metadata)
    engine = open_engine(sqlite_url(tmp_path / "edge.db"))
    metadata.create_all(engine)
    store = SqlIdempotencyStore(engine, table, HandClock())
    yield make_app(ServiceName.VECTOR_OPS, KnownCallers(), counter.add_routes, version="1", idempotency=store)
    engine.dispose()


def order(amount):
    return json.dumps({"amount": amount}).encode()


def assert_error(answer, status, code):
    body = answer.read_json()
    assert (answer.status, body["code"], set(body)) == (status, code, {"code", "detail", "retryable"})
    assert "\n" not in body["detail"]
    assert answer.headers["x-trace-id"]


@pytest.mark.parametrize("host", ["127.0.0.1:6000", "localhost:6000", "localhost", "[::1]:6000", "[::1]"])
async def test_loopback_names_are_served(app, host):
    assert (await ask(app, "GET", "/health", {"Host": host})).status == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example:6000", "127.0.0.1.evil.example", "localhost.evil.example:6000", "", "0.0.0.0:6000", "[::2]:1"],
)
async def test_rebinding_host_is_refused_on_loopback(app, host):
    assert_error(await ask(app, "GET", "/health", {"Host": host}), 403, "forbidden")


async def test_other_names_are_served_to_other_machines(app):
    answer = await ask(app, "GET", "/health", {"Host": "plms.internal:6100"}, client=("10.0.0.7", 4000))
    assert answer.status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:6000"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_web_pages_are_refused_even_with_a_good_token(app, counter, headers):
    answer = await ask(app, "POST", "/refresh", TOKEN | headers, order(1))
    assert_error(answer, 403, "forbidden")
    assert counter.total == 0


@pytest.mark.parametrize("length", [str(MAX_BODY_BYTES + 1), "-1", "1e3", "x", "", "²"])
async def test_body_without_a_sane_length_is_refused(app, counter, length):
    answer = await ask(app, "POST", "/refresh", TOKEN | {"Content-Length": length}, order(1))
    assert_error(answer, 422, "invalid_request")
    assert counter.total == 0


async def test_chunked_body_is_refused(app):
    answer = await ask(app, "POST", "/refresh", TOKEN | {"Transfer-Encoding": "chunked"}, order(1))
    assert_error(answer, 422, "invalid_request")


async def test_unknown_path_is_404_with_an_error_body(app):
    assert_error(await ask(app, "GET", "/nowhere", TOKEN), 404, "not_found")


async def test_wrong_method_is_405_told_as_an_invalid_request(app):
    answer = await ask(app, "DELETE", "/health", TOKEN)
    assert answer.read_json()["code"] == "invalid_request"
    assert_error(answer, answer.status, "invalid_request")
    assert answer.status in {405, 422}


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[]", b'{"amount": "many"}', b"{}", b"\xff"])
async def test_bad_body_is_422_with_one_line(app, body):
    assert_error(await ask(app, "POST", "/refresh", TOKEN, body), 422, "invalid_request")


async def test_missing_token_is_401_before_the_body_is_looked_at(app):
    assert_error(await ask(app, "POST", "/refresh", {}, b"{"), 401, "unauthenticated")


@pytest.mark.parametrize("value", [f"Bearer {STRANGER.token}", "Bearer", "Bearer ", "Basic abc", "token", ""])
async def test_bad_authorization_is_401(app, value):
    assert_error(await ask(app, "GET", "/query", {"Authorization": value}), 401, "unauthenticated")


async def test_missing_scope_is_403_and_names_it(app):
    answer = await ask(app, "GET", "/query", {"Authorization": f"Bearer {NOBODY.token}"})
    assert_error(answer, 403, "auth.scope_missing")
    assert "index.read" in answer.read_json()["detail"]


async def test_service_error_keeps_its_status_and_line(app):
    answer = await ask(app, "POST", "/refresh", TOKEN, order(-1))
    assert_error(answer, 409, "conflict")
    assert answer.read_json()["detail"] == "the amount is negative"


async def test_bug_is_500_without_its_detail_and_the_log_has_it(app, caplog):
    with caplog.at_level(logging.ERROR, "direng.http"):
        answer = await ask(app, "POST", "/refresh", TOKEN, order(13))
    assert_error(answer, 500, "internal")
    assert "secret" not in answer.body.decode()
    assert answer.headers["x-trace-id"] in answer.read_json()["detail"]
    assert "ZeroDivisionError" in caplog.text


async def test_trace_id_of_the_request_reaches_the_work_and_comes_back(app, counter):
    answer = await ask(app, "POST", "/refresh", TOKEN | {"X-Trace-Id": "a1" * 16}, order(1))
    assert answer.headers["x-trace-id"] == "a1" * 16
    assert counter.traces == ["a1" * 16]


@pytest.mark.parametrize("sent", ["", "x" * 65, "a b", "a;b", "../x"])
async def test_strange_trace_id_is_replaced(app, sent):
    answer = await ask(app, "GET", "/health", {"X-Trace-Id": sent})
    assert answer.headers["x-trace-id"] != sent
    assert len(answer.headers["x-trace-id"]) == 32


async def test_answers_are_never_cached(app):
    assert (await ask(app, "GET", "/health")).headers["cache-control"] == "no-store"


async def test_repeated_key_returns_the_stored_answer_and_does_nothing_again(app, counter):
    keyed = TOKEN | {"Idempotency-Key": "key-12345678"}
    first = await ask(app, "POST", "/refresh", keyed, order(5))
    again = await ask(app, "POST", "/refresh", keyed, order(5))
    assert (first.status, again.status, again.body, counter.total) == (200, 200, first.body, 5)
    assert ("idempotent-replay" in first.headers, again.headers["idempotent-replay"]) == (False, "true")


async def test_repeated_key_with_another_body_is_409(app, counter):
    keyed = TOKEN | {"Idempotency-Key": "key-12345678"}
    await ask(app, "POST", "/refresh", keyed, order(5))
    assert_error(await ask(app, "POST", "/refresh", keyed, order(6)), 409, "wire.idempotency_key_reused")
    assert counter.total == 5


async def test_request_that_was_refused_may_be_sent_again_with_its_key(app, counter):
    keyed = TOKEN | {"Idempotency-Key": "key-12345678"}
    assert (await ask(app, "POST", "/refresh", keyed, order(-1))).status == 409
    assert "idempotent-replay" not in (await ask(app, "POST", "/refresh", keyed, order(-1))).headers


async def test_stored_answer_is_kept_from_those_without_a_token(app):
    keyed = TOKEN | {"Idempotency-Key": "key-12345678"}
    await ask(app, "POST", "/refresh", keyed, order(5))
    answer = await ask(app, "POST", "/refresh", {"Idempotency-Key": "key-12345678"}, order(5))
    assert_error(answer, 401, "unauthenticated")


@pytest.mark.parametrize("key", ["short", "x" * 201])
async def test_key_of_a_strange_length_is_refused(app, counter, key):
    answer = await ask(app, "POST", "/refresh", TOKEN | {"Idempotency-Key": key}, order(5))
    assert_error(answer, 422, "invalid_request")
    assert counter.total == 0


async def test_writes_without_a_key_happen_each_time(app, counter):
    for _ in range(2):
        await ask(app, "POST", "/refresh", TOKEN, order(5))
    assert counter.total == 10


async def test_unfinished_claim_blocks_until_the_next_start_forgets_it(tmp_path):
    metadata = new_metadata()
    table = idempotency_table(metadata)
    engine = open_engine(sqlite_url(tmp_path / "claims.db"))
    metadata.create_all(engine)
    store = SqlIdempotencyStore(engine, table, HandClock())
    assert await store.begin("s", "key-12345678", "f") is None
    with pytest.raises(ConflictError, match="still"):
        await store.begin("s", "key-12345678", "f")
    store.forget_unfinished()
    with engine.connect() as connection:
        left = connection.execute(sa.select(table)).all()
    assert left == []
    engine.dispose()


def test_app_with_a_route_outside_the_scope_table_is_not_built(counter):
    def add_routes(app: FastAPI) -> None:
        counter.add_routes(app)

        @app.get("/backdoor")
        async def backdoor() -> None:
            return None

    with pytest.raises(InternalError, match="GET /backdoor"):
        make_app(ServiceName.VECTOR_OPS, KnownCallers(), add_routes, version="1")


def test_app_that_lacks_an_endpoint_of_the_table_is_not_built():
    with pytest.raises(InternalError, match="GET /query"):
        make_app(ServiceName.VECTOR_OPS, KnownCallers(), lambda app: None, version="1")
