"""A small repository with a bug over two files, and what a model would say to mend it with the platform's own tools."""

from pathlib import Path

from services.pas.models import JobCard, StartRun, TreeRef
from tests.fakes import pas as fake
from tests.fakes.agent import agent_card

PRICE = """\
def total(prices):
    result = 0
    for price in prices[1:]:
        result += price
    return result
"""
RECEIPT = """\
from shop.price import total


def write_receipt(prices):
    lines = [f'{price} EUR' for price in prices]
    lines.append(f'sum {total(prices)} USD')
    return lines
"""
TEST_PRICE = """\
from shop.price import total


def test_total():
    assert total([1, 2, 3]) == 6
"""
TEST_RECEIPT = """\
from shop.receipt import write_receipt


def test_sum():
    assert write_receipt([2, 3])[-1] == 'sum 5 EUR'


def test_lines():
    assert write_receipt([2, 3])[0] == '2 EUR'
"""
FILES = {
    "shop/__init__.py": "",
    "shop/price.py": PRICE,
    "shop/receipt.py": RECEIPT,
    "tests/test_price.py": TEST_PRICE,
    "tests/test_receipt.py": TEST_RECEIPT,
    "README.md": "# Shop\n",
}
EDITS = [
    {
        "path": "shop/price.py",
        "search": "    for price in prices[1:]:\n",
        "replace": "    for price in prices:\n",
    },
    {
        "path": "shop/receipt.py",
        "search": "    lines.append(f'sum {total(prices)} USD')\n",
        "replace": "    lines.append(f'sum {total(prices)} EUR')\n",
    },
]
READ = ("fs_read", {"path": "shop/price.py"})
SEARCH = ("fs_search", {"pattern": "USD"})
PATCH = ("fs_patch", {"edits": EDITS})
TEST = ("run_test", {"paths": ["tests/test_price.py"]})
FINISH = ("finish", {"summary": "Count the first price, and name the currency right", "status": "done"})
SCRIPT = [[READ, SEARCH], [PATCH], [TEST], [FINISH]]
"""What the model calls, turn by turn."""
GOAL = "The receipt's sum is wrong: it leaves out the first price and names the wrong currency."


def make_shop(folder: Path) -> Path:
    """Return the repository."""
    return fake.make_repository(folder, FILES)


def mend_shop(repository: Path, *, has_test_cards: bool = True, **options: object) -> StartRun:
    """Return the request for a run that mends it: tests before, the agent, tests after, as PEX plans it."""
    fix = agent_card("fix", goal=GOAL, deps=("base",) if has_test_cards else ())
    cards: tuple[JobCard, ...] = (fix,)
    if has_test_cards:
        cards = (fake.check_tests("base", tree=TreeRef.BASE), fix, fake.check_tests("tests", "fix"))
    request = fake.start(repository, *cards, run_id="run-shop", title="Mend the receipt")
    return request.model_copy(update={"max_cost_microusd": 1_000_000} | options)
