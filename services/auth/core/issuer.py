"""AuthService: who may have which token, and what becomes of it."""

import asyncio
import hmac

import jwt

from services.auth.core.assertion import AssertionChecker
from services.auth.core.grants import decide_scopes
from services.auth.core.ports import KeyRing, RevocationLog
from services.auth.core.verification import TokenPolicy, verify_token
from services.auth.models import (
    MAX_SERVICE_TTL_S,
    Claims,
    Introspection,
    IntrospectRequest,
    Jwks,
    KeyRotation,
    Revocation,
    Token,
    TokenRequest,
)
from services.auth.protocol import GrantRefusedError, TokenInvalidError
from services.kernel.caller import Caller
from services.kernel.clock import Clock
from services.kernel.errors import InvalidRequestError, UnauthenticatedError
from services.kernel.ids import new_id
from services.kernel.vocabulary import Scope, ServiceName

DEFAULT_TTL_S = 900
MAX_RUN_TTL_S = 3600
"""A run token is renewed only while its run lives, so the last one ends an hour after the run at the latest."""


class AuthService:
    """Satisfies protocol.Auth."""

    def __init__(self, keys: KeyRing, revocations: RevocationLog, clock: Clock, issuer: str) -> None:
        self._keys = keys
        self._revocations = revocations
        self._clock = clock
        self._issuer = issuer
        self._assertions = AssertionChecker(issuer)

    @property
    def keys(self) -> KeyRing:
        """The issuer's keys; its KeySource half is what verifiers in the same process use."""
        return self._keys

    @property
    def revocations(self) -> RevocationLog:
        """What was revoked."""
        return self._revocations

    @property
    def issuer(self) -> str:
        """The `iss` of every token."""
        return self._issuer

    def _now_s(self) -> float:
        return self._clock.now().timestamp()

    async def issue_token(self, request: TokenRequest) -> Token:
        self._check_proof(request)
        return self.mint_token(
            request.subject,
            request.audience,
            request.scopes,
            ttl_s=request.ttl_s,
            run_id=request.run_id,
            project_id=request.project_id,
        )

    def mint_token(
        self,
        subject: str,
        audience: ServiceName,
        scopes: tuple[Scope, ...] = (),
        *,
        ttl_s: int = DEFAULT_TTL_S,
        run_id: str | None = None,
        project_id: str | None = None,
    ) -> Token:
        """Return a token without asking for proof: for those who hold this object, and so the keys, anyway.

        The grants apply all the same. Raises GrantRefusedError.
        """
        if run_id is not None and not subject.startswith("service:"):
            raise GrantRefusedError("only services get tokens that are bound to a run")
        decided = decide_scopes(subject, audience, scopes, is_run_bound=run_id is not None)
        now = int(self._now_s())
        longest = MAX_SERVICE_TTL_S if run_id is None else MAX_RUN_TTL_S
        claims = Claims(
            iss=self._issuer,
            sub=subject,
            aud=audience.value,
            exp=now + max(1, min(ttl_s, longest)),
            iat=now,
            nbf=now,
            jti=new_id("tk"),
            scopes=tuple(sorted(scope.value for scope in decided)),
            run_id=run_id,
            project_id=project_id,
        )
        return Token(access_token=self._sign(claims), audience=audience, expires_at=claims.exp)

    def _sign(self, claims: Claims) -> str:
        key = self._keys.get_signing_key()
        body = claims.model_dump(exclude_none=True)
        return jwt.encode(body, key.private, algorithm=key.alg, headers={"kid": key.kid})

    def _check_proof(self, request: TokenRequest) -> None:
        kind, _, name = request.subject.partition(":")
        if kind == "user":
            secret = self._keys.get_bootstrap_secret().encode()
            if not hmac.compare_digest(secret, request.assertion.encode()):
                raise TokenInvalidError("that is not the bootstrap secret of this home")
            return
        key = self._keys.find_client_key(ServiceName(name)) if name in set(ServiceName) else None
        self._assertions.check(request.assertion, request.subject, key, self._now_s())

    async def introspect(self, caller: Caller, request: IntrospectRequest) -> Introspection:
        caller.require(Scope.AUTH_ADMIN)
        policy = TokenPolicy(self._issuer, request.audience)
        try:
            claims = await verify_token(request.token, policy, self._keys, self._revocations, self._now_s())
        except UnauthenticatedError as error:
            return Introspection(active=False, reason=error.detail)
        return Introspection(active=True, claims=claims)

    async def revoke(self, caller: Caller, revocation: Revocation) -> None:
        caller.require(Scope.AUTH_ADMIN)
        now = int(self._now_s())
        if (revocation.jti is None) == (revocation.subject is None):
            raise InvalidRequestError("name either the jti of one token or a subject")
        if revocation.jti is not None:
            await asyncio.to_thread(self._revocations.revoke_jti, revocation.jti, now + MAX_SERVICE_TTL_S)
        if revocation.subject is not None:
            await asyncio.to_thread(self._revocations.revoke_subject, revocation.subject, now)

    async def rotate_keys(self, caller: Caller) -> KeyRotation:
        caller.require(Scope.AUTH_ADMIN)
        return await asyncio.to_thread(self._keys.rotate)

    async def get_jwks(self) -> Jwks:
        return self._keys.get_jwks()
