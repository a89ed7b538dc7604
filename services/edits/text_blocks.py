"""Search/replace blocks: every one of a call finds its one place, or nothing at all is changed (ADR-0015)."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from services.edits.text_document import (
    Document,
    Splice,
    check_writable,
    encode_text,
    open_document,
    split_lines,
)
from services.edits.text_edits import Landing, TextEdits, refuse_stale, require_change
from services.edits.text_elision import find_elided, has_elision
from services.edits.text_errors import Refusal, refuse_edit
from services.edits.text_match import How, find_places
from services.edits.text_nearest import find_near_names
from services.edits.text_refusals import refuse_ambiguous, refuse_doubled, refuse_missing, refuse_not_found
from services.edits.text_script import Passage, build_splice, check_overlaps, make_passage

_LEFT_OUT = re.compile(
    r"\s*(#|//|/\*|<!--|--|;|%|\{/\*)\s*(\.\.\.|\u2026)|\s*(#|//|/\*|--).*\b(rest of|existing) (the )?code\b"
)

_BRACKETS = (("(", ")"), ("[", "]"), ("{", "}"))


@dataclass(frozen=True)
class Block:
    """Replace `search` by `replace` in one file. Empty `search` makes a new file; `is_deletion` removes the file."""

    path: str
    search: str
    replace: str
    is_deletion: bool = False


def apply_blocks(
    files: Mapping[str, bytes | str], blocks: Sequence[Block], *, stale: Collection[str] = (), known: Iterable[str] = ()
) -> TextEdits:
    """Return the files' new contents, all blocks applied; raise TextEditRefusedError, and then none is.

    `files` holds the present content of every existing file that a block names; every block is matched against it, not
    against what an earlier block made of it. `stale` are paths whose content is not what was shown; `known` are all
    paths, for suggestions. Below 1 ms per block for a file of some thousand lines.
    """
    if not blocks:
        raise refuse_edit(Refusal.MALFORMED, "", "there is no edit; give at least one block")
    contents: dict[str, bytes | None] = {}
    landings: list[Landing] = []
    for path in dict.fromkeys(block.path for block in blocks):
        mine = [(index, block) for index, block in enumerate(blocks, start=1) if block.path == path]
        if path in stale:
            raise refuse_stale(path)
        content, places = _edit_file(path, files.get(path), mine, known)
        contents[path] = content
        landings += places
    return TextEdits(contents, tuple(landings))


_Numbered = list[tuple[int, Block]]


def _edit_file(
    path: str, content: bytes | str | None, blocks: _Numbered, known: Iterable[str]
) -> tuple[bytes | None, list[Landing]]:
    for _, block in blocks:
        check_writable(path, block.replace)
    if any(block.is_deletion for _, block in blocks):
        return _delete(path, content, blocks, known)
    if content is None or (not content and not blocks[0][1].search.strip()):
        return _create(path, content, blocks, known)
    document = open_document(path, content)
    found = [_find(document, block, _label(index, blocks)) for index, block in blocks]
    splices = [(splice, label) for part, _, label in found for splice in part]
    check_overlaps(path, splices)
    result = document.splice([splice for splice, _ in splices])
    landings = [Landing.of_splice(path, splice, how) for part, how, _ in found for splice in part]
    return require_change(document.path, content, result), landings


def _label(index: int, blocks: _Numbered) -> str:
    return f"edit {index}" if index > 1 or len(blocks) > 1 else "the edit"


def _delete(
    path: str, content: bytes | str | None, blocks: _Numbered, known: Iterable[str]
) -> tuple[None, list[Landing]]:
    if content is None:
        raise refuse_missing(path, find_near_names(path, known))
    if len(blocks) > 1 or blocks[0][1].search or blocks[0][1].replace:
        raise refuse_edit(Refusal.MALFORMED, path, f"{path} is deleted and edited in one call; do one of them")
    return None, [Landing.of_file(path, "deleted")]


def _create(
    path: str, content: bytes | str | None, blocks: _Numbered, known: Iterable[str]
) -> tuple[bytes, list[Landing]]:
    first = blocks[0][1]
    if first.search.strip():
        raise refuse_missing(path, find_near_names(path, known))
    if len(blocks) > 1:
        raise refuse_edit(Refusal.MALFORMED, path, f"{path} is new: give its whole text in one block")
    if content is not None and not first.replace:
        raise refuse_edit(Refusal.NO_CHANGE, path, f"{path} is empty already; the edit changes nothing")
    text = first.replace
    if text and not text.endswith("\n"):
        text += "\n"
    return encode_text(text), [Landing.of_file(path, "created" if content is None else "filled")]


def _find(document: Document, block: Block, label: str) -> tuple[tuple[Splice, ...], str, str]:
    """Return the splices of one block and which pass found them."""
    old, new = split_lines(block.search), split_lines(block.replace)
    _check_sense(document.path, old, new, label)
    _refuse_left_out(document, old, new, label)
    passage = make_passage(old, new, label)
    for variant in (passage, _trim_blank(passage)):
        places = find_places(document, variant.old) if variant is not None else ()
        if len(places) > 1:
            raise refuse_ambiguous(document, places, label)
        if places and variant is not None:
            refuse_doubled(document, variant, places[0])
            return (build_splice(document, variant, places[0]),), places[0].how, label
    if has_elision(old):
        return find_elided(document, passage), "the lines at ... kept", label
    inner = _find_within_line(document, passage)
    if inner is not None:
        return (inner,), How.EXACT, label
    raise refuse_not_found(document, passage)


def _check_sense(path: str, old: tuple[str, ...], new: tuple[str, ...], label: str) -> None:
    if not old:
        raise refuse_edit(
            Refusal.FILE_EXISTS, path, f"{path} exists already; give the lines to replace as SEARCH, or another path"
        )
    if not any(line.strip() for line in old):
        raise refuse_edit(Refusal.MALFORMED, path, f"{path}: SEARCH of {label} is blank; give lines of code")
    if old == new:
        raise refuse_edit(Refusal.NO_CHANGE, path, f"{path}: SEARCH and REPLACE of {label} are the same")


def _trim_blank(passage: Passage) -> Passage | None:
    """Return the passage without blank lines before and after it, the same number taken from both sides, or None."""
    old, new = list(passage.old), list(passage.new)
    for index in (0, -1):
        while old and not old[index].strip():
            old.pop(index)
            if new and not new[index].strip():
                new.pop(index)
    if len(old) == len(passage.old):
        return None
    return make_passage(tuple(old), tuple(new), passage.label)


def _refuse_left_out(document: Document, old: tuple[str, ...], new: tuple[str, ...], label: str) -> None:
    """Refuse a REPLACE that says "the rest stays" in a comment or by dots: that would delete the rest."""
    known = {line.strip() for line in old}
    for index, line in enumerate(new):
        is_dots = line.strip() in {"...", "\u2026"} and not has_elision(old) and not _is_stub(document, new, index)
        if line.strip() not in known and (is_dots or (_LEFT_OUT.match(line) and line not in document.lines)):
            raise refuse_edit(
                Refusal.LEFT_OUT,
                document.path,
                f"{document.path}: REPLACE of {label} leaves code out ({line.strip()[:60]!r}); write it in full",
                "To keep lines unseen, put one line `...` at the same place in SEARCH and in REPLACE."
                " Nothing was changed.",
            )


def _is_stub(document: Document, new: tuple[str, ...], index: int) -> bool:
    """Return whether `...` is a whole body, as in a Python protocol: below a header or docstring, last of its block."""
    if not document.path.endswith((".py", ".pyi")) or new[index].strip() != "...":
        return False
    before = next((line.strip() for line in reversed(new[:index]) if line.strip()), ":")
    after = next((line for line in new[index + 1 :] if line.strip()), "")
    depth = len(new[index]) - len(new[index].lstrip())
    return before.endswith((":", '"""', "'''")) and len(after) - len(after.lstrip()) < max(depth, 1)


