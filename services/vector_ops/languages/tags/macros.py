"""Macros that hide the shape of C and C++ from a parser without a preprocessor."""

import re

_ALONE = re.compile(rb"^[ \t]*(?:[A-Z][A-Z0-9_]{3,}(?:\([^()\n]{0,80}\))?(?:[ \t]+|(?=\r?$))){1,4}\r?$", re.MULTILINE)
_MARKED = re.compile(
    rb"\b(?:class|struct)\s+([A-Z][A-Z0-9_]{3,}(?:\([^()\n]{0,80}\))?)\s+(?=[A-Za-z_][\w:]*\s*(?:final\s*)?[:{])"
)
_NEIGHBOUR_BYTES = 200
_BEFORE = b";}:{/"
_AFTER = b",})=;([.-+*?:|&<>{"


def blank_macros(source: bytes) -> bytes:
    """Return the source with spaces over macros that stand alone on a line or mark a class (`class FOO_API X`).

    Every byte keeps its place.
    """
    if not _ALONE.search(source) and not _MARKED.search(source):
        return source
    blanked = bytearray(source)
    for found in _ALONE.finditer(source):
        if _stands_alone(source, found.start(), found.end()):
            _blank(blanked, found.start(), found.end())
    for found in _MARKED.finditer(source):
        _blank(blanked, found.start(1), found.end(1))
    return bytes(blanked)


def _blank(target: bytearray, start: int, end: int) -> None:
    if target[end - 1] == ord("\r"):
        end -= 1
    target[start:end] = b" " * (end - start)


def _stands_alone(source: bytes, start: int, end: int) -> bool:
    """Say whether neither neighbour makes this a part of an expression, a list, or a definition over several lines."""
    after = source[end : end + _NEIGHBOUR_BYTES].lstrip()
    if not after or after[0] in _AFTER:
        return False
    lines = source[max(start - _NEIGHBOUR_BYTES, 0) : start].rstrip().splitlines()
    before = lines[-1].strip() if lines else b""
    if before.endswith(b"\\"):
        return False
    return not before or before[-1] in _BEFORE or before.startswith((b"#", b"//"))
