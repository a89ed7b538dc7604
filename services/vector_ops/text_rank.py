"""BM25 over files: SQLite FTS5 for what is committed, the same formula here for the overlay.

Formula and constants (k1 = 1.2, b = 0.75, idf floored at 1e-6) are those of the bm25() function of FTS5, so that both
lists can be merged.
"""

import math
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.vector_ops.core.words import damped_counts
from services.vector_ops.schema import COLUMN_WEIGHTS

_K1 = 1.2
_B = 0.75
_MIN_IDF = 1e-6


@dataclass(frozen=True)
class OverlayText:
    """The terms of one uncommitted file, a dict per column, and its length in terms."""

    columns: tuple[dict[str, int], dict[str, int], dict[str, int]]
    length: int

    @classmethod
    def build(cls, path: str, symbols: Sequence[str], text: str) -> "OverlayText":
        """Count the terms of one file."""
        columns = (damped_counts(path), damped_counts(" ".join(symbols)), damped_counts(text))
        return cls(columns, sum(sum(column.values()) for column in columns))

    def weigh(self, term: str) -> float:
        """Return the weighted frequency of a term."""
        return sum(weight * column.get(term, 0) for weight, column in zip(COLUMN_WEIGHTS, self.columns, strict=True))


def rank_committed(connection: sqlite3.Connection, terms: Sequence[str], limit: int) -> list[tuple[str, float]]:
    """Return (path, score) of committed files, best first; scores are positive."""
    match = " OR ".join(f'"{term}"' for term in terms)
    weights = ", ".join(str(weight) for weight in COLUMN_WEIGHTS)
    rows = connection.execute(
        f"SELECT f.path, -bm25(text, {weights}) FROM main.text JOIN main.file f ON f.id = text.rowid"  # noqa: S608
        " WHERE text MATCH ? ORDER BY bm25(text, " + weights + ") LIMIT ?",
        (match, limit),
    )
    return [(str(path), float(score)) for path, score in rows]


def rank_overlay(
    connection: sqlite3.Connection, terms: Sequence[str], texts: Mapping[str, OverlayText]
) -> list[tuple[str, float]]:
    """Return (path, score) of the overlaid files that hold one of the terms, on the scale of `rank_committed`."""
    matching = {path: text for path, text in texts.items() if any(text.weigh(term) for term in terms)}
    if not matching:
        return []
    marks = ",".join("?" * len(terms))
    rows = connection.execute(f"SELECT term, doc FROM main.text_terms WHERE term IN ({marks})", list(terms))  # noqa: S608
    holding = {str(term): int(count) for term, count in rows}
    files = int(connection.execute("SELECT count(*) FROM main.file").fetchone()[0]) + len(texts)
    mean = sum(text.length for text in texts.values()) / len(texts)
    idf = {term: _idf(files, holding.get(term, 0) + sum(1 for t in texts.values() if t.weigh(term))) for term in terms}
    return [(path, sum(_score(text, term, mean) * idf[term] for term in terms)) for path, text in matching.items()]


def _idf(files: int, holding: int) -> float:
    return max(_MIN_IDF, math.log((files - holding + 0.5) / (holding + 0.5))) if files > holding else _MIN_IDF


def _score(text: OverlayText, term: str, mean: float) -> float:
    frequency = text.weigh(term)
    return frequency * (_K1 + 1) / (frequency + _K1 * (1 - _B + _B * text.length / max(mean, 1.0)))
