"""What a model, its provider or its operator gets wrong, met by the real commands and the real server.

Only the model is scripted. Each case has a model of its own name: one that failed is left alone for a while.
"""

import itertools
import socket

import pytest

from tests.fakes.model_server.fixtures import write_text_call
from tests.fakes.model_stage import EDIT, FINISH, PATCH, USAGE, at, card, open_stage

pytestmark = pytest.mark.sandbox
KEY = "not-a-real-key-5566778899"


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    with open_stage(tmp_path_factory.mktemp("bad_input")) as opened:
        yield opened


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


HEALING = {
    "busy": ({"kind": "rate_limited", "retry_after_s": 0.2}, "rate_limited"),
    "broken": ({"kind": "server_error"}, "server_error"),
    "dropped": ({"kind": "drop"}, "cut"),
    "cut": ({"kind": "cut_body"}, "cut"),
    "garbled": ({"kind": "malformed_body"}, "malformed"),
    "no-choices": ({"kind": "empty_choices"}, "malformed"),
}


@pytest.mark.parametrize("name", list(HEALING))
def test_fault_that_passes_is_healed_by_a_retry_and_each_attempt_is_told(stage, name):
    fault, outcome = HEALING[name]
    alias = f"once-{name}"
    stage.add_model(alias)
    run = stage.work(alias, [at(0, PATCH, fault=fault | {"times": 1}), at(1, FINISH)])
    assert run["state"] == "completed", run["reason"]
    outcomes = [attempt["outcome"] for attempt in stage.attempts(run["run_id"])]
    assert outcomes == [outcome, "ok", "ok"]
    assert [receipt["is_success"] for receipt in stage.receipts(run["run_id"])] == [False, True, True]
    stage.assert_sound(run)


MUCH = {"text": "much", "usage": USAGE}
WORK = {"when": {"tools_include": "finish", "not_contains": "applied:"}, "reply": PATCH}
END = {"when": {"last_tool_result_contains": "applied:"}, "reply": FINISH}
SAYING = {
    "arguments": {"kind": "malformed_arguments"},
    "wrong-tool": {"kind": "wrong_tool"},
    "two-megabytes": {"kind": "huge_text"},
    "text-only": {},
    "nothing-said": {},
}


@pytest.mark.parametrize("name", list(SAYING))
def test_nonsense_that_passes_is_answered_and_the_model_goes_on(stage, name):
    alias = f"slip-{name}"
    reply = {"text-only": "I would rather talk.", "nothing-said": "", "two-megabytes": MUCH}.get(name, PATCH)
    slip = {"when": {"tools_include": "finish"}, "reply": reply, "times": 1}
    stage.add_model(alias, context_tokens=1_000_000)
    rules = [slip | ({"fault": SAYING[name]} if SAYING[name] else {}), WORK, END]
    run = stage.work(alias, rules)
    assert run["state"] == "completed", run["reason"]
    assert len(stage.requests(alias)) == 3
    assert max(len(str(request["body"])) for request in stage.requests(alias)) < 100_000
    stage.assert_sound(run)


LASTING = {
    "busy": ({"kind": "rate_limited", "retry_after_s": 0.1}, "429"),
    "busy-for-long": ({"kind": "rate_limited", "retry_after_s": 3600}, "429"),
    "broken": ({"kind": "server_error"}, "500"),
    "dropped": ({"kind": "drop"}, "always-dropped"),
    "cut": ({"kind": "cut_body"}, "always-cut"),
    "garbled": ({"kind": "malformed_body"}, "always-garbled"),
    "no-choices": ({"kind": "empty_choices"}, "it holds no answer"),
    "forbidden": ({"kind": "forbidden"}, "always-forbidden"),
    "refused": ({"kind": "bad_request"}, "400"),
    "overflow": ({"kind": "context_overflow"}, "context"),
    "redirect": ({"kind": "redirect", "to": "http://169.254.169.254/latest/meta-data"}, "redirect"),
    "arguments": ({"kind": "malformed_arguments"}, "3 malformed tool calls in a row"),
    "wrong-tool": ({"kind": "wrong_tool"}, "3 malformed tool calls in a row"),
    "two-megabytes": ({"kind": "huge_text"}, "stopped calling tools"),
}


