"""The sample project that is renamed, formatted and tested in demonstrations."""

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from services.pas.recipes import driver
from services.pas.recipes.catalog import RECIPES
from services.pas.recipes.commands import parse_test_output
from services.pas.recipes.disk import DiskTree
from services.pas.recipes.transformation import apply_transformation

SAMPLE = Path(__file__).resolve().parents[2] / "fixtures" / "sample_project"


@pytest.fixture
def project(tmp_path):
    return Path(shutil.copytree(SAMPLE, tmp_path / "project", ignore=shutil.ignore_patterns("__pycache__")))


def _rename(root, **params):
    tree = DiskTree(root)
    outcome = apply_transformation("rename-symbol", json.dumps(params), tree)
    tree.write(outcome.changed)
    return outcome


def _run_tests(root):
    command = [sys.executable, "-I", str(driver.__file__), "--root", str(root)]
    return parse_test_output(subprocess.run(command, capture_output=True, text=True, env={}, check=True).stdout)


def test_it_is_large_enough_to_believe():
    modules = list((SAMPLE / "stockbook").glob("*.py"))
    users = [path for path in modules if "compute_total" in path.read_text(encoding="utf-8")]
    assert len(modules) >= 12
    assert len(users) >= 8


def test_the_renamed_project_behaves_as_before(project):
    before = _run_tests(project)
    code = _rename(project, old="compute_total", new="order_amount")
    assert (code.status, code.files_changed, code.occurrences_changed) == ("applied", 10, 24)
    after = _run_tests(project)
    assert before.status == after.status == "passed"
    assert before.outcomes == after.outcomes
    assert after.imported_from["stockbook"].is_from_tree


def test_both_parts_leave_exactly_what_means_something_else(project):
    symbol = _rename(project, old="compute_total", new="order_amount").symbols[0].qualified_name
    assert symbol == "stockbook.pricing.compute_total"
    outcome = _rename(project, old=symbol, new="order_amount", part="mentions")
    assert outcome.files_changed == 7
    rest = {
        (path.relative_to(project).as_posix(), line.strip())
        for path in project.rglob("*")
        if path.suffix in (".py", ".md")
        for line in path.read_text(encoding="utf-8").splitlines()
        if "compute_total" in line.replace("compute_totals", "")
    }
    assert rest == {
        (
            "README.md",
            "where it lives. A cart has a total of its own: `Cart.compute_total()` knows the coupons in the cart.",
        ),
        (
            "docs/architecture.md",
            "| `stockbook.cart` | what a customer collects; `Cart.compute_total` applies coupons |",
        ),
        ("docs/architecture.md", 'The report key `"compute_total"` is part of the file format and never changes.'),
        (
            "docs/pricing.md",
            "When we compute_total figures by hand for the yearly review, rounding happens once, at the end.",
        ),
        ("stockbook/cart.py", "def compute_total(self) -> int:"),
        (
            "stockbook/cart.py",
            '"""Return the total of the cart with its coupon; see Cart.compute_total in the README."""',
        ),
        ("stockbook/cart.py", "return self.compute_total() >= minimum_cents"),
        ("stockbook/reports.py", 'TOTAL_KEY = "compute_total"'),
        ("tests/test_cart.py", "assert cart.compute_total() == 1071"),
        ("tests/test_orders.py", 'assert day_report(ORDERS) == {"orders": 3, "compute_total": 2871}'),
    }


def test_mentions_change_no_code(project):
    symbol = _rename(project, old="compute_total", new="order_amount").symbols[0].qualified_name
    before = {path: _without_docstrings(path) for path in project.rglob("*.py")}
    _rename(project, old=symbol, new="order_amount", part="mentions")
    assert {path: _without_docstrings(path) for path in project.rglob("*.py")} == before


def _without_docstrings(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            node.value.value = None
    return ast.dump(tree)


def test_the_method_of_the_same_name_can_be_renamed_instead(project):
    outcome = _rename(project, old="Cart.compute_total", new="amount_due")
    assert outcome.files == ("stockbook/cart.py", "tests/test_cart.py")
    assert _run_tests(project).status == "passed"


def test_only_one_module_needs_tidying(project):
    ruff = str(Path(sys.executable).with_name("ruff"))
    check = [ruff, "check", "--no-cache", "--output-format", "concise", "."]
    lines = subprocess.run(check, cwd=project, capture_output=True, text=True, env={}, check=False).stdout.splitlines()
    assert {line.partition(":")[0] for line in lines if ":" in line} == {"stockbook/messy.py"}


def test_every_recipe_says_what_it_takes_and_where_it_runs():
    assert list(RECIPES) == ["rename-symbol", "format", "lint-fix", "run-tests"]
    for recipe in RECIPES.values():
        assert recipe.description.endswith(".")
        assert recipe.params.model_json_schema()["type"] == "object"
    assert [(stage.part, stage.lane) for stage in RECIPES["rename-symbol"].stages] == [
        ("code", "Code-Impl"),
        ("mentions", "Narrative"),
    ]


def test_another_recipe_is_not_a_text_transformation():
    with pytest.raises(LookupError, match="rename-symbol"):
        apply_transformation("format", "{}", DiskTree(SAMPLE))
