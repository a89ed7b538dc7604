"""Reading the committed tables, with those of the overlay on top when there is one."""

import json
import sqlite3
from collections.abc import Iterable
from typing import Any, NamedTuple

from services.vector_ops.languages.facts import FileFacts, Reference
from services.vector_ops.languages.world import METHODS_CAP, NAMED_CAP
from services.vector_ops.truth.codec import decode_outline, decode_references
from services.vector_ops.truth.outline import Outline, OutlineCache
from services.vector_ops.truth.rows import Row, row_range
from services.vector_ops.truth.schema import ROW_BITS, ROW_MASK


class StoredFile(NamedTuple):
    """A file of the index; `schema` is main or overlay, `form` says how its content was read."""

    id: int
    path: str
    blob_id: int
    sha: str
    form: str
    language: str
    family: str
    unit: str
    is_test: bool
    skipped: str
    schema: str


class Size(NamedTuple):
    """Whether a name has more symbols than NAMED_CAP; if not, whether it has more methods than METHODS_CAP."""

    is_common: bool
    has_many_outside_tests: bool = False
    has_many_at_all: bool = False

    def has_many(self, *, with_tests: bool) -> bool:
        """Return whether the methods of the name are only told by class."""
        return self.has_many_at_all if with_tests else self.has_many_outside_tests


class Query(NamedTuple):
    """One question to the tables: of the committed files alone, and of both layers."""

    plain: str
    layered: str


def make_query(body: str, tail: str = "", live: str = "f.id NOT IN (SELECT id FROM overlay.masked)") -> Query:
    """Return a query over one or both layers; `{s}` is the schema, `{live}` where the mask goes (after a WHERE)."""
    main = body.replace("{s}", "main").replace("{files}", "main.file")
    over = body.replace("{s}", "overlay").replace("{files}", "overlay.place").replace("{live}", "")
    layered = f"{main.replace('{live}', f' AND {live}')} UNION ALL {over}"
    return Query(main.replace("{live}", "") + tail, layered + tail)


_FILE_COLUMNS = "f.id, f.path, f.blob_id, b.sha, b.form, f.language, f.family, f.unit, f.is_test, b.skipped, '{s}'"
_FILES = f"SELECT {_FILE_COLUMNS} FROM {{s}}.file f CROSS JOIN {{s}}.blob b ON b.id = f.blob_id WHERE "  # noqa: S608
_FIND_FILE = make_query(_FILES + "f.path = ?1{live}")
_FIND_FILE_ID = make_query(_FILES + "f.id = ?1{live}")
_ALL_FILES = make_query(_FILES + "1{live}", " ORDER BY 2")
_IN_UNIT = make_query(_FILES + "f.unit = ?1 AND f.family = ?2{live}", " ORDER BY 2")
_BY_TAIL = make_query(
    "SELECT f.path FROM {s}.tail t CROSS JOIN {s}.file f ON f.id = t.file_id WHERE t.tail = ?1 AND f.family = ?2{live}",
    " ORDER BY 1",
)
_NAMED_BODY = (
    f"SELECT f.path, (y.row & {ROW_MASK}) - 1, b.sha, b.form, f.is_test FROM {{s}}.symbol y"  # noqa: S608
    f" CROSS JOIN {{s}}.file f ON f.id = y.row >> {ROW_BITS} CROSS JOIN {{s}}.blob b ON b.id = f.blob_id"
    f" WHERE y.name = ?1 AND f.family = ?2 AND y.row & {ROW_MASK} > 0{{live}}"
)
_KINDS_NAMED = make_query(
    f"SELECT f.path, y.qualname, y.kind, f.is_test FROM {{s}}.symbol y"  # noqa: S608
    f" CROSS JOIN {{s}}.file f ON f.id = y.row >> {ROW_BITS}"
    f" WHERE y.name = ?1 AND f.family = ?2 AND y.row & {ROW_MASK} > 0{{live}}",
    f" LIMIT {NAMED_CAP + 1}",
)
_NAMED = make_query(_NAMED_BODY, f" LIMIT {NAMED_CAP + 1}")
_NAMED_OF_OWNER = make_query(_NAMED_BODY + " AND y.owner = ?3", f" LIMIT {NAMED_CAP + 1}")
_IS_UNLINKED = "SELECT 1 WHERE ?1 >= 1 << 40 OR ?1 IN (SELECT id FROM overlay.unlinked)"
_OUTLINE = make_query("SELECT outline FROM {s}.blob WHERE sha = ?1 AND form = ?2", " LIMIT 1", live="1")
_REFERENCES = make_query("SELECT refs FROM {s}.blob WHERE sha = ?1 AND form = ?2", " LIMIT 1", live="1")

