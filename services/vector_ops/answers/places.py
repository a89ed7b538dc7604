"""Hits from symbols and edges: where, which line, and how sure."""

from services.vector_ops.core.view import EdgeRow, IndexView, SymbolRow
from services.vector_ops.languages.facts import FILE
from services.vector_ops.languages.world import Tier as EdgeTier
from services.vector_ops.models import Hit, Tier

_MAX_SNIPPET = 200
TIERS = {
    EdgeTier.EXACT: Tier.EXACT,
    EdgeTier.TYPED: Tier.TYPED,
    EdgeTier.UNIQUE_NAME: Tier.UNIQUE_NAME,
    EdgeTier.AMBIGUOUS: Tier.AMBIGUOUS,
}
SCORES = {EdgeTier.EXACT: 1.0, EdgeTier.TYPED: 0.9, EdgeTier.UNIQUE_NAME: 0.6, EdgeTier.AMBIGUOUS: 0.3}
"""The order of the tiers as a score."""


def show_path(path: str) -> str:
    """Return a path on one line: a file's name must not look like another line of an answer."""
    return path.replace("\n", "\\n").replace("\r", "\\r")


class Lines:
    """Lines of files as a view sees them; what was read last stays read as long as nothing has changed."""

    def __init__(self, max_characters: int = 16_000_000) -> None:
        """Keep files of so many characters in all."""
        self._max_characters = max_characters
        self._epoch = ""
        self._view: IndexView | None = None
        self._lines: dict[str, tuple[list[str], int]] = {}
        self._characters = 0

    def over(self, view: IndexView) -> "Lines":
        """Read from this view from now on; return self."""
        if view.epoch != self._epoch:
            self._lines.clear()
            self._characters = 0
            self._epoch = view.epoch
        self._view = view
        return self

    def read(self, path: str) -> list[str]:
        """Return all lines of a file."""
        found = self._lines.get(path)
        if found is None:
            text = self._view.read_text(path) if self._view is not None else ""
            found = self._lines[path] = (text.split("\n"), len(text))
            self._characters += len(text)
            self._forget(path)
        return found[0]

    def _forget(self, kept: str) -> None:
        """Drop the files that were read first while there are too many characters."""
        while self._characters > self._max_characters and len(self._lines) > 1:
            oldest = next(iter(self._lines))
            if oldest == kept:
                return
            self._characters -= self._lines.pop(oldest)[1]

    def snippet(self, path: str, line: int) -> str:
        """Return one line, stripped and cut; empty when the file has no such line."""
        lines = self.read(path)
        return lines[line - 1].strip()[:_MAX_SNIPPET] if 0 < line <= len(lines) else ""

    def between(self, path: str, first: int, last: int) -> str:
        """Return the lines from `first` to `last`, both included."""
        return "\n".join(self.read(path)[max(0, first - 1) : last])


def name_of(symbol: SymbolRow | None) -> str:
    """Return the qualified name of a symbol; `<module>` for a file's top level."""
    return symbol.qualname if symbol is not None and symbol.at != FILE else "<module>"


def make_definition_hit(lines: Lines, one: SymbolRow, *, score: float) -> Hit:
    """Return the hit of a definition; its reason is what its documentation says first."""
    is_file = one.at == FILE
    return Hit(
        path=one.path,
        line=one.line,
        column=one.column,
        end_line=one.end_line,
        symbol=one.qualname,
        kind="module" if is_file else one.kind,
        snippet=one.signature or lines.snippet(one.path, one.line),
        score=score,
        reason=one.doc,
    )


def make_edge_hit(lines: Lines, edge: EdgeRow, source: SymbolRow | None, *, kind: str, reason: str) -> Hit:
    """Return the hit of the place where an edge stands."""
    return Hit(
        path=edge.path,
        line=edge.line,
        column=edge.column,
        symbol=name_of(source),
        kind=kind,
        snippet=lines.snippet(edge.path, edge.line),
        tier=TIERS[edge.tier],
        score=SCORES[edge.tier],
        reason=reason,
    )
