"""Type annotations as the notation that facts keep.

    type   := one ("|" one)*              unions and intersections alike: either may hold a member
    one    := ("(" type,... "=>" type ")"  a function; "..." before its last parameter when that takes the rest
            | "[" type,... "]" | "{" name ":" type,... "}" | "`" chain "`" | name ["<" type,... ">"]) ("@" member)*

A name is `^T` (a type parameter), `#5` (a symbol of this file inside a function), `%Promise` (a global), `%` (a type
without members of ours), `?` (unknown), `this`, `{}` (the members of the alias itself), or plain.
"""

import re
from collections.abc import Callable

import tree_sitter

from services.vector_ops.languages.typescript.globals import STANDARD
from services.vector_ops.languages.typescript.scopes import Scope, find_type, find_value

_DEPTH_CAP = 7
_LENGTH_CAP = 700
_MEMBERS_CAP = 24
_KEPT = (
    "Promise PromiseLike Array ReadonlyArray Set Map ReadonlyMap ReadonlySet WeakMap Record Iterable Iterator "
    "AsyncIterable Generator AsyncGenerator IterableIterator AsyncIterableIterator Partial Required Readonly Omit Pick "
    "NonNullable Awaited ReturnType InstanceType Extract Exclude Parameters WeakRef"
)
_KEPT_GLOBALS = frozenset(_KEPT.split())
_INFERRED = re.compile(r"\binfer\s+([\w$]+)")
_UNKNOWN = frozenset({"any", "unknown", "object"})
Spell = Callable[[tree_sitter.Node, Scope, int], str]


def text_of(node: tree_sitter.Node) -> str:
    """Return the source text of a node."""
    return (node.text or b"").decode("utf-8", "replace")


def spell_type(node: tree_sitter.Node | None, scope: Scope, depth: int = 0) -> str:
    """Return the notation of a type, of an annotation (`: T`) or of nothing (`?`)."""
    if node is None or depth > _DEPTH_CAP:
        return "?"
    spell = _SPELLS.get(node.type)
    spelt = spell(node, scope, depth + 1) if spell else "?"
    return spelt if len(spelt) <= _LENGTH_CAP else "?"


def spell_annotation(node: tree_sitter.Node, scope: Scope) -> str:
    """Return the notation of the annotation of a declaration, or nothing when it has none."""
    found = node.child_by_field_name("type")
    return spell_type(found, scope) if found is not None else ""


def _spell_child(node: tree_sitter.Node, scope: Scope, depth: int) -> str:
    for child in node.named_children:
        if child.type != "comment":
            return spell_type(child, scope, depth)
    return "?"


def spell_name(name: str, scope: Scope) -> str:
    """Return the notation of a name of a type, without arguments."""
    head, dot, rest = name.partition(".")
    found = find_type(scope, head)
    if not found:
        return f"%{name}" if name in _KEPT_GLOBALS or head not in STANDARD else "%"
    return f"{head if found[0] == '$' else found}{dot}{rest}"


def _spell_identifier(node: tree_sitter.Node, scope: Scope, _depth: int) -> str:
    return spell_name(text_of(node), scope)


def _spell_generic(node: tree_sitter.Node, scope: Scope, depth: int) -> str:
    children = node.named_children
    name = spell_name(text_of(children[0]), scope)
    arguments = [one for one in children[-1].named_children if one.type != "comment"]
    if name in {"%", "?"} or not arguments:
        return name
    return f"{name}<{','.join(spell_type(one, scope, depth) for one in arguments)}>"


def _spell_predefined(node: tree_sitter.Node, _scope: Scope, _depth: int) -> str:
    return "?" if text_of(node) in _UNKNOWN else "%"


def _spell_literal(_node: tree_sitter.Node, _scope: Scope, _depth: int) -> str:
    return "%"


def _spell_this(_node: tree_sitter.Node, _scope: Scope, _depth: int) -> str:
    return "this"


