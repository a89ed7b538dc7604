"""What ranks by words, vectors and history, over one view."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from services.vector_ops.answers.callers import find_built
from services.vector_ops.answers.meaning import TYPE_KINDS, find_meaning
from services.vector_ops.answers.packing import Piece, Theme
from services.vector_ops.answers.places import Lines
from services.vector_ops.answers.reach import collect_impact
from services.vector_ops.core.view import IndexView, SymbolRow
from services.vector_ops.graph.port import GraphStore
from services.vector_ops.history.history import History
from services.vector_ops.history.past import Past
from services.vector_ops.lexical.terms import find_identifiers, split_identifier
from services.vector_ops.models import Hit
from services.vector_ops.retrieval.impact import KINDS, MAX_EDGES, MAX_SEEDS, impact_set
from services.vector_ops.retrieval.ranked import RankedPlace, Ranking
from services.vector_ops.retrieval.search import Searcher
from services.vector_ops.retrieval.themes import group_themes
from services.vector_ops.vectors.dense import DenseHit, DenseIndex
from services.vector_ops.vectors.embedder import EmbedderUnusableError, VectorsUnavailableError

_THEMED = 40
_VECTORS_WAIT_S = 2.0
_MAX_THEME = 12
_MOST_IMPACT = 500


@dataclass(frozen=True, slots=True)
class Derivations:
    """What is derived from the truth of one repository and ranks; `searcher` may wait until it is prepared."""

    searcher: Callable[[], Searcher]
    history: History
    dense: DenseIndex


class Ranker:
    """Satisfies `core.answering.Retrieval` over one view; notes what its answers were made from."""

    def __init__(self, view: IndexView, graph: GraphStore, lines: Lines, derived: Derivations) -> None:
        self._view = view
        self._graph = graph
        self._lines = lines
        self._derived = derived
        self.dense_pending: int | None = None
        self.history_commit = ""
        self.warnings: list[str] = []
        self._wide: tuple[str, Ranking] | None = None

    def search(self, text: str, limit: int, *, explain: bool) -> list[Hit]:
        ranking = self._search(text, limit)
        return [self._make_hit(place, explain=explain) for place in ranking.places]

    def find_similar(self, text: str, limit: int) -> list[Piece]:
        found = self.rank_chunks(self._view, text, limit)
        if not found and self.dense_pending:
            self._wait_for_vectors()
            found = self.rank_chunks(self._view, text, limit)
        return [
            Piece(one.path, one.start_line, one.end_line, one.score, self._symbol_at(one.path, one.start_line))
            for one in found
            if one.score > 0 and self._lines.between(one.path, one.start_line, one.end_line).strip()
        ]

    def _wait_for_vectors(self) -> None:
        """Compute some: an answer by vectors alone is worth a moment more than nothing."""
        with suppress(VectorsUnavailableError, EmbedderUnusableError):
            self._derived.dense.sync(self._view, _VECTORS_WAIT_S)

    def find_matching(self, text: str, limit: int) -> list[Piece]:
        places = self._search_widely(text).functions[:limit]
        return [
            Piece(one.path, one.symbol.start_line if one.symbol else one.line, one.end_line, one.score, one.symbol)
            for one in places
        ]

    def find_themes(self, text: str) -> Sequence[Theme]:
        places = self._search_widely(text).files
        docs = {place.path: place.symbol.doc for place in reversed(places) if place.symbol is not None}
        return [
            Theme(f"{one.name} ({one.reason})", ", ".join(_describe(path, docs) for path in one.paths[:_MAX_THEME]))
            for one in group_themes(places, self._read_past())
        ]

    def find_terms(self, text: str) -> frozenset[str]:
        return frozenset(term for word in find_identifiers(text) for term in split_identifier(word))

    def find_impact(self, text: str, limit: int) -> tuple[list[Hit], bool]:
        meaning = find_meaning(self._view, text).without_namesakes()
        seeds = (*meaning.symbols, *meaning.files)
        built = find_built(self._view, meaning)
        items = impact_set(self._view, self._graph, self._read_past(), seeds, built, limit=_MOST_IMPACT)
        files = collect_impact(self._lines, seeds, items, self._is_test)
        is_cut = len(files) > limit or meaning.is_cut or len(items) >= _MOST_IMPACT
        return files[:limit], is_cut or self._is_beyond_caps(seeds)

    def _is_beyond_caps(self, seeds: Sequence[SymbolRow]) -> bool:
        """Return whether more leads to these symbols and their members than an impact set looks at."""
        ids = {seed.id for seed in seeds}
        for seed in seeds[:MAX_SEEDS]:
            if seed.kind == "file" or seed.kind in TYPE_KINDS:
                inside = "" if seed.kind == "file" else f"{seed.qualname}."
                ids |= {one.id for one in self._view.list_symbols(seed.path) if one.qualname.startswith(inside)}
            if len(ids) > 2 * MAX_SEEDS:
                return True
        return len(seeds) > MAX_SEEDS or sum(self._view.count_edges_to(list(ids), KINDS).values()) > MAX_EDGES

    def _is_test(self, path: str) -> bool:
        file = self._view.find_file(path)
        return file is not None and file.is_test

    def rank_chunks(self, _view: IndexView, text: str, count: int) -> list[DenseHit]:
        """Return the nearest chunks; nothing, and a warning, where vectors cannot be had now."""
        try:
            found = self._derived.dense.rank_chunks(self._view, text, count)
        except (VectorsUnavailableError, EmbedderUnusableError) as error:
            self.warnings.append(f"answered without vectors: {error.detail}")
            return []
        self.dense_pending = self._derived.dense.pending
        return found

    def _search(self, text: str, limit: int) -> Ranking:
        return self._derived.searcher().search(self._view, text, past=self._read_past(), dense=self, limit=limit)

    def _search_widely(self, text: str) -> Ranking:
        """Search once for what a packed context takes from it: pieces and themes."""
        if self._wide is None or self._wide[0] != text:
            self._wide = text, self._search(text, _THEMED)
        return self._wide[1]

    def _read_past(self) -> Past:
        past = self._derived.history.read_past(self._view.commit_sha)
        self.history_commit = past.commit_sha if past.commit_count else ""
        return past

    def _make_hit(self, place: RankedPlace, *, explain: bool) -> Hit:
        symbol = place.symbol
        line = symbol.line if symbol is not None and symbol.kind != "file" else place.line
        return Hit(
            path=place.path,
            line=line,
            column=symbol.column if symbol is not None else 1,
            end_line=place.end_line,
            symbol=symbol.qualname if symbol is not None else "",
            kind=symbol.kind if symbol is not None else "text",
            snippet=self._lines.snippet(place.path, line),
            score=place.score,
            reason=symbol.doc if symbol is not None else "",
            parts=dict(place.parts) if explain else {},
        )

    def _symbol_at(self, path: str, line: int) -> SymbolRow | None:
        rows = [row for row in self._view.list_symbols(path) if row.start_line <= line <= row.end_line]
        return max(rows, key=lambda row: row.start_line, default=None)


def _describe(path: str, docs: Mapping[str, str]) -> str:
    doc = docs.get(path, "")
    return f"{path} ({doc[:80]})" if doc else path
