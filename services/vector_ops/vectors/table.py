"""The table of static vectors: one row a term, as int8 with a scale, in the package's data."""

from importlib.resources import as_file, files
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from services.kernel.errors import InternalError

TABLE_NAME = "static.v1.npz"
_TOP = 127

Floats = NDArray[np.float32]


class TableError(InternalError):
    """The table of static vectors is missing or not one."""

    code = "vector_ops.static_table_unusable"


class StaticTable(NamedTuple):
    """Row `i` of `codes` times `scales[i]` is the vector of the term with hash `hashes[i]`; hashes are sorted."""

    hashes: NDArray[np.uint32]
    codes: NDArray[np.int8]
    scales: Floats
    terms_version: int

    @property
    def dimension(self) -> int:
        """Return the number of columns."""
        return int(self.codes.shape[1])

    @property
    def digest(self) -> str:
        """Return a short name of the content: another table has another."""
        return f"{crc32(self.codes.tobytes(), crc32(self.hashes.tobytes())):08x}"

    def decode(self, rows: NDArray[np.int64]) -> Floats:
        """Return these rows as floats."""
        return self.codes[rows].astype(np.float32) * self.scales[rows][:, None]

    def find_rows(self, terms: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the row of each term and whether it has one (without one, the row means nothing)."""
        rows = np.minimum(np.searchsorted(self.hashes, terms), len(self.hashes) - 1)
        return rows, self.hashes[rows] == terms


def quantize_rows(rows: Floats) -> tuple[NDArray[np.int8], Floats]:
    """Return int8 codes and the scale of each row; the error is at most half a scale a number."""
    scales = np.abs(rows).max(axis=1) / _TOP
    scales = np.where(scales > 0, scales, 1).astype(np.float32)
    return np.rint(rows / scales[:, None]).astype(np.int8), scales


def write_table(
    path: Path, *, hashes: NDArray[np.uint32], codes: NDArray[np.int8], scales: Floats, terms_version: int
) -> None:
    """Write a table to a file."""
    np.savez_compressed(path, hashes=hashes, codes=codes, scales=scales, terms_version=np.array(terms_version))


def read_table(path: Path) -> StaticTable:
    """Read a table from a file; raises TableError."""
    try:
        with path.open("rb") as file, np.load(file) as data:
            table = StaticTable(data["hashes"], data["codes"], data["scales"], int(data["terms_version"]))
    except (OSError, EOFError, ValueError, KeyError, BadZipFile) as error:
        raise TableError(
            f"the table of static vectors {path.name} cannot be read ({error}); reinstall direng"
        ) from error
    if len(table.hashes) == 0 or table.codes.shape[:1] != table.hashes.shape or len(table.scales) != len(table.hashes):
        raise TableError(f"the table of static vectors {path.name} does not hold one row a term; reinstall direng")
    return table


def read_shipped_table() -> StaticTable:
    """Read the table of this package; raises TableError."""
    with as_file(files(__package__) / TABLE_NAME) as path:
        return read_table(path)
