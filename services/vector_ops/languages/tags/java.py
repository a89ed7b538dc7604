"""Java."""

import re

from services.vector_ops.languages.facts import FILE, Import
from services.vector_ops.languages.tags.dialect import Captures, Dialect, Shape
from services.vector_ops.languages.tags.language import TagLanguage

_QUERY = """
(package_declaration [(scoped_identifier) (identifier)] @name) @package
(import_declaration) @import
[(line_comment) (block_comment)] @comment

(class_declaration name: (identifier) @name) @def.class
(record_declaration name: (identifier) @name parameters: (formal_parameters) @params) @def.class
(interface_declaration name: (identifier) @name) @def.interface
(annotation_type_declaration name: (identifier) @name) @def.interface
(enum_declaration name: (identifier) @name) @def.enum
(enum_constant name: (identifier) @name) @def.variant
(method_declaration type: (_) @type name: (identifier) @name parameters: (_) @params) @def.method
(annotation_type_element_declaration type: (_) @type name: (identifier) @name) @def.method
(constructor_declaration name: (identifier) @name parameters: (_) @params) @def.method
(compact_constructor_declaration name: (identifier) @name) @def.method
(field_declaration type: (_) @type declarator: (variable_declarator name: (identifier) @name)) @def.field
(constant_declaration type: (_) @type declarator: (variable_declarator name: (identifier) @name)) @def.constant

(superclass (_) @name) @base
(super_interfaces (type_list (_) @name)) @base
(extends_interfaces (type_list (_) @name)) @base

(formal_parameter type: (_) @type name: (identifier) @name) @bind
(spread_parameter (_) @type (variable_declarator name: (identifier) @name)) @bind
(catch_formal_parameter (catch_type . (_) @type) name: (identifier) @name) @bind
(resource type: (_) @type name: (identifier) @name value: (_) @value) @bind
(enhanced_for_statement type: (_) @type name: (identifier) @name) @bind
(local_variable_declaration type: (_) @type
  declarator: (variable_declarator name: (identifier) @name value: (_)? @value)) @bind
(instanceof_expression right: (_) @type name: (identifier) @name) @bind
(lambda_expression parameters: (identifier) @name) @bind
(inferred_parameters (identifier) @name) @bind

(method_invocation object: (_)? @recv name: (identifier) @name arguments: (_) @args) @ref.call
(object_creation_expression type: (_) @name arguments: (_) @args) @ref.new
(marker_annotation name: (_) @name) @ref.annotate
(annotation name: (_) @name) @ref.annotate
(method_reference . (_) @recv . "::" (identifier) @name) @ref.call
(method_reference . (_) @name . "::" "new") @ref.new
(type_identifier) @name @ref.annotate
(method_invocation object: (identifier) @name) @ref.mention
(field_access object: (identifier) @name) @ref.mention
"""


def _read_imports(captures: Captures, source: bytes) -> list[Import]:
    node = captures["import"][0]
    words = source[node.start_byte : node.end_byte].decode("utf-8", "replace").rstrip("; \t").split()
    path = "".join(word for word in words[1:] if word != "static")
    row, column = node.start_point
    module, _, name = path.rpartition(".")
    if name == "*":
        return [Import("*", module, "*" if "static" in words else "", FILE, row + 1, column + 1)]
    return [Import(name, module, name, FILE, row + 1, column + 1)]


_COMMON_NAMES = """
size get add put set remove contains isEmpty toString equals hashCode next hasNext close read write append length
length indexOf substring split trim format print println printf map filter collect forEach stream iterator of apply
accept test run call getName getClass getValue getKey getMessage start stop join wait notify clone compareTo values
valueOf keySet entrySet keys clear flush reset copy sort find matches containsKey addAll getType getParent getPath
exists delete list getBytes toArray asList
"""

LANGUAGE = TagLanguage(
    Dialect(
        name="java",
        family="java",
        grammar=("tree_sitter_java", "language"),
        suffixes=(".java",),
        query=_QUERY,
        shapes={
            "identifier": Shape("name"),
            "type_identifier": Shape("name"),
            "field_access": Shape("member", "object", "field"),
            "method_invocation": Shape("call", "object", "name"),
            "object_creation_expression": Shape("new", "type"),
            "parenthesized_expression": Shape("pass"),
            "cast_expression": Shape("new", "type"),
        },
        commons=frozenset(_COMMON_NAMES.split()),
        test_mark=re.compile(rb"@(?:\w+\.)*(?:\w*Test|TestFactory|TestTemplate|Theory)\b"),
        test_path=re.compile(
            r"(?:^|/)(?:src/)?(?:test|tests|androidTest|testFixtures)/|(?:^|/)Test[A-Z]\w*\.java$|Tests?\.java$"
        ),
        read_imports=_read_imports,
        uses_package=True,
    )
)
