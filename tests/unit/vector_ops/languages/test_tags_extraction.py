"""What Java, C, C++, C#, Ruby and PHP sources say: symbols, docs, tests, imports; and sources that are no sources."""

import pytest

from services.vector_ops.languages.catalogue import load_language
from services.vector_ops.languages.facts import FileFacts, Symbol

NAMES = ("java", "c", "cpp", "csharp", "ruby", "php")


def read(name: str, source: str) -> FileFacts:
    return load_language(name).extract("", source.encode())


def symbol(facts: FileFacts, qualname: str) -> Symbol:
    return next(one for one in facts.symbols if one.qualname == qualname)


def list_kinds(facts: FileFacts) -> dict[str, str]:
    return {one.qualname: one.kind for one in facts.symbols}


def test_java_class_has_methods_fields_and_constants_inside() -> None:
    facts = read(
        "java", "package a.b;\nclass Box<T> extends Base implements I, J {\n  int size;\n  void put(T t) {}\n}\n"
    )
    assert list_kinds(facts) == {"Box": "class", "Box.size": "field", "Box.put": "method"}
    assert facts.package == "a.b"
    assert symbol(facts, "Box").bases == ("Base", "I", "J")


def test_java_doc_and_annotations_belong_to_the_method() -> None:
    facts = read(
        "java",
        "class A {\n  /**\n   * Adds one.\n   * @param x n\n   */\n  @Override\n  int add(int x) { return x; }\n}",
    )
    one = symbol(facts, "A.add")
    assert (one.doc, one.start_line, one.line, one.end_line) == ("Adds one.", 2, 7, 7)
    assert one.signature == "int add(int x)"


def test_java_method_with_junit_annotation_is_a_test() -> None:
    facts = read("java", "class A {\n  @Test void runs() {}\n  @ParameterizedTest void many() {}\n  void plain() {}\n}")
    assert [one.name for one in facts.symbols if one.is_test] == ["runs", "many"]


def test_java_columns_count_characters() -> None:
    facts = read("java", 'class A { String s = "é"; void go() {} }')
    assert symbol(facts, "A.go").column == 32


def test_c_function_behind_pointers_and_prototype_are_told_apart() -> None:
    facts = read("c", "char **split(int n);\nchar **split(int n) { return 0; }\n#define TWICE(a) ((a) * 2)\n")
    assert [(one.name, one.kind) for one in facts.symbols] == [
        ("split", "declaration"),
        ("split", "function"),
        ("TWICE", "macro"),
    ]


def test_c_locals_are_no_symbols() -> None:
    facts = read("c", "int total;\nint f(int a) { int b = a; return b; }\n")
    assert list_kinds(facts) == {"total": "variable", "f": "function"}


def test_c_struct_enum_and_typedef_are_types() -> None:
    facts = read("c", "struct node { int v; };\nenum color { RED };\ntypedef struct { int x; } point;\n")
    kinds = list_kinds(facts)
    assert (kinds["node"], kinds["color"], kinds["color.RED"], kinds["point"]) == (
        "struct",
        "enum",
        "variant",
        "struct",
    )


def test_cpp_method_defined_out_of_line_is_named_by_its_class() -> None:
    facts = read("cpp", "namespace ns {\nclass A { void go(); };\nvoid A::go() {}\n}\n")
    assert [(one.qualname, one.kind) for one in facts.symbols if one.name == "go"] == [
        ("ns.A.go", "declaration"),
        ("ns.A.go", "method"),
    ]


def test_cpp_case_of_googletest_is_a_test_named_by_its_arguments() -> None:
    one = symbol(read("cpp", "TEST(Parser, ReadsNumbers) { run(); }\n"), "Parser.ReadsNumbers")
    assert one.is_test


def test_cpp_macros_alone_on_a_line_do_not_hide_what_follows() -> None:
    facts = read("cpp", "FOO_BEGIN_NAMESPACE\nnamespace ns {\nclass FOO_API A : public B { int x; };\n}\n")
    assert list_kinds(facts) == {"ns": "namespace", "ns.A": "class", "ns.A.x": "field"}


