"""Rows of the tables, made from facts."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, count
from typing import Any, NamedTuple

import numpy as np

from services.vector_ops.languages.facts import split_owner
from services.vector_ops.languages.world import Edge
from services.vector_ops.truth.outline import Outline
from services.vector_ops.truth.questions import hash_questions
from services.vector_ops.truth.schema import ROW_BITS, ROW_MASK

SYMBOL_VALUES = "(?,?,?,?,?,?,?,?,?,?,?,?,?)"
SYMBOL_DETAILS = (
    "qualname = ?, kind = ?, line = ?, col = ?, start_line = ?, end_line = ?, signature = ?, doc = ?, is_test = ?"
)
"""The columns of a symbol that no index has."""

EDGE_VALUES = "(?,?,?,?,?,?,?)"

Row = tuple[Any, ...]


FindId = Callable[[str, int], int | None]
"""Returns the stable id of the symbol of a path at a place (FILE: the file's own); None when there is none."""


def row_range(file_id: int) -> tuple[int, int]:
    """Return the first and the last possible row number of a file's symbols or edges."""
    return file_id << ROW_BITS, (file_id << ROW_BITS) | ROW_MASK


def symbol_rows(
    file_id: int, path: str, outline: Outline, *, is_test: bool, ids: Sequence[int] | None = None
) -> Iterator[Row]:
    """Yield the rows of a file's symbols, its own first; `ids` as `Outline.ids` gives them, if they are known."""
    ids = outline.ids(path) if ids is None else ids
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
    sources: dict[int, int | None] = {}
    for source, target_path, target_at, kind, tier, line, column in edges:
        source_id = sources.get(source)
        if source_id is None:
            source_id = sources[source] = find_id(path, source)
        target_id = find_id(target_path, target_at)
        if source_id is not None and target_id is not None:
            yield (row, source_id, target_id, int(kind), int(tier), line, column)
            row += 1


class SymbolChanges(NamedTuple):
    """What turns the rows of a file's symbols into others: row numbers, SYMBOL_DETAILS and row number, whole rows."""

    gone: list[tuple[int]]
    altered: list[Row]
    added: list[Row]


def compare_symbols(old: Sequence[Row], new: Sequence[Row]) -> SymbolChanges:
    """Return how to come from the old rows to the new; those whose names are the same keep their index entries."""
    altered, added = [], list(new[len(old) :])
    for before, row in zip(old, new, strict=False):
        if before[1:4] != row[1:4]:
            added.append(row)
        elif before != row:
            altered.append((*row[4:], row[0]))
    return SymbolChanges([row[:1] for row in old[len(new) :]], altered, added)


class EdgeChanges(NamedTuple):
    """What turns the rows of a file's edges into others: row numbers, (line, column, row number), whole rows."""

    gone: list[tuple[int]]
    moved: list[tuple[int, int, int]]
    added: list[Row]


def compare_edges(old: Sequence[Row], new: Sequence[Row]) -> EdgeChanges:
    """Return how to come from the old rows to the new edges, which get other row numbers than they have now.

    An edge that differs in its position at most keeps its row, and so its entries in the indexes: those lie scattered,
    and to write them anew for each line that is added above would be most of the work.
    """
    known: dict[Row, list[Row]] = defaultdict(list)
    for row in reversed(old):
        known[row[1:5]].append(row)
    moved, others = [], []
    for row in new:
        same = known.get(row[1:5])
        if not same:
            others.append(row)
        elif (before := same.pop())[5:] != row[5:]:
            moved.append((row[5], row[6], before[0]))
    gone = [row[0] for rows in known.values() for row in rows]
    after = max((row[0] for row in old), default=new[0][0] - 1 if new else 0)
    numbers = chain(gone, count(after + 1))
    added = [(next(numbers), *row[1:]) for row in others]
    return EdgeChanges([(row,) for row in gone[len(others) :]], moved, added)


def pack_questions(family: str, questions: Iterable[str]) -> bytes:
    """Return the sorted hashes of questions as bytes."""
    hashes = hash_questions(family, questions)
    packed = np.fromiter(hashes, np.uint32, len(hashes))
    packed.sort()
    return packed.tobytes()
