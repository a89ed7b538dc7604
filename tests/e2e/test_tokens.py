"""The real server over real sockets: bad tokens, repeated and reused idempotency keys, requests that make no sense."""

import contextlib
import http.client
import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from services.auth.app import create_service
from services.auth.core.ports import SigningKey
from services.auth.settings import AuthSettings
from services.home import Home
from services.kernel.clock import SystemClock
from services.kernel.ids import new_id
from services.kernel.vocabulary import Scope
from services.pas.models import CONTRACT_VERSION
from services.wire.idempotency import KeyReusedError, RequestInProgressError
from tests.fakes.commands import ROOT, Platform, git
from tests.fakes.forgery import assemble, make_attacker_key, sign

LARGE_BYTES = 9 * 1024 * 1024
TIMEOUT_S = 60


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def read_json(self):
        return json.loads(self.body)

    @property
    def is_replay(self):
        return self.headers.get("Idempotent-Replay") == "true"


class Server:
    """The running server of one home, and a repository to talk about."""

    def __init__(self, home, repo):
        self.home, self.repo = home, str(repo)
        self.published = home.read_server()
        self.auth = create_service(AuthSettings(keys_dir=home.path / "auth"), SystemClock())

    def ask(self, service, method, path, body=None, key=None, **headers):
        """Send one request as curl would; `body` is JSON unless it is bytes."""
        port, token = self.published.ports[service], self.published.tokens.get(service, "")
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        if key is not None:
            sent["Idempotency-Key"] = key
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
        try:
            # The server may answer without reading the rest.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, path, content, sent)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def sign(self, audience, scopes=tuple(Scope), key=None, **changes):
        now = int(time.time())
        claims = {"iss": self.auth.issuer, "sub": "user:local", "aud": audience, "jti": "tk-test"}
        claims |= {"iat": now, "nbf": now, "exp": now + 600, "scopes": sorted(scope.value for scope in scopes)}
        return sign(key or self.auth.keys.get_signing_key(), claims | changes)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared")
    repo = folder / "stockbook"
    shutil.copytree(ROOT / "tests/fixtures/sample_project", repo)
    git("init", "-q", "-b", "main", cwd=repo)
    git("add", "-A", cwd=repo)
    git("commit", "-qm", "The books", cwd=repo)
    platform = Platform(folder / "home")
    started = platform.direng("up", cwd=folder)
    assert started.code == 0, started.err
    yield Server(Home(platform.home), repo)
    assert platform.direng("down", cwd=folder).code == 0


def assert_refused(answer, status, code=None, *words):
    body = answer.read_json()
    assert answer.status == status, body
    assert set(body) == {"code", "detail", "retryable"}
    assert len(body["detail"].splitlines()) == 1
    assert len(body["detail"]) < 600
    assert code is None or body["code"] == code
    for word in words:
        assert word in body["detail"]


# Tokens.

READS = [
    ("plms", "/api/projects"),
    ("pas", "/pas/v1/runs"),
    ("pex", "/delegations"),
    ("direng", "/sessions"),
    ("vector_ops", "/snapshot?repo=x"),
]


@pytest.mark.parametrize(("service", "path"), READS)
def test_bad_tokens_are_refused_by_every_port(server, service, path):
    now = int(time.time())
    real = server.auth.keys.get_signing_key()
    claims = {"iss": server.auth.issuer, "sub": "user:local", "aud": service, "exp": now + 600, "scopes": []}
    bad = {
        "expired": server.sign(service, iat=now - 900, nbf=now - 900, exp=now - 100),
        "unsigned": assemble({"alg": "none", "kid": real.kid}, claims),
        "foreign key": server.sign(service, key=SigningKey(real.kid, real.alg, make_attacker_key())),
        "other audience": server.sign("auth"),
        "not yet": server.sign(service, iat=now + 600, nbf=now + 600, exp=now + 900),
        "no claims": sign(real, {}),
        "not a token": "hunter2",
        "cut": server.published.tokens[service][:-8],
    }
    for name, token in bad.items():
        answer = server.ask(service, "GET", path, Authorization=f"Bearer {token}")
        assert_refused(answer, 401, "auth.token_expired" if name == "expired" else "auth.token_invalid")
    assert_refused(server.ask(service, "GET", path, Authorization=""), 401, "unauthenticated", "direng up")


