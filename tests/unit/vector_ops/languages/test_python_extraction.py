"""What is read from one Python file alone."""

import sys

import pytest

from services.vector_ops.languages.facts import FILE, FileFacts
from services.vector_ops.languages.python.language import LANGUAGE


def extract(source):
    return LANGUAGE.extract(".py", source.encode())


def symbols(source):
    return {one.qualname: one for one in extract(source).symbols}


def references(source):
    return [(one.kind, one.name, one.target) for one in extract(source).references]


def targets(source, kind="call"):
    return [one.target for one in extract(source).references if one.kind == kind]


def test_functions_classes_methods_constants_and_attributes_are_defined():
    found = symbols(
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


def test_a_definition_has_its_name_s_place_its_signature_its_doc_and_its_owner():
    head = "\n\nclass A:\n    @cache\n    async def total(\n        self, items: list[int],\n    ) -> int:\n"
    facts = extract(head + '        r"""Sum\n        all.\n\n        More."""\n')
    total = facts.symbols[1]
    assert (total.line, total.column, total.start_line, total.end_line) == (5, 15, 4, 11)
    assert total.signature == "async def total( self, items: list[int], ) -> int:"
    assert total.doc == "Sum all."
    assert facts.symbols[total.owner].name == "A"


def test_columns_count_characters_not_bytes():
    facts = extract("class ä:\n    def f(self): ...\nx = 'äöü', ä(), ä.f()\n")
    assert [(one.name, one.line, one.column) for one in facts.references if one.kind == "call"] == [
        ("ä", 3, 12),
        ("f", 3, 19),
    ]


def test_imports_give_the_module_the_name_the_local_name_and_the_scope():
    facts = extract(
        "import a.b\nimport c.d as e\nfrom . import f\nfrom ..g import h as i, j\nfrom k import *\n"
        "def run():\n    import m\n"
    )
    assert [(one.local, one.module, one.name, one.scope, one.is_export) for one in facts.imports] == [
        ("a", "a.b", "", FILE, True),
        ("e", "c.d", "", FILE, True),
        ("f", ".", "f", FILE, True),
        ("i", "..g", "h", FILE, True),
        ("j", "..g", "j", FILE, True),
        ("*", "k", "*", FILE, True),
        ("m", "m", "", 0, False),
    ]


def test_a_call_through_an_alias_is_recorded_under_the_real_name():
    assert ("call", "run", "pkg:run") in references("from pkg import run as go\ngo()\n")


def test_a_parameter_hides_a_module_level_name():
    assert references("from pkg import run\ndef f(run):\n    run()\n") == []


def test_a_class_scope_is_not_seen_from_its_methods():
    assert targets("def run(): ...\nclass A:\n    def run(self):\n        run()\n") == [":run"]


def test_receivers_are_typed_by_self_constructor_annotation_and_attribute():
    found = targets(
        "from shop import Cart\nclass A:\n    def __init__(self, first: Cart):\n        self.cart = first\n"
        "    def go(self, other: 'Cart | None', more: Cart | None):\n        mine = Cart()\n        mine.pay()\n"
        "        more.pay()\n        other.pay()\n        self.cart.pay()\n        self.go()\n"
    )
    assert found == ["shop:Cart", *["shop:Cart().pay"] * 3, ":A().cart.pay", ":A().go"]


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        ("A", ":A()"),
        ("'A'", ":A()"),
        ("Optional[A]", ":A()"),
        ("A | None", ":A()"),
        ("Union[A, B]", ":A()|:B()"),
        ("list[A]", ":A()#"),
        ("dict[str, A]", ":A()#"),
        ("type[A]", ":A"),
        ("Callable[[int], A]", ":A()~"),
        ("Annotated[A, 1]", ":A()"),
        ("int", "!"),
        ("Literal['A']", "!"),
        ("Any", ""),
    ],
)
def test_an_annotation_says_what_a_function_returns(annotation, value):
    assert symbols(f"class A: ...\nclass B: ...\ndef f() -> {annotation}: ...\n")["f"].type == value


def test_what_a_function_returns_is_read_off_its_body_when_it_does_not_say():
    found = symbols("class A: ...\ndef f(): return A()\ndef g(): yield A()\nclass B:\n    def me(self): return self\n")
    assert (found["f"].type, found["g"].type, found["B.me"].type) == (":A()", ":A()#", "@")


def test_the_last_assignment_before_a_call_counts_and_branches_unite():
    head = "from m import A, B\ndef f(c):\n"
    assert targets(head + "    x = A()\n    x = B()\n    x.go()\n")[-1] == "m:B().go"
    assert targets(head + "    x = A()\n    if c:\n        x = B()\n    x.go()\n")[-1] == "m:A().go|m:B().go"


def test_a_value_of_a_builtin_type_is_no_reference():
    assert targets("x = []\nx.append(1)\n'a'.join(x)\nlen(x)\nopen('f').read()\n", "call") == []


def test_a_call_on_something_unknown_keeps_the_name_of_the_receiver():
    assert targets("def f(client):\n    client.go()\n    client.last.go()\n") == ["?client", "?.last"]


