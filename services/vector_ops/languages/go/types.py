"""What a type expression says, in the notation."""

from collections.abc import Callable

from tree_sitter import Node

from services.vector_ops.languages.facts import FILE, Symbol
from services.vector_ops.languages.go.comments import sign
from services.vector_ops.languages.go.draft import Draft
from services.vector_ops.languages.go.notation import (
    EXTERNAL,
    UNKNOWN,
    clip_notation,
    pack_parts,
    select_name,
    value_of,
)
from services.vector_ops.languages.go.universe import BUILTIN_TYPES

_DEPTH = 40
_NAMES = ("identifier", "field_identifier", "type_identifier", "package_identifier")


def read_type(draft: Draft, node: Node | None, depth: int = 0) -> str:
    """Return the notation of a type; unknown for what is no type or too deep."""
    if node is None or depth > _DEPTH:
        return UNKNOWN
    reader = _READERS.get(node.type)
    return clip_notation(reader(draft, node, depth + 1)) if reader else UNKNOWN


def read_results(draft: Draft, node: Node | None, depth: int = 0) -> list[str]:
    """Return the types of the `result` of a function."""
    if node is None:
        return []
    if node.type != "parameter_list":
        return [read_type(draft, node, depth + 1)]
    return [kind for _name, kind in read_parameters(draft, node, depth + 1)]


def read_parameters(draft: Draft, node: Node | None, depth: int = 0) -> list[tuple[str, str]]:
    """Return (name, type) of parameters or named results; the name may be empty."""
    found: list[tuple[str, str]] = []
    for one in node.named_children if node is not None else ():
        if one.type not in {"parameter_declaration", "variadic_parameter_declaration"}:
            continue
        kind = read_type(draft, one.child_by_field_id(draft.fields.type), depth)
        if one.type == "variadic_parameter_declaration":
            kind = clip_notation(f"a{kind}")
        names = [draft.text(name) for name in one.children_by_field_id(draft.fields.name) if name.type in _NAMES]
        found += [(name, kind) for name in names or [""]]
    return found


def read_function_type(draft: Draft, node: Node, depth: int = 0) -> str:
    """Return the notation of a function by its results."""
    return clip_notation("f" + pack_parts(read_results(draft, node.child_by_field_id(draft.fields.result), depth)))


def read_fields(draft: Draft, node: Node) -> list[tuple[Node, str, Node, bool]]:
    """Return (place, name, type, whether embedded) of the fields of a struct type."""
    found: list[tuple[Node, str, Node, bool]] = []
    lists = [one for one in node.named_children if one.type == "field_declaration_list"]
    for one in lists[0].named_children if lists else ():
        kind = one.child_by_field_id(draft.fields.type)
        if one.type != "field_declaration" or kind is None:
            continue
        names = one.children_by_field_id(draft.fields.name)
        found += [(name, draft.text(name), kind, False) for name in names]
        place = base_name(kind) if not names else None
        if place is not None:
            found.append((place, draft.text(place), kind, True))
    return found


def base_name(node: Node | None) -> Node | None:
    """Return the node of the bare name of a type: `T` of `*pkg.T[int]`."""
    for _ in range(8):
        if node is None or node.type in {"type_identifier", "identifier"}:
            return node
        field = "name" if node.type == "qualified_type" else "type"
        inner = node.child_by_field_name(field)
        node = inner if inner is not None else (node.named_children[0] if node.named_children else None)
    return None


def _read_name(draft: Draft, node: Node, _depth: int) -> str:
    name = draft.text(node)
    local = draft.names.get(name, "")
    if local[:1] in {"P", "~"}:
        return local
    return EXTERNAL if name in BUILTIN_TYPES else f"n{name}"


def _read_qualified(draft: Draft, node: Node, _depth: int) -> str:
    package, name = node.child_by_field_id(draft.fields.package), node.child_by_field_id(draft.fields.name)
    if package is None or name is None or draft.text(package) in draft.outside:
        return EXTERNAL
    return select_name(draft.text(name), f"n{draft.text(package)}")


def _read_first(draft: Draft, node: Node, depth: int) -> str:
    children = node.named_children
    return read_type(draft, children[0], depth) if len(children) == 1 else EXTERNAL


def _read_generic(draft: Draft, node: Node, depth: int) -> str:
    base = read_type(draft, node.child_by_field_id(draft.fields.type), depth)
    arguments = node.child_by_field_id(draft.fields.type_arguments)
    parts = [read_type(draft, one, depth) for one in (arguments.named_children if arguments is not None else ())]
    if base == EXTERNAL:
        return _read_outside_generic(draft, node, parts)
    return "g" + pack_parts([base, *parts])


