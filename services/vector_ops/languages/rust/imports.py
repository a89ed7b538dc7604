"""Flattens `use` trees."""

from collections.abc import Iterator

from tree_sitter import Node

from services.vector_ops.languages.facts import Import
from services.vector_ops.languages.rust.grammar import Grammar, Source

_MAX_LEAVES = 2_000


def list_imports(grammar: Grammar, source: Source, node: Node, prefix: str, scope: int) -> Iterator[Import]:
    """Yield the imports of one `use`; `local` carries the prefix of the inline module or function that it stands in."""
    argument = node.child_by_field_id(grammar.field["argument"])
    is_export = node.child_count > 0 and node.child(0).type == "visibility_modifier"
    pending: list[tuple[Node, str]] = [(argument, "")] if argument is not None else []
    for _ in range(_MAX_LEAVES):
        if not pending:
            return
        one, base = pending.pop()
        kind = one.type
        if kind == "scoped_use_list":
            path, inner = (one.child_by_field_id(grammar.field[name]) for name in ("path", "list"))
            if inner is not None:
                pending.append((inner, _join(base, source.read(path) if path is not None else "")))
        elif kind == "use_list":
            pending += [(part, base) for part in reversed(one.named_children)]
        else:
            found = _make_leaf(grammar, source, one, base)
            if found is not None:
                local, module, name, at = found
                line, column = source.place(at)
                yield Import(f"{prefix}{local}", module, name, scope, line, column, is_export)


def _make_leaf(grammar: Grammar, source: Source, node: Node, base: str) -> tuple[str, str, str, Node] | None:
    """Return (local, module, name, the node that names it)."""
    kind, alias, at = node.type, "", node
    if kind == "use_wildcard":
        inner = source.read(node.named_child(0)) if node.named_child_count else ""
        return "*", _join(base, inner), "*", node
    if kind == "use_as_clause":
        path, renamed = (node.child_by_field_id(grammar.field[name]) for name in ("path", "alias"))
        if path is None or renamed is None:
            return None
        node, alias = path, source.read(renamed)
    text = _join(base, source.read(node))
    module, _, name = text.rpartition("::")
    if name == "self" and module:
        module, _, name = module.rpartition("::")
    if node.type == "scoped_identifier":
        at = node.child_by_field_id(grammar.field["name"]) or node
    elif node.type not in {"identifier", "self", "crate", "super"}:
        return None
    else:
        at = node
    return alias or name, module, name, at


def _join(base: str, text: str) -> str:
    text = "".join(text.split()).replace("r#", "")
    return f"{base}::{text}" if base and text else base or text
