"""What a passage becomes: which of its lines stay as the file has them, which go, which are new."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise

from services.edits.text_document import Document, Splice, number_lines
from services.edits.text_errors import Refusal, TextEditRefusedError, refuse_edit
from services.edits.text_match import How, Place, adapt_lines, indent_of

_MAX_COMPARED = 400


@dataclass(frozen=True)
class Step:
    """One line of the result: the passage's line number `kept` as the file has it, or the new line `text`."""

    kept: int | None
    text: str


@dataclass(frozen=True)
class Passage:
    """Lines to find and what comes in their place. `label` names it for a model (`block 2`, `hunk 1`)."""

    old: tuple[str, ...]
    new: tuple[str, ...]
    steps: tuple[Step, ...]
    label: str


def make_passage(old: tuple[str, ...], new: tuple[str, ...], label: str) -> Passage:
    """Return a passage whose kept lines are those that `old` and `new` share, in order."""
    mine, theirs = [line.rstrip() for line in old], [line.rstrip() for line in new]
    head = _count_common(mine, theirs)
    tail = _count_common(mine[head:][::-1], theirs[head:][::-1])
    steps = [Step(index, new[index]) for index in range(head)]
    steps += _compare(mine[head : len(mine) - tail], theirs[head : len(theirs) - tail], new, head)
    steps += [Step(len(old) - count, new[len(new) - count]) for count in range(tail, 0, -1)]
    return Passage(old, new, tuple(steps), label)


def _count_common(mine: Sequence[str], theirs: Sequence[str]) -> int:
    count = 0
    for one, other in zip(mine, theirs, strict=False):
        if one != other:
            break
        count += 1
    return count


def _compare(mine: Sequence[str], theirs: Sequence[str], new: tuple[str, ...], head: int) -> list[Step]:
    if len(mine) + len(theirs) > _MAX_COMPARED:  # comparing takes long when many lines are alike
        return [Step(None, new[head + index]) for index in range(len(theirs))]
    steps: list[Step] = []
    for tag, start, stop, first, last in SequenceMatcher(None, mine, theirs, autojunk=False).get_opcodes():
        if tag == "equal":
            steps += [Step(head + start + offset, new[head + first + offset]) for offset in range(stop - start)]
        else:
            steps += [Step(None, text) for text in new[head + first : head + last]]
    return steps


def build_splice(document: Document, passage: Passage, place: Place) -> Splice:
    """Return the change of the file; raise TextEditRefusedError when the new lines' indentation would be a guess."""
    _check_tabs(document, passage, place)
    if place.how is How.EXACT and document.ends is None:
        return Splice(place.start, place.stop, passage.new)
    if place.how not in {How.EXACT, How.TRAILING}:
        _check_coordinates(document, passage, place)
    adapted = adapt_lines(place, passage.new)
    if adapted is None:
        raise _unclear(document, passage, place)
    lines, ends = [], []
    last = place.start
    for position, step in enumerate(passage.steps):
        if step.kept is not None:
            last = place.start + step.kept
            is_verbatim = place.how is not How.EXACT or document.lines[last] == step.text
            lines.append(document.lines[last] if is_verbatim else step.text)
        else:
            lines.append(adapted[position])
        ends.append(document.end_of(last))
    return Splice(place.start, place.stop, tuple(lines), tuple(ends) if document.ends is not None else None)


def _check_tabs(document: Document, passage: Passage, place: Place) -> None:
    """Refuse tabs in a file that is indented with spaces alone; only SEARCH with tabs shows how to turn them."""
    is_tabbed = any("\t" in indent_of(step.text) for step in passage.steps if step.kept is None and step.text.strip())
    if not is_tabbed or place.how is How.TO_SPACES or "\n\t" in document.haystack or "\n  " not in document.haystack:
        return
    raise refuse_edit(
        Refusal.INDENTATION,
        document.path,
        f"{document.path}: {passage.label} indents with tabs, but the file with spaces; use spaces",
        "Nothing was changed.",
    )


def _check_coordinates(document: Document, passage: Passage, place: Place) -> None:
    """Refuse when nothing shows that the new lines count their indentation from where the old ones do."""
    old = [line for line in passage.old if line.strip()]
    new = [line for line in passage.new if line.strip()]
    if not new or place.how is How.CLIPPED:
        return
    if place.how in {How.TO_SPACES, How.TO_TABS}:
        own = {indent_of(line) for line in old}
        if not place.is_certain and any(indent_of(line) not in own for line in new):
            raise _unclear(document, passage, place)
        return
    if len(old) == 1 and len(new) > 1:
        raise _unclear(document, passage, place)
    same = len(set(old) & set(new))
    moved = len({_move(line, place) for line in old} & set(new))
    is_level = min(map(_depth, old)) == min(map(_depth, new)) and (_depth(old[0]) == _depth(new[0]) or same > 0)
    if not is_level and not (same > 1 and same > moved):
        raise _unclear(document, passage, place)


def _move(line: str, place: Place) -> str:
    """Return an old line as the file has it."""
    return place.prefix + line if place.how is How.DEEPER else line.removeprefix(place.prefix)


def _depth(line: str) -> int:
    return len(indent_of(line))


def _unclear(document: Document, passage: Passage, place: Place) -> TextEditRefusedError:
    where = f"{document.path}:{place.start + 1}"
    return refuse_edit(
        Refusal.INDENTATION,
        document.path,
        f"{where}: the indentation of {passage.label} differs from the file's; copy it from the file",
        "Only the indentation of SEARCH differs, so that of REPLACE is unclear. Nothing was changed. The file has:\n"
        + number_lines(document.lines, place.start, place.stop),
    )


def check_overlaps(path: str, splices: Sequence[tuple[Splice, str]]) -> None:
    """Raise TextEditRefusedError when two changes touch the same lines or insert at the same place."""
    ordered = sorted(splices, key=lambda item: (item[0].start, item[0].stop))
    for (before, first), (after, second) in pairwise(ordered):
        if after.start < before.stop or after.start == before.start:
            raise refuse_edit(
                Refusal.OVERLAP,
                path,
                f"{path}: {first} and {second} change the same lines ({after.start + 1}); join them into one",
                "Every edit of one call is matched against the file as it was before the call. Nothing was changed.",
            )
