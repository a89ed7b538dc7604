"""Judging the words of a command line: pure, and strict where programs are lenient.

A program accepts abbreviations, joined values, options after operands and repeated options; every one of those has
carried an attack past a filter. So none is accepted here: an option is exactly a word of its rule, or it is refused.
"""

import posixpath
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.pas.core.isolation import WORKSPACE_TARGET

MAX_ARGUMENTS = 1024
MAX_ARGUMENT_BYTES = 8_192
MAX_TOTAL_BYTES = 65_536

INPUTS_TARGET = "/inputs"
"""Where the server binds what it hands to a command besides the tree (read-only)."""

_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp"})
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.,:+-]*")
_INTEGER = re.compile(r"[0-9]{1,9}")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/")

Kind = Literal["path", "input", "text", "name", "integer"]
"""What a value is: `path` lies in the workspace; `input` there, in /inputs or in the lane's own /tmp; `text` is opaque
to the program (a search pattern, never a file, option or code); `name` is an identifier; `integer` is digits."""

PathCheck = Callable[[str], str | None]
"""Returns why a relative workspace path is refused, or None."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class OperandRule(_Frozen):
    """Kinds by position; the last one holds for all that follow."""

    kinds: tuple[Kind, ...] = Field(min_length=1)
    min: int = Field(default=0, ge=0)
    max: int = Field(ge=1, le=MAX_ARGUMENTS)


class ArgumentRule(_Frozen):
    """What may follow one allowed command head: `flags` stand alone, `options` take a value of a kind or a choice."""

    command: tuple[str, ...] = Field(min_length=1)
    flags: frozenset[Annotated[str, Field(pattern=r"^-")]] = frozenset()
    options: Mapping[Annotated[str, Field(pattern=r"^-")], Kind | tuple[str, ...]] = {}
    operands: OperandRule | None = None


class RefusedError(ValueError):
    """A word is refused; the message says which and why."""


def quote(word: str) -> str:
    """Return a short printable form of any word."""
    return ascii(word if len(word) <= 60 else word[:57] + "...")  # noqa: PLR2004 - one line on a terminal


def find_hidden(word: str) -> str | None:
    """Return the first character that a reader would not see (control, format, bidi, surrogate), or None."""
    return next((char for char in word if unicodedata.category(char) in _HIDDEN_CATEGORIES), None)


def check_words(argv: Sequence[str]) -> None:
    """Refuse what no rule could make good: nothing, too much, or characters that hide what the words say."""
    if not argv:
        raise RefusedError("the command is empty")
    if len(argv) > MAX_ARGUMENTS:
        raise RefusedError(f"more than {MAX_ARGUMENTS} arguments")
    total = 0
    for word in argv:
        if len(word) > MAX_ARGUMENT_BYTES:
            raise RefusedError(f"an argument is longer than {MAX_ARGUMENT_BYTES} bytes")
        hidden = find_hidden(word)
        if hidden is not None:
            raise RefusedError(f"argument {quote(word)} holds the hidden character U+{ord(hidden):04X}")
        total += len(word.encode())
    if total > MAX_TOTAL_BYTES:
        raise RefusedError(f"the command is longer than {MAX_TOTAL_BYTES} bytes")


def check_relative(path: str) -> str:
    """Return the canonical form of a path below the workspace; refuses whatever could lead out of it."""
    if not path or path.startswith(("/", "~", "@", "-")) or _SCHEME.match(path):
        raise RefusedError(f"path {quote(path)} is not a plain path inside the workspace")
    if find_hidden(path) is not None or "\\" in path:
        raise RefusedError(f"path {quote(path)} holds a character that hides where it leads")
    if ".." in path.split("/"):
        raise RefusedError(f"path {quote(path)} climbs with '..'")
    return posixpath.normpath(path)


def _check_path(value: str, roots: tuple[str, ...], check_file: PathCheck) -> None:
    for root in roots:
        if value.startswith(root + "/"):
            check_relative(value.removeprefix(root + "/"))
            return
    inside = value.removeprefix(WORKSPACE_TARGET + "/")
    reason = None if inside in {".", WORKSPACE_TARGET} else check_file(check_relative(inside))
    if reason is not None:
        raise RefusedError(reason)


def check_value(value: str, kind: Kind | tuple[str, ...], check_file: PathCheck) -> None:
    """Refuse a value that is not of its kind, or not one of the choices."""
    if isinstance(kind, tuple):
        if value not in kind:
            raise RefusedError(f"{quote(value)} is not one of {', '.join(kind)}")
    elif kind == "path":
        _check_path(value, (), check_file)
    elif kind == "input":
        _check_path(value, (INPUTS_TARGET, "/tmp"), check_file)  # noqa: S108 - the lane's private one
    elif kind == "name" and not _NAME.fullmatch(value):
        raise RefusedError(f"{quote(value)} is not a name")
    elif kind == "integer" and not _INTEGER.fullmatch(value):
        raise RefusedError(f"{quote(value)} is not a whole number")


def _take_option(word: str, rest: Iterator[str], rule: ArgumentRule, check_file: PathCheck) -> str:
    """Judge one option with its value and return its name."""
    name, has_value, value = word.partition("=") if word.startswith("--") else (word, "", "")
    if name in rule.flags and not has_value:
        return name
    if name not in rule.options:
        raise RefusedError(f"option {quote(name)} is not allowed for {' '.join(rule.command)}")
    if not has_value:
        taken = next(rest, None)
        if taken is None or taken.startswith("-"):
            raise RefusedError(f"option {name} needs a value")
        value = taken
    check_value(value, rule.options[name], check_file)
    return name


def _split_arguments(words: Sequence[str], rule: ArgumentRule, check_file: PathCheck) -> list[str]:
    """Judge the options and return the operands."""
    rest = iter(words)
    seen: set[str] = set()
    operands: list[str] = []
    for word in rest:
        if word == "--":
            return [*operands, *rest]
        if word == "-" or not word.startswith("-"):
            operands.append(word)
            continue
        if operands:
            raise RefusedError(f"option {quote(word)} stands after an operand; put options first")
        name = _take_option(word, rest, rule, check_file)
        if name in seen:
            raise RefusedError(f"option {name} is given twice")
        seen.add(name)
    return operands


def check_arguments(words: Sequence[str], rule: ArgumentRule, check_file: PathCheck) -> None:
    """Refuse the first word after the command's head that the rule does not allow."""
    operands = _split_arguments(words, rule, check_file)
    head = " ".join(rule.command)
    if rule.operands is None:
        if operands:
            raise RefusedError(f"{head} takes no operand here, not even {quote(operands[0])}")
        return
    if not rule.operands.min <= len(operands) <= rule.operands.max:
        raise RefusedError(f"{head} takes {rule.operands.min} to {rule.operands.max} operands, not {len(operands)}")
    kinds = rule.operands.kinds
    for position, operand in enumerate(operands):
        check_value(operand, kinds[min(position, len(kinds) - 1)], check_file)
