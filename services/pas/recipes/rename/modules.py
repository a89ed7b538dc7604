"""The modules of a tree: found by import, parsed when needed, never imported."""

from __future__ import annotations

import ast
import re
import sys
from dataclasses import dataclass, field
from functools import cached_property
from posixpath import dirname

import libcst as cst
from libcst.metadata import ByteSpanPositionProvider, MetadataWrapper

from services.pas.recipes.rename.collect import collect
from services.pas.recipes.rename.scopes import Facts, Origin, Scope
from services.pas.recipes.source import SourceTree, Text

SUFFIXES = (".py", ".pyi")
_BRACKET = re.compile(r"[()\[\]{}]")
_MAX_BRACKETS = 200


@dataclass(frozen=True, eq=False)
class Module:
    """A parsed file. `facts` hold its scopes; `spans` the byte offsets of its nodes."""

    text: Text
    node: cst.Module
    facts: Facts

    @property
    def path(self) -> str:
        """The path of the file."""
        return self.text.path

    @property
    def scope(self) -> Scope:
        """The module scope."""
        return self.facts.scope

    @cached_property
    def spans(self) -> dict[cst.CSTNode, tuple[int, int]]:
        """Start and length in bytes of every node, those inside string annotations included."""
        found = _spans(self.node)
        for each in self.facts.embedded:
            start = found[each.string][0] + len(each.string.prefix + each.string.quote)
            found.update({node: (start + at, length) for node, (at, length) in _spans(each.module).items()})
        return found

    def offset(self, node: cst.CSTNode) -> int:
        """Return the byte offset where a node begins."""
        return self.spans[node][0]

    def place(self, node: cst.CSTNode) -> str:
        """Return `path:line` of a node."""
        return f"{self.path}:{self.text.place(self.offset(node))[0]}"


def _is_bottomless(text: str) -> bool:
    """Return whether brackets nest deeper than Python allows, which would overflow LibCST's native parser."""
    depth = deepest = 0
    for bracket in _BRACKET.finditer(text):
        depth += 1 if bracket.group() in "([{" else -1
        deepest = max(deepest, depth)
    if deepest <= _MAX_BRACKETS:
        return False
    try:
        ast.parse(text)  # brackets in strings were counted too: let Python say
    except (SyntaxError, RecursionError, MemoryError) as error:
        return not isinstance(error, SyntaxError) or "nested" in str(error)
    return False


def _spans(node: cst.Module) -> dict[cst.CSTNode, tuple[int, int]]:
    wrapper = MetadataWrapper(node, unsafe_skip_copy=True)
    spans = wrapper.resolve(ByteSpanPositionProvider)
    return {each: (span.start, span.length) for each, span in spans.items()}


