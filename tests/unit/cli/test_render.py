import io

import pytest

from cli import render
from cli.exits import exit_code_of
from services.kernel.errors import KINDS


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    return Terminal()


def test_colour_is_written_to_a_terminal_only(terminal, monkeypatch):
    assert render.paint("x", "red", terminal) == "\x1b[31mx\x1b[0m"
    assert render.paint("x", "red", io.StringIO()) == "x"
    monkeypatch.setenv("NO_COLOR", "1")
    assert render.paint("x", "red", terminal) == "x"


def test_control_characters_of_a_repository_never_reach_the_terminal():
    assert "\x1b" not in render.clean("evil\x1b]0;title\x07 name\u202e.py")
    assert render.clean("plain text\n\twith tabs") == "plain text\n\twith tabs"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (9.94, "9.9 s"), (12.4, "12 s"), (185, "3 min 05 s"), (3725, "1 h 02 min")]
)
def test_durations_are_for_people(seconds, text):
    assert render.format_duration(seconds) == text


def test_a_table_aligns_and_cuts_nothing():
    table = render.format_table(("A", "LONGER"), [("some text", "1"), ("x", "many words here")])
    assert table == "A          LONGER\nsome text  1\nx          many words here"


def test_every_error_kind_has_a_stable_exit_code():
    codes = {kind.status: exit_code_of(kind("why")) for kind in KINDS}
    assert codes == {422: 1, 401: 4, 403: 4, 404: 1, 409: 6, 429: 3, 503: 1, 504: 1, 500: 1}
