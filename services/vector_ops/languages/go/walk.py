"""One pass over the syntax tree, without recursion: handlers by kind of node, on the way in and on the way out."""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from tree_sitter import Node, Parser, TreeCursor

from services.vector_ops.languages.facts import FILE, FileFacts
from services.vector_ops.languages.go import bodies, comments, declarations, uses
from services.vector_ops.languages.go.draft import Draft
from services.vector_ops.languages.grammars import load_grammar

_DEPTH = 400
Handler = Callable[[Draft, Node], None]


def extract_source(content: bytes) -> FileFacts:
    """Return the facts of a Go source."""
    grammar = load_grammar("tree_sitter_go")
    draft = Draft(content, content.isascii())
    _walk(draft, Parser(grammar).parse(content).root_node, _load_handlers())
    return draft.finish()


class _Handlers(NamedTuple):
    """By kind of node; what is in `closed` is not entered."""

    enter: dict[int, Handler]
    leave: dict[int, Handler]
    closed: frozenset[int]


def _walk(draft: Draft, root: Node, handlers: _Handlers) -> None:
    enter, leave, closed = handlers
    cursor, stack = root.walk(), draft.stack
    while True:
        node = cursor.node
        if node is None:
            return
        kind = node.kind_id
        handler = enter.get(kind)
        if handler is not None:
            handler(draft, node)
        after = leave.get(kind)
        if kind not in closed and len(stack) < _DEPTH and cursor.goto_first_child():
            stack.append((after, node))
            continue
        if after is not None:
            after(draft, node)
        if not _climb(draft, cursor):
            return


def _climb(draft: Draft, cursor: TreeCursor) -> bool:
    """Go to the next sibling of the node or of the nearest one above it, leaving those; say whether there is one."""
    while not cursor.goto_next_sibling():
        if not draft.stack:
            return False
        cursor.goto_parent()
        after, node = draft.stack.pop()
        if after is not None:
            after(draft, node)
    return True


def _enter_variables(draft: Draft, node: Node) -> None:
    if draft.scope == FILE and not draft.frames:
        declarations.declare_variables(draft, node)
        if node.type == "var_spec":
            uses.refer_to_implemented(draft, node)
    else:
        draft.open_scope()


def _leave_variables(draft: Draft, node: Node) -> None:
    draft.close_scope()
    if draft.frames:
        bodies.leave_variables(draft, node)


_ENTER: dict[str, Handler] = {
    "package_clause": declarations.declare_package,
    "import_spec": declarations.declare_import,
    "comment": comments.note_comment,
    "function_declaration": declarations.declare_function,
    "method_declaration": declarations.declare_function,
    "type_spec": declarations.declare_type,
    "type_alias": declarations.declare_type,
    "var_spec": _enter_variables,
    "const_spec": _enter_variables,
    "func_literal": bodies.open_literal,
    "short_var_declaration": bodies.enter_definition,
    "range_clause": bodies.enter_definition,
    "receive_statement": bodies.enter_definition,
    "type_switch_statement": bodies.enter_switch,
    "expression_switch_statement": bodies.enter_plain_switch,
    "select_statement": bodies.enter_plain_switch,
    "type_case": bodies.enter_case,
    "default_case": bodies.enter_case,
    "call_expression": uses.refer_to_call,
    "type_conversion_expression": uses.refer_to_conversion,
    "selector_expression": uses.refer_to_selection,
    "identifier": uses.refer_to_name,
    "type_identifier": uses.refer_to_type_name,
    "qualified_type": uses.refer_to_qualified,
    "keyed_element": uses.note_key,
}
_LEAVE: dict[str, Handler] = {
    "short_var_declaration": bodies.leave_definition,
    "receive_statement": bodies.leave_definition,
    "range_clause": bodies.leave_range,
    "var_spec": _leave_variables,
    "const_spec": _leave_variables,
    "type_switch_statement": bodies.leave_switch,
    "expression_switch_statement": bodies.leave_switch,
    "select_statement": bodies.leave_switch,
}
_BLOCKS = (
    "block",
    "if_statement",
    "for_statement",
    "expression_case",
    "communication_case",
)
_OPENED = ("function_declaration", "method_declaration", "type_spec", "type_alias", "func_literal", "type_case")
_CLOSED = (
    "comment",
    "package_clause",
    "import_spec",
    "qualified_type",
    "interpreted_string_literal",
    "raw_string_literal",
)


@cache
def _load_handlers() -> _Handlers:
    grammar = load_grammar("tree_sitter_go")
    enter = _ENTER | dict.fromkeys(_BLOCKS, bodies.open_block)
    leave = _LEAVE | dict.fromkeys((*_BLOCKS, *_OPENED, "default_case"), bodies.close_block)
    kinds = range(grammar.node_kind_count)
    ids = {kind: grammar.node_kind_for_id(kind) for kind in kinds if grammar.node_kind_is_named(kind)}
    return _Handlers(
        {kind: enter[name] for kind, name in ids.items() if name in enter},
        {kind: leave[name] for kind, name in ids.items() if name in leave},
        frozenset(kind for kind, name in ids.items() if name in _CLOSED),
    )
