"""Applying changed files to the tables: facts first, then the edges of exactly those files whose answers changed."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from services.vector_ops.languages.facts import FileFacts
from services.vector_ops.truth.collector import free_cycles
from services.vector_ops.truth.contents import Content, Form, Forms, stored_key
from services.vector_ops.truth.dependents import Dependents
from services.vector_ops.truth.layers import Layers, StoredFile
from services.vector_ops.truth.names import ChangedNames
from services.vector_ops.truth.outline import Outline
from services.vector_ops.truth.ports import IndexingStoppedError, IsStopping, Totals
from services.vector_ops.truth.questions import NO_ANSWERS, Answers, compare_answers, hash_questions, list_answers
from services.vector_ops.truth.resolution import make_find_id, resolve_file
from services.vector_ops.truth.rows import Row, compare_edges, compare_symbols, symbol_rows
from services.vector_ops.truth.stored_world import StoredWorld
from services.vector_ops.truth.tables import NewFile, Tables

ReadContent = Callable[[str, Form], Content]
"""Returns what is to be stored of (blob sha, form)."""


class Change(NamedTuple):
    """One changed path: what was there, and what comes."""

    path: str
    old: StoredFile | None
    new: NewFile | None
    outline: Outline | None
    old_symbols: int
    old_answers: Answers
    new_answers: Answers


class Outcome(NamedTuple):
    """What was done; `touched` are the paths whose symbols or edges differ now."""

    parsed: int
    resolved: int
    touched: set[str]
    added: Totals


class Applier:
    """Applies one set of changes; made anew for each."""

    def __init__(  # noqa: PLR0917
        self,
        layers: Layers,
        tables: Tables,
        forms: Forms,
        dependents: Dependents,
        read_content: ReadContent,
        is_stopping: IsStopping,
    ) -> None:
        self._layers = layers
        self._tables = tables
        self._forms = forms
        self._dependents = dependents
        self._read_content = read_content
        self._is_stopping = is_stopping
        self._parsed = 0
        self._fresh: dict[tuple[str, str], FileFacts] = {}
        self._edges_added = 0

    def apply(self, wanted: Mapping[str, str | None], again: Iterable[StoredFile] = ()) -> Outcome:
        """Make every path hold the blob that is wanted (None: no file); resolve `again` besides."""
        changes = list(self._plan_all(wanted))
        names = self._list_names(changes)
        changed = {file_id for change in changes if (file_id := self._write(change)) is not None}
        dirty, pairs = _list_dirty(changes), dict[int, set[int]]()
        for questions, asked_with in (one.find_dirty() for one in names):
            dirty |= questions
            pairs |= asked_with
        changed |= {file.id for file in again}
        resolved = changed | self._dependents.find(dirty, pairs)
        touched = self._resolve(resolved, changed) | {change.path for change in changes}
        for change in changes:
            if change.old is not None:
                self._layers.drop_outline(change.old.sha, change.old.form)
        return Outcome(self._parsed, len(resolved), touched, _count_added(changes, self._edges_added))

    def _plan_all(self, wanted: Mapping[str, str | None]) -> Iterator[Change]:
        for number, path in enumerate(sorted(wanted)):
            change = self._plan(path, wanted[path])
            free_cycles(number)
            if change is not None:
                yield change

    def _plan(self, path: str, sha: str | None) -> Change | None:
        """Return what is to be written for a path, its content read and stored; None when it is there already."""
        if self._is_stopping():
            raise IndexingStoppedError("the index refresh was stopped because the server is going down")
        old = self._layers.find_file(path)
        form = self._forms.form_of(path)
        if sha is None:
            return None if old is None else self._change(path, old, None, None, NO_ANSWERS)
        if old is not None and (old.sha, old.form) == (sha, form.key):
            return None
        blob_id, outline = self._ensure_blob(sha, form)
        if old is not None and (old.blob_id, old.schema) == (blob_id, self._tables.schema):
            return None
        new = plan_file(path, blob_id, form, outline, self._forms)
        answers = list_answers(path, f"{sha}{form.key}", new.unit, new.tails, outline) if new.family else NO_ANSWERS
        return self._change(path, old, new, outline, answers)

    def _change(
        self, path: str, old: StoredFile | None, new: NewFile | None, outline: Outline | None, answers: Answers
    ) -> Change:
        if old is None or not old.family:
            return Change(path, old, new, outline, 0, NO_ANSWERS, answers)
        before = self._layers.outline(old.sha, old.form)
        return Change(path, old, new, outline, len(before.facts.symbols), self._answers_of(old, before), answers)

    def _answers_of(self, old: StoredFile, outline: Outline) -> Answers:
        tails = self._forms.load_language(old.language).tails_of(old.path, outline.facts)
        return list_answers(old.path, f"{old.sha}{old.form}", old.unit, tails, outline)

    def _ensure_blob(self, sha: str, form: Form) -> tuple[int, Outline]:
        blob_id = self._tables.has_blob(sha, form.key)
        if blob_id is not None:
            return blob_id, self._layers.outline(sha, form.key)
        content = self._read_content(sha, form)
        key = stored_key(form, content)
        blob_id = self._tables.has_blob(sha, key) if key != form.key else None
        if blob_id is None:
            self._parsed += 1
            self._fresh[sha, key] = content.facts
            blob_id = self._tables.add_blob(sha, key, content)
        return blob_id, self._layers.keep_outline(sha, key, content.facts)

    def _list_names(self, changes: Iterable[Change]) -> list[ChangedNames]:
        """Return the names whose symbols differ, measured; one for each family."""
        found: dict[str, ChangedNames] = {}
        for change in changes:
            for family in _families(change):
                old, new = _answers_in(change, family)
                names = found.setdefault(family, ChangedNames(self._layers, family))
                names.add(old, new, is_test=_is_test(change, family))
        for names in found.values():
            names.measure()
        return list(found.values())

    def _write(self, change: Change) -> int | None:
        """Write the rows of a file but its edges; return its number, None for one that is gone."""
        if change.new is None or change.outline is None:
            if change.old is not None:
                self._edges_added -= self._layers.count_edges(change.old.id)
                self._tables.drop_file(change.old)
                self._dependents.put(change.old.id, None)
            return None
        file_id = self._tables.put_file(change.old, change.new)
        if change.old is not None and change.old.id != file_id:
            self._dependents.put(change.old.id, None)
        new = list(symbol_rows(file_id, change.path, change.outline, is_test=change.new.is_test))
        old: list[Row] = []
        if change.old is not None and change.old.id == file_id:
            before = self._layers.outline(change.old.sha, change.old.form)
            old = list(symbol_rows(file_id, change.path, before, is_test=change.old.is_test))
        self._tables.put_symbols(compare_symbols(old, new))
        return file_id

    def _resolve(self, file_ids: Iterable[int], changed: set[int]) -> set[str]:
        """Put the edges of files anew; return the paths where they differ from before."""
        find_id = make_find_id(self._layers)
        worlds: dict[str, StoredWorld] = {}
        touched = set()
        for number, file_id in enumerate(sorted(file_ids)):
            free_cycles(number)
            file = self._layers.find_file_id(file_id)
            if file is None:
                continue
            rows: list[Row] = []
            if file.family:
                world = worlds.setdefault(file.family, StoredWorld(self._layers, file.family))
                language = self._forms.load_language(file.language)
                facts = self._facts_of(file)
                rows, packed = resolve_file(file_id, file.path, file.unit, facts, language, world, find_id)
                if self._dependents.put(file_id, packed):
                    self._tables.put_questions(file_id, packed)
            before = self._layers.edge_rows(file_id)
            changes = compare_edges(before, rows)
            if file_id in changed or any(changes):
                self._edges_added += len(rows) - len(before)
                self._tables.put_edges(file_id, file.path, rows, changes)
                touched.add(file.path)
        return touched

    def _facts_of(self, file: StoredFile) -> FileFacts:
        fresh = self._fresh.get((file.sha, file.form))
        if fresh is not None:
            return fresh
        references = self._layers.references(file.sha, file.form)
        return self._layers.outline(file.sha, file.form).facts._replace(references=references)


def plan_file(path: str, blob_id: int, form: Form, outline: Outline, forms: Forms) -> NewFile:
    """Return the row of a file."""
    language = forms.language_of(form)
    if language is None:
        return NewFile(path, blob_id, "", "", "", is_test=False, tails=())
    return NewFile(
        path,
        blob_id,
        form.language,
        language.family,
        language.unit_of(path, outline.facts),
        language.is_test(path),
        language.tails_of(path, outline.facts),
    )


def _families(change: Change) -> set[str]:
    families = {change.old.family if change.old else "", change.new.family if change.new else ""}
    return families - {""}


def _answers_in(change: Change, family: str) -> tuple[Answers, Answers]:
    old = change.old_answers if change.old is not None and change.old.family == family else NO_ANSWERS
    new = change.new_answers if change.new is not None and change.new.family == family else NO_ANSWERS
    return old, new


def _list_dirty(changes: Iterable[Change]) -> set[int]:
    """Return the hashes of the questions (but those for names) whose answers differ."""
    dirty: set[int] = set()
    for change in changes:
        for family in _families(change):
            old, new = _answers_in(change, family)
            dirty |= hash_questions(family, compare_answers(old, new))
    return dirty


def _is_test(change: Change, family: str) -> bool:
    """Return whether a file is a test both before and after, as far as it is of the family."""
    return all(one.is_test for one in (change.old, change.new) if one is not None and one.family == family)


def _count_added(changes: Iterable[Change], edges: int) -> Totals:
    files = symbols = 0
    for change in changes:
        files += (change.new is not None) - (change.old is not None)
        symbols += len(change.outline.facts.symbols) if change.outline is not None else 0
        symbols -= change.old_symbols
    return Totals(files, symbols, edges)
