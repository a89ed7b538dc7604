"""Where a service gets its own identity from: tokens per audience, kept, and renewed at half of their life."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from services.auth.core.assertion import sign_assertion
from services.auth.core.grants import ON_REQUEST_ONLY, decide_scopes, scopes_of_client
from services.auth.core.issuer import DEFAULT_TTL_S, AuthService
from services.auth.core.ports import SigningKey
from services.auth.core.verification import TokenPolicy, verify_token
from services.auth.models import MAX_SERVICE_TTL_S, Token, TokenRequest
from services.auth.protocol import Auth
from services.kernel.caller import Caller
from services.kernel.clock import Clock
from services.kernel.errors import UnauthenticatedError
from services.kernel.vocabulary import ServiceName


@dataclass(frozen=True)
class _Held:
    caller: Caller
    renew_at_s: float


def _hold(subject: str, token: Token, now_s: float) -> _Held:
    scopes = decide_scopes(subject, token.audience, (), is_run_bound=False)
    caller = Caller(subject, frozenset(scope.value for scope in scopes), token.access_token)
    return _Held(caller, now_s + (token.expires_at - now_s) / 2)


class LocalCallerSource:
    """Satisfies kernel.caller.CallerSource in the process that holds the keys."""

    def __init__(self, auth: AuthService, service: ServiceName, clock: Clock, *, ttl_s: int = DEFAULT_TTL_S) -> None:
        self._auth = auth
        self._subject = f"service:{service}"
        self._clock = clock
        self._ttl_s = ttl_s
        self._held: dict[ServiceName, _Held] = {}

    async def caller_for(self, audience: ServiceName) -> Caller:
        """Return this service's Caller for `audience`; raises GrantRefusedError when it has no business there."""
        now_s = self._clock.now().timestamp()
        held = self._held.get(audience)
        if held is None or now_s >= held.renew_at_s or not await self._is_good(held, audience, now_s):
            token = self._auth.mint_token(self._subject, audience, ttl_s=self._ttl_s)
            held = _hold(self._subject, token, now_s)
            self._held[audience] = held
        return held.caller

    async def _is_good(self, held: _Held, audience: ServiceName, now_s: float) -> bool:
        policy = TokenPolicy(self._auth.issuer, audience)
        try:
            await verify_token(held.caller.token, policy, self._auth.keys, self._auth.revocations, now_s)
        except UnauthenticatedError:  # revoked, or its key is retired
            return False
        return True


class HttpCallerSource:
    """Satisfies kernel.caller.CallerSource anywhere else: asks auth, proving itself with the service's own key."""

    def __init__(
        self,
        auth: Auth,
        service: ServiceName,
        client_key: SigningKey,
        issuer: str,
        clock: Clock,
        *,
        ttl_s: int = DEFAULT_TTL_S,
    ) -> None:
        self._auth = auth
        self._subject = f"service:{service}"
        self._client_key = client_key
        self._issuer = issuer
        self._clock = clock
        self._ttl_s = ttl_s
        self._held: dict[ServiceName, _Held] = {}

    async def caller_for(self, audience: ServiceName) -> Caller:
        """Return this service's Caller for `audience`; raises what Auth.issue_token raises, or UnavailableError."""
        now_s = self._clock.now().timestamp()
        held = self._held.get(audience)
        if held is None or now_s >= held.renew_at_s:
            assertion = sign_assertion(self._client_key, self._subject, self._issuer, now_s)
            request = TokenRequest(subject=self._subject, audience=audience, assertion=assertion, ttl_s=self._ttl_s)
            held = _hold(self._subject, await self._auth.issue_token(request), now_s)
            self._held[audience] = held
        return held.caller


def mint_user_tokens(
    auth: AuthService,
    subject: str,
    audiences: Collection[ServiceName] = tuple(ServiceName),
    *,
    ttl_s: int = MAX_SERVICE_TTL_S,
) -> Mapping[ServiceName, Token]:
    """Return the tokens for the home file, one per audience that a user may call without asking for more by name.

    For the broker the administration of models is asked for: whose home it is configures the models.
    """
    allowed = {audience: scopes_of_client(subject, audience, is_run_bound=False) for audience in audiences}
    return {
        audience: auth.mint_token(
            subject, audience, tuple(scopes) if audience is ServiceName.BROKER else (), ttl_s=ttl_s
        )
        for audience, scopes in allowed.items()
        if scopes - ON_REQUEST_ONLY
    }