def test_a_token_that_was_asked_for_with_one_scope_opens_nothing_else(server):
    secret = server.auth.keys.get_bootstrap_secret()
    wanted = {"subject": "user:local", "audience": "plms", "scopes": [Scope.PLMS_READ_METRICS], "assertion": secret}
    token = server.ask("auth", "POST", "/token", wanted).read_json()["access_token"]
    reader = {"Authorization": f"Bearer {token}"}
    assert server.ask("plms", "GET", "/api/projects", **reader).status == 200
    answer = server.ask("plms", "POST", "/api/projects", make_project(server), new_id("key"), **reader)
    assert_refused(answer, 403, "auth.scope_missing", "project.write")
    for service, path in READS[1:]:
        assert_refused(server.ask(service, "GET", path, **reader), 401, "auth.token_invalid", service)


def test_a_token_with_a_wrong_secret_or_for_more_than_is_granted_is_refused(server):
    wanted = {"subject": "user:local", "audience": "plms", "assertion": "guess"}
    assert_refused(server.ask("auth", "POST", "/token", wanted), 401, "auth.token_invalid")
    secret = server.auth.keys.get_bootstrap_secret()
    more = {**wanted, "assertion": secret, "scopes": [Scope.AUTH_ADMIN]}
    assert_refused(server.ask("auth", "POST", "/token", more), 403, "auth.grant_refused")


def test_a_stored_answer_is_given_to_nobody_without_a_token(server):
    key, project = new_id("key"), make_project(server)
    assert server.ask("plms", "POST", "/api/projects", project, key).status == 200
    assert_refused(server.ask("plms", "POST", "/api/projects", project, key, Authorization="Bearer x.y.z"), 401)
    token = server.sign("plms", (Scope.PLMS_READ_METRICS,))
    answer = server.ask("plms", "POST", "/api/projects", project, key, Authorization=f"Bearer {token}")
    assert_refused(answer, 403, "auth.scope_missing")
    other = server.sign("plms", sub="user:other")
    own = server.ask("plms", "POST", "/api/projects", project, key, Authorization=f"Bearer {other}")
    assert (own.status, own.is_replay) == (200, False), "keys of another subject are other keys"


# Idempotency keys.


def make_project(server, title="A title"):
    return {"title": title, "prd": "run the tests", "repo": server.repo}


def make_card(run_id, title="Test"):
    card = {"task_id": "one", "lane": "Code-Impl", "title": title, "configuration": "recipe/run-tests"}
    return {"project_id": "prj-x", "run_id": run_id, "card": {**card, "payload": {"kind": "tests"}}}


def make_run(server, title="Test"):
    basis = {"repo": server.repo, "prd_sha256": "0" * 64, "contract_version": CONTRACT_VERSION}
    card = make_card("run-x")["card"]
    return {"project_id": "prj-x", "title": title, "passport_basis": basis, "cards": [card]}


def make_delegation(server, rationale="because"):
    return {
        "from": "direng",
        "to": "pex",
        "intent": "run the tests",
        "context": {"repo": server.repo},
        "rationale": rationale,
    }


def list_writes(server):
    """Return (service, path, body, another body) of writes that need nothing before them."""
    run_id = new_id("run")
    return {
        "project": ("plms", "/api/projects", make_project(server), make_project(server, "Another")),
        "card": ("pas", "/pas/v1/jobcards", make_card(run_id), make_card(run_id, "Another")),
        "run": ("pas", "/pas/v1/runs/start", make_run(server), make_run(server, "Another")),
        "artifact": ("pas", "/pas/v1/artifacts", b"some bytes", b"other bytes"),
        "plan": ("pex", "/plans", {"intent": "run the tests", "repo": server.repo}, {"intent": "x", "repo": "/"}),
        "delegation": ("pex", "/delegations", make_delegation(server), make_delegation(server, "other reasons")),
        "session": ("direng", "/sessions", {"repo": server.repo}, {"repo": f"{server.repo}/docs"}),
        "refresh": ("vector_ops", "/refresh", {"repo": server.repo}, {"repo": f"{server.repo}/docs"}),
    }


