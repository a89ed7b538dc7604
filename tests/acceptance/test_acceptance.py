"""The acceptance tests of the specification (section 10), with the commands it gives."""

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from tests.fakes.model_server.fixtures import run_model_server
from tests.fakes.ports import claim_fixed_ports

ROOT = Path(__file__).resolve().parents[2]
PYTHON = str(ROOT / ".venv/bin/python")
LANES = {"Code-Impl", "Code-API-Design", "Data-Schema", "Vector-Ops", "Graph-Ops", "Narrative"}
SHELLS = ("sh", "bash", "dash", "zsh")
SECRET_GLOBS = {".env*", "secrets/**", "*.pem", "*.key"}


@pytest.fixture(scope="module")
def user(tmp_path_factory):
    """A user with an empty home folder; the server of its default `~/.direng` listens on the fixed ports."""
    home = tmp_path_factory.mktemp("user")
    environment = {
        "HOME": str(home),
        "PATH": f"{ROOT / '.venv/bin'}:/usr/local/bin:/usr/bin:/bin",
        "NO_COLOR": "1",
        "GIT_AUTHOR_NAME": "Test",
        "GIT_AUTHOR_EMAIL": "test@localhost",
        "GIT_COMMITTER_NAME": "Test",
        "GIT_COMMITTER_EMAIL": "test@localhost",
    }
    with claim_fixed_ports():
        yield environment
        run(["direng", "down"], environment)


@pytest.fixture(scope="module")
def repo(tmp_path_factory, user):
    folder = tmp_path_factory.mktemp("work") / "stockbook"
    shutil.copytree(ROOT / "tests/fixtures/sample_project", folder)
    for command in (["git", "init", "-q", "-b", "main"], ["git", "add", "-A"], ["git", "commit", "-qm", "The books"]):
        subprocess.run(command, cwd=folder, env=user, check=True)
    return folder


def run(command, environment, cwd=ROOT, timeout_s=170):
    quiet = {"capture_output": True, "text": True, "stdin": subprocess.DEVNULL}
    return subprocess.run(command, check=False, cwd=cwd, env=environment, timeout=timeout_s, **quiet)


def server_file(user):
    return json.loads((Path(user["HOME"]) / ".direng/server.json").read_text())


def test_1_pas_serves_6200_and_a_repeated_key_returns_the_same_run(user, repo):
    started = run(["make", "--no-print-directory", "run-pas"], user)
    assert started.returncode == 0, started.stderr
    health = run(["make", "--no-print-directory", "pas-health"], user)
    assert json.loads(health.stdout)["status"] == "ok"
    body = {
        "project_id": "test",
        "run_kind": "baseline",
        "passport_basis": {"repo": str(repo), "prd_sha256": "0" * 64, "contract_version": "2026-11-21-001"},
        "cards": [
            {
                "task_id": "tests",
                "lane": "Code-Impl",
                "title": "Tests",
                "configuration": "recipe/run-tests",
                "payload": {"kind": "tests"},
            }
        ],
    }
    command = [
        "curl", "-s", "-i", "-X", "POST", "http://localhost:6200/pas/v1/runs/start",
        "-H", f"Authorization: Bearer {server_file(user)['tokens']['pas']}",
        "-H", "Content-Type: application/json", "-H", "Idempotency-Key: test-001",
    ]  # fmt: skip
    first, second = (run([*command, "-d", json.dumps(body)], user).stdout for _ in range(2))
    run_ids = {json.loads(answer.split("\n\n", 1)[1])["run_id"] for answer in (first, second)}
    assert len(run_ids) == 1
    assert "idempotent-replay: true" in second.lower()
    assert "idempotent-replay" not in first.lower()
    other = run([*command, "-d", json.dumps({**body, "project_id": "other"})], user).stdout
    assert other.startswith("HTTP/1.1 409")


def test_1_a_run_without_a_passport_basis_is_refused(user):
    run(["direng", "up"], user)
    answer = run(
        [
            "curl", "-s", "-X", "POST", "http://localhost:6200/pas/v1/runs/start",
            "-H", f"Authorization: Bearer {server_file(user)['tokens']['pas']}",
            "-H", "Content-Type: application/json", "-d", '{"project_id": "test", "run_kind": "baseline"}',
        ],
        user,
    )  # fmt: skip
    assert json.loads(answer.stdout)["code"] == "pas.passport_basis_missing"


PRD_FOR_A_MODEL = "Write down in docs/rounding.md how halves are rounded"
NOTE = {"path": "docs/rounding.md", "search": "", "replace": "# Rounding\n\nHalves are rounded up.\n"}
TREE = {
    "summary": "Note the rounding",
    "tasks": [
        {"task_id": "note", "lane": "Narrative", "title": "Note it", "goal": "write down how halves are rounded"}
    ],
}


def call(name, **arguments):
    return {"tool_calls": [{"name": name, "arguments": arguments}]}


MODEL_RULES = [
    {"when": {"tools_include": "submit_plan"}, "reply": call("submit_plan", **TREE)},
    {"when": {"tools_include": "fs_patch", "turn": 0}, "reply": call("fs_patch", edits=[NOTE])},
    {"when": {"tools_include": "fs_patch"}, "reply": call("finish", summary="noted", status="done")},
]


def vp(user, repo, *argv):
    return run([PYTHON, str(ROOT / "cli/vp.py"), *argv], user, cwd=repo)


def new_project(user, repo, title):
    created = vp(user, repo, "new", "--title", title, "--prd", PRD_FOR_A_MODEL, "-o", "json")
    assert created.returncode == 0, created.stderr
    return json.loads(created.stdout)["project_id"]


