"""A file in chunks: what search finds is a place of about one screen, not a file.

Chunks are consecutive and cover every line once: each function or method with its decorators and with what is nested in
it, and between them what is left of the class or of the module. Long stretches are cut.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from services.vector_ops.languages.facts import FILE, FileFacts, Symbol

MAX_CHUNK_LINES = 120
TEXT_CHUNK_LINES = 60
_FUNCTIONS = frozenset({"function", "method", "macro"})
_CONTAINERS = frozenset({"class", "interface", "trait", "struct", "enum", "module", "type"})
_MIN_UNDERLINE = 3
_UNDERLINES = frozenset((b"=", b"-", b"~", b"^", b"#", b"*"))


class Chunk(NamedTuple):
    """The lines `start_line` to `end_line`, both included; `at` is the symbol they belong to, FILE for none."""

    at: int
    start_line: int
    end_line: int


class Source(NamedTuple):
    """A content in UTF-8, the same with spaces for punctuation, and where each line starts; one more ends the last."""

    data: bytes
    words: bytes
    starts: Sequence[int]

    def find_lines(self, chunk: Chunk) -> slice:
        """Return where the lines of a chunk lie."""
        return slice(self.starts[chunk.start_line - 1], self.starts[chunk.end_line] - 1)


def cut_file(facts: FileFacts, source: Source) -> list[Chunk]:
    """Return the chunks of a file by line."""
    if not facts.symbols:
        return _cut_text(source.data.split(b"\n"))
    chunks = _cut_code(facts.symbols, len(source.starts) - 1)
    return [piece for chunk in _join_blank(chunks, source) for piece in _split(chunk)]


def _cut_code(symbols: Sequence[Symbol], line_count: int) -> list[Chunk]:
    """Lay functions over containers over the module, outermost first, and read off the runs of one owner."""
    chunks: list[Chunk] = []
    open_owners: list[tuple[int, int]] = [(FILE, line_count)]
    line = 1
    for at in _order(symbols):
        start, end = symbols[at].start_line, min(symbols[at].end_line, line_count)
        if start < line or end < start:
            continue
        line = _close(chunks, open_owners, line, start)
        if start > line:
            chunks.append(Chunk(open_owners[-1][0], line, start - 1))
        line = start
        if _is_leaf(symbols[at]):
            chunks.append(Chunk(at, start, end))
            line = end + 1
        else:
            open_owners.append((at, end))
    line = _close(chunks, open_owners, line, line_count + 1)
    return chunks


def _order(symbols: Sequence[Symbol]) -> list[int]:
    wanted = [at for at, one in enumerate(symbols) if one.kind in _FUNCTIONS or one.kind in _CONTAINERS]
    return sorted(wanted, key=lambda at: (symbols[at].start_line, -symbols[at].end_line, at))


def _is_leaf(symbol: Symbol) -> bool:
    return symbol.kind in _FUNCTIONS and symbol.end_line - symbol.start_line < MAX_CHUNK_LINES


def _close(chunks: list[Chunk], open_owners: list[tuple[int, int]], line: int, before: int) -> int:
    """End the owners that end before a line; return the first line that no chunk covers yet."""
    while open_owners and open_owners[-1][1] < before:
        owner, end = open_owners.pop()
        if end >= line:
            chunks.append(Chunk(owner, line, end))
            line = end + 1
    return line


def _join_blank(chunks: list[Chunk], source: Source) -> list[Chunk]:
    """Give stretches without a letter to the chunk before them."""
    joined: list[Chunk] = []
    for chunk in chunks:
        if joined and (joined[-1].at == chunk.at or _is_blank(source.words[source.find_lines(chunk)])):
            joined[-1] = Chunk(joined[-1].at, joined[-1].start_line, chunk.end_line)
        else:
            joined.append(chunk)
    return joined


def _is_blank(words: bytes) -> bool:
    return not words or words.isspace()


def _split(chunk: Chunk) -> list[Chunk]:
    """Cut a chunk that is too long into equal parts."""
    count = chunk.end_line - chunk.start_line + 1
    if count <= MAX_CHUNK_LINES:
        return [chunk]
    parts = -(-count // MAX_CHUNK_LINES)
    bounds = [chunk.start_line + count * part // parts for part in range(parts + 1)]
    return [Chunk(chunk.at, start, end - 1) for start, end in pairwise(bounds)]


def _cut_text(lines: Sequence[bytes]) -> list[Chunk]:
    """Cut prose at headings, at most TEXT_CHUNK_LINES lines a chunk."""
    chunks: list[Chunk] = []
    start = 1
    for number in range(2, len(lines) + 1):
        count = number - start
        if count >= TEXT_CHUNK_LINES or (count * 3 >= TEXT_CHUNK_LINES and _is_heading(lines, number)):
            chunks.append(Chunk(FILE, start, number - 1))
            start = number
    return [*chunks, Chunk(FILE, start, max(start, len(lines)))]


def _is_heading(lines: Sequence[bytes], number: int) -> bool:
    """Say whether a heading of Markdown or reStructuredText begins at this line."""
    if lines[number - 1].startswith(b"#"):
        return True
    following = lines[number] if number < len(lines) else b""
    if following[:1] not in _UNDERLINES:
        return False
    following = following.rstrip()
    return len(following) >= _MIN_UNDERLINE and len(set(following)) == 1 and bool(lines[number - 1].strip())
