"""Auth over HTTP."""

from fastapi import FastAPI, Request

from services.auth.core.limits import FailureLimiter
from services.auth.models import Introspection, IntrospectRequest, Jwks, KeyRotation, Revocation, Token, TokenRequest
from services.auth.protocol import Auth
from services.kernel.errors import ForbiddenError, UnauthenticatedError
from services.kernel.http import CallerOf


def add_routes(app: FastAPI, service: Auth, limiter: FailureLimiter) -> None:
    """Add the endpoints of auth; `limiter` slows down who guesses at POST /token."""

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok", "service": "auth"}

    @app.get("/.well-known/jwks.json")
    async def get_jwks() -> Jwks:
        return await service.get_jwks()

    @app.post("/token")
    async def issue_token(request: Request, body: TokenRequest) -> Token:
        client = (request.client.host if request.client else "", body.subject)
        return await _issue_limited(service, limiter, client, body)

    @app.post("/token/introspect")
    async def introspect(caller: CallerOf, body: IntrospectRequest) -> Introspection:
        return await service.introspect(caller, body)

    @app.post("/revoke", status_code=204)
    async def revoke(caller: CallerOf, body: Revocation) -> None:
        await service.revoke(caller, body)

    @app.post("/keys/rotate")
    async def rotate_keys(caller: CallerOf) -> KeyRotation:
        return await service.rotate_keys(caller)


async def _issue_limited(service: Auth, limiter: FailureLimiter, client: tuple[str, str], body: TokenRequest) -> Token:
    limiter.check(client)
    try:
        return await service.issue_token(body)
    except (UnauthenticatedError, ForbiddenError):
        limiter.record_failure(client)
        raise