def _spell_union(node: tree_sitter.Node, scope: Scope, depth: int) -> str:
    parts: list[str] = []
    todo = [node]
    while todo:
        one = todo.pop()
        if one.type == node.type:
            todo.extend(reversed(one.named_children))
        elif one.type != "comment":
            parts.append(spell_type(one, scope, depth))
    known = [part for part in dict.fromkeys(parts) if part not in {"%", "?"}]
    return "|".join(known[:12]) or ("%" if "%" in parts and "?" not in parts else "?")


def _spell_array(node: tree_sitter.Node, scope: Scope, depth: int) -> str:
    return f"%Array<{_spell_child(node, scope, depth)}>"


def _spell_tuple(node: tree_sitter.Node, scope: Scope, depth: int) -> str:
    items = (one for one in node.named_children if one.type != "comment")
    return f"[{','.join(_spell_item(one, scope, depth) for one in items)}]"


def _spell_item(node: tree_sitter.Node, scope: Scope, depth: int) -> str:
    if node.type in {"required_parameter", "optional_parameter"}:
        return spell_annotation(node, scope) or "?"
    return spell_type(node, scope, depth)


def spell_parameters(node: tree_sitter.Node | None, scope: Scope, depth: int = 0) -> str:
    """Return the notation of formal parameters, without brackets."""
    spelt = []
    for one in node.named_children if node is not None else ():
        if one.type not in {"required_parameter", "optional_parameter"}:
            if one.type != "comment":
                spelt.append("...?" if one.type == "rest_pattern" else "?")
            continue
        pattern = one.child_by_field_name("pattern")
        kind = pattern.type if pattern is not None else ""
        if kind != "this":
            annotation = one.child_by_field_name("type")
            spelt.append(("..." if kind == "rest_pattern" else "") + spell_type(annotation, scope, depth))
    return ",".join(spelt)


def _spell_function(node: tree_sitter.Node, scope: Scope, depth: int) -> str:
    inner = open_type_parameters(node, scope)
    parameters = spell_parameters(node.child_by_field_name("parameters"), inner, depth)
    result = node.child_by_field_name("return_type") or node.child_by_field_name("type")
    return f"({parameters}=>{spell_type(result, inner, depth)})"


def _spell_object(node: tree_sitter.Node, scope: Scope, depth: int) -> str:
    members: list[str] = []
    parts: list[str] = []
    for one in node.named_children[:_MEMBERS_CAP]:
        if one.type in {"property_signature", "method_signature"}:
            name = one.child_by_field_name("name")
            if name is not None and name.type == "property_identifier":
                annotation = one.child_by_field_name("type")
                is_method = one.type == "method_signature"
                spelt = _spell_function(one, scope, depth) if is_method else spell_type(annotation, scope, depth)
                members.append(f"{text_of(name)}:{spelt}")
        elif one.type in {"call_signature", "construct_signature"}:
            parts.append(_spell_function(one, scope, depth))
        elif one.type == "index_signature":
            parts.append(spell_index(one, scope, depth))
    if members:
        parts.append("{" + ",".join(members) + "}")
    return "|".join([one for one in parts if one != "%"]) or "%"


def spell_index(node: tree_sitter.Node, scope: Scope, depth: int = 0) -> str:
    """Return the notation of what an index signature or a mapped type (`[K in keyof T]: X`) stands for."""
    value = node.child_by_field_name("type")
    clause = next((one for one in node.named_children if one.type == "mapped_type_clause"), None)
    name = clause.child_by_field_name("name") if clause is not None else None
    keys = clause.child_by_field_name("type") if clause is not None else None
    inner = scope
    if name is not None and keys is not None:
        inner = Scope(scope)
        inner.types[text_of(name)] = "%"
        held = keys.named_children[0] if keys.type == "index_type_query" and keys.named_child_count else None
        if held is not None and value is not None and text_of(value).endswith(f" {text_of(held)}[{text_of(name)}]"):
            return spell_type(held, scope, depth)
    spelt = _spell_child(value, inner, depth) if value is not None else "?"
    return f"%Record<?,{spelt}>" if spelt not in {"?", "%"} else spelt