@pytest.mark.parametrize("name", list(LASTING))
def test_fault_that_stays_ends_the_run_with_one_line_and_no_half_done_work(stage, name):
    fault, words = LASTING[name]
    alias = f"always-{name}"
    stage.add_model(alias, context_tokens=1_000_000)
    reply = MUCH if name == "two-megabytes" else PATCH
    rule = {"when": {"tools_include": "finish"}, "fault": fault, "reply": reply}
    run = stage.work(alias, [rule])
    assert run["state"] == "failed"
    told = run["cards"][0]["reason"]
    assert words in told
    assert told.strip()
    assert run["files_changed"] == 0
    assert len(stage.receipts(run["run_id"])) == len(stage.attempts(run["run_id"])) > 0
    stage.assert_sound(run)


def test_fault_after_an_edit_keeps_the_users_tree_and_says_so(stage):
    stage.add_model("late")
    run = stage.work("late", [at(0, PATCH), at(1, FINISH, fault={"kind": "server_error"})])
    assert run["state"] in {"failed", "needs_review"}
    assert "500" in run["cards"][0]["reason"]
    stage.assert_sound(run)


ASKING = dict(itertools.islice(LASTING.items(), 11))


@pytest.mark.parametrize("name", list(ASKING))
def test_question_met_by_a_fault_that_stays_ends_with_one_line(stage, name):
    fault, words = ASKING[name]
    alias = f"ask-always-{name}"
    stage.add_model(alias)
    stage.play({"reply": "the total", "fault": fault})
    done = stage.direng("ask", "what is the total for, and why", "--yes", "--max-cost", "1")
    assert done.code == (4 if name == "forbidden" else 1), (done.out, done.err)
    assert "Traceback" not in done.out + done.err
    said = (done.out + done.err).strip().splitlines()
    assert any(words.replace("always-", "ask-always-") in line for line in said), said
    assert stage.requests(alias)
    states = {row["state"] for row in stage.get("broker", "/v1/ledger?limit=20") if row["alias"] == alias}
    assert states <= {"settled", "failed"}


@pytest.mark.parametrize("kind", ["server_error", "cut_stream", "cut_body", "malformed_body", "drop"])
def test_question_met_by_a_fault_that_passes_is_answered(stage, kind):
    alias = f"ask-once-{kind.replace('_', '-')}"
    stage.add_model(alias)
    fault = {"kind": kind, "times": 1}
    reply = {"text": "It adds up all the prices of the shop (shop.py:2).", "usage": USAGE}
    stage.play({"reply": reply, "fault": fault})
    done = stage.direng("ask", "what is the total for, and why", "--yes", "--max-cost", "1")
    assert done.code == 0, done.err
    assert "It adds up all the prices" in done.out
    assert len(stage.requests(alias)) == 2


def test_question_answered_with_nothing_says_so(stage):
    stage.add_model("ask-empty")
    stage.play({"reply": {"text": "", "usage": USAGE}})
    done = stage.direng("ask", "what is the total for, and why", "--yes", "--max-cost", "1")
    assert done.code == 1
    assert "gave no text" in done.err


def test_question_answered_with_two_megabytes_ends_and_is_called_unsupported(stage):
    stage.add_model("ask-much")
    stage.play({"reply": MUCH, "fault": "huge_text"})
    done = stage.direng("ask", "what is the total for, and why", "--yes", "--max-cost", "1")
    assert done.code == 5, done.err
    assert "no citation in this answer could be checked" in done.out


def test_model_slower_than_its_lane_allows_is_left_and_the_next_answers(stage):
    stage.add_model("quick")
    stage.add_model("slow")
    rules = [
        at(0, PATCH) | {"when": {"model": "slow"}, "fault": {"kind": "slow", "delay_s": 20}},
        *(at(turn, reply) for turn, reply in enumerate([PATCH, FINISH])),
    ]
    stage.play(*rules)
    slow = {"provider": "local_llama", "model": "slow"}
    lane = slow | {"constraints": {"timeout_seconds": 0.3}}
    chain = [{"provider": "local_llama", "model": "quick"}]
    with stage.policy(default_provider=slow, lane_overrides={"Narrative": lane}, fallback_chain=chain):
        assert stage.start("run-slow", card("t1", "slow"))[0] == 200
        run = stage.wait("run-slow")
    assert run["state"] == "completed", run["cards"][0]["reason"]
    attempts = stage.attempts("run-slow")
    assert {row["outcome"] for row in attempts if row["alias"] == "slow"} <= {"timeout", "breaker_open"}
    assert attempts[-1]["alias"] == "quick"
    assert {row["is_estimated"] for row in attempts if row["outcome"] == "timeout"} == {True}
    stage.assert_sound(run)