WRITES = ("project", "card", "run", "artifact", "plan", "delegation", "session", "refresh")


@pytest.mark.parametrize("name", WRITES)
def test_the_same_key_answers_the_same_body_once_and_refuses_another(server, name):
    service, path, body, other = list_writes(server)[name]
    key = new_id("key")
    first = server.ask(service, "POST", path, body, key)
    assert (first.status, first.is_replay) == (200, False), first.body
    again = server.ask(service, "POST", path, body, key)
    assert (again.status, again.is_replay, again.body) == (200, True, first.body)
    assert_refused(server.ask(service, "POST", path, other, key), 409, KeyReusedError.code, key)
    still = server.ask(service, "POST", path, body, key)
    assert (still.is_replay, still.body) == (True, first.body), "a refusal changes nothing"


def test_the_same_key_on_another_path_or_method_is_refused(server):
    key = new_id("key")
    project = server.ask("plms", "POST", "/api/projects", make_project(server), key).read_json()["project_id"]
    change = {"target": "clarifying", "rationale": "to see"}
    moved = server.ask("plms", "POST", f"/api/projects/{project}/state", change, key)
    assert_refused(moved, 409, KeyReusedError.code)
    deleted = server.ask("plms", "DELETE", f"/api/projects/{project}", None, key)
    assert_refused(deleted, 409, KeyReusedError.code)
    assert server.ask("plms", "GET", f"/api/projects/{project}").read_json()["state"] == "ideation"


def test_many_clients_with_one_key_make_one_project(server):
    key, project = new_id("key"), make_project(server, "Together")
    with ThreadPoolExecutor(8) as pool:
        sent = [pool.submit(server.ask, "plms", "POST", "/api/projects", project, key) for _ in range(16)]
        answers = [one.result() for one in sent]
    good = [answer for answer in answers if answer.status == 200]
    assert len({answer.body for answer in good}) == 1
    assert [answer.is_replay for answer in good].count(False) == 1
    for answer in answers:
        if answer.status != 200:
            assert_refused(answer, 409, RequestInProgressError.code)
            assert answer.read_json()["retryable"] is True
    projects = server.ask("plms", "GET", "/api/projects").read_json()
    assert [one["title"] for one in projects].count("Together") == 1


def test_a_run_is_started_once_and_its_approval_counts_once(server):
    asked = server.ask("pex", "POST", "/delegations", make_delegation(server, "once"), new_id("key")).read_json()
    assert asked["state"] == "awaiting_approval", asked["reason"]
    path, key = f"/delegations/{asked['delegation_id']}/approve", new_id("key")
    reply = {"approved": True, "idempotency_key": key, "rationale": "yes"}
    first = server.ask("pex", "POST", path, reply, key)
    assert first.status == 200, first.body
    again = server.ask("pex", "POST", path, reply, key)
    assert (again.is_replay, again.body) == (True, first.body)
    assert_refused(server.ask("pex", "POST", path, {**reply, "rationale": "also"}, key), 409)
    runs = server.ask("pas", "GET", f"/pas/v1/runs?repo={server.repo}").read_json()
    assert [run["project_id"] for run in runs].count(asked["project_id"]) == 1


def test_a_refused_request_may_be_sent_again_with_its_key(server):
    key = new_id("key")
    change = {"target": "completed", "rationale": "a jump that the lifecycle forbids"}
    project = server.ask("plms", "POST", "/api/projects", make_project(server), new_id("key")).read_json()["project_id"]
    for _ in range(2):
        answer = server.ask("plms", "POST", f"/api/projects/{project}/state", change, key)
        assert_refused(answer, 409, "kernel.illegal_transition")
        assert not answer.is_replay


@pytest.mark.parametrize("key", ["short", "x" * 201, "with\ttab-in-it", "\u00a0\u00adspaces"])
def test_a_key_that_is_none_is_refused(server, key):
    answer = server.ask("plms", "POST", "/api/projects", make_project(server), key)
    assert_refused(answer, 422, "invalid_request", "Idempotency-Key")


