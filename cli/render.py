"""The only module that prints.

Results go to stdout, everything else to stderr; colour only on a terminal without NO_COLOR.
"""

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TextIO

from services.kernel.errors import PlatformError

_COLOURS = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_LOOKS = {
    "answer": "",
    "decision": "cyan",
    "plan": "",
    "estimate": "bold",
    "approval_required": "yellow",
    "question": "yellow",
    "tick": "dim",
    "step": "dim",
    "report": "",
    "offer": "cyan",
    "error": "red",
}
SILENT_KINDS = frozenset({"trace", "delta", "end"})


def is_coloured(stream: TextIO) -> bool:
    """Return whether escape codes may be written to `stream`."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, look: str, stream: TextIO) -> str:
    """Return `text` in a colour where the stream takes one."""
    if not look or not is_coloured(stream):
        return text
    return f"\x1b[{_COLOURS[look]}m{text}\x1b[0m"


def clean(text: str) -> str:
    """Return `text` without control characters: what a repository contains must not drive the terminal."""
    return "".join(char if char in "\n\t" or char.isprintable() else "\ufffd" for char in text)


def say(text: str = "", look: str = "") -> None:
    """Print a result line."""
    print(paint(clean(text), look, sys.stdout), flush=True)


def write(text: str) -> None:
    """Write a piece of a line; the caller has cleaned it, and flushes."""
    sys.stdout.write(text)


def note(text: str, look: str = "dim") -> None:
    """Print a line that is no result."""
    print(paint(clean(text), look, sys.stderr), file=sys.stderr, flush=True)


def fail(error: PlatformError | str) -> None:
    """Print one clear line about what went wrong."""
    print(paint(f"error: {clean(str(error))}", "red", sys.stderr), file=sys.stderr, flush=True)


def print_json(value: object) -> None:
    """Print one JSON document."""
    print(json.dumps(value, ensure_ascii=False), flush=True)


def print_event(event: Mapping[str, object]) -> None:
    """Print one turn event for a person."""
    kind = str(event["kind"])
    if kind in SILENT_KINDS:
        return
    text = clean(str(event["text"]))
    if kind == "error":
        fail(text)
    elif kind in {"tick", "step"}:
        note(f"  {text}")
    else:
        print(paint(text, _LOOKS.get(kind, ""), sys.stdout), flush=True)


def print_diff(patch: str) -> None:
    """Print a unified diff, coloured where the terminal takes it."""
    for line in patch.splitlines():
        look = (
            "green"
            if line.startswith("+")
            else "red"
            if line.startswith("-")
            else "cyan"
            if line.startswith("@@")
            else ""
        )
        say(line, look)


def format_table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a plain aligned table; the text of a cell is never cut."""
    cells = [list(headers), *[[clean(cell).replace("\n", " ") for cell in row] for row in rows]]
    widths = [max(len(row[index]) for row in cells) for index in range(len(headers))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def format_usd(microusd: float) -> str:
    """Return money for people: `$2.50`; below ten cents more digits, as cents would say nothing."""
    decimals = 2 if microusd == 0 or abs(microusd) >= 100_000 else 4  # noqa: PLR2004
    return f"${microusd / 1_000_000:.{decimals}f}"


def format_duration(seconds: float) -> str:
    """Return a duration for people: `0.4 s`, `12 s`, `3 min 05 s`, `1 h 02 min`."""
    if seconds < 10:  # noqa: PLR2004
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:  # noqa: PLR2004
        return f"{whole} s"
    if whole < 3600:  # noqa: PLR2004
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
