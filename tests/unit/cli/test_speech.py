"""Answers that are printed as they come."""

import pytest

from cli.speech import Speech

TEXT = "The total is made in compute_total, see stockbook/pricing.py:19 for it.\n\n  - indented as written\nthe end"


def speak(capsys, pieces, width=200, ending=""):
    speech, heard = Speech(width), ""
    for piece in pieces:
        heard += piece
        speech.tell(heard)
    if ending:
        speech.tell(heard + ending)
    speech.end()
    return capsys.readouterr().out


@pytest.mark.parametrize("size", [1, 2, 5, 11, 500])
def test_pieces_of_any_size_print_the_same(capsys, size):
    pieces = [TEXT[start : start + size] for start in range(0, len(TEXT), size)]
    assert speak(capsys, pieces) == f"{TEXT}\n"


def test_words_are_wrapped_and_never_cut(capsys):
    out = speak(capsys, [TEXT[:20], TEXT[20:33], TEXT[33:]], width=30)
    assert all(len(line) <= 30 for line in out.splitlines())
    assert out.split() == TEXT.split()


def test_word_wider_than_the_terminal_stands_on_a_line_of_its_own(capsys):
    out = speak(capsys, ["see " + "x" * 50 + " there"], width=20)
    assert out == "see\n" + "x" * 50 + "\nthere\n"


def test_what_is_set_under_an_answer_follows_without_a_repetition(capsys):
    assert speak(capsys, ["one ", "two."], ending="\n(2 citations)") == "one two.\n(2 citations)\n"


def test_new_connection_that_repeats_the_beginning_prints_nothing_twice(capsys):
    speech = Speech(80)
    for heard in ("one two ", "one ", "one two ", "one two three "):
        speech.tell(heard)
    speech.end()
    assert capsys.readouterr().out.split() == ["one", "two", "three"]


def test_answer_that_begins_again_says_so(capsys):
    speech = Speech(80)
    speech.tell("first try is ")
    speech.tell("second ")
    speech.end()
    captured = capsys.readouterr()
    assert captured.out == "first try is\nsecond\n"
    assert "begins again" in captured.err


def test_control_characters_of_an_answer_never_reach_the_terminal(capsys):
    assert "\x1b" not in speak(capsys, ["evil\x1b]0;title\x07 word"])


def test_wide_characters_take_two_columns_each(capsys):
    word = "\u65e5\u672c\u8a9e"
    out = speak(capsys, [f"{word} {word} {word} "], width=14)
    assert out == f"{word} {word}\n{word}\n"


def test_combining_characters_take_no_column(capsys):
    word = "e\u0301" * 4
    assert speak(capsys, [f"{word} {word} "], width=9) == f"{word} {word}\n"
