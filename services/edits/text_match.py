"""Where a passage stands in a file: passes from exact to forgiving, each of which must find one place or none.

Nothing here measures likeness. A pass names exactly the difference that it looks past: spaces at the end of lines, or
one and the same indentation of the whole passage. What matches in two places is never chosen between.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from services.edits.text_document import Document

MAX_PLACES = 50
_BLANKS = " \t"
_INDENT = re.compile(r"[ \t]*")
_TABBED = re.compile(r"(\t*)( *)")
MAX_TAB_WIDTH = 8


class How(StrEnum):
    """Which pass found a place."""

    EXACT = "exact"
    TRAILING = "trailing spaces ignored"
    CLIPPED = "first line's indentation added"
    DEEPER = "indented like the file"
    FLATTER = "outdented like the file"
    TO_SPACES = "tabs turned into the file's spaces"
    TO_TABS = "spaces turned into the file's tabs"


@dataclass(frozen=True)
class Place:
    """One place: the file's lines `start` up to `stop`. `prefix` is the indentation that differs.

    `tab_width` is how many spaces stand for a tab; `is_certain` False: only lines indented like the passage's own can
    be adapted, because nothing shows how another depth would look.
    """

    start: int
    stop: int
    how: How
    prefix: str = ""
    tab_width: int = 0
    is_certain: bool = True


def find_places(document: Document, old: tuple[str, ...]) -> tuple[Place, ...]:
    """Return the places of the first pass that finds any; several mean that the passage is ambiguous. Never blank."""
    if not any(line.strip() for line in old):
        return ()
    found = find_exact(document, old)
    if found:
        return found
    starts = _find_starts(document, old)
    for fit in (_fit_trailing, _fit_indentation):
        places = tuple(place for start in starts if (place := fit(document, old, start)) is not None)
        if places:
            return places
    return ()


def find_exact(document: Document, old: tuple[str, ...]) -> tuple[Place, ...]:
    """Return where whole lines equal `old`; overlapping places count."""
    hay, needle = document.haystack, "\n" + "\n".join(old) + "\n"
    if not old or len(old) > len(document.lines):
        return ()
    places: list[Place] = []
    position, line, counted = hay.find(needle), 0, 0
    while position >= 0 and len(places) < MAX_PLACES:
        line += hay.count("\n", counted, position)
        counted = position
        places.append(Place(line, line + len(old), How.EXACT))
        position = hay.find(needle, position + 1)
    return tuple(places)


def _find_starts(document: Document, old: tuple[str, ...]) -> list[int]:
    """Return the lines where `old` may begin: those where its longest line stands in its place."""
    offset = max(range(len(old)), key=lambda index: len(old[index].strip()))
    anchor = old[offset].strip(_BLANKS)
    last = len(document.lines) - len(old)
    if anchor not in document.haystack:
        return []
    return [
        index - offset
        for index, line in enumerate(document.lines)
        if anchor in line and 0 <= index - offset <= last and line.strip(_BLANKS) == anchor
    ]


def _fit_trailing(document: Document, old: tuple[str, ...], start: int) -> Place | None:
    lines = document.lines
    if all(lines[start + index].rstrip(_BLANKS) == line.rstrip(_BLANKS) for index, line in enumerate(old)):
        return Place(start, start + len(old), How.TRAILING)
    return None


def _fit_indentation(document: Document, old: tuple[str, ...], start: int) -> Place | None:
    """Return the place if one indentation, or one tab width, is all that differs from the file's lines there."""
    pairs = []
    for index, line in enumerate(old):
        theirs = document.lines[start + index]
        if theirs.strip(_BLANKS) != line.strip(_BLANKS):
            return None
        if theirs.strip(_BLANKS):
            pairs.append((indent_of(line), indent_of(theirs)))
    for fit in (_fit_clipped, _fit_deeper, _fit_flatter, _fit_to_spaces, _fit_to_tabs):
        place = fit(document, pairs, start, start + len(old))
        if place is not None:
            return place
    return None


_Pairs = list[tuple[str, str]]


def _fit_clipped(_document: Document, pairs: _Pairs, start: int, stop: int) -> Place | None:
    (mine, theirs), rest = pairs[0], pairs[1:]
    if mine or not rest or any(ours != others for ours, others in rest):
        return None
    return Place(start, stop, How.CLIPPED, prefix=theirs)


def _fit_deeper(_document: Document, pairs: _Pairs, start: int, stop: int) -> Place | None:
    mine, theirs = pairs[0]
    prefix = theirs.removesuffix(mine)
    if all(others == prefix + ours for ours, others in pairs):
        return Place(start, stop, How.DEEPER, prefix=prefix)
    return None


