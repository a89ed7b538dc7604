"""What is kept of vectors: which chunks have one, where the FAISS file is, and every vector that was dear to compute.

Two files beside the index: `<index>.vectors.sqlite3`, and the FAISS file that it names. The FAISS file is written first
and named in the transaction that also writes the list of chunks, so that both are always of one state.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from services.vector_ops.vectors.embedder import Floats, VectorsUnavailableError
from services.vector_ops.vectors.nearest import Nearest, NearestError

APPLICATION_ID: Final = 1146508849
_FORMAT = "1"
_BUSY_TIMEOUT_S = 30
PLACE_BYTES: Final = 8
_CREATE = """
BEGIN IMMEDIATE;
PRAGMA application_id = 1146508849;
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE file (
    path TEXT PRIMARY KEY, blob_sha TEXT NOT NULL, first_id INTEGER NOT NULL, places BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE vec_cache (
    id INTEGER PRIMARY KEY, model TEXT NOT NULL, text_hash BLOB NOT NULL, vector BLOB NOT NULL,
    UNIQUE (model, text_hash)
);
INSERT INTO meta VALUES ('format', '1');
COMMIT;
"""


class EmbeddedFile(NamedTuple):
    """A file whose chunks have vectors: chunk `i` has the id `first_id + i`.

    `places` has the first and last line of each chunk, uint32 each: as bytes, because there are many files.
    """

    blob_sha: str
    first_id: int
    places: bytes

    @property
    def chunk_count(self) -> int:
        """Return the number of chunks."""
        return len(self.places) // PLACE_BYTES

    def find_place(self, chunk: int) -> tuple[int, int]:
        """Return the first and the last line of a chunk."""
        first, last = np.frombuffer(self.places, np.uint32, 2, chunk * PLACE_BYTES).tolist()
        return first, last


class VectorFile:
    """The two files beside the index file `base`; opened at first use, set aside when damaged (`notes` says so).

    All methods raise VectorsUnavailableError when the disk does not do what is asked.
    """

    def __init__(self, base: Path) -> None:
        self._path = base.with_suffix(".vectors.sqlite3")
        self._connection: sqlite3.Connection | None = None
        self.notes: list[str] = []

    def load(self, model: str, nearest: Nearest) -> dict[str, EmbeddedFile]:
        """Fill `nearest` and return its files; both stay empty when what is kept is of another model or damaged."""
        with self._using() as connection:
            meta = dict(connection.execute("SELECT key, value FROM meta").fetchall())
            if meta.get("model") != model or "faiss" not in meta:
                return {}
            rows = connection.execute("SELECT path, blob_sha, first_id, places FROM file").fetchall()
        files = {path: EmbeddedFile(*rest) for path, *rest in rows}
        try:
            nearest.read(self._path.with_name(meta["faiss"]), sum(one.chunk_count for one in files.values()))
        except NearestError as error:
            self.notes.append(f"the vectors are made anew: {error}")
            return {}
        return files

    def save(self, model: str, nearest: Nearest, files: Mapping[str, EmbeddedFile]) -> None:
        """Write the vectors, then the list of chunks."""
        with self._using() as connection:
            connection.execute("BEGIN IMMEDIATE")
            found = connection.execute("SELECT value FROM meta WHERE key = 'faiss'").fetchone()
            old = str(found[0]) if found else ""
            number = int(old.rsplit(".", 2)[-2]) + 1 if old else 1
            name = f"{self._path.name.removesuffix('.sqlite3')}.{number}.faiss"
            nearest.write(self._path.with_name(name))
            connection.execute("DELETE FROM file")
            connection.executemany(
                "INSERT INTO file VALUES (?, ?, ?, ?)",
                ((path, *one) for path, one in files.items()),
            )
            connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", (("model", model), ("faiss", name)))
            connection.execute("COMMIT")
            if old:
                self._path.with_name(old).unlink(missing_ok=True)

    def read_cache(self, model: str, hashes: Sequence[bytes]) -> dict[bytes, Floats]:
        """Return the vectors that are kept of these texts."""
        found: dict[bytes, Floats] = {}
        query = "SELECT vector FROM vec_cache WHERE model = ? AND text_hash = ?"
        with self._using() as connection:
            for text_hash in hashes:
                row = connection.execute(query, (model, text_hash)).fetchone()
                if row is not None:
                    found[text_hash] = np.frombuffer(row[0], np.float16).astype(np.float32)
        return found

    def write_cache(self, model: str, vectors: Iterable[tuple[bytes, Floats]]) -> None:
        """Keep vectors by the hash of their text."""
        rows = [(model, text_hash, vector.astype(np.float16).tobytes()) for text_hash, vector in vectors]
        with self._using() as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT OR REPLACE INTO vec_cache (model, text_hash, vector) VALUES (?, ?, ?)", rows)
            connection.execute("COMMIT")

    def prune_cache(self, kept: int) -> None:
        """Forget the oldest vectors, of whatever model, but `kept`."""
        with self._using() as connection:
            connection.execute(
                "DELETE FROM vec_cache WHERE id <= (SELECT id FROM vec_cache ORDER BY id DESC LIMIT 1 OFFSET ?)",
                (kept,),
            )

    def close(self) -> None:
        """Close the file; it is opened again when it is used again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = self._open()
            try:
                yield connection
            except BaseException:
                if connection.in_transaction:
                    connection.rollback()
                raise
        except sqlite3.OperationalError as error:
            raise VectorsUnavailableError(f"the vectors beside the index cannot be read or written: {error}") from error
        except sqlite3.DatabaseError as error:
            self._set_aside(f"it cannot be read ({error})")
            raise VectorsUnavailableError("the vectors beside the index were damaged and are made anew") from error
        except OSError as error:
            raise VectorsUnavailableError(f"the vectors beside the index cannot be written: {error}") from error

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None:
            return self._connection
        if self._path.exists() and self._path.stat().st_size:
            fault = _find_fault(self._path)
            if fault:
                self._set_aside(fault)
        connection = sqlite3.connect(self._path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        try:
            for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "cache_size=-4000"):
                connection.execute(f"PRAGMA {pragma}")
            if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                connection.executescript(_CREATE)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _set_aside(self, fault: str) -> None:
        self.close()
        aside = self._path.with_name(f"{self._path.name}.set-aside")
        for suffix in ("-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        self._path.replace(aside)
        self.notes.append(f"the vectors were set aside as {aside.name} and are made anew: {fault}")


def _find_fault(path: Path) -> str:
    try:
        connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
        try:
            if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
                return "it is no file of vectors"
            found = connection.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        return f"it cannot be read ({error})"
    return "" if found == (_FORMAT,) else "its format is of another version"
