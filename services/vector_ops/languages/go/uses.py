"""References: calls, types, constructed literals, and names used as values."""

from tree_sitter import Node

from services.vector_ops.languages.go.draft import Draft
from services.vector_ops.languages.go.notation import EXTERNAL
from services.vector_ops.languages.go.types import base_name
from services.vector_ops.languages.go.universe import BUILTIN_CALLS, BUILTIN_NAMES, BUILTIN_TYPES
from services.vector_ops.languages.go.values import read_value

VALUE_PLACES = frozenset({"argument_list", "expression_list", "literal_element", "return_statement"})
NAMELESS = frozenset({"parameter_declaration", "variadic_parameter_declaration", "type_parameter_declaration"})
_NO_METHODS = ("va", "vh", "vm", "vf", "v{")


def refer_to_call(draft: Draft, node: Node) -> None:
    """Note the call of a function or method, unless it is known to lie outside."""
    function = node.child_by_field_id(draft.fields.function)
    for _ in range(8):
        if function is None or function.type not in {"parenthesized_expression", "index_expression"}:
            break
        inner = function.child_by_field_id(draft.fields.operand)
        function = inner if inner is not None else next(iter(function.named_children), None)
    if function is None:
        return
    if function.type == "identifier":
        _refer_to_plain(draft, function)
    elif function.type == "selector_expression":
        _refer_to_selected(draft, function, "call")
    elif function.type == "type_instantiation_expression":
        _refer_to_type(draft, function.child_by_field_id(draft.fields.type), "call")


def refer_to_conversion(draft: Draft, node: Node) -> None:
    """Note `F[T](x)`, which has the shape of a conversion."""
    kind = node.child_by_field_id(draft.fields.type)
    if kind is not None and kind.type == "generic_type":
        _refer_to_type(draft, kind.child_by_field_id(draft.fields.type), "call")


def _refer_to_plain(draft: Draft, node: Node) -> None:
    name = draft.text(node)
    draft.taken.add(node.start_byte)
    if name not in draft.names and name not in BUILTIN_CALLS:
        draft.refer(node, "call", "", name)


def _refer_to_type(draft: Draft, node: Node | None, kind: str) -> None:
    place = base_name(node)
    if node is None or place is None:
        return
    draft.taken.add(place.start_byte)
    package = node.child_by_field_id(draft.fields.package) if node.type == "qualified_type" else None
    if package is None:
        _refer_to_plain(draft, place)
        return
    draft.taken.add(node.start_byte)
    local = draft.names.get(draft.text(package))
    if local is None:
        draft.refer_to_package(draft.text(package), place, kind)
    elif local != EXTERNAL:
        draft.refer(place, kind, local)


def _refer_to_selected(draft: Draft, node: Node, kind: str) -> None:
    operand, name = node.child_by_field_id(draft.fields.operand), node.child_by_field_id(draft.fields.field)
    if operand is None or name is None:
        return
    draft.called.add(node.id)
    base = read_value(draft, operand)
    if base != EXTERNAL and not base.startswith(_NO_METHODS):
        draft.refer(name, kind, base)


def refer_to_selection(draft: Draft, node: Node) -> bool:
    """Note a name of another package, or a method or field that is handed on as a value; say whether that is all."""
    operand = node.child_by_field_id(draft.fields.operand)
    if operand is None:
        return False
    is_plain = operand.type == "identifier"
    package = draft.text(operand) if is_plain else ""
    is_package = package in draft.imported and package not in draft.names
    if is_plain and not is_package and package not in draft.names and package not in BUILTIN_NAMES:
        draft.refer(operand, "use", "", package)
    if node.id in draft.called:
        return is_plain
    name = node.child_by_field_id(draft.fields.field)
    if is_package and name is not None:
        draft.refer_to_package(package, name, "use")
    elif draft.parent_kind() in VALUE_PLACES:
        _refer_to_selected(draft, node, "use")
    return is_plain


def refer_to_name(draft: Draft, node: Node) -> None:
    """Note a name of the package that stands for a value."""
    start = node.start_byte
    if start in draft.taken:
        return
    name = draft.source[start : node.end_byte].decode()
    is_known = name in draft.names or name in BUILTIN_NAMES or name in draft.imported
    if not is_known and draft.parent_kind() not in NAMELESS:
        draft.refer(node, "use", "", name)


def note_names(draft: Draft, node: Node) -> None:
    """Keep declared names from counting as uses."""
    draft.taken.update(one.start_byte for one in node.children_by_field_id(draft.fields.name))


def refer_to_type_name(draft: Draft, node: Node) -> None:
    """Note the use of a type; of a literal `T{}` as its construction."""
    if node.start_byte in draft.taken:
        return
    name = draft.text(node)
    if name in BUILTIN_TYPES or draft.names.get(name, "")[:1] in {"P", "~"}:
        return
    draft.refer(node, "new" if draft.parent_kind() == "composite_literal" else "annotate")


def refer_to_qualified(draft: Draft, node: Node) -> bool:
    """Note the use of a type of another package; nothing is left inside."""
    package, name = node.child_by_field_id(draft.fields.package), node.child_by_field_id(draft.fields.name)
    if package is not None and name is not None and name.start_byte not in draft.taken:
        is_literal = draft.parent_kind() == "composite_literal"
        draft.refer_to_package(draft.text(package), name, "new" if is_literal else "annotate")
    return True


def note_key(draft: Draft, node: Node) -> None:
    """Keep the key of `Name: value` from counting as a use: nearly always it is a field."""
    key = node.child_by_field_id(draft.fields.key)
    if key is not None and key.named_children and key.named_children[0].type == "identifier":
        draft.taken.add(key.named_children[0].start_byte)


def refer_to_implemented(draft: Draft, node: Node) -> None:
    """Note `var _ Interface = (*T)(nil)`: T, when this file declares it, implements Interface."""
    names, kind = node.children_by_field_id(draft.fields.name), node.child_by_field_id(draft.fields.type)
    value = node.child_by_field_id(draft.fields.value)
    if kind is None or value is None or len(names) != 1 or draft.text(names[0]) != "_":
        return
    notation = read_value(draft, value.named_children[0] if value.named_children else None)
    notation = notation.removeprefix("c0:").removeprefix("v")
    own = [at for at, one in enumerate(draft.symbols) if f"n{one.qualname}" == notation and one.kind != "field"]
    place = base_name(kind)
    if not own or place is None:
        return
    before, draft.scope = draft.scope, own[0]
    _refer_to_interface(draft, kind, place)
    draft.scope = before


def _refer_to_interface(draft: Draft, kind: Node, place: Node) -> None:
    draft.taken.add(place.start_byte)
    package = kind.child_by_field_id(draft.fields.package) if kind.type == "qualified_type" else None
    if package is None:
        draft.refer(place, "inherit")
    else:
        draft.refer_to_package(draft.text(package), place, "inherit")
