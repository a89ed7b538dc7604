"""One pass over the syntax tree, without recursion: handlers by kind of node, on the way in and on the way out."""

from functools import cache
from typing import NamedTuple

from tree_sitter import Node, Parser

from services.vector_ops.languages.facts import FILE, FileFacts, Import
from services.vector_ops.languages.go import bodies, comments, declarations, uses
from services.vector_ops.languages.go.builds import read_constraint
from services.vector_ops.languages.go.draft import Draft, Fields, Finisher, Handler
from services.vector_ops.languages.go.gomod import CONSTRAINT
from services.vector_ops.languages.grammars import load_grammar


def extract_source(content: bytes) -> FileFacts:
    """Return the facts of a Go source."""
    rules = _load_rules()
    draft = Draft(content, content.isascii(), rules.fields, rules.kinds)
    _walk(draft, Parser(load_grammar("tree_sitter_go")).parse(content).root_node, rules)
    constraint = read_constraint(content)
    if constraint:
        draft.imports.append(Import(CONSTRAINT, constraint, "", FILE, 1, 1))
    return draft.finish()


class _Rules(NamedTuple):
    """What to do on the way into and out of nodes, by their kind; `kinds` names those that handlers ask after."""

    enter: dict[int, Handler]
    leave: dict[int, Finisher]
    kinds: dict[int, str]
    fields: Fields


def _walk(draft: Draft, root: Node, rules: _Rules) -> None:
    cursor, parents, find, find_last = root.walk(), draft.parents, rules.enter.get, rules.leave.get
    descend, advance, ascend = cursor.goto_first_child, cursor.goto_next_sibling, cursor.goto_parent
    while True:
        node: Node = cursor.node  # type: ignore[assignment]  # a cursor stands on a node
        kind = node.kind_id
        enter = find(kind)
        if (enter is None or not enter(draft, node)) and descend():
            parents.append(kind)
            continue
        while not advance():
            if not ascend():
                return
            leave = find_last(parents.pop())
            if leave is not None:
                leave(draft)


def _enter_variables(draft: Draft, node: Node) -> None:
    if draft.scope == FILE and not draft.frames:
        declarations.declare_variables(draft, node)
        if node.type == "var_spec":
            uses.refer_to_implemented(draft, node)
        draft.defined.append((node, []))
    else:
        bodies.enter_variables(draft, node)
        draft.open_scope()


def _leave_variables(draft: Draft) -> None:
    draft.close_scope()
    bodies.leave_variables(draft)


def _skip(_draft: Draft, _node: Node) -> bool:
    return True


_ENTER: dict[str, Handler] = {
    "interpreted_string_literal": _skip,
    "raw_string_literal": _skip,
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
_LEAVE: dict[str, Finisher] = {
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
_KINDS = uses.VALUE_PLACES | uses.NAMELESS | {"composite_literal"}


@cache
def _load_rules() -> _Rules:
    grammar = load_grammar("tree_sitter_go")
    enter = _ENTER | dict.fromkeys(_BLOCKS, bodies.open_block)
    leave = _LEAVE | dict.fromkeys((*_BLOCKS, *_OPENED, "default_case"), bodies.close_block)
    numbers = [one for one in range(grammar.node_kind_count) if grammar.node_kind_is_named(one)]
    names = [(one, grammar.node_kind_for_id(one) or "") for one in numbers]
    return _Rules(
        {kind: enter[name] for kind, name in names if name in enter},
        {kind: leave[name] for kind, name in names if name in leave},
        {kind: name for kind, name in names if name in _KINDS},
        Fields(**{name: grammar.field_id_for_name(name) or 0 for name in Fields._fields}),
    )
