"""Functions: their parameters, what they declare to return, and their bodies."""

import tree_sitter

from services.vector_ops.languages.typescript.annotations import (
    open_type_parameters,
    spell_parameters,
    spell_type,
    spell_type_parameters,
)
from services.vector_ops.languages.typescript.declarations import list_bound
from services.vector_ops.languages.typescript.drafts import Draft
from services.vector_ops.languages.typescript.expressions import express, unwrap
from services.vector_ops.languages.typescript.scopes import Scope

_EXPECTED_CAP = 90
_PARAMETERS = frozenset({"required_parameter", "optional_parameter"})
_OWN_THIS = frozenset({"function_declaration", "generator_function_declaration", "function_expression"})


def walk_function(draft: Draft, node: tree_sitter.Node, scope: Scope, expected: str) -> None:
    """Walk a function; `expected` is the notation of the type that its surroundings want of it."""
    at = draft.declared.get(node.id)
    inner = open_type_parameters(node, scope)
    if inner is scope:
        inner = Scope(scope)
    inner.is_top = False
    parameters = node.child_by_field_name("parameters")
    result = node.child_by_field_name("return_type")
    is_async = bool(node.child_count) and node.children[0].type == "async"
    if at is None:
        inner.prefix = scope.prefix or ("<callback>" if inner.symbol < 0 else "")
        inner.returns = []
    else:
        _describe(draft, node, at, inner, parameters=parameters, result=result)
        inner.symbol, inner.prefix = at, ""
        inner.returns = draft.symbols[at].returns
        draft.symbols[at].is_async = is_async or any(one.type == "async" for one in node.children[1:4])
    if node.type in _OWN_THIS and node.id not in draft.keeps_this:
        inner.this = "?"
    inner.result = _result_of(result, inner, expected, is_async=is_async)
    if result is not None:
        draft.push([result], inner)
    single = node.child_by_field_name("parameter")
    if single is not None:
        inner.names[draft.read(single)] = draft.add_local(f"{expected}>0" if expected else "?")
    if parameters is not None:
        bind_parameters(draft, parameters, inner, expected)
    _walk_body(draft, node, inner)


def _describe(
    draft: Draft,
    node: tree_sitter.Node,
    at: int,
    inner: Scope,
    *,
    parameters: tree_sitter.Node | None,
    result: tree_sitter.Node | None,
) -> None:
    drafted = draft.symbols[at]
    drafted.parameters = spell_parameters(parameters, inner) if parameters is not None else "?"
    drafted.generics = spell_type_parameters(node, inner)
    drafted.type = drafted.type or ""
    if result is not None:
        drafted.result = f"={spell_type(result, inner)}"


def _result_of(result: tree_sitter.Node | None, scope: Scope, expected: str, *, is_async: bool) -> str:
    """Return the notation of what `return` wants: as declared, or as the surroundings want it."""
    wait = "~" if is_async else ""
    if result is not None:
        spelt = spell_type(result, scope)
        return f"«{spelt}»{wait}" if spelt not in {"?", "%"} and "`" not in spelt else ""
    return f"{expected}(){wait}" if expected and len(expected) < _EXPECTED_CAP else ""


def _walk_body(draft: Draft, node: tree_sitter.Node, inner: Scope) -> None:
    body = node.child_by_field_name("body")
    if body is None:
        return
    if body.type == "statement_block":
        draft.push([body], inner)
    else:
        walk_result(draft, body, inner)


def walk_result(draft: Draft, value: tree_sitter.Node, scope: Scope) -> None:
    """Walk what a function returns; the members of an object literal become members of the function."""
    held = unwrap(value)
    if held.type == "object" and scope.symbol >= 0 and draft.symbols[scope.symbol].returns is scope.returns:
        draft.declared[held.id] = scope.symbol
    notation = express(draft, value, scope, scope.result)
    if scope.returns is not None and notation not in {"?", "%"}:
        scope.returns.append(notation)


def bind_parameters(draft: Draft, parameters: tree_sitter.Node, inner: Scope, expected: str) -> None:
    """Bind the parameters of a function as locals of their declared, wanted or default type."""
    at = 0
    for one in parameters.named_children:
        if one.type == "comment":
            continue
        if one.type in _PARAMETERS:
            pattern = one.child_by_field_name("pattern")
            if pattern is not None and pattern.type == "this":
                _bind_this(one, inner)
                continue
            annotation, value = one.child_by_field_name("type"), one.child_by_field_name("value")
            draft.push([two for two in one.named_children if two.type in {"type_annotation", "decorator"}], inner)
        else:
            pattern, annotation, value = one, None, None
            if one.type == "assignment_pattern":
                pattern, value = one.child_by_field_name("left"), one.child_by_field_name("right")
        wanted = f"{expected}>{at}" if expected and len(expected) < _EXPECTED_CAP else ""
        notation = _value_of(draft, annotation, value, inner, wanted)
        if pattern is not None:
            _bind_pattern(draft, pattern, inner, notation)
        at += 1


def _bind_this(parameter: tree_sitter.Node, inner: Scope) -> None:
    spelt = spell_type(parameter.child_by_field_name("type"), inner)
    inner.this = f"«{spelt}»" if spelt not in {"?", "%"} and "`" not in spelt else spelt[:1]


def _value_of(
    draft: Draft, annotation: tree_sitter.Node | None, value: tree_sitter.Node | None, inner: Scope, wanted: str
) -> str:
    spelt = spell_type(annotation, inner) if annotation is not None else ""
    is_known = spelt not in {"", "?", "%"} and "`" not in spelt
    default = express(draft, value, inner, f"«{spelt}»" if is_known else wanted) if value is not None else "?"
    if is_known:
        return f"«{spelt}»"
    if spelt == "%":
        return "%"
    if annotation is not None and default == "?":
        return "?"
    return default if default != "?" and not wanted else wanted or "?"


def _bind_pattern(draft: Draft, pattern: tree_sitter.Node, inner: Scope, notation: str) -> None:
    is_rest = pattern.type == "rest_pattern"
    for bound, path in list_bound(draft, pattern):
        if is_rest:
            value = notation if notation[0] == "«" else "?"
        elif path == "":
            value = notation
        else:
            value = f"{notation}{path}" if notation not in {"?", "%"} and "?" not in path else notation
        inner.names[draft.read(bound)] = draft.add_local(value)
    if pattern.type in {"object_pattern", "array_pattern"}:
        draft.push([one for one in pattern.named_children if one.child_count], inner)
