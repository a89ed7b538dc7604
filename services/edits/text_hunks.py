"""Unified diffs applied by their context: every hunk of every file finds its one place, or nothing is changed."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from services.edits.text_diff import FilePatch, Hunk, Mark
from services.edits.text_document import Document, Splice, check_writable, encode_text, open_document
from services.edits.text_edits import Landing, TextEdits, refuse_stale, require_change
from services.edits.text_errors import Refusal, TextEditRefusedError, refuse_edit
from services.edits.text_match import How, Place, find_places
from services.edits.text_nearest import find_near_names
from services.edits.text_refusals import refuse_ambiguous, refuse_doubled, refuse_missing, refuse_not_found
from services.edits.text_script import Passage, Step, build_splice, check_overlaps

_Content = bytes | str


def apply_diff(
    files: Mapping[str, _Content],
    patches: Sequence[FilePatch],
    *,
    stale: Collection[str] = (),
    unchanged: Collection[str] = (),
    known: Iterable[str] = (),
) -> TextEdits:
    """Return the files' new contents, all hunks applied; raise TextEditRefusedError, and then none is.

    A hunk's context says where it belongs. Only in a file of `unchanged` (known to be what was shown) does its line
    number count: it chooses between several exact places when it names one of them, and it places a hunk without any
    context. Counts in headers are not believed. `files`, `stale`, `known` as for `apply_blocks`.
    """
    contents: dict[str, bytes | None] = {}
    landings: list[Landing] = []
    for patch in _join(patches):
        for path in patch.paths:
            if path in stale:
                raise refuse_stale(path)
            if path in contents:
                raise _refuse(Refusal.OVERLAP, path, f"{path} is named twice in the diff, as different files; split it")
        part, places = _apply_file(files, patch, unchanged, known)
        contents |= part
        landings += places
    return TextEdits(contents, tuple(landings))


def _refuse(reason: Refusal, path: str, line: str) -> TextEditRefusedError:
    return refuse_edit(reason, path, line, "Nothing was changed.")


def _join(patches: Sequence[FilePatch]) -> list[FilePatch]:
    """Put the hunks of patches that only change one and the same file together."""
    joined: dict[tuple[str | None, str | None], FilePatch] = {}
    for patch in patches:
        key = (patch.old_path, patch.new_path)
        before = joined.get(key)
        joined[key] = patch if before is None else FilePatch(*key, (*before.hunks, *patch.hunks))
    return list(joined.values())


_Part = tuple[dict[str, bytes | None], list[Landing]]


def _apply_file(
    files: Mapping[str, _Content], patch: FilePatch, unchanged: Collection[str], known: Iterable[str]
) -> _Part:
    _check_added(patch)
    if patch.old_path is None:
        return _create(files, patch)
    content = files.get(patch.old_path)
    if content is None:
        raise refuse_missing(patch.old_path, find_near_names(patch.old_path, known))
    if patch.new_path is None:
        return _delete(patch, patch.old_path, content)
    if patch.new_path != patch.old_path:
        return _rename(files, patch, content, unchanged)
    if not patch.hunks:
        raise _refuse(Refusal.NO_CHANGE, patch.old_path, f"{patch.old_path}: the diff has no hunk for this file")
    result, landings = _change(patch.old_path, content, patch.hunks, is_unchanged=patch.old_path in unchanged)
    return {patch.old_path: require_change(patch.old_path, content, result)}, landings


def _check_added(patch: FilePatch) -> None:
    for hunk in patch.hunks:
        for mark, text in hunk.lines:
            if mark is Mark.ADD:
                check_writable(patch.paths[-1], text)


def _create(files: Mapping[str, _Content], patch: FilePatch) -> _Part:
    path = patch.paths[0]
    if files.get(path):
        raise _refuse(Refusal.FILE_EXISTS, path, f"{path} exists already; write hunks against what it holds")
    if len(patch.hunks) > 1 or any(hunk.old for hunk in patch.hunks):
        raise _refuse(Refusal.MALFORMED, path, f"{path} is new: give its whole text in one hunk of + lines")
    text = ""
    for hunk in patch.hunks:
        text = "\n".join(hunk.new) + ("\n" if hunk.new_ended else "")
    return {path: encode_text(text)}, [Landing.of_file(path, "created")]


def _delete(patch: FilePatch, path: str, content: _Content) -> _Part:
    document = open_document(path, content)
    old = tuple(line for hunk in patch.hunks for line in hunk.old)
    is_all = [line.rstrip() for line in document.lines] == [line.rstrip() for line in old]
    if not is_all or any(hunk.new for hunk in patch.hunks):
        raise _refuse(
            Refusal.NOT_FOUND,
            path,
            f"{path}: to delete a file the diff must remove all its {len(document.lines)} lines; or use delete: true",
        )
    return {path: None}, [Landing.of_file(path, "deleted")]


def _rename(files: Mapping[str, _Content], patch: FilePatch, content: _Content, unchanged: Collection[str]) -> _Part:
    old_path, new_path = patch.paths
    if new_path in files:
        raise _refuse(Refusal.FILE_EXISTS, new_path, f"{new_path} exists already; delete it first or take another name")
    result = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
    landings = [Landing.of_file(new_path, f"renamed from {old_path}")]
    if patch.hunks:
        result, places = _change(old_path, content, patch.hunks, is_unchanged=old_path in unchanged)
        landings += places
    return {old_path: None, new_path: result}, landings


def _change(path: str, content: _Content, hunks: Sequence[Hunk], *, is_unchanged: bool) -> tuple[bytes, list[Landing]]:
    document = open_document(path, content)
    found = [
        (*_find(document, hunk, f"hunk {index}", is_unchanged=is_unchanged), f"hunk {index}", hunk)
        for index, hunk in enumerate(hunks, start=1)
    ]
    check_overlaps(path, [(splice, label) for splice, _, label, _ in found])
    is_ended = document.is_ended
    for splice, _, label, hunk in found:
        is_ended = _judge_end(document, splice, hunk, label, is_ended=is_ended)
    result = document.splice([splice for splice, _, _, _ in found], is_ended=is_ended)
    return result, [Landing.of_splice(path, splice, how) for splice, how, _, _ in found]


def _judge_end(document: Document, splice: Splice, hunk: Hunk, label: str, *, is_ended: bool) -> bool:
    """Return whether the last line keeps or gets a newline, as the marks of the hunk say."""
    if hunk.old_ended and hunk.new_ended:
        return is_ended
    if splice.stop != len(document.lines):
        raise _refuse(
            Refusal.NOT_FOUND,
            document.path,
            f"{document.path}: {label} says `No newline at end of file`, but does not reach the file's end",
        )
    return hunk.new_ended


def _find(document: Document, hunk: Hunk, label: str, *, is_unchanged: bool) -> tuple[Splice, str]:
    passage = _make_passage(hunk, label)
    if not any(line.strip() for line in passage.old):
        return _find_blind(document, passage, hunk, is_unchanged=is_unchanged), "at its stated line"
    places = find_places(document, passage.old)
    place = _choose(places, hunk, is_unchanged=is_unchanged)
    if place is None and places:
        raise refuse_ambiguous(document, places, label)
    if place is None:
        raise refuse_not_found(document, passage)
    refuse_doubled(document, passage, place)
    return build_splice(document, passage, place), place.how


def _choose(places: Sequence[Place], hunk: Hunk, *, is_unchanged: bool) -> Place | None:
    """Return the only place, or the one of several exact ones at which the header's line number points."""
    if len(places) == 1:
        return places[0]
    if not is_unchanged:
        return None  # the number may count lines of another content
    stated = [place for place in places if place.how is How.EXACT and place.start + 1 == hunk.stated_line]
    return stated[0] if len(stated) == 1 else None


