"""The grammar of Rust, the captures that extraction lives on, and one piece of source with its place in a file."""

from dataclasses import dataclass
from functools import cache

from tree_sitter import Language, Node, Parser, Query, QueryCursor

from services.vector_ops.languages.grammars import load_grammar

# Captures are the only nodes that extraction looks at: everything else is skipped inside the C library.
_QUERY = """
(function_item) @function (function_signature_item) @function
(struct_item) @struct (union_item) @struct (enum_item) @enum (enum_variant) @variant
(trait_item) @trait (impl_item) @impl (mod_item) @module
(type_item) @type_alias (associated_type) @type_alias
(const_item) @constant (static_item) @constant
(field_declaration) @field (macro_definition) @macro_rules
(use_declaration) @use (attribute_item) @attribute
(block) @block (closure_expression) @closure (if_expression) @branch (while_expression) @branch
(else_clause) @else (match_expression) @match (match_arm) @arm (for_expression) @loop
(let_declaration) @let (let_condition) @let_condition
(call_expression) @call (macro_invocation) @macro_call (struct_expression) @construct
(arguments (closure_expression)) @closure_arguments
(arguments (identifier) @value) (field_initializer value: (identifier) @value)
(scoped_identifier) @path
(type_identifier) @type (scoped_type_identifier) @type
"""
# The library counts depth in 16 bits and takes ages beyond them.
_MAX_DEPTH = 3_000
_TOKENS = "(token_tree (identifier) @name)"
_FIELDS = (
    "name", "type_parameters", "parameters", "return_type", "body", "type", "trait", "pattern", "value", "function",
    "arguments", "field", "path", "macro", "type_arguments", "argument", "list", "alias", "bounds", "left",
    "consequence", "condition", "right",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Grammar:
    """A parser factory, the query, and the ids of the fields by name."""

    language: Language
    query: Query
    tokens: Query
    field: dict[str, int]

    def parse(self, content: bytes) -> Node:
        """Return the root of the syntax tree."""
        return Parser(self.language).parse(content).root_node

    def list_identifiers(self, node: Node) -> list[Node]:
        """Return the identifiers among the tokens of a macro or an attribute, in order."""
        return QueryCursor(self.tokens).captures(node).get("name", [])

    def capture(self, node: Node) -> dict[str, list[Node]]:
        """Return the nodes of the query below `node`, by name of capture; what is nested absurdly deep is left out."""
        cursor = QueryCursor(self.query)
        cursor.set_max_start_depth(_MAX_DEPTH)
        return cursor.captures(node)


@cache
def load_rust() -> Grammar:
    """Return the grammar of Rust; raises GrammarMissingError."""
    language = load_grammar("tree_sitter_rust")
    fields = {name: language.field_id_for_name(name) for name in _FIELDS}
    return Grammar(
        language,
        Query(language, _QUERY),
        Query(language, _TOKENS),
        {name: one for name, one in fields.items() if one is not None},
    )


@dataclass(frozen=True, slots=True)
class Source:
    """A text whose nodes are being read: the file, or the tokens of a macro within it.

    `base_byte`, `base_row` and `base_column` (characters) say where the text begins in the file.
    """

    text: bytes
    is_ascii: bool
    base_byte: int = 0
    base_row: int = 0
    base_column: int = 0

    def read(self, node: Node) -> str:
        """Return the text of a node."""
        return self.text[node.start_byte : node.end_byte].decode("utf-8", "replace")

    def place(self, node: Node) -> tuple[int, int]:
        """Return the line and the column (characters) of a node in the file, from 1."""
        row, column = node.start_point
        if not self.is_ascii:
            start = node.start_byte
            column = len(self.text[start - column : start].decode("utf-8", "replace"))
        if row == 0:
            column += self.base_column
        return self.base_row + row + 1, column + 1
