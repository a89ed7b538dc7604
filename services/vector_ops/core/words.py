"""Text to search terms: whole identifiers and their camelCase and snake_case parts, lower-cased."""

import re
from collections import Counter
from functools import lru_cache

_IDENTIFIER = re.compile(r"[^\W\d]\w*|\d{2,}")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\dA-Za-z_]+")
_MAX_TERM_LENGTH = 64
_STOP = (
    "a an and are as at be by do does for from how if in into is it its not of on or that the their then there these "
    "this to was we what when where which who why will with you i me my can should would"
)
STOPWORDS = frozenset(re.split(" ", _STOP))


@lru_cache(maxsize=20_000)
def split_identifier(identifier: str) -> tuple[str, ...]:
    """Return the identifier in lower case, then its parts when there is more than one; one letter is no term."""
    whole = identifier.lower()
    parts = [part.lower() for part in _PART.findall(identifier)]
    terms = [whole, *parts] if len(parts) > 1 else [whole]
    return tuple(term for term in terms if 1 < len(term) <= _MAX_TERM_LENGTH)


def split_words(text: str) -> list[str]:
    """Return the search terms of `text`, in order, repeated as often as they occur."""
    terms: list[str] = []
    for identifier in _IDENTIFIER.findall(text):
        terms.extend(split_identifier(identifier))
    return terms


def damped_counts(text: str) -> dict[str, int]:
    """Return each term with 1 + floor(log2(count)): a term that fills a file must not drown the others."""
    return {term: count.bit_length() for term, count in Counter(split_words(text)).items()}


def damped_text(text: str) -> str:
    """Return the bag of terms that full-text search stores for `text`."""
    return " ".join(" ".join([term] * count) for term, count in damped_counts(text).items())


def query_terms(text: str, limit: int = 200) -> list[str]:
    """Return at most `limit` distinct terms of a query without stop words (kept when nothing else is there)."""
    terms = list(dict.fromkeys(split_words(text)))
    return [term for term in terms if term not in STOPWORDS][:limit] or terms[:limit]
