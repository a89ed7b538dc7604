"""Every endpoint of every service, as production composes them: who may not enter, and that nobody looked further."""

import time
from dataclasses import dataclass

import pytest
import pytest_asyncio
from fastapi.routing import APIRoute

from services.auth.core.ports import SigningKey
from services.home import Home
from services.kernel.endpoints import ENDPOINT_SCOPES
from services.kernel.vocabulary import Scope
from services.topology import Platform, Wiring, embedded
from tests.fakes.asgi import ask
from tests.fakes.forgery import assemble, make_attacker_key, sign

pytestmark = pytest.mark.asyncio(loop_scope="module")

ALL = [(service, endpoint, scope) for service, table in ENDPOINT_SCOPES.items() for endpoint, scope in table.items()]
GUARDED = [pytest.param(*row, id=f"{row[0]} {row[1]}") for row in ALL if row[2] is not None]
OPEN = [pytest.param(*row[:2], id=f"{row[0]} {row[1]}") for row in ALL if row[2] is None]
EVERY = [pytest.param(*row[:2], id=f"{row[0]} {row[1]}") for row in ALL]
BROKEN_BODY = b"{"
"""No endpoint can read it: whoever answers 401 or 403 to it has not looked at it."""


@dataclass
class Opened:
    """The real platform, and its signing key, with which a test signs any claims it wants to."""

    platform: Platform
    key: SigningKey

    def claims(self, audience, scopes=tuple(Scope), **changes):
        now = int(time.time())
        parties = {"iss": self.platform.opened.auth.issuer, "sub": "user:local", "aud": audience.value}
        times = {"iat": now, "nbf": now, "exp": now + 600}
        return {**parties, **times, "jti": "tk-test", "scopes": sorted(scope.value for scope in scopes), **changes}

    def token(self, audience, scopes=tuple(Scope), **changes):
        return sign(self.key, self.claims(audience, scopes, **changes))

    async def ask(self, service, endpoint, token=None, **headers):
        method, _, path = endpoint.partition(" ")
        target = path.replace("{sha256}", "0" * 64)
        for name in ("project_id", "run_id", "delegation_id", "session_id"):
            target = target.replace(f"{{{name}}}", "nobody-has-this-id")
        sent = {"Content-Type": "application/json", **headers}
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        return await ask(self.platform.apps[service], method, target, sent, BROKEN_BODY if method == "POST" else b"")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(tmp_path_factory):
    home = Home(tmp_path_factory.mktemp("platform") / "home")
    home.create()
    async with embedded(home, Wiring()) as platform:
        yield Opened(platform, platform.opened.auth.keys.get_signing_key())


def assert_refused(answer, status, code=None):
    body = answer.read_json()
    assert answer.status == status, body
    assert set(body) == {"code", "detail", "retryable"}
    assert body["retryable"] is False
    assert body["detail"]
    assert "\n" not in body["detail"]
    assert code is None or body["code"] == code


async def test_the_platform_serves_exactly_the_services_of_the_table(opened):
    assert set(opened.platform.apps) == set(ENDPOINT_SCOPES)


async def test_no_app_has_a_route_that_the_table_does_not_name(opened):
    """Also none of the kinds that a scope check never sees: mounts, websockets, plain routes, generated documents."""
    for service, app in opened.platform.apps.items():
        assert {type(route) for route in app.routes} == {APIRoute}, service
        served = sorted(f"{method} {route.path}" for route in app.routes for method in route.methods)
        assert served == sorted(ENDPOINT_SCOPES[service]), service


async def test_only_health_keys_and_the_token_endpoint_are_open():
    assert {(endpoint) for _, endpoint, scope in ALL if scope is None} == {
        "GET /health",
        "GET /.well-known/jwks.json",
        "POST /token",
    }


@pytest.mark.parametrize(("service", "endpoint", "scope"), GUARDED)
async def test_a_token_with_every_scope_is_let_in(opened, service, endpoint, scope):
    """Otherwise the refusals below would prove nothing."""
    answer = await opened.ask(service, endpoint, opened.token(service))
    assert answer.status not in {401, 403, 500}, answer.body
    only = await opened.ask(service, endpoint, opened.token(service, (scope,)))
    assert only.status not in {401, 403, 500}, only.body


