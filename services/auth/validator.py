"""From a bearer token to a Caller, for one audience."""

from services.auth.core.ports import KeySource, RevocationList
from services.auth.core.verification import TokenPolicy, verify_token
from services.kernel.caller import Caller
from services.kernel.clock import Clock
from services.kernel.vocabulary import ServiceName


class TokenAuthenticator:
    """Satisfies kernel.caller.Authenticator.

    `keys` is the issuer's KeyStore in the same process, or a JwksFile, or an HttpJwks.
    """

    def __init__(
        self, keys: KeySource, audience: ServiceName, issuer: str, revocations: RevocationList, clock: Clock
    ) -> None:
        self._keys = keys
        self._policy = TokenPolicy(issuer, audience)
        self._revocations = revocations
        self._clock = clock

    async def authenticate(self, token: str) -> Caller:
        """Return the Caller of a good token; raise TokenExpiredError or TokenInvalidError with the reason."""
        now_s = self._clock.now().timestamp()
        claims = await verify_token(token, self._policy, self._keys, self._revocations, now_s)
        return Caller(claims.sub, frozenset(claims.scopes), token, claims.run_id, claims.project_id)
