"""`direng model` against the real server and a model server that speaks the real protocols."""

import json
import socket
import subprocess

import pytest

from tests.fakes.model_server.fixtures import PROBE_RULE, TEXT_PROBE_RULE, serve_script

__all__ = ["serve_script"]

KEY = "not-a-real-key-0123456789"
SCRIPT = {"rules": [PROBE_RULE], "models": ["m1"], "keys": [KEY]}
PRICED = ("--price-in", "3", "--price-out", "15")


@pytest.fixture
def direng(platform, tmp_path):
    """Run `direng` on a home of its own, in a folder that is no repository; `key` is MODEL_KEY of its environment."""

    def run(*argv, key=None, stdin=None):
        environment = platform.environment() | ({} if key is None else {"MODEL_KEY": key})
        return subprocess.run(
            ("direng", *argv),
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            input=stdin or "",
        )

    return run


def anthropic(server, *more):
    return ("--provider", "anthropic", "--model", "m1", "--url", server.anthropic_url, *PRICED, *more)


def local(url, *more):
    return ("--provider", "local_llama", "--model", "m1", "--url", url, "--free", *more)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_a_model_is_added_tried_listed_tested_and_removed(direng, serve_script):
    server = serve_script(SCRIPT)
    added = direng("model", "add", "claude", *anthropic(server, "--key", "env:MODEL_KEY"), key=KEY)
    assert added.returncode == 0, added.stderr
    assert "added claude: anthropic m1" in added.stdout
    assert "price $3.00/$15.00 per million tokens in/out (as you set it)" in added.stdout
    assert "it is the default" in added.stdout
    assert "ok: claude: m1 answered and calls tools natively" in added.stdout
    second = direng("model", "add", "qwen", *local(server.openai_url, "--key", "env:MODEL_KEY", "--context", "8192"))
    assert second.returncode == 0, second.stderr

    rows = direng("model", "list").stdout.splitlines()
    assert rows[0].split()[:3] == ["NAME", "PROVIDER", "MODEL"]
    assert "$3.00/$15.00" in rows[1]
    assert "yes" in rows[1].split()
    assert "free" in rows[2]
    assert "8192" in rows[2]
    assert all(row.endswith("ready") for row in rows[1:])

    assert direng("model", "default", "qwen").stdout.startswith("qwen (local_llama m1) is the default now")
    tested = direng("model", "test")
    assert tested.returncode == 0
    assert "ok: qwen: m1 answered" in tested.stdout
    assert "and cost $0.00" in tested.stdout
    paid = json.loads(direng("model", "test", "claude", "--json").stdout)
    assert paid["is_good"]
    assert paid["cost_microusd"] > 0

    assert direng("model", "remove", "qwen").stdout == "removed qwen\n"
    views = json.loads(direng("--json", "model", "list").stdout)
    assert [(view["alias"], view["is_default"]) for view in views] == [("claude", True)]
    assert server.stats()["answered"] == 4
    assert all(KEY not in done.stdout + done.stderr for done in (added, second, tested))


def test_the_price_of_a_call_is_what_its_tokens_cost(direng, serve_script):
    usage = {"input": 1000, "output": 10, "cache_read": 400, "cache_write": 100}
    rule = {**PROBE_RULE, "reply": {**PROBE_RULE["reply"], "usage": usage}}
    server = serve_script({**SCRIPT, "rules": [rule]})
    direng("model", "add", "claude", *anthropic(server, "--key", "env:MODEL_KEY", "--no-test"), key=KEY)
    probe = json.loads(direng("model", "test", "--json").stdout)
    # No price of their own was given for cached tokens, so they cost what others do: 1000 x $3 + 10 x $15 a million.
    assert probe["cost_microusd"] == 3150


def test_a_key_goes_into_the_vault_and_nowhere_else(direng, serve_script, platform):
    server = serve_script(SCRIPT)
    refused = direng("model", "add", "claude", *anthropic(server, "--key", "vault:work"))
    assert refused.returncode == 2
    assert "the vault has no key vault:work; give it on stdin with --key-stdin" in refused.stderr
    added = direng("model", "add", "claude", *anthropic(server, "--key", "vault:work", "--key-stdin"), stdin=f"{KEY}\n")
    assert added.returncode == 0, added.stderr
    again = direng("model", "add", "other", *anthropic(server, "--key", "vault:work"))
    assert again.returncode == 0
    assert "using the key that the vault keeps as vault:work" in again.stderr
    assert KEY not in added.stdout + added.stderr + again.stdout + again.stderr
    for file in platform.home.rglob("*"):
        if file.is_file():
            assert KEY.encode() not in file.read_bytes(), file

    kept = direng("model", "remove", "other", "--forget-key")
    assert "its key stays in the vault as vault:work: another model uses it" in kept.stderr
    assert "forgot its key vault:work" in direng("model", "remove", "claude", "--forget-key").stdout
    assert direng("model", "add", "claude", *anthropic(server, "--key", "vault:work")).returncode == 2