Named = tuple[str, int, str, str, bool]
"""(path, at, blob sha, form, whether the file is a test)"""


class Layers:
    """Reads one connection; `is_layered` says that an overlay is attached and holds something."""

    def __init__(self, connection: sqlite3.Connection, outlines: OutlineCache) -> None:
        self.connection = connection
        self.is_layered = False
        self._outlines = outlines

    def rows(self, query: Query, *parameters: object) -> list[Any]:
        """Return the rows of a query."""
        sql = query.layered if self.is_layered else query.plain
        return self.connection.execute(sql, parameters).fetchall()

    def scan(self, query: Query, *parameters: object) -> sqlite3.Cursor:
        """Return a cursor over the rows of a query."""
        return self.connection.execute(query.layered if self.is_layered else query.plain, parameters)

    def find_file(self, path: str) -> StoredFile | None:
        """Return a file by its path."""
        found = self.rows(_FIND_FILE, path)
        return StoredFile(*found[0]) if found else None

    def find_file_id(self, file_id: int) -> StoredFile | None:
        """Return a file by its number."""
        found = self.rows(_FIND_FILE_ID, file_id)
        return StoredFile(*found[0]) if found else None

    def list_files(self) -> list[StoredFile]:
        """Return all files by path."""
        return [StoredFile(*row) for row in self.rows(_ALL_FILES)]

    def files_in(self, family: str, unit: str) -> list[StoredFile]:
        """Return the files of a unit by path."""
        return [StoredFile(*row) for row in self.rows(_IN_UNIT, unit, family)]

    def paths_by_tail(self, family: str, tail: str) -> list[str]:
        """Return the paths that are found under a tail."""
        return [path for (path,) in self.rows(_BY_TAIL, tail, family)]

    def list_named(self, family: str, name: str) -> list[Named] | None:
        """Return the symbols with a name or `Owner.name`, by path and place; None for more than NAMED_CAP."""
        found: list[Named] = self.rows(_NAMED, name, family)
        owner, _, last = name.partition(".")
        if owner and last:
            found += self.rows(_NAMED_OF_OWNER, last, family, owner)
        return sorted(found) if len(found) <= NAMED_CAP else None

    def measure_name(self, family: str, name: str) -> Size:
        """Return how many symbols have a name or `Owner.name`; methods are counted by the former alone."""
        if "." in name:
            return Size(is_common=self.list_named(family, name) is None)
        found = self.rows(_KINDS_NAMED, name, family)
        if len(found) > NAMED_CAP:
            return Size(is_common=True)
        methods = {(path, qualname, is_test) for path, qualname, kind, is_test in found if kind == "method"}
        outside = sum(not is_test for _path, _qualname, is_test in methods)
        return Size(False, outside > METHODS_CAP, len(methods) > METHODS_CAP)

    def outline(self, sha: str, form: str) -> Outline:
        """Return the outline of a content that the index holds."""
        outline = self._outlines.get((sha, form))
        if outline is None:
            outline = Outline(decode_outline(self.rows(_OUTLINE, sha, form)[0][0]))
            self._outlines.put((sha, form), outline)
        return outline

    def keep_outline(self, sha: str, form: str, facts: FileFacts) -> Outline:
        """Keep the outline of a content that was just read."""
        outline = Outline(facts._replace(references=()))
        self._outlines.put((sha, form), outline)
        return outline

    def drop_outline(self, sha: str, form: str) -> None:
        """Let go of the outline of a content that was replaced; it is read again if it is needed after all."""
        self._outlines.drop((sha, form))

    def edge_rows(self, file_id: int) -> list[Row]:
        """Return the rows of the edges that leave a file."""
        sql = f"SELECT * FROM {self._edge_home(file_id)}.edge WHERE row BETWEEN ? AND ? ORDER BY row"  # noqa: S608
        return self.connection.execute(sql, row_range(file_id)).fetchall()

    def count_edges(self, file_id: int) -> int:
        """Return how many edges leave a file."""
        sql = f"SELECT count(*) FROM {self._edge_home(file_id)}.edge WHERE row BETWEEN ? AND ?"  # noqa: S608
        return int(self.connection.execute(sql, row_range(file_id)).fetchone()[0])

    def _edge_home(self, file_id: int) -> str:
        if self.is_layered and self.connection.execute(_IS_UNLINKED, (file_id,)).fetchone():
            return "overlay"
        return "main"

    def references(self, sha: str, form: str) -> tuple[Reference, ...]:
        """Return the references of a content that the index holds."""
        return decode_references(self.rows(_REFERENCES, sha, form)[0][0])


def as_list(values: Iterable[object]) -> str:
    """Return values as one parameter for `json_each`."""
    return json.dumps(list(values))
