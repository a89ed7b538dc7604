"""From the expression before a call to the notation of its receiver."""

from collections.abc import Callable

from tree_sitter import Node

from services.vector_ops.languages.tags.dialect import Dialect, Shape
from services.vector_ops.languages.tags.notation import BARE, UNKNOWN, clean_type

_MAX_STEPS = 8
_MAX_NAME = 80
_CALLED = "()"

Bound = Callable[[str], str | None]


def read_receiver(dialect: Dialect, source: bytes, node: Node, bound: Bound) -> str:
    """Return the notation of an expression; `bound` says what a local name holds.

    Of an unknown local its name is kept (`?node`): it may hint at the type.
    """
    steps: list[str] = []
    current: Node | None = node
    for _ in range(_MAX_STEPS):
        if current is None:
            return _join(BARE, steps)
        shape = dialect.shapes.get(current.type)
        if shape is None or shape.role in _HEADS:
            return _join(_read_head(dialect, source, current, shape, bound), steps)
        if shape.role == "apply":
            steps.append(_CALLED)
        elif shape.role != "pass":
            _add_step(source, current, shape, steps)
        current = _find_inner(current, shape)
    return UNKNOWN


_HEADS = frozenset({"name", "new", "static"})


def _join(head: str, steps: list[str]) -> str:
    if head == UNKNOWN:
        return UNKNOWN
    if steps and steps[-1] == _CALLED:
        steps.pop()
        if head[0] in ":^~?" or "/" in head:
            return UNKNOWN
        head = f"{BARE}/{head}()"
    return "/".join([head, *reversed(steps)])


def _text(source: bytes, node: Node) -> str:
    return source[node.start_byte : min(node.end_byte, node.start_byte + _MAX_NAME)].decode("utf-8", "replace")


def _read_head(dialect: Dialect, source: bytes, node: Node, shape: Shape | None, bound: Bound) -> str:
    text = _text(source, node)
    word = dialect.words.get(text)
    if word or shape is None:
        return word or UNKNOWN
    if shape.role == "name":
        value = bound(text)
        if value == UNKNOWN:
            return f"{UNKNOWN}{text.lstrip('$@')}"
        return text if value is None else value
    inner = _find_inner(node, shape) if shape.role == "new" else node
    name = clean_type(_text(source, inner)) if inner is not None else ""
    return f"{':' if shape.role == 'new' else '^'}{name}" if name else UNKNOWN


def _add_step(source: bytes, node: Node, shape: Shape, steps: list[str]) -> None:
    name = node.child_by_field_name(shape.name)
    step = _text(source, name).partition("<")[0] if name is not None else UNKNOWN
    if steps and steps[-1] == _CALLED:
        steps.pop()
        step += _CALLED
    elif shape.role == "call":
        step += _CALLED
    steps.append(step)


def _find_inner(node: Node, shape: Shape) -> Node | None:
    return node.child_by_field_name(shape.inner) if shape.inner else node.named_child(0)
