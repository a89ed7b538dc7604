"""Part `code` lists prose, or leaves the listing to the `mentions` part that follows."""

import pytest

from services.pas.recipes.models import RenameParams
from services.pas.recipes.rename import code
from services.pas.recipes.source import MemoryTree

TREE = {
    "shop.py": 'def total():\n    """Return what total() is."""\n    return "total"  # total of all\n',
    "README.md": "Call `total()`.\n",
}


@pytest.mark.parametrize(
    ("prose", "kinds"), [("listed", {"docstring", "comment", "document", "string"}), ("deferred", {"string"})]
)
def test_prose_is_listed_unless_it_is_deferred(prose, kinds):
    outcome = code.apply(MemoryTree(TREE), RenameParams(old="total", new="grand_total", prose=prose))
    assert outcome.status == "applied"
    assert {left.occurrence.kind for left in outcome.left_alone} == kinds
    assert outcome.left_alone_total == len(outcome.left_alone)