def test_cpp_last_enumerator_in_capitals_is_kept() -> None:
    assert "E.LAST_VALUE" in list_kinds(read("cpp", "enum E {\n  FIRST_VALUE,\n  LAST_VALUE\n};\n"))


def test_cpp_template_begins_with_its_parameters_and_comment() -> None:
    one = symbol(read("cpp", "// Twice.\ntemplate <class T>\nT twice(T x) { return x + x; }\n"), "twice")
    assert (one.start_line, one.doc) == (1, "Twice.")


def test_csharp_namespace_without_braces_holds_the_rest_of_the_file() -> None:
    facts = read("csharp", "namespace A.B;\nclass C { public int P { get; set; } void M(int x = 1) {} }\n")
    assert list_kinds(facts) == {"A.B": "namespace", "A.B.C": "class", "A.B.C.P": "attribute", "A.B.C.M": "method"}


def test_csharp_attributes_mark_tests() -> None:
    facts = read("csharp", "class T {\n [Fact] void A() {}\n [Test, Category(1)] void B() {}\n [Pure] void C() {}\n}")
    assert [one.name for one in facts.symbols if one.is_test] == ["A", "B"]


def test_ruby_modules_nest_and_singletons_are_methods() -> None:
    source = (
        "module A\n  class B < C::D\n    include E\n"
        "    attr_reader :size\n    X = 1\n    def self.make; end\n  end\nend\n"
    )
    facts = read("ruby", source)
    assert list_kinds(facts) == {
        "A": "module",
        "A.B": "class",
        "A.B.size": "field",
        "A.B.X": "constant",
        "A.B.make": "method",
    }
    assert symbol(facts, "A.B").bases == ("C.D", "E")


def test_ruby_methods_after_private_say_so() -> None:
    facts = read("ruby", "class A\n  def open; end\n  private\n  # Hides.\n  def shut; end\nend\n")
    assert symbol(facts, "A.open").signature == "def open"
    assert symbol(facts, "A.shut").signature == "private def shut"
    assert symbol(facts, "A.shut").doc == "Hides."


def test_php_promoted_parameter_is_a_field_of_the_class() -> None:
    facts = read("php", "<?php namespace A\\B; class C { function __construct(private Foo $foo) {} }")
    kinds = list_kinds(facts)
    assert (kinds["A.B.C.foo"], kinds["A.B.C.__construct"]) == ("field", "method")


def test_php_grouped_uses_are_single_imports() -> None:
    facts = read("php", "<?php use A\\{B, C as D};\nuse function x\\y;\n")
    assert [(one.local, one.module, one.name) for one in facts.imports] == [
        ("B", "A", "B"),
        ("D", "A", "C"),
        ("y", "x", "y"),
    ]


def test_php_test_methods_are_told_by_name_or_attribute() -> None:
    facts = read("php", "<?php class ATest { function testOne() {} #[Test] function two() {} function helper() {} }")
    assert [one.name for one in facts.symbols if one.is_test] == ["testOne", "two"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "source",
    ["", "\n", "}}}}", '"', "/*", "class", "<?php", "class A { " * 300, "f(" * 3000 + ")" * 3000, "#if X\n" * 200],
)
def test_broken_source_gives_facts_all_the_same(name: str, source: str) -> None:
    facts = read(name, source)
    assert facts.language == name
    assert all(one.owner < at for at, one in enumerate(facts.symbols))


def test_nesting_beyond_the_cap_is_left_out_and_the_rest_is_kept() -> None:
    deep = "int a() { return " + "f(" * 40_000 + "1" + ")" * 40_000 + "; }\nint b() { return 1; }\n"
    facts = read("c", deep)
    assert [one.name for one in facts.symbols] == ["a", "b"]
    assert 0 < len(facts.references) < 2_000
