"""Assignments that define: members of a class by `this.x = ...`, CommonJS exports, members put on a function."""

import tree_sitter

from services.vector_ops.languages.facts import FILE
from services.vector_ops.languages.typescript.drafts import Draft
from services.vector_ops.languages.typescript.expressions import express
from services.vector_ops.languages.typescript.imports import export_assigned
from services.vector_ops.languages.typescript.scopes import Scope, find_value

_FUNCTIONS = frozenset({"arrow_function", "function_expression", "generator_function"})
_TARGET_CAP = 80


def walk_assignment(draft: Draft, node: tree_sitter.Node, scope: Scope, _expected: str) -> None:
    """Walk an assignment."""
    left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
    if left is None or right is None:
        return
    if left.type == "member_expression":
        _assign_member(draft, node, left, right, scope)
        return
    bound = find_value(scope, draft.read(left)) if left.type == "identifier" else ""
    if left.type != "identifier":
        draft.push([left], scope)
    notation = express(draft, right, scope, bound if bound[:1] == "$" else "")
    if bound[:1] == "$" and draft.locals[int(bound[1:])] == "?" and notation != bound:
        draft.locals[int(bound[1:])] = notation
    elif bound[:1] == "#" and notation not in {"?", "%", bound}:
        symbol = draft.symbols[int(bound[1:])]
        if not symbol.type and symbol.result in {"", "?", "%"} and symbol.kind in {"variable", "constant"}:
            symbol.result = notation


def _assign_member(
    draft: Draft, node: tree_sitter.Node, left: tree_sitter.Node, right: tree_sitter.Node, scope: Scope
) -> None:
    name = left.children[-1]
    key = draft.read(name)
    target = left.children[0]
    text = draft.read(target) if target.end_byte - target.start_byte < _TARGET_CAP else ""
    if text == "module" and key == "exports" and not find_value(scope, "module"):
        _export_whole(draft, node, right, scope)
        return
    if text in {"exports", "module.exports"} and not find_value(scope, "exports"):
        _export_member(draft, node, name, right, scope)
        return
    owner = _find_owner(draft, target, text, scope)
    if owner is None:
        notation = express(draft, target, scope)
        is_known = notation not in {"?", "%"}
        express(draft, right, scope, f"{notation}.{key}" if is_known and len(notation) < _TARGET_CAP else "")
        return
    held = draft.members.get((owner, key))
    if held is None:
        _define(draft, node, name, right, scope, owner=owner, key=key)
        return
    symbol = draft.symbols[held]
    expected = f"«{symbol.type}»" if symbol.type and "`" not in symbol.type else ""
    notation = express(draft, right, scope, expected)
    if not symbol.type and symbol.result in {"", "?", "%"} and notation not in {"?", "%"}:
        symbol.result = notation


def _export_member(
    draft: Draft, node: tree_sitter.Node, name: tree_sitter.Node, right: tree_sitter.Node, scope: Scope
) -> None:
    """Note `exports.name = value`; a value that is only named is no definition of its own."""
    key = draft.read(name)
    is_named = right.type == "identifier"
    if not is_named or find_value(scope, draft.read(right))[:1] in {"", "$"}:
        _define(draft, node, name, right, scope, owner=FILE, key=key)
    if is_named:
        export_assigned(draft, key, draft.read(right), right, scope)


def _find_owner(draft: Draft, target: tree_sitter.Node, text: str, scope: Scope) -> int | None:
    """Return the symbol whose member is assigned: of `this.x`, `Foo.x`, `Foo.prototype.x`."""
    if target.type == "this":
        return int(scope.this[1:]) if scope.this[0] in "&#" and scope.this[1:].isdigit() else None
    head = text.removesuffix(".prototype")
    found = find_value(scope, head)
    if found[:1] == "#" and draft.symbols[int(found[1:])].kind in {"class", "function"}:
        return int(found[1:])
    return None


def _define(
    draft: Draft,
    node: tree_sitter.Node,
    name: tree_sitter.Node,
    right: tree_sitter.Node,
    scope: Scope,
    *,
    owner: int,
    key: str,
) -> None:
    is_function = right.type in _FUNCTIONS
    kind = ("method" if owner != FILE else "function") if is_function else "attribute" if owner != FILE else "constant"
    own = draft.add_symbol("class" if right.type == "class" else kind, name, node, scope, name=key, owner=owner)
    if is_function or right.type in {"class", "object"}:
        draft.declared[right.id] = own
    inner = Scope(scope)
    if owner != FILE and is_function:
        inner.this = f"&{owner}"
        draft.keeps_this.add(right.id)
    if is_function:
        draft.stack.append((right, inner, ""))
        return
    notation = express(draft, right, scope)
    if notation != f"#{own}":
        draft.symbols[own].result = notation


def _export_whole(draft: Draft, node: tree_sitter.Node, right: tree_sitter.Node, scope: Scope) -> None:
    """Note `module.exports = value`."""
    if right.type == "identifier":
        export_assigned(draft, "export=", draft.read(right), right, scope)
        return
    if right.type == "object":
        for one in right.named_children:
            if one.type == "shorthand_property_identifier":
                export_assigned(draft, draft.read(one), draft.read(one), one, scope)
    own = draft.add_symbol("constant", right, node, scope, name="export=", owner=FILE)
    draft.declared[right.id] = own
    notation = express(draft, right, scope)
    if notation != f"#{own}":
        draft.symbols[own].result = notation
