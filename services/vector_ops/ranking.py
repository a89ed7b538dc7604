"""What ranks by words, vectors and history, over one view; provisional until retrieval lands."""

import numpy as np

from services.vector_ops.answers.meaning import find_meaning
from services.vector_ops.answers.packing import Piece, Theme
from services.vector_ops.answers.places import SCORES, TIERS, Lines
from services.vector_ops.core.view import IndexView, SymbolRow
from services.vector_ops.core.words import query_terms
from services.vector_ops.graph.local import ViewGraph
from services.vector_ops.history.history import History
from services.vector_ops.languages.world import EdgeKind
from services.vector_ops.lexical.arrays import LexicalArrays
from services.vector_ops.models import Hit
from services.vector_ops.retrieval.evidence import gather_evidence
from services.vector_ops.retrieval.places import PathIndex
from services.vector_ops.retrieval.question import parse_question
from services.vector_ops.vectors.dense import DenseIndex
from services.vector_ops.vectors.embedder import EmbedderUnusableError, VectorsUnavailableError


class Ranking:
    """Satisfies `core.answering.Retrieval`."""

    def __init__(self, view: IndexView, arrays: LexicalArrays, history: History, dense: DenseIndex) -> None:
        self._view = view
        self._arrays = arrays
        self._history = history
        self._dense = dense
        self.dense_pending: int | None = None
        self.history_commit = ""
        self.warnings: list[str] = []

    def search(self, text: str, limit: int, *, explain: bool) -> list[Hit]:
        lines = Lines(self._view)
        return [
            Hit(
                path=piece.path,
                line=piece.symbol.line if piece.symbol else piece.line,
                column=piece.symbol.column if piece.symbol else 1,
                end_line=piece.end_line,
                symbol=piece.symbol.qualname if piece.symbol else "",
                kind=piece.symbol.kind if piece.symbol else "text",
                snippet=lines.snippet(piece.path, piece.symbol.line if piece.symbol else piece.line),
                score=piece.score,
                reason=piece.symbol.doc if piece.symbol else "",
            )
            for piece in self._rank(text, limit, once=True)
        ]

    def find_similar(self, text: str, limit: int) -> list[Piece]:
        try:
            found = self._dense.rank_chunks(self._view, text, limit)
        except (VectorsUnavailableError, EmbedderUnusableError) as error:
            self.warnings.append(f"answered without vectors: {error.detail}")
            return []
        self.dense_pending = self._dense.pending
        return [
            Piece(one.path, one.start_line, one.end_line, one.score, self._symbol_at(one.path, one.start_line))
            for one in found
        ]

    def find_matching(self, text: str, limit: int) -> list[Piece]:
        return self._rank(text, limit, once=False)

    def find_themes(self, text: str) -> list[Theme]:
        return []

    def find_terms(self, text: str) -> frozenset[str]:
        return frozenset(query_terms(text))

    def find_impact(self, text: str, limit: int) -> tuple[list[Hit], bool]:
        meaning = find_meaning(self._view, text).without_namesakes()
        ids = [one.id for one in (*meaning.symbols, *meaning.files)]
        found = ViewGraph(self._view).dependents(ids, tuple(EdgeKind), 1, limit + 1)
        hits = [
            Hit(path=one.path, line=one.line, column=one.column, symbol=one.qualname, kind=one.kind, snippet="",
                score=2.0, reason=f"defines {one.qualname}")
            for one in meaning.symbols
        ]  # fmt: skip
        hits += [
            Hit(path=one.symbol.path, line=one.symbol.line, column=one.symbol.column, symbol=one.symbol.qualname,
                kind=one.symbol.kind, snippet=one.symbol.signature, tier=TIERS[one.tier], score=SCORES[one.tier])
            for one in found
        ]  # fmt: skip
        return hits[:limit], len(hits) > limit

    def _rank(self, text: str, limit: int, *, once: bool) -> list[Piece]:
        corpus = self._arrays.sync(self._view)
        question = parse_question(text, {})
        evidence = gather_evidence(corpus, PathIndex(corpus.paths, corpus.is_alive.tolist()), question)
        scores = evidence.chunks["words"] + evidence.files["words"][corpus.chunk_file]
        pieces: list[Piece] = []
        seen: set[str] = set()
        for chunk in np.argsort(-scores, kind="stable").tolist():
            path = corpus.paths[int(corpus.chunk_file[chunk])]
            if scores[chunk] <= 0 or len(pieces) >= limit:
                break
            if once and path in seen:
                continue
            seen.add(path)
            start = int(corpus.start_line[chunk])
            pieces.append(
                Piece(path, start, int(corpus.end_line[chunk]), float(scores[chunk]), self._symbol_at(path, start))
            )
        return pieces

    def _symbol_at(self, path: str, line: int) -> SymbolRow | None:
        rows = [row for row in self._view.list_symbols(path) if row.start_line <= line <= row.end_line]
        return max(rows, key=lambda row: row.start_line, default=None)
