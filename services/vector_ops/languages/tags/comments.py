"""Doc comments: the comments that end on the line before a definition."""

import re
from collections.abc import Iterable

from tree_sitter import Node

_LIMIT = 300
_LINE_MARK = re.compile(r"^\s*(?:///?!?|#+|\*+/?|/\*+!?)?\s?")
_END_MARK = re.compile(r"\s*\*+/\s*$")
_TAG = re.compile(r"^\s*[@\\](?:param|return|throws|see|since|author|var|template|deprecated)\b")
_MARKUP = re.compile(r"</?(?:summary|remarks|para|p|code|see|c)\b[^>]*>|\{@\w+\s+([^}]*)\}")


class Comments:
    """The comments of a source by the row where they end; most are never asked for, so they are decoded late."""

    def __init__(self, source: bytes, nodes: Iterable[Node]) -> None:
        self._source = source
        self._by_end: dict[int, tuple[int, int, int]] = {}
        for node in nodes:
            (first, _), (last, column) = node.start_point, node.end_point
            self._by_end[last if column else last - 1] = (first, node.start_byte, node.end_byte)

    def take(self, row: int) -> tuple[str, int]:
        """Return, once, the doc of a definition that begins at a row, and the row where that doc begins."""
        blocks: list[str] = []
        first = row
        while found := self._by_end.pop(first - 1, None):
            first, start, end = found
            blocks.append(self._source[start:end].decode("utf-8", "replace"))
        return read_doc("\n".join(reversed(blocks))), first


def read_doc(text: str) -> str:
    """Return the first paragraph of a comment without its marks, at most 300 characters."""
    kept: list[str] = []
    for line in text.splitlines():
        bare = _MARKUP.sub(r"\1", _END_MARK.sub("", _LINE_MARK.sub("", line))).strip()
        if _TAG.match(bare) or (not bare and kept):
            break
        if bare:
            kept.append(bare)
    paragraph = " ".join(" ".join(kept).split())
    if len(paragraph) <= _LIMIT:
        return paragraph
    return paragraph[:_LIMIT].rpartition(" ")[0]
