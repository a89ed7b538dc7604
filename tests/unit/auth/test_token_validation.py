"""Every forged, broken or stale token is refused with its reason."""

import hashlib
import hmac
from dataclasses import dataclass

import jwt
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.auth.app import REVOCATIONS_FILE
from services.auth.core.issuer import AuthService
from services.auth.core.ports import SigningKey, VerifyingKey
from services.auth.core.verification import LEEWAY_S, MAX_TOKEN_CHARS
from services.auth.keys import GRACE_S, PUBLISH_S, KeyStore, read_keys
from services.auth.models import MAX_SERVICE_TTL_S, Revocation
from services.auth.protocol import TokenExpiredError, TokenInvalidError
from services.auth.revocation import RevocationFile
from services.auth.validator import TokenAuthenticator
from services.kernel.vocabulary import ServiceName
from tests.fakes.forgery import assemble, encode_part, make_attacker_key, make_curve_key, sign
from tests.fakes.identity import ENGINEER
from tests.fakes.time import HandClock

ISSUER = "direng-auth"


@dataclass
class World:
    clock: HandClock
    keys: KeyStore
    auth: AuthService
    plms: TokenAuthenticator

    @property
    def key(self) -> SigningKey:
        return self.keys.get_signing_key()

    def claims(self, **changes):
        now = self.clock.now_s()
        claims = {
            "iss": ISSUER,
            "sub": "user:me",
            "aud": "plms",
            "exp": now + 900,
            "iat": now,
            "nbf": now,
            "jti": "tk-1",
            "scopes": ["plms.approve"],
        }
        return claims | changes

    def header(self, **changes):
        return {"alg": "RS256", "typ": "JWT", "kid": self.key.kid} | changes

    async def refuse(self, token: str, reason: str) -> None:
        with pytest.raises(TokenInvalidError, match=reason) as caught:
            await self.plms.authenticate(token)
        assert "\n" not in caught.value.detail


@pytest.fixture
def world(key_directory):
    clock = HandClock()
    keys = read_keys(key_directory, clock)
    revocations = RevocationFile(key_directory / REVOCATIONS_FILE)
    auth = AuthService(keys, revocations, clock, ISSUER)
    return World(clock, keys, auth, TokenAuthenticator(keys, ServiceName.PLMS, ISSUER, revocations, clock))


async def test_good_token_becomes_the_caller_it_names(world):
    token = sign(world.key, world.claims(run_id="run-1", project_id="prj-1"))
    caller = await world.plms.authenticate(token)
    assert (caller.subject, caller.scopes, caller.token) == ("user:me", frozenset({"plms.approve"}), token)
    assert (caller.run_id, caller.project_id) == ("run-1", "prj-1")


@pytest.mark.parametrize("algorithm", ["none", "None", "nOnE", "NONE"])
async def test_unsigned_token_is_refused(world, algorithm):
    await world.refuse(assemble(world.header(alg=algorithm), world.claims()), "only RS256 is accepted")


async def test_stripped_signature_is_refused(world):
    await world.refuse(sign(world.key, world.claims()).rpartition(".")[0] + ".", "signature does not verify")


async def test_hs256_with_the_public_key_as_its_secret_is_refused(world):
    pem = world.key.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head = encode_part(world.header(alg="HS256")) + "." + encode_part(world.claims())
    token = head + "." + encode_part(hmac.new(pem, head.encode(), hashlib.sha256).digest())
    assert jwt.PyJWS().get_unverified_header(token)["alg"] == "HS256"
    await world.refuse(token, "only RS256 is accepted")


@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256"])
async def test_other_rsa_algorithms_with_the_right_key_are_refused(world, algorithm):
    key = SigningKey(world.key.kid, algorithm, world.key.private)
    await world.refuse(sign(key, world.claims()), "only RS256 is accepted")


@pytest.mark.parametrize("claim", ["iss", "sub", "aud", "exp", "iat", "nbf", "jti", "scopes"])
async def test_token_without_a_claim_is_refused_by_name(world, claim):
    claims = world.claims()
    del claims[claim]
    await world.refuse(sign(world.key, claims), f"claim {claim} is missing")


