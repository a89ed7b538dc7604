"""The text that a model reads of a chunk: where it stands, then its lines."""

from hashlib import blake2b
from typing import Final, NamedTuple

from services.vector_ops.core.view import IndexView
from services.vector_ops.lexical.documents import Document

_MAX_CHARACTERS: Final = 8_000
"""Models read some hundred words; a line of a megabyte must not travel to one."""


class ChunkText(NamedTuple):
    """A text and the key of its vector: equal texts have equal keys."""

    key: bytes
    text: str


def list_chunk_texts(view: IndexView, path: str, document: Document) -> list[ChunkText]:
    """Return the texts of a file's chunks, each under a line `path qualified.name`."""
    lines = view.read_text(path).split("\n")
    names = {symbol.at: symbol.qualname for symbol in view.list_symbols(path)}
    texts = []
    places = zip(document.at.tolist(), document.start_line.tolist(), document.end_line.tolist(), strict=True)
    for at, start_line, end_line in places:
        body = "\n".join(lines[start_line - 1 : end_line])
        text = f"{path} {names.get(at, '')}\n{body}"[:_MAX_CHARACTERS]
        texts.append(ChunkText(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest(), text))
    return texts
