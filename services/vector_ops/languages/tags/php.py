"""PHP."""

import re

from services.vector_ops.languages.facts import FILE, Import
from services.vector_ops.languages.tags.dialect import Captures, Dialect, Shape
from services.vector_ops.languages.tags.language import TagLanguage
from services.vector_ops.languages.tags.notation import clean_type

_QUERY = """
(comment) @comment
(namespace_definition name: (_) @name) @package
(namespace_definition name: (_) @name body: (_)) @def.namespace
(namespace_definition name: (_) @name !body) @def.namespace @to_end
(namespace_use_declaration) @import
(class_declaration name: (_) @name) @def.class
(interface_declaration name: (_) @name) @def.interface
(trait_declaration name: (_) @name) @def.trait
(enum_declaration name: (_) @name) @def.enum
(enum_case name: (_) @name) @def.variant
(method_declaration name: (_) @name parameters: (_) @params return_type: (_)? @type) @def.method
(function_definition name: (_) @name parameters: (_) @params return_type: (_)? @type) @def.function
(property_declaration type: (_)? @type (property_element name: (_) @name)) @def.field
(property_promotion_parameter type: (_)? @type name: (_) @name) @def.promoted
(const_element . (name) @name) @def.constant
(base_clause (_) @name) @base
(class_interface_clause (_) @name) @base
(use_declaration [(name) (qualified_name)] @name) @base

(simple_parameter type: (_)? @type name: (_) @name) @bind
(variadic_parameter type: (_)? @type name: (_) @name) @bind
(assignment_expression left: (variable_name) @name right: (_) @value) @bind
(catch_clause type: (_) @type name: (variable_name) @name) @bind

(function_call_expression function: [(name) (qualified_name)] @name arguments: (_) @args) @ref.call
(member_call_expression object: (_) @recv name: (name) @name arguments: (_) @args) @ref.call
(nullsafe_member_call_expression object: (_) @recv name: (name) @name arguments: (_) @args) @ref.call
(scoped_call_expression scope: (_) @recv name: (name) @name arguments: (_) @args) @ref.static
(object_creation_expression [(name) (qualified_name)] @name (arguments)? @args) @ref.new
(named_type (_) @name) @ref.annotate
(class_constant_access_expression . [(name) (qualified_name)] @name) @ref.annotate
(scoped_call_expression scope: [(name) (qualified_name)] @name) @ref.annotate
(attribute [(name) (qualified_name)] @name) @ref.annotate
(binary_expression operator: "instanceof" right: [(name) (qualified_name)] @name) @ref.annotate
"""
_USE = re.compile(r"^use\s+(?:function\s+|const\s+)?|;\s*$")


def _read_imports(captures: Captures, source: bytes) -> list[Import]:
    node = captures["import"][0]
    text = _USE.sub("", source[node.start_byte : node.end_byte].decode("utf-8", "replace")).strip()
    row, column = node.start_point
    head, mark, rest = text.partition("{")
    prefix = clean_type(head) if mark else ""
    found = []
    for part in (rest.rstrip("} \t\r\n;") if mark else text).split(","):
        written, _, alias = (
            one.strip() for one in re.sub(r"\s+as\s+", "\0", part, flags=re.IGNORECASE).partition("\0")
        )
        path = clean_type(written.removeprefix("function ").removeprefix("const "))
        if path:
            module, _, name = f"{prefix}.{path}".strip(".").rpartition(".")
            found.append(Import(alias or name, module or name, name if module else "", FILE, row + 1, column + 1))
    return found


_COMMON_NAMES = """
get set add has all count each map filter first last push pop put forget merge keys values toArray toJson
__construct __toString __get __set __call make create find update delete save remove clear reset key current next
rewind valid offsetGet offsetSet getName getValue getType getMessage getCode run handle call fire send open close
read write append prepend format modify diff name value type where with join split replace exists isEmpty contains
implode explode trim query prepare execute fetch bind test sort reverse slice
"""

LANGUAGE = TagLanguage(
    Dialect(
        name="php",
        family="php",
        grammar=("tree_sitter_php", "language_php"),
        suffixes=(".php",),
        query=_QUERY,
        shapes={
            "variable_name": Shape("name"),
            "name": Shape("static"),
            "qualified_name": Shape("static"),
            "relative_scope": Shape("static"),
            "member_access_expression": Shape("member", "object", "name"),
            "nullsafe_member_access_expression": Shape("member", "object", "name"),
            "member_call_expression": Shape("call", "object", "name"),
            "nullsafe_member_call_expression": Shape("call", "object", "name"),
            "scoped_call_expression": Shape("call", "scope", "name"),
            "function_call_expression": Shape("apply", "function"),
            "object_creation_expression": Shape("new"),
            "parenthesized_expression": Shape("pass"),
        },
        words={"$this": "this", "self": "this", "static": "this", "parent": "super"},
        commons=frozenset(_COMMON_NAMES.split()),
        test_mark=re.compile(rb"#\[(?:\w+\\)*Test\b|@test\b"),
        test_name=re.compile(r"test[A-Z_0-9]"),
        test_path=re.compile(r"(?:^|/)[Tt]ests?/|Test\.php$"),
        read_imports=_read_imports,
        has_free=True,
        bare_kinds=frozenset({"function"}),
    )
)
