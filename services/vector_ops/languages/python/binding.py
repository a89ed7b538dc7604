"""What the left side of an assignment, a loop or a `with` binds."""

from typing import TYPE_CHECKING

from tree_sitter import Node

from services.vector_ops.languages.facts import FILE
from services.vector_ops.languages.python.scopes import Binding, Bound, ItemSet, Scope
from services.vector_ops.languages.python.syntax import field

if TYPE_CHECKING:
    from services.vector_ops.languages.python.walk import Walk

_MAX_PATTERN = 200
_MAX_CHAIN = 20


def bind_target(
    walk: "Walk", left: Node, node: Node, scope: Scope, *, annotation: Node | None = None, right: Node | None
) -> None:
    """Bind the left side of the statement `node` to the value on its right side, or to its annotation."""
    for _ in range(_MAX_CHAIN):
        if right is None or right.type != "assignment":
            break
        right = right.children[-1]
    column, kind = node.start_point[1], left.type
    if annotation is not None:
        binding = Binding(Bound.TYPED, node.end_byte, column, scope, right, walk.read(annotation))
    elif right is None:
        return
    else:
        binding = tuple.__new__(Binding, (Bound.VALUE, node.end_byte, column, scope, right, "", FILE, ()))
    if kind == "identifier":
        _bind_name(walk, left, node, scope, binding)
    elif kind == "attribute":
        _bind_attribute(walk, left, node, scope, binding)
    elif kind == "subscript":
        _bind_item(walk, left, node, scope, right)
    else:
        bind_pattern(walk, left, scope, binding, node)


def _bind_name(walk: "Walk", left: Node, node: Node, scope: Scope, binding: Binding) -> None:
    name = walk.read(left)
    if scope.kind in {"module", "class"}:
        walk.drafting.define_value(name, left, node, scope, binding)
        scope.bind(name, binding)
    elif name in scope.outer_names:
        walk.module.bind(name, binding)
    else:
        scope.bind(name, binding)


def _bind_attribute(walk: "Walk", left: Node, node: Node, scope: Scope, binding: Binding) -> None:
    owner, name = field(left, "object"), field(left, "attribute")
    if owner is None or name is None or owner.type != "identifier":
        return
    holder = find_receiver(scope, walk.read(owner))
    if holder is not None:
        walk.drafting.define_attribute(walk.read(name), name, node, holder, binding)


def find_receiver(scope: Scope, name: str) -> Scope | None:
    """Return the class whose instance (or which itself) `name` is, as the receiver of a method."""
    current: Scope | None = scope
    for _ in range(_MAX_PATTERN):
        if current is None:
            return None
        found = current.names.get(name)
        if found is not None:
            if found[0].how != Bound.RECEIVER:
                return None
            return current.parent
        current = current.parent
    return None


def _bind_item(walk: "Walk", left: Node, node: Node, scope: Scope, value: Node | None) -> None:
    owner, keys = field(left, "value"), left.children_by_field_name("subscript")
    if owner is None or len(keys) != 1 or value is None or value.type in {"string", "integer"}:
        return
    base = owner
    while base.type == "subscript" and base.named_child_count:
        base = base.named_children[0]
    if base.type == "identifier":
        entry = ItemSet(left.start_byte, node.start_point[1], keys[0], value, scope)
        walk.item_sets.setdefault(walk.read(owner), []).append(entry)


def bind_pattern(walk: "Walk", left: Node, scope: Scope, binding: Binding, node: Node | None = None) -> None:
    """Bind every name of a pattern; each knows the way to its part of the value."""
    stack: list[tuple[Node, tuple[int, ...]]] = [(left, binding.path)]
    for _ in range(_MAX_PATTERN):
        if not stack:
            return
        one, path = stack.pop()
        kind = one.type
        if kind == "identifier":
            part = binding._replace(path=path)
            if node is not None:
                _bind_name(walk, one, node, scope, part)
            else:
                scope.bind(walk.read(one), part)
        elif kind == "attribute":
            _bind_attribute(walk, one, node or one, scope, binding._replace(path=path))
        elif kind in {"as_pattern_target", "parenthesized_expression"} and one.named_child_count == 1:
            stack.append((one.named_children[0], path))
        elif kind != "subscript":
            stack.extend(reversed(_list_parts(one, path)))


def _list_parts(pattern: Node, path: tuple[int, ...]) -> list[tuple[Node, tuple[int, ...]]]:
    """Return the parts of a pattern with their ways; what stands behind a star counts from the end (-1 the last)."""
    parts, count, is_behind = [], pattern.named_child_count, False
    for index, child in enumerate(pattern.named_children):
        if child.type in {"list_splat_pattern", "list_splat"}:
            is_behind = True
            if child.named_child_count:
                parts.append((child.named_children[0], (*path, STAR + index * 1000 + (count - 1 - index))))
            continue
        parts.append((child, (*path, index - count if is_behind else index)))
    return parts


STAR = 1_000_000
"""A step of a path from here on takes a slice: (step - STAR) // 1000 from the front, % 1000 left out at the end."""
