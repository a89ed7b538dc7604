"""C#."""

import re

from services.vector_ops.languages.facts import FILE, Import
from services.vector_ops.languages.tags.dialect import Captures, Dialect, Shape
from services.vector_ops.languages.tags.language import TagLanguage

_QUERY = """
(using_directive) @import
(comment) @comment
(namespace_declaration name: (_) @name) @def.namespace
(file_scoped_namespace_declaration name: (_) @name) @def.namespace @to_end
(class_declaration name: (_) @name) @def.class
(struct_declaration name: (_) @name) @def.struct
(record_declaration name: (_) @name) @def.class
(interface_declaration name: (_) @name) @def.interface
(enum_declaration name: (_) @name) @def.enum
(enum_member_declaration name: (_) @name) @def.variant
(delegate_declaration name: (_) @name) @def.type
(method_declaration returns: (_) @type name: (_) @name parameters: (_) @params) @def.method
(constructor_declaration name: (_) @name parameters: (_) @params) @def.method
(destructor_declaration name: (_) @name parameters: (_) @params) @def.method
(local_function_statement type: (_) @type name: (_) @name parameters: (_) @params) @def.function
(property_declaration type: (_) @type name: (_) @name) @def.attribute
(field_declaration (variable_declaration type: (_) @type (variable_declarator name: (_) @name))) @def.field
(event_field_declaration (variable_declaration type: (_) @type (variable_declarator name: (_) @name))) @def.field

(base_list (_) @name) @base

(parameter type: (_) @type name: (_) @name) @bind
(implicit_parameter) @name @bind
(local_declaration_statement
  (variable_declaration type: (_) @type (variable_declarator name: (_) @name (_)? @value))) @bind
(using_statement (variable_declaration type: (_) @type (variable_declarator name: (_) @name (_)? @value))) @bind
(for_statement (variable_declaration type: (_) @type (variable_declarator name: (_) @name))) @bind
(foreach_statement type: (_) @type left: (identifier) @name) @bind
(catch_declaration type: (_) @type name: (_) @name) @bind
(declaration_pattern type: (_) @type name: (identifier) @name) @bind
(declaration_expression type: (_) @type name: (identifier) @name) @bind

(invocation_expression function: (identifier) @name arguments: (_) @args) @ref.call
(invocation_expression function: (generic_name (identifier) @name) arguments: (_) @args) @ref.call
(invocation_expression function: (member_access_expression expression: _ @recv name: (identifier) @name)
  arguments: (_) @args) @ref.call
(invocation_expression
  function: (member_access_expression expression: _ @recv name: (generic_name (identifier) @name))
  arguments: (_) @args) @ref.call
(invocation_expression
  function: (conditional_access_expression condition: (_) @recv (member_binding_expression name: (identifier) @name))
  arguments: (_) @args) @ref.call
(object_creation_expression type: (_) @name arguments: (_)? @args) @ref.new
(attribute name: (_) @name) @ref.annotate
(parameter type: (_) @name) @ref.annotate
(variable_declaration type: (_) @name) @ref.annotate
(method_declaration returns: (_) @name) @ref.annotate
(property_declaration type: (_) @name) @ref.annotate
(type_argument_list (_) @name) @ref.annotate
(typeof_expression type: (_) @name) @ref.annotate
(cast_expression type: (_) @name) @ref.annotate
(as_expression right: (_) @name) @ref.annotate
(member_access_expression expression: (identifier) @name) @ref.mention
"""


def _read_imports(captures: Captures, source: bytes) -> list[Import]:
    node = captures["import"][0]
    text = source[node.start_byte : node.end_byte].decode("utf-8", "replace").strip("; \t\r\n")
    text = text.removeprefix("global ").removeprefix("using").strip()
    row, column = node.start_point
    alias, mark, path = text.partition("=")
    if mark:
        module, _, name = path.strip().rpartition(".")
        return [Import(alias.strip(), module, name, FILE, row + 1, column + 1)]
    path = text.removeprefix("static ").strip()
    return [Import("*", path, "*" if text.startswith("static ") else "", FILE, row + 1, column + 1)]


_COMMON_NAMES = """
ToString Equals GetHashCode GetType Add Remove Contains Clear Count Get Set Write WriteLine Read ReadLine Dispose
Close Open Parse TryParse Format Join Split Trim Replace Substring IndexOf Select Where First FirstOrDefault Single
Any All ToList ToArray ToDictionary OrderBy GroupBy Append Insert Invoke Create CompareTo CopyTo Clone MoveNext
GetEnumerator TryGetValue ContainsKey AddRange Concat Skip Take Max Min Sum Aggregate Cast OfType Distinct Reverse
Start Stop Run Wait Delete Exists Flush Seek Load Save
"""

LANGUAGE = TagLanguage(
    Dialect(
        name="csharp",
        family="csharp",
        grammar=("tree_sitter_c_sharp", "language"),
        suffixes=(".cs",),
        query=_QUERY,
        shapes={
            "identifier": Shape("name"),
            "member_access_expression": Shape("member", "expression", "name"),
            "invocation_expression": Shape("apply", "function"),
            "object_creation_expression": Shape("new", "type"),
            "parenthesized_expression": Shape("pass"),
            "await_expression": Shape("pass"),
            "cast_expression": Shape("new", "type"),
            "as_expression": Shape("new", "right"),
        },
        words={"this": "this", "base": "super"},
        commons=frozenset(_COMMON_NAMES.split()),
        test_mark=re.compile(
            rb"[\[,]\s*(?:\w+\.)*(?:Test|TestCase|TestCaseSource|Fact|Theory|TestMethod|DataTestMethod)\s*[\](,]"
        ),
        test_path=re.compile(r"(?:^|/)[^/]*Tests?/|(?:^|/)tests?/|Tests?\.cs$", re.ASCII),
        read_imports=_read_imports,
        is_outward=True,
        extension_mark="(this ",
    )
)
