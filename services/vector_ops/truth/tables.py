"""Writing one file's rows: into the committed tables, or into the overlay with masks over the committed ones."""

import sqlite3
from typing import NamedTuple, Protocol

from services.vector_ops.truth.contents import Content
from services.vector_ops.truth.layers import StoredFile
from services.vector_ops.truth.rows import (
    EDGE_VALUES,
    SYMBOL_DETAILS,
    SYMBOL_VALUES,
    EdgeChanges,
    Row,
    SymbolChanges,
    row_range,
)
from services.vector_ops.truth.schema import OVERLAY_BASE, OVERLAY_TABLES, indexes_of, tables_of

_BLOB_VALUES = "(?,?,?,?,?,?,?)"
_COPY = (
    "INSERT INTO overlay.blob SELECT ?3, sha, form, skipped, outline, refs, document FROM main.blob"
    " WHERE sha = ?1 AND form = ?2"
)
_OVERLAY_TABLES = ("blob", "file", "tail", "symbol", "edge", "dep", "masked", "unlinked", "place")


class NewFile(NamedTuple):
    """A file to be written; `symbols` yields its rows once its number is known."""

    path: str
    blob_id: int
    language: str
    family: str
    unit: str
    is_test: bool
    tails: tuple[str, ...]


class Tables(Protocol):
    """Where a change is written. All numbers are of files."""

    schema: str

    def has_blob(self, sha: str, form: str) -> int | None: ...
    def add_blob(self, sha: str, key: str, content: Content) -> int: ...
    def drop_file(self, old: StoredFile) -> None: ...
    def put_file(self, old: StoredFile | None, new: NewFile) -> int: ...
    def put_symbols(self, changes: SymbolChanges) -> None: ...
    def put_edges(self, file_id: int, path: str, rows: list[Row], changes: EdgeChanges) -> None: ...
    def put_questions(self, file_id: int, packed: bytes) -> None: ...


class CommittedTables:
    """The tables of one schema, written in place."""

    schema = "main"

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def has_blob(self, sha: str, form: str) -> int | None:
        sql = f"SELECT id FROM {self.schema}.blob WHERE sha = ? AND form = ?"  # noqa: S608 - our own names
        found = self._connection.execute(sql, (sha, form)).fetchone()
        return None if found is None else int(found[0])

    def add_blob(self, sha: str, key: str, content: Content) -> int:
        values = (sha, key, content.facts.skipped, content.outline, content.references, content.document)
        sql = f"INSERT INTO {self.schema}.blob VALUES {_BLOB_VALUES}"  # noqa: S608
        return int(self._connection.execute(sql, (self._next_id("blob"), *values)).lastrowid or 0)

    def _next_id(self, table: str) -> int | None:
        return None if self.schema == "main" else self._next_overlay_id(table)

    def _next_overlay_id(self, table: str) -> int:
        found = self._connection.execute(f"SELECT max(id) FROM {self.schema}.{table}").fetchone()[0]  # noqa: S608
        return OVERLAY_BASE if found is None else int(found) + 1

    def drop_file(self, old: StoredFile) -> None:
        sql = f"DELETE FROM {self.schema}.symbol WHERE row BETWEEN ? AND ?"  # noqa: S608
        self._connection.execute(sql, row_range(old.id))
        self.drop_edges(old.id)
        for table, column in (("tail", "file_id"), ("dep", "file_id"), ("file", "id")):
            self._connection.execute(f"DELETE FROM {self.schema}.{table} WHERE {column} = ?", (old.id,))  # noqa: S608

    def drop_edges(self, file_id: int) -> None:
        """Delete the edges that leave a file."""
        sql = f"DELETE FROM {self.schema}.edge WHERE row BETWEEN ? AND ?"  # noqa: S608
        self._connection.execute(sql, row_range(file_id))

    def put_file(self, old: StoredFile | None, new: NewFile) -> int:
        if old is not None:
            self._connection.execute(f"DELETE FROM {self.schema}.tail WHERE file_id = ?", (old.id,))  # noqa: S608
        values = (new.path, new.blob_id, new.language, new.family, new.unit, new.is_test)
        file_id = self._next_id("file") if old is None else old.id
        sql = f"INSERT OR REPLACE INTO {self.schema}.file VALUES (?,?,?,?,?,?,?)"  # noqa: S608
        file_id = int(self._connection.execute(sql, (file_id, *values)).lastrowid or 0)
        self._connection.executemany(
            f"INSERT OR IGNORE INTO {self.schema}.tail VALUES (?, ?)",  # noqa: S608
            [(tail, file_id) for tail in new.tails],
        )
        return file_id

    def put_symbols(self, changes: SymbolChanges) -> None:
        many = self._connection.executemany
        many(f"DELETE FROM {self.schema}.symbol WHERE row = ?", changes.gone)  # noqa: S608
        many(f"UPDATE {self.schema}.symbol SET {SYMBOL_DETAILS} WHERE row = ?", changes.altered)  # noqa: S608
        many(f"INSERT OR REPLACE INTO {self.schema}.symbol VALUES {SYMBOL_VALUES}", changes.added)  # noqa: S608

    def put_edges(self, file_id: int, path: str, rows: list[Row], changes: EdgeChanges) -> None:  # noqa: ARG002
        many = self._connection.executemany
        many("DELETE FROM main.edge WHERE row = ?", changes.gone)
        many("UPDATE main.edge SET line = ?, col = ? WHERE row = ?", changes.moved)
        many(f"INSERT OR REPLACE INTO main.edge VALUES {EDGE_VALUES}", changes.added)  # noqa: S608 - our own names

    def put_questions(self, file_id: int, packed: bytes) -> None:
        sql = f"INSERT OR REPLACE INTO {self.schema}.dep VALUES (?, ?)"  # noqa: S608
        self._connection.execute(sql, (file_id, packed))