# What does not exist, and what makes no sense.


@pytest.mark.parametrize(
    ("service", "request_line", "body", "code"),
    [
        ("plms", "GET /api/projects/prj-none", None, "plms.project_not_found"),
        ("plms", "DELETE /api/projects/prj-none", None, "plms.project_not_found"),
        ("plms", "GET /api/projects/prj-none/metrics", None, "plms.project_not_found"),
        ("plms", "GET /api/projects/prj-none/kpis", None, "plms.project_not_found"),
        ("plms", "GET /api/projects/prj-none/estimates", None, "plms.project_not_found"),
        ("plms", "POST /api/projects/prj-none/state", {"target": "planning", "rationale": "x"}, None),
        ("pas", "GET /pas/v1/runs/status?run_id=prj-none", None, "pas.run_not_found"),
        ("pas", "GET /pas/v1/runs/prj-none/events", None, "pas.run_not_found"),
        ("pas", "GET /pas/v1/runs/prj-none/receipts", None, "pas.run_not_found"),
        ("pas", "GET /pas/v1/runs/prj-none/passport", None, "pas.run_not_found"),
        ("pas", "POST /pas/v1/runs/pause", {"run_id": "prj-none", "reason": "x"}, "pas.run_not_found"),
        ("pas", "POST /pas/v1/runs/resume", {"run_id": "prj-none", "reason": "x"}, "pas.run_not_found"),
        ("pas", "POST /pas/v1/runs/terminate", {"run_id": "prj-none", "reason": "x"}, "pas.run_not_found"),
        ("pas", "POST /pas/v1/jobcards/cancel", {"run_id": "prj-none", "reason": "x"}, "pas.run_not_found"),
        ("pex", "GET /delegations/prj-none", None, "pex.delegation_not_found"),
        ("pex", "GET /delegations/prj-none/events", None, "pex.delegation_not_found"),
        ("pex", "GET /api/projects/prj-none/status", None, "plms.project_not_found"),
        ("pex", "GET /api/projects/prj-none/receipts", None, "plms.project_not_found"),
        ("pex", "POST /api/projects/prj-none/estimate", None, "plms.project_not_found"),
        ("pex", "POST /api/projects/prj-none/start", {"rationale": "x"}, "plms.project_not_found"),
        ("pex", "POST /api/projects/prj-none/pause", {"reason": "x"}, "plms.project_not_found"),
        ("direng", "GET /sessions/prj-none", None, "direng.session_not_found"),
        ("direng", "GET /sessions/prj-none/diff", None, "direng.session_not_found"),
        ("direng", "POST /sessions/prj-none/turns", {"text": "x"}, "direng.session_not_found"),
        ("direng", "POST /sessions/prj-none/undo", None, "direng.session_not_found"),
    ],
)
def test_what_does_not_exist_is_a_404_that_names_it(server, service, request_line, body, code):
    method, _, path = request_line.partition(" ")
    answer = server.ask(service, method, path, body, new_id("key") if method == "POST" else None)
    assert_refused(answer, 404, code, "prj-none")


def test_an_unknown_artifact_is_a_404(server):
    answer = server.ask("pas", "GET", f"/pas/v1/artifacts/{'0' * 64}")
    assert_refused(answer, 404, "pas.artifact_not_found", "0" * 64)


BAD_IDS = [
    "..",
    "%2e%2e",
    "..%2f..%2fetc",
    "a%20b",
    "%00",
    "a%0ab",
    "%c3%a9",
    "-dash",
    ".hidden",
    "x" * 129,
    "a;b",
    "a'--",
    "%ff",
    "a%5cb",
]


@pytest.mark.parametrize("bad", BAD_IDS)
def test_an_id_with_other_characters_is_refused_at_the_edge(server, bad):
    for service, path in (
        ("plms", f"/api/projects/{bad}/metrics"),
        ("pas", f"/pas/v1/runs/{bad}/receipts"),
        ("pas", f"/pas/v1/artifacts/{bad}"),
        ("pas", f"/pas/v1/runs/status?run_id={bad}"),
        ("pex", f"/api/projects/{bad}/status"),
        ("pex", f"/delegations/{bad}"),
        ("direng", f"/sessions/{bad}/diff"),
    ):
        answer = server.ask(service, "GET", path)
        assert answer.status in {404, 422}, (path, answer.body)
        assert_refused(answer, answer.status)