def _fit_flatter(_document: Document, pairs: _Pairs, start: int, stop: int) -> Place | None:
    mine, theirs = pairs[0]
    prefix = mine.removesuffix(theirs)
    if all(ours == prefix + others for ours, others in pairs):
        return Place(start, stop, How.FLATTER, prefix=prefix)
    return None


def _fit_to_spaces(document: Document, pairs: _Pairs, start: int, stop: int) -> Place | None:
    width = _find_width(pairs)
    if width is None:
        return None
    depths = {ours.count("\t") for ours, _ in pairs}
    is_certain = len(depths) > 1 or width == find_indent_width(document)
    return Place(start, stop, How.TO_SPACES, tab_width=width, is_certain=is_certain)


def _fit_to_tabs(_document: Document, pairs: _Pairs, start: int, stop: int) -> Place | None:
    width = _find_width([(theirs, ours) for ours, theirs in pairs])
    if width is None:
        return None
    depths = {theirs.count("\t") for _, theirs in pairs}
    return Place(start, stop, How.TO_TABS, tab_width=width, is_certain=len(depths) > 1)


def _find_width(pairs: _Pairs) -> int | None:
    """Return how many spaces each tab of the first indents stands for in the second ones, if one number fits all."""
    width = None
    for tabbed, spaced in pairs:
        match = _TABBED.fullmatch(tabbed)
        if match is None or spaced.strip(" "):
            return None
        tabs, rest = len(match[1]), len(spaced) - len(match[2])
        if tabs == 0:
            if rest != 0:
                return None
        elif rest % tabs or not 1 <= rest // tabs <= MAX_TAB_WIDTH or width not in {None, rest // tabs}:
            return None
        else:
            width = rest // tabs
    return width


def find_indent_width(document: Document) -> int:
    """Return by how many spaces the file most often indents; 0 when it does not."""
    steps: dict[int, int] = {}
    before = 0
    for line in document.lines[:2000]:
        if not line.strip():
            continue
        depth = len(line) - len(line.lstrip(" "))
        if depth > before:
            steps[depth - before] = steps.get(depth - before, 0) + 1
        before = depth
    return max(steps, key=lambda step: steps[step]) if steps else 0


def indent_of(line: str) -> str:
    """Return the spaces and tabs that a line begins with."""
    match = _INDENT.match(line)
    return match[0] if match else ""


def adapt_lines(place: Place, new: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return new lines with the indentation of the place; None when they do not fit it without guessing."""
    return _ADAPTERS[place.how](place, new)


def _leave(_place: Place, new: tuple[str, ...]) -> tuple[str, ...]:
    return new


def _unclip(place: Place, new: tuple[str, ...]) -> tuple[str, ...] | None:
    if not new:
        return new
    if not new[0].strip() or indent_of(new[0]):
        return None
    return (place.prefix + new[0], *new[1:])


def _deepen(place: Place, new: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(place.prefix + line if line.strip() else line for line in new)


def _flatten(place: Place, new: tuple[str, ...]) -> tuple[str, ...] | None:
    if any(line.strip() and not line.startswith(place.prefix) for line in new):
        return None
    return tuple(line.removeprefix(place.prefix) if line.strip() else line for line in new)


def _to_spaces(place: Place, new: tuple[str, ...]) -> tuple[str, ...] | None:
    adapted = []
    for line in new:
        indent = indent_of(line)
        match = _TABBED.fullmatch(indent)
        if match is None:
            return None
        adapted.append(" " * (len(match[1]) * place.tab_width) + match[2] + line[len(indent) :])
    return tuple(adapted)


def _to_tabs(place: Place, new: tuple[str, ...]) -> tuple[str, ...] | None:
    adapted = []
    for line in new:
        indent = indent_of(line)
        if "\t" in indent or not line.strip():
            adapted.append(line)
            continue
        if len(indent) % place.tab_width:
            return None
        adapted.append("\t" * (len(indent) // place.tab_width) + line[len(indent) :])
    return tuple(adapted)


_ADAPTERS: dict[How, Callable[[Place, tuple[str, ...]], tuple[str, ...] | None]] = {
    How.EXACT: _leave,
    How.TRAILING: _leave,
    How.CLIPPED: _unclip,
    How.DEEPER: _deepen,
    How.FLATTER: _flatten,
    How.TO_SPACES: _to_spaces,
    How.TO_TABS: _to_tabs,
}
