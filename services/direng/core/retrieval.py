"""What the index knows about a question: hits, and the lines around them as they are on disk."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from services.direng.calls.vector_ops import VectorOpsEdge
from services.direng.core.citations import Place
from services.direng.core.packing import HitLine, Snippet
from services.direng.core.ports import Worktree
from services.direng.core.questions import format_hit
from services.kernel.errors import InvalidRequestError, NotFoundError
from services.vector_ops.models import Hit, IndexAnswer, QueryKind, Stamp

MAX_NAMES = 6
MAX_WORDS = 8
MAX_PLACES = 16
MAX_HITS_PER_QUERY = 12
MAX_USES = 6
MAX_NEAREST = 4
"""Pieces of code that are near by their vectors: they need not share a word with the question."""
MAX_LINE_CHARS = 240
MAX_QUERY_CHARS = 2000
BEFORE_DEFINITION, AFTER_DEFINITION = 8, 36
BEFORE_USE, AFTER_USE = 4, 8
WHOLE_FILES, WHOLE_LINES = 3, 80
"""The best few files are read whole when they are short: what a function calls stands beside it more often than not."""
_DEFINITIONS = frozenset({"function", "method", "class", "constant", "variable", "module"})
_NAMED = re.compile(
    r"`(?P<ticked>[^`\s]+?)(?:\(\))?`"
    r"|\b(?P<dotted>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+)\b"
    r"|\b(?P<called>[A-Za-z_]\w*)\(\)"
    r"|\b(?P<snake>[A-Za-z]\w*_\w+|_\w+)\b"
    r"|\b(?P<camel>[A-Z][a-z0-9]+(?:[A-Z][a-z0-9]*)+|[a-z]+(?:[A-Z][a-z0-9]+)+)\b"
)
_SYMBOL = re.compile(r"^[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*$")
_WORD = re.compile(r"[A-Za-z_]\w{2,}")
_POINTS_BACK = re.compile(r"\b(?:it|its|that|this|they|them|their|those|these|there|same)\b", re.IGNORECASE)
_STOP_WORDS = """
the and for are was were what when where which who whom why how does did doing has have had can could should
would will shall may might must not but with from into onto over under about after before between this that
these those there here they them their its you your our use used uses using call calls called show tell
explain describe code file files function functions class classes method methods module modules test tests
happens happen work works make made get set all any some each every only just like more most other than then
also please line lines name names repository project
"""
_STOP = frozenset(_STOP_WORDS.split())


@dataclass(frozen=True)
class Found:
    """What supports an answer; `stamp` is the index's newest."""

    hits: tuple[HitLine, ...]
    snippets: tuple[Snippet, ...]
    stamp: Stamp

    @property
    def is_empty(self) -> bool:
        """Return whether nothing supports an answer."""
        return not self.snippets


def list_names(question: str) -> tuple[str, ...]:
    """Return the symbols that a question names by their look: ticked, dotted, called, snake or camel case."""
    names = (next(filter(None, match.groups())) for match in _NAMED.finditer(question))
    return tuple(dict.fromkeys(name for name in names if _SYMBOL.match(name)))[:MAX_NAMES]


def list_words(question: str) -> tuple[str, ...]:
    """Return the other words that could be symbols."""
    named = set(list_names(question))
    words = (word for word in _WORD.findall(question) if word.lower() not in _STOP and word not in named)
    return tuple(dict.fromkeys(words))[:MAX_WORDS]


