"""Symbols: functions, methods, types with their fields and methods, variables, constants; and imports."""

import re

from tree_sitter import Node

from services.vector_ops.languages.facts import FILE, Import, Symbol
from services.vector_ops.languages.go.comments import note_comment, sign, take_doc
from services.vector_ops.languages.go.draft import Draft
from services.vector_ops.languages.go.notation import EXTERNAL, UNKNOWN, call_value, value_of
from services.vector_ops.languages.go.types import (
    base_name,
    read_fields,
    read_function_type,
    read_parameters,
    read_type,
)
from services.vector_ops.languages.go.universe import STANDARD
from services.vector_ops.languages.go.values import read_call, read_value

_TESTED = re.compile(r"^(Test|Benchmark|Fuzz|Example)([^a-z]|$)")
_TESTING = re.compile(r"\*\s*testing\.(T|B|F|M)\b")
_VERSION = re.compile(r"^v\d+$")
_PENDING_CAP = 200


def declare_package(draft: Draft, node: Node) -> bool:
    """Take the name of the package clause; nothing is left inside."""
    if node.named_children and not draft.package:
        draft.package = draft.text(node.named_children[0])
    return True


def declare_import(draft: Draft, node: Node) -> bool:
    """Bind an import spec; a package of the standard library is known to be outside; nothing is left inside."""
    place = node.child_by_field_id(draft.fields.path)
    if place is None:
        return False
    path = draft.text(place).strip('"`')
    alias = node.child_by_field_id(draft.fields.name)
    local = draft.text(alias) if alias is not None else guess_package(path, draft.source)
    local = "*" if local == "." else local
    draft.imported.add(local)
    if path.partition("/")[0] in STANDARD:
        draft.outside.add(local)
    line, column = draft.place(place)
    name = "*" if local == "*" else ""
    draft.imports.append(Import(local, path, name, FILE, line, column, is_export=False))
    return True


def guess_package(path: str, source: bytes) -> str:
    """Return the name that a package of this path most likely has: one that the source uses."""
    parts = path.split("/")
    last = parts[-2] if len(parts) > 1 and _VERSION.match(parts[-1]) else parts[-1]
    stem = re.sub(r"\.v\d+$", "", last)
    if stem.isidentifier() and f"{stem}.".encode() in source:
        return stem
    words = re.split(r"[-.]", stem)
    for name in (parts[-1], *words[::-1], "".join(words)):
        if name.isidentifier() and f"{name}.".encode() in source:
            return name
    return stem


def declare_function(draft: Draft, node: Node) -> None:
    """Add a function or method, open its scope, and bind what it is given."""
    name = node.child_by_field_id(draft.fields.name)
    receiver = _read_receiver(draft, node)
    label = draft.text(name) if name is not None else ""
    draft.taken.add(name.start_byte if name is not None else -1)
    if not label:
        draft.open_scope()
        return
    qualname = f"{receiver}.{label}" if receiver else label
    body = node.child_by_field_id(draft.fields.body)
    doc, start = take_doc(draft, node)
    line, column = draft.place(name or node)
    draft.open_scope()
    bind_type_parameters(draft, node.child_by_field_id(draft.fields.type_parameters))
    _bind_receiver(draft, node)
    made = Symbol(
        name=label,
        qualname=qualname,
        kind="method" if receiver else "function",
        line=line,
        column=column,
        start_line=start,
        end_line=node.end_point[0] + 1,
        signature=sign(draft, node, body.start_byte if body is not None else node.end_byte),
        doc=doc,
        type=read_function_type(draft, node),
        is_test=_is_test(draft, label, node, bool(receiver)),
    )
    draft.scope = draft.add_symbol(made, receiver)
    bind_parameters(draft, node)


def _is_test(draft: Draft, name: str, node: Node, is_method: bool) -> bool:  # noqa: FBT001 (a private predicate)
    if not _TESTED.match(name):
        return False
    parameters = draft.text(node.child_by_field_id(draft.fields.parameters) or node)
    if is_method:
        return name.startswith("Test") and parameters == "()" and any("/suite" in one.module for one in draft.imports)
    if name.startswith("Example"):
        return parameters == "()" and node.child_by_field_id(draft.fields.result) is None
    return bool(_TESTING.search(parameters))


def _read_receiver(draft: Draft, node: Node) -> str:
    receiver = node.child_by_field_id(draft.fields.receiver)
    declared = [one for one in (receiver.named_children if receiver is not None else ()) if one.type != "comment"]
    place = base_name(declared[0].child_by_field_id(draft.fields.type)) if declared else None
    return draft.text(place) if place is not None else ""


