"""Unified diffs as a model writes them: git's and plain ones, whose counts and line numbers may be wrong."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum

from services.edits.text_errors import Refusal, TextEditRefusedError, refuse_edit

MAX_DIFF_CHARS = 4_000_000
_HUNK = re.compile(r"@@(?: -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))?)?(?: ?\.\.\.)?(?: @@.*| ?)$")
_BARE_HUNK = re.compile(r"@@.*@@|@@\s*$")
_QUOTED = re.compile(r'\\(?:([0-7]{3})|(["\\abfnrtv]))')
_ESCAPES = {'"': '"', "\\": "\\", "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_NULL = "/dev/null"
_OLD_NAMES = ("--- a/", "--- /dev/null", '--- "a/')
_NEW_NAMES = ("+++ b/", "+++ /dev/null", '+++ "b/')
_PLAIN_MODE = "100644"
_IGNORED = ("index ", "similarity index", "dissimilarity index", "Index:", "=====")


class Mark(StrEnum):
    """What a line of a hunk is."""

    KEEP = " "
    DROP = "-"
    ADD = "+"


@dataclass(frozen=True)
class Hunk:
    """One hunk: its lines, and where its header says that it begins (None when it does not).

    `old_count` is the header's own count. `old_ended` and `new_ended` are False when a side's last line is marked to
    have no newline.
    """

    lines: tuple[tuple[Mark, str], ...]
    stated_line: int | None
    old_count: int | None
    old_ended: bool = True
    new_ended: bool = True

    @property
    def old(self) -> tuple[str, ...]:
        """Return the lines that the file must have."""
        return tuple(text for mark, text in self.lines if mark is not Mark.ADD)

    @property
    def new(self) -> tuple[str, ...]:
        """Return the lines that come in their place."""
        return tuple(text for mark, text in self.lines if mark is not Mark.DROP)


@dataclass(frozen=True)
class FilePatch:
    """What a diff does to one file. No `old_path`: the file is new; no `new_path`: it goes; different ones: renamed."""

    old_path: str | None
    new_path: str | None
    hunks: tuple[Hunk, ...]

    @property
    def paths(self) -> tuple[str, ...]:
        """Return the paths it names."""
        return tuple(path for path in (self.old_path, self.new_path) if path is not None)

    def moved(self, old_path: str | None, new_path: str | None) -> "FilePatch":
        """Return the same patch with canonical paths."""
        return replace(self, old_path=old_path, new_path=new_path)


def parse_diff(text: str) -> tuple[FilePatch, ...]:
    """Return the files' patches; raise TextEditRefusedError for what is no unified diff, naming the line."""
    if len(text) > MAX_DIFF_CHARS:
        raise _malformed(0, "the diff is too long; send it in parts")
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    if any(line.startswith("*** Begin Patch") for line in lines):
        raise _malformed(0, "this is no unified diff; write `--- a/path`, `+++ b/path`, then hunks that begin with @@")
    parser = _Parser(_strip_fence(lines))
    patches = parser.parse()
    if not patches:
        raise _malformed(0, "no file header was found; write `--- a/path`, `+++ b/path`, then hunks that begin with @@")
    return patches


def _malformed(number: int, what: str) -> TextEditRefusedError:
    where = f"diff line {number}: " if number else "diff: "
    return refuse_edit(Refusal.MALFORMED, "", where + what, "Nothing was changed.")


def _strip_fence(lines: list[str]) -> list[str]:
    """Blank a Markdown fence around the diff, so that line numbers stay."""
    filled = [index for index, line in enumerate(lines) if line.strip()]
    if len(filled) > 1 and lines[filled[0]].startswith("```") and lines[filled[-1]].strip() == "```":
        lines = lines.copy()
        lines[filled[0]] = lines[filled[-1]] = ""
    return lines


@dataclass
class _Draft:
    """A file's patch while it is being read."""

    number: int
    is_git: bool
    old: str | None = None
    new: str | None = None
    has_names: bool = False
    is_new: bool = False
    is_deleted: bool = False
    renamed: list[str] = field(default_factory=list)
    hunks: list[Hunk] = field(default_factory=list)


