"""Ranking files for words: BM25 over terms, plus symbols named exactly, plus path words; tests demoted.

A normalised weighted sum; weights follow the measurements for this project (equal-weight rank fusion did worse).
"""

from collections import Counter
from dataclasses import dataclass

from services.vector_ops.core.facts import Definition, is_test
from services.vector_ops.core.ports import Reader
from services.vector_ops.core.words import query_terms, split_words

_BASKET = 50
_SYMBOL_WEIGHT = 0.3
_PATH_WEIGHT = 0.2
_TEST_FACTOR = 0.5
_NAME_BONUS = 2.0
_MAX_IDENTIFIERS = 20


@dataclass(frozen=True, slots=True)
class RankedFile:
    """A path and its score, 0 to about 1.5."""

    path: str
    score: float


def rank_files(reader: Reader, text: str, limit: int) -> list[RankedFile]:
    """Return files, best first."""
    terms = query_terms(text)
    matched = reader.rank_text(terms, max(_BASKET, limit * 3) + 1)
    best = max((score for _path, score in matched), default=0.0) or 1.0
    scores = {path: score / best for path, score in matched}
    defining = _find_defining(reader, text)
    wants_tests = "test" in terms or "tests" in terms
    ranked = []
    for path in scores.keys() | defining.keys():
        score = scores.get(path, 0.0) + _SYMBOL_WEIGHT * defining.get(path, 0.0) + _PATH_WEIGHT * _overlap(path, terms)
        ranked.append(RankedFile(path, score * (_TEST_FACTOR if is_test(path) and not wants_tests else 1.0)))
    ranked.sort(key=lambda one: (-one.score, one.path))
    return ranked[:limit]


def _find_defining(reader: Reader, text: str) -> dict[str, float]:
    """Return the paths that define an identifier of the query, by how few others define it."""
    names = [word for word in dict.fromkeys(_identifiers(text)) if "_" in word or not word.islower()]
    names = names or ([text.strip()] if text.strip().isidentifier() else [])
    scores: Counter[str] = Counter()
    for name in names[:_MAX_IDENTIFIERS]:
        paths = {one.path for one in reader.find_definitions([name])}
        for path in paths:
            scores[path] += 1 / len(paths)  # type: ignore[assignment]  # a Counter of floats
    top = max(scores.values(), default=1)
    return {path: score / top for path, score in scores.items()}


def _identifiers(text: str) -> list[str]:
    cleaned = "".join(char if char.isalnum() or char == "_" else " " for char in text)
    return [word for word in cleaned.split() if word.isidentifier()]


def _overlap(path: str, terms: list[str]) -> float:
    words = set(split_words(path))
    return sum(1 for term in terms if term in words) / len(terms) if terms else 0.0


@dataclass(frozen=True, slots=True)
class Spot:
    """The line of a file that answers a query best, and the definition around it."""

    line: int
    definition: Definition | None


def find_spot(definitions: list[Definition], lines: list[str], terms: list[str]) -> Spot:
    """Return the best definition: the most distinct terms inside it, its name counting most; else the best line."""
    hits = _match_lines(lines, set(terms))
    best: tuple[float, int, Definition] | None = None
    for one in definitions:
        named = set(split_words(one.qualname)) & set(terms)
        inside = set().union(*(hits[number] for number in range(one.line, one.end_line + 1) if number in hits))
        # A whole class covers more terms than the method that matters: length costs a little.
        score = _NAME_BONUS * len(named) + len(inside) - (one.end_line - one.line) / 200
        if (named or inside) and (best is None or (score, -one.line) > best[:2]):
            best = (score, -one.line, one)
    if best is not None:
        return Spot(best[2].line, best[2])
    line = max(hits, key=lambda number: (len(hits[number]), -number), default=1)
    return Spot(line, None)


def _match_lines(lines: list[str], terms: set[str]) -> dict[int, set[str]]:
    found = {}
    for number, line in enumerate(lines, 1):
        lowered = line.lower()
        # The substring test is a cheap sieve: few lines of a file need to be split into words.
        if any(term in lowered for term in terms):
            words = terms.intersection(split_words(line))
            if words:
                found[number] = words
    return found
