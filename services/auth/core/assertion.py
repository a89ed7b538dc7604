"""How a service proves itself to auth: a short-lived JWT signed with its own key (after RFC 7523)."""

import jwt
from pydantic import BaseModel, ConfigDict

from services.auth.core.ports import CLIENT_ALGORITHM, SigningKey, VerifyingKey
from services.auth.core.verification import LEEWAY_S, check_signature, parse_claims, read_header
from services.auth.protocol import TokenInvalidError
from services.kernel.ids import new_id

MAX_LIFE_S = 300


class AssertionClaims(BaseModel):
    """All are required; `aud` is the issuer that the assertion is meant for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    iss: str
    sub: str
    aud: str
    exp: int
    iat: int
    jti: str


def sign_assertion(key: SigningKey, subject: str, issuer: str, now_s: float) -> str:
    """Return an assertion that is good for one minute, once."""
    now = int(now_s)
    claims = AssertionClaims(iss=subject, sub=subject, aud=issuer, iat=now, exp=now + 60, jti=new_id("as"))
    return jwt.encode(claims.model_dump(), key.private, algorithm=key.alg, headers={"kid": key.kid})


class AssertionChecker:
    """Accepts each assertion once."""

    def __init__(self, issuer: str) -> None:
        self._issuer = issuer
        self._seen: dict[str, int] = {}

    def check(self, assertion: str, subject: str, key: VerifyingKey | None, now_s: float) -> None:
        """Raise TokenInvalidError unless `assertion` proves that its sender holds the key of `subject`."""
        header = read_header(assertion, CLIENT_ALGORITHM)
        claims = parse_claims(AssertionClaims, check_signature(assertion, header, key))
        if (claims.iss, claims.sub) != (subject, subject):
            raise TokenInvalidError(f"the assertion was not made by {subject}")
        if claims.aud != self._issuer:
            raise TokenInvalidError("the assertion is meant for another issuer")
        is_current = claims.iat <= now_s + LEEWAY_S and now_s < claims.exp + LEEWAY_S
        if not is_current or not 0 < claims.exp - claims.iat <= MAX_LIFE_S:
            raise TokenInvalidError(f"the assertion is not current, or lives longer than {MAX_LIFE_S} s")
        self._spend(claims, now_s)

    def _spend(self, claims: AssertionClaims, now_s: float) -> None:
        self._seen = {jti: exp for jti, exp in self._seen.items() if exp + LEEWAY_S > now_s}
        if claims.jti in self._seen:
            raise TokenInvalidError("the assertion was used before; sign a new one")
        self._seen[claims.jti] = claims.exp
