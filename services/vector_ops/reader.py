"""Reading the index: every query runs on the committed files minus the overlaid paths, then on the overlay itself."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from hashlib import sha1

from services.vector_ops.core.facts import (
    Definition,
    DefinitionAt,
    FileFacts,
    ImportAt,
    ReferenceAt,
    is_python,
)
from services.vector_ops.core.ports import Extract, IndexState, Totals
from services.vector_ops.facts_table import (
    DEFINITION_COLUMNS,
    IMPORT_COLUMNS,
    REFERENCE_COLUMNS,
    insert_facts,
    insert_file,
    read_definition,
    read_import,
    read_reference,
)
from services.vector_ops.schema import FACT_TABLES, statements_for
from services.vector_ops.text_rank import OverlayText, rank_committed, rank_overlay

_NOT_MASKED = " AND f.path NOT IN (SELECT path FROM overlay.masked)"
_DEFINITIONS = f"SELECT f.path, {DEFINITION_COLUMNS} FROM {{s}}.definition d JOIN {{s}}.file f ON f.blob_id = d.blob_id"  # noqa: S608 - our own names
_REFERENCES = f"SELECT f.path, {REFERENCE_COLUMNS} FROM {{s}}.reference r JOIN {{s}}.file f ON f.blob_id = r.blob_id"  # noqa: S608
_IMPORTS = f"SELECT f.path, {IMPORT_COLUMNS} FROM {{s}}.import i JOIN {{s}}.file f ON f.blob_id = i.blob_id"  # noqa: S608

Rows = list[tuple[str | int, ...]]


def blob_sha(content: bytes) -> str:
    """Return the git blob sha of a content."""
    return sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


class SqliteReader:
    """A reading connection that keeps the overlay of the last query, so that an unchanged file is parsed once."""

    def __init__(self, connection: sqlite3.Connection, extract: Extract) -> None:
        self._connection = connection
        self._extract = extract
        self._overlay: dict[str, str] = {}
        self._texts: dict[str, OverlayText] = {}
        connection.execute("ATTACH ':memory:' AS overlay")
        connection.executescript(statements_for("overlay") + "CREATE TABLE overlay.masked (path TEXT PRIMARY KEY);")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    @contextmanager
    def view(self, overlay: Mapping[str, bytes | None]) -> Iterator["SqliteReader"]:
        """Read from one snapshot with `overlay` on top."""
        self._put_overlay(overlay)
        self._connection.execute("BEGIN")
        try:
            yield self
        finally:
            self._connection.execute("ROLLBACK")

    def _put_overlay(self, overlay: Mapping[str, bytes | None]) -> None:
        wanted = {path: "" if content is None else blob_sha(content) for path, content in overlay.items()}
        if wanted == self._overlay:
            return
        self._connection.execute("BEGIN")
        for path in [path for path, sha in self._overlay.items() if wanted.get(path) != sha]:
            self._drop(path)
        for path, sha in wanted.items():
            if path not in self._overlay:
                self._add(path, sha, overlay[path])
        self._connection.execute("COMMIT")

    def _drop(self, path: str) -> None:
        found = self._connection.execute("SELECT blob_id FROM overlay.file WHERE path = ?", (path,)).fetchone()
        if found is not None:
            for table in FACT_TABLES:
                self._connection.execute(f"DELETE FROM overlay.{table} WHERE blob_id = ?", found)  # noqa: S608 - ours
        for sql in (
            "DELETE FROM overlay.file WHERE path = ?",
            "DELETE FROM overlay.blob WHERE sha = ?",
            "DELETE FROM overlay.masked WHERE path = ?",
        ):
            self._connection.execute(sql, (path,))
        self._texts.pop(path, None)
        self._overlay.pop(path, None)

    def _add(self, path: str, sha: str, content: bytes | None) -> None:
        self._connection.execute("INSERT INTO overlay.masked VALUES (?)", (path,))
        if content is not None:
            facts: FileFacts = self._extract(path, content)
            # Keyed by path here: two dirty files may hold the same content.
            blob_id = insert_facts(self._connection, "overlay", path, python=is_python(path), facts=facts)
            insert_file(self._connection, "overlay", path, blob_id)
            text = "" if facts.skipped else content.decode("utf-8", "replace")
            self._texts[path] = OverlayText.build(path, [one.name for one in facts.definitions], text)
        self._overlay[path] = sha

    def _select(self, sql: str, where: str, values: Sequence[str | int], tail: str = "") -> Rows:
        mask = _NOT_MASKED if self._overlay else ""
        rows: Rows = self._connection.execute(sql.replace("{s}", "main") + where + mask + tail, values).fetchall()
        if self._overlay:
            rows += self._connection.execute(sql.replace("{s}", "overlay") + where + tail, values).fetchall()
        return rows

    def read_state(self) -> IndexState | None:
        values = dict(self._connection.execute("SELECT key, value FROM main.meta").fetchall())
        if "commit_sha" not in values:
            return None
        moments = (datetime.fromisoformat(values[key]) for key in ("commit_time", "updated_at"))
        return IndexState(values["commit_sha"], *moments)

    def count(self) -> Totals:
        files, symbols, references = (
            sum(int(row[0]) for row in self._select(sql, " WHERE 1", ()))
            for sql in (
                "SELECT count(*) FROM {s}.file f",
                "SELECT count(*) FROM {s}.definition d JOIN {s}.file f ON f.blob_id = d.blob_id",
                "SELECT count(*) FROM {s}.reference r JOIN {s}.file f ON f.blob_id = r.blob_id",
            )
        )
        return Totals(files, symbols, references)

    def list_paths(self) -> list[str]:
        return [str(row[0]) for row in self._select("SELECT f.path FROM {s}.file f", " WHERE 1", ())]

    def blob_of(self, path: str) -> str | None:
        if path in self._overlay:
            return None
        sql = "SELECT b.sha FROM main.file f JOIN main.blob b ON b.id = f.blob_id WHERE f.path = ?"
        found = self._connection.execute(sql, (path,)).fetchone()
        return None if found is None else str(found[0])

    def find_definitions(self, names: Sequence[str]) -> list[DefinitionAt]:
        return self._definitions(f" WHERE d.name IN ({_marks(names)})", names)

    def find_constants_of(self, name: str) -> list[DefinitionAt]:
        return self._definitions(" WHERE d.alias_of = ?", (name,))

    def _definitions(self, where: str, values: Sequence[str]) -> list[DefinitionAt]:
        rows = self._select(_DEFINITIONS, where, values)
        return [DefinitionAt(str(row[0]), read_definition(row[1:])) for row in rows]

    def find_definitions_at(self, path: str, qualname: str) -> list[Definition]:
        found = self._definitions(" WHERE f.path = ? AND d.qualname = ?", (path, qualname))
        return [one.definition for one in found]

    def list_definitions(self, path: str) -> list[Definition]:
        found = self._definitions(" WHERE f.path = ?", (path,))
        return sorted((one.definition for one in found), key=lambda one: one.line)

    def find_references(self, names: Sequence[str], limit: int) -> list[ReferenceAt]:
        where = f" WHERE r.name IN ({_marks(names)})"
        rows = self._select(_REFERENCES, where, [*names, limit], " LIMIT ?")
        found = [ReferenceAt(str(row[0]), read_reference(row[1:])) for row in rows]
        return sorted(found, key=lambda one: (one.path, one.reference.line, one.reference.column))

    def find_imports_at(self, path: str, local: str) -> list[ImportAt]:
        return self._imports(" WHERE f.path = ? AND i.local = ? AND i.scope = ''", (path, local))

    def find_imports_of(self, name: str) -> list[ImportAt]:
        return self._imports(" WHERE (i.name = ? OR i.tail = ?)", (name, name))

    def _imports(self, where: str, values: Sequence[str]) -> list[ImportAt]:
        return [ImportAt(str(row[0]), read_import(row[1:])) for row in self._select(_IMPORTS, where, values)]

    def find_modules(self, stem: str) -> list[str]:
        rows = self._select("SELECT f.path FROM {s}.file f", " WHERE f.stem = ?", (stem,))
        return sorted(str(row[0]) for row in rows)

    def has_path(self, path: str) -> bool:
        return bool(self._select("SELECT 1 FROM {s}.file f", " WHERE f.path = ?", (path,)))

    def rank_text(self, terms: Sequence[str], limit: int) -> list[tuple[str, float]]:
        if not terms:
            return []
        ranked = rank_committed(self._connection, terms, limit + len(self._overlay))
        ranked = [(path, score) for path, score in ranked if path not in self._overlay]
        if self._texts:
            ranked += rank_overlay(self._connection, terms, self._texts)
        return sorted(ranked, key=lambda one: (-one[1], one[0]))[:limit]

    def near_names(self, name: str, limit: int) -> list[str]:
        lowered = "".join(char for char in name.lower()[:40] if char.isalnum())
        rows = self._select(
            "SELECT DISTINCT d.name FROM {s}.definition d JOIN {s}.file f ON f.blob_id = d.blob_id",
            " WHERE (lower(d.name) LIKE ? OR replace(lower(d.name), '_', '') LIKE ?)",
            (f"{lowered[:2]}%", f"%{lowered}%", limit),
            " LIMIT ?",
        )
        return sorted({str(row[0]) for row in rows})


def _marks(values: Sequence[str]) -> str:
    return ",".join("?" * len(values))
