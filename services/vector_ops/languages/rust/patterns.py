"""Which names a pattern binds, and to what part of the value it is matched against."""

from collections.abc import Iterator

from tree_sitter import Node

from services.vector_ops.languages.rust.notation import UNKNOWN, add_step
from services.vector_ops.languages.rust.values import Describer, render_path

_MAX_PARTS = 200
_MAX_MATCHED = 80
_NAMES = frozenset({"identifier", "shorthand_field_identifier"})
_PASSED = frozenset(
    {"match_pattern", "ref_pattern", "mut_pattern", "reference_pattern", "or_pattern", "parameter", "captured_pattern"}
)


def list_bindings(describer: Describer, pattern: Node, value: str) -> Iterator[tuple[str, str]]:
    """Yield (name, value) of what a pattern binds when it is matched against `value`."""
    pending = [(pattern, value)]
    for _ in range(_MAX_PARTS):
        if not pending:
            return
        node, matched = pending.pop()
        if node.type in _NAMES:
            name = describer.source.read(node)
            if name[:1].islower() or name[:1] == "_":
                yield name, matched
        elif node.type == "struct_pattern":
            yield from _match_fields(describer, node, matched, pending)
        else:
            pending += _match_parts(describer, node, matched)


def _match_parts(describer: Describer, node: Node, matched: str) -> list[tuple[Node, str]]:
    kind = node.type
    if kind == "tuple_struct_pattern":
        return _match_constructor(describer, node, matched)
    if kind == "tuple_pattern":
        return [(part, add_step(matched, f"#{at}")) for at, part in list_parts(node)]
    if kind == "slice_pattern":
        return [(part, add_step(matched, "*")) for part in node.named_children]
    return [(part, matched) for part in node.named_children[:8]] if kind in _PASSED else []


def _match_constructor(describer: Describer, node: Node, matched: str) -> list[tuple[Node, str]]:
    head = describer.child(node, "type")
    name = describer.source.read(head) if head is not None else ""
    parts = list_parts(node)
    if name in {"Some", "Ok", "Err"}:
        return [(part, add_step(matched, "!" if name == "Err" else "?")) for _at, part in parts[:1]]
    base = _add_payload(matched, f"%{render_path(name, describer.scopes.top.names)}")
    return [(part, add_step(base, f"#{at}")) for at, part in parts]


def list_parts(node: Node) -> list[tuple[int, Node]]:
    """Return (place, pattern) of what stands between parentheses or bars; a `_` takes a place but is no pattern."""
    at, inside, found = 0, False, []
    for one in node.children:
        if not one.is_named:
            at += one.type == ","
            inside = inside or one.type in {"(", "|"}
        elif one.type == "remaining_field_pattern":
            break
        elif inside and one.type not in {"line_comment", "block_comment"}:
            found.append((at, one))
    return found


def _add_payload(matched: str, step: str) -> str:
    """Return the payload of a constructor; what it is matched against tells its arguments when that is short."""
    return step if matched == UNKNOWN or len(matched) > _MAX_MATCHED else add_step(matched, step)


def _match_fields(
    describer: Describer, node: Node, matched: str, pending: list[tuple[Node, str]]
) -> Iterator[tuple[str, str]]:
    head = describer.child(node, "type")
    base = UNKNOWN
    if head is not None:
        path = render_path(describer.source.read(head), describer.scopes.top.names)
        base = _add_payload(matched, f"%{path}")
    for part in node.named_children:
        name = describer.child(part, "name") if part.type == "field_pattern" else None
        if name is None:
            continue
        text = describer.source.read(name)
        inner = describer.child(part, "pattern")
        if inner is None:
            yield text, add_step(base, f".{text}")
        else:
            pending.append((inner, add_step(base, f".{text}")))