@pytest.mark.parametrize("bad", ["../x", "a b", "", "x" * 129, "\u00e9", "a\nb", ".", "\x00", 7, None])
def test_a_chosen_id_with_other_characters_is_refused(server, bad):
    answers = [
        server.ask("pas", "POST", "/pas/v1/jobcards", {**make_card("run-x"), "project_id": bad}, new_id("key")),
        server.ask("pas", "POST", "/pas/v1/jobcards", make_card(bad), new_id("key")),
    ]
    if bad is not None:  # None asks for an id
        project = {**make_project(server), "project_id": bad}
        answers.append(server.ask("plms", "POST", "/api/projects", project, new_id("key")))
        answers.append(server.ask("pas", "POST", "/pas/v1/runs/start", {**make_run(server), "run_id": bad}))
    for answer in answers:
        assert_refused(answer, 422, "invalid_request")


POSTS = [
    ("plms", "/api/projects"),
    ("pas", "/pas/v1/runs/start"),
    ("pex", "/delegations"),
    ("direng", "/sessions"),
    ("vector_ops", "/refresh"),
    ("auth", "/token"),
]


@pytest.mark.parametrize(("service", "path"), POSTS)
def test_a_body_that_makes_no_sense_is_a_422_of_one_line(server, service, path):
    deep = b"[" * 100_000
    for body in (b"", b"{", b"not json", b"\xff\xfe", b"null", b"[]", b'"text"', b"{}", b'{"surprise": 1}', deep):
        answer = server.ask(service, "POST", path, body, new_id("key"))
        assert_refused(answer, 422, "invalid_request")


@pytest.mark.parametrize(("service", "path"), POSTS)
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_another_content_type_is_refused(server, service, path, kind):
    body = json.dumps(make_project(server)).encode()
    assert_refused(server.ask(service, "POST", path, body, new_id("key"), Content_Type=kind), 422, "invalid_request")


@pytest.mark.parametrize(("service", "path"), [*POSTS, ("pas", "/pas/v1/artifacts")])
def test_a_body_of_nine_megabytes_is_refused_before_it_is_read(server, service, path):
    assert_refused(server.ask(service, "POST", path, b"x" * LARGE_BYTES, new_id("key")), 422, None, "bytes")
    lie = server.ask(service, "POST", path, b"{}", new_id("key"), Content_Length=str(LARGE_BYTES))
    assert_refused(lie, 422, None, "bytes")


@pytest.mark.parametrize(("service", "path"), [*READS, ("auth", "/keys")])
def test_unknown_paths_and_wrong_methods_have_an_error_body(server, service, path):
    for unknown in ("/", "/nowhere", "/docs", "/openapi.json", "/redoc", "//health", "/health/", "/%2e%2e/health"):
        answer = server.ask(service, "GET", unknown)
        assert_refused(answer, 404, "not_found")
    for method in ("PUT", "PATCH", "DELETE", "POST", "OPTIONS", "HEAD", "TRACE"):
        answer = server.ask(service, method, "/health")
        assert answer.status in {405, 422}, (method, answer.status)
        if method != "HEAD":  # its answer has no body by definition
            assert_refused(answer, answer.status, "invalid_request")


@pytest.mark.parametrize(("service", "path"), [*READS, ("auth", "/health")])
def test_a_web_page_reaches_no_port(server, service, path):
    for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}, {"Sec_Fetch_Site": "cross-site"}):
        assert_refused(server.ask(service, "GET", path, **headers), 403, "forbidden")


def test_after_all_of_this_the_server_has_logged_no_bug(server):
    """The last test of this module: whatever was refused above was refused on purpose."""
    log = server.home.log_file.read_text().splitlines()
    bugs = [entry for entry in map(json.loads, log) if entry["level"] in {"ERROR", "CRITICAL"} or "stack" in entry]
    assert bugs == []
    assert os.access(f"/proc/{server.published.pid}", os.F_OK), "it is the same server"
