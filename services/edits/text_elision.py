"""Blocks with `...` lines: what stands between the anchors is kept."""

from services.edits.text_document import Document, Splice
from services.edits.text_errors import Refusal, refuse_edit
from services.edits.text_match import How, find_places
from services.edits.text_refusals import refuse_ambiguous, refuse_not_found
from services.edits.text_script import Passage, build_splice, make_passage


def has_elision(lines: tuple[str, ...]) -> bool:
    """Return whether a line is nothing but dots."""
    return any(_is_dots(line) for line in lines)


def _is_dots(line: str) -> bool:
    return line.strip() in {"...", "\u2026"}


def find_elided(document: Document, passage: Passage) -> tuple[Splice, ...]:
    """Return the changes around the dots; raise TextEditRefusedError unless each anchor stands once, and in order."""
    old, new = _split(passage.old), _split(passage.new)
    if len(old) != len(new):
        raise refuse_edit(
            Refusal.LEFT_OUT,
            document.path,
            f"{document.path}: {passage.label} has {len(old) - 1} lines of ... in SEARCH, {len(new) - 1} in REPLACE",
            "Each `...` keeps the lines it stands for, so both sides need the same number. Nothing was changed.",
        )
    splices, last = [], 0
    for mine, theirs in zip(old, new, strict=True):
        if not any(line.strip() for line in mine):
            _refuse_unanchored(document, passage, mine, theirs)
            continue
        splice = _find_anchor(document, make_passage(mine, theirs, passage.label))
        if splice.start < last:
            raise refuse_not_found(document, passage)
        last = splice.stop
        if mine != theirs:
            splices.append(splice)
    return tuple(splices)


def _find_anchor(document: Document, part: Passage) -> Splice:
    places = find_places(document, part.old)
    if len(places) > 1:
        raise refuse_ambiguous(document, places, f"the part of {part.label} that begins {part.old[0].strip()[:60]!r}")
    if not places or places[0].how not in {How.EXACT, How.TRAILING}:
        raise refuse_not_found(document, part)
    return build_splice(document, part, places[0])


def _refuse_unanchored(document: Document, passage: Passage, mine: tuple[str, ...], theirs: tuple[str, ...]) -> None:
    if mine != theirs:
        raise refuse_edit(
            Refusal.LEFT_OUT,
            document.path,
            f"{document.path}: {passage.label} puts text beside ... without lines of SEARCH that say where",
        )


def _split(lines: tuple[str, ...]) -> list[tuple[str, ...]]:
    parts: list[list[str]] = [[]]
    for line in lines:
        if _is_dots(line):
            parts.append([])
        else:
            parts[-1].append(line)
    return [tuple(part) for part in parts]
