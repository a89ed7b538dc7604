"""Scores to places: weighted sums of signals, and the best files and functions with their symbols."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.vector_ops.core.view import IndexView, SymbolRow
from services.vector_ops.languages.facts import FILE
from services.vector_ops.lexical.arrays import Corpus, Scores
from services.vector_ops.retrieval.question import Route

_FUNCTIONS = frozenset({"function", "method"})
_NESTED_SHARE: Final = 0.9
"""Of its function's score a function nested in it gets so much: it answers too, a little less surely."""
_NESTED_LINES: Final = 5
_MAX_NESTED: Final = 2


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
        symbols = self._list(path)
        return symbols[at] if at < len(symbols) else None

    def find_nested(self, path: str, at: int, start_line: int, end_line: int) -> list[int]:
        """Return the longest functions within these lines of a function, at most _MAX_NESTED, by place in the file."""
        outer = self.find(path, at)
        if outer is None or outer.kind not in _FUNCTIONS:
            return []
        within = (one for one in self._list(path) if start_line <= one.start_line and one.end_line <= end_line)
        inside = [
            one for one in within if one.at != at and one.kind in _FUNCTIONS and _count_lines(one) >= _NESTED_LINES
        ]
        return [one.at for one in sorted(inside, key=lambda one: (-_count_lines(one), one.at))][:_MAX_NESTED]

    def _list(self, path: str) -> list[SymbolRow]:
        if path not in self._symbols:
            self._symbols[path] = self._view.list_symbols(path)
        return self._symbols[path]


def _count_lines(symbol: SymbolRow) -> int:
    return symbol.end_line - symbol.start_line + 1


class Weighed(NamedTuple):
    """Summands by signal, and their sum."""

    parts: Mapping[str, Scores]
    total: Scores


class Answer(NamedTuple):
    """A symbol (its place in its file), the chunk it is found by, and how much of that chunk's score it gets."""

    chunk: int
    at: int
    share: float


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
        answer = Answer(chunk, int(corpus.at[chunk]), 1.0)
        yield _place(symbols, corpus, answer, float(files.total[file]), _parts_of(files, file))


def list_functions(symbols: SymbolReader, corpus: Corpus, functions: Weighed, limit: int) -> Iterable[RankedPlace]:
    """Yield the best functions and classes, each once."""
    scores = np.where(corpus.at != FILE, functions.total, 0.0)
    chunks = _sort_ties(_take_best(scores, 4 * limit), scores, corpus, corpus.chunk_file.tolist())
    for answer in list_answers(symbols, corpus, scores, chunks, limit):
        score = answer.share * float(scores[answer.chunk])
        parts = _parts_of(functions, answer.chunk, answer.share)
        yield _place(symbols, corpus, answer, score, parts)


def list_answers(
    symbols: SymbolReader, corpus: Corpus, scores: Scores, chunks: Iterable[int], limit: int
) -> list[Answer]:
    """Return the symbols that some chunks, best first, stand for, each once, and the functions nested in them."""
    best: dict[tuple[int, int], Answer] = {}
    for chunk in chunks:
        at = int(corpus.at[chunk])
        best.setdefault((int(corpus.chunk_file[chunk]), at), Answer(chunk, at, 1.0))
        if len(best) >= limit:
            break
    for (file, at), answer in list(best.items()):
        lines = int(corpus.start_line[answer.chunk]), int(corpus.end_line[answer.chunk])
        for nested in symbols.find_nested(corpus.paths[file], at, *lines):
            best.setdefault((file, nested), Answer(answer.chunk, nested, _NESTED_SHARE))
    return sorted(best.values(), key=lambda one: -one.share * scores[one.chunk])[:limit]


def _parts_of(weighed: Weighed, item: int, share: float = 1.0) -> dict[str, float]:
    return {name: round(share * float(part[item]), 4) for name, part in weighed.parts.items() if part[item] > 0}


def _place(
    symbols: SymbolReader, corpus: Corpus, answer: Answer, score: float, parts: Mapping[str, float]
) -> RankedPlace:
    chunk, at = answer.chunk, answer.at
    path = corpus.paths[corpus.chunk_file[chunk]]
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