@dataclass(eq=False)
class Project:
    """The Python modules of a tree, addressed by path; a package is its `__init__` file or, without one, `dir/`."""

    tree: SourceTree
    broken: dict[str, str] = field(default_factory=dict)
    _loaded: dict[str, Module | None] = field(default_factory=dict)
    _texts: dict[str, str] = field(default_factory=dict)

    @cached_property
    def paths(self) -> frozenset[str]:
        """All readable paths."""
        return frozenset(self.tree.paths())

    @cached_property
    def python_paths(self) -> tuple[str, ...]:
        """The Python files, sorted."""
        return tuple(path for path in self.tree.paths() if path.endswith(SUFFIXES))

    @cached_property
    def directories(self) -> frozenset[str]:
        """Directories that hold Python files, themselves or below, with the `/` at the end."""
        found: set[str] = set()
        for path in self.python_paths:
            parent = dirname(path)
            while parent and f"{parent}/" not in found:
                found.add(f"{parent}/")
                parent = dirname(parent)
        return frozenset(found)

    @cached_property
    def roots(self) -> tuple[str, ...]:
        """Directories imports start from: `src/`, the root, then the parents of other top-level packages."""
        tops = {self._top(directory) for directory in self.directories if f"{directory}__init__.py" in self.paths}
        first = ["src/"] if "src/" in self.directories and "src/__init__.py" not in self.paths else []
        return tuple(dict.fromkeys([*first, "", *sorted(tops)]))

    def _top(self, directory: str) -> str:
        while f"{directory}__init__.py" in self.paths:
            directory = _parent(directory)
            if not directory:
                return ""
        return directory

    def text(self, path: str) -> str:
        """Return a file's text, read once."""
        if path not in self._texts:
            self._texts[path] = self.tree.read(path)
        return self._texts[path]

    def load(self, path: str) -> Module | None:
        """Return the parsed module, or None when the file does not parse; the reason is kept in `broken`."""
        if path not in self._loaded:
            self._loaded[path] = self._parse(path)
        return self._loaded[path]

    def load_if_present(self, path: str) -> Module | None:
        """Return the parsed module, or None when the tree has no such file or it does not parse."""
        return self.load(path) if path in self.paths else None

    def _parse(self, path: str) -> Module | None:
        text = self.text(path)
        if _is_bottomless(text):
            self.broken[path] = "the file is nested too deeply to be analysed"
            return None
        try:
            node = cst.parse_module(text)
            return Module(Text(path, text), node, collect(node, path))
        except cst.ParserSyntaxError as error:
            self.broken[path] = f"the file does not parse (line {error.raw_line})"
        except RecursionError:
            self.broken[path] = "the file is nested too deeply to be analysed"
        return None

    def find(self, origin: Origin, importer: str) -> str | None:
        """Return the place of the module an import names, or None when it is not part of the tree."""
        parts = [part for part in origin.module.split(".") if part]
        if origin.level:
            base = dirname(importer)
            for _ in range(origin.level - 1):
                base = dirname(base)
            return self._descend(f"{base}/" if base else "", parts)
        for root in self._search_path(importer, parts[0] if parts else ""):
            found = self._descend(root, parts)
            if found is not None:
                return found
        return None

    def _search_path(self, importer: str, first: str) -> tuple[str, ...]:
        own = f"{dirname(importer)}/" if dirname(importer) else ""
        is_script = f"{own}__init__.py" not in self.paths and first not in sys.stdlib_module_names
        return (*self.roots, own) if is_script else self.roots

    def _descend(self, root: str, parts: list[str]) -> str | None:
        place: str | None = root if parts else self._package(root)
        for part in parts:
            place = self.child(place, part)
        return place

    def _package(self, directory: str) -> str:
        init = f"{directory}__init__.py"
        return init if init in self.paths else directory

    def child(self, place: str | None, name: str) -> str | None:
        """Return the submodule `name` of a package, or None."""
        if place is None:
            return None
        base = place
        if place.endswith(SUFFIXES):
            if not place.endswith(("/__init__.py", "/__init__.pyi")) and place != "__init__.py":
                return None
            base = place.rpartition("/")[0] + "/" if "/" in place else ""
        if f"{base}{name}/__init__.py" in self.paths:
            return f"{base}{name}/__init__.py"
        for suffix in SUFFIXES:
            if f"{base}{name}{suffix}" in self.paths:
                return f"{base}{name}{suffix}"
        return f"{base}{name}/" if f"{base}{name}/" in self.directories else None

    def dotted(self, path: str) -> str:
        """Return the dotted name a module is usually imported by."""
        directory = f"{dirname(path)}/" if dirname(path) else ""
        top = self._top(directory) if f"{directory}__init__.py" in self.paths else ""
        if "src/" in self.roots and path.startswith("src/"):
            top = "src/"
        stem = path.removeprefix(top).removesuffix(".pyi").removesuffix(".py").removesuffix("__init__").rstrip("/")
        return stem.replace("/", ".")

    def containing(self, word: str) -> tuple[str, ...]:
        """Return the Python files whose text holds `word` anywhere."""
        return tuple(path for path in self.python_paths if word in self.text(path))


def _parent(directory: str) -> str:
    parent = dirname(directory.rstrip("/"))
    return f"{parent}/" if parent else ""