def test_super_is_looked_up_from_the_bases():
    assert ":A^.go" in targets("class A(B):\n    def go(self):\n        super().go()\n")


def test_arguments_flow_into_parameters_that_are_called():
    source = "def a(): ...\ndef run(f, g=None):\n    f()\n    g()\nrun(a, g=lambda: 1)\n"
    facts = extract(source)
    found = {(one.line, one.target) for one in facts.references if one.kind == "call"}
    assert {(3, ":a"), (4, ":<lambda1>")} <= found
    assert facts.symbols[-1].name == "<lambda1>"


def test_literal_collections_give_the_item_of_a_known_key():
    head = "def a(): ...\ndef b(): ...\nd = {'x': a, 'y': b}\nl = [a, b]\n"
    assert targets(head + "d['x']()\nl[1]()\n") == [":a", ":b"]
    assert targets(head + "def f(k):\n    d[k]()\n") == [":a|:b"]
    assert targets(head + "d['x'] = b\nd['x']()\n") == [":b"]


def test_unpacking_follows_each_part():
    assert targets("def a(): ...\ndef b(): ...\nx, (y, *z) = a, (b, a)\nx()\ny()\nz[0]()\n") == [":a", ":b", ":a"]


def test_decorators_bases_annotations_and_passed_names_are_references():
    found = references(
        "from m import A, deco, go\n@deco\ndef f(x: A, y: 'A'): ...\nclass B(A): ...\nrun(go)\nz = [A]\n"
    )
    assert {("decorate", "deco", "m:deco"), ("annotate", "A", "m:A"), ("inherit", "A", "m:A")} <= set(found)
    assert found.count(("annotate", "A", "m:A")) == 2
    assert {("use", "go", "m:go"), ("use", "A", "m:A")} <= set(found)


def test_match_patterns_bind_names_and_use_classes():
    found = references("from m import A\ndef f(v):\n    match v:\n        case A(x=y):\n            y.go()\n")
    assert ("use", "A", "m:A") in found
    assert ("call", "go", "?y") in found


def test_tests_are_marked_by_what_a_runner_would_collect():
    found = symbols(
        "def test_a(): ...\ndef helper(): ...\nclass TestB:\n    def test_b(self): ...\n    def make(self): ...\n"
        "class C(TestCase):\n    def test_c(self): ...\nclass D:\n    def test_d(self): ...\n"
    )
    assert {name for name, one in found.items() if one.is_test} == {"test_a", "TestB.test_b", "C.test_c"}


def test_broken_syntax_still_gives_the_rest():
    assert "good" in symbols("def bad(:\n\n\ndef good():\n    return 1\n")


def test_facts_are_equal_for_equal_content():
    source = "from m import A\nclass B(A):\n    def go(self, x: A):\n        x.run(self.go, lambda: B())\n"
    assert extract(source) == extract(source)


def test_nothing_is_found_in_nothing():
    assert extract("") == FileFacts("python")


@pytest.mark.parametrize(
    "source",
    [
        b"(" * 100_000,
        b"(" * 30_000 + b"1" + b")" * 30_000,
        b"a" + b".b" * 30_000,
        b"f(" * 30_000 + b")" * 30_000,
        b"lambda:" * 30_000 + b"1",
        b"a = " * 30_000 + b"f()",
        b"f()" + b".g()" * 10_000,
        b"a+" * 30_000 + b"1",
        b"".join(b"v%d = v%d.x()\n" % (i, i + 1) for i in range(2_000)),
        b"".join(b" " * i + b"if x:\n" for i in range(800)),
        b"for i in j:\n i()\n" * 2_000,
        b"x = '" + b"a" * 900_000 + b"'",
    ],
    ids="open closed attributes calls lambdas assignments chain sums names blocks loops line".split(),  # noqa: SIM905
)
def test_deep_and_long_sources_are_read_without_recursion(source):
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(600)
    try:
        assert LANGUAGE.extract(".py", source).skipped == ""
    finally:
        sys.setrecursionlimit(limit)


def test_items_set_from_each_other_end():
    lines = [f"rv[{n}], rv[{n + 1}], rv[{n + 2}] = rv[{n + 2}], rv[{n}], rv[{n + 1}]\n" for n in range(60)]
    facts = LANGUAGE.extract(".py", ("rv = list(range(99))\n" + "".join(lines)).encode())
    assert facts.symbols[0].name == "rv"


def test_decorators_of_any_expression_are_read():
    source = (
        b"import b\n\n@b.plain\ndef f(): ...\n\n@b[0]\n@(x := b)\n@b.named()\ndef g(): ...\n\n@b[1]\nclass C: ...\n"
    )
    facts = LANGUAGE.extract(".py", source)
    assert [symbol.name for symbol in facts.symbols if symbol.kind in {"function", "class"}] == ["f", "g", "C"]
    decorating = {(one.name, facts.symbols[one.scope].name if one.scope >= 0 else "") for one in facts.references}
    assert {name for name, _scope in decorating} >= {"plain", "named"}
