"""A map of the repository within a budget: the most important files for a task, elided to signatures.

Files rank by personalised PageRank over their uses of each other; definitions by their file's rank and by how often
they are used, those the task names first. What stands in tests is left out unless the task leads there.
"""

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from services.vector_ops.answers.places import show_path
from services.vector_ops.core.view import IndexView, SymbolRow
from services.vector_ops.languages.world import EdgeKind
from services.vector_ops.models import Hit
from services.vector_ops.retrieval.path_kinds import PathKind, classify_path

CHARACTERS_PER_TOKEN = 4
_MAX_FILES = 60
_MAX_SYMBOLS_PER_FILE = 40
_MAX_SYMBOLS_READ = 2_000
_MAX_LINE = 140
_MAX_SNIPPET = 200
_NAMED_BOOST = 4.0
_SEED_SHARE = 0.5
"""How much of a file's weight is what the task found in it, beside its rank among the others."""
_SPREAD = 12
"""A file's so manieth definition counts half: a map shows many files rather than all of one."""
_KINDS = frozenset(
    {"function", "method", "class", "interface", "trait", "struct", "enum", "type", "constant", "macro", "module"}
)
_TEST_MODULES = frozenset({"test", "tests"})
_MINOR_WEIGHT = 0.2
_BESIDE_WEIGHT = 0.1
_EMPTY_CLASS_LINES = 12
_TRIVIAL_LINES = 3
"""A definition of fewer lines that nothing uses says little."""
_CONSTANT_USES = 8
"""A constant that is used so often is worth as much as a function."""
_USES = (EdgeKind.CALL, EdgeKind.USE, EdgeKind.INHERIT)
_COMMENT = re.compile(r"//\s*(?:eslint|@ts|prettier|biome)-?\S*(?:\s+@?[\w-]+/[\w/-]+)?|/\*.*?\*/")
_DECORATOR = re.compile(r"^(?:@[\w.]+(?:\([^()]*\))?\s+)+")


class Countable(NamedTuple):
    """A definition that a map may show, how often it is used, and whether anything is defined inside it."""

    symbol: SymbolRow
    uses: int
    has_members: bool


@dataclass(slots=True)
class UseCounts:
    """The definitions of files that a map may show, and how often each is used; kept until the epoch changes."""

    epoch: str = ""
    _by_path: dict[str, list[Countable]] = field(default_factory=dict)

    def read(self, view: IndexView, path: str) -> list[Countable]:
        """Return the definitions of one file that a map may show."""
        if self.epoch != view.epoch:
            self.epoch = view.epoch
            self._by_path.clear()
        if path not in self._by_path:
            self._by_path[path] = _count_uses(view, path)
        return self._by_path[path]


def _count_uses(view: IndexView, path: str) -> list[Countable]:
    return list_countable(view.list_symbols(path), lambda rows: view.count_edges_to([one.id for one in rows], _USES))


def list_countable(
    rows: Sequence[SymbolRow], count_uses: Callable[[list[SymbolRow]], Mapping[int, int]]
) -> list[Countable]:
    """Return which of a file's symbols a map may show; `count_uses` gives the number of uses by symbol id."""
    tests = {one.qualname for one in rows if one.kind == "module" and one.name in _TEST_MODULES}
    closed = tests | {one.qualname for one in rows if one.kind in {"function", "method"}}
    by_name: dict[str, list[SymbolRow]] = {}
    for one in rows:
        is_shown = one.kind in _KINDS and not one.is_test and one.qualname not in tests
        if is_shown and not _is_inside(one.qualname, closed):
            by_name.setdefault(one.qualname, []).append(one)
    shown = dict(list(by_name.items())[:_MAX_SYMBOLS_READ])
    counts = count_uses([one for same in shown.values() for one in same])
    owners = {one.qualname.rpartition(".")[0] for one in rows}
    return [
        Countable(_choose_overload(same), sum(counts.get(one.id, 0) for one in same), name in owners)
        for name, same in shown.items()
    ]


def _is_inside(qualname: str, closed: Collection[str]) -> bool:
    """Return whether one of the enclosing definitions is closed: a function, or a module of tests."""
    owner = qualname.rpartition(".")[0]
    while owner:
        if owner in closed:
            return True
        owner = owner.rpartition(".")[0]
    return False


def _choose_overload(same: list[SymbolRow]) -> SymbolRow:
    return next((one for one in same if "@overload" not in one.signature), same[0])


@dataclass(frozen=True, slots=True)
class _Entry:
    score: float
    rank: int
    symbol: SymbolRow


class RankedFiles(Protocol):
    """Files that use each other."""

    def rank(self, seeds: Mapping[str, float]) -> Mapping[str, float]:
        """Return the rank of every file of code; ranks sum to 1. `seeds` are paths and how much each matters."""
        ...


@dataclass(frozen=True, slots=True)
class Interest:
    """What a map is for: paths with weights, and which names the task speaks of; nothing: the repository as a whole."""

    seeds: Mapping[str, float] = field(default_factory=dict)
    is_named: Callable[[str], bool] | None = None


