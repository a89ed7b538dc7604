"""Auth from afar."""

import services.auth.protocol  # noqa: F401 - an error is rebuilt as its own class only where that class is loaded
from services.auth.models import Introspection, IntrospectRequest, Jwks, KeyRotation, Revocation, Token, TokenRequest
from services.kernel.caller import Caller
from services.kernel.http import HttpCall

ANONYMOUS = Caller("service:anonymous", frozenset())
"""For the two endpoints that are open: the proof is in the body, or none is needed."""


class HttpAuth:
    """Satisfies protocol.Auth over HTTP; whoever made `call` closes it."""

    def __init__(self, call: HttpCall) -> None:
        self._call = call

    async def issue_token(self, request: TokenRequest) -> Token:
        return Token.model_validate_json(await self._call.send("POST", "/token", ANONYMOUS, body=request))

    async def introspect(self, caller: Caller, request: IntrospectRequest) -> Introspection:
        answer = await self._call.send("POST", "/token/introspect", caller, body=request)
        return Introspection.model_validate_json(answer)

    async def revoke(self, caller: Caller, revocation: Revocation) -> None:
        await self._call.send("POST", "/revoke", caller, body=revocation)

    async def rotate_keys(self, caller: Caller) -> KeyRotation:
        return KeyRotation.model_validate_json(await self._call.send("POST", "/keys/rotate", caller))

    async def get_jwks(self) -> Jwks:
        return Jwks.model_validate_json(await self._call.send("GET", "/.well-known/jwks.json", ANONYMOUS))
