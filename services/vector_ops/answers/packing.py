"""A context for a task within a budget, at two levels as LightRAG has them: places below, packages and themes above.

Sections stand in the order vector, snippet, summary, citation. Every piece of code carries a citation id, and the last
section says what each id is. Guo et al.: LightRAG (2024), with the model's extraction replaced by the syntax graph.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from services.vector_ops.answers.mapping import CHARACTERS_PER_TOKEN
from services.vector_ops.answers.places import Lines
from services.vector_ops.core.view import SymbolRow
from services.vector_ops.graph.port import GraphStore
from services.vector_ops.languages.facts import FILE
from services.vector_ops.languages.world import EdgeKind, Tier
from services.vector_ops.models import Hit

SECTIONS = ("vector", "snippet", "summary", "citation")
_SHARES = {"vector": 0.2, "snippet": 0.5, "summary": 0.15}
"""What a section may take of the budget; what one leaves, the next may use. The citations take what they need."""
_CITATION_COST = 48
_MAX_LINES = 60
_MAX_NEIGHBOURS = 6
_HEADS = {
    "vector": "## Similar code",
    "snippet": "## Code that matches, with its callers and callees",
    "summary": "## Packages and what changes together",
    "citation": "## Citations",
}


class Piece(NamedTuple):
    """Lines of a file that a ranking found; `symbol` is the definition around them, when there is one."""

    path: str
    line: int
    end_line: int
    score: float
    symbol: SymbolRow | None = None


class Theme(NamedTuple):
    """Something above single places: a package or files that change together, and what is said of it."""

    name: str
    text: str


@dataclass(slots=True)
class _Pack:
    """What has been taken so far; `left` is in characters."""

    graph: GraphStore
    lines: Lines
    left: int
    texts: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in SECTIONS})
    hits: list[Hit] = field(default_factory=list)
    taken: dict[str, set[int]] = field(default_factory=dict)
    is_cut: bool = False

    def add_text(self, section: str, text: str, allowance: int) -> int:
        """Add text when it fits the allowance; return its cost, 0 when it does not."""
        cost = len(text) + 1 + (len(_HEADS[section]) + 1 if not self.texts[section] else 0)
        if cost > min(allowance, self.left):
            self.is_cut = True
            return 0
        self.texts[section].append(text)
        self.left -= cost
        return cost

    def add_piece(self, section: str, piece: Piece, allowance: int) -> int:
        """Add the lines of a piece that are not there yet, under a citation id; return the cost."""
        last = min(piece.end_line, piece.line + _MAX_LINES - 1)
        known = self.taken.setdefault(piece.path, set())
        if known.issuperset(range(piece.line, last + 1)):
            return 0
        number = f"c{len(self.hits) + 1}"
        head = f"[{number}] {piece.path}:{piece.line}-{last}"
        body = self.lines.between(piece.path, piece.line, last)
        cost = self.add_text(section, f"{head}\n{body}", allowance - _CITATION_COST - len(piece.path))
        if not cost:
            return 0
        known.update(range(piece.line, last + 1))
        self.left -= _CITATION_COST + len(piece.path)
        self.hits.append(_make_hit(section, number, piece, last))
        return cost + _CITATION_COST + len(piece.path)


class Found(NamedTuple):
    """What was found for a task: by vectors, by words, and above single places."""

    similar: Sequence[Piece]
    matching: Sequence[Piece]
    themes: Sequence[Theme]


def pack_context(lines: Lines, graph: GraphStore, found: Found, budget_tokens: int) -> tuple[str, list[Hit], bool]:
    """Return the text, at most `budget_tokens` tokens of four characters, the places cited, and whether it was cut."""
    budget = budget_tokens * CHARACTERS_PER_TOKEN
    pack = _Pack(graph, lines, budget - len(_HEADS["citation"]) - len(SECTIONS) * 2)
    spare = 0
    for section, pieces in (("vector", found.similar), ("snippet", found.matching)):
        allowance = int(budget * _SHARES[section]) + spare
        for piece in pieces:
            allowance -= pack.add_piece(section, piece, allowance)
            if section == "snippet" and piece.symbol is not None:
                allowance -= _add_neighbours(pack, piece.symbol, allowance)
        spare = max(0, allowance)
    allowance = int(budget * _SHARES["summary"]) + spare
    for theme in found.themes:
        allowance -= pack.add_text("summary", f"{theme.name}: {theme.text}", allowance)
    pack.texts["citation"] = [f"{hit.citation} {hit.path}:{hit.line}-{hit.end_line} {hit.symbol}" for hit in pack.hits]
    text = "\n\n".join("\n".join([_HEADS[name], *pack.texts[name]]) for name in SECTIONS if pack.texts[name])
    return text[:budget], pack.hits, pack.is_cut


def _add_neighbours(pack: _Pack, symbol: SymbolRow, allowance: int) -> int:
    """Add the signatures of the callers and callees of a definition: one step away in the call graph."""
    if symbol.at == FILE:
        return 0
    spent = 0
    for verb, row in _find_neighbours(pack.graph, symbol):
        if row.line not in pack.taken.get(row.path, ()):
            line = f"  {verb} {row.path}:{row.line} {' '.join((row.signature or row.qualname).split())[:160]}"
            spent += pack.add_text("snippet", line, allowance - spent)
    return spent


def _find_neighbours(graph: GraphStore, symbol: SymbolRow) -> Iterator[tuple[str, SymbolRow]]:
    callers = graph.incoming([symbol.id], [EdgeKind.CALL], _MAX_NEIGHBOURS)
    callees = graph.outgoing([symbol.id], [EdgeKind.CALL], 4 * _MAX_NEIGHBOURS)
    sure = [one for one in callees if one.edge.tier != Tier.AMBIGUOUS][:_MAX_NEIGHBOURS]
    for verb, links in (("called by", callers), ("calls", sure)):
        for row in dict.fromkeys(link.symbol for link in links):
            if row.id != symbol.id and row.at != FILE:
                yield verb, row


def _make_hit(section: str, number: str, piece: Piece, last: int) -> Hit:
    symbol = piece.symbol
    return Hit(
        path=piece.path,
        line=piece.line,
        column=1,
        end_line=last,
        symbol=symbol.qualname if symbol is not None and symbol.at != FILE else "",
        kind=symbol.kind if symbol is not None else "text",
        snippet=" ".join(symbol.signature.split())[:200] if symbol is not None else "",
        score=piece.score,
        section=section,
        citation=number,
    )
