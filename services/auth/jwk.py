"""Public keys as JSON Web Keys (RFC 7517), their thumbprints (RFC 7638), and where verifiers read them from."""

import asyncio
import base64
import hashlib
import json
import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from pydantic import ValidationError

from services.auth.core.ports import TOKEN_ALGORITHM, VerifyingKey
from services.auth.models import Jwk, Jwks
from services.kernel.caller import Caller
from services.kernel.clock import Clock
from services.kernel.errors import InternalError, PlatformError, UnavailableError
from services.kernel.http import HttpCall

RSA_BITS = range(2048, 8193)
LIFESPAN_S = 300
"""How long a fetched key set is used without asking again."""
COOLDOWN_S = 30
"""The least time between two fetches: a flood of tokens with invented kids causes no flood of requests."""
FETCH_TIMEOUT_S = 3.0


def _encode(number: int, length: int | None = None) -> str:
    size = length or (number.bit_length() + 7) // 8
    return base64.urlsafe_b64encode(number.to_bytes(size, "big")).rstrip(b"=").decode()


def _decode(text: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")


def compute_thumbprint(public: RSAPublicKey | EllipticCurvePublicKey) -> str:
    """Return the RFC 7638 SHA-256 thumbprint: it depends on the key type, so a kid is bound to its kind of key."""
    if isinstance(public, RSAPublicKey):
        rsa = public.public_numbers()
        members = {"e": _encode(rsa.e), "kty": "RSA", "n": _encode(rsa.n)}
    else:
        if not isinstance(public.curve, SECP256R1):
            raise InternalError(f"client keys are on the curve P-256, not {public.curve.name}")
        point = public.public_numbers()
        members = {"crv": "P-256", "kty": "EC", "x": _encode(point.x, 32), "y": _encode(point.y, 32)}
    canonical = json.dumps(members, separators=(",", ":"), sort_keys=True).encode()
    return base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).rstrip(b"=").decode()


def to_jwk(key: VerifyingKey) -> Jwk:
    """Return the public JWK of an RSA key."""
    if not isinstance(key.public, RSAPublicKey):
        raise InternalError("only RSA keys are published")
    numbers = key.public.public_numbers()
    return Jwk(kty="RSA", kid=key.kid, use="sig", alg=key.alg, n=_encode(numbers.n), e=_encode(numbers.e))


def from_jwk(jwk: Jwk) -> VerifyingKey:
    """Return the key of a JWK; raise ValueError unless it is an RS256 key whose kid is its own thumbprint."""
    if (jwk.kty, jwk.use, jwk.alg) != ("RSA", "sig", TOKEN_ALGORITHM):
        raise ValueError(f"key {jwk.kid[:60]} is not an {TOKEN_ALGORITHM} signature key")
    public = RSAPublicNumbers(e=_decode(jwk.e), n=_decode(jwk.n)).public_key()
    if public.key_size not in RSA_BITS or compute_thumbprint(public) != jwk.kid:
        raise ValueError(f"key {jwk.kid[:60]} has a bad size, or is not the key that its kid names")
    return VerifyingKey(jwk.kid, TOKEN_ALGORITHM, public)


def parse_jwks(content: bytes, source: str) -> dict[str, VerifyingKey]:
    """Return the keys by kid; raise InternalError, naming `source`, when the set is malformed."""
    try:
        keys = [from_jwk(jwk) for jwk in Jwks.model_validate_json(content).keys]
    except (ValidationError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise InternalError(f"the key set of {source} is malformed: {reason}") from error
    return {key.kid: key for key in keys}


class JwksFile:
    """A key set in a file, such as the `jwks.json` beside the keys; read again whenever it is replaced."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._keys: dict[str, VerifyingKey] = {}

    async def find_key(self, kid: str) -> VerifyingKey | None:
        """Return the key, None for an unknown one; raises UnavailableError when the file cannot be read."""
        try:
            status = os.stat(self._path)  # noqa: PTH116 - a microsecond on the path of every request
            stamp = (status.st_ino, status.st_size, status.st_mtime_ns)
            if stamp != self._stamp:
                self._keys = parse_jwks(self._path.read_bytes(), str(self._path))
                self._stamp = stamp
        except OSError as error:
            raise UnavailableError(f"cannot read the key set {self._path}: {error.strerror}") from error
        return self._keys.get(kid)


class HttpJwks:
    """The key set of a remote auth service at one configured address; nothing in a token can change where it asks.

    A new key is known after COOLDOWN_S at the latest, a withdrawn one is forgotten after LIFESPAN_S; while auth
    does not
    answer, the last set stays good for twice LIFESPAN_S.
    """

    def __init__(self, auth_url: str, clock: Clock, *, timeout_s: float = FETCH_TIMEOUT_S) -> None:
        self._call = HttpCall(auth_url, timeout_s=timeout_s)
        self._url = auth_url
        self._clock = clock
        self._keys: dict[str, VerifyingKey] = {}
        self._fetched_s: float | None = None
        self._tried_s: float | None = None
        self._lock = asyncio.Lock()

    async def close(self) -> None:
        """Close the connection."""
        await self._call.close()

    async def find_key(self, kid: str) -> VerifyingKey | None:
        """Return the key, None for an unknown one; raises UnavailableError when no fresh enough set is at hand."""
        async with self._lock:
            if not self._is_younger_than(LIFESPAN_S) or kid not in self._keys:
                await self._refresh()
            if not self._is_younger_than(2 * LIFESPAN_S):
                raise UnavailableError(f"the key set of {self._url} cannot be fetched; is auth running?")
            return self._keys.get(kid)

    def _is_younger_than(self, age_s: float) -> bool:
        return self._fetched_s is not None and self._clock.monotonic_s() - self._fetched_s < age_s

    async def _refresh(self) -> None:
        now = self._clock.monotonic_s()
        if self._tried_s is not None and now - self._tried_s < COOLDOWN_S:
            return
        self._tried_s = now
        try:
            body = await self._call.send("GET", "/.well-known/jwks.json", Caller("service:verifier", frozenset()))
            self._keys = parse_jwks(body, self._url)
            self._fetched_s = now
        except PlatformError:
            return  # find_key decides whether the last set is still good enough
