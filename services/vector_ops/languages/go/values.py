"""What an expression yields, in the notation: local names are replaced by what they were bound to."""

from collections.abc import Callable

from tree_sitter import Node

from services.vector_ops.languages.go.draft import Draft
from services.vector_ops.languages.go.notation import (
    EXTERNAL,
    UNKNOWN,
    call_value,
    clip_notation,
    element_of,
    pack_parts,
    value_of,
)
from services.vector_ops.languages.go.types import read_function_type, read_type
from services.vector_ops.languages.go.universe import (
    BUILTIN_NAMES,
    BUILTIN_TYPES,
    ELEMENT_CALLS,
    FIRST_CALLS,
    PLAIN_CALLS,
    SAME_CALLS,
)

_DEPTH = 40


def read_value(draft: Draft, node: Node | None, depth: int = 0) -> str:
    """Return the notation of an expression; unknown where nothing can be said."""
    if node is None or depth > _DEPTH:
        return UNKNOWN
    reader = _READERS.get(node.type)
    return reader(draft, node, depth + 1) if reader else UNKNOWN


def read_call(draft: Draft, node: Node, at: int, depth: int = 0) -> str:
    """Return the result `at` of a call expression."""
    function = node.child_by_field_id(draft.fields.function)
    if function is None:
        return UNKNOWN
    if function.type == "identifier":
        name = draft.text(function)
        if name not in draft.names:
            built = _read_builtin(draft, name, node, depth)
            if built:
                return built
    base = read_value(draft, function, depth)
    if base == EXTERNAL and function.type == "selector_expression":
        return _read_standard(draft, node, function, depth)
    return call_value(at, _instantiate(draft, node, base))


def _read_standard(draft: Draft, node: Node, function: Node, depth: int) -> str:
    """Return what a generic function of the standard library gives, by its first argument."""
    name = draft.text(function)
    if name not in SAME_CALLS and name not in ELEMENT_CALLS:
        return EXTERNAL
    arguments = node.child_by_field_id(draft.fields.arguments)
    first = next(iter(arguments.named_children), None) if arguments is not None else None
    value = read_value(draft, first, depth)
    return value if name in SAME_CALLS else element_of(value)


def _instantiate(draft: Draft, node: Node, base: str) -> str:
    arguments = node.child_by_field_id(draft.fields.type_arguments)
    if arguments is None or base in {EXTERNAL, UNKNOWN}:
        return base
    return clip_notation("g" + pack_parts([base, *(read_type(draft, one) for one in arguments.named_children)]))


def _read_builtin(draft: Draft, name: str, node: Node, depth: int) -> str:
    """Return what a builtin gives, or nothing when the name is none."""
    if name in PLAIN_CALLS or name in BUILTIN_TYPES:
        return EXTERNAL
    if name not in {"new", "make"} and name not in FIRST_CALLS:
        return ""
    arguments = node.child_by_field_id(draft.fields.arguments)
    first = arguments.named_children[0] if arguments is not None and arguments.named_children else None
    if name in FIRST_CALLS:
        return read_value(draft, first, depth)
    return value_of(read_type(draft, first))


def _read_name(draft: Draft, node: Node, _depth: int) -> str:
    name = draft.text(node)
    local = draft.names.get(name)
    if local is not None:
        return local
    return EXTERNAL if name in draft.outside or name in BUILTIN_NAMES else f"n{name}"


def _read_selection(draft: Draft, node: Node, depth: int) -> str:
    field = node.child_by_field_id(draft.fields.field)
    if field is None:
        return UNKNOWN
    return draft.select(draft.text(field), read_value(draft, node.child_by_field_id(draft.fields.operand), depth))


def _read_call(draft: Draft, node: Node, depth: int) -> str:
    return read_call(draft, node, 0, depth)


def _read_index(draft: Draft, node: Node, depth: int) -> str:
    return element_of(read_value(draft, node.child_by_field_id(draft.fields.operand), depth))


def _read_operand(draft: Draft, node: Node, depth: int) -> str:
    return read_value(draft, node.child_by_field_id(draft.fields.operand), depth)


def _read_inner(draft: Draft, node: Node, depth: int) -> str:
    children = node.named_children
    return read_value(draft, children[0], depth) if children else UNKNOWN


def _read_unary(draft: Draft, node: Node, depth: int) -> str:
    operand = read_value(draft, node.child_by_field_id(draft.fields.operand), depth)
    return element_of(operand) if draft.source[node.start_byte : node.start_byte + 2] == b"<-" else operand


def _read_typed(draft: Draft, node: Node, _depth: int) -> str:
    return value_of(read_type(draft, node.child_by_field_id(draft.fields.type)))


def _read_conversion(draft: Draft, node: Node, _depth: int) -> str:
    """Return what `F[T](x)` gives, which may be a call of a generic function as well as a conversion."""
    kind = node.child_by_field_id(draft.fields.type)
    if kind is None or kind.type != "generic_type":
        return value_of(read_type(draft, kind))
    base = kind.child_by_field_id(draft.fields.type)
    if base is not None and base.type == "type_identifier" and draft.text(base) in draft.names:
        return call_value(0, element_of(draft.names[draft.text(base)]))
    return call_value(0, read_type(draft, kind))


def _read_instance(draft: Draft, node: Node, depth: int) -> str:
    kind = node.child_by_field_id(draft.fields.type)
    arguments = [read_type(draft, one) for one in node.named_children[1:]]
    base = read_type(draft, kind, depth)
    return base if base in {EXTERNAL, UNKNOWN} else clip_notation("g" + pack_parts([base, *arguments]))


def _read_function(draft: Draft, node: Node, _depth: int) -> str:
    return value_of(read_function_type(draft, node))


def _read_binary(draft: Draft, node: Node, depth: int) -> str:
    operator = node.child_by_field_id(draft.fields.operator)
    if operator is None or operator.type in {"==", "!=", "<", "<=", ">", ">=", "&&", "||"}:
        return EXTERNAL
    left = read_value(draft, node.child_by_field_id(draft.fields.left), depth)
    return read_value(draft, node.child_by_field_id(draft.fields.right), depth) if left == EXTERNAL else left


def _read_literal(_draft: Draft, _node: Node, _depth: int) -> str:
    return EXTERNAL


_LITERALS = (
    "int_literal",
    "float_literal",
    "imaginary_literal",
    "rune_literal",
    "interpreted_string_literal",
    "raw_string_literal",
    "true",
    "false",
    "nil",
    "iota",
)
_READERS: dict[str, Callable[[Draft, Node, int], str]] = {
    "identifier": _read_name,
    "selector_expression": _read_selection,
    "call_expression": _read_call,
    "index_expression": _read_index,
    "slice_expression": _read_operand,
    "parenthesized_expression": _read_inner,
    "variadic_argument": _read_inner,
    "unary_expression": _read_unary,
    "binary_expression": _read_binary,
    "type_assertion_expression": _read_typed,
    "composite_literal": _read_typed,
    "type_conversion_expression": _read_conversion,
    "type_instantiation_expression": _read_instance,
    "func_literal": _read_function,
    **dict.fromkeys(_LITERALS, _read_literal),
}
