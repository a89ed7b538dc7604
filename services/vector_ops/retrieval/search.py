"""Search: which files and which functions a question is about, by structure and words, with vectors where they help.

Every signal is divided by its best score, weighed, and added up; tests, examples and documentation count less unless
the question asks for them (ADR-0020). Nothing here starts a model.
"""

import threading
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from services.vector_ops.core.view import IndexView
from services.vector_ops.history.past import Past
from services.vector_ops.lexical.arrays import Corpus, LexicalArrays, Scores
from services.vector_ops.retrieval.evidence import Evidence, gather_evidence, hand_down
from services.vector_ops.retrieval.merging import merge_places
from services.vector_ops.retrieval.naming import find_named
from services.vector_ops.retrieval.path_kinds import PathKind, classify_path
from services.vector_ops.retrieval.places import PathIndex
from services.vector_ops.retrieval.question import Question, Route, parse_question
from services.vector_ops.retrieval.ranked import (
    Ranking,
    SymbolReader,
    Weighed,
    list_files,
    list_functions,
    name_first,
    weigh,
)
from services.vector_ops.retrieval.weights import Scoring, load_scoring

_DENSE_CANDIDATES = 200
_DENSE_FLOOR = 0.65


class Dense(Protocol):
    """Vectors of chunks."""

    def rank_chunks(self, view: IndexView, text: str, count: int) -> Sequence[tuple[str, int, int, float]]:
        """Return the `count` nearest chunks, best first: path, first line, last line, score."""
        ...


class Gathered(NamedTuple):
    """One question over one corpus: its signals, and how much each file counts at all (0: it is gone)."""

    corpus: Corpus
    question: Question
    evidence: Evidence
    demotion: Scores


class _Prepared:
    """What is derived from one corpus once, for all questions until it changes."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self.index = PathIndex(corpus.paths, corpus.is_alive.tolist())
        self.kinds = np.array([_KINDS.index(classify_path(path)) for path in corpus.paths], np.int64)
        self.file_of = {path: file for file, path in enumerate(corpus.paths) if corpus.is_alive[file]}
        self._chunk_of: dict[tuple[int, int], int] | None = None

    def find_chunk(self, path: str, start_line: int) -> int | None:
        """Return the chunk of a file that begins at a line."""
        if self._chunk_of is None:
            pairs = zip(self.corpus.chunk_file.tolist(), self.corpus.start_line.tolist(), strict=True)
            self._chunk_of = {pair: chunk for chunk, pair in enumerate(pairs)}
        return self._chunk_of.get((self.file_of.get(path, -1), start_line))


_KINDS = tuple(PathKind)


class Searcher:
    """Answers questions over views of one repository; keeps its arrays level with them. Safe for many threads."""

    def __init__(self, scoring: Scoring | None = None) -> None:
        self._scoring = scoring or load_scoring()
        self._arrays = LexicalArrays()
        self._prepared: _Prepared | None = None
        self._lock = threading.Lock()

    def prepare(self, view: IndexView) -> None:
        """Bring the arrays level with a view, so that the next question finds them so."""
        self._prepare(view)

    def search(
        self, view: IndexView, text: str, *, past: Past | None = None, dense: Dense | None = None, limit: int = 50
    ) -> Ranking:
        """Return the places that a text is about, at most `limit` files and as many functions; any text will do."""
        found = self.gather(view, text, past=past, dense=dense)
        corpus, question = found.corpus, found.question
        files, functions = self._weigh(found)
        symbols = SymbolReader(view)
        ranked = Ranking(
            question.route,
            tuple(list_files(symbols, corpus, files, functions, limit)),
            tuple(list_functions(symbols, corpus, functions, limit)),
        )
        if question.route is Route.NAME:
            ranked = name_first(ranked, find_named(view, text, limit), limit)
        return ranked._replace(places=merge_places(view, ranked, limit))

    def gather(self, view: IndexView, text: str, *, past: Past | None = None, dense: Dense | None = None) -> Gathered:
        """Return what speaks for each place, before it is weighed: what `search` starts from, and evaluation too."""
        prepared = self._prepare(view)
        question = parse_question(text, self._scoring.zones)
        evidence = gather_evidence(prepared.corpus, prepared.index, question, self._scoring)
        evidence = _add_past(evidence, prepared, question, past)
        if dense is not None and "dense" in self._scoring.routes[question.route].functions:
            evidence = _add_dense(evidence, prepared, dense.rank_chunks(view, text, _DENSE_CANDIDATES))
        return Gathered(prepared.corpus, question, evidence, self._demote(prepared, question))

    def _prepare(self, view: IndexView) -> _Prepared:
        with self._lock:
            corpus = self._arrays.sync(view)
            if self._prepared is None or self._prepared.corpus is not corpus:
                self._prepared = _Prepared(corpus)
            return self._prepared

    def _weigh(self, found: Gathered) -> tuple[Weighed, Weighed]:
        route = self._scoring.routes[found.question.route]
        files = weigh(found.evidence.files, route.files, found.demotion)
        chunks = hand_down(found.evidence, found.corpus, files.total)
        return files, weigh(chunks, route.functions, found.demotion[found.corpus.chunk_file])

    def _demote(self, prepared: _Prepared, question: Question) -> Scores:
        kinds = dict(self._scoring.kinds)
        if question.wants_tests:
            kinds[PathKind.TEST] = kinds[PathKind.CODE]
        if question.wants_docs:
            kinds[PathKind.DOCS] = kinds[PathKind.CODE]
        factors = np.array([kinds[kind] for kind in _KINDS])[prepared.kinds]
        demotion: Scores = factors * prepared.corpus.is_alive
        return demotion


def _add_past(evidence: Evidence, prepared: _Prepared, question: Question, past: Past | None) -> Evidence:
    if past is None or not past.commit_count:
        return evidence
    files = [prepared.file_of.get(path, -1) for path in past.paths]
    places = np.array(files, np.int64)
    is_there = places >= 0
    signals = {}
    for name, scores in (
        ("recency", past.rank_recency()),
        ("messages", past.rank_words(question.terms, question.boosts)),
    ):
        signals[name] = np.zeros(len(prepared.corpus.paths))
        signals[name][places[is_there]] = scores[is_there]
    # A file that nothing in the question points at is not an answer because it changed lately.
    pointed_at = np.sum([*evidence.files.values(), signals["messages"]], axis=0) > 0
    signals["recency"] *= pointed_at
    return Evidence({**evidence.files, **signals}, evidence.chunks)


def _add_dense(evidence: Evidence, prepared: _Prepared, found: Iterable[tuple[str, int, int, float]]) -> Evidence:
    """Add how near vectors are above the floor: in a small repository the nearest soon have nothing to do with it."""
    scores = np.zeros(len(prepared.corpus.chunk_file))
    near = list(found)
    floor = _DENSE_FLOOR * max((score for *_place, score in near), default=0.0)
    for path, start_line, _end_line, score in near:
        chunk = prepared.find_chunk(path, start_line)
        if chunk is not None:
            scores[chunk] = max(scores[chunk], score - floor)
    return Evidence(
        {**evidence.files, "dense": prepared.corpus.best_of_file(scores)}, {**evidence.chunks, "dense": scores}
    )
