"""A context for a task within a budget, at two levels as LightRAG has them: places below, packages and themes above.

Sections stand in the order vector, snippet, summary, citation. Every piece of code carries a citation id, and the last
section says what each id is. Guo et al.: LightRAG (2024), with the model's extraction replaced by the syntax graph.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from services.vector_ops.answers.mapping import CHARACTERS_PER_TOKEN
from services.vector_ops.answers.meaning import is_beside
from services.vector_ops.answers.places import Lines, show_path
from services.vector_ops.core.view import SymbolRow
from services.vector_ops.graph.port import GraphStore
from services.vector_ops.languages.facts import FILE
from services.vector_ops.languages.world import EdgeKind, Tier
from services.vector_ops.models import Hit

SECTIONS = ("vector", "snippet", "summary", "citation")
_SHARES = {"vector": 0.2, "snippet": 0.5, "summary": 0.15}
"""What a section may take of the budget; what one leaves, the next may use. The citations take what they need."""
_MAX_LINES = 60
_MIN_LINES = 4
"""A piece that would have to be cut shorter than this is left out."""
_MAX_NEIGHBOURS = 6
_MAX_LINKS = 60
_MAX_LEAD = 12
_BEST = 3
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


class Found(NamedTuple):
    """What was found for a task: by vectors, by words, and above single places."""

    similar: Sequence[Piece]
    matching: Sequence[Piece]
    themes: Sequence[Theme]


@dataclass(slots=True)
class _Pack:
    """What has been taken so far; `left` is in characters."""

    graph: GraphStore
    lines: Lines
    left: int
    texts: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in SECTIONS})
    hits: list[Hit] = field(default_factory=list)
    taken: dict[str, dict[int, str]] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    is_cut: bool = False

    def add_text(self, section: str, text: str, allowance: int) -> int:
        """Add text when it fits the allowance; return its cost, 0 when it does not."""
        cost = len(text) + 1 + self._head_cost(section)
        if cost > min(allowance, self.left):
            self.is_cut = True
            return 0
        self.texts[section].append(text)
        self.left -= cost
        return cost

    def _head_cost(self, section: str) -> int:
        return 0 if self.texts[section] else len(_HEADS[section]) + 3

    def add_piece(self, section: str, piece: Piece, allowance: int) -> int:
        """Add the lines of a piece that are not there yet, under a citation id; return the cost.

        One that is too long for the allowance is cut to its first lines.
        """
        known = self.taken.setdefault(piece.path, {})
        first, last = _find_news(piece, known, self.lines)
        if first > last:
            return 0
        number = f"c{len(self.hits) + 1}"
        whole = last
        room = min(allowance, self.left) - self._head_cost(section)
        while last >= first and self._cost(number, piece, first, last) > room:
            last -= 1
        self.is_cut |= last < min(whole, piece.end_line) or whole < piece.end_line
        if last - first + 1 < min(_MIN_LINES, whole - first + 1):
            return 0
        hit = _make_hit(section, number, piece, (first, last))
        cost = self.add_text(section, _render_piece(self.lines, hit), allowance)
        self.left -= len(_cite(hit)) + 1
        known.update(dict.fromkeys(range(first, last + 1), number))
        self.hits.append(hit)
        return cost + len(_cite(hit)) + 1

    def _cost(self, number: str, piece: Piece, first: int, last: int) -> int:
        """Return the characters of a piece and of its citation."""
        hit = _make_hit("", number, piece, (first, last))
        return len(_render_piece(self.lines, hit)) + len(_cite(hit)) + 2

    def find_citation(self, piece: Piece) -> str:
        """Return the id under which the beginning of a piece is shown; empty when it is not."""
        known = self.taken.get(piece.path, {})
        line = piece.symbol.line if piece.symbol is not None else piece.line
        return known.get(line) or known.get(piece.line, "")


def _find_news(piece: Piece, known: Mapping[int, str], lines: Lines) -> tuple[int, int]:
    """Return the first and last line of a piece that are not shown yet, without blank ends and at most _MAX_LINES."""
    text = lines.read(piece.path)
    first, last = max(1, piece.line), min(piece.end_line, piece.line + _MAX_LINES - 1, len(text))
    while first <= last and (first in known or not text[first - 1].strip()):
        first += 1
    until = first
    while until <= last and until not in known:
        until += 1
    last = until - 1
    while last >= first and not text[last - 1].strip():
        last -= 1
    return first, last


def _render_piece(lines: Lines, hit: Hit) -> str:
    head = f"[{hit.citation}] {show_path(hit.path)}:{hit.line}-{hit.end_line}"
    return f"{head}\n{lines.between(hit.path, hit.line, hit.end_line)}"


def _cite(hit: Hit) -> str:
    return f"{hit.citation} {show_path(hit.path)}:{hit.line}-{hit.end_line} {hit.symbol}".rstrip()


def pack_context(lines: Lines, graph: GraphStore, found: Found, budget_tokens: int) -> tuple[str, list[Hit], bool]:
    """Return the text, at most `budget_tokens` tokens of four characters, the places cited, and whether it was cut."""
    budget = budget_tokens * CHARACTERS_PER_TOKEN
    pack = _Pack(graph, lines, budget - len(_HEADS["citation"]) - 1)
    similar = _differ(found.similar, found.matching)
    spare = _fill(pack, "vector", similar, int(budget * _SHARES["vector"]))
    spare = _fill(pack, "snippet", found.matching, int(budget * _SHARES["snippet"]) + spare)
    allowance = int(budget * _SHARES["summary"]) + spare
    for theme in found.themes:
        allowance -= pack.add_text("summary", f"{show_path(theme.name)}: {theme.text}", allowance)
    _fill(pack, "snippet", found.matching, pack.left)
    pack.texts["citation"] = [_cite(hit) for hit in pack.hits]
    text = "\n\n".join("\n".join([_HEADS[name], *pack.texts[name]]) for name in SECTIONS if pack.texts[name])
    return text, pack.hits, pack.is_cut


def _fill(pack: _Pack, section: str, pieces: Sequence[Piece], allowance: int) -> int:
    """Add pieces, those of matching code with their neighbours; return what is left of the allowance."""
    for piece in map(_skip_long_lead, pieces):
        allowance -= pack.add_piece(section, piece, allowance)
        if section == "snippet" and piece.symbol is not None:
            allowance -= _add_neighbours(pack, piece, piece.symbol, allowance)
    return max(0, allowance)


def _add_neighbours(pack: _Pack, piece: Piece, symbol: SymbolRow, allowance: int) -> int:
    """Add the names of the callers and callees of a definition that is shown: one step in the call graph."""
    number = pack.find_citation(piece)
    if symbol.at == FILE or not number:
        return 0
    spent = 0
    for verb, rows in _find_neighbours(pack.graph, symbol):
        places = [_name_place(pack, row) for row in rows]
        line = f"[{number}] {symbol.qualname} {verb} {', '.join(places)}"
        if places and line not in pack.told:
            pack.told.add(line)
            spent += pack.add_text("snippet", line, allowance - spent)
    return spent


def _name_place(pack: _Pack, row: SymbolRow) -> str:
    shown = pack.taken.get(row.path, {}).get(row.line)
    return f"{row.qualname} ({shown or f'{show_path(row.path)}:{row.line}'})"


def _find_neighbours(graph: GraphStore, symbol: SymbolRow) -> Iterator[tuple[str, list[SymbolRow]]]:
    """Yield callers and callees that are sure, those in code before those in tests."""
    for verb, links in (
        ("is called by", graph.incoming([symbol.id], [EdgeKind.CALL], _MAX_LINKS)),
        ("calls", graph.outgoing([symbol.id], [EdgeKind.CALL], _MAX_LINKS)),
    ):
        sure = [link.symbol for link in links if link.edge.tier != Tier.AMBIGUOUS]
        rows = dict.fromkeys(row for row in sorted(sure, key=is_beside) if row.id != symbol.id and row.at != FILE)
        yield verb, list(rows)[:_MAX_NEIGHBOURS]


def _differ(similar: Sequence[Piece], matching: Sequence[Piece]) -> list[Piece]:
    """Return the similar pieces that the best matches do not show anyway; the first when they show all."""
    rest = [one for one in similar if not any(_overlap(one, other) for other in matching[:_BEST])]
    return rest or list(similar[:1])


def _overlap(one: Piece, other: Piece) -> bool:
    return one.path == other.path and one.line <= other.end_line and other.line <= one.end_line


def _skip_long_lead(piece: Piece) -> Piece:
    """Return the piece from its definition on, when the comment before that is long."""
    symbol = piece.symbol
    if symbol is None or symbol.at == FILE or symbol.line - piece.line <= _MAX_LEAD:
        return piece
    return piece._replace(line=symbol.line)


def _make_hit(section: str, number: str, piece: Piece, span: tuple[int, int]) -> Hit:
    symbol = piece.symbol
    return Hit(
        path=piece.path,
        line=span[0],
        column=1,
        end_line=span[1],
        symbol=symbol.qualname if symbol is not None and symbol.at != FILE else "",
        kind=symbol.kind if symbol is not None else "text",
        snippet=" ".join(symbol.signature.split())[:200] if symbol is not None else "",
        score=piece.score,
        section=section,
        citation=number,
    )
