"""The refusals of edits of text, each with what a model needs to send the right edit next."""

from collections.abc import Sequence

from services.edits.text_document import Document, number_lines
from services.edits.text_errors import Refusal, TextEditRefusedError, refuse_edit
from services.edits.text_match import Place, find_places
from services.edits.text_nearest import has_line_numbers, show_nearest
from services.edits.text_script import Passage

_MAX_SHOWN = 5
_SHOWN_LINES = 6
_TELLING_CHARS = 20


def refuse_ambiguous(document: Document, places: Sequence[Place], label: str) -> TextEditRefusedError:
    """Return the refusal of an edit that fits several places: all their lines, the first few in full."""
    lines = ", ".join(str(place.start + 1) for place in places)
    shown = "\n\n".join(
        number_lines(document.lines, place.start - 1, min(place.stop, place.start + _SHOWN_LINES) + 1)
        for place in places[:_MAX_SHOWN]
    )
    return refuse_edit(
        Refusal.AMBIGUOUS,
        document.path,
        f"{document.path}: {label} fits {len(places)} places (lines {lines}); add lines until it fits one",
        f"Nothing was changed. The places, with the lines around them:\n{shown}",
    )


def refuse_missing(path: str, near: Sequence[str]) -> TextEditRefusedError:
    """Return the refusal of an edit of a file that is not there."""
    hint = f"did you mean {', '.join(near)}?" if near else "leave SEARCH empty to create it"
    return refuse_edit(Refusal.NO_SUCH_FILE, path, f"there is no file {path}; {hint}", "Nothing was changed.")


def refuse_applied(document: Document, label: str, start: int, stop: int) -> TextEditRefusedError:
    """Return the refusal of an edit whose result stands in the file already."""
    return refuse_edit(
        Refusal.ALREADY_APPLIED,
        document.path,
        f"{document.path}: {label} is already applied (lines {start + 1}-{stop}); go on with the next step",
        f"Nothing was changed. The file has:\n{number_lines(document.lines, start, min(stop, start + 20))}",
    )


def refuse_doubled(document: Document, passage: Passage, place: Place) -> None:
    """Raise when the lines to insert stand there already: the same edit sent twice must not double them."""
    old, new = passage.old, passage.new
    for offset in range(len(new) - len(old) + 1 if len(new) > len(old) else 0):
        if new[offset : offset + len(old)] != old:
            continue
        start = place.start - offset
        if start >= 0 and _stands_at(document, new, start):
            raise refuse_applied(document, passage.label, start, start + len(new))


def _stands_at(document: Document, lines: tuple[str, ...], start: int) -> bool:
    """Return whether these lines stand at `start`, spaces at line ends and common indentation aside."""
    theirs = document.lines[start : start + len(lines)]
    return [line.strip() for line in theirs] == [line.strip() for line in lines]


def refuse_not_found(document: Document, passage: Passage) -> TextEditRefusedError:
    """Return the refusal of an edit whose lines are not in the file: the nearest lines, or that it is applied."""
    applied = find_places(document, passage.new)
    if len(applied) == 1 and _is_telling(passage.new):
        return refuse_applied(document, passage.label, applied[0].start, applied[0].stop)
    hint = ""
    if has_line_numbers(passage.old):
        hint = "SEARCH begins every line with a number: leave the line numbers out.\n"
    return refuse_edit(
        Refusal.NOT_FOUND,
        document.path,
        f"{document.path}: the lines of {passage.label} are not in the file",
        f"Nothing was changed. {hint}{show_nearest(document, passage.old)}",
    )


def _is_telling(lines: Sequence[str]) -> bool:
    """Return whether finding these lines says something: a lone bracket or `pass` stands everywhere."""
    filled = [line.strip() for line in lines if line.strip()]
    return len(filled) > 1 or sum(map(len, filled)) >= _TELLING_CHARS