def test_2_without_a_model_an_estimate_is_prior_led_and_the_start_says_what_to_configure(user, repo):
    project = new_project(user, repo, "Rounding, without a model")
    estimated = vp(user, repo, "estimate", project, "-o", "json")
    assert estimated.returncode == 0, estimated.stderr
    estimate = json.loads(estimated.stdout)
    assert estimate["label"] == "prior-led"
    assert 0 < estimate["cost_microusd"]["p50"] < estimate["cost_microusd"]["p95"]
    refused = vp(user, repo, "start", project, "--yes")
    assert refused.returncode == 1
    assert "direng model add" in refused.stderr
    status = json.loads(vp(user, repo, "status", project, "-o", "json").stdout)
    assert status["run"] is None


def test_2_with_a_scripted_model_a_project_is_estimated_rehearsed_and_run_by_its_id(user, repo, tmp_path):
    with run_model_server(MODEL_RULES, tmp_path) as server:
        added = run(
            ["direng", "model", "add", "scripted", "--provider", "local_llama", "--model", "scripted", "--no-test",
             "--url", server.openai_url, "--price-in", "3", "--price-out", "15"],
            user,
        )  # fmt: skip
        assert added.returncode == 0, added.stderr
        project = new_project(user, repo, "Rounding")
        estimate = json.loads(vp(user, repo, "estimate", project, "-o", "json").stdout)
        assert (estimate["uses_model"], estimate["label"]) == (True, "prior-led")
        rehearsed = vp(user, repo, "simulate", project, "--rehearsal", "0.01", "--yes")
        assert rehearsed.returncode == 0, rehearsed.stderr
        assert "1%" in rehearsed.stdout + rehearsed.stderr
        started = vp(user, repo, "start", project, "--yes")
        assert started.returncode == 0, started.stderr
        view = wait_for_end(user, repo, project)
        assert view["state"] == "completed", view["reason"]
        assert 0 < view["cost_microusd"] <= view["cap_microusd"]
        assert server.stats()["repeated_keys"] == {}
        removed = run(["direng", "model", "remove", "scripted"], user)
        assert removed.returncode == 0, removed.stderr


def test_3_the_broker_policy_validator_accepts_the_example_and_rejects_an_incomplete_one(user, tmp_path):
    script = "services/pas/policy/validate_broker_policy.py"
    good = run([PYTHON, script, "services/pas/policy/model_broker_example.json"], user)
    assert (good.returncode, good.stdout) == (0, "VALID\n")
    bad = tmp_path / "invalid_policy.json"
    bad.write_text('{"version": "2025-11-07-001"}')
    refused = run([PYTHON, script, str(bad)], user)
    assert refused.returncode == 1
    assert refused.stdout.startswith("INVALID\n")
    assert "default_provider" in refused.stdout


def test_4_six_allowlists_deny_raw_shells_and_secrets():
    files = sorted((ROOT / "services/pas/executors/allowlists").glob("*.yaml"))
    lists = [yaml.safe_load(file.read_text()) for file in files]
    assert {entry["lane"] for entry in lists} == LANES
    for entry in lists:
        required = {"lane", "description", "workspace_roots", "file_globs", "commands", "network", "limits", "fs_ops"}
        assert required <= entry.keys()
        assert entry["network"]["outbound"] is False
        assert set(entry["file_globs"]["deny"]) >= SECRET_GLOBS
        denied = {argv[0] for argv in entry["commands"]["deny"]}
        assert denied >= set(SHELLS)


def test_5_the_refresh_daemon_refreshes_once_and_is_fresh_the_second_time(user, repo, tmp_path):
    daemon = str(ROOT / "services/vector_ops/refresh_daemon.py")
    command = [PYTHON, daemon, "--repo", ".", "--index-dir", str(tmp_path / "index"), "--once"]
    first, second = run(command, user, cwd=repo), run(command, user, cwd=repo)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert "stale -> refreshed" in first.stdout
    assert "fresh" in second.stdout
    assert "refreshed" not in second.stdout
    metadata = json.loads(next((tmp_path / "index").rglob("metadata.json")).read_text())
    assert {"last_update", "commit_sha", "commit_time", "refresh_duration_seconds"} <= metadata.keys()


def test_10_a_real_run_over_two_lanes_and_6_its_replay(user, repo):
    prd = "rename stockbook.pricing.compute_total to price_lines and run the tests"
    steps = (
        ["vp", "new", "--title", "Rename", "--prd", prd],
        ["vp", "estimate"],
        ["vp", "start", "--yes"],
    )
    for step in steps:
        done = run(step, user, cwd=repo)
        assert done.returncode == 0, done.stderr
    run_view = wait_for_end(user, repo)
    assert run_view["state"] == "completed", run_view["reason"]
    assert run_view["badge"] == "verified"
    assert {card["lane"] for card in run_view["cards"]} == {"Code-Impl", "Narrative"}
    assert all(card["state"] == "succeeded" for card in run_view["cards"])

    script = ["bash", str(ROOT / "scripts/replay_from_passport.sh"), run_view["run_id"]]
    dry = run([*script, "--dry-run"], user)
    assert dry.returncode == 0, dry.stderr
    assert run_view["base_commit"][:12] in dry.stdout
    skipped = run([*script, "--skip-git", "--skip-env", "--skip-artifacts"], user)
    assert skipped.returncode == 0, skipped.stderr


def wait_for_end(user, repo, *project):
    deadline = time.monotonic() + 150
    while time.monotonic() < deadline:
        status = run(["vp", "status", *project, "-o", "json"], user, cwd=repo)
        view = json.loads(status.stdout)["run"]
        if view and view["state"] in {"completed", "needs_review", "failed", "terminated"}:
            return view
        time.sleep(0.3)
    raise AssertionError("the run did not end in 150 s")
