"""One pass over the syntax tree, without recursion: handlers by kind of node, on the way in and on the way out."""

from functools import cache

from tree_sitter import Node, Parser, TreeCursor

from services.vector_ops.languages.facts import FILE, FileFacts, Import
from services.vector_ops.languages.go import bodies, comments, declarations, uses
from services.vector_ops.languages.go.builds import read_constraint
from services.vector_ops.languages.go.draft import Draft, Handler, Rule
from services.vector_ops.languages.go.gomod import CONSTRAINT
from services.vector_ops.languages.grammars import load_grammar


def extract_source(content: bytes) -> FileFacts:
    """Return the facts of a Go source."""
    grammar = load_grammar("tree_sitter_go")
    draft = Draft(content, content.isascii())
    _walk(draft, Parser(grammar).parse(content).root_node, _load_rules())
    constraint = read_constraint(content)
    if constraint:
        draft.imports.append(Import(CONSTRAINT, constraint, "", FILE, 1, 1))
    return draft.finish()


def _walk(draft: Draft, root: Node, rules: dict[int, Rule]) -> None:
    cursor, parents, find = root.walk(), draft.parents, rules.get
    descend, advance, ascend = cursor.goto_first_child, cursor.goto_next_sibling, cursor.goto_parent
    while True:
        rule = find(cursor.node.kind_id)  # type: ignore[union-attr]  # a cursor that was made stands on a node
        if rule is not None:
            _enter(draft, rule, cursor)
        if (rule is None or rule.is_open) and descend():
            parents.append(rule)
            continue
        if rule is not None:
            _leave(draft, rule)
        while not advance():
            if not ascend():
                return
            rule = parents.pop()
            if rule is not None:
                _leave(draft, rule)


def _enter(draft: Draft, rule: Rule, cursor: TreeCursor) -> None:
    node = cursor.node
    if node is None:
        return
    if rule.enter is not None:
        rule.enter(draft, node)
    if rule.leave is not None:
        draft.opened.append(node)


def _leave(draft: Draft, rule: Rule) -> None:
    if rule.leave is not None:
        rule.leave(draft, draft.opened.pop())


def _enter_variables(draft: Draft, node: Node) -> None:
    if draft.scope == FILE and not draft.frames:
        declarations.declare_variables(draft, node)
        if node.type == "var_spec":
            uses.refer_to_implemented(draft, node)
    else:
        uses.note_names(draft, node)
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
    "parameter_declaration": uses.note_names,
    "variadic_parameter_declaration": uses.note_names,
    "type_parameter_declaration": uses.note_names,
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
_NAMED = uses.VALUE_PLACES | {"composite_literal"}
_CLOSED = (
    "comment",
    "package_clause",
    "import_spec",
    "qualified_type",
    "interpreted_string_literal",
    "raw_string_literal",
)


@cache
def _load_rules() -> dict[int, Rule]:
    grammar = load_grammar("tree_sitter_go")
    enter = _ENTER | dict.fromkeys(_BLOCKS, bodies.open_block)
    leave = _LEAVE | dict.fromkeys((*_BLOCKS, *_OPENED, "default_case"), bodies.close_block)
    rules = {}
    for kind in range(grammar.node_kind_count):
        name = grammar.node_kind_for_id(kind) or ""
        if grammar.node_kind_is_named(kind) and (name in enter or name in leave or name in _NAMED or name in _CLOSED):
            rules[kind] = Rule(name, enter.get(name), leave.get(name), name not in _CLOSED)
    return rules
