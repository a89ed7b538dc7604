"""Patterns that a model wrote: globs, and regular expressions that can be matched without stalling the server.

Python's matcher cannot be interrupted, so nothing may be matched whose worst case is long. The parsed expression says
how the number of steps grows with the length of a line; from that follows how much of a line is looked at.
"""

import functools
import re

# The expression as Python itself reads it; there is no public form.
import re._parser as sre_parse  # type: ignore[import-not-found]
from dataclasses import dataclass
from math import factorial
from typing import Any

MAX_PATTERN_CHARS = 400
MAX_STEPS = 210_000_000
"""Of one match at worst: below a second (measured: 0.7 s)."""

MAX_PATH_CHARS = 250
LINE_CAPS = (4000, 2000, 1000, 500, 250, 120)
_MAX_DEPTH = 40
_CHOICE_STEPS = 8
"""A bounded choice takes about so many times longer than one more character of an open repeat (measured)."""


class PatternRefusedError(ValueError):
    """The expression is wrong or could run too long; the message says what to write instead."""


@dataclass(frozen=True)
class LinePattern:
    """A compiled expression and how many characters of a line it may be matched against."""

    expression: re.Pattern[str]
    line_cap: int
    is_literal: bool = False


@functools.lru_cache(maxsize=64)
def compile_pattern(pattern: str, *, is_regex: bool, ignores_case: bool) -> LinePattern:
    """Return the pattern ready to search lines; raise PatternRefusedError."""
    if not pattern or len(pattern) > MAX_PATTERN_CHARS:
        raise PatternRefusedError(f"the pattern must have 1 to {MAX_PATTERN_CHARS} characters")
    flags = re.IGNORECASE if ignores_case else re.NOFLAG
    if not is_regex:
        return LinePattern(re.compile(re.escape(pattern), flags), LINE_CAPS[0] * 1000, is_literal=True)
    try:
        parsed = sre_parse.parse(pattern, flags)
        expression = re.compile(pattern, flags)
    except (re.error, OverflowError, RecursionError) as error:
        raise PatternRefusedError(f"the regular expression is wrong: {error}; escape special characters") from error
    weight = _weigh(parsed, 0)
    for cap in LINE_CAPS:
        if weight.steps(cap) <= MAX_STEPS:
            return LinePattern(expression, cap)
    raise PatternRefusedError("the regular expression could run too long; use fewer * and + or a plain text")


@dataclass(frozen=True)
class _Weight:
    """`open_ends` counts repeats without a bound, `ways` multiplies the choices that have one."""

    open_ends: int = 0
    ways: float = 1.0

    def steps(self, length: int) -> float:
        """Return the steps of a search in the worst line of this length: every start, every split between repeats."""
        choices = self.ways * _CHOICE_STEPS if self.ways > 1 else 1.0
        return float(length) ** (self.open_ends + 1) / factorial(self.open_ends + 1) * choices

    def times(self, other: "_Weight") -> "_Weight":
        return _Weight(self.open_ends + other.open_ends, self.ways * other.ways)


_REPEATS = frozenset({"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"})
_LOOKING = frozenset({"ASSERT", "ASSERT_NOT"})
_SIMPLE = frozenset({"LITERAL", "NOT_LITERAL", "ANY", "IN", "AT", "RANGE", "CATEGORY", "NEGATE"})


def _weigh(parsed: Any, depth: int) -> _Weight:
    if depth > _MAX_DEPTH:
        raise PatternRefusedError("the regular expression is nested too deeply")
    total = _Weight()
    for operation, value in parsed:
        total = total.times(_weigh_one(str(operation), value, depth))
    return total


def _weigh_one(name: str, value: Any, depth: int) -> _Weight:
    if name in _SIMPLE:
        return _Weight()
    if not isinstance(value, tuple):
        raise PatternRefusedError("back references are not served; use a plain text or a simpler expression")
    if name in _REPEATS:
        return _weigh_repeat(value, depth)
    if name == "SUBPATTERN":
        return _weigh(value[-1], depth + 1)
    if name == "BRANCH":
        parts = [_weigh(part, depth + 1) for part in value[1]]
        return _Weight(max(part.open_ends for part in parts), sum(part.ways for part in parts))
    if name in _LOOKING:
        return _weigh(value[1], depth + 1)
    raise PatternRefusedError("this kind of expression is not served; use a plain text or a simpler expression")


def _weigh_repeat(value: tuple[Any, ...], depth: int) -> _Weight:
    least, most, inner = value
    weight = _weigh(inner, depth + 1)
    if weight != _Weight() and most > 1:
        raise PatternRefusedError("a repeat within a repeat could run too long; repeat single characters only")
    if least == most == 1:
        return weight
    if most >= LINE_CAPS[-1] and least != most:
        return _Weight(1 + weight.open_ends, weight.ways * max(least, 1))
    return _Weight(weight.open_ends, weight.ways * max(most, 2))


@dataclass(frozen=True)
class PathPattern:
    """A glob; paths longer than MAX_PATH_CHARS fit none."""

    expression: re.Pattern[str]

    def fits(self, path: str) -> bool:
        """Return whether the whole path fits."""
        return len(path) <= MAX_PATH_CHARS and self.expression.fullmatch(path) is not None


@functools.lru_cache(maxsize=64)
def compile_glob(glob: str) -> PathPattern:
    """Return a glob for whole paths: `**` crosses folders, `{a,b}` are alternatives; raise PatternRefusedError.

    Without a `/` it fits names at any depth.
    """
    plain = re.sub(r"(?:\*\*/)+", "**/", glob.strip().removeprefix("./"))
    if not plain or len(plain) > MAX_PATTERN_CHARS:
        raise PatternRefusedError(f"the glob {glob[:60]!r} is empty or too long; write one such as **/*.py")
    head = "" if "/" in plain else "(?:.*/)?"
    wild = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\{[^{}]*\})", plain)
    text = head + "".join(wild.get(part) or _translate(part) for part in parts)
    weight = _weigh(sre_parse.parse(text, re.DOTALL), 0)
    # The whole path has one start, so that the factor of `steps` for where a match begins does not count.
    if weight.steps(MAX_PATH_CHARS) / MAX_PATH_CHARS * (weight.open_ends + 1) > MAX_STEPS:
        raise PatternRefusedError(f"the glob {glob[:60]!r} has too many stars; write one such as **/*.py")
    return PathPattern(re.compile(text, re.DOTALL))


def _translate(part: str) -> str:
    if part.startswith("{") and part.endswith("}"):
        return f"(?:{'|'.join(re.escape(each) for each in part[1:-1].split(','))})"
    return re.escape(part)