@pytest.mark.parametrize("claim", ["exp", "iat", "nbf"])
@pytest.mark.parametrize("make", [str, float, lambda now: True, lambda now: None, lambda now: [now]])
async def test_time_that_is_not_a_json_integer_is_refused(world, claim, make):
    await world.refuse(sign(world.key, world.claims(**{claim: make(world.clock.now_s())})), f"claim {claim}")


@pytest.mark.parametrize("audience", [["plms"], ["plms", "pas"], {"plms": 1}, 1])
async def test_audience_that_is_not_one_string_is_refused(world, audience):
    await world.refuse(sign(world.key, world.claims(aud=audience)), "claim aud")


@pytest.mark.parametrize("audience", ["pas", "PLMS", "plms ", "plms.example", ""])
async def test_token_for_another_audience_is_refused(world, audience):
    await world.refuse(sign(world.key, world.claims(aud=audience)), "not for plms")


@pytest.mark.parametrize("issuer", ["direng", "direng-auth-x", "direng-auth/", "Direng-auth", "", "x direng-auth"])
async def test_token_of_another_issuer_is_refused_even_when_one_is_a_prefix(world, issuer):
    await world.refuse(sign(world.key, world.claims(iss=issuer)), "not from direng-auth")


@pytest.mark.parametrize("scopes", ["plms.approve", None, [1], {"plms.approve": True}])
async def test_scopes_that_are_no_list_of_strings_are_refused(world, scopes):
    await world.refuse(sign(world.key, world.claims(scopes=scopes)), "claim scopes")


@pytest.mark.parametrize("subject", ["me", "", "root:me", "users:me"])
async def test_subject_of_another_form_is_refused(world, subject):
    await world.refuse(sign(world.key, world.claims(sub=subject)), "names no subject")


async def test_unknown_claim_is_refused(world):
    await world.refuse(sign(world.key, world.claims(admin=True)), "claim admin")


@pytest.mark.parametrize("claim", ["nbf", "iat"])
async def test_token_from_the_future_is_refused_beyond_the_leeway(world, claim):
    now = world.clock.now_s()
    await world.plms.authenticate(sign(world.key, world.claims(**{claim: now + LEEWAY_S})))
    await world.refuse(sign(world.key, world.claims(**{claim: now + LEEWAY_S + 1})), "not valid yet")


async def test_expired_token_is_told_apart_from_a_bad_one(world):
    token = sign(world.key, world.claims(exp=world.clock.now_s() + 10))
    world.clock.advance(10 + LEEWAY_S - 1)
    await world.plms.authenticate(token)
    world.clock.advance(1)
    with pytest.raises(TokenExpiredError, match="expired"):
        await world.plms.authenticate(token)


@pytest.mark.parametrize("life_s", [0, -5, MAX_SERVICE_TTL_S + 1])
async def test_token_with_an_impossible_life_is_refused(world, life_s):
    token = sign(world.key, world.claims(exp=world.clock.now_s() + life_s))
    await world.refuse(token, "life is not between")


@pytest.mark.parametrize("crit", [["exp"], ["b64"], ["direng-admin"], [], "exp", None])
async def test_signed_token_with_a_critical_extension_is_refused(world, crit):
    body = encode_part(world.header(crit=crit, b64=True)) + "." + encode_part(world.claims())
    signature = world.key.private.sign(body.encode(), padding.PKCS1v15(), hashes.SHA256())
    await world.refuse(f"{body}.{encode_part(signature)}", "crit")


async def test_key_material_in_the_header_is_ignored(world):
    public = jwt.algorithms.RSAAlgorithm.to_jwk(make_attacker_key().public_key(), as_dict=True)
    attacker = SigningKey(world.key.kid, "RS256", make_attacker_key())
    for header in ({"jwk": public}, {"jku": "http://127.0.0.1:9/jwks.json"}, {"x5u": "file:///etc/passwd"}):
        await world.refuse(sign(attacker, world.claims(), **header), "signature does not verify")


async def test_attackers_key_under_its_own_name_is_not_known(world):
    attacker = SigningKey("attacker", "RS256", make_attacker_key())
    await world.refuse(sign(attacker, world.claims()), "not known")


