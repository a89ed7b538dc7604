"""Object literals: members of the variable, property or function that they are the value of."""

import tree_sitter

from services.vector_ops.languages.typescript.drafts import Draft
from services.vector_ops.languages.typescript.expressions import express
from services.vector_ops.languages.typescript.scopes import Scope, find_value

_FUNCTIONS = frozenset({"arrow_function", "function_expression", "generator_function"})


def walk_object(draft: Draft, node: tree_sitter.Node, scope: Scope, expected: str) -> None:
    """Walk an object literal; when a symbol holds it, its members become symbols."""
    at = draft.declared.get(node.id)
    inner = scope
    if at is not None:
        inner = Scope(scope)
        inner.symbol, inner.prefix, inner.is_top = at, "", False
        inner.this = f"#{at}"
    doc: tree_sitter.Node | None = None
    for one in node.named_children:
        if one.type == "comment":
            doc = one
            continue
        if one.type == "method_definition":
            _walk_method(draft, one, inner, expected, doc)
        elif one.type == "pair":
            _walk_pair(draft, one, inner, at, expected, doc=doc)
        elif one.type == "shorthand_property_identifier":
            _walk_shorthand(draft, one, inner, at)
        else:
            draft.push([one], inner)
        doc = None


def _read_key(draft: Draft, name: tree_sitter.Node) -> str:
    text = draft.read(name)
    return text[1:-1] if name.type == "string" else text


def _walk_method(
    draft: Draft, node: tree_sitter.Node, scope: Scope, expected: str, doc: tree_sitter.Node | None
) -> None:
    name = node.child_by_field_name("name")
    if name is None:
        return
    if name.type == "computed_property_name":
        draft.push([name], scope)
    key = _read_key(draft, name)
    own = draft.add_symbol("method", name, node, scope, doc, name=key)
    draft.symbols[own].is_getter = any(one.type == "get" for one in node.children[:3])
    draft.declared[node.id] = own
    draft.stack.append((node, scope, f"{expected}.{key}" if expected and key.isidentifier() else ""))


def _walk_pair(
    draft: Draft, node: tree_sitter.Node, scope: Scope, at: int | None, expected: str, *, doc: tree_sitter.Node | None
) -> None:
    name, value = node.child_by_field_name("key"), node.child_by_field_name("value")
    if name is None or value is None:
        return
    key = _read_key(draft, name)
    wanted = f"{expected}.{key}" if expected and key.isidentifier() else ""
    if name.type == "computed_property_name":
        draft.push([name], scope)
    is_function = value.type in _FUNCTIONS
    if (at is None and not is_function) or name.type not in {"property_identifier", "string"}:
        draft.stack.append((value, scope, wanted))
        return
    own = draft.add_symbol("method" if is_function else "attribute", name, node, scope, doc, name=key)
    draft.declared[value.id] = own
    if is_function or value.type == "class":
        draft.stack.append((value, scope, wanted))
        return
    notation = express(draft, value, scope, wanted)
    if notation != f"#{own}":
        draft.symbols[own].result = notation
    if value.type == "identifier":
        draft.add_use("use", value, scope, find_value(scope, draft.read(value)))


def _walk_shorthand(draft: Draft, node: tree_sitter.Node, scope: Scope, at: int | None) -> None:
    bound = find_value(scope, draft.read(node))
    draft.add_use("use", node, scope, bound)
    if at is not None and bound:
        own = draft.add_symbol("attribute", node, node, scope)
        draft.symbols[own].result = bound
