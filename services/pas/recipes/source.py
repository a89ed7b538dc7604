"""A tree of text files, and positions inside one text."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from services.pas.recipes.models import MAX_TEXT_CHARS, LeftAlone, Occurrence, OccurrenceKind


class SourceTree(Protocol):
    """Text files by path (relative, `/` between parts), read when asked for."""

    def paths(self) -> tuple[str, ...]:
        """Return the sorted paths of all readable text files."""
        ...

    def read(self, path: str) -> str:
        """Return the text of a file, newlines as they are, without a byte-order mark."""
        ...

    def unreadable(self, word: str) -> tuple[LeftAlone, ...]:
        """Return the files that cannot be read as text and may hold `word`, each with its reason."""
        ...


@dataclass(frozen=True)
class MemoryTree:
    """A tree held in memory: the texts by path."""

    files: dict[str, str]
    skipped: tuple[LeftAlone, ...] = field(default=())

    def paths(self) -> tuple[str, ...]:
        """Return the sorted paths."""
        return tuple(sorted(self.files))

    def read(self, path: str) -> str:
        """Return the text of `path`; KeyError when there is none."""
        return self.files[path]

    def unreadable(self, word: str) -> tuple[LeftAlone, ...]:  # noqa: ARG002 - nothing is hidden in memory
        """Return the files declared unreadable."""
        return self.skipped


@dataclass(frozen=True)
class Text:
    """A file's text addressed by UTF-8 byte offsets, which is how LibCST reports spans."""

    path: str
    content: str

    @cached_property
    def data(self) -> bytes:
        """The text as UTF-8."""
        return self.content.encode()

    @cached_property
    def _line_starts(self) -> list[int]:
        return [0, *(match.end() for match in re.finditer(rb"\r\n?|\n", self.data))]

    def place(self, offset: int) -> tuple[int, int]:
        """Return line and column, both from 1, the column in characters, of a byte offset."""
        line = bisect_right(self._line_starts, offset)
        start = self._line_starts[line - 1]
        return line, len(self.data[start:offset].decode()) + 1

    def line_text(self, line: int) -> str:
        """Return the trimmed text of a line (from 1), cut to a bounded length."""
        start = self._line_starts[line - 1]
        end = self._line_starts[line] if line < len(self._line_starts) else len(self.data)
        return self.data[start:end].decode().strip()[:MAX_TEXT_CHARS]

    def line_span(self, offset: int) -> tuple[int, int]:
        """Return the byte span of the line that holds `offset`, its newline included."""
        line = bisect_right(self._line_starts, offset)
        end = self._line_starts[line] if line < len(self._line_starts) else len(self.data)
        return self._line_starts[line - 1], end

    def occurrence(self, offset: int, kind: OccurrenceKind) -> Occurrence:
        """Return the occurrence that begins at a byte offset."""
        line, column = self.place(offset)
        return Occurrence(path=self.path, line=line, column=column, kind=kind, text=self.line_text(line))

    def words(self, name: str) -> list[int]:
        """Return the byte offsets where `name` stands as a whole word."""
        if name not in self.content:
            return []
        found = re.finditer(rf"(?<!\w){re.escape(name)}(?!\w)", self.content)
        if self.content.isascii():
            return [match.start() for match in found]
        return [len(self.content[: match.start()].encode()) for match in found]

    def replace(self, edits: dict[int, tuple[int, str]]) -> str:
        """Return the text with each edit (byte offset -> length and new text) applied; edits do not overlap."""
        parts: list[bytes] = []
        position = 0
        for offset in sorted(edits):
            length, new = edits[offset]
            parts += [self.data[position:offset], new.encode()]
            position = offset + length
        parts.append(self.data[position:])
        return b"".join(parts).decode()
