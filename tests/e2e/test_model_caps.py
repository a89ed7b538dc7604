"""Money, at the edges: the real commands and the real server never let a call be made that a cap does not admit."""

import itertools
import time

import pytest

from tests.fakes.model_stage import CALL_MICROUSD, FINISH, PATCH, at, call, card, open_stage

pytestmark = pytest.mark.sandbox


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    with open_stage(tmp_path_factory.mktemp("caps")) as opened:
        yield opened


def test_provider_that_bills_more_than_was_asked_for_stops_the_run_at_once(stage):
    stage.add_model("greedy")
    run = stage.work("greedy", [at(0, PATCH | {"usage": {"input": 1000, "output": 1_000_000}}), at(1, FINISH)])
    assert (run["state"], run["cost_microusd"]) == ("paused", 15_003_000)
    assert len(stage.requests("greedy")) == 1
    command = {"run_id": run["run_id"], "reason": "too dear"}
    assert stage.send("POST", "pas", "/pas/v1/runs/terminate", command)[0] == 200
    assert stage.wait(run["run_id"], {"terminated"})["cost_microusd"] == 15_003_000


def test_cap_smaller_than_one_call_calls_nothing_and_a_raised_one_goes_on(stage):
    stage.add_model("poor")
    stage.play(at(0, PATCH), at(1, FINISH))
    asked = stage.direng("fix", "change the old line of the notes", "--direct", "--yes", "--max-cost", "0.0001")
    assert asked.code == 3, asked.out + asked.err
    assert "resume" in asked.out + asked.err
    assert stage.server.stats()["requests"] == 0
    run = stage.get("pas", "/pas/v1/runs?is_active=true")[0]
    assert (run["state"], run["cost_microusd"]) == ("paused", 0)
    resumed = stage.direng("resume", run["run_id"], "--max-cost", "1")
    assert resumed.code == 0, resumed.out + resumed.err
    run = stage.wait(run["run_id"])
    assert (run["state"], run["cost_microusd"]) == ("completed", 2 * CALL_MICROUSD)
    stage.assert_sound(run)


def test_retry_that_the_cap_does_not_admit_is_not_made_and_what_was_spent_before_stays_told(stage):
    stage.add_model("torn")
    stage.play(at(0, PATCH, fault={"kind": "cut_body", "times": 1}), at(1, FINISH))
    assert stage.start("run-torn", card("t1", "torn"), max_cost_microusd=100_000)[0] == 200
    assert stage.wait("run-torn")["state"] == "paused"
    assert len(stage.requests("torn")) == 1
    (torn,) = stage.attempts("run-torn")
    assert (torn["outcome"], torn["is_estimated"], torn["cost_microusd"]) == ("cut", True, torn["reserved_microusd"])
    command = {"run_id": "run-torn", "reason": "worth it", "max_cost_microusd": 2_000_000}
    assert stage.send("POST", "pas", "/pas/v1/runs/resume", command)[0] == 200
    run = stage.wait("run-torn")
    assert run["state"] == "completed", run["reason"]
    assert run["cost_microusd"] == torn["cost_microusd"] + 2 * CALL_MICROUSD
    stage.assert_sound(run)


def test_fifty_children_never_pass_the_cap_of_their_run(stage):
    stage.add_model("crowd")
    write = call(("fs_patch", {"edits": [{"path": "docs/{{who}}.md", "search": "", "replace": "# Made\n"}]}))
    first = at(0, write) | {"capture": {"who": r"write the page (page\d+)"}}
    stage.play(first, at(1, FINISH))
    lanes = itertools.cycle(["Narrative", "Vector-Ops", "Graph-Ops"])
    cards = [card(f"t{n}", "crowd", lane=next(lanes), goal=f"write the page page{n}") for n in range(50)]
    cap = 480_000
    status, body = stage.start("run-crowd", *cards, max_cost_microusd=cap)
    assert status == 200, body
    run = stage.wait("run-crowd")
    assert run["state"] == "paused"
    while stage.get("broker", "/v1/budgets?kind=run&id=run-crowd")["reserved_microusd"]:
        time.sleep(0.05)
    answered = stage.server.stats()["answered"]
    budget = stage.get("broker", "/v1/budgets?kind=run&id=run-crowd")
    assert 0 < budget["spent_microusd"] == answered * CALL_MICROUSD <= cap
    assert answered < 100
    command = {"run_id": "run-crowd", "reason": "worth it", "max_cost_microusd": 20_000_000}
    assert stage.send("POST", "pas", "/pas/v1/runs/resume", command)[0] == 200
    run = stage.wait("run-crowd")
    assert run["state"] == "completed", run["reason"]
    stats = stage.server.stats()
    assert (stats["answered"], stats["repeated_keys"]) == (100, {})
    assert run["cost_microusd"] == 100 * CALL_MICROUSD
    stage.assert_sound(run)
