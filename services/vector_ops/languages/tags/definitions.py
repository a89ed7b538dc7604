"""From the node of a definition to its symbol."""

import re

from tree_sitter import Node

from services.vector_ops.languages.facts import FILE, Symbol
from services.vector_ops.languages.tags.dialect import Declared
from services.vector_ops.languages.tags.draft import CLASSLIKE, Draft, Scope
from services.vector_ops.languages.tags.events import Event
from services.vector_ops.languages.tags.notation import clean_type, join_type

_SIGNATURE_LIMIT = 200
_HEAD_BYTES = 800
_MARKS = re.compile(r"^(?:@[\w.]+(?:\((?:[^()]|\([^()]*\))*\))?\s+|#?\[[^\]]*\]\s*)+")
_BODY = re.compile(r"[{;]|\n\s*\n|=>")
_CASE = re.compile(r"^(?:TYPED_)?TEST(?:_[A-Z]+)?$")
_CASE_PARTS = 2
_SPECIAL = re.compile(rb"[.]{3}|[*&#/]")
"""Without these bytes a list holds neither comments nor spread or block arguments."""
_RUN = frozenset({"method", "function"})
_MANY = 99
_VOID = b"(void)"
_MANY_PARAMETERS = frozenset(
    {"spread_parameter", "variadic_parameter", "splat_parameter", "variadic_parameter_declaration", "..."}
)
_OPTIONAL = frozenset({"optional_parameter_declaration", "optional_parameter", "hash_splat_parameter"})
_FREE = frozenset({"block_parameter", "comment", "receiver_parameter", "block_argument", "hash_splat_parameter"})


def read_definition(draft: Draft, event: Event) -> Symbol | None:
    """Return the symbol of a definition; None when it names nothing, or declares inside a function."""
    declared = draft.declared(event)
    if declared is None:
        return None
    name, owner_name = _read_names(draft, declared)
    if not name or len(name) > _SIGNATURE_LIMIT or name in draft.dialect.keywords:
        return None
    owner = _find_owner(draft, event)
    kind = _read_kind(event, declared, owner, owner_name)
    if kind == "declaration" and draft.is_in_function():
        return None
    qualname = ".".join(part for part in (owner.qualname if owner else "", owner_name, name) if part)
    whole = draft.wraps.get(event.end, event.node)
    doc, first_row = draft.comments.take(whole.start_point[0])
    line, column = draft.place(declared.name)
    types = event.captures.get("type")
    type_name = clean_type(draft.text(types[0])) if types else ""
    arity = _count_arity(declared.params) if declared.params is not None else None
    hidden = draft.hidden.get(owner.at, "") if owner else ""
    return Symbol(
        name=name.rpartition(".")[2],
        qualname=qualname,
        kind=kind,
        line=line,
        column=column,
        start_line=first_row + 1,
        end_line=_find_end(draft, event),
        owner=owner.at if owner else FILE,
        signature=hidden + _sign(draft, event),
        doc=doc,
        type=join_type(arity, type_name),
        is_test=kind in _RUN and _is_test(draft, name, whole.start_byte, declared.name.end_byte),
    )


def _read_names(draft: Draft, declared: Declared) -> tuple[str, str]:
    """Return the name and the path written before it; a case of GoogleTest is named by its two arguments."""
    name = draft.text(declared.name)
    if declared.is_function and declared.params is not None and _CASE.match(name):
        parts = [draft.text(one) for one in declared.params.named_children]
        if len(parts) == _CASE_PARTS and all(part.isidentifier() for part in parts):
            return parts[1], parts[0]
    scope = clean_type(declared.scope) if declared.scope else ""
    if "::" in name or "\\" in name:
        cleaned = clean_type(name)
        return cleaned, scope
    name = " ".join(name.lstrip(":$").split())
    return name if name.startswith("operator") else name.partition("<")[0], scope


def _find_owner(draft: Draft, event: Event) -> Scope | None:
    """Return the definition around; for a parameter that declares a field, the class of the constructor."""
    if event.detail == "macro":
        return None
    if event.detail == "promoted":
        return next((one for one in reversed(draft.scopes) if one.kind in CLASSLIKE), None)
    return draft.scopes[-1] if draft.scopes else None


def _read_kind(event: Event, declared: Declared, owner: Scope | None, owner_name: str) -> str:
    kind = event.detail
    in_class = owner is not None and owner.kind in CLASSLIKE
    if kind in ("variable", "field") and declared.is_function:
        return "declaration"
    if kind == "function" and (in_class or owner_name):
        return "method"
    if kind == "variable":
        return "field" if in_class else "variable"
    if kind in ("method", "alias"):
        return "method" if owner is not None else "function"
    return "field" if kind == "promoted" else kind


def _find_end(draft: Draft, event: Event) -> int:
    if "to_end" in event.captures:
        return draft.source.count(b"\n") + 1
    end: int = event.node.end_point[0] + 1
    return end


def _sign(draft: Draft, event: Event) -> str:
    """Return the head of a definition on one line, without annotations and body."""
    node = event.node
    body = node.child_by_field_name("body")
    end = body.start_byte if body is not None else node.end_byte
    raw = draft.source[node.start_byte : min(end, node.start_byte + _HEAD_BYTES)].decode("utf-8", "replace")
    text = _MARKS.sub("", raw)
    if body is None:
        text = _BODY.split(text, maxsplit=1)[0] if event.detail != "macro" else text.partition("\n")[0]
    if draft.dialect.name == "ruby":
        text = text.partition("\n")[0]
    return " ".join(text.split())[:_SIGNATURE_LIMIT].rstrip(" {=")


def _is_test(draft: Draft, name: str, start: int, end: int) -> bool:
    dialect = draft.dialect
    if dialect.test_mark and dialect.test_mark.search(draft.source, start, end):
        return True
    return bool(dialect.test_name and dialect.test_name.match(name)) and bool(draft.scopes)


def count_arguments(source: bytes, node: Node) -> int:
    """Return how many arguments a list holds; -1 when it cannot be told."""
    if not _SPECIAL.search(source, node.start_byte, node.end_byte):
        return node.named_child_count
    count = 0
    for child in node.named_children:
        if "splat" in child.type or "spread" in child.type or "variadic" in child.type:
            return -1
        if child.type not in _FREE:
            count += 1
    return count


def _count_arity(node: Node) -> tuple[int, int]:
    """Return the least and the most number of arguments that parameters take."""
    least = most = 0
    if node.end_byte - node.start_byte == len(_VOID) and node.text == _VOID:
        return 0, 0
    for child in node.children:
        kind = child.type
        if kind in _MANY_PARAMETERS:
            return least, _MANY
        if not child.is_named or kind in _FREE:
            continue
        if kind == "keyword_parameter":
            return least, _MANY
        most += 1
        if kind not in _OPTIONAL and child.child_by_field_name("default_value") is None and not _has_default(child):
            least += 1
    return least, most


def _has_default(node: Node) -> bool:
    return any(child.type == "=" for child in node.children)
