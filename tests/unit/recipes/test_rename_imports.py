PRICING = """
== shop/__init__.py
== shop/pricing.py
def total(lines):
    return sum(lines)
"""


def test_every_style_of_import_follows(check):
    check(
        PRICING.rstrip()
        + """
== a.py
import shop.pricing
from shop import pricing
import shop.pricing as p
from shop import pricing as q
from shop.pricing import total
from shop.pricing import (total as t, )
x = shop.pricing.total([]) + pricing.total([]) + p.total([]) + q.total([]) + total([]) + t([])
""",
        "total",
        "grand",
        """
== shop/pricing.py
def grand(lines):
    return sum(lines)
== a.py
import shop.pricing
from shop import pricing
import shop.pricing as p
from shop import pricing as q
from shop.pricing import grand
from shop.pricing import (grand as t, )
x = shop.pricing.grand([]) + pricing.grand([]) + p.grand([]) + q.grand([]) + grand([]) + t([])
""",
    )


def test_relative_imports_follow(check):
    check(
        """
== shop/__init__.py
from .pricing import total
== shop/pricing.py
def total(): return 1
== shop/sub/__init__.py
== shop/sub/deep.py
from ..pricing import total as t
from .. import pricing
from ... import shop
from .. import total
print(t(), pricing.total(), total())
""",
        "shop.pricing.total",
        "grand",
        """
== shop/__init__.py
from .pricing import grand
== shop/pricing.py
def grand(): return 1
== shop/sub/deep.py
from ..pricing import grand as t
from .. import pricing
from ... import shop
from .. import grand
print(t(), pricing.grand(), grand())
""",
    )


def test_re_exports_and_their_users_follow(check):
    check(
        """
== shop/__init__.py
from shop.pricing import total as total, zeta
__all__ = ["total", 'zeta']
__all__ += ("total",)
__all__.append("total")
== shop/pricing.py
def total(): return 1
def zeta(): return 2
__all__ = ("total", "zeta")
== a.py
import shop
from shop import total
print(shop.total(), total())
""",
        "total",
        "grand",
        """
== shop/__init__.py
from shop.pricing import grand as grand, zeta
__all__ = ["grand", 'zeta']
__all__ += ("grand",)
__all__.append("grand")
== shop/pricing.py
def grand(): return 1
def zeta(): return 2
__all__ = ("grand", "zeta")
== a.py
import shop
from shop import grand
print(shop.grand(), grand())
""",
    )


def test_a_re_export_names_the_symbol_behind_it(check):
    check(
        """
== shop/__init__.py
from shop.pricing import total
== shop/pricing.py
def total(): return 1
""",
        "shop.total",
        "grand",
        """
== shop/__init__.py
from shop.pricing import grand
== shop/pricing.py
def grand(): return 1
""",
    )


def test_star_imports_follow(check):
    check(
        """
== base.py
def total(): return 1
== middle.py
from base import *
== a.py
from middle import *
print(total())
def f(total): return total
""",
        "total",
        "grand",
        """
== base.py
def grand(): return 1
== a.py
from middle import *
print(grand())
def f(total): return total
""",
    )


def test_a_star_import_does_not_copy_what_all_leaves_out(rename):
    result = rename(
        """
== base.py
def total(): return 1
__all__ = ["other"]
def other(): return 2
== a.py
from base import *
print(total())
""",
        "total",
        "grand",
    )
    assert result.files["a.py"].endswith("print(total())\n")
    assert "not bound in this file" in result.reasons()["a.py:2:7"]


def test_a_src_layout_is_understood(check):
    check(
        """
== src/shop/__init__.py
from shop.pricing import total
== src/shop/pricing.py
def total(): return 1
== tests/test_a.py
import shop
from shop.pricing import total
assert shop.total() == total()
""",
        "shop.pricing.total",
        "grand",
        """
== src/shop/__init__.py
from shop.pricing import grand
== src/shop/pricing.py
def grand(): return 1
== tests/test_a.py
import shop
from shop.pricing import grand
assert shop.grand() == grand()
""",
    )


def test_namespace_packages_are_understood(check):
    check(
        """
== space/tools/pricing.py
def total(): return 1
== a.py
import space.tools.pricing
from space.tools import pricing
print(space.tools.pricing.total(), pricing.total())
""",
        "space.tools.pricing.total",
        "grand",
        """
== space/tools/pricing.py
def grand(): return 1
== a.py
import space.tools.pricing
from space.tools import pricing
print(space.tools.pricing.grand(), pricing.grand())
""",
    )


def test_a_package_in_a_folder_of_its_own_is_found(check):
    check(
        """
== backend/api/__init__.py
== backend/api/views.py
def total(): return 1
== backend/api/urls.py
from api.views import total
print(total())
""",
        "api.views.total",
        "grand",
        """
== backend/api/views.py
def grand(): return 1
== backend/api/urls.py
from api.views import grand
print(grand())
""",
    )


def test_conditional_imports_follow(check):
    check(
        """
== fast.py
def total(): return 1
== a.py
try:
    from fast import total
except ImportError:
    total = None
if total:
    print(total())
""",
        "fast.total",
        "grand",
        """
== fast.py
def grand(): return 1
== a.py
try:
    from fast import grand
except ImportError:
    grand = None
if grand:
    print(grand())
""",
    )


