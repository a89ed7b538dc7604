"""The walk over a file: one stack, no recursion on its depth, one handler a kind of node."""

from collections.abc import Callable

import tree_sitter

from services.vector_ops.languages.typescript.annotations import open_type_parameters, spell_type
from services.vector_ops.languages.typescript.assignments import walk_assignment
from services.vector_ops.languages.typescript.classes import (
    walk_annotation,
    walk_class,
    walk_enum,
    walk_interface,
    walk_signature,
    walk_type_alias,
)
from services.vector_ops.languages.typescript.declarations import declare_all, list_bound
from services.vector_ops.languages.typescript.drafts import LEAVES, Draft
from services.vector_ops.languages.typescript.expressions import express
from services.vector_ops.languages.typescript.functions import walk_function, walk_result
from services.vector_ops.languages.typescript.objects import walk_object
from services.vector_ops.languages.typescript.scopes import Scope, find_type, find_value

_NODES_CAP = 4_000_000
Walk = Callable[[Draft, tree_sitter.Node, Scope, str], None]


def walk_file(draft: Draft, root: tree_sitter.Node) -> None:
    """Walk a whole file."""
    stack = draft.stack
    _walk_statements(draft, root, Scope(), "")
    walks, leaves = _WALKS, LEAVES
    for _step in range(_NODES_CAP):
        if not stack:
            return
        node, scope, expected = stack.pop()
        walk = walks.get(node.type)
        if walk is not None:
            walk(draft, node, scope, expected)
        else:
            stack.extend([(child, scope, "") for child in reversed(node.named_children) if child.type not in leaves])


def _walk_nothing(_draft: Draft, _node: tree_sitter.Node, _scope: Scope, _expected: str) -> None:
    return


def _walk_only(draft: Draft, node: tree_sitter.Node, scope: Scope, _expected: str) -> None:
    """Walk a statement that is one expression."""
    children = node.children
    if children and children[0].type in _EXPRESSIONS:
        express(draft, children[0], scope)
    else:
        draft.push(node.named_children, scope)


def _walk_expression(draft: Draft, node: tree_sitter.Node, scope: Scope, expected: str) -> None:
    express(draft, node, scope, expected)


def _walk_statements(draft: Draft, node: tree_sitter.Node, scope: Scope, _expected: str) -> None:
    children = node.named_children
    declare_all(draft, children, scope)
    draft.push(children, scope)


def _walk_block(draft: Draft, node: tree_sitter.Node, scope: Scope, _expected: str) -> None:
    children = node.named_children
    inner = Scope(scope)
    declare_all(draft, children, inner)
    draft.push(children, inner)


def _walk_module(draft: Draft, node: tree_sitter.Node, scope: Scope, _expected: str) -> None:
    body = node.child_by_field_name("body")
    if body is None:
        return
    inner = Scope(scope)
    at = draft.declared.get(node.id)
    inner.is_top = True
    if at is None:
        inner.prefix = "<module>"
    else:
        inner.symbol = at
    children = body.named_children
    declare_all(draft, children, inner)
    draft.push(children, inner)


def _walk_ambient(draft: Draft, node: tree_sitter.Node, scope: Scope, _expected: str) -> None:
    for child in node.named_children:
        if child.type == "statement_block":
            _walk_global(draft, node, child, scope)
        else:
            draft.push([child], scope)


def _walk_global(draft: Draft, node: tree_sitter.Node, block: tree_sitter.Node, scope: Scope) -> None:
    """Walk `declare global { ... }`: its names are those of all files, so they are written as globals."""
    at = draft.declared.get(node.id)
    inner = Scope(scope)
    inner.is_top = True
    inner.symbol = scope.symbol if at is None else at
    declare_all(draft, block.named_children, inner)
    inner.names = {name: f"%{name}" if held[0] == "#" else held for name, held in inner.names.items()}
    inner.types = {name: f"%{name}" for name in inner.types}
    draft.push(block.named_children, inner)


