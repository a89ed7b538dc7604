"""The world of one language family, answered from the tables on demand; valid while these do not change."""

from services.vector_ops.languages.facts import FileFacts, Import
from services.vector_ops.languages.world import Methods, SymbolAt, choose_methods
from services.vector_ops.truth.layers import Layers, StoredFile
from services.vector_ops.truth.outline import Outline


class StoredWorld:
    """Answers are kept for as long as the world lives: one phase of resolving."""

    def __init__(self, layers: Layers, family: str) -> None:
        self._layers = layers
        self._family = family
        self._files: dict[str, StoredFile | None] = {}
        self._units: dict[str, list[tuple[str, Outline]]] = {}
        self._tails: dict[str, tuple[str, ...]] = {}
        self._named: dict[str, tuple[SymbolAt, ...] | None] = {}
        self._tests: set[str] = set()

    def _file(self, path: str) -> StoredFile | None:
        if path not in self._files:
            found = self._layers.find_file(path)
            self._files[path] = found if found is not None and found.family == self._family else None
        return self._files[path]

    def _files_in(self, unit: str) -> list[tuple[str, Outline]]:
        found = self._units.get(unit)
        if found is None:
            files = self._layers.files_in(self._family, unit)
            found = self._units[unit] = [(file.path, self._layers.outline(file.sha, file.form)) for file in files]
        return found

    def exists(self, path: str) -> bool:
        return self._file(path) is not None

    def facts(self, path: str) -> FileFacts | None:
        file = self._file(path)
        if file is None:
            return None
        references = self._layers.references(file.sha, file.form)
        return self._layers.outline(file.sha, file.form).facts._replace(references=references)

    def unit(self, path: str) -> str:
        file = self._file(path)
        return path if file is None else file.unit

    def paths_in(self, unit: str) -> tuple[str, ...]:
        return tuple(path for path, _outline in self._files_in(unit))

    def modules(self, tail: str) -> tuple[str, ...]:
        found = self._tails.get(tail)
        if found is None:
            found = self._tails[tail] = tuple(self._layers.paths_by_tail(self._family, tail))
        return found

    def symbols(self, unit: str, qualname: str) -> tuple[SymbolAt, ...]:
        found, make = list[SymbolAt](), tuple.__new__
        for path, outline in self._files_in(unit):
            for at in outline.by_qualname.get(qualname, ()):
                found.append(make(SymbolAt, (path, at, outline.facts.symbols[at])))
        return tuple(found)

    def members(self, unit: str, qualname: str) -> tuple[SymbolAt, ...]:
        found, make = list[SymbolAt](), tuple.__new__
        for path, outline in self._files_in(unit):
            for at in outline.by_owner.get(qualname, ()):
                found.append(make(SymbolAt, (path, at, outline.facts.symbols[at])))
        return tuple(found)

    def bindings(self, unit: str, local: str) -> tuple[tuple[str, Import], ...]:
        return tuple(
            (path, entry) for path, outline in self._files_in(unit) for entry in outline.by_local.get(local, ())
        )

    def named(self, name: str) -> tuple[SymbolAt, ...] | None:
        if name not in self._named:
            self._named[name] = self._find_named(name)
        return self._named[name]

    def _find_named(self, name: str) -> tuple[SymbolAt, ...] | None:
        found = self._layers.list_named(self._family, name)
        if found is None:
            return None
        self._tests |= {path for path, _at, _sha, _form, is_test in found if is_test}
        return tuple(
            SymbolAt(path, at, self._layers.outline(sha, form).facts.symbols[at])
            for path, at, sha, form, _is_test in found
        )

    def methods(self, name: str, owners: frozenset[str], *, with_tests: bool) -> Methods:
        return choose_methods(self.named(name) or (), self._tests, owners, with_tests=with_tests)
