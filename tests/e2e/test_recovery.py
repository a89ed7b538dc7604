"""kill -9 of the server at every fault point: the run goes on after the next start and ends with the same tree."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

FAULTY = Path(__file__).resolve().parents[1] / "fakes/faulty_server.py"
INTENT = "rename stockbook.pricing.compute_total to price_lines everywhere and run the tests"
FINAL = {"completed", "needs_review", "failed", "terminated"}


def ask(platform, repo, *argv):
    done = platform.run(*argv, cwd=repo)
    assert done.code == 0, done.err
    return json.loads(done.out)


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


def wait_for_end(platform, repo):
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        runs = ask(platform, repo, "direng", "--json", "runs")
        if runs and runs[0]["state"] in FINAL:
            return runs[0]
        time.sleep(0.2)
    raise AssertionError("the run did not end")


@pytest.fixture(scope="module")
def undisturbed_tree(tmp_path_factory):
    """The result tree of the same run on the same repository without a kill."""
    return {}


@pytest.mark.parametrize("point", ["none", "card_running", "between_cards", "reporting"])
def test_a_killed_server_loses_nothing_and_repeats_no_completed_step(platform, sample, point, undisturbed_tree):
    server = start_faulty(platform, point)
    told = platform.direng("implement", INTENT, "--delegate", "--yes", cwd=sample)
    if point == "none":
        assert told.code == 0, told.err
        assert platform.direng("down", cwd=sample).code == 0
        assert server.wait(timeout=30) == 0
    else:
        assert server.wait(timeout=60) == -9
        assert told.code == 1, "the terminal must say that the stream broke"
        assert "direng runs" in told.err
    assert platform.direng("up", cwd=sample).code == 0
    run = wait_for_end(platform, sample)
    assert (run["state"], run["badge"]) == ("completed", "verified"), run["reason"]

    # The same change of the same content gives the same tree, kill or no kill.
    undisturbed_tree.setdefault("tree", run["result_tree"])
    assert run["result_tree"] == undisturbed_tree["tree"]

    receipts = ask_pas(platform, sample, run["run_id"], "receipts")
    succeeded = [receipt["task_id"] for receipt in receipts if receipt["is_success"]]
    assert sorted(succeeded) == ["baseline", "mentions", "rename", "tests"], "one receipt a card, none lost, none twice"
    assert [card["state"] for card in run["cards"]] == ["succeeded"] * 4
    assert platform.direng("accept", cwd=sample).code == 0
    assert "def price_lines(" in (sample / "stockbook/pricing.py").read_text()


def ask_pas(platform, repo, run_id, what):
    server = json.loads((platform.home / "server.json").read_text())
    url = f"http://127.0.0.1:{server['ports']['pas']}/pas/v1/runs/{run_id}/{what}"
    return ask(platform, repo, "curl", "-sf", "-H", f"Authorization: Bearer {server['tokens']['pas']}", url)


def test_the_project_of_a_killed_run_is_closed_once_with_its_actuals(platform, sample):
    server = start_faulty(platform, "reporting")
    assert platform.vp("new", "--title", "Rename", "--prd", INTENT, cwd=sample).code == 0
    assert platform.vp("estimate", cwd=sample).code == 0
    platform.vp("start", "--yes", cwd=sample)
    assert server.wait(timeout=60) == -9
    assert platform.direng("up", cwd=sample).code == 0
    wait_for_end(platform, sample)
    deadline = time.monotonic() + 30
    while ask(platform, sample, "vp", "show", "-o", "json")["state"] != "completed":
        assert time.monotonic() < deadline
        time.sleep(0.2)
    estimate = ask(platform, sample, "vp", "estimate", "-o", "json")
    assert {card["attempts_observed"] for card in estimate["cards"]} <= {1, 2}, "each card attempt is one observation"


def test_draining_ends_quickly_and_the_run_goes_on_at_the_next_start(platform, sample):
    assert platform.vp("new", "--title", "Rename", "--prd", INTENT, cwd=sample).code == 0
    assert platform.vp("estimate", cwd=sample).code == 0
    assert platform.vp("start", "--yes", cwd=sample).code == 0
    assert platform.direng("down", cwd=sample).code == 0
    assert not (platform.home / "server.json").exists()
    assert platform.direng("up", cwd=sample).code == 0
    run = wait_for_end(platform, sample)
    assert (run["state"], run["badge"]) == ("completed", "verified"), run["reason"]
