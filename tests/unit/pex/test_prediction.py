"""Which words are names of code, which files are expected to change, and what the planning model is shown."""

import pytest

from services.pex.core.packing import MAX_CONTEXT_CHARS, pack_context
from services.pex.core.prediction import MAX_FOUND, Predictor, list_names, list_paths
from tests.fakes.vector_ops import make_hit
from tests.unit.pex.conftest import REPO


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("make load_config faster", ("load_config",)),
        ("cache `Order.total` and `helper`", ("Order.total", "helper")),
        ("fix OrderBook when it is empty", ("OrderBook",)),
        ("call refresh() twice", ("refresh",)),
        ("add a HTTP API for the README", ()),
        ("Write the guide. Then stop", ()),
        ("use `rm -rf /` nowhere", ()),
    ],
)
def test_only_words_that_can_be_nothing_else_are_names(words, names):
    assert list_names(words) == names


def test_paths_in_the_words_are_hints_unless_they_leave_the_repository():
    assert list_paths("change src/shop/app.py and ../../etc/passwd.txt, not e.g. this") == ("src/shop/app.py",)


async def test_definition_and_what_depends_on_it_are_expected_to_change(world):
    prediction = await Predictor(world.parts.service._parts.intake._parts.index).predict("cache `load_config`", REPO)
    assert prediction.files == ("shop/app.py", "shop/config.py", "tests/test_config.py")
    assert prediction.hints[0] == "shop/config.py"


async def test_words_without_a_name_expect_the_few_best_files_of_a_search(world):
    world.index.definitions = [make_hit(f"shop/total_{number}.py", 1, f"total_{number}") for number in range(9)]
    prediction = await Predictor(world.parts.service._parts.intake._parts.index).predict("speed up total", REPO)
    assert len(prediction.files) == MAX_FOUND
    assert len(prediction.hints) == 9


async def test_context_cites_places_and_stays_small(world):
    predictor = Predictor(world.parts.service._parts.intake._parts.index)
    context = pack_context(await predictor.predict("cache `load_config`", REPO))
    assert "- shop/config.py:3 function shop.config.load_config: function shop.config.load_config" in context
    assert "- tests/test_config.py" in context
    world.index.definitions = [make_hit("a.py", line, f"total_{line}" + "x" * 400) for line in range(1, 100)]
    assert len(pack_context(await predictor.predict("total", REPO))) <= MAX_CONTEXT_CHARS + 30
