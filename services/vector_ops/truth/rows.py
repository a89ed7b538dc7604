"""Rows of the tables, made from facts."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from services.vector_ops.languages.facts import split_owner
from services.vector_ops.languages.world import Edge
from services.vector_ops.truth.outline import Outline
from services.vector_ops.truth.questions import hash_questions
from services.vector_ops.truth.schema import ROW_BITS, ROW_MASK

SYMBOL_VALUES = "(?,?,?,?,?,?,?,?,?,?,?,?,?)"
EDGE_VALUES = "(?,?,?,?,?,?,?)"

Row = tuple[Any, ...]


FindId = Callable[[str, int], int | None]
"""Returns the stable id of the symbol of a path at a place (FILE: the file's own); None when there is none."""


def row_range(file_id: int) -> tuple[int, int]:
    """Return the first and the last possible row number of a file's symbols or edges."""
    return file_id << ROW_BITS, (file_id << ROW_BITS) | ROW_MASK


def symbol_rows(file_id: int, path: str, outline: Outline, ids: Sequence[int], *, is_test: bool) -> Iterator[Row]:
    """Yield the rows of a file's symbols, its own first."""
    row = file_id << ROW_BITS
    yield (row, ids[-1], path, "", path, "file", 1, 1, 1, 1, "", "", is_test)
    for symbol in outline.facts.symbols:
        row += 1
        yield (
            row,
            ids[(row & ROW_MASK) - 1],
            symbol.name,
            split_owner(symbol.qualname),
            symbol.qualname,
            symbol.kind,
            symbol.line,
            symbol.column,
            symbol.start_line,
            symbol.end_line,
            symbol.signature,
            symbol.doc,
            symbol.is_test,
        )


def edge_rows(file_id: int, path: str, edges: Iterable[Edge], find_id: FindId) -> Iterator[Row]:
    """Yield the rows of a file's edges; one whose end is not in the index is left out."""
    row = file_id << ROW_BITS
    for source, target_path, target_at, kind, tier, line, column in edges:
        source_id, target_id = find_id(path, source), find_id(target_path, target_at)
        if source_id is not None and target_id is not None:
            yield (row, source_id, target_id, int(kind), int(tier), line, column)
            row += 1


def pack_questions(family: str, questions: Iterable[str]) -> bytes:
    """Return the sorted hashes of questions as bytes."""
    hashes = hash_questions(family, questions)
    packed = np.fromiter(hashes, np.uint32, len(hashes))
    packed.sort()
    return packed.tobytes()