def test_the_other_source_of_a_conditional_import_keeps_its_name(check):
    check(
        """
== fast.py
def total(): return 1
== slow.py
def total(): return 2
== a.py
try:
    from fast import total
except ImportError:
    from slow import total
print(total())
""",
        "fast.total",
        "grand",
        """
== fast.py
def grand(): return 1
== a.py
try:
    from fast import grand
except ImportError:
    from slow import total as grand
print(grand())
""",
        is_reversible=False,
    )


def test_imports_inside_functions_are_local(check):
    check(
        """
== m.py
def total(): return 1
== a.py
def f():
    from m import total
    def g():
        return total()
    return g
def h():
    import m as total
    return total.total()
""",
        "m.total",
        "grand",
        """
== m.py
def grand(): return 1
== a.py
def f():
    from m import grand
    def g():
        return grand()
    return g
def h():
    import m as total
    return total.grand()
""",
    )


def test_a_module_of_the_same_name_keeps_its_name(check):
    result = check(
        """
== shop/__init__.py
from shop.total import total
== shop/total.py
def total(): return 1
def rest(): return 2
== a.py
from shop import total
from shop.total import rest
from shop.total import total as t
print(total(), t(), rest())
""",
        "shop.total.total",
        "grand",
        """
== shop/__init__.py
from shop.total import grand
== shop/total.py
def grand(): return 1
def rest(): return 2
== a.py
from shop import grand
from shop.total import rest
from shop.total import grand as t
print(grand(), t(), rest())
""",
        is_reversible=False,
    )
    assert result.reasons()["a.py:2:11"] == "the name of a module or package"


def test_an_alias_that_happens_to_be_the_old_name_stays(check):
    check(
        """
== m.py
def total(): return 1
def other(): return 2
== a.py
from m import other as total
import m
print(total(), m.total())
""",
        "m.total",
        "grand",
        """
== m.py
def grand(): return 1
def other(): return 2
== a.py
from m import other as total
import m
print(total(), m.grand())
""",
    )


def test_a_variable_that_copies_the_symbol_is_another_symbol(check):
    result = check(
        """
== m.py
def total(): return 1
== legacy.py
import m
total = m.total
== a.py
import legacy
print(legacy.total())
""",
        "m.total",
        "grand",
        """
== m.py
def grand(): return 1
== legacy.py
import m
total = m.grand
""",
    )
    assert result.reasons()["a.py:2:14"] == "another symbol of the same name"


def test_modules_passed_through_variables_are_followed(check):
    check(
        """
== m.py
def total(): return 1
== a.py
import m
impl = m
print(impl.total())
def f(use=m):
    return m.total()
""",
        "m.total",
        "grand",
        """
== m.py
def grand(): return 1
== a.py
import m
impl = m
print(impl.grand())
def f(use=m):
    return m.grand()
""",
    )


def test_stub_files_follow_their_module(check):
    check(
        """
== m.py
def total(): return 1
class A:
    def total(self): return 2
== m.pyi
def total() -> int: ...
class A:
    def total(self) -> int: ...
""",
        "m.total",
        "grand",
        """
== m.py
def grand(): return 1
class A:
    def total(self): return 2
== m.pyi
def grand() -> int: ...
class A:
    def total(self) -> int: ...
""",
    )


def test_an_import_cycle_ends(check):
    check(
        """
== a.py
from b import *
from b import total
def use(): return total()
== b.py
from a import *
from a import use
def total(): return 1
""",
        "total",
        "grand",
        """
== a.py
from b import *
from b import grand
def use(): return grand()
== b.py
from a import *
from a import use
def grand(): return 1
""",
    )


def test_a_standard_module_is_not_taken_for_a_neighbour(rename):
    result = rename(
        """
== tools/json.py
def dumps(x): return x
== tools/a.py
import json
print(json.dumps(1))
""",
        "tools.json.dumps",
        "dump_text",
    )
    assert result.files["tools/a.py"].endswith("print(json.dumps(1))\n")


def test_sorted_names_stay_sorted(check):
    result = check(
        """
== m.py
LIMIT = 1
class Box: pass
def alpha(): pass
def beta(): pass
def item2(): pass
def item10(): pass
__all__ = ["LIMIT", "Box", "alpha", "beta"]
== a.py
from m import LIMIT, Box, alpha, beta
from m import (
    alpha,
    beta as b,
    item2,
    item10,
)
from m import beta, alpha
from m import (
    alpha,  # first
    beta,
)
""",
        "m.alpha",
        "item3",
        """
== m.py
LIMIT = 1
class Box: pass
def item3(): pass
def beta(): pass
def item2(): pass
def item10(): pass
__all__ = ["LIMIT", "Box", "beta", "item3"]
== a.py
from m import LIMIT, Box, beta, item3
from m import (
    beta as b,
    item2,
    item3,
    item10,
)
from m import beta, item3
from m import (
    item3,  # first
    beta,
)
""",
        is_reversible=False,
    )
    assert result.outcome.occurrences_changed == 6
    assert result.outcome.left_alone == ()