@pytest.mark.parametrize("kid", [None, 7, "", ["a"]])
async def test_token_that_names_no_key_is_refused(world, kid):
    token = assemble(world.header(kid=kid), world.claims(), b"x" * 256)
    await world.refuse(token, "does not name its key|not a JWT")


async def test_kid_is_bound_to_its_algorithm(world, tmp_path):
    class OneKey:
        async def find_key(self, kid: str) -> VerifyingKey:
            return VerifyingKey(kid, "ES256", make_curve_key().public_key())

    revocations = RevocationFile(tmp_path / "none")
    plms = TokenAuthenticator(OneKey(), ServiceName.PLMS, ISSUER, revocations, world.clock)
    with pytest.raises(TokenInvalidError, match="bound to ES256"):
        await plms.authenticate(sign(world.key, world.claims()))


async def test_client_key_cannot_sign_access_tokens(world):
    await world.refuse(sign(world.keys.get_client_key(ServiceName.PEX), world.claims()), "only RS256 is accepted")


async def test_every_truncation_of_a_good_token_is_refused(world):
    token = sign(world.key, world.claims())
    for length in range(0, len(token), 7):
        await world.refuse(token[:length], ".")


@pytest.mark.parametrize(
    "junk",
    ["", ".", "..", "...", "a.b.c", "é.é.é", "\ud800.a.b", "\x00", "Bearer x", "🔑" * 50, "a" * (MAX_TOKEN_CHARS + 1)],
)
async def test_junk_is_refused(world, junk):
    await world.refuse(junk, "not a JWT")


@pytest.mark.parametrize("header", [b"[" * 9000, b"[]", b"null", b'"x"', b"\xff\xfe", b"{", b'{"alg": 1e999}'])
async def test_header_that_is_no_object_is_refused(world, header):
    await world.refuse(assemble(header, world.claims(), b"x"), "not a JWT|only RS256")


@pytest.mark.parametrize("payload", [b"", b"null", b"[]", b"{", b"\xff", b'{"exp": NaN}'])
async def test_signed_payload_that_is_no_claim_set_is_refused(world, payload):
    await world.refuse(sign(world.key, payload), "malformed")


async def test_changed_payload_is_refused(world):
    head, _, signature = sign(world.key, world.claims()).split(".")
    forged = encode_part(world.claims(scopes=["auth.admin"]))
    await world.refuse(f"{head}.{forged}.{signature}", "signature does not verify")


async def test_revoked_token_is_refused_and_its_sibling_is_not(world):
    bad, good = (sign(world.key, world.claims(jti=jti)) for jti in ("tk-bad", "tk-good"))
    await world.auth.revoke(ENGINEER, Revocation(jti="tk-bad"))
    await world.refuse(bad, "revoked")
    await world.plms.authenticate(good)


async def test_revoking_a_subject_ends_its_present_tokens_and_no_others(world):
    old, foreign = sign(world.key, world.claims()), sign(world.key, world.claims(sub="user:you"))
    await world.auth.revoke(ENGINEER, Revocation(subject="user:me"))
    await world.refuse(old, "revoked")
    await world.plms.authenticate(foreign)
    world.clock.advance(1)
    await world.plms.authenticate(sign(world.key, world.claims()))


async def test_rotated_key_verifies_through_its_grace_and_not_after(world):
    old_key = world.key
    rotation = await world.auth.rotate_keys(ENGINEER)
    assert rotation.previous_kid == old_key.kid
    assert world.key.kid == old_key.kid, "the new key is published before it signs"
    world.clock.advance(PUBLISH_S)
    assert world.key.kid == rotation.kid
    await world.plms.authenticate(sign(old_key, world.claims()))
    world.clock.advance(GRACE_S - 1)
    await world.plms.authenticate(sign(old_key, world.claims()))
    world.clock.advance(1)
    assert world.clock.now_s() == rotation.previous_valid_until
    await world.refuse(sign(old_key, world.claims()), "not known, or is retired")
    await world.plms.authenticate(sign(world.key, world.claims()))
