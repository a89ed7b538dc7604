"""Declarators of C and C++: the name inside `*(*f[3])(int)`."""

from tree_sitter import Node

from services.vector_ops.languages.facts import FILE, Import
from services.vector_ops.languages.tags.dialect import Captures, Declared
from services.vector_ops.languages.tags.includes import INCLUDED

_MAX_DEPTH = 24
_NAMES = frozenset(
    {"identifier", "field_identifier", "type_identifier", "destructor_name", "operator_name", "operator_cast"}
)


def read_declarator(node: Node) -> Declared | None:
    """Return what a declarator names; None when it names nothing."""
    params: Node | None = None
    scopes: list[str] = []
    current: Node | None = node
    for _ in range(_MAX_DEPTH):
        if current is None:
            return None
        kind = current.type
        if kind in _NAMES:
            return Declared(current, params, "::".join(scopes), params is not None)
        if kind == "function_declarator":
            inner = current.child_by_field_name("declarator")
            is_pointer = inner is not None and inner.type == "parenthesized_declarator"
            params = None if is_pointer else current.child_by_field_name("parameters")
        elif kind == "qualified_identifier":
            scope = current.child_by_field_name("scope")
            if scope is not None and scope.text:
                scopes.append(scope.text.decode("utf-8", "replace"))
            inner = current.child_by_field_name("name")
        else:
            inner = current.child_by_field_name("declarator") or current.child_by_field_name("name")
        current = inner or (current.named_child(current.named_child_count - 1) if current.named_child_count else None)
    return None


def read_include(captures: Captures, source: bytes) -> list[Import]:
    """Return the import of an `#include`, or of a `using` of C++ (`*`: a whole namespace)."""
    node = captures["import"][0]
    text = source[node.start_byte : node.end_byte].decode("utf-8", "replace").strip("; \t\r\n")
    row, column = node.start_point
    if "path" in captures:
        path_node = captures["path"][0]
        path = source[path_node.start_byte : path_node.end_byte].decode("utf-8", "replace").strip('<>"')
        return [Import(INCLUDED, path, INCLUDED, FILE, row + 1, column + 1)]
    words = text.split()
    path = words[-1].replace("::", ".").strip(".")
    if "namespace" in words[:-1]:
        return [Import("*", path, "", FILE, row + 1, column + 1)]
    module, _, name = path.rpartition(".")
    return [Import(name, module, name, FILE, row + 1, column + 1)]
