"""What the rules of auth need from the outside: keys and revocations."""

from dataclasses import dataclass, field
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from services.auth.models import Claims, Jwks, KeyRotation
from services.kernel.vocabulary import ServiceName

TOKEN_ALGORITHM = "RS256"  # noqa: S105 - an algorithm, not a secret
"""The only algorithm of access tokens."""

CLIENT_ALGORITHM = "ES256"
"""The only algorithm of client assertions (ADR-0007)."""


@dataclass(frozen=True)
class VerifyingKey:
    """A public key and the one algorithm it may be used with."""

    kid: str
    alg: str
    public: RSAPublicKey | EllipticCurvePublicKey = field(repr=False)


@dataclass(frozen=True)
class SigningKey:
    """A private key and the one algorithm it may be used with."""

    kid: str
    alg: str
    private: RSAPrivateKey | EllipticCurvePrivateKey = field(repr=False)


class KeySource(Protocol):
    """Where a verifier finds public keys."""

    async def find_key(self, kid: str) -> VerifyingKey | None:
        """Return the key that verifies tokens naming `kid`, None when there is none (any more)."""
        ...


class KeyRing(KeySource, Protocol):
    """The keys of the issuer itself."""

    def get_signing_key(self) -> SigningKey:
        """Return the key that signs now."""
        ...

    def get_jwks(self) -> Jwks:
        """Return all public keys that verify now, or will sign soon."""
        ...

    def rotate(self) -> KeyRotation:
        """Add a key; the present one retires after its grace."""
        ...

    def find_client_key(self, service: ServiceName) -> VerifyingKey | None:
        """Return the registered public key of a service."""
        ...

    def get_bootstrap_secret(self) -> str:
        """Return the secret by which the local user proves to be the owner of the home."""
        ...


class RevocationList(Protocol):
    """What a verifier asks."""

    def is_revoked(self, claims: Claims) -> bool:
        """Return whether the token of `claims` was revoked, by its jti or by its subject."""
        ...


class RevocationLog(RevocationList, Protocol):
    """What the issuer writes."""

    def revoke_jti(self, jti: str, until: int) -> None:
        """Record that one token is bad; `until` (seconds since 1970) is when it has expired anyway."""
        ...

    def revoke_subject(self, subject: str, issued_up_to: int) -> None:
        """Record that all tokens of `subject` issued at or before `issued_up_to` are bad."""
        ...
