"""One snapshot of the index as `IndexView`: queries over the committed tables and the overlay."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from services.vector_ops.core.view import EdgeRow, FileRow, SymbolRow
from services.vector_ops.languages.world import EdgeKind, Tier
from services.vector_ops.truth.layers import Layers, StoredFile, as_list, make_query
from services.vector_ops.truth.schema import ROW_BITS, ROW_MASK

ReadBlob = Callable[[str], bytes]
"""Returns the content of a git blob."""

_SYMBOL_COLUMNS = (
    f"y.id, f.path, (y.row & {ROW_MASK}) - 1, y.name, y.qualname, y.kind, y.line, y.col, y.start_line, y.end_line,"
    " y.signature, y.doc, y.is_test"
)
_SYMBOLS = f"SELECT {_SYMBOL_COLUMNS} FROM {{s}}.symbol y CROSS JOIN {{s}}.file f ON f.id = y.row >> {ROW_BITS} WHERE "  # noqa: S608
_IN = "IN (SELECT value FROM json_each(?1))"
_FIND_SYMBOLS = make_query(f"{_SYMBOLS}y.name {_IN}{{live}}", " ORDER BY 2, 7, 3 LIMIT ?2")
_FIND_MEMBERS = make_query(f"{_SYMBOLS}y.name = ?2 AND y.owner {_IN}{{live}}", " ORDER BY 2, 7, 3 LIMIT ?3")
_COUNT_NAMED = make_query(
    "SELECT count(*) FROM {s}.symbol y WHERE y.name = ?1{live}",
    live=f"y.row >> {ROW_BITS} NOT IN (SELECT id FROM overlay.masked)",  # noqa: S608
)
_FIND_PATHS = make_query("SELECT f.path FROM {s}.file f WHERE f.path LIKE ?1{live}", " ORDER BY 1 LIMIT ?2")
_READ_SYMBOLS = make_query(f"{_SYMBOLS}y.id {_IN}{{live}}")
_SYMBOLS_OF = make_query(
    f"SELECT {_SYMBOL_COLUMNS} FROM {{s}}.file f CROSS JOIN {{s}}.symbol y"  # noqa: S608
    f" ON y.row BETWEEN (f.id << {ROW_BITS}) + ?2 AND (f.id << {ROW_BITS}) + ?3 WHERE f.path = ?1{{live}}",
    " ORDER BY 3",
)
_ALL_SYMBOLS = make_query(
    f"SELECT {_SYMBOL_COLUMNS} FROM {{s}}.file f CROSS JOIN {{s}}.symbol y"  # noqa: S608
    f" ON y.row BETWEEN (f.id << {ROW_BITS}) AND (f.id << {ROW_BITS}) + {ROW_MASK} WHERE 1{{live}}",
)
_NEAR_NAMES = make_query(
    "SELECT DISTINCT y.name AS name FROM {s}.symbol y"  # noqa: S608
    f" WHERE y.name LIKE ?1 ESCAPE '\\' AND y.row & {ROW_MASK} > 0{{live}}",
    live=f"y.row >> {ROW_BITS} NOT IN (SELECT id FROM overlay.masked)",  # noqa: S608
)
_LINKED = f"e.row >> {ROW_BITS} NOT IN (SELECT id FROM overlay.unlinked)"  # noqa: S608
_EDGES = (
    "SELECT e.source_id, e.target_id, e.kind, e.tier, f.path, e.line, e.col FROM {s}.edge e"  # noqa: S608
    f" CROSS JOIN {{files}} f ON f.id = e.row >> {ROW_BITS} WHERE "
)
_KINDS = "e.kind IN (SELECT value FROM json_each(?2))"
_EDGES_TO = make_query(
    f"{_EDGES}e.target_id {_IN} AND {_KINDS}{{live}}", " ORDER BY 4, 5, 6, 7, 1, 2, 3 LIMIT ?3", _LINKED
)
_EDGES_FROM = make_query(
    f"{_EDGES}e.source_id {_IN} AND {_KINDS}{{live}}", " ORDER BY 5, 6, 7, 2, 1, 3, 4 LIMIT ?3", _LINKED
)
_COUNT_EDGES_TO = make_query(
    f"SELECT e.target_id, count(*) FROM {{s}}.edge e WHERE e.target_id {_IN} AND {_KINDS}{{live}} GROUP BY 1",  # noqa: S608
    live=_LINKED,
)
_ALL_EDGES = make_query(f"{_EDGES}1{{live}}", live=_LINKED)
_LINKS = make_query(
    "SELECT f.path, e.target_id, e.kind, count(*) FROM {s}.edge e"  # noqa: S608
    f" CROSS JOIN {{files}} f ON f.id = e.row >> {ROW_BITS}"
    f" WHERE e.tier < {int(Tier.AMBIGUOUS)}{{live}} GROUP BY 1, 2, 3",
    live=_LINKED,
)
_HOMES = make_query(f"{_SYMBOLS}1{{live}}".replace(_SYMBOL_COLUMNS, "y.id, f.path"))
_DOCUMENTS = make_query(
    "SELECT f.path, b.document FROM {s}.file f CROSS JOIN {s}.blob b ON b.id = f.blob_id"  # noqa: S608
    f" WHERE f.path {_IN} AND b.skipped = ''{{live}}",
    " ORDER BY 1",
)
_COUNT_FILES = make_query("SELECT count(*) FROM {s}.file f WHERE 1{live}")
_COUNT_SYMBOLS = make_query(
    "SELECT count(*) FROM {s}.symbol y WHERE 1{live}",
    live=f"y.row >> {ROW_BITS} NOT IN (SELECT id FROM overlay.masked)",  # noqa: S608
)
_COUNT_EDGES = make_query("SELECT count(*) FROM {s}.edge e WHERE 1{live}", live=_LINKED)
_CHUNK = 500


class Snapshot(NamedTuple):
    """What a view stands on. `overlay` holds the uncommitted contents (None: gone), `touched` what they change."""

    commit_sha: str
    lineage: str
    epoch: int
    digest: str
    overlay: dict[str, bytes | None]
    touched: frozenset[str]


class StoredView:
    """Implements `IndexView` on an open snapshot of the tables."""

    def __init__(self, layers: Layers, snapshot: Snapshot, read_blob: ReadBlob) -> None:
        self._layers = layers
        self._snapshot = snapshot
        self._read_blob = read_blob

    @property
    def commit_sha(self) -> str:
        return self._snapshot.commit_sha

    @property
    def epoch(self) -> str:
        digest = self._snapshot.digest
        return f"{self.committed_epoch}+{digest}" if digest else self.committed_epoch

    @property
    def committed_epoch(self) -> str:
        return f"{self._snapshot.lineage}.{self._snapshot.epoch}"

    def _file_row(self, file: StoredFile) -> FileRow:
        is_overlay = file.path in self._snapshot.overlay
        return FileRow(file.id, file.path, file.sha, file.language, bool(file.is_test), is_overlay, file.skipped)

    def list_files(self) -> list[FileRow]:
        return [self._file_row(file) for file in self._layers.list_files()]

    def find_file(self, path: str) -> FileRow | None:
        file = self._layers.find_file(path)
        return None if file is None else self._file_row(file)

    def read_text(self, path: str) -> str:
        file = self._layers.find_file(path)
        if file is None or file.skipped:
            return ""
        content = self._snapshot.overlay.get(path)
        if content is None:
            content = self._read_blob(file.sha)
        return content.decode("utf-8", "replace")

    def read_documents(self, paths: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        wanted = sorted(set(paths))
        for start in range(0, len(wanted), _CHUNK):
            yield from self._layers.rows(_DOCUMENTS, as_list(wanted[start : start + _CHUNK]))

    def find_symbols(self, names: Sequence[str], limit: int = 500) -> list[SymbolRow]:
        return list(map(_symbol_row, self._layers.rows(_FIND_SYMBOLS, as_list(names), limit)))

    def find_members(self, name: str, owners: Sequence[str], limit: int = 500) -> list[SymbolRow]:
        return list(map(_symbol_row, self._layers.rows(_FIND_MEMBERS, as_list(owners), name, limit)))

    def count_named(self, name: str) -> int:
        return sum(number for (number,) in self._layers.rows(_COUNT_NAMED, name))

    def find_paths(self, fragment: str, limit: int = 1_000) -> list[str]:
        # LIKE's own wildcard for one character stands for both dashes.
        pattern = fragment.replace("%", "_").replace("-", "_")
        return [path for (path,) in self._layers.rows(_FIND_PATHS, f"%{pattern}%", limit)]

    def find_symbols_like(self, name: str, limit: int = 20) -> list[str]:
        stem = name[: max(3, len(name) * 2 // 3)].replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        found = {near for (near,) in self._layers.rows(_NEAR_NAMES, f"{stem}%")} if name else set()
        return sorted(found, key=lambda near: (near.lower() != name.lower(), abs(len(near) - len(name)), near))[:limit]

    def read_symbols(self, ids: Iterable[int]) -> dict[int, SymbolRow]:
        return {row[0]: _symbol_row(row) for row in self._layers.rows(_READ_SYMBOLS, as_list(ids))}

    def list_symbols(self, path: str) -> list[SymbolRow]:
        return list(map(_symbol_row, self._layers.rows(_SYMBOLS_OF, path, 1, ROW_MASK)))

    def file_symbol(self, path: str) -> SymbolRow | None:
        found = self._layers.rows(_SYMBOLS_OF, path, 0, 0)
        return _symbol_row(found[0]) if found else None

    def edges_to(self, ids: Sequence[int], kinds: Sequence[EdgeKind], limit: int = 1_000) -> list[EdgeRow]:
        rows = self._layers.rows(_EDGES_TO, as_list(ids), as_list(map(int, kinds)), limit)
        return list(map(_edge_row, rows))

    def count_edges_to(self, ids: Sequence[int], kinds: Sequence[EdgeKind]) -> dict[int, int]:
        counts: dict[int, int] = {}
        for target_id, count in self._layers.rows(_COUNT_EDGES_TO, as_list(ids), as_list(map(int, kinds))):
            counts[target_id] = counts.get(target_id, 0) + count
        return counts

    def edges_from(self, ids: Sequence[int], kinds: Sequence[EdgeKind], limit: int = 1_000) -> list[EdgeRow]:
        rows = self._layers.rows(_EDGES_FROM, as_list(ids), as_list(map(int, kinds)), limit)
        return list(map(_edge_row, rows))

    def file_edges(self) -> Iterator[tuple[str, str, int, int]]:
        homes: dict[int, str] = dict(self._layers.rows(_HOMES))
        counts: dict[tuple[str, str, int], int] = {}
        for source, target_id, kind, count in self._layers.scan(_LINKS):
            target = homes.get(target_id, source)
            if target != source:
                key = (source, target, kind)
                counts[key] = counts.get(key, 0) + count
        for (source, target, kind), count in sorted(counts.items()):
            yield source, target, kind, count

    def all_edges(self) -> Iterator[EdgeRow]:
        return map(_edge_row, self._layers.scan(_ALL_EDGES))

    def all_symbols(self) -> Iterator[SymbolRow]:
        return map(_symbol_row, self._layers.scan(_ALL_SYMBOLS))

    def changed_since(self, epoch: str) -> tuple[str, ...] | None:
        lineage, _, number = epoch.partition("+")[0].rpartition(".")
        if "+" in epoch or lineage != self._snapshot.lineage or not number.isdecimal():
            return None
        since = int(number)
        found = self._layers.connection.execute("SELECT value FROM main.meta WHERE key = 'changes_since'").fetchone()
        if found is None or since < int(found[0]) or since > self._snapshot.epoch:
            return None
        sql = "SELECT DISTINCT path FROM main.change WHERE epoch > ?"
        paths = {path for (path,) in self._layers.connection.execute(sql, (since,))}
        return tuple(sorted(paths | self._snapshot.touched))

    def count(self) -> tuple[int, int, int]:
        files, symbols, edges = (
            sum(number for (number,) in self._layers.rows(query))
            for query in (_COUNT_FILES, _COUNT_SYMBOLS, _COUNT_EDGES)
        )
        return files, symbols - files, edges


def _symbol_row(row: tuple[object, ...]) -> SymbolRow:
    return SymbolRow._make((*row[:-1], bool(row[-1])))


def _edge_row(row: tuple[int, int, int, int, str, int, int]) -> EdgeRow:
    source_id, target_id, kind, tier, path, line, column = row
    return EdgeRow(source_id, target_id, EdgeKind(kind), Tier(tier), path, line, column)
