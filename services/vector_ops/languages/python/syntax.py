"""The syntax of Python as tree-sitter gives it: what is captured, and reading small texts off it."""

from functools import cache
from operator import attrgetter
from typing import NamedTuple

import tree_sitter
from tree_sitter import Node

from services.vector_ops.languages.grammars import load_grammar

MAX_RUN = 2_000
MAX_DEPTH = 1_500
"""Nodes nested deeper than this are left out: no one writes them by hand."""

_SCOPED = (
    "function_definition",
    "class_definition",
    "decorated_definition",
    "lambda",
    "list_comprehension",
    "set_comprehension",
    "dictionary_comprehension",
    "generator_expression",
    "assignment",
    "named_expression",
    "for_statement",
    "for_in_clause",
    "as_pattern",
    "import_statement",
    "import_from_statement",
    "global_statement",
    "nonlocal_statement",
    "return_statement",
    "yield",
    "type_alias_statement",
    "class_pattern",
    "raise_statement",
)
_QUERY = f"""
[{" ".join(f"({kind})" for kind in _SCOPED)}] @scoped
(case_pattern (dotted_name) @scoped)
(call function: (_) @called)
(call arguments: (argument_list [(identifier) (attribute)] @mentioned))
(call arguments: (argument_list (keyword_argument value: [(identifier) (attribute)] @mentioned)))
(list [(identifier) (attribute)] @mentioned)
(tuple [(identifier) (attribute)] @mentioned)
(set [(identifier) (attribute)] @mentioned)
(pair value: [(identifier) (attribute)] @mentioned)
(return_statement [(identifier) (attribute)] @mentioned)
(assignment right: [(identifier) (attribute)] @mentioned)
(default_parameter value: [(identifier) (attribute)] @mentioned)
(typed_default_parameter value: [(identifier) (attribute)] @mentioned)
(type [(identifier) (attribute) (string)] @annotated)
"""


class Captures(NamedTuple):
    """The nodes that matter, each list by where they start: what scopes and binds, what is called, what is named."""

    scoped: list[Node]
    called: list[Node]
    mentioned: list[Node]
    annotated: list[Node]


_START, _END = attrgetter("start_byte"), attrgetter("end_byte")


class Grammar(NamedTuple):
    """The grammar, its query, and the names of the kinds by their number."""

    language: tree_sitter.Language
    query: tree_sitter.Query


@cache
def load_python() -> Grammar:
    """Return the grammar of Python; raises GrammarMissingError."""
    language = load_grammar("tree_sitter_python")
    return Grammar(language, tree_sitter.Query(language, _QUERY))


def capture(content: bytes) -> Captures:
    """Return the nodes of a source that matter; none for a source that no one wrote by hand."""
    grammar = load_python()
    root = tree_sitter.Parser(grammar.language).parse(content).root_node
    if root.has_error and _has_long_run(root):
        return Captures([], [], [], [])
    cursor = tree_sitter.QueryCursor(grammar.query)
    cursor.set_max_start_depth(MAX_DEPTH)
    found = cursor.captures(root)
    return Captures(*(_order(found.get(name, [])) for name in Captures._fields))


def _order(nodes: list[Node]) -> list[Node]:
    """Return nodes by where they start, then end: captures come in no fixed order."""
    nodes.sort(key=_END)
    nodes.sort(key=_START)
    return nodes


def _has_long_run(root: Node) -> bool:
    """Return whether thousands of bare tokens follow each other: a query takes quadratic time over those."""
    cursor, run = root.walk(), 0
    while run < MAX_RUN:
        node = cursor.node
        run = 0 if node is None or node.is_named else run + 1
        if cursor.goto_first_child():
            run = 0
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return False
            run = 0
    return True


@cache
def number_kinds() -> dict[str, int]:
    """Return the number of each named kind of node: comparing numbers is much cheaper than comparing names."""
    language = load_python().language
    found: dict[str, int] = {}
    for number in range(language.node_kind_count):
        kind = language.node_kind_for_id(number)
        if kind is not None and language.node_kind_is_named(number) and kind not in found:
            found[kind] = language.id_for_node_kind(kind, True) or number
    return found


def field(node: Node, name: str) -> Node | None:
    """Return the child in a field of the grammar."""
    return node.child_by_field_name(name)


def child_at(node: Node, index: int) -> Node | None:
    """Return a named child by its place, or None."""
    return node.named_child(index) if index < node.named_child_count else None


def read(node: Node) -> str:
    """Return the text of a node."""
    return (node.text or b"").decode("utf-8", "replace")
