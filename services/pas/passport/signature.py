"""RS256 signatures of passports: made with the platform's signing key, verified with its archived public half."""

import base64
import binascii
import json
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from jwt.algorithms import RSAAlgorithm
from jwt.exceptions import InvalidKeyError
from pydantic import ValidationError

from services.kernel.errors import InvalidRequestError
from services.pas.core.passports import canonical_json, digest_of
from services.pas.models import Passport, SignedPassport

ARCHIVE = "passport-keys"
"""Folder of a home; a key stays here after its rotation, because passports outlive keys."""


class PassportInvalidError(InvalidRequestError):
    """The passport was changed, or is signed by a key that this home does not know."""

    code = "pas.passport_invalid"


class RingSigner:
    """Signs with whatever key `find_key` gives at the moment; keeps its public half in `archive`."""

    def __init__(self, find_key: Callable[[], tuple[str, RSAPrivateKey]], archive: Path) -> None:
        self._find_key = find_key
        self._archive = archive
        self._kid, self._key = find_key()

    @property
    def kid(self) -> str:
        """Take the present key and return its name; `sign` uses the same one."""
        self._kid, self._key = self._find_key()
        return self._kid

    def sign(self, content: bytes) -> str:
        """Return the RS256 signature of `content`, base64url without padding."""
        self._archive.mkdir(mode=0o700, parents=True, exist_ok=True)
        place = self._archive / f"{self._kid}.pem"
        if not place.exists():
            pem = self._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            draft = place.with_suffix(".tmp")
            draft.write_bytes(pem)
            draft.replace(place)
        signature = self._key.sign(content, PKCS1v15(), SHA256())
        return base64.urlsafe_b64encode(signature).rstrip(b"=").decode()


def read_public_key(home: Path, kid: str) -> RSAPublicKey:
    """Return the public key `kid` of a home: archived, or still published by its auth service.

    Raises PassportInvalidError when this home knows no such key.
    """
    if not kid or not kid.replace("-", "").replace("_", "").isalnum():
        raise PassportInvalidError("the passport names no usable key")
    try:
        key: object = _read_archived(home / ARCHIVE / f"{kid}.pem") or _read_published(home / "auth" / "jwks.json", kid)
    except (OSError, ValueError, InvalidKeyError) as error:
        raise PassportInvalidError(f"the public key {kid} of this home cannot be read: {error}") from error
    if not isinstance(key, RSAPublicKey):
        raise PassportInvalidError(f"the passport is signed by the key {kid}, which this home does not know")
    return key


def _read_archived(place: Path) -> object:
    return load_pem_public_key(place.read_bytes()) if place.exists() else None


def _read_published(place: Path, kid: str) -> object:
    if not place.exists():
        return None
    keys = json.loads(place.read_bytes())["keys"]
    found = next((key for key in keys if key.get("kid") == kid and key.get("kty") == "RSA"), None)
    return RSAAlgorithm.from_jwk(found) if found else None


def verify_passport(signed: SignedPassport, home: Path) -> Passport:
    """Return the passport after checking signature, digest and canonical form; raise PassportInvalidError."""
    key = read_public_key(home, signed.kid)
    padded = signed.signature + "=" * (-len(signed.signature) % 4)
    try:
        key.verify(base64.urlsafe_b64decode(padded), signed.document.encode(), PKCS1v15(), SHA256())
    except (InvalidSignature, binascii.Error, ValueError) as error:
        raise PassportInvalidError("the signature does not fit the passport: it was changed after signing") from error
    if digest_of(signed.document) != signed.sha256:
        raise PassportInvalidError("the digest does not fit the passport's document")
    try:
        passport = Passport.model_validate_json(signed.document)
    except ValidationError as error:
        raise PassportInvalidError(f"the document is no passport: {error.errors()[0]['msg']}") from error
    if canonical_json(passport.model_dump(mode="json")) != signed.document:
        raise PassportInvalidError("the passport's document is not in canonical form")
    return passport