def _bind_receiver(draft: Draft, node: Node) -> None:
    """Bind the type parameters of the receiver, then its name."""
    receiver = node.child_by_field_id(draft.fields.receiver)
    if receiver is None or not receiver.named_children:
        return
    kind = receiver.named_children[0].child_by_field_id(draft.fields.type)
    if kind is not None and kind.type in {"pointer_type", "parenthesized_type"} and kind.named_children:
        kind = kind.named_children[0]
    arguments = kind.child_by_field_id(draft.fields.type_arguments) if kind is not None else None
    constraints = draft.constraints.get(_read_receiver(draft, node), [])
    for at, one in enumerate(arguments.named_children if arguments is not None else ()):
        constraint = constraints[at] if at < len(constraints) else EXTERNAL
        draft.bind(draft.text(one), f"P{at}:{constraint}")
    for name, notation in read_parameters(draft, receiver):
        draft.bind(name, value_of(notation))


def bind_type_parameters(draft: Draft, node: Node | None) -> list[str]:
    """Bind type parameters to their place and constraint; return the constraints."""
    found: list[str] = []
    for one in node.named_children if node is not None else ():
        kind = one.child_by_field_id(draft.fields.type)
        constraint = read_type(draft, kind) if kind is not None else EXTERNAL
        for name in one.children_by_field_id(draft.fields.name):
            draft.bind(draft.text(name), f"P{len(found)}:{constraint}")
            found.append(constraint)
    return found


def bind_parameters(draft: Draft, node: Node) -> None:
    """Bind the parameters and the named results of a function."""
    found = read_parameters(draft, node.child_by_field_id(draft.fields.parameters))
    result = node.child_by_field_id(draft.fields.result)
    if result is not None and result.type == "parameter_list":
        found += read_parameters(draft, result)
    for name, kind in found:
        if name:
            draft.bind(name, value_of(kind))


def declare_type(draft: Draft, node: Node) -> None:
    """Add a type with its fields or methods, and open its scope."""
    name, kind = node.child_by_field_id(draft.fields.name), node.child_by_field_id(draft.fields.type)
    if name is None or kind is None:
        draft.open_scope()
        return
    label = draft.text(name)
    qualname = draft.qualify(label)
    owner = draft.scope
    if owner != FILE:
        draft.bind(label, f"~{qualname}")
    group = node.parent if node.parent is not None and node.parent.named_child_count == 1 else node
    doc, start = take_doc(draft, group)
    line, column = draft.place(name)
    form = {"struct_type": "struct", "interface_type": "interface"}.get(kind.type, "type")
    draft.taken.add(name.start_byte)
    draft.open_scope()
    draft.constraints[label] = bind_type_parameters(draft, node.child_by_field_id(draft.fields.type_parameters))
    draft.naming = qualname if form == "type" else ""
    underlying = read_type(draft, kind) if form == "type" else ""
    draft.naming = ""
    made = Symbol(
        name=label,
        qualname=qualname,
        kind=form,
        line=line,
        column=column,
        start_line=start,
        end_line=node.end_point[0] + 1,
        owner=owner,
        signature="type " + sign(draft, node, _end_of_head(kind, form)),
        doc=doc,
        type=f"={underlying}" if node.type == "type_alias" and underlying else underlying,
    )
    draft.scope = at = draft.add_symbol(made)
    bases = _declare_members(draft, qualname, kind, at)
    draft.symbols[at] = made._replace(bases=tuple(bases))


def _end_of_head(kind: Node, form: str) -> int:
    if form == "type":
        return int(kind.end_byte)
    brace = [one for one in kind.children if one.type in {"field_declaration_list", "{"}]
    return int(brace[0].start_byte) if brace else int(kind.end_byte)


def _declare_members(draft: Draft, qualname: str, kind: Node, owner: int) -> list[str]:
    if kind.type == "interface_type":
        return _declare_interface(draft, qualname, kind, owner)
    if kind.type == "struct_type":
        bases = _declare_fields(draft, qualname, kind, owner)
        declare_pending(draft, owner)
        return bases
    declare_pending(draft, owner)
    return []


def _declare_fields(draft: Draft, qualname: str, node: Node, owner: int) -> list[str]:
    bases = []
    for place, name, kind, is_embedded in read_fields(draft, node):
        draft.naming = "" if is_embedded else f"{qualname}.{name}"
        notation = read_type(draft, kind)
        draft.naming = ""
        line, column = draft.place(place)
        end = kind.end_point[0] + 1
        signature = f"{name} {sign(draft, kind, kind.end_byte)}"[:200]
        draft.add_symbol(
            Symbol(name, f"{qualname}.{name}", "field", line, column, line, end, owner, signature, "", notation)
        )
        if is_embedded:
            bases.append(notation)
            draft.taken.add(place.start_byte)
            _refer_to_base(draft, place)
    return bases


