"""The tree cannot lie: arrows, sizes and names are what docs/ARCHITECTURE.md says."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted([*ROOT.glob("services/**/*.py"), *ROOT.glob("cli/**/*.py")])
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 40
MAX_KERNEL_CODE_LINES = 800
BANNED_NAMES = {"utils", "helpers", "common", "manager", "util", "helper", "misc"}


def test_arrows_in_the_tree_are_the_arrows_in_the_document():
    text = (ROOT / "docs/ARCHITECTURE.md").read_text()
    documented = set(re.findall(r"^- (\w+) -> (\w+)$", text, re.MULTILINE))
    in_tree = {(path.parts[-3], path.stem) for path in ROOT.glob("services/*/calls/*.py") if path.stem != "__init__"}
    assert documented == in_tree
    assert documented, "the document lists no arrow at all"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_file_is_short_and_its_functions_too(path):
    text = path.read_text()
    assert len(text.splitlines()) <= MAX_FILE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= MAX_FUNCTION_LINES, f"{node.name} has {length} lines"


def test_no_module_has_a_name_that_says_nothing():
    assert [path for path in SOURCES if path.stem in BANNED_NAMES or path.parent.name in BANNED_NAMES] == []


def test_kernel_stays_small():
    assert sum(map(_count_code_lines, ROOT.glob("services/kernel/*.py"))) <= MAX_KERNEL_CODE_LINES


def _count_code_lines(path: Path) -> int:
    """Lines that hold code: blank lines, comments and docstrings aside."""
    text = path.read_text()
    documented: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            documented |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    code = [line.strip() for number, line in enumerate(text.splitlines(), start=1) if number not in documented]
    return sum(1 for line in code if line and not line.startswith("#"))
