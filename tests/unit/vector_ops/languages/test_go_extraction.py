"""What one Go file says: symbols, docs, signatures, imports; and what bad input does."""

import textwrap

import pytest

from services.vector_ops.languages.facts import FILE
from services.vector_ops.languages.go.builds import fits, list_builds, read_constraint, tell_constraint
from services.vector_ops.languages.go.language import LANGUAGE


def extract(source):
    return LANGUAGE.extract(".go", textwrap.dedent(source).encode())


def symbols(source):
    return {one.qualname: one for one in extract(source).symbols}


SHOP = """\
// Package shop sells.
package shop

import (
    "context"
    names "example.org/shop/names/v2"
)

// Order is what a customer wants. It has lines.
//
// More text.
type Order struct {
    Lines []Line // of it
    *names.Base
    more struct{ deep int }
}

type (
    // Pay pays.
    Pay interface {
        // Do does it.
        Do(ctx context.Context) error
    }
    Kind int
    Other = Order
)

const (
    KindA Kind = iota
    KindB
)

// whole is all.
var whole, rest = Make()

// Make makes an order,
// on two lines.
func Make() (one *Order, err error) {
    type local struct{ inner int }
    return nil, nil
}

func (o *Order) Total(rate float64) int { return 0 }
"""


def test_symbols_come_in_order_with_kinds_and_owners():
    facts = extract(SHOP)
    places = [one.line for one in facts.symbols]
    assert places == sorted(places)
    assert facts.package == "shop"
    kinds = {one.qualname: one.kind for one in facts.symbols}
    assert kinds == {
        "Order": "struct",
        "Order.Lines": "field",
        "Order.Base": "field",
        "Order.more": "field",
        "Order.more.deep": "field",
        "Pay": "interface",
        "Pay.Do": "method",
        "Kind": "type",
        "Other": "type",
        "KindA": "constant",
        "KindB": "constant",
        "whole": "variable",
        "rest": "variable",
        "Make": "function",
        "Make.local": "struct",
        "Make.local.inner": "field",
        "Order.Total": "method",
    }
    found = symbols(SHOP)
    assert facts.symbols[found["Order.Total"].owner].qualname == "Order"
    assert facts.symbols[found["Order.Lines"].owner].qualname == "Order"
    assert facts.symbols[found["Make.local"].owner].qualname == "Make"
    assert found["Make"].owner == FILE


def test_docs_are_the_first_paragraph_and_belong_to_the_symbol():
    found = symbols(SHOP)
    assert found["Order"].doc == "Order is what a customer wants. It has lines."
    assert found["Order"].start_line == 9
    assert found["Order"].line == 12
    assert found["Order"].end_line == 16
    assert found["Make"].doc == "Make makes an order, on two lines."
    assert found["whole"].doc == "whole is all."
    assert found["Pay"].doc == "Pay pays."
    assert found["Pay.Do"].doc == "Do does it."
    assert found["Kind"].doc == ""
    assert found["Order.Total"].doc == ""


def test_a_long_doc_is_cut_after_a_sentence():
    long = "Runs it. " + "Words go on " * 40
    assert symbols(f"package a\n// {long}\nfunc Run() {{}}\n")["Run"].doc == "Runs it."


def test_directives_are_no_docs():
    source = "package a\n\n// Run runs.\n//go:noinline\nfunc Run() {}\n/* Stop\n * stops. */\nfunc Stop() {}\n"
    assert symbols(source)["Run"].doc == "Run runs."
    assert symbols(source)["Stop"].doc == "Stop stops."


def test_signatures_are_one_line():
    found = symbols(SHOP)
    assert found["Make"].signature == "func Make() (one *Order, err error)"
    assert found["Order.Total"].signature == "func (o *Order) Total(rate float64) int"
    assert found["Order"].signature == "type Order struct"
    assert found["Kind"].signature == "type Kind int"
    assert found["Order.Lines"].signature == "Lines []Line"
    assert found["Pay.Do"].signature == "Do(ctx context.Context) error"
    wide = symbols("package a\nfunc Run(\n    one int,\n    two " + "x" * 300 + ",\n) {}\n")["Run"].signature
    assert wide.startswith("func Run( one int, two xxx")
    assert len(wide) == 200


def test_columns_count_characters():
    source = 'package a\nfunc run() { _ = "äöü€"; help() }\nfunc help() {}\n'
    [call] = [one for one in extract(source).references if one.name == "help"]
    assert (call.line, call.column) == (2, source.splitlines()[1].index("help") + 1)


def test_imports_keep_alias_path_and_place():
    assert [(one.local, one.module, one.name, one.line) for one in extract(SHOP).imports] == [
        ("context", "context", "", 5),
        ("names", "example.org/shop/names/v2", "", 6),
    ]


@pytest.mark.parametrize(
    ("path", "local"),
    [("gopkg.in/yaml.v3", "yaml"), ("a.b/go-redis", "redis"), ("a.b/lib/v2", "lib"), ("a.b/lib", "lib")],
)
def test_the_name_of_an_imported_package_is_guessed_from_its_path_and_uses(path, local):
    [found] = extract(f'package a\nimport "{path}"\nvar x = {local}.New()\n').imports
    assert found.local == local


