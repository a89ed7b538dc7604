"""All documents of a view as arrays, brought level by what changed; ranks as if they had been built anew.

A base segment holds most files; each synchronisation that finds changes adds a small segment and marks the replaced
files as gone. Numbers of documents, of documents with a term, and mean lengths are counted over the files that are
left, so an answer does not depend on how the arrays came to be.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from services.vector_ops.core.view import FileRow
from services.vector_ops.lexical.documents import DocumentError, decode_document
from services.vector_ops.lexical.segments import Docs, Postings, Segment, Values, build_segment
from services.vector_ops.lexical.terms import Terms

Scores = NDArray[np.float64]
Bools = NDArray[np.bool_]
_MAX_SEGMENTS = 8
_MAX_DELTA_SHARE = 0.2


class Documents(Protocol):
    """The part of an `IndexView` that the arrays are made from."""

    @property
    def epoch(self) -> str: ...

    def list_files(self) -> list[FileRow]: ...

    def read_documents(self, paths: Iterable[str]) -> Iterable[tuple[str, bytes]]: ...


class Weights(NamedTuple):
    """BM25: `k1` damps repetition, `b` how much a long document pays."""

    k1: float = 1.2
    b: float = 0.75


class Field:
    """One kind of postings over all segments: chunks, files, names or paths; numbers documents across segments."""

    def __init__(self, postings: Sequence[Postings], offsets: Sequence[int], alive: Bools, lengths: Scores) -> None:
        self._postings = postings
        self._offsets = offsets
        self._alive = alive
        self._is_whole = bool(alive.all())
        self._lengths = lengths
        self.count = int(alive.sum())
        self._mean_length = float(lengths[alive].mean()) if self.count else 1.0

    def find(self, terms: Terms) -> list[tuple[NDArray[np.intp], Values]]:
        """Return the living documents of each term, and the values there."""
        by_segment = [postings.find(terms) for postings in self._postings]
        return [self._join([found[index] for found in by_segment]) for index in range(len(terms))]

    def _join(self, parts: Sequence[tuple[Docs, Values]]) -> tuple[NDArray[np.intp], Values]:
        filled = [
            (docs, values, offset) for (docs, values), offset in zip(parts, self._offsets, strict=True) if len(docs)
        ]
        if not filled:
            return np.zeros(0, np.intp), np.zeros(0, np.uint16)
        docs = np.concatenate([docs.astype(np.intp) + offset for docs, _values, offset in filled])
        values = np.concatenate([values for _docs, values, _offset in filled])
        if self._is_whole:
            return docs, values
        kept = self._alive[docs]
        return docs[kept], values[kept]

    def rank(self, terms: Terms, boosts: Scores, weights: Weights) -> Scores:
        """Return the BM25 score of every document; term frequencies are damped to 1 + ln(tf), repeats in `boosts`."""
        scores = np.zeros(len(self._alive))
        norms = weights.k1 * (1 - weights.b + weights.b * self._lengths / max(self._mean_length, 1.0))
        for (docs, values), boost in zip(self.find(terms), boosts.tolist(), strict=True):
            if len(docs):
                damped = _DAMPED[np.minimum(values, len(_DAMPED) - 1)]
                gain = boost * weigh_rarity(len(docs), self.count) * (weights.k1 + 1)
                scores[docs] += gain * damped / (damped + norms[docs])
        return scores


_DAMPED = 1 + np.log(np.maximum(np.arange(4096), 1))


def weigh_rarity(holding: int, count: int) -> float:
    """Return the idf of a term that `holding` of `count` documents hold; never negative."""
    return float(np.log1p((count - holding + 0.5) / (holding + 0.5)))


@dataclass(slots=True)
class LexicalArrays:
    """The arrays of one view at a time; `sync` before reading. Not safe for two threads."""

    epoch: str = ""
    _segments: list[Segment] = field(default_factory=list)
    _alive: list[Bools] = field(default_factory=list)
    _places: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    """Path -> (blob sha, segment, file there)."""
    _state: "Corpus | None" = None

    def sync(self, view: Documents) -> "Corpus":
        """Bring the arrays level with a view and return them; costs nothing when the epoch is the same."""
        if self._state is None or view.epoch != self.epoch:
            self._apply({row.path: row.blob_sha for row in view.list_files() if not row.skipped}, view)
            self._state = self._gather()
            self.epoch = view.epoch
        return self._state

    def _apply(self, wanted: dict[str, str], view: Documents) -> None:
        gone = [path for path, (sha, _segment, _file) in self._places.items() if wanted.get(path) != sha]
        for path in gone:
            _sha, segment, file = self._places.pop(path)
            self._alive[segment][file] = False
        self._add(sorted(path for path in wanted if path not in self._places), wanted, view)
        if self._is_fragmented():
            self._segments, self._alive, self._places = [], [], {}
            self._add(sorted(wanted), wanted, view)

    def _is_fragmented(self) -> bool:
        total = sum(len(alive) for alive in self._alive)
        base = int(self._alive[0].sum()) if self._alive else 0
        return len(self._segments) > _MAX_SEGMENTS or (
            len(self._segments) > 1 and base < total * (1 - _MAX_DELTA_SHARE)
        )

    def _add(self, paths: list[str], wanted: dict[str, str], view: Documents) -> None:
        if not paths:
            return
        read = dict(view.read_documents(paths))
        documents = []
        for path in paths:
            try:
                documents.append((path, decode_document(read.get(path, b""))))
            except DocumentError:
                continue
        segment = build_segment(
            [path for path, _ in documents], [wanted[path] for path, _ in documents], [one for _, one in documents]
        )
        number = len(self._segments)
        self._segments.append(segment)
        self._alive.append(np.ones(len(segment.paths), np.bool_))
        self._places.update(
            (path, (sha, number, file))
            for file, (path, sha) in enumerate(zip(segment.paths, segment.shas, strict=True))
        )

    def _gather(self) -> "Corpus":
        return Corpus(self._segments, self._alive)


class Corpus:
    """The documents of one epoch: files and chunks numbered through all segments, some of them no longer alive."""

    def __init__(self, segments: Sequence[Segment], alive: Sequence[Bools]) -> None:
        self.paths = [path for segment in segments for path in segment.paths]
        self.is_alive = _join(alive, np.bool_)
        file_offsets = _offsets([len(segment.paths) for segment in segments])
        chunk_offsets = _offsets([len(segment.at) for segment in segments])
        self.chunk_file = _join(
            [
                segment.chunk_file.astype(np.intp) + offset
                for segment, offset in zip(segments, file_offsets, strict=True)
            ],
            np.intp,
        )
        self.at = _join([segment.at for segment in segments], np.int32)
        self.start_line = _join([segment.start_line for segment in segments], np.uint32)
        self.end_line = _join([segment.end_line for segment in segments], np.uint32)
        chunk_alive = self.is_alive[self.chunk_file]
        file_lengths = _join([segment.file_length for segment in segments], np.uint32).astype(np.float64)
        chunk_lengths = _join([segment.chunk_length for segment in segments], np.uint32).astype(np.float64)
        self.files = Field([segment.file_terms for segment in segments], file_offsets, self.is_alive, file_lengths)
        self.chunks = Field([segment.chunk_terms for segment in segments], chunk_offsets, chunk_alive, chunk_lengths)
        self.names = Field([segment.name_terms for segment in segments], chunk_offsets, chunk_alive, chunk_lengths)
        path_lengths = _join([segment.path_length for segment in segments], np.uint32).astype(np.float64)
        self.path_terms = Field([segment.path_terms for segment in segments], file_offsets, self.is_alive, path_lengths)

    def best_of_file(self, chunk_scores: Scores) -> Scores:
        """Return for each file the best score among its chunks, 0 for none."""
        best = np.zeros(len(self.paths))
        np.maximum.at(best, self.chunk_file, chunk_scores)
        return best


def _offsets(sizes: Sequence[int]) -> list[int]:
    return [sum(sizes[:index]) for index in range(len(sizes))]


def _join(arrays: Sequence[NDArray], kind: type[np.generic]) -> NDArray:  # type: ignore[type-arg]
    return np.concatenate(arrays) if arrays else np.zeros(0, kind)
