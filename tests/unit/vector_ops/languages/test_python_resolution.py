"""Where Python references lead once all files are known."""

from services.vector_ops.languages.memory import make_world
from services.vector_ops.languages.python.language import LANGUAGE
from services.vector_ops.languages.world import EdgeKind, SourceFile, Tier


def edges(files, kinds=(EdgeKind.CALL,)):
    """Return `path:line -> target path.qualname tier` of the edges of these kinds."""
    facts = {path: LANGUAGE.extract(".py", source.encode()) for path, source in files.items()}
    world = make_world(facts, LANGUAGE)
    found = []
    for path, one in facts.items():
        for edge in LANGUAGE.resolve(SourceFile(path, path, one), world):
            if edge.kind in kinds:
                at = edge.target_at
                name = facts[edge.target_path].symbols[at].qualname if at >= 0 else ""
                found.append(f"{path}:{edge.line} -> {edge.target_path}:{name} {edge.tier.name.lower()}")
    return found


SHOP = {
    "shop/__init__.py": "from .pricing import total as price\nfrom shop.cart import Cart\n",
    "shop/pricing.py": "def total(items):\n    return sum(items)\n\n\ndef twice(items):\n    return total(items)\n",
    "shop/cart.py": (
        "from shop import pricing as p\n\n\nclass Base:\n    def pay(self):\n        return 1\n\n\n"
        "class Cart(Base):\n    def __init__(self):\n        self.items = []\n\n    def sum(self):\n"
        "        return p.total(self.items) + self.pay()\n\n    @classmethod\n    def make(cls) -> 'Cart':\n"
        "        return cls()\n"
    ),
    "shop/report.py": (
        "import shop.pricing\nfrom shop import Cart, price\n\n\ndef report(cart: Cart, other):\n    cart.sum()\n"
        "    other.make()\n    Cart.make().sum()\n    return price([1]) + shop.pricing.total([2])\n"
    ),
    "tests/test_pricing.py": "from shop.pricing import total\n\n\ndef test_total():\n    assert total([1]) == 1\n",
}


def test_calls_are_followed_through_imports_aliases_types_and_bases():
    assert edges(SHOP) == [
        "shop/pricing.py:6 -> shop/pricing.py:total exact",
        "shop/cart.py:14 -> shop/pricing.py:total exact",
        "shop/cart.py:14 -> shop/cart.py:Base.pay typed",
        "shop/cart.py:18 -> shop/cart.py:Cart exact",
        "shop/report.py:6 -> shop/cart.py:Cart.sum typed",
        "shop/report.py:7 -> shop/cart.py:Cart.make unique_name",
        "shop/report.py:8 -> shop/cart.py:Cart.make exact",
        "shop/report.py:8 -> shop/cart.py:Cart.sum typed",
        "shop/report.py:9 -> shop/pricing.py:total exact",
        "shop/report.py:9 -> shop/pricing.py:total exact",
        "tests/test_pricing.py:5 -> shop/pricing.py:total exact",
    ]


def test_imports_and_bases_are_edges_of_their_own():
    assert edges({path: SHOP[path] for path in list(SHOP)[:3]}, (EdgeKind.IMPORT, EdgeKind.INHERIT)) == [
        "shop/__init__.py:1 -> shop/pricing.py:total exact",
        "shop/__init__.py:2 -> shop/cart.py:Cart exact",
        "shop/cart.py:1 -> shop/pricing.py: exact",
        "shop/cart.py:9 -> shop/cart.py:Base exact",
    ]


def test_a_name_from_the_standard_library_is_not_taken_for_ours():
    files = {
        "pkg/__init__.py": "",
        "pkg/json.py": "def dumps(x): ...\n",
        "pkg/a.py": "import json\njson.dumps(1)\nfrom email.mime import text\ntext.go()\n",
        "pkg/b.py": "from . import json\njson.dumps(1)\n",
        "email/mime/text.py": "",
        "other/text.py": "def go(): ...\n",
    }
    assert edges(files) == ["pkg/b.py:2 -> pkg/json.py:dumps exact"]


