"""Local names: what statements bind, from their end on."""

from tree_sitter import Node

from services.vector_ops.languages.go.declarations import bind_parameters, read_assigned, read_bound
from services.vector_ops.languages.go.draft import Draft
from services.vector_ops.languages.go.notation import UNKNOWN, element_of, key_of, value_of
from services.vector_ops.languages.go.types import read_type
from services.vector_ops.languages.go.values import read_value


def open_literal(draft: Draft, node: Node) -> None:
    """Open the scope of a function literal."""
    draft.open_scope()
    bind_parameters(draft, node)


def enter_definition(draft: Draft, node: Node) -> None:
    """Keep the names on the left of a `:=` from counting as uses, and remember them until its end."""
    left = node.child_by_field_id(draft.fields.left)
    is_plain = node.type == "short_var_declaration"
    if left is None or not (is_plain or any(one.type == ":=" for one in node.children)):
        draft.defined.append((node, []))
        return
    names = [one for one in left.named_children if one.type != "comment"]
    draft.taken.update([one.start_byte for one in names])
    draft.defined.append((node, names))


def leave_definition(draft: Draft) -> None:
    """Bind the names of `a, b := x`, or of a received value."""
    node, names = draft.defined.pop()
    if names:
        notations = read_assigned(draft, node.child_by_field_id(draft.fields.right), len(names))
        for name, notation in zip(names, notations, strict=False):
            draft.bind(draft.text(name), notation)


def leave_range(draft: Draft) -> None:
    """Bind key and element of a range."""
    node, names = draft.defined.pop()
    if not names:
        return
    base = read_value(draft, node.child_by_field_id(draft.fields.right))
    draft.bind(draft.text(names[0]), key_of(base))
    if len(names) > 1:
        draft.bind(draft.text(names[1]), element_of(base))


def enter_variables(draft: Draft, node: Node) -> None:
    """Remember the names of a local `var` or `const` until its end."""
    names = [one for one in node.children_by_field_id(draft.fields.name) if one.type == "identifier"]
    draft.taken.update([one.start_byte for one in names])
    draft.defined.append((node, names))


def leave_variables(draft: Draft) -> None:
    """Bind the names of a local `var` or `const`."""
    node, names = draft.defined.pop()
    if names:
        for name, notation in zip(names, read_bound(draft, node, len(names)), strict=False):
            draft.bind(draft.text(name), notation)


def enter_switch(draft: Draft, node: Node) -> None:
    """Open the scope of a type switch and remember what it looks at."""
    draft.open_scope()
    alias, value = node.child_by_field_id(draft.fields.alias), node.child_by_field_id(draft.fields.value)
    name = alias.named_children[0] if alias is not None and alias.named_children else None
    if name is not None:
        draft.taken.add(name.start_byte)
    draft.switches.append((draft.text(name) if name is not None else "", value if value is not None else node))


def enter_plain_switch(draft: Draft, node: Node) -> None:
    """Open the scope of any other switch: its cases bind no alias."""
    draft.open_scope()
    draft.switches.append(("", node))


def leave_switch(draft: Draft) -> None:
    """Close the scope of a type switch."""
    draft.switches.pop()
    draft.close_scope()


def enter_case(draft: Draft, node: Node) -> None:
    """Bind the alias of the type switch to the type of this case, when it is one type."""
    draft.open_scope()
    name, value = draft.switches[-1] if draft.switches else ("", node)
    if not name:
        return
    kinds = [one for one in node.children_by_field_id(draft.fields.type) if one.is_named]
    if len(kinds) == 1 and draft.text(kinds[0]) != "nil":
        draft.bind(name, value_of(read_type(draft, kinds[0])))
    else:
        draft.bind(name, read_value(draft, value) if value is not node else UNKNOWN)


def open_block(draft: Draft, _node: Node) -> None:
    """Open the scope of a block."""
    draft.open_scope()


def close_block(draft: Draft) -> None:
    """Close the scope of a block."""
    draft.close_scope()
