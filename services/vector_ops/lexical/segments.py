"""Immutable arrays over some documents: which chunks and which files hold a term, and how often."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from services.vector_ops.lexical.documents import Document
from services.vector_ops.lexical.terms import Terms, shared_table

Docs = NDArray[np.int32]
Values = NDArray[np.uint16]
_MAX_VALUE = 65_535
_CHUNK_BITS = np.uint64(24)
_VALUE_BITS = np.uint64(8)
_TERM_SHIFT = _CHUNK_BITS + _VALUE_BITS
MAX_CHUNKS = 1 << int(_CHUNK_BITS)


@dataclass(frozen=True, slots=True)
class Postings:
    """For each term (sorted) the documents that hold it, ascending, each with a value.

    Those of `terms[i]` are `docs[starts[i] : starts[i + 1]]`.
    """

    terms: Terms
    starts: NDArray[np.int64]
    docs: Docs
    values: Values

    def find(self, terms: Terms) -> list[tuple[Docs, Values]]:
        """Return the documents and values of each of some terms; empty arrays for a term that nothing holds."""
        places = np.searchsorted(self.terms, terms)
        inside = np.minimum(places, max(len(self.terms) - 1, 0))
        is_held = self.terms[inside] == terms if len(self.terms) else np.zeros(len(terms), np.bool_)
        begins = np.where(is_held, self.starts[inside], 0).tolist()
        ends = np.where(is_held, self.starts[np.minimum(inside + 1, len(self.terms))], 0).tolist()
        return [(self.docs[begin:end], self.values[begin:end]) for begin, end in zip(begins, ends, strict=True)]


@dataclass(frozen=True, slots=True)
class Segment:
    """Files and their chunks, both numbered from 0; `chunk_file` says which file a chunk belongs to."""

    paths: tuple[str, ...]
    shas: tuple[str, ...]
    chunk_file: Docs
    at: NDArray[np.int32]
    start_line: NDArray[np.uint32]
    end_line: NDArray[np.uint32]
    chunk_length: NDArray[np.uint32]
    file_length: NDArray[np.uint32]
    path_length: NDArray[np.uint32]
    chunk_terms: Postings
    file_terms: Postings
    name_terms: Postings
    path_terms: Postings


def build_segment(paths: Sequence[str], shas: Sequence[str], documents: Sequence[Document]) -> Segment:
    """Return the arrays of some documents; raise OverflowError beyond MAX_CHUNKS chunks."""
    sizes = [len(document.at) for document in documents]
    if sum(sizes) >= MAX_CHUNKS:
        raise OverflowError(
            f"{sum(sizes)} chunks are too many for one index (the limit is {MAX_CHUNKS}); ignore some files"
        )
    offsets = [0, *accumulate(sizes)]
    chunk_file = np.repeat(np.arange(len(documents), dtype=np.int32), sizes)
    body = _sort_keys(_body_keys(document, offset) for document, offset in zip(documents, offsets, strict=False))
    names = _sort_keys(_name_keys(document, offset) for document, offset in zip(documents, offsets, strict=False))
    chunk_terms, path_terms = _read_postings(body), _index_paths(paths)
    lengths = np.bincount(chunk_terms.docs, weights=chunk_terms.values, minlength=offsets[-1])
    file_lengths = np.bincount(chunk_file, weights=lengths, minlength=len(documents))
    return Segment(
        tuple(paths),
        tuple(shas),
        chunk_file,
        _join((document.at for document in documents), np.int32),
        _join((document.start_line for document in documents), np.uint32),
        _join((document.end_line for document in documents), np.uint32),
        lengths.astype(np.uint32),
        file_lengths.astype(np.uint32),
        np.bincount(path_terms.docs, weights=path_terms.values, minlength=len(paths)).astype(np.uint32),
        chunk_terms,
        _sum_by_file(body, chunk_file),
        _read_postings(names),
        path_terms,
    )


def _join(arrays: Iterable[NDArray[np.generic]], kind: type[np.generic]) -> NDArray:  # type: ignore[type-arg]
    parts = list(arrays)
    return np.concatenate(parts) if parts else np.zeros(0, kind)


def _body_keys(document: Document, offset: int) -> NDArray[np.uint64]:
    return _pack(document.vocabulary[document.term], document.ends, document.counts, offset)


def _name_keys(document: Document, offset: int) -> NDArray[np.uint64]:
    return _pack(document.vocabulary[document.name_term], document.name_ends, document.name_flags, offset)


def _pack(terms: Terms, ends: NDArray[np.uint32], values: NDArray[np.uint8], offset: int) -> NDArray[np.uint64]:
    """Return term, chunk and value in one number each, so that one sort of numbers orders them all."""
    chunks = np.repeat(np.arange(offset, offset + len(ends), dtype=np.uint64), _sizes(ends))
    return (terms.astype(np.uint64) << _TERM_SHIFT) | (chunks << _VALUE_BITS) | values


def _sizes(ends: NDArray[np.uint32]) -> NDArray[np.uint32]:
    sizes = ends.copy()
    sizes[1:] -= ends[:-1]
    return sizes


def _sort_keys(parts: Iterable[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    keys: NDArray[np.uint64] = _join(parts, np.uint64)
    keys.sort()
    return keys


def _terms_of(keys: NDArray[np.uint64]) -> Terms:
    return (keys >> _TERM_SHIFT).astype(np.uint32)


def _chunks_of(keys: NDArray[np.uint64]) -> Docs:
    return ((keys >> _VALUE_BITS) & np.uint64(MAX_CHUNKS - 1)).astype(np.int32)


def _values_of(keys: NDArray[np.uint64]) -> Values:
    return (keys & np.uint64(0xFF)).astype(np.uint16)


def _read_postings(keys: NDArray[np.uint64]) -> Postings:
    return _group(_terms_of(keys), _chunks_of(keys), _values_of(keys))


def _group(terms: Terms, docs: Docs, values: Values) -> Postings:
    starts = _find_changes(terms)
    return Postings(terms[starts], np.append(starts, len(terms)).astype(np.int64), docs, values)


def _find_changes(*columns: NDArray[np.generic]) -> NDArray[np.intp]:
    """Return the rows that differ from the row before them, the first included."""
    differs = np.zeros(len(columns[0]), np.bool_)
    differs[:1] = True
    for column in columns:
        differs[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(differs)


def _sum_by_file(keys: NDArray[np.uint64], chunk_file: Docs) -> Postings:
    """Return the postings of whole files: those of their chunks, added up."""
    terms, files = _terms_of(keys), chunk_file[_chunks_of(keys)]
    starts = _find_changes(terms, files)
    if not len(starts):
        return _group(terms, files, _values_of(keys))
    sums = np.add.reduceat(_values_of(keys).astype(np.uint32), starts)
    return _group(terms[starts], files[starts], np.minimum(sums, _MAX_VALUE).astype(np.uint16))


def _index_paths(paths: Sequence[str]) -> Postings:
    """Return the terms of the paths; the value is how often the path holds the term."""
    packed = [shared_table().pack_text(path.replace("/", " ")) for path in paths]
    terms = np.frombuffer(b"".join(packed), np.uint32)
    files = np.repeat(np.arange(len(paths), dtype=np.uint64), [len(one) // 4 for one in packed])
    keys = np.sort((terms.astype(np.uint64) << np.uint64(32)) | files)
    starts = _find_changes(keys)
    counts = np.minimum(np.diff(starts, append=len(keys)), _MAX_VALUE).astype(np.uint16)
    distinct = keys[starts]
    return _group((distinct >> np.uint64(32)).astype(np.uint32), distinct.astype(np.uint32).astype(np.int32), counts)
