"""From what a user typed to the symbols or files that may be meant."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from difflib import get_close_matches

from services.kernel.errors import InvalidRequestError
from services.vector_ops.answers.naming import as_module, clean_name, dotted_of, split_name, strip_roots
from services.vector_ops.core.view import IndexView, SymbolRow
from services.vector_ops.languages.facts import FILE
from services.vector_ops.languages.world import EdgeKind
from services.vector_ops.protocol import SymbolNotFoundError
from services.vector_ops.retrieval.path_kinds import PathKind, classify_path

MAX_MEANT = 500
"""More definitions of one name are not looked at, and the answer says so."""
_NEAR = 5
_MAX_NEAR = 5_000
_MAX_FILES = 50
_MAX_BASES = 200
_MAX_HEIGHT = 8
_MINOR_KINDS = frozenset({"attribute", "field", "variable"})
TYPE_KINDS = frozenset({"class", "interface", "trait", "struct", "enum", "type"})


@dataclass(frozen=True, slots=True)
class Meaning:
    """The definitions that one name may mean, or the files; `is_cut`: there are more than were looked at."""

    name: str
    symbols: tuple[SymbolRow, ...]
    files: tuple[SymbolRow, ...] = ()
    is_cut: bool = False

    def without_namesakes(self) -> "Meaning":
        """Return the functions and types when there are any: a field of the same name is left out."""
        main = tuple(one for one in self.symbols if one.kind not in _MINOR_KINDS)
        return replace(self, symbols=main or self.symbols)


def find_meaning(view: IndexView, text: str) -> Meaning:
    """Return what `text` means, the likeliest first.

    Raises InvalidRequestError, or SymbolNotFoundError with near names.
    """
    name = clean_name(text)
    as_file = view.file_symbol(name)
    if as_file is not None:
        return Meaning(name, (), (as_file,))
    parts = _split(view, name)
    found = _find_anywhere(view, parts)
    is_module = all(one.kind == "module" for one in found)
    files = _find_files(view, name, parts) if is_module else ()
    if not found and not files:
        raise SymbolNotFoundError(_explain(view, name, parts[-1]))
    ordered = tuple(sorted(found, key=_rank))
    return Meaning(ordered[0].name if ordered else parts[-1], ordered, files, is_cut=len(ordered) >= MAX_MEANT)


def _split(view: IndexView, name: str) -> list[str]:
    try:
        return split_name(name)
    except InvalidRequestError:
        if name and view.find_symbols([name], 1):
            return [name]  # the title of a test
        raise


def _find_anywhere(view: IndexView, parts: list[str]) -> list[SymbolRow]:
    """Return the definitions of a name: as it stands, inherited, exported again, or from the repository's root."""
    for way in (_find_defined, _find_inherited, _find_exported):
        found = way(view, parts)
        if found:
            return found
    for rest in strip_roots(view, parts):
        found = _find_defined(view, rest) or _find_inherited(view, rest)
        if found:
            return found
    return []


def _find_defined(view: IndexView, parts: list[str]) -> list[SymbolRow]:
    for last in (parts[-1], f"#{parts[-1]}"):  # a private name of JavaScript
        if len(parts) == 1:
            rows = view.find_symbols([last], MAX_MEANT)
        else:
            rows = view.find_members(last, [parts[-2], ""], MAX_MEANT)
        wanted = [*as_module(parts[:-1]), last]
        found = [one for one in rows if one.at != FILE and (len(parts) == 1 or _is_meant(one, wanted))]
        if found:
            return found
    return []


def _is_meant(one: SymbolRow, wanted: list[str]) -> bool:
    inner = one.qualname.split(".")
    if _ends_with(inner, wanted):
        return True
    home = dotted_of(one.path)
    # A package may be named by its folder alone, as Go and Java do.
    return _ends_with(home + inner, wanted) or _ends_with(home[:-1] + inner, wanted)


def _ends_with(full: list[str], parts: list[str]) -> bool:
    return full[-len(parts) :] == parts


def _find_inherited(view: IndexView, parts: list[str]) -> list[SymbolRow]:
    """`Class.method`, where the method stands in a base class: the nearest one."""
    owners = [one for one in _find_defined(view, parts[:-1]) if one.kind in TYPE_KINDS] if len(parts) > 1 else []
    seen = {one.id for one in owners}
    for _height in range(_MAX_HEIGHT):
        bases = find_bases(view, owners)
        found = find_members_of(view, bases, [parts[-1]])
        if found or not bases:
            return found
        owners = [one for one in bases if one.id not in seen]
        seen.update(one.id for one in owners)
    return []


