"""A question as search understands it: weighted terms, what it names, and which kind of question it is."""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from services.vector_ops.lexical.arrays import Scores
from services.vector_ops.lexical.terms import Terms, find_identifiers, hash_term, split_identifier
from services.vector_ops.retrieval.mentions import Mentions, find_mentions
from services.vector_ops.retrieval.zones import Zone, read_zones

MAX_TERMS = 400
MAX_CHARACTERS = 20_000
_MAX_PHRASE_WORDS = 25
_NAME = re.compile(r"^[^\W\d]\w*(?:(?:\.|::|#|/|->)[^\W\d]\w*)*(?:\(\))?$")
_TESTS = re.compile(
    r"\b(?:unit[- ]?tests?|test (?:suite|case|file|helper)s?|tests? for|which tests?|fixtures?)\b", re.IGNORECASE
)
_DOCS = re.compile(r"\b(?:documentation|docs?|readme|changelog|tutorial)\b", re.IGNORECASE)


class Route(StrEnum):
    """The kinds of question: one name, a line of a few words, a text with code, traces and sentences."""

    NAME = "name"
    PHRASE = "phrase"
    ISSUE = "issue"


@dataclass(frozen=True, slots=True)
class Question:
    """A parsed question. `terms` and `boosts` run in parallel, the weightiest first."""

    text: str
    route: Route
    terms: Terms
    boosts: Scores
    mentions: Mentions
    title_names: frozenset[str]
    title_paths: tuple[str, ...]
    wants_tests: bool
    wants_docs: bool


def parse_question(text: str, zone_weights: Mapping[str, float]) -> Question:
    """Return what a text asks for; any text will do, only its first MAX_CHARACTERS count."""
    text = text[:MAX_CHARACTERS].replace("\0", " ")
    mentions = find_mentions(text)
    weighted = _weigh_terms(text, zone_weights)
    title = text.strip().partition("\n")[0]
    route = _choose_route(text.strip())
    return Question(
        text,
        route,
        np.array([hash_term(term) for term, _weight in weighted], np.uint32),
        np.array([weight for _term, weight in weighted], np.float64),
        mentions,
        frozenset(find_identifiers(title)),
        find_mentions(title).paths,
        route is not Route.ISSUE and bool(_TESTS.search(text)),
        route is not Route.ISSUE and bool(_DOCS.search(text)),
    )


def _choose_route(text: str) -> Route:
    if _NAME.match(text):
        return Route.NAME
    is_short = len(text.split()) < _MAX_PHRASE_WORDS and "\n" not in text
    return Route.PHRASE if is_short else Route.ISSUE


def _weigh_terms(text: str, zone_weights: Mapping[str, float]) -> list[tuple[str, float]]:
    """Return each term with 1 + ln(how often), times the weight of the best zone it stands in; at most MAX_TERMS."""
    counts: dict[str, float] = defaultdict(float)
    best: dict[str, float] = defaultdict(float)
    for zone, line in read_zones(text):
        weight = zone_weights[zone]
        for identifier in find_identifiers(line):
            for term in split_identifier(identifier):
                counts[term] += 1 if zone is not Zone.NOISE else 0
                best[term] = max(best[term], weight)
    weighted = [(term, best[term] * (1 + float(np.log(max(count, 1.0))))) for term, count in counts.items()]
    return sorted(weighted, key=lambda one: (-one[1], one[0]))[:MAX_TERMS]