def _make_passage(hunk: Hunk, label: str) -> Passage:
    steps: list[Step] = []
    kept = 0
    for mark, text in hunk.lines:
        if mark is not Mark.DROP:
            steps.append(Step(kept if mark is Mark.KEEP else None, text))
        if mark is not Mark.ADD:
            kept += 1
    return Passage(hunk.old, hunk.new, tuple(steps), label)


def _find_blind(document: Document, passage: Passage, hunk: Hunk, *, is_unchanged: bool) -> Splice:
    """Return the change of a hunk without context; raise TextEditRefusedError unless its line number is to be trusted.

    `@@ -5,0 +6,2 @@` inserts after line 5, as diff writes it; a hunk whose context is blank lines begins at its line.
    """
    path, start = document.path, hunk.stated_line
    is_empty = not document.lines and not passage.old
    if is_empty:
        return Splice(0, 0, passage.new)
    if start is None or not is_unchanged or (not passage.old and hunk.old_count != 0):
        raise _refuse(
            Refusal.AMBIGUOUS,
            path,
            f"{path}: {passage.label} has no context lines; add lines that say where it belongs",
        )
    if passage.old:
        start -= 1
    stop = start + len(passage.old)
    if start < 0 or stop > len(document.lines) or any(line.strip() for line in document.lines[start:stop]):
        raise refuse_not_found(document, passage)
    return Splice(start, stop, passage.new)
