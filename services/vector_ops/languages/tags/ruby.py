"""Ruby."""

import re

from services.vector_ops.languages.facts import FILE, Import
from services.vector_ops.languages.tags.dialect import Captures, Dialect, Shape
from services.vector_ops.languages.tags.includes import INCLUDED, RELATIVE
from services.vector_ops.languages.tags.language import TagLanguage

_QUERY = """
(comment) @comment
(module name: (_) @name) @def.module
(class name: (_) @name) @def.class
(method name: (_) @name parameters: (_)? @params) @def.method
(singleton_method name: (_) @name parameters: (_)? @params) @def.method
(alias name: (identifier) @name) @def.alias
(assignment left: (constant) @name) @def.constant
((call method: (identifier) @word arguments: (argument_list (simple_symbol) @name)) @def.field
  (#any-of? @word "attr_reader" "attr_accessor" "attr_writer"))
(superclass [(constant) (scope_resolution)] @name) @base
((call !receiver method: (identifier) @word arguments: (argument_list [(constant) (scope_resolution)] @name)) @base
  (#any-of? @word "include" "extend" "prepend"))
((call !receiver method: (identifier) @word arguments: (argument_list . (string (string_content) @path))) @import
  (#any-of? @word "require" "require_relative" "load"))

(assignment left: [(identifier) (instance_variable)] @name right: (_) @value) @bind
(operator_assignment left: [(identifier) (instance_variable)] @name right: (_) @value) @bind
(left_assignment_list [(identifier) (instance_variable)] @name) @bind
(method_parameters (identifier) @name) @bind
(block_parameters (identifier) @name) @bind
(lambda_parameters (identifier) @name) @bind
(destructured_parameter (identifier) @name) @bind
(optional_parameter name: (_) @name) @bind
(keyword_parameter name: (_) @name) @bind
(splat_parameter name: (_) @name) @bind
(hash_splat_parameter name: (_) @name) @bind
(block_parameter name: (_) @name) @bind
(exception_variable (identifier) @name) @bind
(for pattern: (identifier) @name) @bind

(call receiver: (_)? @recv method: [(identifier) (constant)] @name arguments: (_)? @args) @ref.counted
(identifier) @name @ref.bare
(super) @name @ref.super
(constant) @name @ref.annotate
(scope_resolution) @name @ref.annotate
"""


def _read_imports(captures: Captures, source: bytes) -> list[Import]:
    path_node, word_node = captures["path"][0], captures["word"][0]
    path = source[path_node.start_byte : path_node.end_byte].decode("utf-8", "replace")
    is_relative = source[word_node.start_byte : word_node.end_byte] == b"require_relative"
    row, column = captures["import"][0].start_point
    return [Import(INCLUDED, path, RELATIVE if is_relative else INCLUDED, FILE, row + 1, column + 1)]


_COMMON_NAMES = """
new each map select reject find first last size length count push pop shift join split gsub sub puts print p raise
require include extend to_s to_a to_h to_i to_sym inspect call send public_send respond_to? is_a? nil? empty? any?
all? none? include? key? keys values fetch merge merge! update delete add read write open close name value type
class method define_method freeze dup clone tap then sort sort_by group_by flatten compact uniq zip inject reduce
sum min max start stop run format strip chomp start_with? end_with? match match? exist? path basename dirname get
set put post index insert append prepend concat replace clear reset test hash eql? equal? == [] []= <=> + - * / << !
describe context it expect let before after subject eq
"""

LANGUAGE = TagLanguage(
    Dialect(
        name="ruby",
        family="ruby",
        grammar=("tree_sitter_ruby", "language"),
        suffixes=(".rb", ".rake", ".gemspec"),
        filenames=("Rakefile", "Gemfile"),
        query=_QUERY,
        shapes={
            "identifier": Shape("name"),
            "instance_variable": Shape("name"),
            "constant": Shape("static"),
            "scope_resolution": Shape("static"),
            "call": Shape("call", "receiver", "method"),
            "parenthesized_statements": Shape("pass"),
        },
        words={"self": "this", "super": "super"},
        commons=frozenset(_COMMON_NAMES.split()),
        test_name=re.compile(r"test_"),
        test_path=re.compile(r"(?:^|/)(?:spec|test|tests|features)/|_(?:spec|test)\.rb$"),
        read_imports=_read_imports,
        is_outward=True,
        has_free=True,
        is_dynamic=True,
        constructor="new",
        include_suffix=".rb",
        bare_kinds=frozenset({"function", "method"}),
    )
)
