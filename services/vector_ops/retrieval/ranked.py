"""Scores to places: weighted sums of signals, and the best files and functions with their symbols."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.vector_ops.core.view import IndexView, SymbolRow
from services.vector_ops.languages.facts import FILE
from services.vector_ops.lexical.arrays import Corpus, Scores
from services.vector_ops.retrieval.question import Route


class RankedPlace(NamedTuple):
    """A place that answers, best first; `parts` are the summands of `score` by signal.

    `symbol` is the definition that the place is about: for a file its best one, or None when the words stand outside
    any definition.
    """

    path: str
    line: int
    end_line: int
    symbol: SymbolRow | None
    score: float
    parts: Mapping[str, float]


class Ranking(NamedTuple):
    """The answer to one question: files, and functions and classes, each best first; `places` is both in one list."""

    route: Route
    files: tuple[RankedPlace, ...]
    functions: tuple[RankedPlace, ...]
    places: tuple[RankedPlace, ...] = ()


class SymbolReader:
    """The symbols of the files that one answer mentions, each file read once."""

    def __init__(self, view: IndexView) -> None:
        self._view = view
        self._symbols: dict[str, list[SymbolRow]] = {}

    def find(self, path: str, at: int) -> SymbolRow | None:
        """Return a symbol by its place in its file."""
        if at == FILE:
            return None
        if path not in self._symbols:
            self._symbols[path] = self._view.list_symbols(path)
        symbols = self._symbols[path]
        return symbols[at] if at < len(symbols) else None


class Weighed(NamedTuple):
    """Summands by signal, and their sum."""

    parts: Mapping[str, Scores]
    total: Scores


def weigh(signals: Mapping[str, Scores], weights: Mapping[str, float], factor: Scores) -> Weighed:
    """Return the weighted sum of the signals, each divided by its greatest value, times a factor per place."""
    parts: dict[str, Scores] = {}
    total = np.zeros(len(factor))
    for name, weight in weights.items():
        signal = signals.get(name)
        greatest = float((signal * (factor > 0)).max()) if signal is not None and len(signal) else 0.0
        if signal is not None and greatest > 0:
            parts[name] = signal * factor * (weight / greatest)
            total += parts[name]
    return Weighed(parts, total)


def _take_best(scores: Scores, count: int) -> list[int]:
    """Return the indexes of the greatest positive scores, best first, equal ones as they stand."""
    if count < len(scores):
        floor = np.partition(scores, -count)[-count]
        candidates = np.flatnonzero((scores >= floor) & (scores > 0))
    else:
        candidates = np.flatnonzero(scores > 0)
    order: NDArray[np.intp] = np.argsort(-scores[candidates], kind="stable")
    found: list[int] = candidates[order].tolist()
    return found


def _sort_ties(items: list[int], scores: Scores, corpus: Corpus, files: Sequence[int] | None = None) -> list[int]:
    """Order by score, then by path and place, so that the order does not depend on how the arrays came to be."""
    of = files if files is not None else range(len(corpus.paths))
    return sorted(items, key=lambda item: (-scores[item], corpus.paths[of[item]], item))


def list_files(
    symbols: SymbolReader, corpus: Corpus, files: Weighed, functions: Weighed, limit: int
) -> Iterable[RankedPlace]:
    """Yield the best files, each at its best chunk."""
    best = _sort_ties(_take_best(files.total, limit), files.total, corpus)[:limit]
    for file in best:
        begin, end = np.searchsorted(corpus.chunk_file, (file, file + 1)).tolist()
        chunk = begin + int(np.argmax(functions.total[begin:end]))
        yield _place(symbols, corpus, chunk, float(files.total[file]), _parts_of(files, file))


def list_functions(symbols: SymbolReader, corpus: Corpus, functions: Weighed, limit: int) -> Iterable[RankedPlace]:
    """Yield the best functions and classes, each once."""
    scores = np.where(corpus.at != FILE, functions.total, 0.0)
    chunks = _sort_ties(_take_best(scores, 4 * limit), scores, corpus, corpus.chunk_file.tolist())
    seen: set[tuple[int, int]] = set()
    for chunk in chunks:
        key = int(corpus.chunk_file[chunk]), int(corpus.at[chunk])
        if key not in seen and len(seen) < limit:
            seen.add(key)
            yield _place(symbols, corpus, chunk, float(scores[chunk]), _parts_of(functions, chunk))


def _parts_of(weighed: Weighed, item: int) -> dict[str, float]:
    return {name: round(float(part[item]), 4) for name, part in weighed.parts.items() if part[item] > 0}


def _place(symbols: SymbolReader, corpus: Corpus, chunk: int, score: float, parts: Mapping[str, float]) -> RankedPlace:
    path, at = corpus.paths[corpus.chunk_file[chunk]], int(corpus.at[chunk])
    symbol = symbols.find(path, at)
    start, end = int(corpus.start_line[chunk]), int(corpus.end_line[chunk])
    if symbol is not None:
        start, end = symbol.start_line, symbol.end_line
    return RankedPlace(path, start, end, symbol, round(score, 4), parts)


def name_first(ranked: Ranking, rows: Sequence[SymbolRow], limit: int) -> Ranking:
    """Return the ranking with the definitions of a name ahead of what words alone found."""
    named = [
        RankedPlace(row.path, row.start_line, row.end_line, row, round(2 - index / max(len(rows), 1), 4), {"name": 1.0})
        for index, row in enumerate(rows)
    ]
    ids = {row.id for row in rows}
    first_of_path = {place.path: place for place in reversed(named)}
    heads = sorted(first_of_path.values(), key=lambda place: (-place.score, place.path))
    files = (*heads, *(place for place in ranked.files if place.path not in first_of_path))
    functions = (*named, *(place for place in ranked.functions if place.symbol is None or place.symbol.id not in ids))
    return Ranking(ranked.route, files[:limit], functions[:limit])
