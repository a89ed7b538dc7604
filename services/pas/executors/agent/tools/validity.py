"""Whether an edit breaks a file that was whole: text is parsed, never run."""

import ast
import json
import re
import tomllib
import warnings
from collections.abc import Callable, Mapping

MAX_PARSED_BYTES = 1_000_000
_NEWER_SYNTAX = re.compile(
    r"\s*type\s+\w+|\s*(async\s+)?(def|class)\s+\w+\s*\[|.*\b[fFrRtT]{1,2}['\"]|\s*except\s+[\w.]+\s*,"
)
"""Lines that a later Python may accept although this one does not."""


def find_break(path: str, before: bytes | None, after: bytes) -> str | None:
    """Return in one line what the edit broke, or None: the file is whole, was broken before, or is of another kind.

    Python, JSON and TOML are judged, up to 1 MB. A new Python or TOML file must be whole from the start.
    """
    parse = _PARSERS.get(path.rpartition(".")[2].lower())
    if parse is None or len(after) > MAX_PARSED_BYTES:
        return None
    problem = parse(after)
    if problem is None:
        return None
    if before is None:
        return None if path.endswith(".json") else problem  # new JSON may be one with comments
    return problem if parse(before) is None else None


def _parse_python(content: bytes) -> str | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the file warns of is not ours to say
            ast.parse(content)
    except SyntaxError as error:
        line = (error.text or "").rstrip("\n")
        if not isinstance(error, IndentationError) and _NEWER_SYNTAX.match(line):
            return None
        said = f": {line.strip()[:120]!r}" if line.strip() else ""
        return f"line {error.lineno or 1}: {error.msg}{said}"
    except (ValueError, RecursionError, MemoryError) as error:
        return f"it cannot be parsed: {error}"
    return None


def _parse_json(content: bytes) -> str | None:
    try:
        json.loads(content)
    except (ValueError, RecursionError) as error:
        return str(error)
    return None


def _parse_toml(content: bytes) -> str | None:
    try:
        tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        return str(error)
    return None


_PARSERS: Mapping[str, Callable[[bytes], str | None]] = {
    "py": _parse_python,
    "pyi": _parse_python,
    "json": _parse_json,
    "toml": _parse_toml,
}
