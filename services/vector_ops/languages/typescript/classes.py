"""Classes, interfaces, type aliases and enumerations, with their members."""

import re

import tree_sitter

from services.vector_ops.languages.typescript.annotations import (
    bind_inferred,
    open_type_parameters,
    spell_index,
    spell_name,
    spell_parameters,
    spell_type,
    spell_type_parameters,
)
from services.vector_ops.languages.typescript.drafts import Draft
from services.vector_ops.languages.typescript.expressions import express
from services.vector_ops.languages.typescript.scopes import Scope, find_type, find_value

_FUNCTIONS = frozenset({"arrow_function", "function_expression", "generator_function"})
_FIELDS = frozenset({"public_field_definition", "field_definition"})
_METHODS = frozenset({"method_definition", "method_signature", "abstract_method_signature"})
_CALLED = re.compile(r"\(|\btypeof\b")
_SIGNATURES_CAP = 1200
_NESTED_CAP = 6
_KNOWN_CAP = 12
_COMBINED = frozenset({"union_type", "intersection_type", "parenthesized_type"})
_ALTERNATIVES_CAP = 40


def walk_class(draft: Draft, node: tree_sitter.Node, scope: Scope, _expected: str) -> None:
    """Walk a class."""
    at = draft.declared.get(node.id)
    if at is None:
        name = node.child_by_field_name("name")
        at = draft.add_symbol("class", name or node, node, scope, name="" if name is not None else "<class>")
    inner = open_type_parameters(node, scope)
    if inner is scope:
        inner = Scope(scope)
    name = node.child_by_field_name("name")
    if name is not None and node.type == "class":
        inner.names[draft.read(name)] = f"#{at}"
    draft.symbols[at].generics = spell_type_parameters(node, inner)
    inner.symbol, inner.prefix, inner.is_top = at, "", False
    inner.this, inner.returns = f"&{at}", None
    for one in node.named_children:
        if one.type == "class_heritage":
            _read_heritage(draft, one, inner, at)
        elif one.type in {"decorator", "type_parameters"}:
            draft.push([one], inner)
        elif one.type == "class_body":
            _walk_members(draft, one, inner, at)


def _read_heritage(draft: Draft, node: tree_sitter.Node, scope: Scope, at: int) -> None:
    for clause in node.named_children:
        if clause.type == "implements_clause":
            for one in clause.named_children:
                _add_base(draft, one, scope, at)
        elif clause.type == "extends_clause":
            value = clause.child_by_field_name("value")
            kept = clause.child_by_field_name("type_arguments")
            if value is not None:
                _extend(draft, value, kept, scope, at)
        elif clause.type != "comment":
            _extend(draft, clause, None, scope, at)


def _extend(draft: Draft, value: tree_sitter.Node, kept: tree_sitter.Node | None, scope: Scope, at: int) -> None:
    drafted = draft.symbols[at]
    if value.type not in {"identifier", "member_expression"}:
        notation = express(draft, value, scope)
        drafted.bases.append(f"`{notation}`" if notation not in {"?", "%"} else notation)
        return
    text = draft.read(value)
    spelt = spell_name(text, scope)
    if kept is not None:
        draft.push([kept], scope)
        arguments = ",".join(spell_type(one, scope, 3) for one in kept.named_children)
        spelt = f"{spelt}<{arguments}>" if spelt not in {"%", "?"} and arguments else spelt
    drafted.bases.append(spelt)
    _inherit(draft, value, scope, find_value(scope, text.partition(".")[0]))


def _add_base(draft: Draft, node: tree_sitter.Node, scope: Scope, at: int) -> None:
    if node.type not in {"type_identifier", "generic_type", "nested_type_identifier", "identifier"}:
        return
    draft.symbols[at].bases.append(spell_type(node, scope))
    name = node.named_children[0] if node.type == "generic_type" else node
    if node.type == "generic_type":
        draft.push(node.named_children[1:], scope)
    _inherit(draft, name, scope, find_type(scope, draft.read(name).partition(".")[0]))


def _inherit(draft: Draft, node: tree_sitter.Node, scope: Scope, token: str) -> None:
    """Add the reference of a base; of `ns.Base` at `Base`."""
    if not token or token[0] in "$^":
        return
    if node.child_count:
        last = node.children[-1]
        path = draft.read(node)[: -len(draft.read(last))]
        draft.add_reference("inherit", draft.read(last), last, scope, f"{token}.{path.partition('.')[2]}")
    else:
        draft.add_reference("inherit", draft.read(node), node, scope, token)


def _walk_members(draft: Draft, body: tree_sitter.Node, scope: Scope, at: int) -> None:
    doc: tree_sitter.Node | None = None
    decorator: tree_sitter.Node | None = None
    for one in body.named_children:
        if one.type == "comment":
            doc = one
            continue
        if one.type == "decorator":
            decorator = decorator or one
            draft.push([one], scope)
            continue
        if one.type in _METHODS:
            _walk_method(draft, one, scope, at, doc or decorator)
        elif one.type in _FIELDS:
            _walk_field(draft, one, scope, at, doc or decorator)
        elif one.type != "index_signature":
            draft.push([one], scope)
        doc = decorator = None


