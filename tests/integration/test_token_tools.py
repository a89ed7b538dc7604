"""The two command-line tools of auth, and the first start of two servers at once."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.auth.keys import open_keys, read_keys
from services.auth.revocation import RevocationFile
from services.kernel.clock import SystemClock

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    path = tmp_path_factory.mktemp("home")
    open_keys(path / "auth", SystemClock())
    return path


def run_tool(name, *arguments, environment=None, text=""):
    command = [sys.executable, "-m", f"services.auth.{name}", *arguments]
    variables = {"PATH": os.environ["PATH"]} | (environment or {})
    return subprocess.run(
        command, check=False, cwd=REPOSITORY, env=variables, input=text, capture_output=True, text=True, timeout=60
    )


def issue(home, *arguments, subject="user:me", audience="plms"):
    done = run_tool("token_issuer", "--subject", subject, "--audience", audience, "--home", str(home), *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def test_issued_token_validates_and_shows_its_claims(home):
    token = issue(home, "--scope", "plms.approve", "--ttl", "60")
    done = run_tool("token_validator", "--audience", "plms", "--home", str(home), token)
    claims = json.loads(done.stdout)
    assert (done.returncode, claims["sub"], claims["aud"], claims["scopes"]) == (0, "user:me", "plms", ["plms.approve"])
    assert claims["exp"] - claims["iat"] == 60


def test_validator_reads_standard_input_and_the_home_of_the_environment(home):
    token = issue(home)
    done = run_tool(
        "token_validator", "--audience", "plms", "-", environment={"DIRENG_HOME": str(home)}, text=token + "\n"
    )
    assert (done.returncode, json.loads(done.stdout)["sub"]) == (0, "user:me")


def test_bad_tokens_exit_4_with_one_line(home):
    token = issue(home)
    for bad, audience in ((token, "pas"), (token[:-20], "plms"), ("junk", "plms")):
        done = run_tool("token_validator", "--audience", audience, "--home", str(home), bad)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (4, "", 1)


def test_revoked_token_exits_4(home):
    token = issue(home)
    shown = run_tool("token_validator", "--audience", "plms", "--home", str(home), token)
    claims = json.loads(shown.stdout)
    RevocationFile(home / "auth" / "revocations.jsonl").revoke_jti(claims["jti"], claims["exp"])
    done = run_tool("token_validator", "--audience", "plms", "--home", str(home), token)
    assert (done.returncode, "revoked" in done.stderr) == (4, True)


def test_home_without_keys_exits_4_with_the_cure(tmp_path):
    for tool, arguments in (("token_issuer", ["--subject", "user:me"]), ("token_validator", ["token"])):
        done = run_tool(tool, "--audience", "plms", "--home", str(tmp_path / "none"), *arguments)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (4, "", 1)
        assert "direng up" in done.stderr
    assert not (tmp_path / "none").exists()


def test_home_open_to_others_exits_4_with_the_cure(tmp_path):
    open_keys(tmp_path / "auth", SystemClock())
    (tmp_path / "auth").chmod(0o755)
    done = run_tool("token_issuer", "--subject", "user:me", "--audience", "plms", "--home", str(tmp_path))
    assert (done.returncode, done.stderr.count("\n")) == (4, 1)
    assert "chmod 0700" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--subject", "me", "--audience", "plms"],
        ["--subject", "user:me", "--audience", "nowhere"],
        ["--subject", "user:me", "--audience", "plms", "--ttl", "90000"],
        ["--subject", "user:me", "--audience", "plms", "--scope", "everything"],
    ],
)
def test_wrong_usage_exits_2(arguments):
    done = run_tool("token_issuer", *arguments)
    assert (done.returncode, done.stdout) == (2, "")


def test_refused_grant_exits_4(home):
    done = run_tool("token_issuer", "--subject", "service:plms", "--audience", "pas", "--home", str(home))
    assert (done.returncode, done.stderr.count("\n")) == (4, 1)


def test_two_first_starts_at_once_make_one_key_set(tmp_path):
    code = (
        "import sys; from pathlib import Path; from services.auth.keys import open_keys;"
        "from services.kernel.clock import SystemClock; sys.stdin.readline();"
        "keys = open_keys(Path(sys.argv[1]), SystemClock());"
        "print(keys.get_signing_key().kid, keys.get_bootstrap_secret())"
    )
    directory = tmp_path / "auth"
    command = [sys.executable, "-c", code, str(directory)]
    starts = [
        subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for start in starts:
        start.stdin.write("go\n")
        start.stdin.flush()
    answers = [start.communicate(timeout=60)[0] for start in starts]
    assert [start.returncode for start in starts] == [0, 0]
    assert answers[0] == answers[1]
    keys = read_keys(directory, SystemClock())
    assert answers[0].split() == [keys.get_signing_key().kid, keys.get_bootstrap_secret()]
    assert len(list((directory / "signing").iterdir())) == 1