def _find_within_line(document: Document, passage: Passage) -> Splice | None:
    """Return the change of a part of one line: only one line each, found once, at the edges of words.

    Refused (None) when the rest of the line may belong to what was looked for: a SEARCH that lost its last character
    would else leave that character behind.
    """
    if len(passage.old) != 1 or len(passage.new) > 1 or document.ends is not None:
        return None
    old = passage.old[0]
    new = passage.new[0] if passage.new else ""
    if document.haystack.count(old) != 1 or old.strip() != old or not new:
        return None
    index = document.haystack.count("\n", 0, document.haystack.index(old)) - 1
    line = document.lines[index]
    before, _, after = line.partition(old)
    if _splits_word(before, old) or _splits_word(old, after) or _is_cut(before, after, old, new):
        return None
    return Splice(index, index + 1, (before + new + after,))


def _splits_word(left: str, right: str) -> bool:
    return bool(left and right) and (left[-1].isalnum() or left[-1] == "_") and (right[0].isalnum() or right[0] == "_")


def _is_cut(before: str, after: str, old: str, new: str) -> bool:
    """Return whether REPLACE brings along what stands beside SEARCH, or closes other brackets and quotes than it."""
    tail, head = after.strip()[:1], before.strip()[-1:]
    if tail and new.rstrip().endswith(tail) and not old.endswith(tail):
        return True
    if head and new.lstrip().startswith(head) and not old.startswith(head):
        return True
    if new[:1].isspace() or any(old.count(each) % 2 != new.count(each) % 2 for each in "'\"`"):
        return True
    return any(old.count(a) - old.count(b) != new.count(a) - new.count(b) for a, b in _BRACKETS)
