"""A view of Python files in memory: definitions by `ast`, calls by name, documents as the index makes them."""

import ast
import hashlib
from zlib import crc32

from services.vector_ops.core.view import EdgeRow, FileRow, SymbolRow
from services.vector_ops.languages.facts import FILE, FileFacts, Symbol
from services.vector_ops.languages.world import EdgeKind, Tier
from services.vector_ops.lexical.documents import encode_document

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def read_facts(text):
    symbols = []

    def visit(node, owner, prefix, is_class):
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, _DEFINITIONS):
                visit(child, owner, prefix, is_class)
                continue
            is_type = isinstance(child, ast.ClassDef)
            kind = "class" if is_type else "method" if is_class else "function"
            start = min([child.lineno, *(one.lineno for one in child.decorator_list)])
            symbols.append(
                Symbol(child.name, prefix + child.name, kind, child.lineno, 5, start, child.end_lineno, owner)
            )
            visit(child, len(symbols) - 1, f"{prefix}{child.name}.", is_type)

    visit(ast.parse(text), FILE, "", False)
    return FileFacts("python", tuple(symbols))


class MemoryView:
    """As much of `IndexView` as retrieval reads."""

    def __init__(self, files):
        self.files = dict(files)
        self.facts = {
            path: read_facts(text) if path.endswith(".py") else FileFacts("") for path, text in self.files.items()
        }
        self.reads = 0

    @property
    def epoch(self):
        return hashlib.sha256(repr(sorted(self.files.items())).encode()).hexdigest()

    def list_files(self):
        return [
            FileRow(n, path, hashlib.sha1(text.encode()).hexdigest(), "python", False, False, "")
            for n, (path, text) in enumerate(sorted(self.files.items()))
        ]

    def read_documents(self, paths):
        for path in paths:
            self.reads += 1
            yield path, encode_document(self.facts[path], self.files[path])

    def list_symbols(self, path):
        return [self._row(path, at, one) for at, one in enumerate(self.facts[path].symbols)]

    def _row(self, path, at, one):
        return SymbolRow(
            crc32(f"{path}:{one.qualname}:{at}".encode()), path, at, *one[:7], one.signature, one.doc, "test" in path
        )

    def all_symbols(self):
        for path in sorted(self.files):
            yield SymbolRow(crc32(path.encode()), path, FILE, path, path, "file", 1, 1, 1, 1, "", "", "test" in path)
            yield from self.list_symbols(path)

    def file_symbol(self, path):
        return next((row for row in self.all_symbols() if row.path == path and row.at == FILE), None)

    def find_symbols(self, names, limit=500):
        return [row for row in self.all_symbols() if row.name in names][:limit]

    def find_symbols_like(self, name, limit=20):
        return sorted({row.name for row in self.all_symbols() if row.name.lower() == name.lower()})[:limit]

    def read_symbols(self, ids):
        rows = {row.id: row for row in self.all_symbols()}
        return {one: rows[one] for one in ids if one in rows}

    def all_edges(self):
        named = {}
        for row in self.all_symbols():
            named.setdefault(row.name, []).append(row)
        for path, text in sorted(self.files.items()):
            if path.endswith(".py"):
                yield from self._edges_of(path, ast.parse(text), named)

    def _edges_of(self, path, tree, named):
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                yield from self._link(path, node.lineno, named.get(name, ()), EdgeKind.CALL)
            elif isinstance(node, ast.ClassDef):
                for base in node.bases:
                    yield from self._link(path, node.lineno, named.get(getattr(base, "id", ""), ()), EdgeKind.INHERIT)
            elif isinstance(node, ast.ImportFrom):
                file = f"{node.module.replace('.', '/')}.py"
                targets = [row for row in self.all_symbols() if row.path == file and row.at == FILE]
                yield from self._link(path, node.lineno, targets, EdgeKind.IMPORT)

    def _link(self, path, line, targets, kind):
        inside = [row for row in self.list_symbols(path) if row.start_line <= line <= row.end_line]
        source = inside[-1] if inside else self.file_symbol(path)
        for target in targets:
            yield EdgeRow(source.id, target.id, kind, Tier.EXACT, path, line, 1)

    def edges_to(self, ids, kinds, limit=1_000):
        return [edge for edge in self.all_edges() if edge.target_id in set(ids) and edge.kind in kinds][:limit]

    def edges_from(self, ids, kinds, limit=1_000):
        return [edge for edge in self.all_edges() if edge.source_id in set(ids) and edge.kind in kinds][:limit]
