"""HTTP to the local server with the standard library alone (the terminal must start in 150 ms of CPU)."""

import contextlib
import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from services.home import Home, ServerFile
from services.kernel.errors import (
    DeadlineExceededError,
    InternalError,
    UnauthenticatedError,
    UnavailableError,
    WireError,
    error_from_wire,
    kind_of_status,
)
from services.kernel.ids import new_id, new_trace_id

KEY_HEADER = "Idempotency-Key"
Json = Mapping[str, object]
CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class StreamedEvent:
    """One server-sent event: its id (the sequence number, 0 when absent) and its JSON data."""

    seq: int
    data: dict[str, object]


class Wire:
    """Talks to every service of the running server; tokens come from the home file and are read again on a 401."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._server: ServerFile | None = None
        self.trace_id = new_trace_id()

    def server(self) -> ServerFile:
        """Return what the server published, reading the file once."""
        if self._server is None:
            self._server = self._home.read_server()
        return self._server

    def get(self, service: str, path: str, query: Mapping[str, str] | None = None) -> object:
        """GET and return the decoded JSON."""
        return self._exchange(service, _Request("GET", _with_query(path, query)))

    def post(self, service: str, path: str, body: Json, idempotency_key: str | None = None) -> object:
        """POST with an idempotency key (a new one unless given) and return the decoded JSON."""
        return self._exchange(service, _Request("POST", path, body, {KEY_HEADER: idempotency_key or new_id("key")}))

    def put(self, service: str, path: str, body: Json) -> object:
        """PUT with an idempotency key of its own and return the decoded JSON."""
        return self._exchange(service, _Request("PUT", path, body, {KEY_HEADER: new_id("key")}))

    def delete(self, service: str, path: str) -> object:
        """DELETE and return the decoded JSON."""
        return self._exchange(service, _Request("DELETE", path, None, {KEY_HEADER: new_id("key")}))

    def stream(
        self, service: str, method: str, path: str, body: Json | None = None, after: int = 0
    ) -> Iterator[StreamedEvent]:
        """Yield server-sent events until the server ends the stream; closing the iterator closes the connection."""
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
        with self._open(service, _Request(method, path, body, headers)) as answer:
            yield from _events(answer)

    def _exchange(self, service: str, request: "_Request") -> object:
        with self._open(service, request) as answer:
            payload = answer.read()
        return json.loads(payload) if payload else None

    def _open(self, service: str, request: "_Request") -> "_Answer":
        try:
            return self._open_once(service, request)
        except UnauthenticatedError:
            self._server = None  # the server has renewed the tokens since the file was read
            return self._open_once(service, request)

    def _open_once(self, service: str, request: "_Request") -> "_Answer":
        server = self.server()
        headers = {"Authorization": f"Bearer {server.tokens[service]}", "X-Trace-Id": self.trace_id, **request.headers}
        content = None if request.body is None else json.dumps(request.body).encode()
        if content is not None:
            headers["Content-Type"] = "application/json"
        connection = http.client.HTTPConnection("127.0.0.1", server.ports[service], timeout=CONNECT_TIMEOUT_S)
        try:
            connection.connect()
            connection.sock.settimeout(ANSWER_TIMEOUT_S)
            connection.request(request.method, request.path, content, headers)
            return _Answer(connection, connection.getresponse())
        except TimeoutError:
            connection.close()
            raise DeadlineExceededError(f"{service} did not answer in time; look with `direng doctor`") from None
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise UnavailableError(f"{service} does not answer ({error}); start the server with `direng up`") from None


@dataclass(frozen=True)
class _Request:
    """What goes over the wire, but for the token."""

    method: str
    path: str
    body: Json | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class _Answer:
    """An open response that closes its connection."""

    def __init__(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
        self._connection = connection
        self._response = response
        if response.status >= http.HTTPStatus.BAD_REQUEST:
            payload = response.read()
            connection.close()
            _raise_wire_error(response.status, payload)

    def __enter__(self) -> http.client.HTTPResponse:
        return self._response

    def __exit__(self, *_exc: object) -> None:
        # shutdown first: close alone waits for nothing but would leave the peer unaware while a stream is open
        if self._connection.sock is not None:
            with contextlib.suppress(OSError):  # the peer has closed already
                self._connection.sock.shutdown(socket.SHUT_RDWR)
        self._response.close()
        self._connection.close()


def _events(answer: http.client.HTTPResponse) -> Iterator[StreamedEvent]:
    seq, lines = 0, []
    try:
        for raw in answer:
            line = raw.decode().rstrip("\r\n")
            if line.startswith("id:"):
                seq = int(line[3:].strip() or 0)
            elif line.startswith("data:"):
                lines.append(line[5:].removeprefix(" "))
            elif not line and lines:
                yield StreamedEvent(seq, json.loads("\n".join(lines)))
                lines = []
    except (OSError, http.client.HTTPException) as error:
        raise UnavailableError(
            f"the server closed the stream ({error}); the run goes on: look with `direng runs`"
        ) from None


def _raise_wire_error(status: int, payload: bytes) -> None:
    try:
        body = json.loads(payload)
        wire = WireError(code=str(body["code"]), detail=str(body["detail"]), retryable=bool(body["retryable"]))
    except (ValueError, KeyError, TypeError):
        raise kind_of_status(status)(f"the server answered {status} without an error body") from None
    raise error_from_wire(status, wire)


def _with_query(path: str, query: Mapping[str, str] | None) -> str:
    return f"{path}?{urlencode(query)}" if query else path


def as_mapping(value: object) -> dict[str, object]:
    """Narrow decoded JSON to an object; anything else is a bug of the server."""
    if not isinstance(value, dict):
        raise InternalError("the server answered something that is no JSON object")
    return value


def as_sequence(value: object) -> list[dict[str, object]]:
    """Narrow decoded JSON to a list of objects."""
    if not isinstance(value, list):
        raise InternalError("the server answered something that is no JSON list")
    return [as_mapping(item) for item in value]
