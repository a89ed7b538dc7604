"""Tools in text: what is written is read again, and what breaks the form is an error, never half a call."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.broker.core.ports import Target, WireError, WireReply, WireRequest
from services.broker.models import AttemptOutcome, Message, Provider, Role, ToolCall, ToolSpec, ToolStyle, Usage
from services.broker.providers.text_protocol import INSTRUCTIONS, read_reply, write_call, write_request

TARGET = Target("a", Provider.LOCAL_LLAMA, "m", "http://localhost/v1", None, ToolStyle.TEXT)
READ = ToolSpec(name="fs_read", description="Read a file.", parameters={"type": "object", "properties": {}})
USAGE = Usage(tokens_in=5, tokens_out=7)
USER = Message(role=Role.USER, content="go")
CALL = '{"name": "fs_read", "arguments": {"path": "a"}}'


def request(*messages, tools=(READ,), tool_choice="auto"):
    return WireRequest(TARGET, messages or (USER,), tools, tool_choice, 100, 0.2, 10.0, "idem-key")


def reply(text, finish_reason="stop"):
    return WireReply(text, (), finish_reason, USAGE, opaque="sealed")


def read(text, **kwargs):
    return read_reply(reply(text), request(**kwargs))


def refuse(text, reason, finish_reason="stop", **kwargs):
    with pytest.raises(WireError, match=reason) as caught:
        read_reply(reply(text, finish_reason), request(**kwargs))
    error = caught.value
    assert (error.outcome, error.is_billable, error.usage) == (AttemptOutcome.MALFORMED, True, USAGE)
    assert "\n" not in error.detail
    return error.detail


def block(body, ticks="```"):
    return f"{ticks}tool\n{body}\n{ticks}"


def test_block_becomes_a_call_and_the_rest_is_the_text():
    answer = read(f"I look.\n{block(CALL)}\n")
    assert answer.text == "I look."
    assert answer.tool_calls == (ToolCall(call_id="call_1", name="fs_read", arguments='{"path": "a"}'),)
    assert (answer.finish_reason, answer.usage, answer.opaque) == ("tool_calls", USAGE, "")


def test_several_blocks_are_several_calls_in_order():
    answer = read(f"{block(CALL)}\nand\n{block(CALL.replace('fs_read', 'other'))}")
    assert [(call.call_id, call.name) for call in answer.tool_calls] == [("call_1", "fs_read"), ("call_2", "other")]
    assert answer.text == "and"


def test_call_ids_count_on_from_the_conversation():
    call = ToolCall(call_id="call_1", name="fs_read", arguments="{}")
    earlier = (USER, Message(role=Role.ASSISTANT, tool_calls=(call,)), Message(role=Role.TOOL, tool_call_id="call_1"))
    assert read_reply(reply(block(CALL)), request(*earlier)).tool_calls[0].call_id == "call_2"


def test_text_without_a_block_is_the_answer_as_it_is():
    for text in (
        "Done.",
        "",
        "  with blanks \n",
        "```python\nprint()\n```",
        "```\nplain\n```",
        "use `tool` and ```x```",
    ):
        assert read(text) == reply(text)


def test_block_inside_another_fenced_block_is_text():
    text = f"````markdown\n{block(CALL)}\n````"
    assert read(text) == reply(text)


def test_fence_of_any_length_indent_and_line_end_is_understood():
    assert read(block(CALL, "`````")).tool_calls[0].name == "fs_read"
    assert read(block(CALL).replace("\n", "\r\n")).tool_calls[0].name == "fs_read"
    assert read(f"  ```tool\n{CALL}\n  ```").tool_calls[0].name == "fs_read"


def test_pretty_printed_arguments_and_backticks_in_strings_are_understood():
    arguments = {"text": "```\ncode\n```\n", "n": [1, {"a": None}]}
    body = json.dumps({"name": "fs_read", "arguments": arguments}, indent=2)
    assert json.loads(read(block(body)).tool_calls[0].arguments) == arguments


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"```tool\n{CALL}", "begins in line 1 is not closed"),
        (f"text\n\n```tool\n{CALL}\n``", "begins in line 3 is not closed"),
        (f"````tool\n{CALL}\n```", "is not closed"),
        (f"```tool {CALL}\n```", "line 1 has more than ```tool"),
        (block(""), "is no JSON"),
        (block("{"), "is no JSON"),
        (block(CALL + CALL), "is no JSON"),
        (block("[" * 200_000), "nested too deeply|is no JSON"),
        (block("[]"), "not an object of"),
        (block("null"), "not an object of"),
        (block('{"name": "x"}'), "not an object of"),
        (block('{"name": "x", "arguments": {}, "id": 1}'), "not an object of"),
        (block('{"name": 1, "arguments": {}}'), "needs a string as `name`"),
        (block('{"name": "x", "arguments": []}'), "an object as `arguments`"),
        (block('{"name": "x", "arguments": "{}"}'), "an object as `arguments`"),
        (block('{"name": "", "arguments": {}}'), "empty or overlong name"),
        (block('{"name": "' + "x" * 201 + '", "arguments": {}}'), "empty or overlong name"),
        (block('{"name": "x", "arguments": {"a": NaN}}'), "holds NaN"),
        (block('{"name": "x", "arguments": {"a": 1, "a": 2}}'), "names one key twice"),
        (f"{block(CALL)}\n```tool\n", "begins in line 4 is not closed"),
    ],
    ids=lambda value: value[:30],
)  # fmt: skip
def test_block_that_breaks_the_form_says_how(text, reason):
    refuse(text, reason)


def test_block_that_max_tokens_cut_says_so():
    assert "cut at max_tokens" in refuse(f"```tool\n{CALL[:20]}", "is not closed", finish_reason="length")


def test_required_call_that_is_missing_is_an_error():
    refuse("I would rather talk.", "called no tool", tool_choice="required")


def test_without_tools_on_offer_blocks_are_text():
    text = f"see\n{block(CALL)}\n```tool\n{{"
    assert read(text, tools=()) == reply(text)
    assert read(text, tool_choice="none") == reply(text)


def test_tools_are_described_in_the_first_system_message():
    system = Message(role=Role.SYSTEM, content="Be brief.")
    for messages in ((system, USER), (USER,)):
        written = write_request(request(*messages))
        assert written.tools == ()
        assert [message.role for message in written.messages] == [Role.SYSTEM, Role.USER]
        assert written.messages[0].content.startswith("Be brief." if len(messages) == 2 else "You can call tools")
        assert '"name": "fs_read"' in written.messages[0].content
        assert written.messages[1] == USER


def test_tools_are_not_described_when_none_may_be_called():
    assert write_request(request(tool_choice="none")).messages == (USER,)
    assert "at least one tool" in write_request(request(tool_choice="required")).messages[0].content


def test_description_adds_less_than_the_reservation_counts_for_it():
    """core.pricing.HIDDEN_TOOL_TOKENS is what a reservation adds when tools are on offer."""
    assert len(INSTRUCTIONS.encode()) < 700


def test_calls_and_results_of_the_past_become_text():
    call = ToolCall(call_id="c1", name="fs_read", arguments='{"path": "ä"}')
    broken = ToolCall(call_id="c2", name="fs_read", arguments='{"path": ')
    turn = Message(role=Role.ASSISTANT, content="I look.", tool_calls=(call, broken), opaque="sealed")
    result = Message(role=Role.TOOL, content="x = 1", tool_call_id="c1")
    _, said, told = write_request(request(USER, turn, result, tool_choice="none")).messages
    assert (said.role, said.tool_calls, said.opaque) == (Role.ASSISTANT, (), "")
    assert said.content == f"I look.\n{write_call(call)}\n{write_call(broken)}"
    assert (told.role, told.content) == (Role.USER, "Result of the tool fs_read (c1):\nx = 1")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
CALLS = st.builds(
    lambda name, arguments: ToolCall(call_id="c", name=name, arguments=json.dumps(arguments)),
    st.text(min_size=1, max_size=200),
    st.dictionaries(st.text(), JSON, max_size=4),
)
PROSE = st.text(alphabet=st.characters(blacklist_characters="`\r", blacklist_categories=["Cs"]), max_size=80)


@settings(max_examples=200, deadline=None)
@given(PROSE, st.lists(CALLS, min_size=1, max_size=4))
def test_what_is_written_is_read_again(prose, calls):
    answer = read("\n".join([prose, *map(write_call, calls)]))
    assert answer.text == prose.strip()
    assert [(call.name, json.loads(call.arguments)) for call in answer.tool_calls] == [
        (call.name, json.loads(call.arguments)) for call in calls
    ]


def judge(text):
    try:
        answer = read(text)
    except WireError as error:
        return error.outcome
    return answer


@settings(max_examples=500, deadline=None)
@given(
    st.lists(
        st.sampled_from(["```tool", "```", "````", "```py", CALL, "{", "}", '"', "text", " ", "\r", "```tool x"])
        | st.text(max_size=10),
        max_size=12,
    ).map("\n".join)
)
def test_any_text_is_an_answer_calls_or_malformed(text):
    answer = judge(text)
    if answer is AttemptOutcome.MALFORMED:
        assert "```tool" in text
    elif not answer.tool_calls:
        assert answer == reply(text)
    else:
        assert all(isinstance(json.loads(call.arguments), dict) for call in answer.tool_calls)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(block(CALL)) - 1))
def test_no_beginning_of_a_block_is_ever_a_call(cut):
    answer = judge("I look.\n" + block(CALL)[:cut])
    assert answer is AttemptOutcome.MALFORMED or answer.tool_calls == ()
