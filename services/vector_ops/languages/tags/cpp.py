"""C++, and the headers of C."""

import re

from services.vector_ops.languages.tags.c import C_COMMONS, C_KEYWORDS, C_QUERY, C_TEST_PATH
from services.vector_ops.languages.tags.declarators import read_declarator, read_include
from services.vector_ops.languages.tags.dialect import Dialect, Shape
from services.vector_ops.languages.tags.language import TagLanguage
from services.vector_ops.languages.tags.macros import blank_macros

_QUERY = (
    C_QUERY
    + """
(declaration !type declarator: (function_declarator) @declarator) @def.variable
(field_declaration !type declarator: (_) @declarator) @def.field
(namespace_definition name: (_) @name) @def.namespace
(class_specifier name: (_) @name body: (_)) @def.class
(concept_definition name: (_) @name) @def.type
(alias_declaration name: (_) @name type: (_) @type) @def.type
(template_declaration) @wrap
(using_declaration) @import
(base_class_clause [(type_identifier) (template_type) (qualified_identifier)] @name) @base
(optional_parameter_declaration type: (_) @type declarator: (_) @declarator) @bind
(for_range_loop type: (_) @type declarator: (_) @declarator) @bind
(declaration type: (placeholder_type_specifier)
  declarator: (init_declarator declarator: (_) @declarator value: (_) @value)) @bind
(call_expression function: (qualified_identifier) @name arguments: (_) @args) @ref.call
(call_expression function: (template_function name: (identifier) @name) arguments: (_) @args) @ref.call
(call_expression function: (field_expression argument: _ @recv field: (field_identifier) @name)
  arguments: (_) @args) @ref.call
(call_expression function: (field_expression argument: _ @recv field: (template_method name: (_) @name))
  arguments: (_) @args) @ref.call
(call_expression
  function: (field_expression argument: _ @recv field: (dependent_name (template_method name: (_) @name)))
  arguments: (_) @args) @ref.call
(new_expression type: (_) @name arguments: (_)? @args) @ref.new
(compound_literal_expression type: (_) @name) @ref.new
"""
)

_COMMON_NAMES = """
size begin end cbegin cend rbegin rend push_back emplace_back pop_back front back at data empty clear insert erase
find count resize reserve capacity get reset release swap c_str str substr append length move forward make_unique
make_shared make_pair first second what lock unlock push pop top emplace value has_value test get_allocator max_size
assign compare copy fill sort run start stop name type id key next
"""

LANGUAGE = TagLanguage(
    Dialect(
        name="cpp",
        family="c",
        grammar=("tree_sitter_cpp", "language"),
        suffixes=(".cc", ".cpp", ".cxx", ".h", ".hh", ".hpp", ".hxx"),
        query=_QUERY,
        shapes={
            "identifier": Shape("name"),
            "field_identifier": Shape("name"),
            "field_expression": Shape("member", "argument", "field"),
            "call_expression": Shape("apply", "function"),
            "new_expression": Shape("new", "type"),
            "compound_literal_expression": Shape("new", "type"),
            "qualified_identifier": Shape("static"),
            "parenthesized_expression": Shape("pass"),
            "pointer_expression": Shape("pass", "argument"),
        },
        commons=C_COMMONS | frozenset(_COMMON_NAMES.split()),
        words={"this": "this"},
        test_mark=re.compile(rb"\b(?:TYPED_)?TEST(?:_[A-Z]+)?$"),
        test_path=C_TEST_PATH,
        read_declarator=read_declarator,
        read_imports=read_include,
        keywords=C_KEYWORDS,
        prepare=blank_macros,
        is_outward=True,
        has_free=True,
        has_includes=True,
        bare_kinds=frozenset({"function", "declaration", "macro"}),
    )
)
