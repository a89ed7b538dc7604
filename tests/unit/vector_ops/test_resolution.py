"""Who calls and what is touched, across files."""

import pytest

from services.vector_ops.languages.world import NAMED_CAP
from services.vector_ops.protocol import SymbolNotFoundError

SHOP = {
    "shop/__init__.py": "from .pricing import total as price\nfrom shop.cart import Cart\n",
    "shop/pricing.py": (
        "def total(items):\n    return sum(items)\n\n\ndef total_twice(items):\n    return total(items) * 2\n"
    ),
    "shop/cart.py": (
        "from shop import pricing as p\n\n\nclass Base:\n    def pay(self):\n        return 1\n\n\n"
        "class Cart(Base):\n    def __init__(self):\n        self.items = []\n\n    def sum(self):\n"
        "        return p.total(self.items) + self.pay()\n\n    @classmethod\n    def make(cls) -> 'Cart':\n"
        "        return cls()\n"
    ),
    "shop/report.py": (
        "import shop.pricing\nfrom shop import Cart, price\n\n\ndef report(cart: Cart, other):\n    cart.sum()\n"
        "    other.sum()\n    other.make_report()\n    Cart.make().sum()\n"
        "    return price([1]) + shop.pricing.total([2])\n"
    ),
    "shop/unrelated.py": "import json\n\n\ndef total():\n    return json.dumps(1)\n\n\n"
    "def use():\n    return total()\n",
    "tests/test_pricing.py": "from shop.pricing import total\n\n\ndef test_total():\n    assert total([1]) == 1\n",
    "docs/notes.md": "The total of a cart is computed by shop.pricing.\n",
}


@pytest.fixture
def shop(index):
    index.tree.commit(SHOP)
    return index


async def test_callers_are_found_through_imports_aliases_modules_and_re_exports(shop):
    assert await shop.callers("pricing.total") == {
        "shop/pricing.py:6": "exact",
        "shop/cart.py:14": "exact",
        "shop/report.py:10": "exact",
        "tests/test_pricing.py:5": "exact",
    }


async def test_both_calls_on_one_line_are_told_apart_by_their_columns(shop):
    hits = (await shop.ask("who_calls", "pricing.total")).hits
    assert [hit.column for hit in hits if hit.path == "shop/report.py"] == [12, 38]


async def test_a_namesake_in_another_module_keeps_its_own_callers(shop):
    assert await shop.callers("unrelated.total") == {"shop/unrelated.py:9": "exact"}


async def test_methods_are_found_by_the_type_of_the_receiver_and_by_a_class_that_the_file_knows_else(shop):
    callers = await shop.callers("Cart.sum")
    assert callers == {"shop/report.py:6": "typed", "shop/report.py:9": "typed", "shop/report.py:7": "unique-name"}


async def test_a_name_that_only_one_definition_has_and_no_built_in_type_is_taken_for_it(index):
    index.tree.commit(
        {"a.py": "class Cart:\n    def checkout_all(self): ...\n", "b.py": "def f(x):\n    x.checkout_all()\n"}
    )
    (hit,) = (await index.ask("who_calls", "Cart.checkout_all")).hits
    assert (hit.path, hit.tier.value) == ("b.py", "unique-name")
    assert "only one definition fits" in hit.reason


async def test_an_inherited_method_is_called_through_the_subclass(shop):
    assert await shop.callers("Base.pay") == {"shop/cart.py:14": "typed"}


async def test_a_constructor_is_called_by_the_name_of_its_class(shop):
    assert await shop.callers("Cart.__init__") == {"shop/cart.py:18": "exact"}


async def test_a_name_from_the_standard_library_is_not_taken_for_ours(index):
    index.tree.commit(
        {
            "pkg/__init__.py": "",
            "pkg/json.py": "def dumps(x): ...\n",
            "pkg/a.py": "import json\njson.dumps(1)\n",
        }
    )
    assert await index.callers("dumps") == {}