def test_second_model_of_the_chain_answers_and_receipts_say_whom_for(stage):
    stage.add_model("spare")
    stage.add_model("down", base_url=f"http://127.0.0.1:{free_port()}/v1")
    stage.play(at(0, PATCH), at(1, FINISH))
    down, spare = ({"provider": "local_llama", "model": name} for name in ("down", "spare"))
    with stage.policy(default_provider=down, fallback_chain=[spare]):
        assert stage.start("run-down", card("t1", "down"))[0] == 200
        run = stage.wait("run-down")
    assert run["state"] == "completed", run["cards"][0]["reason"]
    receipts = stage.receipts("run-down")
    assert {(one["model"], one["fallback_from"]) for one in receipts if one["is_success"]} == {("spare", "down")}
    assert any("spare" in event["text"] and "down" in event["text"] for event in stage.events("run-down"))
    stage.assert_sound(run)


@pytest.mark.parametrize("target", ["run", "ask"])
@pytest.mark.parametrize("reference", ["env:ABSENT_KEY", "vault:stale"])
def test_key_that_is_missing_or_wrong_is_told_by_its_reference_alone(stage, reference, target):
    alias = f"key-{reference.partition(':')[0]}-{target}"
    stage.add_model(alias, key_ref="env:ABSENT_KEY")
    if reference == "vault:stale":
        stage.keep_key(alias, "stale", KEY)
    stage.play(at(0, FINISH), keys=["the-right-key"])
    if target == "ask":
        done = stage.direng("ask", "what is the total for, and why", "--yes", "--max-cost", "1")
        assert done.code in {1, 4}, done.out
        told = done.out + done.err
    else:
        status, body = stage.start(f"run-{alias}", card("t1", alias))
        run = stage.wait(f"run-{alias}") if status == 200 else None
        assert run is None or run["state"] == "failed"
        told = str(body) if run is None else run["cards"][0]["reason"]
    assert reference in told
    assert ("is missing" if reference.startswith("env:") else "was refused (401)") in told
    assert KEY not in told + stage.logs()


def test_key_revoked_in_the_middle_of_a_run_is_told_and_the_run_ends(stage):
    stage.keep_key("revoked", "team", KEY)
    refusal = {"kind": "unauthorized", "message": f"the key {KEY} was revoked"}
    run = stage.work("revoked", [at(0, PATCH), at(1, FINISH, fault=refusal)], keys=[KEY])
    assert run["state"] in {"failed", "needs_review"}
    assert "vault:team" in run["cards"][0]["reason"]
    told = str([run, stage.attempts("run-revoked"), stage.receipts("run-revoked"), stage.events("run-revoked")])
    assert KEY not in told + stage.logs()
    stage.assert_sound(run)


def test_endpoint_that_is_not_there_is_named(stage):
    url = f"http://127.0.0.1:{free_port()}/v1"
    stage.add_model("nowhere", base_url=url)
    run = stage.work("nowhere", [])
    assert run["state"] == "failed"
    assert url.removeprefix("http://").removesuffix("/v1") in run["cards"][0]["reason"]
    stage.assert_sound(run)


IMAGE = {"type": "image_url", "image_url": {"url": "http://169.254.169.254/latest/meta-data"}}
WORDS = [{"role": "user", "content": "hello"}]
SCOPES = [{"kind": "session", "id": "s1"}]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": [IMAGE]}]}),
        ("/v1/chat/completions", {"messages": WORDS, "model": "http://127.0.0.1:1/v1"}),
        ("/v1/complete", {"messages": WORDS, "base_url": "http://169.254.169.254/"}),
        ("/v1/complete", {"messages": WORDS, "alias": "http://169.254.169.254/"}),
        ("/v1/stream", {"messages": WORDS, "alias": "http://169.254.169.254/"}),
    ],
)
def test_address_in_a_request_is_refused_and_nothing_is_called(stage, path, body):
    stage.add_model("addressed")
    stage.play({"reply": "hello"})
    whole = {"call_id": "call-12345678", "scopes": SCOPES, "lane": "Narrative", "purpose": "chat"}
    status, told = stage.send("POST", "broker", path, body if path.endswith("completions") else whole | body)
    assert status in {400, 404, 422}, told
    assert len(told["detail"].splitlines()) == 1
    assert stage.server.stats()["requests"] == 0


