"""What auth promises, whichever way it is reached."""

import asyncio
import shutil
from dataclasses import dataclass

import aiohttp
import pytest

from services.auth.app import create_app, create_authenticator, create_service
from services.auth.callers import HttpCallerSource
from services.auth.client import HttpAuth
from services.auth.core.assertion import sign_assertion
from services.auth.core.limits import MAX_FAILURES
from services.auth.jwk import HttpJwks
from services.auth.keys import KeyStore, open_keys, read_keys
from services.auth.models import IntrospectRequest, Revocation, Token, TokenRequest
from services.auth.protocol import (
    Auth,
    GrantRefusedError,
    RotationPendingError,
    TokenInvalidError,
    TooManyFailuresError,
)
from services.auth.revocation import RevocationFile
from services.auth.settings import DEFAULT_ISSUER, AuthSettings
from services.auth.validator import TokenAuthenticator
from services.kernel.caller import Caller, ScopeMissingError
from services.kernel.clock import SystemClock
from services.kernel.errors import UnauthenticatedError, UnavailableError
from services.kernel.http import HttpCall, closing
from services.kernel.vocabulary import Scope, ServiceName
from tests.fakes.sockets import serve, serve_in_process

CLOCK = SystemClock()


@dataclass
class Side:
    """Auth as its clients see it, and the key directory behind it."""

    auth: Auth
    keys: KeyStore
    base_url: str = ""

    def request(self, **changes) -> TokenRequest:
        """Return the local user's request for a token for PLMS."""
        body = {"subject": "user:me", "audience": ServiceName.PLMS, "assertion": self.keys.get_bootstrap_secret()}
        return TokenRequest(**body | changes)

    async def get_admin(self) -> Caller:
        """Return a Caller that holds auth.admin, with a token that auth itself issued."""
        request = self.request(audience=ServiceName.AUTH, scopes=(Scope.AUTH_ADMIN,))
        token = await self.auth.issue_token(request)
        return Caller("user:me", frozenset({Scope.AUTH_ADMIN.value}), token.access_token)

    async def look_into(self, token: Token):
        request = IntrospectRequest(token=token.access_token, audience=token.audience)
        return await self.auth.introspect(await self.get_admin(), request)


@pytest.fixture(scope="session")
def generated_keys(tmp_path_factory):
    directory = tmp_path_factory.mktemp("keys") / "auth"
    open_keys(directory, CLOCK)
    return directory


@pytest.fixture(params=["embedded", "loopback", "networked"])
async def side(request, generated_keys, tmp_path):
    directory = shutil.copytree(generated_keys, tmp_path / "auth")
    keys = read_keys(directory, CLOCK)
    if request.param == "networked":
        with serve_in_process("tests.conformance.auth_process:build", str(directory)) as base_url:
            call = HttpCall(base_url)
            async with closing(call):
                yield Side(HttpAuth(call), keys, base_url)
        return
    service = create_service(AuthSettings(keys_dir=directory), CLOCK)
    if request.param == "embedded":
        yield Side(service, keys)
        return
    async with serve(create_app(service, CLOCK)) as base_url:
        call = HttpCall(base_url)
        async with closing(call):
            yield Side(HttpAuth(call), keys, base_url)


async def test_user_gets_a_token_for_one_audience(side):
    token = await side.auth.issue_token(side.request(ttl_s=60))
    found = await side.look_into(token)
    assert (found.active, found.claims.sub, found.claims.aud) == (True, "user:me", "plms")
    assert found.claims.exp == token.expires_at == found.claims.iat + 60


async def test_service_gets_a_token_by_its_own_key_and_another_does_not(side):
    good = sign_assertion(
        side.keys.get_client_key(ServiceName.PEX), "service:pex", DEFAULT_ISSUER, CLOCK.now().timestamp()
    )
    token = await side.auth.issue_token(side.request(subject="service:pex", assertion=good))
    assert (await side.look_into(token)).claims.sub == "service:pex"
    with pytest.raises(TokenInvalidError, match="used before"):
        await side.auth.issue_token(side.request(subject="service:pex", assertion=good))
    with pytest.raises(TokenInvalidError):
        await side.auth.issue_token(side.request(subject="service:pas", assertion=good))


async def test_wrong_proof_and_excessive_wish_are_told_apart(side):
    with pytest.raises(TokenInvalidError, match="bootstrap secret"):
        await side.auth.issue_token(side.request(assertion="guess"))
    with pytest.raises(GrantRefusedError, match=r"may not have auth\.admin for plms"):
        await side.auth.issue_token(side.request(scopes=(Scope.AUTH_ADMIN,)))


async def test_published_keys_verify_issued_tokens(side):
    token = await side.auth.issue_token(side.request())
    jwks = await side.auth.get_jwks()
    assert jwks == side.keys.get_jwks()
    assert (await side.look_into(token)).active


