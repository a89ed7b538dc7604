"""What extraction says of one content of Rust: symbols, imports, manifests, and content that is no Rust at all."""

import pytest

from services.vector_ops.languages.catalogue import language_name, load_language
from services.vector_ops.languages.facts import FILE, FileFacts
from services.vector_ops.languages.memory import make_world
from services.vector_ops.languages.rust.language import LANGUAGE
from services.vector_ops.languages.world import SourceFile

SOURCE = """
/// Holds what was found. It is cheap
/// to copy.
///
/// # Examples
#[derive(Clone)]
pub struct Found<T> {
    /// How often.
    pub count: usize,
    inner: Vec<T>,
}

pub enum Kind { Plain, Sized(u64, Found<u8>), Named { at: usize } }

pub trait Finder: Send + Base {
    const LIMIT: usize = 3;
    fn find(&self, text: &str) -> Option<Found<Self>>;
}

impl<T> Finder for Found<T> {
    fn find(&self, text: &str) -> Option<Found<Self>> { None }
}

type Answer<T> = Result<T, Kind>;
static TABLE: &[u8] = b"x";
macro_rules! twice { ($a:expr) => { $a; $a } }

mod inner {
    pub fn go() { fn deep() {} }
    #[cfg(test)]
    mod tests {
        #[test]
        fn works() {}
        #[tokio::test]
        async fn waits() {}
        fn aid() {}
    }
}
"""


def extract(text):
    return LANGUAGE.extract(".rs", text.encode() if isinstance(text, str) else text)


def find(qualname, text=SOURCE):
    return next(one for one in extract(text).symbols if one.qualname == qualname)


def test_kinds_and_qualified_names():
    assert [(one.qualname, one.kind) for one in extract(SOURCE).symbols] == [
        ("Found", "struct"),
        ("Found.count", "field"),
        ("Found.inner", "field"),
        ("Kind", "enum"),
        ("Kind.Plain", "variant"),
        ("Kind.Sized", "variant"),
        ("Kind.Named", "variant"),
        ("Kind.Named.at", "field"),
        ("Finder", "trait"),
        ("Finder.LIMIT", "constant"),
        ("Finder.find", "method"),
        ("Found.find", "method"),
        ("Answer", "type"),
        ("TABLE", "variable"),
        ("twice", "macro"),
        ("inner", "module"),
        ("inner.go", "function"),
        ("inner.go.deep", "function"),
        ("inner.tests", "module"),
        ("inner.tests.works", "function"),
        ("inner.tests.waits", "function"),
        ("inner.tests.aid", "function"),
    ]


def test_definition_begins_with_its_comments_and_attributes():
    found = find("Found")
    assert (found.start_line, found.line, found.column, found.end_line) == (2, 7, 12, 11)


def test_doc_is_the_first_paragraph_and_signature_one_line():
    found = find("Found")
    assert found.doc == "Holds what was found. It is cheap to copy."
    assert found.signature == "pub struct Found<T>"
    assert find("Finder.find").signature == "fn find(&self, text: &str) -> Option<Found<Self>>"


def test_long_doc_and_signature_are_cut():
    text = "/// " + "Many words. " * 60 + "\npub fn f(" + "a: usize, " * 60 + ") {}"
    found = find("f", text)
    assert len(found.doc) <= 300
    assert found.doc.endswith("words.")
    assert len(found.signature) <= 200


def test_members_are_owned_by_their_type_wherever_the_impl_block_stands():
    facts = extract("impl A { fn x() {} }\nstruct A;\nimpl Foreign { fn y() {} }")
    owners = {one.qualname: one.owner for one in facts.symbols}
    assert facts.symbols[owners["A.x"]].qualname == "A"
    assert owners["Foreign.y"] == FILE


def test_what_a_type_implements_and_a_trait_extends_are_bases():
    assert find("Found").bases == ("Finder",)
    assert find("Finder").bases == ("Send", "Base")
    assert find("Found.find").bases == ("Finder",)


def test_only_what_a_runner_calls_is_a_test():
    tests = [one.name for one in extract(SOURCE).symbols if one.is_test]
    assert tests == ["works", "waits"]