class _Parser:
    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self._at = 0
        self._drafts: list[_Draft] = []

    def parse(self) -> tuple[FilePatch, ...]:
        while self._at < len(self._lines):
            self._read_line(self._lines[self._at])
        return tuple(_finish(draft) for draft in self._drafts)

    def _read_line(self, line: str) -> None:
        if line.startswith("diff --git "):
            self._drafts.append(_start_git(line, self._at + 1))
        elif self._is_names(self._at):
            self._read_names()
        elif line.startswith("@@"):
            self._read_hunk(line)
            return
        elif self._drafts and self._drafts[-1].is_git and not self._drafts[-1].hunks:
            _read_extended(self._drafts[-1], line, self._at + 1)
        elif line.strip() and self._drafts and not line.startswith(_IGNORED):
            raise _malformed(self._at + 1, f"{line[:60]!r} belongs to no hunk; hunks begin with @@")
        self._at += 1

    def _is_names(self, at: int) -> bool:
        return (
            at + 1 < len(self._lines) and self._lines[at].startswith("--- ") and self._lines[at + 1].startswith("+++ ")
        )

    def _read_names(self) -> None:
        old, new = _read_name(self._lines[self._at]), _read_name(self._lines[self._at + 1])
        draft = self._drafts[-1] if self._drafts else None
        if draft is None or not draft.is_git or draft.has_names or draft.hunks:
            draft = _Draft(self._at + 1, is_git=False)
            self._drafts.append(draft)
        draft.has_names = True
        draft.old, draft.new = _strip_prefixes(old, new)
        self._at += 1

    def _read_hunk(self, head: str) -> None:
        if not self._drafts:
            raise _malformed(self._at + 1, "a hunk comes before any file header; write `--- a/path` and `+++ b/path`")
        match = _HUNK.match(head)
        if match is None and not _BARE_HUNK.match(head):
            raise _malformed(self._at + 1, f"{head[:60]!r} is no hunk header; write @@ -start,count +start,count @@")
        start = int(match[1]) if match is not None and match[1] is not None else None
        count = int(match[2]) if match is not None and match[2] is not None else None
        if start is not None and count is None:
            count = 1
        number = self._at + 1
        self._at += 1
        self._drafts[-1].hunks.append(self._read_body(number, start, count))

    def _read_body(self, number: int, start: int | None, count: int | None) -> Hunk:
        lines: list[tuple[Mark, str]] = []
        unended: set[Mark] = set()
        while self._at < len(self._lines) and not self._ends_hunk(lines, count):
            line = self._lines[self._at]
            if line.startswith("\\"):
                if lines:
                    unended.add(lines[-1][0])
            elif not line:
                lines.append((Mark.KEEP, ""))  # a blank context line that lost its space
            elif line[0] in " -+":
                lines.append((Mark(line[0]), line[1:]))
            else:
                raise _malformed(self._at + 1, f"{line[:60]!r} begins with neither space, + nor -; mark every line")
            self._at += 1
        while lines and lines[-1] == (Mark.KEEP, "") and not self._lines[self._at - 1]:
            lines.pop()
            self._at -= 1
        self._at = self._skip_blank(self._at)
        if not any(mark is not Mark.KEEP for mark, _ in lines):
            raise _malformed(number, "the hunk adds and removes nothing")
        both = Mark.KEEP in unended
        return Hunk(
            tuple(lines),
            start,
            count,
            old_ended=not (both or Mark.DROP in unended),
            new_ended=not (both or Mark.ADD in unended),
        )

    def _skip_blank(self, at: int) -> int:
        while at < len(self._lines) and not self._lines[at]:
            at += 1
        return at

    def _ends_hunk(self, lines: list[tuple[Mark, str]], count: int | None) -> bool:
        line = self._lines[self._at]
        if line.startswith(("@@", "diff --git ", *_IGNORED)):
            return True
        following = self._lines[self._at + 2] if self._at + 2 < len(self._lines) else ""
        if not self._is_names(self._at) or not following.startswith("@@"):
            return False
        # `--- x` and `+++ y` may also remove `-- x` and add `++ y`: git's prefixes or the header's count tell.
        taken = sum(1 for mark, _ in lines if mark is not Mark.ADD)
        is_prefixed = line.startswith(_OLD_NAMES) and self._lines[self._at + 1].startswith(_NEW_NAMES)
        return is_prefixed or count is None or taken >= count


