"""A bug over two files, mended by a model: from the words to green tests and an accepted branch, over each protocol.

The model is scripted (tests/fakes/model_server); all else is the real thing: commands, server, sandbox, broker, ledger.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fakes.commands import git
from tests.fakes.model_server.fixtures import PROBE_RULE, serve_script

__all__ = ["serve_script"]

FAULTY = Path(__file__).resolve().parents[1] / "fakes/faulty_server.py"
FINAL = {"completed", "needs_review", "failed", "terminated"}
INTENT = (
    "French orders are taxed wrongly and halves are rounded down: make the tests pass and say so in the documentation"
)
READS = [
    {"name": "fs_read", "arguments": {"path": "stockbook/money.py"}},
    {"name": "rag_query", "arguments": {"kind": "where_defined", "text": "rate_of"}},
]
EDITS = [
    {
        "path": "stockbook/money.py",
        "search": "    return int(amount.quantize(Decimal(1), rounding=ROUND_DOWN))",
        "replace": "    return int(amount.quantize(Decimal(1), rounding=ROUND_HALF_UP))",
    },
    {
        "path": "stockbook/money.py",
        "search": "from decimal import ROUND_DOWN, Decimal",
        "replace": "from decimal import ROUND_HALF_UP, Decimal",
    },
    {
        "path": "stockbook/tax.py",
        "search": 'RATES = {"DE": Decimal("0.19"), "FR": Decimal("0.02"), "CH": Decimal("0.081")}',
        "replace": 'RATES = {"DE": Decimal("0.19"), "FR": Decimal("0.20"), "CH": Decimal("0.081")}',
    },
]
TREE = {
    "summary": "Mend rounding and the French rate",
    "tasks": [
        {
            "task_id": "mend",
            "lane": "Code-Impl",
            "title": "Mend the code",
            "goal": "fix the rounding and the French rate",
            "files": ["stockbook/money.py", "stockbook/tax.py"],
        },
        {
            "task_id": "note",
            "lane": "Narrative",
            "title": "Note it",
            "goal": "write down in docs/rounding.md how halves are rounded",
            "deps": ["mend"],
        },
    ],
}
NOTE = [{"path": "docs/rounding.md", "search": "", "replace": "# Rounding\n\nHalves are rounded up.\n"}]


def call(name, **arguments):
    return {"tool_calls": [{"name": name, "arguments": arguments}]}


def at(turn, goal, reply):
    return {"when": {"tools_include": "fs_patch", "turn": turn, "contains": goal}, "reply": reply}


RULES = [
    PROBE_RULE,
    {"when": {"tools_include": "submit_plan"}, "reply": call("submit_plan", **TREE)},
    at(0, "write down in docs", call("fs_patch", edits=NOTE)),
    at(1, "write down in docs", call("finish", summary="noted", status="done")),
    at(0, "fix the rounding", {"tool_calls": READS}),
    at(1, "fix the rounding", call("fs_patch", edits=EDITS)),
    at(2, "fix the rounding", call("run_test")),
    at(3, "fix the rounding", call("finish", summary="mended", status="done")),
]
WIRES = {"openai": "local_llama", "anthropic": "anthropic"}


@pytest.fixture
def buggy(sample):
    """The sample project with a bug over two files: two of its tests fail."""
    for path, right, wrong in (
        ("stockbook/money.py", "ROUND_HALF_UP", "ROUND_DOWN"),
        ("stockbook/tax.py", '"0.20"', '"0.02"'),
    ):
        file = sample / path
        file.write_text(file.read_text().replace(right, wrong))
    git("commit", "-qam", "Two mistakes", cwd=sample)
    return sample


def add_model(platform, repo, server, wire):
    """Configure the scripted server, with its key in the vault."""
    url = server.openai_url if wire == "openai" else server.base_url
    done = subprocess.run(
        ["direng", "model", "add", "main", "--provider", WIRES[wire], "--model", "m-main", "--url", url, "--no-test",
         "--price-in", "3", "--price-out", "15", "--key", "vault:MAIN_KEY", "--key-stdin"],
        cwd=repo, env=platform.environment(), input="test-key\n", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "test-key" not in done.stdout + done.stderr


def ask(platform, repo, *argv):
    done = platform.run(*argv, cwd=repo)
    assert done.code == 0, done.err
    return json.loads(done.out)


def ask_service(platform, repo, service, path):
    server = json.loads((platform.home / "server.json").read_text())
    url = f"http://127.0.0.1:{server['ports'][service]}{path}"
    return ask(platform, repo, "curl", "-sf", "-H", f"Authorization: Bearer {server['tokens'][service]}", url)


def wait_for_end(platform, repo):
    """Return the delegated run once it has ended; a plan that a kill left waiting is approved on the way."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        runs = ask(platform, repo, "direng", "--json", "runs")
        mending = [run for run in runs if any(card["task_id"] == "mend" for card in run["cards"])]
        if mending and mending[0]["state"] in FINAL:
            return mending[0]
        for delegation in ask_service(platform, repo, "pex", "/delegations"):
            if delegation["state"] == "awaiting_approval":
                approve(platform, repo, delegation["delegation_id"])
        time.sleep(0.2)
    raise AssertionError(f"the run did not end: {[(run['run_id'], run['state'], run['reason']) for run in runs]}")