def _spell_query(node: tree_sitter.Node, scope: Scope, _depth: int) -> str:
    name = text_of(node.named_children[0]).partition("<")[0] if node.named_child_count else ""
    head, dot, rest = name.partition(".")
    found = find_value(scope, head)
    if not found and head and head not in STANDARD:
        found = f"%{head}"
    found = head if found[:1] == "#" and find_type(scope, head) == head else found
    is_plain = found and all(part.isidentifier() or "$" in part for part in name.split("."))
    return f"`{found}{dot}{rest}`" if is_plain else "?"


def _spell_conditional(node: tree_sitter.Node, scope: Scope, depth: int) -> str:
    both = (node.child_by_field_name("consequence"), node.child_by_field_name("alternative"))
    inner = Scope(scope)
    bind_inferred(node, inner)
    parts = [spell_type(one, inner, depth) for one in both]
    return "|".join(part for part in parts if part not in {"%", "?"}) or "?"


def bind_inferred(node: tree_sitter.Node, scope: Scope) -> None:
    """Bind what a condition infers (`T extends Array<infer U> ? ...`): types of which nothing is known."""
    condition = node.child_by_field_name("right")
    if condition is not None:
        scope.types.update(dict.fromkeys(_INFERRED.findall(text_of(condition)), "?"))


def _spell_lookup(node: tree_sitter.Node, scope: Scope, depth: int) -> str:
    children = node.named_children
    held = spell_type(children[0], scope, depth)
    key = text_of(children[-1]).strip("'\"")
    return f"{held}@{key}" if "|" not in held and key.isidentifier() and children[-1].type == "literal_type" else "?"


def open_type_parameters(node: tree_sitter.Node, scope: Scope) -> Scope:
    """Return a scope that holds the type parameters of a declaration, or the scope itself when it has none."""
    found = node.child_by_field_name("type_parameters")
    if found is None:
        return scope
    inner = Scope(scope)
    for one in found.named_children:
        name = one.child_by_field_name("name")
        if name is not None:
            inner.types[text_of(name)] = f"^{text_of(name)}"
    return inner


def spell_type_parameters(node: tree_sitter.Node, inner: Scope) -> str:
    """Return `<T:C=D,U>` for the type parameters of a declaration, or nothing; C is the constraint, D the default."""
    found = node.child_by_field_name("type_parameters")
    spelt = []
    for one in found.named_children if found is not None else ():
        name = one.child_by_field_name("name")
        if name is None:
            continue
        constraint, value = one.child_by_field_name("constraint"), one.child_by_field_name("value")
        limit = f":{_spell_child(constraint, inner, 2)}" if constraint is not None else ""
        default = f"={_spell_child(value, inner, 2)}" if value is not None else ""
        spelt.append(f"{text_of(name)}{limit if limit not in {':%', ':?'} else ''}{default if default != '=?' else ''}")
    return f"<{','.join(spelt)}>" if spelt else ""


_SPELLS: dict[str, Spell] = {
    "type_annotation": _spell_child,
    "parenthesized_type": _spell_child,
    "readonly_type": _spell_child,
    "optional_type": _spell_child,
    "rest_type": _spell_child,
    "type_identifier": _spell_identifier,
    "identifier": _spell_identifier,
    "nested_type_identifier": _spell_identifier,
    "generic_type": _spell_generic,
    "predefined_type": _spell_predefined,
    "literal_type": _spell_literal,
    "template_literal_type": _spell_literal,
    "index_type_query": _spell_literal,
    "this_type": _spell_this,
    "union_type": _spell_union,
    "intersection_type": _spell_union,
    "array_type": _spell_array,
    "tuple_type": _spell_tuple,
    "function_type": _spell_function,
    "constructor_type": _spell_function,
    "object_type": _spell_object,
    "type_query": _spell_query,
    "conditional_type": _spell_conditional,
    "lookup_type": _spell_lookup,
    "type_predicate_annotation": _spell_literal,
    "asserts_annotation": _spell_literal,
    "type_predicate": _spell_literal,
    "asserts": _spell_literal,
}
