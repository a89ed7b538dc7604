"""Which files asked a question: the hashes of all files' questions in one array."""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

import numpy as np
from numpy.typing import NDArray

UInt32s = NDArray[np.uint32]
Int64s = NDArray[np.int64]

_MAX_PATCHES = 400
_LOW = 0xFFFF


class Dependents:
    """The questions of every file of one snapshot; patches are kept beside the array until there are many."""

    def __init__(self, rows: Iterable[tuple[int, bytes]]) -> None:
        self._patches: dict[int, bytes | None] = {}
        self._load(rows)

    def _load(self, rows: Iterable[tuple[int, bytes]]) -> None:
        self._blobs = dict(rows)
        sizes = np.fromiter((len(blob) // 4 for blob in self._blobs.values()), np.int64, len(self._blobs))
        ids = np.fromiter(self._blobs.keys(), np.int64, len(self._blobs))
        self._hashes: UInt32s = np.frombuffer(b"".join(self._blobs.values()), np.uint32)
        self._owners: Int64s = np.repeat(ids, sizes)
        self._low = (self._hashes & np.uint32(_LOW)).astype(np.uint16)

    def put(self, file_id: int, packed: bytes | None) -> bool:
        """Replace the questions of a file (None: it is gone); return whether they differ."""
        if self._patches.get(file_id, self._blobs.get(file_id)) == packed:
            return False
        self._patches[file_id] = packed
        if len(self._patches) > _MAX_PATCHES:
            merged = {**self._blobs, **self._patches}
            self._patches = {}
            self._load((one, blob) for one, blob in merged.items() if blob is not None)
        return True

    def find(self, hashes: Iterable[int], pairs: Mapping[int, set[int]] | None = None) -> set[int]:
        """Return the files that asked one of these questions, or the first of a pair and one of its others."""
        found = {file_id for _hash, file_id in self._list_askers(hashes)}
        if pairs:
            askers: dict[int, set[int]] = defaultdict(set)
            for one, file_id in self._list_askers({*pairs, *chain.from_iterable(pairs.values())}):
                askers[one].add(file_id)
            for one, others in pairs.items():
                found |= askers[one].intersection(chain.from_iterable(askers[other] for other in others))
        return found

    def _list_askers(self, hashes: Iterable[int]) -> Iterator[tuple[int, int]]:
        """Yield (question, file that asked it)."""
        wanted = np.unique(np.fromiter(hashes, np.uint32))
        if not len(wanted):
            return
        table = np.zeros(_LOW + 1, np.bool_)
        table[wanted & np.uint32(_LOW)] = True
        near = np.flatnonzero(table[self._low])
        hit = near[np.isin(self._hashes[near], wanted)]
        for one, file_id in zip(self._hashes[hit].tolist(), self._owners[hit].tolist(), strict=True):
            if file_id not in self._patches:
                yield one, file_id
        for file_id, blob in self._patches.items():
            asked = np.frombuffer(blob or b"", np.uint32)
            for one in asked[np.isin(asked, wanted)].tolist():
                yield one, file_id


def read_dependents(connection: sqlite3.Connection) -> Dependents:
    """Return the questions of the committed files."""
    return Dependents(connection.execute("SELECT file_id, questions FROM main.dep ORDER BY file_id").fetchall())
