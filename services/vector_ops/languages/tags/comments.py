"""Doc comments: the comments that end on the line before a definition."""

import re
from collections.abc import Iterable

_LIMIT = 300
_LINE_MARK = re.compile(r"^\s*(?:///?!?|#+|\*+/?|/\*+!?)?\s?")
_END_MARK = re.compile(r"\s*\*+/\s*$")
_TAG = re.compile(r"^\s*[@\\](?:param|return|throws|see|since|author|var|template|deprecated)\b")
_MARKUP = re.compile(r"</?(?:summary|remarks|para|p|code|see|c)\b[^>]*>|\{@\w+\s+([^}]*)\}")


class Comments:
    """The comments of a file by the row where they end; `texts` are (first row, last row, text)."""

    def __init__(self, texts: Iterable[tuple[int, int, str]]) -> None:
        self._by_end = {last: (first, text) for first, last, text in texts}

    def take(self, row: int) -> tuple[str, int]:
        """Return, once, the doc of a definition that begins at a row, and the row where that doc begins."""
        blocks: list[str] = []
        first = row
        while found := self._by_end.pop(first - 1, None):
            first = found[0]
            blocks.append(found[1])
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