def test_a_wrong_key_is_told_by_its_reference(direng, serve_script):
    server = serve_script(SCRIPT)
    done = direng("model", "add", "claude", *anthropic(server, "--key", "env:MODEL_KEY"), key="stolen-key-9876543210")
    assert done.returncode == 1
    assert "FAILED: claude" in done.stdout
    assert "env:MODEL_KEY" in done.stdout.split("FAILED", 1)[1]
    assert "stolen-key-9876543210" not in done.stdout + done.stderr
    listed = json.loads(direng("model", "list", "--json").stdout)
    assert [view["alias"] for view in listed] == ["claude"], "it is kept: the key can be mended without typing it again"


def test_a_missing_variable_is_told_with_what_to_do_in_this_shell(direng, serve_script):
    server = serve_script(SCRIPT)
    missing = direng("model", "add", "claude", *anthropic(server, "--key", "env:MODEL_KEY"))
    assert missing.returncode == 1
    assert "env:MODEL_KEY is missing" in missing.stderr
    assert "export MODEL_KEY=" in missing.stderr
    late = direng("model", "add", "claude", *anthropic(server, "--key", "env:MODEL_KEY"), key=KEY)
    assert late.returncode == 1
    assert "it is set in this shell, but the running server was started without it" in late.stderr
    assert server.stats()["requests"] == 0
    direng("down")
    tested = direng("model", "test", "claude", key=KEY)
    assert tested.returncode == 0, tested.stdout


def test_an_endpoint_that_is_not_there_or_redirects_is_told(direng, serve_script):
    url = f"http://127.0.0.1:{free_port()}/v1"
    done = direng("model", "add", "gone", *local(url))
    assert done.returncode == 1
    assert "FAILED: gone" in done.stdout
    assert url.split("/")[2] in done.stdout.split("FAILED", 1)[1]
    target = serve_script([PROBE_RULE])
    fault = {"kind": "redirect", "to": f"{target.openai_url}/chat/completions"}
    server = serve_script([{"fault": fault}])
    moved = direng("model", "add", "moved", *local(server.openai_url))
    assert moved.returncode == 1
    assert "redirect" in moved.stdout.lower()
    assert target.stats()["requests"] == 0, "a redirect is never followed: the key would go along"


def test_a_model_that_knows_no_tools_is_spoken_to_in_text(direng, serve_script):
    server = serve_script({"rules": [TEXT_PROBE_RULE, {"reply": "Hm."}], "models": {"m1": {"no_tools": True}}})
    done = direng("model", "add", "plain", *local(server.openai_url))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "calls tools in text" in done.stdout
    assert [view["tool_style"] for view in json.loads(direng("model", "list", "--json").stdout)] == ["text"]


def test_a_model_that_calls_no_tool_in_any_way_is_told_so(direng, serve_script):
    server = serve_script({"rules": [{"reply": "I am ready."}], "models": {"m1": {"refuses_tools": True}}})
    done = direng("model", "add", "plain", *local(server.openai_url))
    assert done.returncode == 1
    assert "called no tool" in done.stdout
    assert "answers only" in done.stdout
    assert server.stats()["answered"] >= 1, "it was asked in text too"


REFUSED = {
    "no public price": (("--provider", "openai", "--model", "no-such-model-x"), "--price-in USD --price-out USD"),
    "no price": (("--provider", "local_llama", "--model", "m1", "--url", "http://127.0.0.1:1/v1"), "or --free"),
    "metadata address": (local("http://169.254.169.254/v1"), "169.254.169.254"),
    "key in the clear": (local("http://example.com/v1"), "use https://"),
    "scheme": (local("ftp://127.0.0.1/v1"), "http"),
    "password": (local("https://me:word@example.com/v1"), "give the key by reference"),
}


def test_what_the_broker_refuses_is_one_line_and_is_not_kept(direng):
    for name, (flags, line) in REFUSED.items():
        done = direng("model", "add", "bad", *flags)
        assert done.returncode == 1, name
        assert line in done.stderr, name
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
        assert "word" not in done.stderr.replace("password", ""), name
    assert direng("model", "list").stdout.startswith("no model is configured; add one")


def test_an_unknown_name_is_told(direng):
    for action in ("test", "default", "remove"):
        done = direng("model", action, "nobody")
        assert done.returncode == 1
        assert "no model is called 'nobody'" in done.stderr


def test_doctor_looks_at_every_endpoint(direng, serve_script, sample):
    server = serve_script(SCRIPT)
    direng("model", "add", "claude", *anthropic(server, "--key", "env:MODEL_KEY", "--no-test"), key=KEY)
    direng("model", "add", "gone", *local(f"http://127.0.0.1:{free_port()}/v1", "--no-test"))
    done = direng("doctor", "--json", "--repo", str(sample))
    lines = [(check["name"], check["is_good"]) for check in json.loads(done.stdout) if "model" in check["name"]]
    assert lines == [("model claude", True), ("model gone", False)]
    assert server.stats()["requests"] == 0, "doctor pays for no call"
