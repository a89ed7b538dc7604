"""The verbs: each turns a view of the index into hits, best first."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from services.kernel.errors import InvalidRequestError
from services.vector_ops.core.calls import CALL_KINDS, UseFinder
from services.vector_ops.core.facts import is_test
from services.vector_ops.core.impact import Impact, find_impact
from services.vector_ops.core.ports import Reader, Source
from services.vector_ops.core.resolving import Resolver
from services.vector_ops.core.searching import find_spot, rank_files
from services.vector_ops.core.symbols import find_symbol
from services.vector_ops.core.words import query_terms
from services.vector_ops.models import Hit, IndexQuery, QueryKind

_MAX_SNIPPET = 200


@dataclass(slots=True)
class View:
    """A reader, the repository behind it, and the uncommitted contents on top; `is_cut`: some were left out."""

    reader: Reader
    source: Source
    overlay: Mapping[str, bytes | None]
    is_cut: bool = False
    _lines: dict[str, list[str]] = field(default_factory=dict)

    def read_lines(self, path: str) -> list[str]:
        """Return the lines of a file as the index sees it."""
        if path not in self._lines:
            content = self.overlay.get(path)
            if content is None:
                sha = self.reader.blob_of(path)
                content = self.source.read_blob(sha) if sha else b""
            self._lines[path] = content.decode("utf-8", "replace").split("\n")
        return self._lines[path]

    def read_snippet(self, path: str, line: int) -> str:
        """Return one line of a file, stripped and cut."""
        lines = self.read_lines(path)
        return lines[line - 1].strip()[:_MAX_SNIPPET] if line <= len(lines) else ""


Answer = tuple[list[Hit], bool]
"""Hits, and whether something was cut."""


def answer(view: View, query: IndexQuery) -> Answer:
    """Return the hits of one query, at most `query.limit`; raises SymbolNotFoundError, InvalidRequestError."""
    if not query.text.strip():
        raise InvalidRequestError("the query is empty; give a symbol, or words to search for")
    return _VERBS[query.kind](view, query)


def _where_defined(view: View, query: IndexQuery) -> Answer:
    symbol = find_symbol(view.reader, Resolver(view.reader), query.text)
    hits = [
        Hit(
            path=one.path,
            line=one.definition.line,
            column=one.definition.column,
            symbol=one.definition.qualname,
            kind=one.definition.kind,
            snippet=one.definition.signature or view.read_snippet(one.path, one.definition.line),
            score=0.5 if is_test(one.path) else 1.0,
            reason=one.definition.doc,
        )
        for one in symbol.definitions
    ]
    for path in symbol.modules:
        snippet = view.read_snippet(path, 1)
        hits.append(
            Hit(path=path, line=1, column=1, symbol=query.text.strip(), kind="module", snippet=snippet, score=1.0)
        )
    return hits[: query.limit], len(hits) > query.limit


def _who_calls(view: View, query: IndexQuery) -> Answer:
    resolver = Resolver(view.reader)
    symbol = find_symbol(view.reader, resolver, query.text).without_namesakes()
    if not symbol.definitions:
        raise InvalidRequestError(f"{query.text.strip()} is a module; ask impact_set for its importers")
    found = UseFinder(view.reader, resolver, symbol).find(CALL_KINDS)
    calls = found.uses
    hits = [
        Hit(
            path=use.at.path,
            line=use.at.reference.line,
            column=use.at.reference.column,
            symbol=use.at.reference.scope or "<module>",
            kind=use.at.reference.kind,
            snippet=view.read_snippet(use.at.path, use.at.reference.line),
            tier=use.tier,
            score=use.score,
            reason=use.reason,
        )
        for use in calls[: query.limit]
    ]
    return hits, found.is_truncated or len(calls) > query.limit


def _impact_set(view: View, query: IndexQuery) -> Answer:
    resolver = Resolver(view.reader)
    symbol = find_symbol(view.reader, resolver, query.text).without_namesakes()
    impacts, is_cut = find_impact(view.reader, resolver, symbol)
    hits = [_impact_hit(view, one) for one in impacts[: query.limit]]
    return hits, is_cut or len(impacts) > query.limit


def _impact_hit(view: View, one: Impact) -> Hit:
    return Hit(
        path=one.path,
        line=one.line,
        column=one.column,
        symbol=one.scope,
        kind="test" if is_test(one.path) else "file",
        snippet=view.read_snippet(one.path, one.line),
        tier=one.tier,
        score=one.score,
        reason="; ".join(one.reasons),
    )


def _search(view: View, query: IndexQuery) -> Answer:
    terms = query_terms(query.text)
    ranked = rank_files(view.reader, query.text, query.limit + 1)
    hits = []
    for one in ranked[: query.limit]:
        spot = find_spot(view.reader.list_definitions(one.path), view.read_lines(one.path), terms)
        definition = spot.definition
        hits.append(
            Hit(
                path=one.path,
                line=spot.line,
                column=definition.column if definition else 1,
                symbol=definition.qualname if definition else "",
                kind=definition.kind if definition else "text",
                snippet=view.read_snippet(one.path, spot.line),
                score=one.score,
                reason=definition.doc if definition else "",
            )
        )
    return hits, len(ranked) > query.limit


_VERBS: Mapping[QueryKind, Callable[[View, IndexQuery], Answer]] = {
    QueryKind.WHERE_DEFINED: _where_defined,
    QueryKind.WHO_CALLS: _who_calls,
    QueryKind.IMPACT_SET: _impact_set,
    QueryKind.SEARCH: _search,
}
