"""Who gets which token: proof, grants, lives, revocations."""

import asyncio

import pytest

from services.auth.app import create_authenticator
from services.auth.callers import HttpCallerSource, LocalCallerSource, mint_user_tokens
from services.auth.core.assertion import sign_assertion
from services.auth.core.grants import SERVICE_GRANTS, USER_GRANT, decide_scopes, scopes_of_audience
from services.auth.core.issuer import MAX_RUN_TTL_S, AuthService
from services.auth.core.limits import MAX_CLIENTS, MAX_FAILURES, WINDOW_S, FailureLimiter
from services.auth.core.ports import SigningKey
from services.auth.keys import read_keys
from services.auth.models import MAX_SERVICE_TTL_S, IntrospectRequest, Revocation, TokenRequest
from services.auth.protocol import GrantRefusedError, TokenInvalidError, TooManyFailuresError
from services.auth.revocation import RevocationFile
from services.kernel.caller import ScopeMissingError
from services.kernel.endpoints import ENDPOINT_SCOPES
from services.kernel.errors import InternalError, InvalidRequestError
from services.kernel.vocabulary import Scope, ServiceName
from tests.fakes.forgery import make_curve_key, sign
from tests.fakes.identity import ENGINEER, READER
from tests.fakes.time import HandClock

ISSUER = "direng-auth"


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture
def revocations(tmp_path):
    return RevocationFile(tmp_path / "revocations.jsonl")


@pytest.fixture
def auth(key_directory, revocations, clock):
    return AuthService(read_keys(key_directory, clock), revocations, clock, ISSUER)


@pytest.fixture
def keys(key_directory, clock):
    return read_keys(key_directory, clock)


def request_by(keys, clock, service, audience=ServiceName.PLMS, **changes):
    subject = f"service:{service}"
    proof = sign_assertion(keys.get_client_key(service), subject, ISSUER, clock.now_s())
    return TokenRequest(**{"subject": subject, "audience": audience, "assertion": proof} | changes)


async def test_service_with_its_own_key_gets_all_it_may_have(auth, keys, clock):
    token = await auth.issue_token(request_by(keys, clock, ServiceName.PEX))
    caller = await create_authenticator(auth, ServiceName.PLMS, clock).authenticate(token.access_token)
    assert caller.subject == "service:pex"
    assert caller.scopes == {"plms.approve", "plms.read_metrics", "project.write", "pas.submit"}
    assert token.expires_at == clock.now_s() + 900


async def test_service_with_the_key_of_another_is_refused(auth, keys, clock):
    proof = sign_assertion(keys.get_client_key(ServiceName.PAS), "service:pex", ISSUER, clock.now_s())
    with pytest.raises(TokenInvalidError, match="not known"):
        await auth.issue_token(request_by(keys, clock, ServiceName.PEX, assertion=proof))


async def test_assertion_for_another_subject_is_refused(auth, keys, clock):
    proof = sign_assertion(keys.get_client_key(ServiceName.PEX), "service:direng", ISSUER, clock.now_s())
    with pytest.raises(TokenInvalidError, match="not made by service:pex"):
        await auth.issue_token(request_by(keys, clock, ServiceName.PEX, assertion=proof))


async def test_assertion_of_an_attackers_key_under_the_right_kid_is_refused(auth, keys, clock):
    forged = SigningKey(keys.get_client_key(ServiceName.PEX).kid, "ES256", make_curve_key())
    proof = sign_assertion(forged, "service:pex", ISSUER, clock.now_s())
    with pytest.raises(TokenInvalidError, match="signature does not verify"):
        await auth.issue_token(request_by(keys, clock, ServiceName.PEX, assertion=proof))