def _walk_method(draft: Draft, node: tree_sitter.Node, scope: Scope, at: int, doc: tree_sitter.Node | None) -> None:
    name = node.child_by_field_name("name")
    if name is None:
        return
    words = {one.type for one in node.children[:5]}
    inner = scope
    if "static" in words:
        inner = Scope(scope)
        inner.this = f"#{at}"
    if name.type in {"computed_property_name", "string"}:
        draft.push([name], scope)
    text = _read_key(draft, name)
    held = draft.members.get((at, text))
    if node.type != "method_definition" and held is not None and draft.symbols[held].kind == "method":
        _overload(draft, node, inner, held)
        return
    kind = "attribute" if "get" in words or "set" in words else "method"
    instead = held if held is not None and draft.symbols[held].is_signature else None
    own = draft.add_symbol(kind, name, node, scope, doc, name=text, owner=at, instead=instead)
    symbol = draft.symbols[own]
    symbol.is_getter = "get" in words
    symbol.is_signature = node.type == "method_signature"
    if node.type == "method_definition":
        draft.declared[node.id] = own
        draft.stack.append((node, inner, ""))
        if text == "constructor":
            _declare_properties(draft, node, scope, at)
    else:
        _overload(draft, node, inner, own)


def _read_key(draft: Draft, name: tree_sitter.Node) -> str:
    text = draft.read(name)
    return text[1:-1] if name.type == "string" else text


def _overload(draft: Draft, node: tree_sitter.Node, scope: Scope, at: int) -> None:
    """Add the types of a signature to a symbol."""
    symbol = draft.symbols[at]
    inner = open_type_parameters(node, scope)
    result = node.child_by_field_name("return_type") or node.child_by_field_name("type")
    parameters = spell_parameters(node.child_by_field_name("parameters"), inner)
    symbol.overloads.append(f"({parameters}=>{spell_type(result, inner)})")
    symbol.generics = symbol.generics or spell_type_parameters(node, inner)
    draft.push([one for one in node.named_children if one.child_count], inner)


def walk_signature(draft: Draft, node: tree_sitter.Node, scope: Scope) -> None:
    """Add the types of a function signature without a body."""
    at = draft.declared.get(node.id)
    if at is not None:
        _overload(draft, node, scope, at)


def _declare_properties(draft: Draft, node: tree_sitter.Node, scope: Scope, at: int) -> None:
    """Declare the members that a constructor declares by its parameters (`private a: A`)."""
    parameters = node.child_by_field_name("parameters")
    for one in parameters.named_children if parameters is not None else ():
        name = one.child_by_field_name("pattern")
        is_member = any(two.type in {"accessibility_modifier", "readonly"} for two in one.children)
        if name is not None and is_member and name.type == "identifier":
            own = draft.add_symbol("attribute", name, one, scope, owner=at)
            draft.symbols[own].type = spell_type(one.child_by_field_name("type"), scope)


def _walk_field(draft: Draft, node: tree_sitter.Node, scope: Scope, at: int, doc: tree_sitter.Node | None) -> None:
    name = node.child_by_field_name("name") or node.child_by_field_name("property")
    if name is None:
        return
    annotation, value = node.child_by_field_name("type"), node.child_by_field_name("value")
    is_function = value is not None and value.type in _FUNCTIONS
    own = draft.add_symbol(
        "method" if is_function else "attribute", name, node, scope, doc, name=_read_key(draft, name)
    )
    symbol = draft.symbols[own]
    draft.push([one for one in node.named_children if one.type in {"decorator", "type_annotation"}], scope)
    if annotation is not None:
        symbol.type = spell_type(annotation, scope)
    inner = scope
    if any(one.type == "static" for one in node.children[:4]):
        inner = Scope(scope)
        inner.this = f"#{at}"
    if value is None:
        return
    expected = f"«{symbol.type}»" if symbol.type and "`" not in symbol.type else ""
    if is_function:
        draft.declared[value.id] = own
        draft.stack.append((value, inner, expected))
        return
    if value.type == "object":
        draft.declared[value.id] = own
    notation = express(draft, value, inner, expected)
    if notation != f"#{own}":
        symbol.result = notation


def walk_interface(draft: Draft, node: tree_sitter.Node, scope: Scope, _expected: str) -> None:
    """Walk an interface."""
    at = draft.declared.get(node.id)
    if at is None:
        return
    inner = open_type_parameters(node, scope)
    if inner is scope:
        inner = Scope(scope)
    inner.symbol, inner.prefix = at, ""
    draft.symbols[at].generics = spell_type_parameters(node, inner)
    for one in node.named_children:
        if one.type in {"extends_type_clause", "extends_clause"}:
            for base in one.named_children:
                _add_base(draft, base, inner, at)
        elif one.type == "type_parameters":
            draft.push([one], inner)
        elif one.type in {"interface_body", "object_type"}:
            walk_object_type(draft, one, inner, at)


