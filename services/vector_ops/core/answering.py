"""One query to hits: the verb chosen, its parts put together."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from services.kernel.errors import InvalidRequestError
from services.vector_ops.answers.callers import who_calls
from services.vector_ops.answers.defined import where_defined
from services.vector_ops.answers.file_graph import FileGraph
from services.vector_ops.answers.mapping import Interest, UseCounts, draw_map
from services.vector_ops.answers.packing import Found, Piece, Theme, pack_context
from services.vector_ops.answers.places import Lines
from services.vector_ops.core.view import IndexView
from services.vector_ops.graph.port import GraphStore
from services.vector_ops.lexical.terms import split_identifier
from services.vector_ops.models import Hit, IndexQuery, QueryKind
from services.vector_ops.retrieval.path_kinds import PathKind, classify_path

_SEEDS = 20
_PIECES = 12
_SIMILAR = 4
_MAX_PIECE = 2_000


class Retrieval(Protocol):
    """What ranks by words, vectors and history, level with one view."""

    def search(self, text: str, limit: int, *, explain: bool) -> list[Hit]:
        """Return places for words, best first."""
        ...

    def find_similar(self, text: str, limit: int) -> list[Piece]:
        """Return pieces of code by their vectors, best first; nothing where there are no vectors."""
        ...

    def find_matching(self, text: str, limit: int) -> list[Piece]:
        """Return functions and other pieces for words, best first."""
        ...

    def find_themes(self, text: str) -> Sequence[Theme]:
        """Return packages and groups of files that change together, for words."""
        ...

    def find_impact(self, text: str, limit: int) -> tuple[list[Hit], bool]:
        """Return what a change of a symbol may touch, and whether a cap cut it."""
        ...

    def find_terms(self, text: str) -> frozenset[str]:
        """Return the lower-case words of a text."""
        ...


@dataclass(slots=True)
class Reading:
    """One view with everything derived from it level."""

    view: IndexView
    graph: GraphStore
    retrieval: Retrieval
    files: Callable[[], FileGraph]
    counts: UseCounts
    lines: Lines
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class Answered:
    """What a verb found."""

    hits: list[Hit]
    is_truncated: bool
    text: str = ""


@dataclass(frozen=True, slots=True)
class _Verb:
    answer: Callable[[Reading, IndexQuery], Answered]
    may_be_empty: bool = field(default=False)


def answer(reading: Reading, query: IndexQuery) -> Answered:
    """Return the answer of one query; raises SymbolNotFoundError, InvalidRequestError."""
    verb = _VERBS[query.kind]
    if not query.text.strip() and not (verb.may_be_empty and not query.text):
        raise InvalidRequestError("the query is empty; give a symbol, or words to search for")
    return verb.answer(reading, query)


def _where_defined(reading: Reading, query: IndexQuery) -> Answered:
    return Answered(*where_defined(reading.view, reading.lines, query.text, query.limit))


def _who_calls(reading: Reading, query: IndexQuery) -> Answered:
    return Answered(*who_calls(reading.view, reading.graph, reading.lines, query.text, query.limit))


def _impact_set(reading: Reading, query: IndexQuery) -> Answered:
    return Answered(*reading.retrieval.find_impact(query.text, query.limit))


def _search(reading: Reading, query: IndexQuery) -> Answered:
    hits = reading.retrieval.search(query.text, query.limit + 1, explain=query.explain)
    return Answered(hits[: query.limit], len(hits) > query.limit)


def _nn_snippet(reading: Reading, query: IndexQuery) -> Answered:
    pieces = reading.retrieval.find_similar(query.text, query.limit + 1)
    hits = [_make_hit(reading, piece) for piece in pieces[: query.limit]]
    return Answered(hits, len(pieces) > query.limit)


def _make_hit(reading: Reading, piece: Piece) -> Hit:
    return Hit(
        path=piece.path,
        line=piece.line,
        column=1,
        end_line=piece.end_line,
        symbol=piece.symbol.qualname if piece.symbol is not None else "",
        kind=piece.symbol.kind if piece.symbol is not None else "text",
        snippet=reading.lines.between(piece.path, piece.line, piece.end_line)[:_MAX_PIECE],
        score=piece.score,
        reason=piece.symbol.doc if piece.symbol is not None else "",
    )


def _repo_map(reading: Reading, query: IndexQuery) -> Answered:
    interest = Interest()
    if query.text.strip():
        ranked = reading.retrieval.search(query.text, _SEEDS, explain=False)
        seeds = {hit.path: hit.score for hit in reversed(ranked)}
        terms = reading.retrieval.find_terms(query.text)
        interest = Interest(seeds, lambda name: not terms.isdisjoint(split_identifier(name)))
    text, hits, is_cut = draw_map(
        partial(reading.counts.read, reading.view), reading.files(), interest, query.budget_tokens
    )
    return Answered(hits[: query.limit], is_cut or len(hits) > query.limit, text)


def _context_pack(reading: Reading, query: IndexQuery) -> Answered:
    retrieval = reading.retrieval
    found = Found(
        _prefer_code(retrieval.find_similar(query.text, 4 * _SIMILAR), query.text)[:_SIMILAR],
        retrieval.find_matching(query.text, _PIECES),
        retrieval.find_themes(query.text),
    )
    text, hits, is_cut = pack_context(reading.lines, reading.graph, found, query.budget_tokens)
    return Answered(hits, is_cut, text)


def _prefer_code(pieces: Sequence[Piece], text: str) -> list[Piece]:
    """Return pieces of definitions before loose lines, and code before tests unless the text speaks of tests."""
    is_about_tests = "test" in text.lower()

    def rank(piece: Piece) -> tuple[bool, bool]:
        is_test = piece.symbol is not None and piece.symbol.is_test
        is_beside = is_test or classify_path(piece.path) is not PathKind.CODE
        return is_beside and not is_about_tests, piece.symbol is None

    return sorted(pieces, key=rank)


_VERBS: Mapping[QueryKind, _Verb] = {
    QueryKind.WHERE_DEFINED: _Verb(_where_defined),
    QueryKind.WHO_CALLS: _Verb(_who_calls),
    QueryKind.IMPACT_SET: _Verb(_impact_set),
    QueryKind.SEARCH: _Verb(_search),
    QueryKind.NN_SNIPPET: _Verb(_nn_snippet),
    QueryKind.REPO_MAP: _Verb(_repo_map, may_be_empty=True),
    QueryKind.CONTEXT_PACK: _Verb(_context_pack),
}
