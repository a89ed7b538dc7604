"""C."""

import re

from services.vector_ops.languages.tags.declarators import read_declarator, read_include
from services.vector_ops.languages.tags.dialect import Dialect, Shape
from services.vector_ops.languages.tags.language import TagLanguage
from services.vector_ops.languages.tags.macros import blank_macros

C_QUERY = """
(preproc_include path: (_) @path) @import
(comment) @comment
(preproc_def name: (identifier) @name value: (_)) @def.macro
(preproc_function_def name: (identifier) @name parameters: (_) @params) @def.macro
(function_definition type: (_)? @type declarator: (_) @declarator) @def.function
(declaration type: (_) @type declarator: (_) @declarator) @def.variable
(struct_specifier name: (_) @name body: (_)) @def.struct
(union_specifier name: (_) @name body: (_)) @def.struct
(enum_specifier name: (_) @name body: (_)) @def.enum
(enumerator name: (_) @name) @def.variant
(type_definition type: (struct_specifier !name body: (_)) declarator: (type_identifier) @name) @def.struct
(type_definition type: (union_specifier !name body: (_)) declarator: (type_identifier) @name) @def.struct
(type_definition type: (enum_specifier !name body: (_)) declarator: (type_identifier) @name) @def.enum
(type_definition type: (_) @type declarator: (_) @declarator) @def.type
(field_declaration type: (_) @type declarator: (_) @declarator) @def.field
(parameter_declaration type: (_) @type declarator: (_) @declarator) @bind
(call_expression function: (identifier) @name arguments: (_) @args) @ref.call
(argument_list (identifier) @name) @ref.value
(initializer_list (identifier) @name) @ref.value
(initializer_pair value: (identifier) @name) @ref.value
(assignment_expression right: (identifier) @name) @ref.value
(init_declarator value: (identifier) @name) @ref.value
(pointer_expression argument: (identifier) @name) @ref.value
(type_identifier) @name @ref.annotate
"""
C_TEST_PATH = re.compile(r"(?:^|/)(?:tests?|unittests?|testing)/|(?:^|/)test_[^/]*$|_(?:unit)?tests?\.\w+$")
_COMMON_NAMES = """
printf fprintf sprintf snprintf vsnprintf malloc calloc realloc free memcpy memmove memset memcmp memchr strlen
strcmp strncmp strcpy strncpy strcat strchr strrchr strstr strdup strtol strtod strerror atoi atof abs exit abort
assert open close read write lseek fopen fclose fread fwrite fgets fputs getenv time sleep select poll send recv
bind listen accept connect socket fork exec kill wait signal qsort isdigit isalpha isspace tolower toupper min max
swap init error warn usage main
"""
C_COMMONS = frozenset(_COMMON_NAMES.split())

_KEYWORD_NAMES = """
if else for while do switch case return sizeof alignof defined typeof static_cast const_cast dynamic_cast
reinterpret_cast noexcept decltype namespace template typename operator static_assert _Static_assert __attribute__
__declspec asm __asm__ catch throw requires alignas explicit
"""
C_KEYWORDS = frozenset(_KEYWORD_NAMES.split())

LANGUAGE = TagLanguage(
    Dialect(
        name="c",
        family="c",
        grammar=("tree_sitter_c", "language"),
        suffixes=(".c",),
        query=C_QUERY,
        shapes={"identifier": Shape("name"), "parenthesized_expression": Shape("pass")},
        commons=C_COMMONS,
        words={},
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
