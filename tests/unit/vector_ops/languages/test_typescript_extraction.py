"""What the facts of TypeScript and JavaScript files hold, bad files included."""

import pytest

from services.vector_ops.languages.catalogue import load_language
from services.vector_ops.languages.memory import make_world
from services.vector_ops.languages.world import SourceFile

DEPTH = 100_000


def extract(text, suffix=".ts"):
    return load_language("typescript").extract(suffix, text if isinstance(text, bytes) else text.encode())


def names(text, suffix=".ts"):
    return {one.qualname: one.kind for one in extract(text, suffix).symbols}


def test_definitions_have_their_kinds():
    found = names(
        "class A { x = 1; m() {}\n get g() { return 1 }\n h = () => 1 }\ninterface I { p: string; q(): void }\n"
        "type T = { a: string }\nenum E { One }\nconst c = 1\nlet v = 2\nfunction f() {}\n"
        "const g = () => 1\nnamespace N {}"
    )
    assert found == {
        "A": "class", "A.x": "attribute", "A.m": "method", "A.g": "attribute", "A.h": "method", "I": "interface",
        "I.p": "attribute", "I.q": "method", "T": "type", "T.a": "attribute", "E": "enum", "E.One": "variant",
        "c": "constant", "v": "variable", "f": "function", "g": "function", "N": "module",
    }  # fmt: skip


def test_nested_functions_belong_to_the_one_around():
    found = extract("function outer() { function inner() {} }").symbols
    assert [(one.qualname, one.owner) for one in found] == [("outer", -1), ("outer.inner", 0)]


def test_functions_of_a_callback_are_not_at_the_top():
    assert "f" not in names("run(() => { function f() {} })")


def test_doc_comment_and_signature_are_one_line_each():
    one = extract(
        "/**\n * Adds two numbers. Fast.\n *\n * @param a first\n */\nexport function add(\n"
        "  a: number\n): number { return a }"
    ).symbols[0]
    assert one.doc == "Adds two numbers. Fast."
    assert one.signature == "export function add( a: number ): number"
    assert (one.start_line, one.line, one.end_line) == (1, 6, 8)


def test_decorators_belong_to_the_class():
    one = extract("@dec()\nexport class A {}").symbols[0]
    assert (one.start_line, one.line) == (1, 2)


def test_tests_are_symbols_with_their_titles():
    found = extract(
        "describe('x', () => { it('adds. two', () => { f() })\n test.each([1])('each', () => {}) })"
    ).symbols
    assert [(one.name, one.is_test) for one in found] == [("adds two", True), ("each", True)]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("src/a.test.ts", True),
        ("src/__tests__/a.js", True),
        ("a.spec.tsx", True),
        ("test/a.mjs", True),
        ("types/a.test-d.ts", True),
        ("src/latest.ts", False),
        ("src/contest/a.ts", False),
    ],
)
def test_test_files_are_known_by_their_path(path, expected):
    assert load_language("typescript").is_test(path) is expected


def test_columns_count_characters():
    reference = next(one for one in extract('const x = "äöü€𝄞"; f(); function f() {}').references if one.name == "f")
    assert reference.column == 20


def test_globals_and_literals_leave_no_reference():
    assert extract("console.log('a'.trim(), Math.max(1))\nsetTimeout(() => {}, 1)").references == ()


def test_jsx_is_read_in_js():
    assert [one.name for one in extract("function A() { return <B/> }\nfunction B() {}", ".js").references] == ["B"]


def test_equal_contents_have_equal_facts():
    text = "import { a } from './b'\nexport class C extends a.D { m(x: C) { x.m(); return () => this.m() } }"
    assert extract(text) == extract(text)


def test_facts_do_not_depend_on_a_name_of_a_file():
    assert extract('{"name": "x", "exports": {".": "./a.js"}}', ".json").notes == ("name=x", "export=.=./a.js")


def test_configuration_that_is_not_json_has_no_notes():
    assert extract("{ nonsense", ".json").notes == ()
    assert extract("[1]", ".json").notes == ()
    assert extract(b"[" * DEPTH, ".json").notes == ()


def test_definitions_around_bad_syntax_are_kept():
    found = names("function good() {}\nclass {{{ ]]\nfunction alsoGood() {}\n")
    assert "good" in found


@pytest.mark.parametrize("suffix", [".ts", ".tsx", ".js"])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"(" * DEPTH,
        b"[" * 2_500 + b"]" * 2_500,
        b"x = {a:" * 10_000,
        b"f(" * DEPTH,
        b"a" + b".b()" * 4_000,
        b"a || " * 4_000 + b"1",
        b"a ? b : " * 1_000 + b"1",
        b"type A = " + b"A | " * 4_000 + b"B",
        b"let x: " + b"A<" * 2_500,
        b"new " * 3_000 + b"A",
        b"`${" * 2_000,
        b"a = " * 3_000 + b"1",
        b"x = 1;" * 5_000,
        b"\xef\xbb\xbfexport const a = 1",
        b"#!/usr/bin/env node\nf()",
        b"class",
        b"export",
        b"import",
        b"const {",
        b"const { a: { b: [c, , ...d] }, ...e } = f()",
        b"export { a as 'b c' } from 'x'",
        b"import 'x",
        b"@",
        b"enum E { A = , B",
        b"<>x",
    ],
    ids=range(27),
)
def test_bad_content_never_raises(suffix, content):
    language = load_language("typescript")
    facts = language.extract(suffix, content)
    path = f"a{suffix}"
    assert isinstance(language.resolve(SourceFile(path, path, facts), make_world({path: facts}, language)), list)


def test_content_nested_too_deep_says_so():
    assert extract(b"(" * DEPTH).skipped == "nested too deep"