def _walk_declarator(draft: Draft, node: tree_sitter.Node, scope: Scope, _expected: str) -> None:
    name, value = node.child_by_field_name("name"), node.child_by_field_name("value")
    annotation = node.child_by_field_name("type")
    if name is None:
        return
    declared, held = "", draft.declared.get(name.id)
    if annotation is not None and held is not None:
        declared = walk_annotation(draft, annotation, scope, held)
    elif annotation is not None:
        declared = spell_type(annotation, scope)
        draft.push([annotation], scope)
    at = draft.declared.get(node.id)
    if at is not None and value is not None:
        if declared:
            draft.symbols[at].type = declared
        draft.stack.append((value, scope, f"«{declared}»" if declared and "`" not in declared else ""))
        return
    expected = f"«{declared}»" if declared and "`" not in declared else ""
    notation = express(draft, value, scope, expected) if value is not None else "?"
    bind_pattern(draft, name, scope, declared, notation)


def bind_pattern(draft: Draft, name: tree_sitter.Node, scope: Scope, declared: str, notation: str) -> None:
    """Give the names of a pattern their values: of the declared type, or else of what the notation stands for."""
    base = f"«{declared}»" if declared not in {"", "?"} and "`" not in declared else notation
    if name.type == "identifier":
        _set_value(draft, name, scope, declared, base)
        return
    draft.push([one for one in name.named_children if one.child_count], scope)
    for bound, path in list_bound(draft, name):
        is_known = "?" not in path and base not in {"?", "%"}
        _set_value(draft, bound, scope, "", f"{base}{path}" if is_known else base if base == "%" else "?")


def _set_value(draft: Draft, name: tree_sitter.Node, scope: Scope, declared: str, notation: str) -> None:
    at = draft.declared.get(name.id)
    if at is not None:
        drafted = draft.symbols[at]
        if notation != f"#{at}":
            drafted.type = declared or drafted.type
            drafted.result = notation
        return
    bound = find_value(scope, draft.read(name))
    if bound.startswith("$"):
        draft.locals[int(bound[1:])] = notation


def _walk_for_in(draft: Draft, node: tree_sitter.Node, scope: Scope, _expected: str) -> None:
    left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
    body = node.child_by_field_name("body")
    inner = Scope(scope)
    notation = express(draft, right, scope) if right is not None else "?"
    operator = node.child_by_field_name("operator")
    is_of = operator is not None and operator.type == "of"
    if left is not None and node.child_by_field_name("kind") is not None:
        for bound, path in list_bound(draft, left):
            value = f"{notation}[]{path}" if notation not in {"?", "%"} and "?" not in path else notation
            inner.names[draft.read(bound)] = draft.add_local(value if is_of else "%")
    if body is not None:
        draft.push([body], inner)


def _walk_for(draft: Draft, node: tree_sitter.Node, scope: Scope, _expected: str) -> None:
    inner = Scope(scope)
    children = node.named_children
    declare_all(draft, children, inner)
    draft.push(children, inner)


def _walk_catch(draft: Draft, node: tree_sitter.Node, scope: Scope, _expected: str) -> None:
    inner = Scope(scope)
    parameter, body = node.child_by_field_name("parameter"), node.child_by_field_name("body")
    if parameter is not None:
        for bound, _path in list_bound(draft, parameter):
            inner.names[draft.read(bound)] = draft.add_local("?")
    if body is not None:
        draft.push([body], inner)


def _walk_return(draft: Draft, node: tree_sitter.Node, scope: Scope, _expected: str) -> None:
    if node.named_child_count:
        walk_result(draft, node.named_children[0], scope)


def _walk_export(draft: Draft, node: tree_sitter.Node, scope: Scope, _expected: str) -> None:
    held = node.child_by_field_name("declaration")
    value = node.child_by_field_name("value")
    draft.push([one for one in node.named_children if one.type == "decorator"], scope)
    if held is not None:
        draft.push([held], scope)
    elif value is not None:
        at = draft.declared.get(node.id)
        notation = express(draft, value, scope)
        if at is not None and notation != f"#{at}":
            draft.symbols[at].result = notation


