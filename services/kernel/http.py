"""Both halves of the wire: `make_app` for servers, `HttpCall` for clients.

Everything a service must never forget lives here: the bearer token, the scope table, the error body, the trace header,
idempotency keys, the body limit, and the refusal of browsers' cross-origin requests (loopback is no protection).
"""

import io
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from services.kernel.caller import Authenticator, Caller
from services.kernel.endpoints import ENDPOINT_SCOPES
from services.kernel.errors import (
    DeadlineExceededError,
    InternalError,
    InvalidRequestError,
    PlatformError,
    UnauthenticatedError,
    UnavailableError,
    WireError,
    error_from_wire,
    kind_of_status,
)
from services.kernel.gate import Gate, refuse_foreign_page, refuse_large_body
from services.kernel.ids import TraceId
from services.kernel.log import current_trace_id, trace
from services.kernel.vocabulary import ServiceName

if TYPE_CHECKING:
    import aiohttp  # loaded by the first call: a server that calls nobody spares 9 MB

LOG = logging.getLogger("direng.http")
TRACE_HEADER = "X-Trace-Id"
IDEMPOTENCY_HEADER = "Idempotency-Key"
MAX_BODY_BYTES = 8 * 1024 * 1024
SMALL_BODY_BYTES = 64 * 1024
READ_BUFFER_BYTES = 4 * 1024 * 1024  # an event of a stream is one line, and a line must fit

Endpoint = Callable[[Request], Awaitable[Response]]


class OncePerKey(Protocol):
    """Serves a write at most once per idempotency key (services.wire.idempotency has the SQL one)."""

    async def serve(self, service: ServiceName, request: Request, call_next: Endpoint) -> Response:
        """Return the stored answer of the request's key, or the answer of `call_next`, which is then stored."""
        ...


def error_response(error: PlatformError) -> JSONResponse:
    """Return the wire form of `error`."""
    return JSONResponse(error.to_wire(), status_code=error.status, headers={TRACE_HEADER: current_trace_id()})


async def get_caller(request: Request) -> Caller:
    """FastAPI dependency: the Caller that the scope check below put on the request."""
    caller = request.state.caller
    if not isinstance(caller, Caller):
        raise UnauthenticatedError("this endpoint needs a bearer token")
    return caller


CallerOf = Annotated[Caller, Depends(get_caller)]


