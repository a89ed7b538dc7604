"""What a file contributes to full-text search, as bytes that depend on its content alone; stored by git blob sha.

A document is a small vocabulary (sorted term hashes) and, for each chunk, which of these terms it holds and how often;
besides, the terms of the names that are defined in the chunk. The document of the file is the sum of its chunks.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from services.vector_ops.languages.facts import FILE, FileFacts
from services.vector_ops.lexical.chunks import Chunk, Source, cut_file
from services.vector_ops.lexical.terms import TERMS_VERSION, TermTable, blank_punctuation, shared_table

DOCUMENT_VERSION: Final = 1 * 1_000 + TERMS_VERSION
"""Raised whenever the same content gives other bytes; documents of another version are made anew."""

OWN_NAME: Final = 1
OWNER_NAME: Final = 2
_MAX_COUNT = 255
_HEADER_SIZE = 6
_NARROW = 2
_LINE_FEED = ord("\n")

UInt8s = NDArray[np.uint8]
UInt32s = NDArray[np.uint32]
UInt64s = NDArray[np.uint64]
Int32s = NDArray[np.int32]
Indexes = NDArray[np.uint16] | NDArray[np.uint32]
_Number = TypeVar("_Number", bound=np.generic)


class DocumentError(ValueError):
    """The bytes are no document of this version."""


class Document(NamedTuple):
    """The arrays of one document; they are read-only views of the bytes.

    Of chunk `i`: `at[i]` is its symbol (FILE: none), `start_line[i]` and `end_line[i]` its lines, `text_hash[i]` a hash
    of its text. Its terms are `vocabulary[term[j]]`, `counts[j]` times, for `j` from `ends[i - 1]` (0 for the first) up
    to, but not including, `ends[i]`. In the same way `name_ends`, `name_term`, `name_flags` (OWN_NAME: a symbol defined
    there has the term in its name; OWNER_NAME: the class or module around it has).
    """

    vocabulary: UInt32s
    at: Int32s
    start_line: UInt32s
    end_line: UInt32s
    text_hash: UInt64s
    ends: UInt32s
    term: Indexes
    counts: UInt8s
    name_ends: UInt32s
    name_term: Indexes
    name_flags: UInt8s


class _Bags(NamedTuple):
    """For each chunk a sorted bag: `hashes` and `values` one after the other, and where each chunk's end."""

    ends: UInt32s
    hashes: UInt32s
    values: UInt8s


def encode_document(facts: FileFacts, text: str) -> bytes:
    """Return the document of a content as bytes: about a third of the text, at some 15 MB a second."""
    source = _find_lines(text.encode("utf-8", "surrogatepass"))
    data, words = source.data, source.words
    chunks = cut_file(facts, source)
    pieces = [source.find_lines(chunk) for chunk in chunks]
    table = shared_table()
    bags = _count([table.pack_words(words[piece].split()) for piece in pieces])
    names = _name_bags(facts, chunks, table)
    vocabulary = _sort_distinct(np.concatenate((bags.hashes, names.hashes)))
    wide = np.uint16 if len(vocabulary) <= np.iinfo(np.uint16).max else np.uint32
    header = (DOCUMENT_VERSION, len(chunks), len(vocabulary), len(bags.hashes), len(names.hashes), wide().itemsize)
    places = np.array(chunks, np.int64).reshape(-1, 3)
    parts = (
        np.array(header, np.uint32),
        np.array([_hash_text(data[piece]) for piece in pieces], np.uint64),
        places[:, 0].astype(np.int32),
        places[:, 1].astype(np.uint32),
        places[:, 2].astype(np.uint32),
        bags.ends,
        names.ends,
        vocabulary,
        vocabulary.searchsorted(bags.hashes).astype(wide),
        vocabulary.searchsorted(names.hashes).astype(wide),
        bags.values,
        names.values,
    )
    return b"".join(part.tobytes() for part in parts)


def decode_document(data: bytes) -> Document:
    """Return the arrays of a document; raise DocumentError for other bytes."""
    if len(data) < 4 * _HEADER_SIZE:
        raise DocumentError(f"a document has at least {4 * _HEADER_SIZE} bytes, not {len(data)}; index the file again")
    version, chunks, terms, postings, names, width = np.frombuffer(data, np.uint32, _HEADER_SIZE).tolist()
    expected = 4 * _HEADER_SIZE + chunks * 28 + terms * 4 + (postings + names) * (width + 1)
    if version != DOCUMENT_VERSION or len(data) != expected:
        raise DocumentError(f"a document of version {version} with {len(data)} bytes; index the file again")
    reader = _Reader(data)
    text_hash, at = reader.take(np.uint64, chunks), reader.take(np.int32, chunks)
    start_line, end_line, ends, name_ends = (reader.take(np.uint32, chunks) for _ in range(4))
    vocabulary = reader.take(np.uint32, terms)
    term, name_term = (reader.take_indexes(width, count) for count in (postings, names))
    counts, name_flags = (reader.take(np.uint8, count) for count in (postings, names))
    return Document(
        vocabulary, at, start_line, end_line, text_hash, ends, term, counts, name_ends, name_term, name_flags
    )


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._offset = 4 * _HEADER_SIZE

    def take(self, kind: type[_Number], count: int) -> NDArray[_Number]:
        array: NDArray[_Number] = np.frombuffer(self._data, kind, count, self._offset)
        self._offset += array.nbytes
        return array

    def take_indexes(self, width: int, count: int) -> Indexes:
        return self.take(np.uint16, count) if width == _NARROW else self.take(np.uint32, count)


