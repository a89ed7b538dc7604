"""The graph of files, ranked by personalised PageRank; derived from a view and kept until its epoch changes.

Page, Brin, Motwani, Winograd: The PageRank Citation Ranking (1999); personalisation as in Haveliwala (2002).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.vector_ops.core.view import FileRow, IndexView

_DAMPING = 0.85
_ROUNDS = 20
_TEST_WEIGHT = 0.1
_SEED_SHARE = 0.9
"""What the seeds get of the jump; the rest goes to all files, so that a map without a match is still a map."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class FileGraph:
    """Files as numbers, and edges as three arrays of equal length: from, to, weight (log of the number of uses)."""

    epoch: str
    files: tuple[FileRow, ...]
    numbers: Mapping[str, int]
    sources: Ints
    targets: Ints
    weights: Floats

    def rank(self, seeds: Mapping[str, float]) -> dict[str, float]:
        """Return the rank of every file of code; ranks sum to 1. `seeds` are paths and how much each matters."""
        count = len(self.files)
        if not count:
            return {}
        jump = self._jump(seeds)
        out = np.bincount(self.sources, weights=self.weights, minlength=count)
        share = self.weights / out[self.sources]
        ranks = jump
        for _ in range(_ROUNDS):
            flow = np.bincount(self.targets, weights=ranks[self.sources] * share, minlength=count)
            lost = float(ranks[out == 0].sum())
            ranks = (1 - _DAMPING) * jump + _DAMPING * (flow + lost * jump)
        return {file.path: float(rank) for file, rank in zip(self.files, ranks, strict=True)}

    def _jump(self, seeds: Mapping[str, float]) -> Floats:
        base = np.array([_TEST_WEIGHT if file.is_test else 1.0 for file in self.files])
        base /= base.sum()
        wanted = np.zeros(len(self.files))
        for path, weight in seeds.items():
            if path in self.numbers:
                wanted[self.numbers[path]] = weight
        total = float(wanted.sum())
        return _SEED_SHARE * wanted / total + (1 - _SEED_SHARE) * base if total > 0 else base


def make_file_graph(view: IndexView) -> FileGraph:
    """Return the graph of the files of code of a view."""
    files = tuple(file for file in view.list_files() if file.language and not file.skipped)
    numbers = {file.path: number for number, file in enumerate(files)}
    totals: dict[tuple[int, int], int] = {}
    for source, target, _kind, count in view.file_edges():
        if source in numbers and target in numbers:
            key = numbers[source], numbers[target]
            totals[key] = totals.get(key, 0) + count
    return connect_files(view.epoch, files, totals)


def connect_files(epoch: str, files: Sequence[FileRow], uses: Mapping[tuple[int, int], int]) -> FileGraph:
    """Return the graph of files; `uses` has how often one file uses another, both as numbers."""
    pairs = np.array(sorted(uses), dtype=np.int64).reshape(-1, 2)
    weights = np.log1p(np.array([uses[one] for one in sorted(uses)], dtype=np.float64))
    numbers = {file.path: number for number, file in enumerate(files)}
    return FileGraph(epoch, tuple(files), numbers, pairs[:, 0], pairs[:, 1], weights)