async def test_assertion_works_once(auth, keys, clock):
    request = request_by(keys, clock, ServiceName.PEX)
    await auth.issue_token(request)
    with pytest.raises(TokenInvalidError, match="used before"):
        await auth.issue_token(request)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"aud": "other"}, "another issuer"),
        ({"exp": 301}, "not current"),
        ({"exp": 0}, "not current"),
        ({"iat": 31, "exp": 60}, "not current"),
        ({"iat": -400, "exp": -200}, "not current"),
        ({"exp": "60"}, "claim exp"),
        ({"jti": None}, "claim jti"),
        ({"scopes": []}, "claim scopes"),
    ],
)
async def test_assertion_with_a_bad_claim_is_refused(auth, keys, clock, change, reason):
    now = clock.now_s()
    moved = {name: value + now if isinstance(value, int) else value for name, value in change.items()}
    claims = {"iss": "service:pex", "sub": "service:pex", "aud": ISSUER, "iat": now, "exp": now + 60, "jti": "as-1"}
    proof = sign(keys.get_client_key(ServiceName.PEX), claims | moved)
    with pytest.raises(TokenInvalidError, match=reason):
        await auth.issue_token(request_by(keys, clock, ServiceName.PEX, assertion=proof))


async def test_access_token_is_no_assertion(auth, keys, clock):
    token = auth.mint_token("service:pex", ServiceName.PLMS)
    with pytest.raises(TokenInvalidError, match="only ES256"):
        await auth.issue_token(request_by(keys, clock, ServiceName.PEX, assertion=token.access_token))


async def test_unknown_service_is_refused(auth, keys, clock):
    request = request_by(keys, clock, ServiceName.PEX, subject="service:intruder")
    with pytest.raises(TokenInvalidError, match="not known"):
        await auth.issue_token(request)


async def test_user_proves_ownership_by_the_bootstrap_secret(auth, keys, clock):
    request = TokenRequest(
        subject="user:me", audience=ServiceName.PLMS, assertion=keys.get_bootstrap_secret(), ttl_s=MAX_SERVICE_TTL_S
    )
    token = await auth.issue_token(request)
    assert token.expires_at == clock.now_s() + MAX_SERVICE_TTL_S


@pytest.mark.parametrize("guess", ["wrong", "é", "\x00"])
async def test_wrong_bootstrap_secret_is_refused(auth, guess):
    with pytest.raises(TokenInvalidError, match="bootstrap secret"):
        await auth.issue_token(TokenRequest(subject="user:me", audience=ServiceName.PLMS, assertion=guess))


async def test_bootstrap_secret_makes_nobody_a_service(auth, keys):
    request = TokenRequest(subject="service:pex", audience=ServiceName.PLMS, assertion=keys.get_bootstrap_secret())
    with pytest.raises(TokenInvalidError):
        await auth.issue_token(request)


def test_user_gets_administration_only_by_asking_for_it():
    with pytest.raises(GrantRefusedError, match=r"ask for auth\.admin by name"):
        decide_scopes("user:me", ServiceName.AUTH, (), is_run_bound=False)
    assert decide_scopes("user:me", ServiceName.AUTH, [Scope.AUTH_ADMIN], is_run_bound=False) == {Scope.AUTH_ADMIN}


@pytest.mark.parametrize("service", list(ServiceName))
def test_no_service_administers_auth_overrides_kpis_or_uses_sessions(service):
    forbidden = {Scope.AUTH_ADMIN, Scope.KPI_OVERRIDE, Scope.SESSION_USE}
    assert not SERVICE_GRANTS[service] & forbidden


@pytest.mark.parametrize("audience", list(ServiceName))
def test_user_can_reach_every_scope_that_an_audience_asks_for(audience):
    asked = {scope for scope in ENDPOINT_SCOPES.get(audience, {}).values() if scope is not None}
    assert asked <= scopes_of_audience(audience)
    assert scopes_of_audience(audience) <= USER_GRANT


@pytest.mark.parametrize(
    ("subject", "audience", "scope"),
    [
        ("service:pas", ServiceName.PLMS, Scope.PLMS_APPROVE),
        ("service:pas", ServiceName.PAS, Scope.PAS_SUBMIT),
        ("service:pex", ServiceName.PLMS, Scope.KPI_OVERRIDE),
        ("service:pex", ServiceName.AUTH, Scope.AUTH_ADMIN),
        ("service:hmi", ServiceName.PAS, Scope.PAS_PAUSE),
        ("service:intruder", ServiceName.PLMS, Scope.PLMS_READ_METRICS),
        ("user:me", ServiceName.PLMS, Scope.SESSION_USE),
    ],
)
def test_scope_outside_the_table_is_refused(subject, audience, scope):
    with pytest.raises(GrantRefusedError, match=f"may not have {scope}"):
        decide_scopes(subject, audience, [scope], is_run_bound=False)