def test_star_imports_relative_imports_and_src_layout_are_followed():
    files = {
        "src/lib/__init__.py": "from .core import *\n",
        "src/lib/core.py": "def run(): ...\n",
        "src/lib/sub/__init__.py": "",
        "src/lib/sub/deep.py": "from ..core import run\nrun()\n",
        "main.py": "import lib\nlib.run()\n",
        "other.py": "from lib import *\nrun()\n",
    }
    assert edges(files) == [
        "src/lib/sub/deep.py:2 -> src/lib/core.py:run exact",
        "main.py:2 -> src/lib/core.py:run exact",
        "other.py:2 -> src/lib/core.py:run exact",
    ]


def test_a_folder_without_init_is_a_package_and_a_script_finds_its_neighbour():
    files = {
        "ns/inner/mod.py": "def run(): ...\n",
        "use.py": "import ns.inner.mod\nfrom ns.inner import mod\nns.inner.mod.run()\nmod.run()\n",
        "tools/a.py": "from b import go\ngo()\n",
        "tools/b.py": "def go(): ...\n",
    }
    assert edges(files) == [
        "use.py:3 -> ns/inner/mod.py:run exact",
        "use.py:4 -> ns/inner/mod.py:run exact",
        "tools/a.py:2 -> tools/b.py:go exact",
    ]


def test_imports_bases_and_values_that_go_in_circles_end():
    files = {
        "a.py": "from b import x\nx()\n",
        "b.py": "from a import x\n",
        "c.py": "y = y\nclass A(A):\n    me = me\n    @property\n    def p(self): return self.p\n    def go(self):\n"
        "        self.p.go()\n        self.me()\n        y()\ndef f(): return f()\nf().go()\n",
        "d.py": "from c import *\nfrom d import *\nclass B(C): ...\nclass C(B): ...\nB().go()\n",
    }
    assert "a.py:2" not in str(edges(files))


def test_the_order_of_bases_is_python_s():
    source = (
        "class A:\n    def go(self): ...\nclass B(A): ...\nclass C(A):\n    def go(self): ...\n"
        "class D(B, C):\n    def run(self):\n        super().go()\nD().go()\n"
    )
    assert edges({"a.py": source})[0] == "a.py:8 -> a.py:C.go typed"
    assert edges({"a.py": source})[-1] == "a.py:9 -> a.py:C.go typed"


def test_a_method_that_a_base_elsewhere_may_have_is_not_guessed():
    files = {
        "a.py": "from unittest import TestCase\nclass T(TestCase):\n    def test(self):\n        self.check()\n",
        "b.py": "class B:\n    def check(self): ...\n",
    }
    assert edges(files) == []


def test_types_pass_through_returns_attributes_properties_containers_and_contexts():
    files = {
        "m.py": "class A:\n    def go(self): ...\n    def __enter__(self): return self\n",
        "n.py": (
            "from m import A\nclass B:\n    def __init__(self):\n        self.a = A()\n    @property\n"
            "    def b(self) -> A: ...\n    def c(self): return self.a\n    def d(self) -> list[A]: ...\n"
        ),
        "use.py": (
            "from n import A, B\nb = B()\nb.a.go()\nb.b.go()\nb.c().go()\nfor x in b.d():\n    x.go()\n"
            "with A() as y:\n    y.go()\n[z.go() for z in b.d()]\n"
        ),
    }
    found = [one for one in edges(files) if "A.go" in one]
    assert found == [f"use.py:{line} -> m.py:A.go typed" for line in (3, 4, 5, 7, 9, 10)]


def test_a_returned_self_is_the_receiver():
    files = {
        "a.py": "class A:\n    def me(self): return self\nclass B(A):\n    def go(self): ...\nB().me().go()\n",
    }
    assert edges(files)[-1] == "a.py:5 -> a.py:B.go typed"


def test_functions_returned_by_functions_are_called():
    files = {"a.py": "def x(): ...\ndef f(): return x\n", "b.py": "from a import f\ng = f()\ng()\nf()()\n"}
    assert [one for one in edges(files) if ":x" in one] == ["b.py:3 -> a.py:x typed", "b.py:4 -> a.py:x typed"]


def test_an_instance_that_is_called_runs_its_call_method():
    assert edges({"a.py": "class A:\n    def __call__(self): ...\na = A()\na()\n"})[-1] == (
        "a.py:4 -> a.py:A.__call__ typed"
    )


