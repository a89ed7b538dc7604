"""A map of the repository within a budget: the most important files for a task, elided to signatures.

Files rank by personalised PageRank over their uses of each other; definitions by their file's rank and by how often
they are used, those the task names first.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from services.vector_ops.answers.file_graph import FileGraph
from services.vector_ops.core.view import IndexView, SymbolRow
from services.vector_ops.languages.world import EdgeKind
from services.vector_ops.lexical.terms import split_identifier
from services.vector_ops.models import Hit

CHARACTERS_PER_TOKEN = 4
_MAX_FILES = 60
_MAX_SYMBOLS_PER_FILE = 40
_MAX_LINE = 160
_NAMED_BOOST = 4.0
_KINDS = frozenset(
    {"function", "method", "class", "interface", "trait", "struct", "enum", "type", "constant", "macro", "module"}
)
_MINOR_WEIGHT = 0.2
_USES = (EdgeKind.CALL, EdgeKind.USE, EdgeKind.INHERIT)
_MAX_USES = 2_000


@dataclass(slots=True)
class UseCounts:
    """The definitions of files that a map may show, and how often each is used; kept until the epoch changes."""

    epoch: str = ""
    _by_path: dict[str, list[tuple[SymbolRow, int]]] = field(default_factory=dict)

    def read(self, view: IndexView, path: str) -> list[tuple[SymbolRow, int]]:
        """Return (definition, number of uses, at most a few thousand in all) of one file, by line."""
        if self.epoch != view.epoch:
            self.epoch = view.epoch
            self._by_path.clear()
        if path not in self._by_path:
            self._by_path[path] = _count_uses(view, path)
        return self._by_path[path]


def _count_uses(view: IndexView, path: str) -> list[tuple[SymbolRow, int]]:
    rows = [one for one in view.list_symbols(path) if one.kind in _KINDS and not one.is_test]
    inner = {one.qualname for one in rows if one.kind in {"function", "method"}}
    shown = [one for one in rows if one.qualname.rpartition(".")[0] not in inner]
    counts: dict[int, int] = {}
    for edge in view.edges_to([one.id for one in shown], _USES, _MAX_USES):
        counts[edge.target_id] = counts.get(edge.target_id, 0) + 1
    return [(one, counts.get(one.id, 0)) for one in shown]


@dataclass(frozen=True, slots=True)
class _Entry:
    score: float
    rank: int
    symbol: SymbolRow


@dataclass(frozen=True, slots=True)
class Interest:
    """What a map is for: paths with weights, and lower-case words of the task; nothing: the repository as a whole."""

    seeds: Mapping[str, float] = field(default_factory=dict)
    terms: Collection[str] = ()


def draw_map(
    view: IndexView, graph: FileGraph, counts: UseCounts, interest: Interest, budget_tokens: int
) -> tuple[str, list[Hit], bool]:
    """Return the text of the map, its definitions as hits, and whether something was left out.

    The text has at most `budget_tokens` tokens of four characters.
    """
    ranks = graph.rank(interest.seeds)
    paths = sorted(ranks, key=lambda path: (-ranks[path], path))
    entries: list[_Entry] = []
    for place, path in enumerate(paths[:_MAX_FILES]):
        entries += [
            _Entry(ranks[path] * weight, place, one) for one, weight in _weigh_file(view, counts, path, interest.terms)
        ]
    entries.sort(key=lambda one: (-one.score, one.rank, one.symbol.line))
    chosen, is_cut = _choose(entries, budget_tokens * CHARACTERS_PER_TOKEN)
    text = "\n".join(_render(path, chosen[path]) for path in paths if path in chosen)
    hits = [_make_hit(one) for one in entries if one.symbol in chosen.get(one.symbol.path, {})]
    return text, hits, is_cut or len(paths) > _MAX_FILES


def _weigh_file(view: IndexView, counts: UseCounts, path: str, terms: Collection[str]) -> list[tuple[SymbolRow, float]]:
    weighed = [(one, _weigh(one, uses, terms)) for one, uses in counts.read(view, path)]
    weighed.sort(key=lambda one: (-one[1], one[0].line))
    return weighed[:_MAX_SYMBOLS_PER_FILE]


def _weigh(one: SymbolRow, uses: int, terms: Collection[str]) -> float:
    weight = 1.0 + math.log1p(uses)
    if terms and any(term in terms for term in split_identifier(one.name)):
        weight *= _NAMED_BOOST
    return weight * (_MINOR_WEIGHT if one.name.startswith("_") or one.kind == "constant" else 1.0)


def _choose(entries: list[_Entry], budget: int) -> tuple[dict[str, dict[SymbolRow, str]], bool]:
    """Return path -> the definitions that fit, best first until the budget is used up; a member brings its type."""
    chosen: dict[str, dict[SymbolRow, str]] = {}
    by_name = {(one.symbol.path, one.symbol.qualname): one.symbol for one in entries}
    left, is_cut = budget, False
    for entry in entries:
        symbol = entry.symbol
        present = chosen.get(symbol.path, {})
        owner = by_name.get((symbol.path, symbol.qualname.rpartition(".")[0]))
        adding = [one for one in (owner, symbol) if one is not None and one not in present]
        lines = {one: _line(one) for one in adding}
        cost = sum(len(line) + 1 for line in lines.values()) + (0 if present else len(symbol.path) + 2)
        if cost > left:
            is_cut = True
            continue
        left -= cost
        chosen.setdefault(symbol.path, {}).update(lines)
    return chosen, is_cut


def _line(one: SymbolRow) -> str:
    depth = one.qualname.count(".") + 1
    text = " ".join((one.signature or f"{one.kind} {one.name}").split())
    return f"{'  ' * depth}{one.line}: {text}"[:_MAX_LINE]


def _render(path: str, chosen: Mapping[SymbolRow, str]) -> str:
    lines = [chosen[one] for one in sorted(chosen, key=lambda one: (one.start_line, one.line, one.column))]
    return "\n".join([f"{path}:", *lines])


def _make_hit(entry: _Entry) -> Hit:
    one = entry.symbol
    return Hit(
        path=one.path,
        line=one.line,
        column=one.column,
        end_line=one.end_line,
        symbol=one.qualname,
        kind=one.kind,
        snippet=one.signature[:200],
        score=entry.score,
        reason=one.doc,
    )