@pytest.mark.parametrize("audience", [ServiceName.PLMS, ServiceName.DIRENG, ServiceName.AUTH])
def test_run_token_opens_nothing_that_steers_work(audience):
    for service in ServiceName:
        with pytest.raises(GrantRefusedError):
            decide_scopes(f"service:{service}", audience, (), is_run_bound=True)


async def test_run_token_is_bound_to_its_run_and_short(auth, clock):
    token = auth.mint_token(
        "service:pas", ServiceName.VECTOR_OPS, ttl_s=MAX_SERVICE_TTL_S, run_id="run-1", project_id="prj-1"
    )
    caller = await create_authenticator(auth, ServiceName.VECTOR_OPS, clock).authenticate(token.access_token)
    assert (caller.run_id, caller.project_id, caller.scopes) == ("run-1", "prj-1", {"index.read"})
    assert token.expires_at == clock.now_s() + MAX_RUN_TTL_S


def test_user_gets_no_run_token(auth):
    with pytest.raises(GrantRefusedError, match="only services"):
        auth.mint_token("user:me", ServiceName.PAS, run_id="run-1")


async def test_home_file_tokens_open_every_service_but_administration(auth, clock):
    tokens = mint_user_tokens(auth, "user:me")
    assert set(tokens) == set(ServiceName) - {ServiceName.AUTH}
    for audience, token in tokens.items():
        caller = await create_authenticator(auth, audience, clock).authenticate(token.access_token)
        assert caller.scopes == {scope.value for scope in scopes_of_audience(audience)}
        assert token.expires_at == clock.now_s() + MAX_SERVICE_TTL_S


async def test_local_source_keeps_a_token_until_half_of_its_life(auth, clock):
    source = LocalCallerSource(auth, ServiceName.PEX, clock)
    first = await source.caller_for(ServiceName.PLMS)
    clock.advance(449)
    assert await source.caller_for(ServiceName.PLMS) is first
    clock.advance(1)
    renewed = await source.caller_for(ServiceName.PLMS)
    assert renewed.token != first.token
    assert (await create_authenticator(auth, ServiceName.PLMS, clock).authenticate(renewed.token)).scopes == (
        renewed.scopes
    )


async def test_local_source_has_one_token_per_audience(auth, clock):
    source = LocalCallerSource(auth, ServiceName.PEX, clock)
    plms, pas = await source.caller_for(ServiceName.PLMS), await source.caller_for(ServiceName.PAS)
    assert plms.token != pas.token
    with pytest.raises(TokenInvalidError):
        await create_authenticator(auth, ServiceName.PAS, clock).authenticate(plms.token)


async def test_local_source_replaces_a_revoked_token(auth, clock):
    source = LocalCallerSource(auth, ServiceName.PEX, clock)
    first = await source.caller_for(ServiceName.PLMS)
    await auth.revoke(ENGINEER, Revocation(subject="service:pex"))
    clock.advance(1)
    second = await source.caller_for(ServiceName.PLMS)
    await create_authenticator(auth, ServiceName.PLMS, clock).authenticate(second.token)
    assert second.token != first.token


async def test_service_without_business_there_gets_no_caller(auth, clock):
    with pytest.raises(GrantRefusedError, match="service:plms gets nothing for pas"):
        await LocalCallerSource(auth, ServiceName.PLMS, clock).caller_for(ServiceName.PAS)


async def test_remote_source_proves_itself_and_renews_at_half_life(auth, keys, clock):
    key = keys.get_client_key(ServiceName.DIRENG)
    source = HttpCallerSource(auth, ServiceName.DIRENG, key, ISSUER, clock, ttl_s=100)
    first = await source.caller_for(ServiceName.PEX)
    clock.advance(49)
    assert await source.caller_for(ServiceName.PEX) is first
    clock.advance(1)
    second = await source.caller_for(ServiceName.PEX)
    caller = await create_authenticator(auth, ServiceName.PEX, clock).authenticate(second.token)
    assert (second.token != first.token, caller.scopes) == (True, second.scopes)


