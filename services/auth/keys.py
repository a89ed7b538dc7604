"""The keys of a home: one directory (0700), one file (0600) per key, one manifest that says which of them count.

auth/keyset.json            kid, when it starts to sign, until when it verifies; written last, so it decides
auth/signing/<kid>.pem      RS256 private keys
auth/jwks.json              their public parts
auth/clients/<service>.pem  the private key by which a service proves itself; <service>.pub.pem is its registration
auth/bootstrap              the secret by which the local user proves to own the home
auth/revocations.jsonl      services.auth.revocation
"""

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.auth.core.ports import CLIENT_ALGORITHM, TOKEN_ALGORITHM, SigningKey, VerifyingKey
from services.auth.files import (
    KeysUnreadableError,
    check_private,
    describe_unreadable,
    lock_directory,
    make_private_directory,
    read_private,
    write_private,
)
from services.auth.jwk import COOLDOWN_S, LIFESPAN_S, compute_thumbprint, to_jwk
from services.auth.models import Jwks, KeyRotation
from services.auth.protocol import RotationPendingError
from services.kernel.clock import Clock
from services.kernel.vocabulary import ServiceName

KEY_BITS = 2048
GRACE_S = 7 * 24 * 3600
"""How long a retired key still verifies: well beyond the longest life of a token."""
PUBLISH_S = LIFESPAN_S + COOLDOWN_S
"""How long a new key is published before it signs, so that every cache knows it by then."""

K = TypeVar("K")


class KeyRecord(BaseModel):
    """One line of the manifest; times are seconds since 1970, `verifies_until` None while the key is not retired."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kid: str = Field(pattern=r"^[A-Za-z0-9_-]{43}$")
    alg: Literal["RS256"] = "RS256"
    signs_from: int
    verifies_until: int | None = None


class KeyManifest(BaseModel):
    """Which keys count."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    keys: tuple[KeyRecord, ...] = Field(min_length=1)


class KeyStore:
    """The keys of one home; satisfies core.ports.KeyRing. Made by `open_keys` or `read_keys`."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock
        self._clients: dict[ServiceName, VerifyingKey] = {}
        self._load_manifest()

    def _load_manifest(self) -> None:
        self._manifest = _read_manifest(self._directory)
        self._private = {record.kid: _read_signing_key(self._directory, record.kid) for record in self._verifying()}

    def _now_s(self) -> int:
        return int(self._clock.now().timestamp())

    def _verifies(self, record: KeyRecord) -> bool:
        return record.verifies_until is None or self._now_s() < record.verifies_until

    def get_signing_key(self) -> SigningKey:
        """Return the newest key that has been published long enough to sign."""
        now = self._now_s()
        due = [record for record in self._manifest.keys if record.signs_from <= now and self._verifies(record)]
        if not due:
            raise KeysUnreadableError(
                f"no key in {self._directory} may sign at this time; compare the clock, or remove the directory"
            )
        return self._private[max(due, key=lambda record: record.signs_from).kid]

    async def find_key(self, kid: str) -> VerifyingKey | None:
        """Return the public half of a key that still verifies."""
        return next((_public_half(self._private[r.kid]) for r in self._verifying() if r.kid == kid), None)

    def _verifying(self) -> list[KeyRecord]:
        return [record for record in self._manifest.keys if self._verifies(record)]

    def get_jwks(self) -> Jwks:
        """Return the public keys that verify now, or will sign soon."""
        return Jwks(keys=tuple(to_jwk(_public_half(self._private[record.kid])) for record in self._verifying()))

    def publish(self) -> None:
        """Write `jwks.json`."""
        write_private(self._directory / "jwks.json", self.get_jwks().model_dump_json(indent=1).encode() + b"\n")

    def rotate(self) -> KeyRotation:
        """Add a key that signs after PUBLISH_S; the present one verifies GRACE_S longer than it signs.

        Raises RotationPendingError while the key of the last rotation does not sign yet.
        """
        with lock_directory(self._directory):
            self._load_manifest()  # another process may have rotated
            now = self._now_s()
            previous = max(self._verifying(), key=lambda record: record.signs_from)
            if previous.signs_from > now:
                wait_s = previous.signs_from - now
                raise RotationPendingError(f"the last rotation takes effect in {wait_s} s; rotate again after that")
            key = _generate_signing_key(self._directory)
            signs_from = now + PUBLISH_S
            retired = previous.model_copy(update={"verifies_until": signs_from + GRACE_S})
            older = [record for record in self._verifying() if record.kid != previous.kid]
            expired = [record.kid for record in self._manifest.keys if not self._verifies(record)]
            new = KeyRecord(kid=key.kid, signs_from=signs_from)
            _write_manifest(self._directory, KeyManifest(keys=(*older, retired, new)))
            self._load_manifest()
            self.publish()
            for kid in expired:
                _signing_path(self._directory, kid).unlink(missing_ok=True)
        return KeyRotation(kid=key.kid, previous_kid=previous.kid, previous_valid_until=signs_from + GRACE_S)

    def get_bootstrap_secret(self) -> str:
        """Return the secret of the home's owner."""
        return read_private(self._directory / "bootstrap").decode()

    def get_client_key(self, service: ServiceName) -> SigningKey:
        """Return the private key by which `service` proves itself."""
        return read_client_key(self._directory / "clients" / f"{service}.pem")

    def find_client_key(self, service: ServiceName) -> VerifyingKey | None:
        """Return the registered public key of `service`, None when it has none."""
        if service not in self._clients:
            path = self._directory / "clients" / f"{service}.pub.pem"
            if not path.exists():
                return None
            public = _load(load_pem_public_key, path)
            if not isinstance(public, ec.EllipticCurvePublicKey):
                raise KeysUnreadableError(f"{path} holds no {CLIENT_ALGORITHM} key")
            self._clients[service] = VerifyingKey(compute_thumbprint(public), CLIENT_ALGORITHM, public)
        return self._clients[service]


