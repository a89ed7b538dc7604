"""By which rules a content is left out of the index, and which mistakes of a reader cost one file its symbols only."""

import re

MAX_FILE_BYTES = 1_000_000
MAX_LINE_CHARACTERS = 50_000
OVERSIZED = "oversized"
_HEAD_BYTES = 2_000
_GENERATED = re.compile(rb"Code generated .{0,200}DO NOT EDIT|^\W{0,10}@generated\b", re.MULTILINE)

READER_FAULTS = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What a mistake in the reading or resolving of a language raises; a missing grammar is none of these, and is loud."""


def find_skip_rule(content: bytes) -> str:
    """Return the rule by which a content is left out, or nothing."""
    if len(content) > MAX_FILE_BYTES:
        return OVERSIZED
    if b"\0" in content:
        return "binary"
    if _GENERATED.search(content[:_HEAD_BYTES]):
        return "generated"
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return "not-utf-8"
    is_long = len(text) > MAX_LINE_CHARACTERS and max(map(len, text.split("\n"))) > MAX_LINE_CHARACTERS
    return "long-lines" if is_long else ""