async def test_introspection_says_why_a_token_is_bad(auth, clock):
    token = auth.mint_token("user:me", ServiceName.PLMS).access_token
    good = await auth.introspect(ENGINEER, IntrospectRequest(token=token, audience=ServiceName.PLMS))
    assert (good.active, good.claims.sub) == (True, "user:me")
    bad = await auth.introspect(ENGINEER, IntrospectRequest(token=token, audience=ServiceName.PAS))
    assert (bad.active, bad.claims, bad.reason) == (False, None, "the token is meant for 'plms', not for pas")
    clock.advance(1000)
    late = await auth.introspect(ENGINEER, IntrospectRequest(token=token, audience=ServiceName.PLMS))
    assert "expired" in late.reason


async def test_administration_needs_its_scope_in_core_too(auth):
    for call in (
        auth.introspect(READER, IntrospectRequest(token="x", audience=ServiceName.PLMS)),
        auth.revoke(READER, Revocation(jti="tk-1")),
        auth.rotate_keys(READER),
    ):
        with pytest.raises(ScopeMissingError, match=r"auth\.admin"):
            await call


@pytest.mark.parametrize("revocation", [Revocation(), Revocation(jti="a", subject="b")])
async def test_revocation_names_exactly_one_thing(auth, revocation):
    with pytest.raises(InvalidRequestError, match="either"):
        await auth.revoke(ENGINEER, revocation)


async def test_revocation_survives_a_restart_and_reaches_other_readers(auth, keys, clock, tmp_path):
    token = auth.mint_token("user:me", ServiceName.PLMS).access_token
    plms = create_authenticator(auth, ServiceName.PLMS, clock)
    await plms.authenticate(token)
    other = RevocationFile(tmp_path / "revocations.jsonl")
    other.revoke_subject("user:me", clock.now_s())
    with pytest.raises(TokenInvalidError, match="revoked"):
        await plms.authenticate(token)


def test_torn_last_record_is_dropped_and_the_next_one_counts(revocations, auth, tmp_path, clock):
    path = tmp_path / "revocations.jsonl"
    revocations.revoke_jti("first", clock.now_s())
    with path.open("ab") as file:
        file.write(b'{"jti": "torn", "unt')
    revocations.revoke_jti("second", clock.now_s())
    assert path.read_text().count("\n") == 2
    assert b"torn" not in path.read_bytes()
    assert (revocations._load(path.read_bytes()), revocations._tokens) == (None, {"first", "second"})


async def test_damaged_revocations_let_nobody_in(auth, clock, tmp_path):
    (tmp_path / "revocations.jsonl").write_text("gibberish\n")
    token = auth.mint_token("user:me", ServiceName.PLMS).access_token
    with pytest.raises(InternalError, match="damaged"):
        await create_authenticator(auth, ServiceName.PLMS, clock).authenticate(token)


def test_limiter_makes_a_guesser_wait_and_nobody_else(clock):
    limiter = FailureLimiter(clock)
    for _ in range(MAX_FAILURES):
        limiter.check("guesser")
        limiter.record_failure("guesser")
    with pytest.raises(TooManyFailuresError, match=f"wait {WINDOW_S} s"):
        limiter.check("guesser")
    limiter.check("neighbour")
    clock.advance(WINDOW_S)
    limiter.check("guesser")


def test_limiter_forgets_the_stalest_client_first(clock):
    limiter = FailureLimiter(clock)
    for number in range(MAX_CLIENTS + 5):
        limiter.record_failure(number)
    assert len(limiter._failures) == MAX_CLIENTS
    assert min(limiter._failures) == 5


def test_concurrent_revocations_are_all_kept(revocations, tmp_path, clock):
    async def revoke_many() -> None:
        jobs = [asyncio.to_thread(revocations.revoke_jti, f"tk-{n}", clock.now_s()) for n in range(20)]
        await asyncio.gather(*jobs)

    asyncio.run(revoke_many())
    assert len((tmp_path / "revocations.jsonl").read_text().splitlines()) == 20
