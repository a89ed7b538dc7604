"""What a refused edit is told: the file's lines most like those that were looked for, with their numbers."""

import re
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher, get_close_matches

from services.edits.text_document import Document, number_lines

_WORD = re.compile(r"\w+")
_CONTEXT = 2
_MAX_LINES = 40
_MAX_CANDIDATES = 4
_MAX_SCANNED = 20_000
_MAX_CHARS = 200
_MIN_LIKENESS = 0.4
_NUMBERED = re.compile(r"\s*\d+\s*(\||\t|:)")


def show_nearest(document: Document, old: Sequence[str]) -> str:
    """Return the nearest real lines, numbered, those that differ marked; or that nothing comes near.

    About 10 ms for 5,000 lines: a window slides over them counting equal lines, or else common words, and only the best
    few are compared in full.
    """
    start = find_nearest(document, old)
    if start is None:
        return f"Nothing in {document.path} ({len(document.lines)} lines) comes near; look at the file first."
    stop = min(start + min(len(old), _MAX_LINES), len(document.lines))
    theirs = document.lines[start:stop]
    marked = _find_different(theirs, old[:_MAX_LINES])
    lines = number_lines(
        document.lines, start - _CONTEXT, stop + _CONTEXT, frozenset(start + index for index in marked)
    )
    note = "; lines marked > differ" if marked else ""
    text = f"The nearest lines of {document.path} (of {len(document.lines)}){note}:\n{lines}"
    return text + _show_first_difference(theirs, old)


def _show_first_difference(theirs: Sequence[str], old: Sequence[str]) -> str:
    for index, line in enumerate(old[: len(theirs)]):
        if line.strip() != theirs[index].strip():
            other = theirs[index]
            return f"\nline {index + 1} of yours: {line[:_MAX_CHARS]!r}\nthe file has: {other[:_MAX_CHARS]!r}"
    return ""


def _find_different(theirs: Sequence[str], old: Sequence[str]) -> set[int]:
    mine = [line.rstrip() for line in old]
    blocks = SequenceMatcher(None, [line.rstrip() for line in theirs], mine, autojunk=False).get_matching_blocks()
    same = {block.a + offset for block in blocks for offset in range(block.size)}
    return set(range(len(theirs))) - same


def find_nearest(document: Document, old: Sequence[str]) -> int | None:
    """Return the line (from 0) where the region most like `old` begins, or None when none is like it."""
    wanted = [line.strip() for line in old[:_MAX_LINES]]
    lines = [line.strip() for line in document.lines[:_MAX_SCANNED]]
    known = {line for line in wanted if len(line) > 1}
    scores = [1 if line in known else 0 for line in lines]
    if not any(scores):
        scores = _score_words(lines, wanted)
    starts = _best_windows(scores, len(wanted))
    rated = [(_rate(lines[start : start + len(wanted)], wanted), -start) for start in starts]
    if not rated:
        return None
    likeness, negative = max(rated)
    return -negative if likeness >= _MIN_LIKENESS else None


def _score_words(lines: Sequence[str], wanted: Sequence[str]) -> list[int]:
    words = {word for line in wanted for word in _WORD.findall(line[:_MAX_CHARS])}
    return [sum(1 for word in _WORD.findall(line[:_MAX_CHARS]) if word in words) for line in lines]


def _best_windows(scores: list[int], size: int) -> list[int]:
    """Return the starts of the windows with the highest sums, best first; only where there is something."""
    total = sum(scores[:size])
    sums = [total]
    for index in range(size, len(scores)):
        total += scores[index] - scores[index - size]
        sums.append(total)
    # A region at the very end may be shorter than what was looked for.
    ranked = sorted((index for index, value in enumerate(sums) if value), key=lambda index: (-sums[index], index))
    return ranked[:_MAX_CANDIDATES]


def _rate(theirs: Sequence[str], wanted: Sequence[str]) -> float:
    """Return a likeness from 0 to 1: line by line, characters compared."""
    if not theirs:
        return 0.0
    total = weight = 0.0
    for mine, other in zip(wanted, theirs, strict=False):
        size = max(len(mine), len(other), 1)
        weight += size
        if mine == other:
            total += size
        else:
            total += size * SequenceMatcher(None, mine[:_MAX_CHARS], other[:_MAX_CHARS]).ratio()
    return total / weight


def find_near_names(path: str, known: Iterable[str]) -> tuple[str, ...]:
    """Return up to three existing paths that the wrong one may mean: the same file name first, then like spelling."""
    paths = list(known)
    name = path.rpartition("/")[2]
    same = [each for each in paths if each.rpartition("/")[2] == name]
    like = get_close_matches(path, paths[:_MAX_SCANNED], n=3, cutoff=0.6) if len(same) < 3 else []  # noqa: PLR2004
    return tuple(dict.fromkeys([*same, *like]))[:3]


def has_line_numbers(old: Sequence[str]) -> bool:
    """Return whether every line begins with a number, as when the output of a reading tool was copied."""
    filled = [line for line in old if line.strip()]
    return bool(filled) and all(_NUMBERED.match(line) for line in filled)
