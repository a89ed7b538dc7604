"""Tokens that an attacker, or a broken client, might send: any header, any payload, any key."""

import base64
import json
from collections.abc import Mapping
from functools import cache

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from services.auth.core.ports import SigningKey


@cache
def make_attacker_key() -> rsa.RSAPrivateKey:
    """Return an RSA key that no auth service knows (made once: it costs 0.1 s)."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@cache
def make_curve_key() -> ec.EllipticCurvePrivateKey:
    """Return a P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def encode_part(value: object) -> str:
    """Return base64url of `value` as JSON, or of raw bytes."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def assemble(header: object, payload: object, signature: bytes = b"") -> str:
    """Return a token of exactly these parts."""
    return ".".join([encode_part(header), encode_part(payload), encode_part(signature)])


def sign(key: SigningKey, payload: Mapping[str, object] | bytes, **header: object) -> str:
    """Return `payload` signed with `key`, with no check of any claim."""
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return jwt.PyJWS().encode(raw, key.private, algorithm=key.alg, headers={"kid": key.kid} | header)