def _walk_identifier(draft: Draft, node: tree_sitter.Node, scope: Scope, _expected: str) -> None:
    draft.add_use("use", node, scope, find_value(scope, draft.read(node)))


def _walk_signature(draft: Draft, node: tree_sitter.Node, scope: Scope, _expected: str) -> None:
    walk_signature(draft, node, scope)


def _walk_type_name(draft: Draft, node: tree_sitter.Node, scope: Scope, _expected: str) -> None:
    draft.add_use("annotate", node, scope, find_type(scope, draft.read(node)))


def _walk_decorator(draft: Draft, node: tree_sitter.Node, scope: Scope, _expected: str) -> None:
    held = node.named_children[0] if node.named_child_count else None
    if held is not None and held.type == "identifier":
        draft.add_use("decorate", held, scope, find_value(scope, draft.read(held)))
    elif held is not None:
        draft.push([held], scope)


def _walk_tag(draft: Draft, node: tree_sitter.Node, scope: Scope, _expected: str) -> None:
    """Walk `<Comp a={b}>`: a use of Comp."""
    name = node.child_by_field_name("name")
    for child in reversed(node.named_children):
        if child != name:
            draft.stack.append((child, scope, ""))
    if name is None:
        return
    text = draft.read(name)
    if name.type == "identifier" and not text[:1].islower():
        draft.add_use("use", name, scope, find_value(scope, text))
    elif name.type == "member_expression":
        last = name.children[-1]
        head = draft.read(name.children[0])
        found = find_value(scope, head)
        if found and found[0] != "%" and head.isidentifier():
            draft.add_reference("use", draft.read(last), last, scope, f"{found}.")


def _walk_generic_function(draft: Draft, node: tree_sitter.Node, scope: Scope, _expected: str) -> None:
    """Walk a type with parameters of its own (`<T>(x: T) => T`)."""
    draft.push([one for one in node.named_children if one.child_count], open_type_parameters(node, scope))


_FUNCTION_KINDS = (
    "function_declaration",
    "generator_function_declaration",
    "function_expression",
    "generator_function",
    "arrow_function",
    "method_definition",
)
_EXPRESSION_KINDS = (
    "call_expression",
    "member_expression",
    "await_expression",
    "subscript_expression",
    "new_expression",
    "parenthesized_expression",
    "non_null_expression",
    "as_expression",
    "satisfies_expression",
    "type_assertion",
    "ternary_expression",
)
_EXPRESSIONS = frozenset(_EXPRESSION_KINDS)
_WALKS: dict[str, Walk] = {
    **dict.fromkeys(LEAVES, _walk_nothing),
    **dict.fromkeys(_EXPRESSION_KINDS, _walk_expression),
    **dict.fromkeys(_FUNCTION_KINDS, walk_function),
    **dict.fromkeys(("class_declaration", "abstract_class_declaration", "class"), walk_class),
    **dict.fromkeys(("function_type", "constructor_type"), _walk_generic_function),
    **dict.fromkeys(("jsx_opening_element", "jsx_self_closing_element"), _walk_tag),
    **dict.fromkeys(("module", "internal_module"), _walk_module),
    **dict.fromkeys(("assignment_expression", "augmented_assignment_expression"), walk_assignment),
    "ERROR": _walk_statements,
    "expression_statement": _walk_only,
    "statement_block": _walk_block,
    "ambient_declaration": _walk_ambient,
    "variable_declarator": _walk_declarator,
    "for_in_statement": _walk_for_in,
    "for_statement": _walk_for,
    "switch_body": _walk_block,
    "catch_clause": _walk_catch,
    "return_statement": _walk_return,
    "export_statement": _walk_export,
    "identifier": _walk_identifier,
    "shorthand_property_identifier": _walk_identifier,
    "type_identifier": _walk_type_name,
    "decorator": _walk_decorator,
    "function_signature": _walk_signature,
    "interface_declaration": walk_interface,
    "type_alias_declaration": walk_type_alias,
    "enum_declaration": walk_enum,
    "object": walk_object,
}
