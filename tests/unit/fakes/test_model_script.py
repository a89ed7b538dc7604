"""Scripts of the model server: which rule answers, and with what."""

import json

import pytest

from tests.fakes.model_server.conversation import BadRequestError, Conversation, Turn
from tests.fakes.model_server.script import Reply, Rule, Script, ScriptError, compose, fill
from tests.fakes.model_server.wires import ANTHROPIC, OPENAI

TALK = Conversation(
    "openai",
    "m1",
    (
        Turn("system", "You mend code."),
        Turn("user", "mend total"),
        Turn("assistant", "", (("c1", "fs_read", '{"path": "a.py"}'),)),
        Turn("tool", "def total(): # line 12\ndef total_all(): # line 40", answers="c1"),
    ),
    tools=("fs_read", "fs_patch"),
    size_bytes=400,
)


@pytest.mark.parametrize(
    "when",
    [
        {},
        {"contains": "mend total"},
        {"contains": ["mend code", "a.py", "line 40"]},
        {"not_contains": ["nothing", "of this"]},
        {"matches": r"^mend \w+$"},
        {"system_contains": "mend code", "user_contains": "total"},
        {"last_contains": "line 12"},
        {"last_tool_result_contains": "line 12", "last_tool_result_matches": r"line \d+"},
        {"model": ["m0", "m1"], "provider": "openai"},
        {"tools_include": ["fs_read", "fs_patch"], "tools_offered": True},
        {"turn": 1, "has_tool_result": True, "stream": False},
        {"turn": {"min": 1}},
        {"turn": {"max": 1}},
    ],
)
def test_a_rule_fits_when_all_its_conditions_hold(when):
    assert Rule.read({"when": when, "reply": "yes"}, "rule").match(TALK) is not None


@pytest.mark.parametrize(
    "when",
    [
        {"contains": ["mend total", "not there"]},
        {"not_contains": ["not there", "mend total"]},
        {"matches": r"^total$"},
        {"system_contains": "total"},
        {"user_contains": "code"},
        {"last_contains": "mend"},
        {"last_tool_result_contains": "mend"},
        {"model": "m2"},
        {"provider": "anthropic"},
        {"tools_include": ["fs_read", "run_test"]},
        {"tools_offered": False},
        {"turn": 0},
        {"turn": {"min": 2}},
        {"has_tool_result": False},
        {"stream": True},
    ],
)
def test_a_rule_does_not_fit_when_one_condition_fails(when):
    assert Rule.read({"when": when, "reply": "yes"}, "rule").match(TALK) is None


def test_a_capture_reads_the_last_match_and_fills_every_string():
    spec = {"capture": {"line": r"line (\d+)", "verb": {"regex": r"\w+$", "in": "user"}}, "reply": "x"}
    values = Rule.read(spec, "rule").match(TALK)
    filled = fill({"a": ["{{verb}} at {{line}}"], "n": "{{int:line}}", "b": "{{turn}} {{other}}"}, values)
    assert filled == {"a": ["total at 40"], "n": 40, "b": "1 {{other}}"}


def test_a_capture_that_finds_nothing_keeps_the_rule_from_fitting():
    assert Rule.read({"capture": {"line": r"row (\d+)"}, "reply": "x"}, "rule").match(TALK) is None


def test_call_ids_are_those_of_the_same_conversation_only():
    reply = Reply.read({"tool_calls": [{"name": "fs_read"}, {"name": "fs_read"}]}, "reply")
    one, again = compose(reply, TALK, {}, None), compose(reply, TALK, {}, None)
    other = compose(reply, Conversation("openai", "m2", TALK.turns, TALK.tools), {}, None)
    assert one == again
    assert len({call.call_id for call in (*one.calls, *other.calls)}) == 4


def test_usage_that_is_not_given_is_counted_by_bytes():
    assert compose(Reply.read("12345678", "reply"), TALK, {}, None).usage.input == 100
    assert compose(Reply.read("12345678", "reply"), TALK, {}, None).usage.output == 2


@pytest.mark.parametrize(
    ("script", "place"),
    [
        ([{"reply": "x", "wen": {}}], "rule 1 does not know wen"),
        ([{"reply": "x"}, {"when": {"contain": "x"}, "reply": "x"}], "rule 2.when does not know contain"),
        ([{"fault": "explode"}], "rule 1.fault.kind must be one of"),
        ([{"fault": {"kind": "slow"}}], "rule 1 needs a reply"),
        ([{}], "rule 1 needs a reply"),
        ([{"fault": "redirect"}], "needs `to`"),
        ([{"reply": {"tool_calls": [{"arguments": {}}]}}], "needs a name"),
        ([{"when": {"matches": "("}, "reply": "x"}], "no regular expression"),
        ([{"reply": {"finish_reason": "over"}}], "finish_reason must be one of"),
        ([{"reply": "x", "times": 0}], "times must be a positive number"),
        ({"rule": []}, "script does not know rule"),
        ({"models": {"m1": {"fast": True}}}, "script.models.m1 does not know fast"),
    ],
)
def test_a_mistake_in_a_script_is_named_with_its_place(script, place):
    with pytest.raises(ScriptError, match=place):
        Script.read(script)


def parse(wire, **body):
    content = {"model": "m1", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], **body}
    return wire.parse(content, {"anthropic-version": "2023-06-01"}, len(json.dumps(content)))


@pytest.mark.parametrize("wire", [OPENAI, ANTHROPIC])
@pytest.mark.parametrize(
    "body",
    [
        {"messages": []},
        {"messages": "hi"},
        {"messages": [{"role": "robot", "content": "hi"}]},
        {"messages": [{"role": "user", "content": 7}]},
        {"tools": [{"name": "no spaces"}]},
    ],
)
def test_a_request_that_breaks_the_protocol_is_refused(wire, body):
    with pytest.raises(BadRequestError):
        parse(wire, **body)


@pytest.mark.parametrize("missing", ["version", "max_tokens"])
def test_anthropic_wants_its_version_and_max_tokens(missing):
    headers = {} if missing == "version" else {"anthropic-version": "2023-06-01"}
    body = {"messages": [{"role": "user", "content": "hi"}], **({} if missing == "max_tokens" else {"max_tokens": 1})}
    with pytest.raises(BadRequestError, match=missing):
        ANTHROPIC.parse(body, headers, 10)


def test_both_wires_read_the_same_conversation():
    call = {"id": "c1", "type": "function", "function": {"name": "fs_read", "arguments": '{"path": "a"}'}}
    openai = parse(
        OPENAI,
        messages=[
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": "go"}]},
            {"role": "assistant", "content": "reading", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "text"},
        ],
    )
    use = {"type": "tool_use", "id": "c1", "name": "fs_read", "input": {"path": "a"}}
    anthropic = parse(
        ANTHROPIC,
        system=[{"type": "text", "text": "be brief"}],
        messages=[
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": [{"type": "text", "text": "reading"}, use]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "text"}]},
        ],
    )
    assert openai.turns == anthropic.turns
    assert openai.digest == anthropic.digest
