"""Which files asked a question: the hashes of all files' questions in one array."""

import sqlite3
from collections.abc import Iterable

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

    def put(self, file_id: int, packed: bytes | None) -> None:
        """Replace the questions of a file; None: it is gone."""
        self._patches[file_id] = packed
        if len(self._patches) > _MAX_PATCHES:
            merged = {**self._blobs, **self._patches}
            self._patches = {}
            self._load((one, blob) for one, blob in merged.items() if blob is not None)

    def find(self, hashes: Iterable[int]) -> set[int]:
        """Return the files that asked one of these questions."""
        wanted = np.unique(np.fromiter(hashes, np.uint32))
        if not len(wanted):
            return set()
        table = np.zeros(_LOW + 1, np.bool_)
        table[wanted & np.uint32(_LOW)] = True
        near = np.flatnonzero(table[self._low])
        hit = near[np.isin(self._hashes[near], wanted)]
        found = set(np.unique(self._owners[hit]).tolist()) - self._patches.keys()
        for file_id, blob in self._patches.items():
            if blob and np.isin(np.frombuffer(blob, np.uint32), wanted).any():
                found.add(file_id)
        return found


def read_dependents(connection: sqlite3.Connection) -> Dependents:
    """Return the questions of the committed files."""
    return Dependents(connection.execute("SELECT file_id, questions FROM main.dep ORDER BY file_id").fetchall())