def walk_object_type(draft: Draft, body: tree_sitter.Node, scope: Scope, at: int) -> None:
    """Make symbols of the members of an interface or an object type."""
    doc: tree_sitter.Node | None = None
    size = 0
    for one in body.named_children:
        if one.type == "comment":
            doc = one
            continue
        name = one.child_by_field_name("name")
        if one.type == "method_signature":
            _walk_method(draft, one, scope, at, doc)
        elif one.type == "property_signature" and name is not None:
            _walk_property(draft, one, name, scope, doc=doc)
        elif one.type in {"call_signature", "construct_signature"} and size < _SIGNATURES_CAP:
            _overload(draft, one, scope, at)
            size += len(draft.symbols[at].overloads[-1])
        elif one.type == "index_signature":
            _index(draft, one, scope, at)
        else:
            draft.push([one], scope)
        doc = None


def _walk_property(
    draft: Draft, node: tree_sitter.Node, name: tree_sitter.Node, scope: Scope, *, doc: tree_sitter.Node | None
) -> None:
    own = draft.add_symbol("attribute", name, node, scope, doc, name=_read_key(draft, name))
    annotation = node.child_by_field_name("type")
    if annotation is not None:
        draft.symbols[own].type = walk_annotation(draft, annotation, scope, own)


def walk_annotation(draft: Draft, annotation: tree_sitter.Node, scope: Scope, at: int) -> str:
    """Return the notation of an annotation.

    The members of an object type become members of the symbol instead, if something in it can be called: the many
    shapes of mere data would make every name a common one.
    """
    held = annotation.named_children[0] if annotation.named_child_count else None
    is_open = held is not None and held.type == "object_type" and _CALLED.search(draft.read(held)) is not None
    if held is None or not is_open or draft.symbols[at].qualname.count(".") > _NESTED_CAP:
        draft.push([annotation], scope)
        return spell_type(annotation, scope)
    inner = Scope(scope)
    inner.symbol, inner.prefix, inner.is_top = at, "", False
    walk_object_type(draft, held, inner, at)
    found = [*draft.symbols[at].overloads, *draft.symbols[at].bases]
    draft.symbols[at].overloads, draft.symbols[at].bases = [], []
    return "|".join(found)


def _index(draft: Draft, node: tree_sitter.Node, scope: Scope, at: int) -> None:
    """Note what members of any name are, as a base."""
    spelt = spell_index(node, scope)
    if spelt not in {"?", "%"}:
        draft.symbols[at].bases.append(spelt)
    draft.push([node], scope)


def walk_type_alias(draft: Draft, node: tree_sitter.Node, scope: Scope, _expected: str) -> None:
    """Walk a type alias; the members of its object types become its members."""
    at, value = draft.declared.get(node.id), node.child_by_field_name("value")
    if at is None or value is None:
        return
    inner = open_type_parameters(node, scope)
    if inner is scope:
        inner = Scope(scope)
    symbol = draft.symbols[at]
    symbol.generics = spell_type_parameters(node, inner)
    inner.symbol, inner.prefix = at, ""
    held, conditions = _list_alternatives(value, inner)
    objects = [one for one in held if one.type == "object_type"]
    for one in objects:
        walk_object_type(draft, one, inner, at)
    rest = [spell_type(one, inner) for one in held if one.type != "object_type"]
    known = [one for one in dict.fromkeys(rest) if one not in {"?", "%"}][:_KNOWN_CAP]
    symbol.type = "|".join([*(["{}"] if objects else []), *known]) or ("?" if "?" in rest else "%")
    draft.push([one for one in held if one.type != "object_type"], inner)
    draft.push(conditions, inner)


def _list_alternatives(value: tree_sitter.Node, scope: Scope) -> tuple[list[tree_sitter.Node], list[tree_sitter.Node]]:
    """Return the types that a type is made of, out of unions, intersections and branches, and the conditions."""
    found: list[tree_sitter.Node] = []
    conditions: list[tree_sitter.Node] = []
    todo = [value]
    while todo and len(found) < _ALTERNATIVES_CAP:
        node = todo.pop()
        if node.type in _COMBINED:
            todo.extend([one for one in reversed(node.named_children) if one.type != "comment"])
        elif node.type == "conditional_type":
            parts = [node.child_by_field_name(name) for name in ("alternative", "consequence", "left", "right")]
            todo.extend([one for one in parts[:2] if one is not None])
            conditions.extend([one for one in parts[2:] if one is not None])
            bind_inferred(node, scope)
        else:
            found.append(node)
    return found, conditions


def walk_enum(draft: Draft, node: tree_sitter.Node, scope: Scope, _expected: str) -> None:
    """Walk an enumeration."""
    at, body = draft.declared.get(node.id), node.child_by_field_name("body")
    if at is None or body is None:
        return
    for one in body.named_children:
        name = one.child_by_field_name("name") if one.type == "enum_assignment" else one
        if name is not None and name.type in {"property_identifier", "string"}:
            draft.add_symbol("variant", name, one, scope, name=_read_key(draft, name), owner=at)