def _read_outside_generic(draft: Draft, node: Node, parts: list[str]) -> str:
    """Return what can be said of the few generic types of the standard library that hold values of ours."""
    name = draft.text(node).partition("[")[0]
    if name == "iter.Seq" and parts:
        return "m" + pack_parts([parts[0], EXTERNAL])
    if name == "iter.Seq2" and len(parts) > 1:
        return "m" + pack_parts(parts[:2])
    return f"A{parts[0]}" if name == "atomic.Pointer" and parts else EXTERNAL


def _read_element(draft: Draft, node: Node, depth: int) -> str:
    inner = node.child_by_field_name("value" if node.type == "channel_type" else "element")
    return ("h" if node.type == "channel_type" else "a") + read_type(draft, inner, depth)


def _read_map(draft: Draft, node: Node, depth: int) -> str:
    parts = [read_type(draft, node.child_by_field_name(field), depth) for field in ("key", "value")]
    return "m" + pack_parts(parts)


def _read_function(draft: Draft, node: Node, depth: int) -> str:
    if depth > _DEPTH // 2:
        return UNKNOWN
    yielded = _read_yielded(draft, node, depth) if node.child_by_field_id(draft.fields.result) is None else []
    if yielded:
        return "m" + pack_parts([*yielded, EXTERNAL, EXTERNAL][:2])
    return read_function_type(draft, node, depth)


def _read_yielded(draft: Draft, node: Node, depth: int) -> list[str]:
    """Return what a range over a function gives: what it hands to the function that it is given."""
    parameters = node.child_by_field_id(draft.fields.parameters)
    declared = [one for one in (parameters.named_children if parameters is not None else ()) if one.type != "comment"]
    if len(declared) != 1 or len(declared[0].children_by_field_id(draft.fields.name)) > 1:
        return []
    inner = declared[0].child_by_field_id(draft.fields.type)
    if inner is None or inner.type != "function_type":
        return []
    return [kind for _name, kind in read_parameters(draft, inner.child_by_field_id(draft.fields.parameters), depth)]


def _read_struct(draft: Draft, node: Node, depth: int) -> str:
    if draft.naming:
        name, draft.naming = draft.naming, ""
        draft.pending.append((name, node))
        return f"~{name}"
    if depth > _DEPTH // 4:
        return UNKNOWN
    fields = {name: value_of(read_type(draft, kind, depth)) for _at, name, kind, _ in read_fields(draft, node)}
    draft.structs.append(fields)
    return f"{{{len(draft.structs) - 1}"


def _read_interface(draft: Draft, node: Node, depth: int) -> str:
    """Return the notation of an anonymous interface, whose methods become symbols when it is met for the first time."""
    methods = [one for one in node.named_children if one.type == "method_elem"]
    if not methods or depth > _DEPTH // 2:
        return "i" if node.named_children else EXTERNAL
    notation = draft.interfaces.get(node.start_byte)
    if notation is None:
        line, column = draft.place(node)
        qualname = draft.qualify(f"interface{line}_{column}")
        notation = draft.interfaces[node.start_byte] = f"~{qualname}"
        for one in methods:
            _declare_method(draft, qualname, one, depth)
    return notation


def _declare_method(draft: Draft, qualname: str, node: Node, depth: int) -> None:
    """Add a method of an anonymous interface; no symbol owns it, since none stands for the interface."""
    name = node.child_by_field_id(draft.fields.name)
    if name is None:
        return
    line, column = draft.place(name)
    label, end = draft.text(name), node.end_point[0] + 1
    signature, kind = sign(draft, node, node.end_byte), read_function_type(draft, node, depth)
    place = f"{qualname}.{label}"
    draft.add_symbol(Symbol(label, place, "method", line, column, line, end, FILE, signature, "", kind))


_READERS: dict[str, Callable[[Draft, Node, int], str]] = {
    "type_identifier": _read_name,
    "identifier": _read_name,
    "qualified_type": _read_qualified,
    "pointer_type": _read_first,
    "parenthesized_type": _read_first,
    "type_elem": _read_first,
    "type_constraint": _read_first,
    "negated_type": lambda _draft, _node, _depth: EXTERNAL,
    "generic_type": _read_generic,
    "slice_type": _read_element,
    "array_type": _read_element,
    "implicit_length_array_type": _read_element,
    "channel_type": _read_element,
    "map_type": _read_map,
    "function_type": _read_function,
    "struct_type": _read_struct,
    "interface_type": _read_interface,
}
