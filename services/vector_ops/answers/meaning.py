"""From what a user typed to the symbols or files that may be meant."""

import re
from dataclasses import dataclass
from difflib import get_close_matches

from services.kernel.errors import InvalidRequestError
from services.vector_ops.core.view import IndexView, SymbolRow
from services.vector_ops.languages.facts import FILE
from services.vector_ops.languages.world import EdgeKind
from services.vector_ops.protocol import SymbolNotFoundError

_MAX_NAME = 500
_NAME = re.compile(r"[^\W\d][\w$]*[!?]?")
_PATH = re.compile(r"[\w./@+-]+\.\w+")
_SEPARATORS = re.compile(r"::|->|#|\.")
_NEAR = 5
_MAX_NEAR = 200
_MINOR_KINDS = frozenset({"attribute", "field", "variable"})
_HOLLOW = frozenset({"__init__", "mod", "index", "lib", "main"})
"""Files that stand for their folder: `pkg/__init__.py` is `pkg`."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """The definitions that one name may mean, or the files."""

    name: str
    symbols: tuple[SymbolRow, ...]
    files: tuple[SymbolRow, ...] = ()

    def without_namesakes(self) -> "Meaning":
        """Return the functions and types when there are any: a field of the same name is left out."""
        main = tuple(one for one in self.symbols if one.kind not in _MINOR_KINDS)
        return Meaning(self.name, main or self.symbols, self.files)


def find_meaning(view: IndexView, text: str) -> Meaning:
    """Return what `text` means; raise InvalidRequestError, or SymbolNotFoundError with near names."""
    name = text.strip().strip("`").removesuffix("()")
    as_file = view.file_symbol(name) if len(name) <= _MAX_NAME else None
    if as_file is not None:
        return Meaning(name, (), (as_file,))
    parts = _split(name)
    found = [one for one in view.find_symbols([parts[-1]]) if _is_meant(one, parts)]
    if not found and len(parts) > 1:
        found = _find_exported(view, parts)
    files = () if found else _find_modules(view, parts)
    if not found and not files:
        raise SymbolNotFoundError(_explain(view, name, parts[-1]))
    return Meaning(parts[-1], tuple(sorted(found, key=_rank)), files)


def _split(name: str) -> list[str]:
    parts = _SEPARATORS.split(name)
    if len(name) > _MAX_NAME or not (all(map(_NAME.fullmatch, parts)) or _PATH.fullmatch(name)):
        raise InvalidRequestError(
            f"{name[:60]!r} is no symbol; give a name such as `run`, `Class.method` or `package.module.name`"
        )
    return parts


def dotted_of(path: str) -> list[str]:
    """Return the parts of a path without its suffix and without names that stand for their folder."""
    folders, _, filename = path.rpartition("/")
    stem = filename.split(".")[0]
    return [part for part in folders.split("/") if part] + ([] if stem in _HOLLOW else [stem])


def _is_meant(one: SymbolRow, parts: list[str]) -> bool:
    inner = one.qualname.split(".")
    home = dotted_of(one.path)
    # A package may be named by its folder alone, as Go and Java do.
    return _ends_with(home + inner, parts) or _ends_with(home[:-1] + inner, parts)


def _ends_with(full: list[str], parts: list[str]) -> bool:
    return full[-len(parts) :] == parts


def _find_modules(view: IndexView, parts: list[str]) -> tuple[SymbolRow, ...]:
    paths = [file.path for file in view.list_files() if file.language and _ends_with(dotted_of(file.path), parts)]
    found = (view.file_symbol(path) for path in paths)
    return tuple(one for one in found if one is not None)


def _find_exported(view: IndexView, parts: list[str]) -> list[SymbolRow]:
    """`package.name`, where the package only re-exports the name: an import of it on a line that says the name."""
    word = re.compile(rf"\b{re.escape(parts[-1])}\b")
    for module in _find_modules(view, parts[:-1]):
        edges = view.edges_from([module.id], [EdgeKind.IMPORT])
        lines = view.read_text(module.path).split("\n") if edges else []
        named = [one.target_id for one in edges if one.line <= len(lines) and word.search(lines[one.line - 1])]
        found = [row for row in view.read_symbols(named).values() if row.at != FILE]
        if found:
            return found
    return []


def _rank(one: SymbolRow) -> tuple[bool, int, bool, str, int]:
    return one.is_test, one.qualname.count("."), one.kind in _MINOR_KINDS, one.path, one.line


def _explain(view: IndexView, name: str, last: str) -> str:
    names = view.find_symbols_like(last, _MAX_NEAR)
    near = get_close_matches(last, names, n=_NEAR, cutoff=0.6)
    near += [one for one in names if last.lower() in one.lower() and one not in near][: _NEAR - len(near)]
    hint = f"; near names: {', '.join(near)}" if near else "; nothing in the index is near it"
    return f"no definition of {name}{hint}"