def _find_lines(data: bytes) -> Source:
    breaks = (np.frombuffer(data, np.uint8) == _LINE_FEED).nonzero()[0] + 1
    return Source(data, blank_punctuation(data), [0, *breaks.tolist(), len(data) + 1])


def _hash_text(text: bytes) -> int:
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "little")


def _sort_distinct(hashes: UInt32s) -> UInt32s:
    """Return what `np.unique` does; that takes longer over checks than over a few hundred numbers."""
    hashes.sort()
    return hashes[_mark_first(hashes)]


def _count(packed: Sequence[bytes]) -> _Bags:
    """Return how often each chunk holds each term, clipped at 255."""
    keys = _key_terms(range(len(packed)), packed)
    keys.sort()
    starts = _mark_first(keys).nonzero()[0]
    counts = np.empty(len(starts), np.int64)
    np.subtract(starts[1:], starts[:-1], out=counts[:-1])
    counts[-1:] = len(keys) - starts[-1:]
    return _bags(keys[starts], np.minimum(counts, _MAX_COUNT).astype(np.uint8), len(packed))


def _key_terms(chunk_of: Sequence[int], packed: Sequence[bytes]) -> UInt64s:
    """Return chunk << 32 | term for every term of the packed ones, each from the chunk of the same place."""
    hashes = np.frombuffer(b"".join(packed), np.uint32).astype(np.uint64)
    sizes = np.array([len(one) >> 2 for one in packed], np.int64)
    hashes |= (np.array(chunk_of, np.uint64) << np.uint64(32)).repeat(sizes)
    return hashes


def _bags(keys: UInt64s, values: UInt8s, chunk_count: int) -> _Bags:
    bounds = np.arange(1, chunk_count + 1, dtype=np.uint64) << np.uint64(32)
    return _Bags(keys.searchsorted(bounds).astype(np.uint32), keys.astype(np.uint32), values)


def _name_bags(facts: FileFacts, chunks: Sequence[Chunk], table: TermTable) -> _Bags:
    """Return the terms of the names defined in each chunk, and of the names around them, as flags."""
    homes = _find_homes(facts, [chunk.start_line for chunk in chunks])
    named = set(homes)
    defined = list(zip(homes, facts.symbols, strict=True))
    defined += [
        (home, facts.symbols[chunk.at]) for home, chunk in enumerate(chunks) if chunk.at != FILE and home not in named
    ]
    own = {(home, symbol.name) for home, symbol in defined}
    around = {(home, symbol.qualname.rpartition(".")[0]) for home, symbol in defined}
    return _bags(*_merge_flags(_key_names(own, table), _key_names(around, table)), len(chunks))


def _find_homes(facts: FileFacts, starts: Sequence[int]) -> list[int]:
    """Return for each symbol the chunk that holds the line of its name."""
    return [max(bisect_right(starts, symbol.line) - 1, 0) for symbol in facts.symbols]


def _key_names(names: Iterable[tuple[int, str]], table: TermTable) -> UInt64s:
    """Return chunk << 32 | term for every term of some names, each in a chunk."""
    known: dict[str, bytes] = {}
    chunk_of, packed = [], []
    for home, name in names:
        found = known.get(name)
        if found is None:
            found = known[name] = table.pack_text(name)
        chunk_of.append(home)
        packed.append(found)
    return _key_terms(chunk_of, packed)


def _merge_flags(own_keys: UInt64s, around_keys: UInt64s) -> tuple[UInt64s, UInt8s]:
    """Return the distinct keys in order, each with the flags of the lists that hold it."""
    keys = np.concatenate((own_keys, around_keys))
    flags = np.full(len(keys), OWNER_NAME, np.uint8)
    flags[: len(own_keys)] = OWN_NAME
    order = keys.argsort(kind="stable")
    keys, flags = keys[order], flags[order]
    starts = _mark_first(keys).nonzero()[0]
    return keys[starts], np.bitwise_or.reduceat(flags, starts) if len(starts) else flags


def _mark_first(keys: NDArray[_Number]) -> NDArray[np.bool_]:
    """Return which of sorted numbers differ from the one before."""
    is_first = np.empty(len(keys), np.bool_)
    is_first[:1] = True
    np.not_equal(keys[1:], keys[:-1], out=is_first[1:])
    return is_first