def _refer_to_base(draft: Draft, place: Node) -> None:
    parent = place.parent
    package = (
        parent.child_by_field_id(draft.fields.package)
        if parent is not None and parent.type == "qualified_type"
        else None
    )
    if package is None:
        draft.refer(place, "inherit")
    else:
        draft.refer_to_package(draft.text(package), place, "inherit")


def declare_pending(draft: Draft, owner: int) -> None:
    """Add the fields of the anonymous structs that were met in a declaration, those inside them included."""
    for _ in range(_PENDING_CAP):
        if not draft.pending:
            return
        name, node = draft.pending.pop(0)
        _declare_fields(draft, name, node, owner)
    draft.pending.clear()


def _declare_interface(draft: Draft, qualname: str, node: Node, owner: int) -> list[str]:
    bases = []
    for one in node.named_children:
        name = one.child_by_field_id(draft.fields.name)
        if one.type == "comment":
            note_comment(draft, one)
        elif one.type == "method_elem" and name is not None:
            doc, start = take_doc(draft, one)
            line, column = draft.place(name)
            label = draft.text(name)
            draft.add_symbol(
                Symbol(
                    label,
                    f"{qualname}.{label}",
                    "method",
                    line,
                    column,
                    start,
                    one.end_point[0] + 1,
                    owner,
                    sign(draft, one, one.end_byte),
                    doc,
                    read_function_type(draft, one),
                )
            )
        elif one.type == "type_elem" and len(one.named_children) == 1:
            bases.append(read_type(draft, one.named_children[0]))
            place = base_name(one.named_children[0])
            if place is not None and bases[-1] not in {EXTERNAL, UNKNOWN}:
                draft.taken.add(place.start_byte)
                _refer_to_base(draft, place)
    return bases


def declare_variables(draft: Draft, node: Node) -> None:
    """Add the variables or constants of one spec of the file's top level, and open the scope of the first."""
    names = node.children_by_field_id(draft.fields.name)
    names = [one for one in names if one.type == "identifier"]
    draft.taken.update(one.start_byte for one in names)
    draft.naming = draft.text(names[0]) if len(names) == 1 and node.type == "var_spec" else ""
    notations = read_bound(draft, node, len(names))
    draft.naming = ""
    kind = "variable" if node.type == "var_spec" else "constant"
    parent = node.parent
    group = parent if parent is not None and parent.named_child_count == 1 and parent.type.endswith("on") else node
    doc, start = take_doc(draft, group)
    signature = f"{kind[:3] if kind == 'variable' else 'const'} {sign(draft, node, node.end_byte)}"[:200]
    first = FILE
    for name, notation in zip(names, notations, strict=False):
        label = draft.text(name)
        line, column = draft.place(name)
        if label == "_":
            continue
        made = Symbol(label, label, kind, line, column, start, node.end_point[0] + 1, FILE, signature, doc, notation)
        at = draft.add_symbol(made)
        first = at if first == FILE else first
    draft.open_scope(first)
    declare_pending(draft, first)


def read_bound(draft: Draft, node: Node, count: int) -> list[str]:
    """Return the values that a spec gives its `count` names."""
    kind, value = node.child_by_field_id(draft.fields.type), node.child_by_field_id(draft.fields.value)
    if kind is not None:
        notation = value_of(read_type(draft, kind))
        draft.const_type = notation
        return [notation] * count
    if node.type == "const_spec" and value is None:
        return [draft.const_type or EXTERNAL] * count
    found = read_assigned(draft, value, count)
    draft.const_type = found[0] if found else ""
    return found


def read_assigned(draft: Draft, node: Node | None, count: int) -> list[str]:
    """Return the values that the right side of an assignment gives `count` names."""
    if node is None:
        return [UNKNOWN] * count
    right = [one for one in node.named_children if one.type != "comment"] if node.type == "expression_list" else [node]
    if len(right) != 1 or count == 1:
        return ([read_value(draft, one) for one in right] + [UNKNOWN] * count)[:count]
    if right[0].type == "call_expression":
        return [read_call(draft, right[0], at) for at in range(count)]
    first = read_value(draft, right[0])
    if right[0].type == "type_conversion_expression" and first.startswith("c0:"):
        return [call_value(at, first[3:]) for at in range(count)]
    return [first, *[EXTERNAL] * (count - 1)]
