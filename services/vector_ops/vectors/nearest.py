"""Vectors under numbers, and the nearest of them: exact below some 300,000, in clusters above (FAISS)."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from services.vector_ops.vectors.embedder import Floats

if TYPE_CHECKING:
    import faiss

FLAT_LIMIT: Final = 300_000
_CLUSTERS, _LARGE_CLUSTERS, _LARGE = 1_024, 4_096, 2_000_000
_TRAINED_PER_CLUSTER = 64
_PROBES = 24
_SLICE = 50_000

Ids = NDArray[np.int64]


class NearestError(ValueError):
    """The file holds no vectors of this kind."""


class Nearest:
    """Vectors by id. fp16 in one flat list up to `flat_limit` vectors; `settle` then moves them into clusters of int8.

    Not safe to use from two threads at once.
    """

    def __init__(self, dimension: int, flat_limit: int = FLAT_LIMIT) -> None:
        import faiss  # noqa: PLC0415 - 30 MB that only a search for neighbours needs

        self._faiss = faiss
        self._flat_limit = flat_limit
        self.dimension = dimension
        flat = faiss.IndexScalarQuantizer(dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
        self._index: Any = faiss.IndexIDMap2(flat)  # its methods take arrays, which its stubs do not know

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def is_clustered(self) -> bool:
        """Say whether a search looks into the nearest clusters only."""
        return isinstance(self._index, self._faiss.IndexIVF)

    def add(self, ids: Ids, vectors: Floats) -> None:
        """Add vectors under ids that are not there yet."""
        if len(ids):
            self._use_one_thread()
            self._index.add_with_ids(np.ascontiguousarray(vectors, np.float32), np.ascontiguousarray(ids, np.int64))

    def remove(self, ids: Ids) -> None:
        """Remove these ids; one call costs a pass over all vectors, so give many at once."""
        if len(ids):
            self._index.remove_ids(np.ascontiguousarray(ids, np.int64))

    def find(self, vector: Floats, count: int) -> list[tuple[int, float]]:
        """Return up to `count` (id, cosine), nearest first."""
        if not len(self) or not vector.any():
            return []
        self._use_one_thread()
        scores, ids = self._index.search(vector.reshape(1, -1).astype(np.float32), min(count, len(self)))
        return [(one, score) for one, score in zip(ids[0].tolist(), scores[0].tolist(), strict=True) if one >= 0]

    @property
    def is_crowded(self) -> bool:
        """Say whether the vectors should move into clusters."""
        return not self.is_clustered and len(self) > self._flat_limit

    def copy_flat(self) -> tuple[Ids, NDArray[np.float16]]:
        """Return all ids and their vectors while they are in one list."""
        flat: Any = self._faiss.downcast_index(self._index.index)
        codes = self._faiss.vector_to_array(flat.codes).view(np.float16).reshape(-1, self.dimension)
        return self._faiss.vector_to_array(self._index.id_map), codes

    def make_clusters(self, ids: Ids, vectors: NDArray[np.float16]) -> Any:
        """Return these vectors in clusters; takes seconds and touches nothing that a search reads."""
        self._use_one_thread()
        clustered = self._make_empty_clusters(len(ids))
        wanted = min(len(ids), clustered.nlist * _TRAINED_PER_CLUSTER)
        clustered.train(vectors[np.linspace(0, len(ids) - 1, wanted).astype(np.int64)].astype(np.float32))
        for begin in range(0, len(ids), _SLICE):
            some = slice(begin, begin + _SLICE)
            clustered.add_with_ids(vectors[some].astype(np.float32), ids[some])
        return clustered

    def adopt(self, clustered: Any) -> None:
        """Answer from these clusters from now on."""
        self._index = clustered

    def settle(self) -> None:
        """Move the vectors into clusters when there have come to be many."""
        if self.is_crowded:
            self.adopt(self.make_clusters(*self.copy_flat()))

    def _make_empty_clusters(self, count: int) -> faiss.IndexIVFScalarQuantizer:
        clusters = _LARGE_CLUSTERS if count > _LARGE else min(_CLUSTERS, max(1, count // _TRAINED_PER_CLUSTER))
        coarse = self._faiss.IndexFlatIP(self.dimension)
        kind = self._faiss.ScalarQuantizer.QT_8bit
        metric = self._faiss.METRIC_INNER_PRODUCT
        clustered = self._faiss.IndexIVFScalarQuantizer(coarse, self.dimension, clusters, kind, metric)
        clustered.nprobe = _PROBES
        return clustered

    def write(self, path: Path) -> None:
        """Write to a file as a whole: to another name, to the disk, then renamed; raises OSError."""
        partial = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        try:
            try:
                self._faiss.write_index(self._index, str(partial))
            except RuntimeError as error:
                raise OSError(f"{path.name} cannot be written ({_first_line(error)})") from error
            with partial.open("rb") as written:
                os.fsync(written.fileno())
            partial.replace(path)
        except OSError:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def read(self, path: Path, count: int) -> None:
        """Take the `count` vectors of a file; raises NearestError when it is missing, damaged or another one."""
        if not path.is_file():
            raise NearestError(f"{path.name} is missing")
        try:
            index = self._faiss.read_index(str(path))
        except (RuntimeError, MemoryError) as error:
            raise NearestError(f"{path.name} cannot be read ({_first_line(error)})") from error
        if index.d != self.dimension or not isinstance(index, self._faiss.IndexIDMap2 | self._faiss.IndexIVF):
            raise NearestError(f"{path.name} holds vectors of another kind")
        if index.ntotal != count:
            raise NearestError(f"{path.name} holds {index.ntotal} vectors, not {count}")
        if isinstance(index, self._faiss.IndexIVF):
            index.nprobe = _PROBES
        self._index = index

    def _use_one_thread(self) -> None:
        """Threads of OpenMP spin: one query is slower with two than with one. The setting is the calling thread's."""
        self._faiss.omp_set_num_threads(1)


def _first_line(error: BaseException) -> str:
    return str(error).split("\n", 1)[0][:200]
