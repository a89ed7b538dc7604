"""What is read from one file, before other files are known."""

import sys

import pytest

from services.vector_ops import extract
from services.vector_ops.extract import GrammarMissingError, extract_facts


def definitions(source):
    return {one.qualname: one for one in extract_facts("m.py", source.encode()).definitions}


def references(source):
    return [(one.kind, one.name, one.target) for one in extract_facts("m.py", source.encode()).references]


def test_functions_classes_methods_constants_and_attributes_are_defined():
    found = definitions(
        "LIMIT = 3\nclass Shop(Base):\n    size: int = 1\n    def __init__(self):\n        self.name = 'x'\n"
        "    async def open(self): ...\ndef run():\n    def inner(): ...\n"
    )
    assert {name: one.kind for name, one in found.items()} == {
        "LIMIT": "constant",
        "Shop": "class",
        "Shop.size": "attribute",
        "Shop.__init__": "method",
        "Shop.name": "attribute",
        "Shop.open": "method",
        "run": "function",
        "run.inner": "function",
    }


def test_a_definition_has_its_name_s_place_its_signature_and_the_first_line_of_its_docstring():
    head = "\n\nclass A:\n    async def total(\n        self, items: list[int],\n    ) -> int:\n"
    found = definitions(head + '        r"""Sum.\n\n        More."""\n')
    total = found["A.total"]
    assert (total.line, total.column, total.end_line) == (4, 15, 9)
    assert total.signature == "async def total( self, items: list[int], ) -> int:"
    assert total.doc == "Sum."


def test_columns_count_characters_not_bytes():
    (only,) = extract_facts("m.py", "def f(): ...\nx = 'äöü', f()\n".encode()).references
    assert (only.line, only.column) == (2, 12)


def test_imports_give_the_module_the_name_and_the_local_name():
    facts = extract_facts(
        "m.py", b"import a.b\nimport c.d as e\nfrom . import f\nfrom ..g import h as i, j\nfrom k import *\n"
    )
    assert [(one.local, one.module, one.name) for one in facts.imports] == [
        ("a", "a.b", ""),
        ("e", "c.d", ""),
        ("f", ".", "f"),
        ("i", "..g", "h"),
        ("j", "..g", "j"),
        ("*", "k", "*"),
    ]


def test_a_call_through_an_alias_is_recorded_under_the_real_name():
    assert ("call", "run", "pkg:run") in references("from pkg import run as go\ngo()\n")


def test_a_parameter_hides_a_module_level_name():
    assert references("from pkg import run\ndef f(run):\n    run()\n") == []


def test_a_class_scope_is_not_seen_from_its_methods():
    assert ("call", "run", ":run") in references("def run(): ...\nclass A:\n    def run(self):\n        run()\n")


def test_receivers_are_typed_by_self_constructor_annotation_and_attribute():
    found = references(
        "from shop import Cart\nclass A:\n    def __init__(self, first: Cart):\n        self.cart = first\n"
        "    def go(self, other: 'Cart | None', more: Cart | None):\n        mine = Cart()\n        mine.pay()\n"
        "        more.pay()\n        self.cart.pay()\n        self.go()\n"
    )
    assert ("call", "pay", "shop:Cart().pay") in found
    assert found.count(("call", "pay", "shop:Cart().pay")) == 2
    assert ("call", "pay", ":A().cart.pay") in found
    assert ("call", "go", ":A().go") in found


def test_a_variable_with_two_types_has_none():
    found = references("from m import A, B\ndef f():\n    x = A()\n    x = B()\n    x.go()\n")
    assert ("call", "go", "") in found


def test_super_is_looked_up_from_the_bases():
    assert ("call", "go", ":A^.go") in references("class A(B):\n    def go(self):\n        super().go()\n")


def test_match_patterns_bind_names_and_use_classes():
    found = references("from m import A\ndef f(v):\n    match v:\n        case A(x=y):\n            y.go()\n")
    assert ("name", "A", "m:A") in found
    assert ("call", "go", "") in found


@pytest.mark.parametrize(
    "source",
    [
        b"(" * 30_000 + b"1" + b")" * 30_000,
        b"a" + b".b" * 30_000,
        b"f(" * 30_000,
        b"lambda:" * 30_000 + b"1",
        b"[" * 100_000,
        b"a = " * 30_000 + b"f()",
        b"".join(b"v%d = v%d.x()\n" % (i, i + 1) for i in range(5_000)),
        b"".join(b" " * i + b"if x:\n" for i in range(1_200)),
    ],
    ids=["parentheses", "attributes", "calls", "lambdas", "brackets", "assignments", "chained variables", "blocks"],
)
def test_deep_nesting_is_walked_without_recursion(source):
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(300)
    try:
        assert extract_facts("deep.py", source).skipped == ""
    finally:
        sys.setrecursionlimit(limit)


@pytest.mark.parametrize(
    ("content", "rule"),
    [(b"x = '\xff'", "not utf-8"), (b"a\0b", "binary"), (b"#" * 1_000_001, "oversized"), (b"#" * 1_000_000, "")],
)
def test_content_that_is_no_text_or_too_large_is_left_out_by_a_named_rule(content, rule):
    facts = extract_facts("m.py", content)
    assert facts.skipped == rule
    assert facts.definitions == ()


def test_broken_syntax_still_gives_the_rest():
    assert "good" in definitions("def bad(:\n\n\ndef good():\n    return 1\n")


def test_a_missing_grammar_is_one_loud_error(monkeypatch):
    extract.load_language.cache_clear()
    monkeypatch.setitem(sys.modules, "tree_sitter_python", None)
    with pytest.raises(GrammarMissingError, match="reinstall tree-sitter-python"):
        extract_facts("m.py", b"x = 1")
    extract.load_language.cache_clear()