def test_metadata_address_is_no_models_address(stage):
    model = {"alias": "meta", "provider": "local_llama", "model": "m", "base_url": "http://169.254.169.254/v1"}
    status, told = stage.send("PUT", "broker", "/v1/models/meta", model)
    assert (status, told["code"]) == (422, "broker.url_refused")


def test_model_that_only_talks_is_a_clear_refusal(stage):
    stage.add_model("talker")
    rules = [{"reply": {"text": "I changed the line for you.", "usage": USAGE}}]
    run = stage.work("talker", rules, models={"talker": {"no_tools": True}})
    assert run["state"] == "failed"
    assert "stopped calling tools" in run["cards"][0]["reason"]
    stage.assert_sound(run)


def test_server_that_refuses_tools_is_a_clear_refusal(stage):
    stage.add_model("refuser")
    run = stage.work("refuser", [at(0, PATCH)], models={"refuser": {"refuses_tools": True}})
    assert run["state"] == "failed"
    assert "tool" in run["cards"][0]["reason"]
    stage.assert_sound(run)


def test_model_without_tool_calls_works_by_the_text_protocol(stage):
    stage.add_model("writer", tool_style="text")
    edit = write_text_call("fs_patch", edits=[EDIT])
    finish = write_text_call("finish", summary="changed it", status="done")
    rules = [
        {"when": {"tools_offered": False, "turn": turn}, "reply": {"text": f"Now this.\n\n{text}\n", "usage": USAGE}}
        for turn, text in enumerate([edit, finish])
    ]
    run = stage.work("writer", rules, models={"writer": {"no_tools": True}})
    assert (run["state"], run["files_changed"]) == ("completed", 1), run["cards"][0]["reason"]
    assert all("tools" not in request["body"] for request in stage.requests("writer"))
    stage.assert_sound(run)


def test_unknown_lane_and_unknown_model_are_refused_in_one_line(stage):
    stage.add_model("known")
    stage.play(at(0, FINISH))
    status, told = stage.start("run-lane", card("t1", "known", lane="Cooking"))
    assert status in {400, 422}
    assert "Code-Impl" in told["detail"]
    status, told = stage.start("run-model", card("t1", "nobody"))
    assert status == 422, told
    assert "nobody" in told["detail"]
    assert "direng model" in told["detail"]
    assert stage.server.stats()["requests"] == 0
    assert stage.send("GET", "pas", "/pas/v1/runs/status?run_id=run-model")[0] == 404


def test_prompt_that_fits_once_shortened_goes_on_and_both_attempts_are_told(stage):
    stage.add_model("narrow")
    run = stage.work("narrow", [at(0, PATCH, fault={"kind": "context_overflow", "times": 1}), at(1, FINISH)])
    assert run["state"] == "completed", run["cards"][0]["reason"]
    outcomes = [attempt["outcome"] for attempt in stage.attempts(run["run_id"])]
    assert outcomes == ["context_overflow", "ok", "ok"]
    assert [receipt["is_success"] for receipt in stage.receipts(run["run_id"])] == [False, True, True]
    stage.assert_sound(run)


def test_user_who_edits_the_same_lines_meanwhile_is_asked_and_keeps_them(stage):
    stage.add_model("late-edit")
    run = stage.work("late-edit", [at(0, PATCH), at(1, FINISH)])
    notes = stage.repo / "docs/notes.md"
    before = notes.read_text()
    try:
        notes.write_text(before.replace("old line", "my own line"))
        accepted = stage.direng("accept", run["run_id"])
        assert accepted.code == 6, accepted.out + accepted.err
        assert "docs/notes.md" in accepted.out + accepted.err
        assert notes.read_text() == before.replace("old line", "my own line")
    finally:
        notes.write_text(before)
    stage.assert_sound(run)