def test_a_hook_of_a_class_is_called_and_what_it_holds_is_used():
    files = {"a.py": "class X: ...\nclass A:\n    kind = X\n    def go(self):\n        self.kind()\n"}
    assert "a.py:5 -> a.py:A.kind typed" in edges(files)
    assert "a.py:5 -> a.py:X typed" in edges(files, (EdgeKind.USE,))


def test_several_methods_of_a_name_are_ambiguous_nearest_first():
    files = {f"p{number}/a.py": "class A:\n    def go_on(self): ...\n" for number in range(5)}
    files["p3/use.py"] = "def f(x):\n    x.go_on()\n"
    found = edges(files)
    assert found[0] == "p3/use.py:2 -> p3/a.py:A.go_on ambiguous"
    assert len(found) == 5


def test_of_very_many_methods_of_a_name_only_those_of_known_classes_are_named():
    files = {f"p{number}/a.py": f"class A{number}:\n    def go_on(self): ...\n" for number in range(8)}
    files["p3/use.py"] = "from p5.a import A5\ndef f(x):\n    x.go_on()\n"
    files["q.py"] = "def f(x):\n    x.go_on()\n"
    assert edges(files) == ["p3/use.py:3 -> p5/a.py:A5.go_on ambiguous"]


def test_a_receiver_called_like_a_class_is_taken_for_one_of_it():
    files = {
        "a.py": "class Client:\n    def go_on(self): ...\nclass Other:\n    def go_on(self): ...\n",
        "b.py": "def f(client):\n    client.go_on()\n",
    }
    assert edges(files) == ["b.py:2 -> a.py:Client.go_on unique_name"]


def test_methods_of_builtin_types_and_of_tests_are_not_guessed():
    files = {
        "a.py": "class A:\n    def append(self, x): ...\ndef f(x):\n    x.append(1)\n",
        "tests/test_a.py": "class TestA:\n    def special(self): ...\n",
        "b.py": "def f(x):\n    x.append(1)\n    x.special()\n",
    }
    assert edges(files) == ["a.py:4 -> a.py:A.append ambiguous"]


def test_a_plain_word_is_no_proof_unless_the_file_knows_the_class():
    files = {
        "a.py": "class Machine:\n    def enable(self): ...\n",
        "b.py": "def f(x):\n    x.enable()\n",
        "c.py": "from a import Machine\ndef f(x):\n    x.enable()\n",
    }
    assert edges(files) == [
        "b.py:2 -> a.py:Machine.enable ambiguous",
        "c.py:3 -> a.py:Machine.enable unique_name",
    ]


def test_a_fixture_fills_the_parameter_of_its_name():
    files = {
        "app.py": "class App:\n    def go_on(self): ...\nclass Other:\n    def go_on(self): ...\n",
        "tests/conftest.py": "from app import App\n@fixture\ndef client():\n    yield App()\n",
        "tests/unit/test_app.py": "def test_app(client):\n    client.go_on()\n",
        "use.py": "def run(client):\n    client.go_on()\n",
    }
    assert [one for one in edges(files) if "App.go_on" in one] == [
        "tests/unit/test_app.py:2 -> app.py:App.go_on typed",
        "use.py:2 -> app.py:App.go_on ambiguous",
    ]


def test_super_never_leads_to_the_class_itself():
    files = {"a.py": "class A: ...\nclass B(A):\n    def go_on(self):\n        super(B, self).go_on()\n"}
    assert edges(files) == []


def test_overloads_lead_to_the_first_declaration():
    source = "@overload\ndef f(x: int) -> int: ...\n@overload\ndef f(x: str) -> str: ...\ndef f(x): return x\nf(1)\n"
    facts = LANGUAGE.extract(".py", source.encode())
    world = make_world({"a.py": facts}, LANGUAGE)
    (edge,) = (one for one in LANGUAGE.resolve(SourceFile("a.py", "a.py", facts), world) if one.line == 6)
    assert (facts.symbols[edge.target_at].line, edge.tier) == (2, Tier.EXACT)


def test_a_module_is_named_by_the_end_of_its_path():
    assert LANGUAGE.tails_of("src/lib/models.py", LANGUAGE.extract(".py", b"")) == (
        "src.lib.models",
        "lib.models",
        "models",
    )
    assert LANGUAGE.tails_of("src/one.py", LANGUAGE.extract(".py", b"")) == ("src.one", "one")
    assert LANGUAGE.tails_of("lib/__init__.py", LANGUAGE.extract(".py", b"")) == ("lib",)
