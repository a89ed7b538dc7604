"""What a request must pass before anything reads its body: loopback only, a size, a token, the endpoint's scope."""

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.routing import Match

from services.kernel.caller import Authenticator
from services.kernel.endpoints import ENDPOINT_SCOPES
from services.kernel.errors import ForbiddenError, InternalError, InvalidRequestError, UnauthenticatedError
from services.kernel.vocabulary import ServiceName

LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})


class Gate:
    """Authenticates each request and checks the scope of its endpoint before anything reads the body.

    It stands in the middleware, before the idempotency store: a stored answer is given to nobody who could not have
    asked for it. `confirm`, a dependency of every endpoint, refuses an endpoint that was reached without passing it.
    """

    def __init__(self, service: ServiceName, authenticator: Authenticator) -> None:
        self._scopes = ENDPOINT_SCOPES[service]
        self._authenticator = authenticator

    async def admit(self, request: Request) -> None:
        """Put the Caller on the request (None where no token is needed); raise 401 or 403 otherwise."""
        request.state.caller = None
        request.state.endpoint = self._find_endpoint(request)
        scope = self._scopes.get(request.state.endpoint)
        if scope is None:
            return
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token:
            raise UnauthenticatedError("no bearer token; run `direng up`, which writes one into the home file")
        caller = await self._authenticator.authenticate(token)
        caller.require(scope)
        request.state.caller = caller

    @staticmethod
    def _find_endpoint(request: Request) -> str:
        for route in request.app.routes:
            if isinstance(route, APIRoute) and route.matches(request.scope)[0] is Match.FULL:
                return f"{request.method} {route.path}"
        return ""  # no such endpoint: the router answers 404 or 405, and no handler runs

    async def confirm(self, request: Request) -> None:
        """Refuse an endpoint other than the one that was admitted."""
        route: APIRoute = request.scope["route"]
        if request.state.endpoint != f"{request.method} {route.path}":
            raise InternalError(f"{request.method} {route.path} was reached without passing the gate")


def refuse_foreign_page(request: Request) -> None:
    """Refuse DNS rebinding and cross-origin requests: a web page must never drive the platform."""
    host = request.headers.get("Host", "")
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    is_local = request.client is None or request.client.host in {"127.0.0.1", "::1", "testclient"}
    if is_local and name not in LOCAL_HOSTS:
        raise ForbiddenError(f"the Host header names {name or 'nothing'}; only loopback names are served on loopback")
    if "Origin" in request.headers or request.headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"}:
        raise ForbiddenError("cross-origin requests from web pages are refused")


def refuse_large_body(request: Request, max_bytes: int) -> None:
    """Refuse a body that is too large, or that does not say how large it is."""
    if "Transfer-Encoding" in request.headers:
        raise InvalidRequestError("chunked request bodies are not accepted; send a Content-Length")
    length = request.headers.get("Content-Length", "0")
    if not length.isdecimal() or int(length) > max_bytes:
        raise InvalidRequestError(f"Content-Length is {length[:20]!r}; a body has at most {max_bytes} bytes")
