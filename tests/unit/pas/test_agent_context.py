"""The conversation within a model's context, the survey of a repository, the patience and the seats of cards."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.broker.models import Message, Role, ToolCall, ToolSpec, estimate_tokens
from services.kernel.vocabulary import Lane
from services.pas.core.allowlist import load_lane_allowlists
from services.pas.core.control import Seat
from services.pas.executors.agent.context import Transcript, clip
from services.pas.executors.agent.survey import MAX_SURVEY_CHARS, survey
from services.pas.executors.agent.toolbox import TestRun
from services.pas.executors.agent.verdict import judge_tests, pick_targets
from services.pas.models import TestCounts

TOOL = ToolSpec(name="fs_read", description="reads", parameters={"type": "object"})
ALLOWLIST = load_lane_allowlists()[Lane.CODE_IMPL]


def _read(turn):
    return ToolCall(call_id=f"c{turn}", name="fs_read", arguments=f'{{"path": "f{turn}.py"}}')


def _fill(transcript, sizes):
    for turn, size in enumerate(sizes):
        call = _read(turn)
        transcript.add(Message(role=Role.ASSISTANT, tool_calls=(call,)))
        transcript.add_result(call, f"{turn}\n" * size)


def _tokens(messages):
    return sum(estimate_tokens(m.content) + sum(estimate_tokens(c.arguments) for c in m.tool_calls) for m in messages)


def test_short_conversation_is_sent_as_it_is():
    transcript = Transcript("system", (TOOL,), 5000)
    _fill(transcript, [10, 20, 30])
    packed = transcript.pack(0)
    assert [message.role for message in packed] == [Role.SYSTEM, *[Role.ASSISTANT, Role.TOOL] * 3]
    assert all("left out" not in message.content for message in packed)


def test_oldest_results_are_left_out_by_name_and_the_newest_stay():
    transcript = Transcript("system", (TOOL,), 5000)
    _fill(transcript, [500] * 20)
    results = [message.content for message in transcript.pack(0) if message.role is Role.TOOL]
    assert results[0].startswith("[the result of this fs_read call (501 lines) was left out")
    assert all("left out" not in content for content in results[-6:])
    assert _tokens(transcript.pack(0)) <= 5000


def test_large_results_leave_room_for_the_conversation():
    transcript = Transcript("system", (TOOL,), 6000)
    _fill(transcript, [5000] * 10)
    results = [message.content for message in transcript.pack(0) if message.role is Role.TOOL]
    assert all("characters left out" in content for content in results[-2:])
    assert _tokens(transcript.pack(0)) <= 6000


@given(st.lists(st.integers(min_value=1, max_value=3000), max_size=25), st.integers(min_value=2000, max_value=20_000))
def test_every_call_keeps_its_answer_and_the_same_words_give_the_same_request(sizes, limit):
    first, second = Transcript("s", (TOOL,), limit), Transcript("s", (TOOL,), limit)
    _fill(first, sizes)
    _fill(second, sizes)
    packed = first.pack(0)
    calls = [call.call_id for message in packed for call in message.tool_calls]
    assert [message.tool_call_id for message in packed if message.role is Role.TOOL] == calls
    assert (first.sha256, packed) == (second.sha256, second.pack(0))


def test_digest_covers_words_and_tools():
    one, other = Transcript("s", (TOOL,), 5000), Transcript("s", (), 5000)
    assert one.sha256 != other.sha256
    before = one.sha256
    one.add(Message(role=Role.USER, content="go on"))
    assert one.sha256 != before


def test_model_with_a_smaller_context_gets_less():
    transcript = Transcript("system", (TOOL,), 50_000)
    _fill(transcript, [1000] * 20)
    before = _tokens(transcript.pack(0))
    transcript.set_input(6000)
    assert _tokens(transcript.pack(0)) <= 6000 < before / 2


def test_hard_packing_shows_two_results_shortened():
    transcript = Transcript("system", (TOOL,), 50_000)
    _fill(transcript, [5000] * 5)
    results = [message.content for message in transcript.pack(1) if message.role is Role.TOOL]
    assert ["left out to save space" in content for content in results] == [True, True, True, False, False]
    assert all(len(content) < 2100 for content in results)


def test_clipped_text_names_what_is_missing():
    text = clip("a" * 3000 + "z" * 3000, 300)
    assert text.startswith("a" * 200)
    assert text.endswith("z" * 100)
    assert "5700 characters left out" in text


def test_survey_of_a_large_repository_is_small_and_names_no_secret(tmp_path):
    for folder in range(60):
        (tmp_path / f"pkg_{folder}" / "deep").mkdir(parents=True)
        for file in range(20):
            (tmp_path / f"pkg_{folder}" / "deep" / f"m{file}.py").write_text("x = 1\n")
    (tmp_path / ".env").write_text("KEY=1")
    text = survey(tmp_path, ["pkg_1/deep/m1.py", "new.py", ".env"], ["pkg_2/deep/m2.py:1 function f"], ALLOWLIST)
    assert len(text) <= MAX_SURVEY_CHARS + 10
    assert "- pkg_1/deep/m1.py (2 lines)" in text
    assert "- new.py (does not exist yet)" in text
    assert "- pkg_2/deep/m2.py:1 function f" in text
    assert "more folders" in text
    assert ".env" not in text


def _tests(passed, *failing, is_unknown=False):
    counts = TestCounts(collected=passed + len(failing), passed=passed, failed=len(failing), errors=0, skipped=0)
    return TestRun(counts, failing, is_unknown=is_unknown, detail=None)


@pytest.mark.parametrize(
    ("before", "after", "is_good", "line"),
    [
        (_tests(3), _tests(3), True, "3 passed, 0 failed"),
        (_tests(2, "old"), _tests(2, "old"), True, "2 passed, 1 failed"),
        (_tests(2, "old"), _tests(2, "new"), False, "1 test fails that did not fail before"),
        (_tests(3), _tests(1, "a", "b"), False, "2 tests fail that did not fail before"),
        (_tests(0, is_unknown=True), _tests(0, is_unknown=True), True, "the tests could not be run: not verified"),
        (_tests(0, is_unknown=True), _tests(2, "a"), False, "1 test fails that did not fail before"),
        (_tests(3), _tests(0, is_unknown=True), False, "the tests ran before the change and do not run after it"),
        (None, None, True, "the tests could not be run: not verified"),
    ],
)
def test_verdict_comes_from_what_was_recorded(before, after, is_good, line):
    judgement = judge_tests(before, after)
    assert (judgement.is_good, judgement.line) == (is_good, line)
    assert bool(judgement.text) is not is_good


def test_changed_test_files_are_run_first_unless_they_are_all():
    assert pick_targets(["a.py", "tests/test_a.py", "b_test.py"], ()) == ("tests/test_a.py", "b_test.py")
    assert pick_targets(["tests/test_a.py"], ("tests/test_a.py",)) == ()


async def test_seat_is_given_back_once_whoever_leaves_it():
    slot = asyncio.Semaphore(1)
    seat = Seat(slot)
    seat.leave()
    await seat.take()
    assert slot.locked()
    seat.leave()
    seat.leave()
    await slot.acquire()
    assert slot.locked()
