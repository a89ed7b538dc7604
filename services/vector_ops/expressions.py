"""Reading Python expressions off the syntax tree: spines, annotations, docstrings."""

import re

from tree_sitter import Node

from services.vector_ops.scopes import Binding, Spine

MAX_TEXT = 200
_MAX_STEPS = 8
_DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_OPTIONAL = frozenset({"Optional", "Annotated", "Final", "ClassVar"})
_STRING_EDGE = re.compile(r"^[A-Za-z]*(\"\"\"|'''|\"|')|(\"\"\"|'''|\"|')$")


def named(node: Node, field: str) -> Node | None:
    """Return the child in a grammar field."""
    return node.child_by_field_name(field)


def read_text(node: Node) -> str:
    """Return the text of a short node."""
    return (node.text or b"").decode("utf-8", "replace")


def read_spine(node: Node | None) -> Spine | None:
    """Return the spine of an expression, or None when it is none or too long to follow."""
    steps: list[str] = []
    for _ in range(_MAX_STEPS * 2):
        if node is None:
            return None
        if node.type == "identifier":
            return (read_text(node), *reversed(steps))
        node = _unwrap(node, steps)
    return None


def _unwrap(node: Node, steps: list[str]) -> Node | None:
    if node.type == "attribute":
        attribute = named(node, "attribute")
        steps.append(read_text(attribute) if attribute is not None else "")
        return named(node, "object")
    if node.type == "call":
        steps.append("()")
        return named(node, "function")
    if node.type in {"parenthesized_expression", "await", "type"}:
        return node.named_children[0] if node.named_child_count == 1 else None
    return None


def read_annotation(node: Node | None) -> Spine | None:
    """Return the spine of an instance of the annotated type: `X`, `"X"`, `X | None`, `Optional[X]` give `X()`."""
    for _ in range(_MAX_STEPS):
        if node is None:
            return None
        if node.type == "string":
            quoted = read_quoted(node)
            return (*quoted, "()") if quoted else None
        if node.type in {"identifier", "attribute"}:
            spine = read_spine(node)
            return (*spine, "()") if spine else None
        node = _inner_type(node)
    return None


def _inner_type(node: Node) -> Node | None:
    children = [child for child in node.named_children if child.type != "comment"]
    if node.type == "type":
        return children[0] if children else None
    if node.type in {"binary_operator", "union_type"}:
        sides = [child for child in children if read_short(child) != "None"]
        return sides[0] if len(sides) == 1 else None
    if node.type in {"generic_type", "subscript"} and len(children) > 1 and read_short(children[0]) in _OPTIONAL:
        inner = children[1]
        return inner.named_children[0] if inner.type == "type_parameter" and inner.named_children else inner
    # A generic class: list[X] is no X, but Box[X] is a Box.
    return children[0] if node.type in {"generic_type", "subscript"} and children else None


def read_short(node: Node) -> str:
    """Return the text of a node that matters only when it is a single name."""
    return read_text(node) if node.end_byte - node.start_byte <= MAX_TEXT else ""


def read_quoted(node: Node) -> Spine | None:
    """Return the spine that a string annotation such as `"pkg.Model"` names, or None."""
    text = read_short(node).strip("\"'")
    return tuple(text.split(".")) if _DOTTED.fullmatch(text) else None


def read_value(right: Node | None, annotation: Node | None) -> Binding:
    """Return what an assignment says of its target: the annotation wins over the value."""
    if annotation is not None:
        return Binding(spine=read_annotation(annotation))
    if right is None or right.type == "none":
        return Binding(is_neutral=True)
    return Binding(spine=read_spine(right))


def read_doc(body: Node) -> str:
    """Return the first line of the docstring that a body starts with, or nothing."""
    first = next((child for child in body.named_children[:3] if child.type != "comment"), None)
    if first is not None and first.type == "expression_statement" and first.named_child_count == 1:
        first = first.named_children[0]
    if first is None or first.type != "string":
        return ""
    text = _STRING_EDGE.sub("", read_text(first)).strip()
    return text.split("\n", 1)[0].strip()[:MAX_TEXT]