def assert_mended_and_accepted(platform, repo, run):
    assert (run["state"], run["badge"]) == ("completed", "verified"), run["reason"]
    assert {card["lane"] for card in run["cards"]} == {"Code-Impl", "Narrative"}
    accepted = platform.direng("accept", run["run_id"], cwd=repo)
    assert accepted.code == 0, accepted.err
    assert "ROUND_HALF_UP" in (repo / "stockbook/money.py").read_text()
    assert git("status", "--porcelain", cwd=repo) == ""
    tests = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], cwd=repo, capture_output=True, check=False
    )
    assert tests.returncode == 0


@pytest.mark.parametrize("wire", list(WIRES))
def test_a_bug_over_two_files_is_mended_over_both_protocols(platform, buggy, serve_script, wire):
    server = serve_script({"rules": RULES, "keys": ["test-key"]})
    add_model(platform, buggy, server, wire)
    told = platform.direng("fix", INTENT, "--delegate", "--yes", cwd=buggy)
    assert told.code == 0, told.err
    run = wait_for_end(platform, buggy)
    assert_mended_and_accepted(platform, buggy, run)

    stats = server.stats()
    assert (stats["unmatched"], stats["repeated_keys"], stats["without_key"]) == (0, {}, 0)
    receipts = ask_service(platform, buggy, "pas", f"/pas/v1/runs/{run['run_id']}/receipts")
    paid = [receipt for receipt in receipts if receipt["step"] > 0]
    assert len(paid) == 6
    assert sum(receipt["cost_microusd"] for receipt in paid) == run["cost_microusd"] > 0
    attempts = ask_service(platform, buggy, "broker", "/v1/ledger")
    assert {attempt["state"] for attempt in attempts} == {"settled"}
    assert len(attempts) == stats["answered"], "one ledger row a call"
    secrets = subprocess.run(
        ["grep", "-rl", "test-key", str(platform.home)], capture_output=True, text=True, check=False
    )
    assert secrets.stdout == "", "the key is nowhere in the home in clear"


def start_faulty(platform, point):
    process = subprocess.Popen(
        [sys.executable, str(FAULTY), str(platform.home), point], env=platform.environment(), stdin=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 30
    while not (platform.home / "server.json").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    return process


@pytest.fixture(scope="module")
def undisturbed():
    """What the same run comes to without a kill: its tree, and how many model calls it makes."""
    return {}


POINTS = ["none", "agent_model_called", "agent_tool_ran", "agent_step_recorded", "agent_checked", "reporting"]
"""The first passing of each kills: some lie in the plan card. Every passing: tests/unit/pas/test_agent_restart.py."""


@pytest.mark.parametrize("point", POINTS)
def test_a_server_killed_at_any_journal_point_repeats_no_model_call(platform, buggy, serve_script, point, undisturbed):
    server = serve_script({"rules": RULES, "keys": ["test-key"]})
    add_model(platform, buggy, server, "anthropic" if POINTS.index(point) % 2 else "openai")
    assert platform.direng("down", cwd=buggy).code == 0
    process = start_faulty(platform, point)
    platform.direng("fix", INTENT, "--delegate", "--yes", cwd=buggy)
    if point == "none":
        assert platform.direng("down", cwd=buggy).code == 0
        assert process.wait(timeout=30) == 0
    else:
        assert process.wait(timeout=60) == -9
    assert platform.direng("up", cwd=buggy).code == 0
    run = wait_for_end(platform, buggy)

    undisturbed.setdefault("tree", run["result_tree"])
    assert run["result_tree"] == undisturbed["tree"]
    stats = server.stats()
    assert (stats["repeated_keys"], stats["unmatched"]) == ({}, 0)
    undisturbed.setdefault("answered", stats["answered"])
    assert stats["answered"] == undisturbed["answered"], "no model call is made twice, and none is missing"
    assert_mended_and_accepted(platform, buggy, run)


def approve(platform, repo, delegation_id):
    server = json.loads((platform.home / "server.json").read_text())
    body = {"approved": True, "idempotency_key": "after-the-kill", "rationale": "the user still wants it"}
    ask(
        platform, repo, "curl", "-sf", "-X", "POST", "-H", f"Authorization: Bearer {server['tokens']['pex']}",
        "-H", "Content-Type: application/json", "-d", json.dumps(body),
        f"http://127.0.0.1:{server['ports']['pex']}/delegations/{delegation_id}/approve",
    )  # fmt: skip
