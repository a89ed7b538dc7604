"""Building an index from nothing, into a new file that takes its place when it is complete."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from services.vector_ops.languages.facts import FileFacts
from services.vector_ops.languages.memory import MemoryWorld
from services.vector_ops.truth.applying import plan_file
from services.vector_ops.truth.collector import free_cycles, paused_collector
from services.vector_ops.truth.contents import Content, Forms, stored_key
from services.vector_ops.truth.index_file import connect_for_building, remove_journal
from services.vector_ops.truth.outline import Outline
from services.vector_ops.truth.pool import Job, ReadContents
from services.vector_ops.truth.ports import IndexingStoppedError, IsStopping, State, Totals
from services.vector_ops.truth.resolution import resolve_file
from services.vector_ops.truth.rows import EDGE_VALUES, SYMBOL_VALUES, Row, symbol_rows
from services.vector_ops.truth.schema import APPLICATION_ID, SCHEMA_VERSION, indexes_of, tables_of
from services.vector_ops.truth.tables import NewFile


class Built(NamedTuple):
    """What a build did."""

    parsed: int
    resolved: int
    totals: Totals


class _Blob(NamedTuple):
    id: int
    facts: FileFacts
    outline: Outline


class Builder:
    """Builds one index; made anew for each."""

    def __init__(
        self, connection: sqlite3.Connection, forms: Forms, read_contents: ReadContents, is_stopping: IsStopping
    ) -> None:
        self._connection = connection
        self._forms = forms
        self._read_contents = read_contents
        self._is_stopping = is_stopping
        self._blobs: dict[tuple[str, str], _Blob] = {}
        self._files: list[tuple[NewFile, _Blob]] = []
        self._worlds: dict[str, MemoryWorld] = {}
        self._ids: dict[str, list[int]] = {}

    def build(self, wanted: dict[str, str]) -> Built:
        """Fill empty tables with the files that are wanted: path -> blob sha."""
        self._connection.executescript(tables_of("main"))
        self._connection.execute("BEGIN")
        paths = sorted(wanted)
        jobs = dict.fromkeys(Job(wanted[path], self._forms.form_of(path)) for path in paths)
        contents = self._read_contents(list(jobs))
        for number, path in enumerate(paths):
            self._add_file(path, wanted[path], contents)
            free_cycles(number)
        self._insert_files()
        resolved, edges = self._insert_edges()
        self._connection.execute("COMMIT")
        self._connection.executescript(indexes_of("main"))
        symbols = sum(len(blob.facts.symbols) for _file, blob in self._files)
        return Built(len(self._blobs), resolved, Totals(len(self._files), symbols, edges))

    def _add_file(self, path: str, sha: str, contents: Iterator[Content]) -> None:
        if self._is_stopping():
            raise IndexingStoppedError("the index refresh was stopped because the server is going down")
        form = self._forms.form_of(path)
        blob = self._blobs.get((sha, form.key))
        if blob is None:
            content = next(contents)
            blob_id = len(self._blobs) + 1
            values = (content.facts.skipped, content.outline, content.references, content.document)
            self._connection.execute(
                "INSERT INTO blob VALUES (?,?,?,?,?,?,?)", (blob_id, sha, stored_key(form, content), *values)
            )
            blob = self._blobs[sha, form.key] = _Blob(blob_id, content.facts, Outline(content.facts))
        file = plan_file(path, blob.id, form, blob.outline, self._forms)
        self._files.append((file, blob))
        self._ids[path] = blob.outline.ids(path)
        language = self._forms.language_of(form)
        if language is not None:
            self._worlds.setdefault(file.family, MemoryWorld()).add(path, blob.facts, language)

    def _insert_files(self) -> None:
        execute = self._connection.executemany
        execute(
            "INSERT INTO file VALUES (?,?,?,?,?,?,?)",
            (
                (at, one.path, one.blob_id, one.language, one.family, one.unit, one.is_test)
                for at, (one, _blob) in enumerate(self._files, start=1)
            ),
        )
        tails = {(tail, at) for at, (one, _blob) in enumerate(self._files, start=1) for tail in one.tails}
        execute("INSERT INTO tail VALUES (?, ?)", sorted(tails))
        execute(f"INSERT INTO symbol VALUES {SYMBOL_VALUES}", self._symbol_rows())  # noqa: S608

    def _symbol_rows(self) -> Iterator[Row]:
        for at, (file, blob) in enumerate(self._files, start=1):
            yield from symbol_rows(at, file.path, blob.outline, is_test=file.is_test, ids=self._ids[file.path])

    def _insert_edges(self) -> tuple[int, int]:
        resolved = edges = 0
        execute = self._connection.executemany
        for at, (file, blob) in enumerate(self._files, start=1):
            if not file.family:
                continue
            if self._is_stopping():
                raise IndexingStoppedError("the index refresh was stopped because the server is going down")
            language, world = self._forms.load_language(file.language), self._worlds[file.family]
            rows, packed = resolve_file(at, file.path, file.unit, blob.facts, language, world, self._find_id)
            execute(f"INSERT INTO edge VALUES {EDGE_VALUES}", rows)  # noqa: S608
            execute("INSERT INTO dep VALUES (?, ?)", ((at, packed),))
            resolved, edges = resolved + 1, edges + len(rows)
            free_cycles(at)
        return resolved, edges

    def _find_id(self, path: str, at: int) -> int | None:
        ids = self._ids.get(path, ())
        return ids[at] if at < len(ids) else None


def build_file(
    path: Path, lineage: str, state: State, wanted: dict[str, str], make: Callable[[sqlite3.Connection], Builder]
) -> Built:
    """Build an index beside `path` and put it there; a kill at any moment leaves no half of one."""
    fresh = path.with_name(f"{path.name}.building")
    fresh.unlink(missing_ok=True)
    remove_journal(fresh)
    connection = connect_for_building(fresh)
    try:
        fresh.chmod(0o600)
        with paused_collector():
            built = make(connection).build(wanted)
        write_state(connection, replace(state, totals=built.totals))
        connection.executemany(
            "INSERT INTO meta VALUES (?, ?)", (("lineage", lineage), ("changes_since", str(state.epoch)))
        )
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    except BaseException:
        connection.close()
        fresh.unlink(missing_ok=True)
        raise
    connection.close()
    _put_in_place(fresh, path)
    return built


def _put_in_place(fresh: Path, path: Path) -> None:
    handle = os.open(fresh, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    remove_journal(path)
    fresh.replace(path)


def write_state(connection: sqlite3.Connection, state: State) -> None:
    """Store which commit the tables are level with."""
    values = {
        "commit_sha": state.commit_sha,
        "commit_time": state.commit_time.isoformat(),
        "updated_at": state.updated_at.isoformat(),
        "epoch": str(state.epoch),
        "totals": f"{state.totals.files} {state.totals.symbols} {state.totals.edges}",
    }
    connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", values.items())