def _start_git(line: str, number: int) -> _Draft:
    draft = _Draft(number, is_git=True)
    match = re.fullmatch(r'diff --git (?:a/(.+) b/\1|"?a/.+)', line)
    if match is not None and match[1] is not None:
        draft.old = draft.new = match[1]
    return draft


def _read_extended(draft: _Draft, line: str, number: int) -> None:
    """Read one of git's own header lines."""
    for prefix, read in _EXTENDED:
        if line.startswith(prefix):
            read(draft, line.removeprefix(prefix), number)
            return
    if line.strip() and not line.startswith(_IGNORED):
        raise _malformed(number, f"{line[:60]!r} is no header of a diff that is served here")


def _take_new(draft: _Draft, mode: str, number: int) -> None:
    if mode.strip() != _PLAIN_MODE:
        raise _malformed(number, f"new files are plain ones (mode {_PLAIN_MODE}), not {mode.strip()!r}")
    draft.is_new = True


def _take_deleted(draft: _Draft, _mode: str, _number: int) -> None:
    draft.is_deleted = True


def _take_rename(draft: _Draft, name: str, _number: int) -> None:
    draft.renamed.append(_unquote(name))


def _refuse(what: str) -> Callable[[_Draft, str, int], None]:
    def refuse(_draft: _Draft, _rest: str, number: int) -> None:
        raise _malformed(number, what)

    return refuse


_EXTENDED: tuple[tuple[str, Callable[[_Draft, str, int], None]], ...] = (
    ("new file mode ", _take_new),
    ("deleted file mode ", _take_deleted),
    ("rename from ", _take_rename),
    ("rename to ", _take_rename),
    ("copy ", _refuse("copies are not served; create the new file with its whole text")),
    ("old mode ", _refuse("file modes cannot be changed here")),
    ("new mode ", _refuse("file modes cannot be changed here")),
    ("Binary files ", _refuse("binary files cannot be changed here")),
    ("GIT binary patch", _refuse("binary files cannot be changed here")),
)


def _read_name(line: str) -> str:
    name = line[4:]
    return _unquote(name) if name.startswith('"') else name.partition("\t")[0].rstrip()


def _unquote(name: str) -> str:
    """Return a name that git wrote in quotes, with its octal bytes as UTF-8."""
    plain = name.strip()
    if not (plain.startswith('"') and '"' in plain[1:]):
        return plain
    body = plain[1 : plain.rindex('"')]

    def read(match: re.Match[str]) -> bytes:
        return bytes([int(match[1], 8)]) if match[1] else _ESCAPES[match[2]].encode()

    parts, last = [], 0
    for match in _QUOTED.finditer(body):
        parts += [body[last : match.start()].encode(), read(match)]
        last = match.end()
    parts.append(body[last:].encode())
    return b"".join(parts).decode("utf-8", "surrogateescape")


def _strip_prefixes(old: str, new: str) -> tuple[str | None, str | None]:
    """Return both names without git's `a/` and `b/`, which they carry together or not at all; None is /dev/null."""
    is_prefixed = (old == _NULL or old.startswith("a/")) and (new == _NULL or new.startswith("b/"))
    cut = 2 if is_prefixed else 0
    return (None if old == _NULL else old[cut:]), (None if new == _NULL else new[cut:])


def _finish(draft: _Draft) -> FilePatch:
    old, new = draft.old, draft.new
    if draft.renamed:
        if len(draft.renamed) != 2:  # noqa: PLR2004 - from and to
            raise _malformed(draft.number, "a rename needs both `rename from` and `rename to`")
        return FilePatch(draft.renamed[0], draft.renamed[1], tuple(draft.hunks))
    if draft.is_new:
        old = None
    if draft.is_deleted:
        new = None
    if old is None and new is None:
        raise _malformed(draft.number, "the diff names no file; write `--- a/path` and `+++ b/path`")
    if old is not None and new is not None and old != new:
        raise _malformed(
            draft.number, f"{old} and {new} are different files; to rename one, write `rename from` and `rename to`"
        )
    return FilePatch(old, new, tuple(draft.hunks))