@pytest.mark.parametrize(
    ("declaration", "is_test"),
    [
        ("func TestA(t *testing.T) {}", True),
        ("func Test_a(t *testing.T) {}", True),
        ("func BenchmarkA(b *testing.B) {}", True),
        ("func FuzzA(f *testing.F) {}", True),
        ("func ExampleA() {}", True),
        ("func TestMain(m *testing.M) {}", True),
        ("func Testify(t *testing.T) {}", False),
        ("func TestKit() {}", False),
        ("func testA(t *testing.T) {}", False),
        ("func ExampleA(a int) {}", False),
        ("func (s *T) TestA(t *testing.T) {}", False),
    ],
)
def test_functions_that_the_test_runner_calls_are_tests(declaration, is_test):
    source = f'package a\nimport "testing"\ntype T struct{{}}\n{declaration}\n'
    assert extract(source).symbols[-1].is_test is is_test


def test_methods_of_a_suite_are_tests():
    source = 'package a\nimport "example.org/kit/suite"\nfunc (s *Suite) TestA() {}\nfunc (s *Suite) Help() {}\n'
    assert [one.is_test for one in extract(source).symbols] == [True, False]


def test_known_outside_calls_leave_no_reference():
    source = (
        'package a\nimport "fmt"\nfunc run(s []int) { fmt.Println(len(s), string(s[0])); var e error; e.Error() }\n'
    )
    assert [one for one in extract(source).references if one.kind == "call"] == []


def test_equal_content_gives_equal_facts():
    assert extract(SHOP) == extract(SHOP)


def test_the_module_path_is_read():
    assert LANGUAGE.extract(".mod", b"// x\nmodule example.org/a // y\n\ngo 1.22\n").notes == ("example.org/a",)
    assert LANGUAGE.extract(".mod", b'module "example.org/b"\n').notes == ("example.org/b",)
    assert LANGUAGE.extract(".mod", b"nothing here").notes == ()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"package",
        b"package a\nfunc (",
        b"package a\nfunc (x) {}",
        b"package a\nfunc () Run() {}",
        b"package a\ntype\nvar\nconst\nimport\n",
        b"package a\nvar x = \nvar = 3\n",
        b"package a\ntype A struct { 3; *; b }\n",
        b"package a\nfunc run() { := 3; x, := f(); for range { } ; switch x := { case : } }\n",
        b'package a\nimport ("a\n',
        b"<<<<<<< HEAD\npackage a\n=======\npackage b\n>>>>>>> x\nfunc run() {}\n",
        "package ä\nfunc Größe() { Größe() }\n".encode(),
        b"\xef\xbb\xbfpackage a\nfunc run() {}\n",
    ],
)
def test_broken_sources_give_facts(content):
    assert LANGUAGE.extract(".go", content).language == "go"


@pytest.mark.parametrize(
    "content",
    [
        b"package a\nvar x = " + b"(" * 100_000,
        b"package a\nvar x = " + b"(" * 20_000 + b"1" + b")" * 20_000,
        b"package a\nvar x = " + b"-" * 20_000 + b"1",
        b"package a\nvar x " + b"[]" * 20_000 + b"int",
        b"package a\nvar x " + b"func() " * 5_000,
        b"package a\nfunc run() { x" + b".y()" * 5_000 + b" }",
        b"package a\nfunc run() " + b"{" * 50_000,
        b"package a\nvar x = " + b"[]T{" * 5_000,
        b"package a\ntype x " + b"struct{ a " * 5_000,
        b"package a\nvar x = func() {" * 3_000,
    ],
    ids=["open", "parens", "minus", "slices", "functions", "chain", "blocks", "literals", "structs", "packages"],
)
def test_deep_nesting_is_survived(content):
    assert LANGUAGE.extract(".go", content).package == "a"


def test_a_huge_line_is_read():
    content = b"package a\nfunc run() { " + b"help(); " * 50_000 + b"}\nfunc help() {}\n"
    assert sum(one.name == "help" for one in LANGUAGE.extract(".go", content).references) == 50_000


@pytest.mark.parametrize(
    ("constraint", "expected"),
    [
        ("linux", True),
        ("windows", False),
        ("!windows", True),
        ("linux && (amd64 || arm64)", True),
        ("(darwin || freebsd) && cgo", False),
        ("go1.21", True),
        ("!go1.21", False),
        ("unix && !netgo", True),
        ("ignore", False),
        ("", True),
        ("linux &&", True),
        ("((", True),
        ("!" * 500, True),
    ],
)
def test_build_constraints_are_evaluated(constraint, expected):
    assert fits(constraint, list_builds("")[0]) is expected


def test_the_build_of_a_file_takes_the_file():
    for constraint in ("windows", "netgo && darwin", "!linux && arm64", "ignore", "wasm && js", "a && !b"):
        assert fits(constraint, list_builds(constraint)[0]), constraint


def test_constraints_are_read_from_name_and_head():
    assert read_constraint(b"// x\n//go:build a && b\n\npackage p\n") == "a && b"
    assert read_constraint(b"// +build a,b c\n// +build d\n\npackage p\n") == "((a && b) || (c)) && ((d))"
    assert read_constraint(b"package p\n\n//go:build a\n") == ""
    assert tell_constraint("a/open_windows_arm64_test.go", "x") == "windows && arm64 && (x)"
    assert tell_constraint("linux.go", "") == ""
    assert tell_constraint("a_linux.go", "") == "linux"


@pytest.mark.parametrize(
    ("open_", "close"),
    [
        ("func() ", ""),
        ("func(a ", ")"),
        ("interface{ A() ", "}"),
        ("interface{ A(a ", ")}"),
        ("struct { a func() ", " }"),
    ],
)
def test_types_that_are_nested_absurdly_deep_are_given_up(open_, close):
    source = f"package a\nvar x {open_ * 2000}int{close * 2000}\n"
    assert "x" in [one.name for one in LANGUAGE.extract(".go", source.encode()).symbols]