def find_bases(view: IndexView, types: Iterable[SymbolRow]) -> list[SymbolRow]:
    """Return what these types inherit from or implement, one step up."""
    ids = [one.id for one in types][:_MAX_BASES]
    edges = view.edges_from(ids, [EdgeKind.INHERIT], _MAX_BASES) if ids else []
    return list(view.read_symbols(dict.fromkeys(edge.target_id for edge in edges)).values())


def find_members_of(view: IndexView, types: Iterable[SymbolRow], names: Iterable[str]) -> list[SymbolRow]:
    """Return the members of these types with one of these names."""
    homes = {(one.path, one.qualname) for one in types}
    owners = sorted({qualname.rpartition(".")[2] for _path, qualname in homes})
    rows = [row for name in names for row in view.find_members(name, owners)] if owners else []
    return [row for row in rows if (row.path, row.qualname.rpartition(".")[0]) in homes]


def _find_exported(view: IndexView, parts: list[str]) -> list[SymbolRow]:
    """`package.name`, where the package only exports the name again: an import of it on a line that says the name."""
    last = parts[-1]
    word, alias = re.compile(rf"\b{re.escape(last)}\b"), re.compile(rf"\bas\s+{re.escape(last)}\b")
    for module in _find_modules(view, parts[:-1]) if len(parts) > 1 else ():
        edges = view.edges_from([module.id], [EdgeKind.IMPORT])
        lines = view.read_text(module.path).split("\n") if edges else []
        at_line = {edge.target_id: lines[edge.line - 1] for edge in edges if edge.line <= len(lines)}
        rows = view.read_symbols(one for one, line in at_line.items() if word.search(line)).values()
        found = [row for row in rows if row.at != FILE and (row.name == last or alias.search(at_line[row.id]))]
        if found:
            return found
    return []


def _find_files(view: IndexView, name: str, parts: list[str]) -> tuple[SymbolRow, ...]:
    """Return the files of code that are a module of this name, or else whose path ends like this."""
    found = _find_modules(view, parts)
    if found or "." not in name:
        return found
    tail = f"/{name.removeprefix('./')}"
    paths = sorted((path for path in view.find_paths(tail) if path.endswith(tail)), key=_rank_path)
    rows = (view.file_symbol(path) for path in paths[:_MAX_FILES])
    return tuple(row for row in rows if row is not None)


def _find_modules(view: IndexView, parts: list[str]) -> tuple[SymbolRow, ...]:
    wanted = as_module(parts)
    if not wanted:
        return ()
    paths = [path for path in view.find_paths(wanted[-1]) if _ends_with(dotted_of(path), wanted)]
    files = (view.find_file(path) for path in sorted(paths, key=_rank_path)[:_MAX_FILES])
    found = (view.file_symbol(file.path) for file in files if file is not None and file.language)
    return tuple(one for one in found if one is not None)


def _rank_path(path: str) -> tuple[bool, int, str]:
    return classify_path(path) is not PathKind.CODE, path.count("/"), path


def is_beside(one: SymbolRow) -> bool:
    """Return whether a definition stands beside the code proper: in a test, an example or a document."""
    return one.is_test or classify_path(one.path) is not PathKind.CODE


def _rank(one: SymbolRow) -> tuple[bool, bool, int, str, int]:
    return is_beside(one), one.kind in _MINOR_KINDS, one.qualname.count("."), one.path, one.line


def _explain(view: IndexView, name: str, last: str) -> str:
    others = [one for one in view.find_symbols([last], MAX_MEANT) if one.at != FILE and name != last]
    if others:
        near = [f"{one.qualname} ({one.path})" for one in sorted(others, key=_rank)[:_NEAR]]
        return f"no definition of {name}; defined with this last name: {', '.join(near)}"
    near = _find_near(view, last)
    hint = f"; near names: {', '.join(near)}" if near else "; nothing in the index is near it"
    return f"no definition of {name}{hint}"


def _find_near(view: IndexView, last: str) -> list[str]:
    for stem in (last, last[:3], last[:1]):
        names = view.find_symbols_like(stem, _MAX_NEAR)
        near = get_close_matches(last, names, n=_NEAR, cutoff=0.6)
        near += [one for one in names if last.lower() in one.lower() and one not in near][: _NEAR - len(near)]
        if near:
            return near
    return []
