"""Which files a piece of work will touch, from the index alone: names in the words, what depends on them, search."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from services.pex.calls.vector_ops import VectorOpsEdge
from services.vector_ops.models import Hit, Stamp
from services.vector_ops.protocol import SymbolNotFoundError

MAX_NAMES = 6
MAX_DEFINITIONS = 3
"""A name with more definitions says too little about where the work is."""
MAX_FOUND = 3
NEAR_BEST = 0.6
"""A file that scores less than this share of the best is not expected to change."""
MAX_HINTS = 20
MAX_EXPECTED = 500
SEARCH_LIMIT = 12
_QUOTED = re.compile(r"`([^`\n]{1,200})`")
_WORD = re.compile(r"[A-Za-z_][\w.]*[\w](?:\(\))?|[A-Za-z_]")
_PATH = re.compile(r"(?<![\w./\\-])(?:[\w@+-][\w.@+-]*/)*[\w@+-][\w.@+-]*\.[A-Za-z][A-Za-z0-9]{0,7}")


@dataclass(frozen=True)
class Prediction:
    """`hints` are files to begin with, best first; `files` those expected to change; `places` what the words hit."""

    hints: tuple[str, ...]
    files: tuple[str, ...]
    places: tuple[Hit, ...]
    stamp: Stamp


class Predictor:
    """Asks the index."""

    def __init__(self, index: VectorOpsEdge) -> None:
        self._index = index

    async def predict(self, words: str, repo: str) -> Prediction:
        """Return what `words` will touch in `repo`.

        The definitions of names that the words hold, and what depends on these; without such a name the files that a
        search ranks near the best, at most MAX_FOUND. Raises UnindexableError for no usable repository.
        """
        answer = await self._index.search(repo, words[:20_000], SEARCH_LIMIT)
        named = await self._find_named(repo, list_names(words))
        impact = [hit for symbol in {hit.symbol for hit in named} for hit in await self._find_impact(repo, symbol)]
        found = _near_best(answer.hits)
        begin = [hit.path for hit in (*named, *found)]
        expected = [hit.path for hit in (*named, *impact)] if named else [hit.path for hit in found[:MAX_FOUND]]
        return Prediction(
            hints=tuple(dict.fromkeys((*begin, *(hit.path for hit in impact))))[:MAX_HINTS],
            files=tuple(sorted(set(expected)))[:MAX_EXPECTED],
            places=tuple(_distinct((*named, *answer.hits))),
            stamp=answer.stamp,
        )

    async def _find_named(self, repo: str, names: Iterable[str]) -> tuple[Hit, ...]:
        found: list[Hit] = []
        for name in names:
            try:
                answer = await self._index.find_definitions(repo, name)
            except SymbolNotFoundError:
                continue
            if len(answer.hits) <= MAX_DEFINITIONS:
                found += answer.hits
        return tuple(_distinct(found))

    async def _find_impact(self, repo: str, symbol: str) -> tuple[Hit, ...]:
        try:
            hits = (await self._index.find_impact(repo, symbol)).hits
            return tuple(hit for hit in hits if hit.is_direct)
        except SymbolNotFoundError:
            return ()


def list_names(words: str) -> tuple[str, ...]:
    """Return the words that can only be names of code: quoted, dotted, with `_`, `()`, or a capital inside."""
    quoted = [name.removesuffix("()") for name in _QUOTED.findall(words)]
    plain = [name.removesuffix("()") for name in _WORD.findall(_QUOTED.sub(" ", words)) if _is_code(name)]
    names = [name for name in (*quoted, *plain) if all(part.isidentifier() for part in name.split("."))]
    return tuple(dict.fromkeys(names))[:MAX_NAMES]


def list_paths(words: str) -> tuple[str, ...]:
    """Return the words that look like paths of files inside the repository."""
    return tuple(dict.fromkeys(path for path in _PATH.findall(words) if "/" in path))[:MAX_HINTS]


def _is_code(word: str) -> bool:
    bare = word.removesuffix("()")
    return word != bare or "_" in bare.strip("_") or (bare[1:].lower() != bare[1:] and not bare.isupper())


def _near_best(hits: tuple[Hit, ...]) -> list[Hit]:
    best = max((hit.score for hit in hits), default=0.0)
    return [hit for hit in hits if hit.score >= NEAR_BEST * best]


def _distinct(hits: Iterable[Hit]) -> list[Hit]:
    found: dict[tuple[str, int], Hit] = {}
    for hit in hits:
        found.setdefault((hit.path, hit.line), hit)
    return list(found.values())