class Retriever:
    """Asks the index and reads the places it names."""

    def __init__(self, index: VectorOpsEdge, worktree: Worktree) -> None:
        self._index = index
        self._worktree = worktree

    async def retrieve(self, repo: str, question: str, asked_before: str = "") -> Found:
        """Return what the index knows of `question`.

        A question that points back (`it`, `that`) is searched together with `asked_before`.
        """
        words = question if not _POINTS_BACK.search(question) else f"{question} {asked_before}"
        first = await self._index.query(repo, QueryKind.SEARCH, words[:MAX_QUERY_CHARS])
        stamp, hits = first.stamp, list(await self._find_named(repo, list_names(words)))
        hits += first.hits[:MAX_HITS_PER_QUERY]
        nearest = await self._query(repo, QueryKind.NN_SNIPPET, words[:MAX_QUERY_CHARS])
        hits += nearest.hits[:MAX_NEAREST] if nearest else ()
        for word in list_words(words):
            answer = await self._query(repo, QueryKind.WHERE_DEFINED, word)
            hits += answer.hits[:2] if answer else ()
        chosen = _without_repeats(hits)[: MAX_PLACES * 2]
        snippets = await self._read(repo, chosen[:MAX_PLACES])
        lines = tuple(HitLine(format_hit(hit), rank) for rank, hit in enumerate(chosen))
        return Found(lines, snippets, stamp)

    async def _find_named(self, repo: str, names: Sequence[str]) -> list[Hit]:
        """Return definitions of the named symbols first, then their uses."""
        definitions: list[Hit] = []
        uses: list[Hit] = []
        for name in names:
            answer = await self._query(repo, QueryKind.WHERE_DEFINED, name)
            if answer is None:
                continue
            definitions += answer.hits[:3]
            callers = await self._query(repo, QueryKind.WHO_CALLS, name)
            uses += callers.hits[:MAX_USES] if callers else ()
        return definitions + uses

    async def _query(self, repo: str, kind: QueryKind, text: str) -> IndexAnswer | None:
        try:
            return await self._index.query(repo, kind, text)
        except (NotFoundError, InvalidRequestError):  # no such symbol, or a module, which has no callers
            return None

    async def _read(self, repo: str, hits: Sequence[Hit]) -> tuple[Snippet, ...]:
        """Return the lines around the hits; windows of one file that touch are one snippet."""
        by_path: dict[str, list[tuple[int, Hit]]] = {}
        for rank, hit in enumerate(hits):
            by_path.setdefault(hit.path, []).append((rank, hit))
        found: list[Snippet] = []
        for path, ranked in by_path.items():
            lines = await self._worktree.read_lines(repo, path)
            if lines is not None:
                found += _cut_out(path, lines, ranked)
        return tuple(sorted(found, key=lambda snippet: snippet.rank))


def _without_repeats(hits: Sequence[Hit]) -> list[Hit]:
    return list({(hit.path, hit.line): hit for hit in reversed(hits)}.values())[::-1]


def _cut_out(path: str, lines: Sequence[str], ranked: Sequence[tuple[int, Hit]]) -> list[Snippet]:
    """Return the windows around hits that still stand where the index saw them."""
    spans = sorted(_span_of(hit, rank, len(lines)) for rank, hit in ranked if _stands(hit, lines))
    merged: list[tuple[int, int, int]] = []
    for first, last, rank in spans:
        if merged and first <= merged[-1][1] + 1:
            before = merged.pop()
            merged.append((before[0], max(before[1], last), min(before[2], rank)))
        else:
            merged.append((first, last, rank))
    return [
        Snippet(
            Place(path, first, last),
            "\n".join(f"{number}| {lines[number - 1][:MAX_LINE_CHARS]}" for number in range(first, last + 1)),
            rank,
        )
        for first, last, rank in merged
    ]


def _span_of(hit: Hit, rank: int, total: int) -> tuple[int, int, int]:
    if rank < WHOLE_FILES and total <= WHOLE_LINES:
        return 1, total, rank
    is_definition = hit.kind in _DEFINITIONS
    before = BEFORE_DEFINITION if is_definition else BEFORE_USE
    after = AFTER_DEFINITION if is_definition else AFTER_USE
    return max(1, hit.line - before), min(total, hit.line + after), rank


def _stands(hit: Hit, lines: Sequence[str]) -> bool:
    """Return whether the line is still what the index saw: a file may change between the two readings."""
    if not 1 <= hit.line <= len(lines):
        return False
    line = lines[hit.line - 1]
    name = hit.symbol.rpartition(".")[2]
    seen = hit.snippet.strip().partition("\n")[0]
    return line.strip()[:40] == seen[:40] or not name or name in line or hit.kind == "module"
