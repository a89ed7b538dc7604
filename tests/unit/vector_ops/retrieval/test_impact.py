import pytest

from services.vector_ops.graph.local import ViewGraph
from services.vector_ops.languages.world import Tier
from services.vector_ops.retrieval.impact import impact_set
from services.vector_ops.retrieval.search import Searcher
from services.vector_ops.retrieval.themes import group_themes
from tests.unit.vector_ops.history.past_of import make_past
from tests.unit.vector_ops.retrieval.library import MemoryView

FILES = {
    "shop/base.py": "class Shape:\n    def area(self):\n        return 0\n",
    "shop/round.py": "from shop.base import Shape\n\nclass Circle(Shape):\n    def area(self):\n        return 3\n",
    "shop/oval.py": "from shop.round import Circle\n\nclass Oval(Circle):\n    def area(self):\n        return 2\n",
    "shop/report.py": "def measure(shape):\n    return helper(shape)\n\ndef helper(one):\n    return compute(one)\n",
    "shop/core.py": "def compute(one):\n    return compute(one) if one else 1\n",
    "tests/test_report.py": "def test_measure():\n    assert measure(1) == 1\n",
    "notes.md": "compute is described here\n",
}


@pytest.fixture
def view():
    return MemoryView(FILES)


def reach(view, name, past=None, **options):
    rows = [row for row in view.all_symbols() if row.qualname == name]
    assert rows
    items = impact_set(view, ViewGraph(view), past, rows, **options)
    return {item.symbol.qualname if item.symbol else item.path: item for item in items}


def test_callers_of_callers_are_reached_with_less_weight(view):
    found = reach(view, "compute")
    assert found["helper"].reasons == ("calls compute",)
    assert found["measure"].reasons == ("calls helper, which is reached at step 1",)
    assert found["helper"].score > found["measure"].score > found["test_measure"].score > 0


def test_what_changes_is_not_among_what_it_reaches_even_when_it_calls_itself(view):
    assert "compute" not in reach(view, "compute")


def test_a_test_that_calls_it_says_so(view):
    assert reach(view, "measure")["test_measure"].reasons == ("tests measure",)


def test_overriders_are_reached_through_all_generations(view):
    found = reach(view, "Shape.area")
    assert "overrides Shape.area" in found["Circle.area"].reasons
    assert "overrides Shape.area" in found["Oval.area"].reasons


def test_a_class_reaches_its_heirs_and_the_files_that_import_it(view):
    found = reach(view, "Shape")
    assert found["Circle"].reasons == ("inherits from Shape",)
    assert found["shop/round.py"].reasons == ("imports shop/base.py",)


def test_past_companions_say_how_often(view):
    past = make_past(("x", ["shop/core.py", "notes.md"]), ("y", ["shop/core.py", "notes.md"]), ("z", ["shop/core.py"]))
    item = reach(view, "compute", past)["notes.md"]
    assert item.reasons == ("changed together in 2 of 3 commits",)
    assert item.tier is None


def test_edges_carry_their_tier_and_line(view):
    item = reach(view, "compute")["helper"]
    assert (item.path, item.line, item.tier) == ("shop/report.py", 5, Tier.EXACT)


def test_the_limit_caps_the_list(view):
    assert len(reach(view, "compute", limit=1)) == 1


def test_nothing_is_reached_from_nothing(view):
    assert impact_set(view, ViewGraph(view), make_past(), []) == []


def test_themes_join_a_package_and_what_changed_together(view):
    past = make_past(*[("together", ["shop/core.py", "tests/test_report.py"])] * 4)
    places = Searcher().search(view, "compute the measure of a shape with a helper").files
    themes = {theme.name: theme for theme in group_themes(places, past)}
    assert {"shop/core.py", "shop/report.py"} <= set(themes["shop/"].paths)
    assert any(theme.reason == "changed together in the past" for theme in themes.values())


def test_one_place_is_no_theme(view):
    places = Searcher().search(view, "notes.md").files[:1]
    assert group_themes(places, None) == []