def draw_map(
    read: Callable[[str], list[Countable]], graph: RankedFiles, interest: Interest, budget_tokens: int
) -> tuple[str, list[Hit], bool]:
    """Return the text of the map, its definitions as hits, and whether something was left out.

    `read` gives what a file has to show. The text has at most `budget_tokens` tokens of four characters.
    """
    weights = _weigh_files(graph, interest)
    paths = sorted(weights, key=lambda path: (-weights[path], path))
    entries: list[_Entry] = []
    by_name: dict[tuple[str, str], SymbolRow] = {}
    for place, path in enumerate(paths[:_MAX_FILES]):
        found = read(path)
        by_name |= {(path, one.symbol.qualname): one.symbol for one in found}
        entries += [_Entry(weights[path] * weight, place, one) for one, weight in _weigh_file(found, interest)]
    entries.sort(key=lambda one: (-one.score, one.rank, one.symbol.line))
    chosen, is_cut = _choose(entries, by_name, budget_tokens * CHARACTERS_PER_TOKEN)
    text = "\n".join(_render(path, chosen[path]) for path in paths if path in chosen)
    hits = [_make_hit(one, score) for one, score in _score_chosen(entries, chosen).items()]
    return text, hits, is_cut or len(paths) > _MAX_FILES


def _weigh_files(graph: RankedFiles, interest: Interest) -> dict[str, float]:
    """Return what each file of code is worth; one of tests only when the task leads there."""
    total = sum(interest.seeds.values())
    weights = {}
    for path, rank in graph.rank(interest.seeds).items():
        found = interest.seeds.get(path, 0.0) / total if total > 0 else 0.0
        kind = PathKind.CODE if found else classify_path(path)
        if kind is not PathKind.TEST:
            weights[path] = (rank + _SEED_SHARE * found) * (1.0 if kind is PathKind.CODE else _BESIDE_WEIGHT)
    return weights


def _weigh_file(found: list[Countable], interest: Interest) -> list[tuple[SymbolRow, float]]:
    weighed = [(one.symbol, _weigh(one, interest)) for one in found]
    weighed.sort(key=lambda one: (-one[1], one[0].line))
    best = weighed[:_MAX_SYMBOLS_PER_FILE]
    return [(one, weight / (1 + place / _SPREAD)) for place, (one, weight) in enumerate(best)]


def _weigh(countable: Countable, interest: Interest) -> float:
    one, uses, _has_members = countable
    weight = 1.0 + math.log1p(uses)
    if interest.is_named is not None and interest.is_named(one.name):
        weight *= _NAMED_BOOST
    return weight * (_MINOR_WEIGHT if _is_minor(countable) else 1.0)


def _is_minor(countable: Countable) -> bool:
    """Return whether a definition says little: private, a macro, a rare constant, an empty class, an unused line."""
    one, uses, has_members = countable
    length = one.end_line - one.start_line
    return (
        one.name.startswith("_")
        or one.kind == "macro"
        or (one.kind == "constant" and uses < _CONSTANT_USES)
        or (one.kind == "class" and not has_members and length < _EMPTY_CLASS_LINES)
        or (not uses and length < _TRIVIAL_LINES)
    )


def _choose(
    entries: list[_Entry], by_name: Mapping[tuple[str, str], SymbolRow], budget: int
) -> tuple[dict[str, dict[SymbolRow, str]], bool]:
    """Return path -> the definitions that fit, best first until the budget is used up; a member brings its owners."""
    chosen: dict[str, dict[SymbolRow, str]] = {}
    left, is_cut = budget, False
    for entry in entries:
        symbol = entry.symbol
        present = chosen.get(symbol.path, {})
        chain = _list_chain(symbol, by_name)
        adding = {one: _line(one, depth) for depth, one in enumerate(chain, 1) if one not in present}
        cost = sum(len(line) + 1 for line in adding.values()) + (0 if present else len(show_path(symbol.path)) + 2)
        if cost > left:
            is_cut = True
            continue
        left -= cost
        chosen.setdefault(symbol.path, {}).update(adding)
    return chosen, is_cut


def _score_chosen(entries: list[_Entry], chosen: Mapping[str, dict[SymbolRow, str]]) -> dict[SymbolRow, float]:
    """Return the score of every definition of a map, best first; an owner that a member brought has the member's."""
    scores = {one.symbol: one.score for one in entries if one.symbol in chosen.get(one.symbol.path, {})}
    brought = [one for lines in chosen.values() for one in lines if one not in scores]
    for owner in brought:
        inside = f"{owner.qualname}."
        of_members = [
            score for one, score in scores.items() if one.path == owner.path and one.qualname.startswith(inside)
        ]
        scores[owner] = max(of_members, default=0.0)
    return dict(sorted(scores.items(), key=lambda one: -one[1]))


def _list_chain(symbol: SymbolRow, by_name: Mapping[tuple[str, str], SymbolRow]) -> list[SymbolRow]:
    """Return the owners of a definition that the map may show, the outermost first, and the definition."""
    parts = symbol.qualname.split(".")
    owners = (by_name.get((symbol.path, ".".join(parts[:depth]))) for depth in range(1, len(parts)))
    return [one for one in owners if one is not None and one is not symbol] + [symbol]


def _line(one: SymbolRow, depth: int) -> str:
    shown = one.signature.partition("{")[0] if one.kind == "macro" else one.signature
    signature = _DECORATOR.sub("", " ".join(_COMMENT.sub(" ", shown).split()))
    line = f"{'  ' * depth}{one.line}: {signature or f'{one.kind} {one.name}'}"
    return line if len(line) <= _MAX_LINE else f"{line[: _MAX_LINE - 3].rstrip()}..."


def _render(path: str, chosen: Mapping[SymbolRow, str]) -> str:
    lines = [chosen[one] for one in sorted(chosen, key=lambda one: (one.start_line, one.line, one.column))]
    return "\n".join([f"{show_path(path)}:", *lines])


def _make_hit(one: SymbolRow, score: float) -> Hit:
    return Hit(
        path=one.path,
        line=one.line,
        column=one.column,
        end_line=one.end_line,
        symbol=one.qualname,
        kind=one.kind,
        snippet=one.signature[:_MAX_SNIPPET],
        score=score,
        reason=one.doc,
    )