@pytest.mark.parametrize(("service", "endpoint"), OPEN)
async def test_an_open_endpoint_asks_for_no_token(opened, service, endpoint):
    answer = await opened.ask(service, endpoint)
    assert answer.status in {200, 422}, answer.body


@pytest.mark.parametrize(("service", "endpoint", "scope"), GUARDED)
async def test_without_a_token_nobody_enters(opened, service, endpoint, scope):
    assert_refused(await opened.ask(service, endpoint), 401, "unauthenticated")


@pytest.mark.parametrize(("service", "endpoint", "scope"), GUARDED)
async def test_an_expired_token_is_refused_as_expired(opened, service, endpoint, scope):
    now = int(time.time())
    token = opened.token(service, iat=now - 900, nbf=now - 900, exp=now - 60)
    assert_refused(await opened.ask(service, endpoint, token), 401, "auth.token_expired")


@pytest.mark.parametrize(("service", "endpoint", "scope"), GUARDED)
async def test_an_unsigned_token_is_refused(opened, service, endpoint, scope):
    header = {"alg": "none", "typ": "JWT", "kid": opened.key.kid}
    token = assemble(header, opened.claims(service))
    assert_refused(await opened.ask(service, endpoint, token), 401, "auth.token_invalid")


@pytest.mark.parametrize(("service", "endpoint", "scope"), GUARDED)
async def test_a_token_of_another_key_under_our_name_is_refused(opened, service, endpoint, scope):
    forged = SigningKey(opened.key.kid, opened.key.alg, make_attacker_key())
    token = sign(forged, opened.claims(service))
    assert_refused(await opened.ask(service, endpoint, token), 401, "auth.token_invalid")


@pytest.mark.parametrize(("service", "endpoint", "scope"), GUARDED)
async def test_a_token_for_another_service_is_refused(opened, service, endpoint, scope):
    others = [audience for audience in ENDPOINT_SCOPES if audience != service]
    for audience in others:
        answer = await opened.ask(service, endpoint, opened.token(audience))
        assert_refused(answer, 401, "auth.token_invalid")


@pytest.mark.parametrize(("service", "endpoint", "scope"), GUARDED)
async def test_all_scopes_but_the_needed_one_are_not_enough(opened, service, endpoint, scope):
    token = opened.token(service, tuple(other for other in Scope if other is not scope))
    answer = await opened.ask(service, endpoint, token)
    assert_refused(answer, 403, "auth.scope_missing")
    assert scope.value in answer.read_json()["detail"]


@pytest.mark.parametrize(("service", "endpoint"), EVERY)
async def test_a_web_page_is_refused_even_with_a_good_token(opened, service, endpoint):
    for header in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Host": "evil.example"}):
        answer = await opened.ask(service, endpoint, opened.token(service), **header)
        assert_refused(answer, 403, "forbidden")


@pytest.mark.parametrize(("service", "endpoint"), EVERY)
async def test_a_web_page_is_refused_without_a_token_too(opened, service, endpoint):
    assert_refused(await opened.ask(service, endpoint, Origin="https://evil.example"), 403, "forbidden")


async def test_the_tokens_of_the_home_file_open_everything_but_administration(opened):
    tokens, _ = await opened.platform.mint_user_tokens()
    for service, endpoint, scope in ALL:
        if scope is Scope.AUTH_ADMIN or scope is None:
            continue
        answer = await opened.ask(service, endpoint, tokens[service])
        assert answer.status not in {401, 403, 500}, (service, endpoint, answer.body)


async def test_a_revoked_token_is_refused_everywhere(opened):
    """The last test of this module: it revokes a subject for good."""
    opened.platform.opened.auth.revocations.revoke_subject("user:gone", int(time.time()))
    for service, endpoint, scope in ALL:
        if scope is not None:
            answer = await opened.ask(service, endpoint, opened.token(service, sub="user:gone"))
            assert_refused(answer, 401, "auth.token_invalid")
            assert "revoked" in answer.read_json()["detail"]
