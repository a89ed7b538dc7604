"""A text file as lines, and back to the same bytes: byte order mark, line ends, final newline are the file's own."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from services.edits.text_errors import Refusal, refuse_edit

MAX_FILE_BYTES = 8_000_000
_BOM = "\ufeff"
_CRLF, _LF = "\r\n", "\n"


@dataclass(frozen=True)
class Splice:
    """Put `lines` in the place of the lines from `start` up to, not including, `stop` (from 0).

    `ends` are the line ends of `lines`; None gives every line the file's usual one.
    """

    start: int
    stop: int
    lines: tuple[str, ...]
    ends: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Document:
    """Lines without their ends. `ends` is None unless the file mixes them; `is_ended`: the last line has a newline.

    Only a line feed, alone or after a carriage return, ends a line: form feeds and Unicode separators do not.
    """

    path: str
    lines: tuple[str, ...]
    newline: str = _LF
    ends: tuple[str, ...] | None = None
    is_ended: bool = True
    has_bom: bool = False

    @functools.cached_property
    def haystack(self) -> str:
        """All lines, each between two line feeds, so that whole lines are found as one substring."""
        return f"\n{_LF.join(self.lines)}\n"

    def end_of(self, index: int) -> str:
        """Return the line end that belongs near line `index`."""
        if not self.ends:
            return self.newline
        return self.ends[min(max(index, 0), len(self.ends) - 1)]

    def splice(self, splices: Sequence[Splice], *, is_ended: bool | None = None) -> bytes:
        """Return the bytes of the file with the splices applied; they must not overlap."""
        lines = list(self.lines)
        ends = list(self.ends) if self.ends is not None else None
        for each in sorted(splices, key=lambda splice: splice.start, reverse=True):
            lines[each.start : each.stop] = each.lines
            if ends is not None:
                new = each.ends if each.ends is not None else (self.end_of(each.start),) * len(each.lines)
                ends[each.start : each.stop] = new
        ended = self.is_ended if is_ended is None else is_ended
        return encode_text(self._join(lines, ends, is_ended=ended), has_bom=self.has_bom)

    def _join(self, lines: list[str], ends: list[str] | None, *, is_ended: bool) -> str:
        if not lines:
            return ""
        if ends is None:
            return self.newline.join(lines) + (self.newline if is_ended else "")
        text = "".join(line + end for line, end in zip(lines, ends, strict=True))
        return text if is_ended else text.removesuffix(ends[-1])


def open_document(path: str, content: bytes | str) -> Document:
    """Return a file as lines; raise TextEditRefusedError when it is no text or too large.

    Bytes that are no UTF-8 are kept as they are: an edit elsewhere in the file does not touch them.
    """
    if len(content) > MAX_FILE_BYTES:
        raise refuse_edit(
            Refusal.NOT_TEXT, path, f"{path} is larger than {MAX_FILE_BYTES // 1_000_000} MB: it cannot be edited here"
        )
    text = content.decode("utf-8", "surrogateescape") if isinstance(content, bytes) else content
    if "\0" in text:
        raise refuse_edit(Refusal.NOT_TEXT, path, f"{path} is a binary file: it cannot be edited as text")
    has_bom = text.startswith(_BOM)
    text = text.removeprefix(_BOM)
    if not text:
        return Document(path, (), has_bom=has_bom)
    if text.endswith(_CRLF) and text.count(_CRLF) == text.count(_LF):
        return Document(path, tuple(text[:-2].split(_CRLF)), _CRLF, has_bom=has_bom)
    lines = text.split(_LF)
    is_ended = lines[-1] == ""
    if is_ended:
        lines.pop()
    if _CRLF not in text:
        return Document(path, tuple(lines), is_ended=is_ended, has_bom=has_bom)
    return _open_crlf(path, lines, is_ended=is_ended, has_bom=has_bom)


def _open_crlf(path: str, lines: list[str], *, is_ended: bool, has_bom: bool) -> Document:
    last = len(lines) - 1
    ends = [_CRLF if line.endswith("\r") and (index < last or is_ended) else _LF for index, line in enumerate(lines)]
    bodies = tuple(line[:-1] if end == _CRLF else line for line, end in zip(lines, ends, strict=True))
    counted = ends if is_ended else ends[:-1]
    crlf = counted.count(_CRLF)
    newline = _CRLF if crlf * 2 >= len(counted) else _LF
    if not is_ended:
        ends[-1] = newline
    is_mixed = crlf != len(counted)
    return Document(path, bodies, newline, tuple(ends) if is_mixed else None, is_ended=is_ended, has_bom=has_bom)


def split_lines(text: str) -> tuple[str, ...]:
    """Return the lines of what a model wrote; the last newline may be there or not, line ends do not count."""
    plain = text.removeprefix(_BOM).replace(_CRLF, _LF)
    if not plain:
        return ()
    return tuple(plain.removesuffix(_LF).split(_LF))


def encode_text(text: str, *, has_bom: bool = False) -> bytes:
    """Return UTF-8; bytes that were none come back as they were."""
    return ((_BOM if has_bom else "") + text).encode("utf-8", "surrogateescape")


def check_writable(path: str, text: str) -> None:
    """Raise TextEditRefusedError for text that no UTF-8 file can hold: NUL or half a surrogate pair."""
    if "\0" in text:
        raise refuse_edit(Refusal.MALFORMED, path, f"{path}: the new text holds a NUL character; leave it out")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise refuse_edit(
            Refusal.MALFORMED, path, f"{path}: the new text holds half of a surrogate pair; write the character itself"
        ) from None


def number_lines(lines: Sequence[str], start: int, stop: int, marked: frozenset[int] = frozenset()) -> str:
    """Return lines `start` up to `stop` (from 0) with their numbers from 1; `marked` ones begin with `>`."""
    width = len(str(stop))
    return "\n".join(
        f"{'>' if index in marked else ' '}{index + 1:>{width}} | {_cut(lines[index])}"
        for index in range(max(start, 0), min(stop, len(lines)))
    )


def _cut(line: str, limit: int = 240) -> str:
    plain = line.encode("utf-8", "replace").decode()
    return plain if len(plain) <= limit else f"{plain[:limit]} [...]"
