"""An issue text in zones: its title, prose, code, stack traces and logs, and what templates and version lists add.

Where a word stands says more about what it is worth than how often it stands there.
"""

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple


class Zone(StrEnum):
    """The kinds of line in an issue text."""

    TITLE = "title"
    PROSE = "prose"
    CODE = "code"
    TRACE = "trace"
    NOISE = "noise"


class ZonedLine(NamedTuple):
    """One line of a question and what kind of line it is."""

    zone: Zone
    text: str


_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_URL = re.compile(r"\bhttps?://[^\s<>()\[\]`'\"]+")
_FENCE = re.compile(r"^\s*(?:```|~~~)")
_HEADING = re.compile(r"^\s*(?:#{1,6}\s+|\*\*)(.{1,80}?)(?:\*\*)?:?\s*#*\s*$")
_CHECKBOX = re.compile(r"^\s*[-*]\s*\[[ xX]?\]\s")
_ENVIRONMENT = re.compile(
    r"\b(?:versions?|environment|system info|platform|operating system|installation|installed|checklist|guidelines|"
    r"prerequisites|self-service|os/arch|dependencies|python version|have you read)\b",
    re.IGNORECASE,
)
_TRACE = re.compile(
    r'^\s*(?:File ".+", line \d+|at .+[(:]\S+:\d+|\S+\.\w{1,4}:\d+|Traceback \(|\d+: 0x|goroutine \d+|#\d+\s+0x'
    r"|\S+\.py\(\d+\)|.*\.rb:\d+:in )"
)
_VERSIONED = re.compile(
    r"^[\s>|*-]*[\w@./-]{2,40}(?: \([\w .]{1,20}\))?\s*"
    r"(?:(?:==|:|@|\|)\s*v?\d+\.\d|[ (]\(?v?\d+\.\d+\.\d)[\w.+-]*\s*[)|]?\s*$"
)
_LOGGED = re.compile(r"^\W{0,3}(?:[A-Z]{4,8}\W{1,4})?(?:\d{4}-\d\d-\d\d[T ])?\d\d:\d\d:\d\d\b")
_PROMPT = re.compile(r"^\s*(?:>>>|\.\.\.|In ?\[\d+\]:|Out ?\[\d+\]:|\$ |% |> )")
_MAX_TITLE_LENGTH = 300


def strip_template(text: str) -> str:
    """Return the text without the HTML comments that issue templates leave behind."""
    return _COMMENT.sub(" ", text)


def read_zones(text: str) -> Iterator[ZonedLine]:
    """Yield the lines of a text with their zones; a text of one line is prose."""
    lines = [line for line in strip_template(text).splitlines() if line.strip()]
    is_fenced = is_noise = False
    for number, line in enumerate(lines):
        if _FENCE.match(line):
            is_fenced = not is_fenced
            continue
        heading = None if is_fenced else _HEADING.match(line)
        if heading and number:
            is_noise = bool(_ENVIRONMENT.search(heading[1]))
        yield ZonedLine(
            _zone(line, number if len(lines) > 1 else 1, is_fenced=is_fenced, is_noise=is_noise), _plain(line)
        )


def _zone(line: str, number: int, *, is_fenced: bool, is_noise: bool) -> Zone:
    if number == 0 and len(line) <= _MAX_TITLE_LENGTH:
        return Zone.TITLE
    if is_noise or _CHECKBOX.match(line) or _VERSIONED.match(line):
        return Zone.NOISE
    if _TRACE.match(line) or _LOGGED.match(line):
        return Zone.TRACE
    return Zone.CODE if is_fenced or _PROMPT.match(line) else Zone.PROSE


def _plain(line: str) -> str:
    return _URL.sub(" ", line)