async def test_star_imports_and_relative_imports_are_followed(index):
    index.tree.commit(
        {
            "src/lib/__init__.py": "from .core import *\n",
            "src/lib/core.py": "def run(): ...\n",
            "src/lib/sub/__init__.py": "",
            "src/lib/sub/deep.py": "from ..core import run\nrun()\n",
            "main.py": "import lib\nlib.run()\n",
            "other.py": "from lib import *\nrun()\n",
        }
    )
    assert await index.callers("run") == {"main.py:2": "exact", "other.py:2": "exact", "src/lib/sub/deep.py:2": "exact"}


async def test_imports_that_go_in_circles_end(index):
    index.tree.commit(
        {
            "a.py": "from b import x\nx()\n",
            "b.py": "from a import x\n",
            "c.py": "def x(): ...\ny = y\nclass A(A): ...\n",
        }
    )
    assert await index.callers("x") == {}
    assert await index.places("where_defined", "A") == ["c.py:3"]


async def test_ambiguous_receivers_are_capped_and_say_so(index):
    lines = "".join(f"    x{i}.go()\n" for i in range(30))
    index.tree.commit(
        {
            "a.py": "class A:\n    def go(self): ...\nclass B:\n    def go(self): ...\n",
            "b.py": "def f(*args):\n" + lines,
        }
    )
    answer = await index.ask("who_calls", "A.go")
    assert {hit.tier.value for hit in answer.hits} == {"ambiguous"}
    assert (len(answer.hits), answer.is_truncated) == (20, True)
    assert "2 definitions have this name" in answer.hits[0].reason


async def test_a_call_that_may_reach_an_override_is_named_as_such(index):
    index.tree.commit(
        {
            "a.py": "class A:\n    def go(self): ...\n    def all(self):\n        self.go()\n"
            "class B(A):\n    def go(self): ...\n"
        }
    )
    (hit,) = (await index.ask("who_calls", "B.go")).hits
    assert (hit.line, hit.tier.value) == (4, "ambiguous")
    assert "overrides" in hit.reason


async def test_decorators_count_as_calls(index):
    index.tree.commit({"a.py": "def deco(f): return f\n\n@deco\ndef g(): ...\n"})
    assert await index.callers("deco") == {"a.py:3": "exact"}


async def test_the_impact_set_names_each_file_once_with_its_reasons(shop):
    hits = {hit.path: hit.reason for hit in (await shop.ask("impact_set", "pricing.total")).hits}
    assert set(hits) == {
        "shop/pricing.py",
        "shop/cart.py",
        "shop/report.py",
        "shop/__init__.py",
        "tests/test_pricing.py",
    }
    assert "defines total" in hits["shop/pricing.py"]
    assert "imports total" in hits["shop/__init__.py"]
    assert "report calls total" in hits["shop/report.py"]
    assert hits["tests/test_pricing.py"].startswith("test_total tests total")


async def test_definitions_are_found_by_name_by_class_by_module_and_through_a_package(shop):
    assert await shop.places("where_defined", "Cart.sum") == ["shop/cart.py:13"]
    assert await shop.places("where_defined", "shop.pricing.total") == ["shop/pricing.py:1"]
    assert await shop.places("where_defined", "shop.price") == ["shop/pricing.py:1"]
    assert await shop.places("where_defined", "shop.pricing") == ["shop/pricing.py:1"]
    assert await shop.places("where_defined", "`total_twice()`") == ["shop/pricing.py:5"]


async def test_an_unknown_symbol_is_refused_with_near_names(shop):
    with pytest.raises(SymbolNotFoundError, match="near names: total_twice"):
        await shop.ask("where_defined", "total_twise")
    with pytest.raises(SymbolNotFoundError, match="nothing in the index is near it"):
        await shop.ask("who_calls", "qqqqqq")


async def test_a_name_with_many_definitions_drops_unknown_receivers_and_says_that_the_list_is_cut(index):
    classes = "".join(f"class A{number}:\n    def go(self): ...\n" for number in range(NAMED_CAP + 2))
    index.tree.commit({"a.py": classes + "A0().go()\n", "b.py": "def f(x):\n    x.go()\n"})
    answer = await index.ask("who_calls", "A0.go")
    assert [(hit.path, hit.tier.value) for hit in answer.hits] == [("a.py", "typed")]
    assert answer.is_truncated