async def test_revoked_token_is_no_longer_good(side):
    first, second = [await side.auth.issue_token(side.request()) for _ in range(2)]
    jti = (await side.look_into(first)).claims.jti
    await side.auth.revoke(await side.get_admin(), Revocation(jti=jti))
    assert [(await side.look_into(token)).active for token in (first, second)] == [False, True]


async def test_rotation_keeps_issued_tokens_good_and_is_not_repeated_at_once(side):
    token = await side.auth.issue_token(side.request())
    rotation = await side.auth.rotate_keys(await side.get_admin())
    assert {jwk.kid for jwk in (await side.auth.get_jwks()).keys} == {rotation.kid, rotation.previous_kid}
    assert (await side.look_into(token)).active
    with pytest.raises(RotationPendingError):
        await side.auth.rotate_keys(await side.get_admin())


async def test_administration_needs_the_scope(side):
    reader = Caller("user:me", frozenset({"plms.approve"}), (await side.auth.issue_token(side.request())).access_token)
    for call in (
        side.auth.revoke(reader, Revocation(jti="tk-1")),
        side.auth.rotate_keys(reader),
        side.auth.introspect(reader, IntrospectRequest(token="x", audience=ServiceName.PLMS)),
    ):
        # Over HTTP the token is refused for its audience before its scopes are looked at.
        with pytest.raises((ScopeMissingError, TokenInvalidError)):
            await call


@pytest.fixture
async def remote(generated_keys, tmp_path):
    """Auth behind a socket of this process, with the service object at hand."""
    directory = shutil.copytree(generated_keys, tmp_path / "auth")
    service = create_service(AuthSettings(keys_dir=directory), CLOCK)
    async with serve(create_app(service, CLOCK)) as base_url:
        call = HttpCall(base_url)
        async with closing(call):
            yield service, Side(HttpAuth(call), read_keys(directory, CLOCK), base_url)


async def test_verifier_elsewhere_fetches_the_keys_once(remote, tmp_path):
    service, side = remote
    keys = HttpJwks(side.base_url, CLOCK)
    revocations = RevocationFile(tmp_path / "revocations.jsonl")
    plms = TokenAuthenticator(keys, ServiceName.PLMS, DEFAULT_ISSUER, revocations, CLOCK)
    source = HttpCallerSource(
        side.auth, ServiceName.PEX, side.keys.get_client_key(ServiceName.PEX), DEFAULT_ISSUER, CLOCK
    )
    caller = await source.caller_for(ServiceName.PLMS)
    async with closing(keys._call):
        assert (await plms.authenticate(caller.token)).scopes == caller.scopes
        first_fetch = keys._tried_s
        await asyncio.gather(*(keys.find_key(f"unknown-{n}") for n in range(20)))
        assert keys._tried_s == first_fetch, "twenty invented kids cause no second fetch within the cooldown"
    assert service.keys.get_signing_key().kid in keys._keys


async def test_verifier_that_never_reached_auth_says_so():
    keys = HttpJwks("http://127.0.0.1:9", CLOCK)
    async with closing(keys._call):
        with pytest.raises(UnavailableError, match="is auth running"):
            await keys.find_key("x")


async def test_guessing_at_the_token_endpoint_is_slowed_down(remote):
    _, side = remote
    for _ in range(MAX_FAILURES):
        with pytest.raises(TokenInvalidError):
            await side.auth.issue_token(side.request(assertion="guess"))
    with pytest.raises(TooManyFailuresError, match="wait"):
        await side.auth.issue_token(side.request())
    await side.auth.issue_token(side.request(subject="user:other"))


async def test_expired_token_is_refused_at_the_door_of_auth(remote):
    service, side = remote
    with pytest.raises(UnauthenticatedError, match="no bearer token"):
        await side.auth.rotate_keys(Caller("user:me", frozenset()))
    wrong = service.mint_token("user:me", ServiceName.PLMS)
    with pytest.raises(TokenInvalidError, match="meant for 'plms', not for auth"):
        await side.auth.rotate_keys(Caller("user:me", frozenset({"auth.admin"}), wrong.access_token))


async def test_web_page_cannot_ask_for_tokens(remote):
    _, side = remote
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{side.base_url}/token",
            data=side.request().model_dump_json(),
            headers={"Content-Type": "application/json", "Origin": "https://example.org"},
        ) as answer,
    ):
        assert (answer.status, (await answer.json())["code"]) == (403, "forbidden")


async def test_in_process_validator_accepts_what_the_endpoint_issued(remote):
    service, side = remote
    token = await side.auth.issue_token(side.request())
    caller = await create_authenticator(service, ServiceName.PLMS, CLOCK).authenticate(token.access_token)
    assert caller.subject == "user:me"
