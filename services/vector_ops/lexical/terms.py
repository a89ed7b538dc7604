"""Text to search terms: whole identifiers and their camelCase and snake_case parts, lower-cased, as 32-bit hashes.

A term is the crc32 of its spelling. There is no dictionary, so what a file holds depends on its content alone; among
half a million different terms about thirty pairs share a hash, which no ranking notices.
"""

import re
from collections.abc import Iterable
from functools import cache
from sys import byteorder
from typing import Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

TERMS_VERSION: Final = 1
"""Raised whenever the same text gives other terms."""

_IDENTIFIER = re.compile(r"[^\W\d]\w*|\d{2,}")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\dA-Za-z_]+")
_ASCII_IDENTIFIER = re.compile(rb"[A-Za-z_]\w*|\d{2,}").findall
_ASCII_PART = re.compile(rb"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+").findall
_MAX_TERM_LENGTH = 64
_CACHED_WORDS = 200_000
_SPACED = bytes(
    code if code > ord("~") or chr(code).isalnum() or chr(code) in "_\n" else ord(" ") for code in range(256)
)
_STOP = (
    "a an and are as at be by do does for from how if in into is it its not of on or that the their then there these "
    "this to was we what when where which who why will with you i me my can should would have has been but so "
    "self def return"
)
STOPWORDS = frozenset(re.split(" ", _STOP))
_STOP_BYTES = frozenset(word.encode() for word in STOPWORDS)

Terms = NDArray[np.uint32]


def find_identifiers(text: str) -> list[str]:
    """Return the identifiers and numbers of a text in order, as they are written."""
    return _IDENTIFIER.findall(text)


def split_identifier(identifier: str) -> list[str]:
    """Return the terms of one identifier: itself in lower case, then its parts when there is more than one."""
    whole = identifier.lower()
    parts = [part.lower() for part in _PART.findall(identifier)]
    terms = [whole, *parts] if len(parts) > 1 else [whole]
    return [term for term in terms if 1 < len(term) <= _MAX_TERM_LENGTH and term not in STOPWORDS]


def hash_term(term: str) -> int:
    """Return the hash that stands for a term."""
    return crc32(term.encode("utf-8", "surrogatepass"))


def blank_punctuation(data: bytes) -> bytes:
    """Return UTF-8 text with a space for each ASCII character that no identifier holds; line ends stay."""
    return data.translate(_SPACED)


def _pack_ascii(word: bytes) -> bytes:
    """Return what `_pack_word` does of a word without other letters than those of ASCII, in half the time."""
    terms = []
    for identifier in _ASCII_IDENTIFIER(word):
        parts = _ASCII_PART(identifier)
        terms.append(identifier)
        if len(parts) > 1:
            terms += parts
    lowered = [term.lower() for term in terms if 1 < len(term) <= _MAX_TERM_LENGTH]
    return b"".join([crc32(term).to_bytes(4, byteorder) for term in lowered if term not in _STOP_BYTES])


def _pack_word(word: bytes) -> bytes:
    identifiers = find_identifiers(word.decode("utf-8", "replace"))
    hashes = [hash_term(term) for one in identifiers for term in split_identifier(one)]
    return b"".join([one.to_bytes(4, byteorder) for one in hashes])


class TermTable(dict[bytes, bytes]):
    """Word in UTF-8 -> the hashes of its terms as bytes, worked out when first asked for; forgets all when it is full.

    A word is what lies between two spaces after `blank_punctuation`; splitting bytes at spaces is five times as fast as
    searching the text with an expression, which is left to the few words that are new.
    """

    def __missing__(self, word: bytes) -> bytes:
        if len(self) >= _CACHED_WORDS:
            self.clear()
        packed = _pack_ascii(word) if word.isascii() else _pack_word(word)
        if len(word) <= _MAX_TERM_LENGTH:
            self[word] = packed
        return packed

    def pack_words(self, words: Iterable[bytes]) -> bytes:
        """Return the hashes of the terms of some words, in order, repeated as they occur, four bytes each."""
        return b"".join(map(self.__getitem__, words))

    def pack_text(self, text: str) -> bytes:
        """Return the hashes of all terms of a text, in order, repeated as they occur, four bytes each."""
        return self.pack_words(blank_punctuation(text.encode("utf-8", "replace")).split())


@cache
def shared_table() -> TermTable:
    """Return the table of this process: what it holds is a pure function of the identifier."""
    return TermTable()


def hash_text(text: str) -> Terms:
    """Return the hashes of the terms of a text, in order, repeated as they occur."""
    return np.frombuffer(shared_table().pack_text(text), np.uint32)