def test_paths_of_tests_by_custom():
    assert LANGUAGE.is_test("tests/it.rs")
    assert LANGUAGE.is_test("src/a/tests.rs")
    assert not LANGUAGE.is_test("src/latest.rs")


def test_use_trees_are_flattened():
    imports = extract("pub use a::{b::{self, c as d}, e::*, f};\nmod m { use super::x; }").imports
    assert [(one.local, one.module, one.name, one.is_export) for one in imports] == [
        ("b", "a", "b", True),
        ("d", "a::b", "c", True),
        ("*", "a::e", "*", True),
        ("f", "a", "f", True),
        ("m.x", "super", "x", False),
    ]


def test_use_inside_a_function_belongs_to_it():
    facts = extract("fn f() { use a::b; }")
    assert [(one.local, one.scope) for one in facts.imports] == [("f.b", 0)]


def test_columns_count_characters():
    facts = extract('fn f() { "жж"; go("ж", x.wait()); odd!("ж", far()) }')
    assert [(one.name, one.column) for one in facts.references if one.target != "!"] == [
        ("go", 16),
        ("wait", 26),
        ("far", 45),
    ]


def test_definitions_inside_the_braces_of_a_macro_are_definitions():
    facts = extract("cfg_net! { pub mod net; pub fn open() {} }")
    assert [(one.qualname, one.kind) for one in facts.symbols] == [("net", "module"), ("open", "function")]


def test_manifest_names_its_crate_and_its_library():
    text = '[package]\nname = "fd-find"\n[lib]\npath = "lib/x.rs"\n[dependencies]\nre = { package = "regex-lite" }\n'
    facts = LANGUAGE.extract(".toml", text.encode())
    assert (facts.package, facts.notes) == ("fd_find", ("lib=lib/x.rs", "dep:re=regex_lite"))
    assert LANGUAGE.tails_of("Cargo.toml", facts) == ("crate:fd_find",)


@pytest.mark.parametrize("text", ["", "[package", "a = [[[[", "[package]\nname = 3\n", "lib = 1\n[[bin]]\npath = 2\n"])
def test_manifest_that_cannot_be_read_says_nothing(text):
    assert LANGUAGE.extract(".toml", text.encode()) == FileFacts("rust")


def test_catalogue_knows_the_files():
    assert [language_name(one) for one in ("a/b.rs", "Cargo.toml", "other.toml")] == ["rust", "rust", ""]
    assert load_language("rust") is LANGUAGE


def test_facts_are_equal_for_equal_content():
    assert extract(SOURCE) == extract(SOURCE)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"fn",
        b"impl for {{ fn (( <<< struct ;; use ::{*} mod",
        b'fn f() { "' + b"(" * 100,
        b"(" * 100_000,
        b"fn f() " + b"{" * 100_000,
        b"fn f() { " + b"!" * 100_000 + b"x }",
        b"fn f() { x" + b".a()" * 100_000 + b"; }",
        b"fn f() { x" + b".a" * 100_000 + b".b(); }",
        b"fn f() { " + b"|x| " * 50_000 + b"x }",
        b"fn f() { " + b"a.map(|x| " * 1_900 + b"x" + b")" * 1_900 + b" }",
        b"fn f() { " + b"m!(" * 1_900 + b")" * 1_900 + b" }",
        b"type A = " + b"Vec<" * 50_000,
        b"use " + b"a::" * 50_000 + b"b;",
        b"fn f() { " + b"a.b(c::d(e)); " * 5_000 + b"}",
        b"fn f() { let x = a; " + b"let x = x.b(); " * 5_000 + b"}",
        b"mod a { " * 900 + b"fn f() { super::g() }" + b"}" * 900,
    ],
    ids=range(18),
)
def test_any_content_is_read_without_an_error(content):
    facts = extract(content)
    assert facts.language == "rust"
    LANGUAGE.resolve(SourceFile("a.rs", "a.rs", facts), make_world({"a.rs": facts}, LANGUAGE))


def test_absurdly_deep_content_is_left_out_by_a_stated_rule():
    assert extract(b"(" * 100_000) == FileFacts("rust", skipped="nested too deeply")


def test_code_around_an_error_is_still_read():
    assert [one.name for one in extract("fn a() {}\n??? )( \nfn b() { c() }").symbols] == ["a", "b"]