def open_keys(directory: Path, clock: Clock) -> KeyStore:
    """Return the keys in `directory`, creating what is missing; of several processes that start at once, one creates.

    Raises KeysUnreadableError, in one line, for a directory or file that is open to others, foreign or damaged.
    """
    make_private_directory(directory)
    with lock_directory(directory):
        make_private_directory(directory / "signing")
        make_private_directory(directory / "clients")
        for service in ServiceName:
            _ensure_client_key(directory / "clients", service)
        if not (directory / "bootstrap").exists():
            write_private(directory / "bootstrap", secrets.token_urlsafe(32).encode())
        if not (directory / "keyset.json").exists():
            first = _generate_signing_key(directory)
            record = KeyRecord(kid=first.kid, signs_from=int(clock.now().timestamp()))
            _write_manifest(directory, KeyManifest(keys=(record,)))
        store = KeyStore(directory, clock)
        store.publish()
    return store


def read_keys(directory: Path, clock: Clock) -> KeyStore:
    """Return the keys in `directory` without creating any. Raises KeysUnreadableError."""
    try:
        check_private(directory, directory.stat(follow_symlinks=False))
    except OSError as error:
        raise describe_unreadable(directory, error) from error
    return KeyStore(directory, clock)


def read_client_key(path: Path) -> SigningKey:
    """Return a service's private key from its file (0600). Raises KeysUnreadableError."""
    private = _load(lambda pem: load_pem_private_key(pem, password=None), path)
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise KeysUnreadableError(f"{path} holds no {CLIENT_ALGORITHM} key")
    return SigningKey(compute_thumbprint(private.public_key()), CLIENT_ALGORITHM, private)


def _load(loader: Callable[[bytes], K], path: Path) -> K:
    try:
        return loader(read_private(path))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeysUnreadableError(f"{path} is damaged: it is not a PEM key; restore it from a backup") from error


def _public_half(key: SigningKey) -> VerifyingKey:
    return VerifyingKey(key.kid, key.alg, key.private.public_key())


def _signing_path(directory: Path, kid: str) -> Path:
    return directory / "signing" / f"{kid}.pem"


def _to_pem(private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _generate_signing_key(directory: Path) -> SigningKey:
    private = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    kid = compute_thumbprint(private.public_key())
    write_private(_signing_path(directory, kid), _to_pem(private))
    return SigningKey(kid, TOKEN_ALGORITHM, private)


def _read_signing_key(directory: Path, kid: str) -> SigningKey:
    path = _signing_path(directory, kid)
    private = _load(lambda pem: load_pem_private_key(pem, password=None), path)
    if not isinstance(private, rsa.RSAPrivateKey) or compute_thumbprint(private.public_key()) != kid:
        raise KeysUnreadableError(f"{path} is not the RSA key that its name says; restore it from a backup")
    return SigningKey(kid, TOKEN_ALGORITHM, private)


def _ensure_client_key(clients: Path, service: ServiceName) -> None:
    """Give a service a key pair, unless its public half is registered (its private half then lives on its machine)."""
    registration, path = clients / f"{service}.pub.pem", clients / f"{service}.pem"
    if registration.exists():
        return
    if path.exists():
        private = read_client_key(path).private
    else:
        private = ec.generate_private_key(ec.SECP256R1())
        write_private(path, _to_pem(private))
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    write_private(registration, public)


def _read_manifest(directory: Path) -> KeyManifest:
    path = directory / "keyset.json"
    try:
        return KeyManifest.model_validate_json(read_private(path))
    except ValidationError as error:
        raise KeysUnreadableError(f"{path} is damaged; restore it from a backup") from error


def _write_manifest(directory: Path, manifest: KeyManifest) -> None:
    write_private(directory / "keyset.json", manifest.model_dump_json(indent=1).encode() + b"\n")
