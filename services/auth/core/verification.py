"""The rules of a good token. Each refusal says in one line what is wrong.

PyJWT checks the signature only: it reads the machine's clock and accepts a numeric string as `exp`, a list as `aud` and
a token without `exp`, so the claims are checked here, against the injected time.
"""

import base64
import json
from dataclasses import dataclass
from typing import TypeVar

import jwt
from pydantic import BaseModel, ValidationError

from services.auth.core.ports import TOKEN_ALGORITHM, KeySource, RevocationList, VerifyingKey
from services.auth.models import MAX_SERVICE_TTL_S, Claims
from services.auth.protocol import TokenExpiredError, TokenInvalidError
from services.kernel.vocabulary import ServiceName

LEEWAY_S = 30
"""How far two machines' clocks may differ."""

MAX_TOKEN_CHARS = 16_384

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class TokenHeader:
    """The only two header fields that are read; jku, x5u, x5c and jwk are an attacker's words and are ignored."""

    alg: str
    kid: str


@dataclass(frozen=True)
class TokenPolicy:
    """Whose tokens, for whom."""

    issuer: str
    audience: ServiceName


def read_header(token: str, algorithm: str) -> TokenHeader:
    """Return the header of a well-formed token that claims `algorithm`; raise TokenInvalidError otherwise."""
    if len(token) > MAX_TOKEN_CHARS or not token.isascii():
        raise TokenInvalidError("the token is not a JWT: it is too long or holds characters that no JWT has")
    header = _parse_header(token)
    alg, kid = header.get("alg"), header.get("kid")
    if alg != algorithm:
        raise TokenInvalidError(f"the token's algorithm is {_shorten(alg)}; only {algorithm} is accepted")
    if "crit" in header:
        raise TokenInvalidError("the token demands extensions (crit) that are not supported")
    if not isinstance(kid, str) or not kid:
        raise TokenInvalidError("the token does not name its key (kid)")
    return TokenHeader(alg, kid)


def _parse_header(token: str) -> dict[str, object]:
    parts = token.split(".")
    try:
        header = json.loads(base64.urlsafe_b64decode(parts[0] + "=" * (-len(parts[0]) % 4)))
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict) or len(parts) != 3:  # noqa: PLR2004 - header, payload, signature
        raise TokenInvalidError("the token is not a JWT, or it is cut short")
    return header


def check_signature(token: str, header: TokenHeader, key: VerifyingKey | None) -> bytes:
    """Return the signed payload; raise TokenInvalidError unless `key` is the one named and signed it."""
    if key is None or key.kid != header.kid:
        raise TokenInvalidError(f"the token's key {_shorten(header.kid)} is not known, or is retired")
    if key.alg != header.alg:
        raise TokenInvalidError(f"the key {key.kid} is bound to {key.alg}, not to {header.alg}")
    try:
        payload = jwt.PyJWS(algorithms=[key.alg]).decode(token, key.public, algorithms=[key.alg])
    except (jwt.PyJWTError, RecursionError) as error:
        raise TokenInvalidError("the token's signature does not verify") from error
    if not isinstance(payload, bytes):
        raise TokenInvalidError("the token holds no payload")
    return payload


def describe_bad_claim(error: ValidationError) -> str:
    """Return the first broken claim in one line."""
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    claim = ".".join(str(part) for part in first["loc"]) or "payload"
    return f"claim {claim} is missing" if first["type"] == "missing" else f"claim {claim}: {first['msg']}"


def parse_claims(model: type[M], payload: bytes) -> M:
    """Return `payload` as `model`; strict: a number is a JSON integer, an audience is one string, nothing is extra."""
    try:
        return model.model_validate_json(payload, strict=True)
    except ValidationError as error:
        raise TokenInvalidError(f"the token is malformed: {describe_bad_claim(error)}") from error


async def verify_token(
    token: str, policy: TokenPolicy, keys: KeySource, revocations: RevocationList, now_s: float
) -> Claims:
    """Return the claims of a good token at `now_s` (seconds since 1970).

    Raises TokenExpiredError when time is all that is wrong, else TokenInvalidError with the reason.
    """
    header = read_header(token, TOKEN_ALGORITHM)
    payload = check_signature(token, header, await keys.find_key(header.kid))
    claims = parse_claims(Claims, payload)
    _check_parties(claims, policy)
    _check_times(claims, now_s)
    if revocations.is_revoked(claims):
        raise TokenInvalidError("the token was revoked; ask for a new one")
    return claims


def _check_parties(claims: Claims, policy: TokenPolicy) -> None:
    if claims.iss != policy.issuer:
        raise TokenInvalidError(f"the token comes from {_shorten(claims.iss)}, not from {policy.issuer}")
    if claims.aud != policy.audience.value:
        raise TokenInvalidError(f"the token is meant for {_shorten(claims.aud)}, not for {policy.audience}")
    if not claims.sub.startswith(("user:", "service:")) or not claims.jti:
        raise TokenInvalidError("the token names no subject of the form user:x or service:x, or has an empty jti")


def _check_times(claims: Claims, now_s: float) -> None:
    if claims.iat > now_s + LEEWAY_S or claims.nbf > now_s + LEEWAY_S:
        raise TokenInvalidError("the token is not valid yet (iat or nbf lies in the future); compare the clocks")
    if not 0 < claims.exp - claims.iat <= MAX_SERVICE_TTL_S:
        raise TokenInvalidError(f"the token's life is not between 1 and {MAX_SERVICE_TTL_S} s")
    if now_s >= claims.exp + LEEWAY_S:
        raise TokenExpiredError("the token has expired; ask for a new one (`direng up` renews the home file)")


def _shorten(value: object) -> str:
    return repr(value)[:60]