def make_app(
    service: ServiceName,
    authenticator: Authenticator,
    add_routes: Callable[[FastAPI], None],
    *,
    version: str,
    idempotency: OncePerKey | None = None,
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]] | None = None,
) -> FastAPI:
    """Return a FastAPI app for `service` with every cross-cutting rule applied.

    `add_routes(app)` adds the endpoints; a route that is missing from ENDPOINT_SCOPES, or an entry without a route, is
    a programming error and raises InternalError here, at start.
    """
    gate = Gate(service, authenticator)
    app = FastAPI(
        title=service.value,
        version=version,
        lifespan=lifespan,
        dependencies=[Depends(gate.confirm)],
        openapi_url=None,  # and with it the generated pages
        redirect_slashes=False,  # an unknown path is a 404 with an error body, not a detour to another one
    )
    add_routes(app)
    _check_routes(service, app)
    app.middleware("http")(_edge(gate, idempotency, service))
    app.add_exception_handler(PlatformError, _on_platform_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    return app


def iterate_routes(app: FastAPI) -> list[APIRoute]:
    """Return the endpoints of `app`."""
    return [route for route in app.routes if isinstance(route, APIRoute)]


def _check_routes(service: ServiceName, app: FastAPI) -> None:
    served = {f"{method} {route.path}" for route in iterate_routes(app) for method in route.methods or ()}
    listed = set(ENDPOINT_SCOPES[service])
    if served != listed:
        raise InternalError(f"{service}: routes and scope table differ in {sorted(served ^ listed)}")


async def _on_platform_error(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, PlatformError):
        raise error
    return error_response(error)


async def _on_validation_error(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise error
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part != "body") or "body"
    return error_response(InvalidRequestError(f"{where}: {first['msg']}"))


async def _on_http_exception(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise error
    return error_response(kind_of_status(error.status_code)(f"{request.method} {request.url.path}: {error.detail}"))


def _edge(
    gate: Gate, idempotency: OncePerKey | None, service: ServiceName
) -> Callable[[Request, Endpoint], Awaitable[Response]]:
    async def handle(request: Request, call_next: Endpoint) -> Response:
        header = request.headers.get(TRACE_HEADER)
        with trace(TraceId(header) if header and header.isalnum() and len(header) <= 64 else None) as trace_id:  # noqa: PLR2004
            try:
                refuse_foreign_page(request)
                refuse_large_body(request, MAX_BODY_BYTES)
                await gate.admit(request)
                if idempotency is not None and _has_key(request):
                    response = await idempotency.serve(service, request, call_next)
                else:
                    response = await call_next(request)
            except PlatformError as error:
                response = error_response(error)
            except Exception:  # the outermost edge: a bug must become one clean answer and one logged stack trace
                LOG.exception("bug while serving %s %s", request.method, request.url.path)
                response = error_response(
                    InternalError(f"internal error; the server's log has the details under trace {trace_id}")
                )
            response.headers[TRACE_HEADER] = trace_id
            response.headers["Cache-Control"] = "no-store"
            return response

    return handle


def _has_key(request: Request) -> bool:
    """Return whether an admitted caller asks for a write that must happen once."""
    is_write = request.method in {"POST", "DELETE", "PUT", "PATCH"}
    return is_write and IDEMPOTENCY_HEADER in request.headers and request.state.caller is not None


class HttpCall:
    """One base URL of a neighbour: request in, model out, errors rebuilt as the class that was raised there."""

    def __init__(self, base_url: str, *, timeout_s: float = 60) -> None:
        self._base_url = base_url.rstrip("/")
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None

    def _open(self) -> "aiohttp.ClientSession":
        import aiohttp  # noqa: PLC0415

        if self._session is None:
            self._session = aiohttp.ClientSession(read_bufsize=READ_BUFFER_BYTES)
        return self._session

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(
        self,
        method: str,
        path: str,
        caller: Caller,
        *,
        body: BaseModel | None = None,
        content: bytes | None = None,
        query: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> bytes:
        """Send one request and return the body of a 2xx answer; raise the PlatformError of any other."""
        import aiohttp  # noqa: PLC0415

        headers = self._headers(caller, idempotency_key)
        data = content
        if body is not None:
            data = body.model_dump_json().encode()
            headers["Content-Type"] = "application/json"
        timeout = aiohttp.ClientTimeout(total=self._timeout_s)
        try:
            async with self._open().request(
                method, self._base_url + path, data=_as_payload(data), params=query, headers=headers, timeout=timeout
            ) as answer:
                payload = await answer.read()
                _raise_for_error(answer.status, payload)
                return payload
        except TimeoutError as error:
            raise DeadlineExceededError(f"{method} {path} did not answer within {self._timeout_s:g} s") from error
        except aiohttp.ClientError as error:
            raise UnavailableError(
                f"{self._base_url} does not answer ({error.__class__.__name__}); is the service running?"
            ) from error

    async def stream(
        self,
        method: str,
        path: str,
        caller: Caller,
        *,
        query: Mapping[str, str] | None = None,
        body: BaseModel | None = None,
    ) -> AsyncIterator[str]:
        """Yield the `data` field of each server-sent event until the stream ends."""
        import aiohttp  # noqa: PLC0415

        headers = self._headers(caller, None) | {"Accept": "text/event-stream"}
        data = None if body is None else body.model_dump_json().encode()
        if data is not None:
            headers["Content-Type"] = "application/json"
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._timeout_s)
        try:
            async with self._open().request(
                method, self._base_url + path, data=data, params=query, headers=headers, timeout=timeout
            ) as answer:
                if answer.status >= 400:  # noqa: PLR2004
                    _raise_for_error(answer.status, await answer.read())
                async for data_line in _sse_data(answer):
                    yield data_line
        except aiohttp.ClientError as error:
            raise UnavailableError(
                f"the event stream broke ({error.__class__.__name__}); reconnect from the last event"
            ) from error

    def _headers(self, caller: Caller, idempotency_key: str | None) -> dict[str, str]:
        headers: dict[str, str] = {TRACE_HEADER: current_trace_id()}
        if caller.token:
            headers["Authorization"] = f"Bearer {caller.token}"
        if idempotency_key is not None:
            headers[IDEMPOTENCY_HEADER] = idempotency_key
        return headers


def _as_payload(data: bytes | None) -> io.BytesIO | bytes | None:
    """Return large bodies as files, which aiohttp sends piece by piece (bytes would block the event loop)."""
    return io.BytesIO(data) if data is not None and len(data) > SMALL_BODY_BYTES else data


async def _sse_data(answer: "aiohttp.ClientResponse") -> AsyncIterator[str]:
    lines: list[str] = []
    async for raw in answer.content:
        line = raw.decode().rstrip("\r\n")
        if line.startswith("data:"):
            lines.append(line[5:].removeprefix(" "))
        elif not line and lines:
            yield "\n".join(lines)
            lines = []


def _raise_for_error(status: int, payload: bytes) -> None:
    if status < 400:  # noqa: PLR2004
        return
    try:
        body: Any = json.loads(payload)
        wire = WireError(code=str(body["code"]), detail=str(body["detail"]), retryable=bool(body["retryable"]))
    except (ValueError, KeyError, TypeError):
        raise kind_of_status(status)(f"the service answered {status} without an error body") from None
    raise error_from_wire(status, wire)


@asynccontextmanager
async def closing(*calls: HttpCall) -> AsyncIterator[None]:
    """Close the given clients when the block ends."""
    try:
        yield
    finally:
        for call in calls:
            await call.close()
