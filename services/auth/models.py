"""Vocabulary of auth: claims, token requests, revocations."""

from pydantic import BaseModel, ConfigDict, Field

from services.kernel.ids import ID_PATTERN
from services.kernel.vocabulary import Scope, ServiceName

MAX_SERVICE_TTL_S = 24 * 3600


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Claims(_Frozen):
    """The validated content of a token (RFC 7519 names). All fields but the last two are required in every token."""

    iss: str
    sub: str
    aud: str
    exp: int
    iat: int
    nbf: int
    jti: str
    scopes: tuple[str, ...]
    run_id: str | None = None
    project_id: str | None = None


class TokenRequest(_Frozen):
    """Ask for a token.

    `assertion` is a JWT signed with the client's own key (RFC 7523), or the home-file bootstrap secret.
    """

    subject: str = Field(pattern=r"^(service|user):[a-z0-9_.-]{1,64}$")
    audience: ServiceName
    scopes: tuple[Scope, ...] = ()
    assertion: str = Field(min_length=1, max_length=8192)
    ttl_s: int = Field(default=900, ge=1, le=MAX_SERVICE_TTL_S)
    run_id: str | None = Field(default=None, pattern=ID_PATTERN)
    project_id: str | None = Field(default=None, pattern=ID_PATTERN)


class Token(_Frozen):
    """A bearer token for one audience; `expires_at` is seconds since 1970."""

    access_token: str
    audience: ServiceName
    expires_at: int


class Introspection(_Frozen):
    """Whether a token is good, and why not (RFC 7662)."""

    active: bool
    reason: str = ""
    claims: Claims | None = None


class IntrospectRequest(_Frozen):
    """A token to look into."""

    token: str = Field(min_length=1, max_length=16_384)
    audience: ServiceName


class Revocation(_Frozen):
    """Revoke one token by `jti`, or all of a subject's tokens issued up to now by `subject`."""

    jti: str | None = Field(default=None, min_length=1, max_length=200)
    subject: str | None = Field(default=None, min_length=1, max_length=200)


class KeyRotation(_Frozen):
    """The result of a rotation: the new key signs after the grace caches need; the old one verifies for 7 days more."""

    kid: str
    previous_kid: str
    previous_valid_until: int


class Jwk(_Frozen):
    """One public RSA key (RFC 7517)."""

    kty: str
    kid: str
    use: str
    alg: str
    n: str
    e: str


class Jwks(_Frozen):
    """The public keys that verify tokens."""

    keys: tuple[Jwk, ...]