class OverlayTables(CommittedTables):
    """The in-memory tables attached as `overlay`, and the masks over the committed ones."""

    schema = "overlay"

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(connection)
        connection.execute("ATTACH ':memory:' AS overlay")
        connection.executescript(tables_of("overlay") + indexes_of("overlay") + OVERLAY_TABLES)

    def clear(self) -> None:
        """Empty the overlay."""
        for table in _OVERLAY_TABLES:
            self._connection.execute(f"DELETE FROM overlay.{table}")  # noqa: S608

    def has_blob(self, sha: str, form: str) -> int | None:
        found = super().has_blob(sha, form)
        if found is not None:
            return found
        copied = self._connection.execute(_COPY, (sha, form, self._next_overlay_id("blob")))
        return int(copied.lastrowid or 0) if copied.rowcount > 0 else None

    def drop_file(self, old: StoredFile) -> None:
        if old.schema == "overlay":
            super().drop_file(old)
            self._connection.execute("DELETE FROM overlay.place WHERE id = ?", (old.id,))
        else:
            self._mask(old.id)

    def _mask(self, file_id: int) -> None:
        self._connection.execute("INSERT OR IGNORE INTO overlay.masked VALUES (?)", (file_id,))
        self._unlink(file_id)
        self.drop_edges(file_id)
        self._connection.execute("DELETE FROM overlay.dep WHERE file_id = ?", (file_id,))

    def _unlink(self, file_id: int) -> None:
        self._connection.execute("INSERT OR IGNORE INTO overlay.unlinked VALUES (?)", (file_id,))

    def put_file(self, old: StoredFile | None, new: NewFile) -> int:
        if old is not None and old.schema == "main":
            self._mask(old.id)
            old = None
        return super().put_file(old, new)

    def put_edges(self, file_id: int, path: str, rows: list[Row], changes: EdgeChanges) -> None:  # noqa: ARG002
        if file_id < OVERLAY_BASE:
            self._unlink(file_id)
        self.drop_edges(file_id)
        self._connection.executemany(f"INSERT INTO overlay.edge VALUES {EDGE_VALUES}", rows)  # noqa: S608
        self._connection.execute("INSERT OR REPLACE INTO overlay.place VALUES (?, ?)", (file_id, path))
