"""What our code imports is what pyproject.toml lists, and requirements.lock satisfies it."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted([*ROOT.glob("services/**/*.py"), *ROOT.glob("cli/**/*.py")])
OWN = {"services", "cli"}
BROUGHT_ALONG = {"starlette": "fastapi"}
"""Imported under a name that the listed package documents as a part of itself."""


def list_dependencies():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {normalise(each.name): each for each in map(Requirement, project["dependencies"])}


def normalise(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def find_imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_every_package_that_is_imported_is_a_dependency():
    imported = {name for path in SOURCES for name in find_imports(path)}
    packages = {"google.genai" if name.startswith("google.genai") else name.split(".")[0] for name in imported}
    foreign = packages - OWN - sys.stdlib_module_names
    owners = packages_distributions() | {"google.genai": ["google-genai"]}
    listed = set(list_dependencies())
    missing = {
        name
        for name in foreign
        if not listed & {normalise(BROUGHT_ALONG.get(owner, owner)) for owner in owners.get(name, [name])}
    }
    assert missing == set()


def test_locked_versions_satisfy_every_dependency():
    lock = re.findall(r"^([A-Za-z0-9_.-]+)==([^\s;\\]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    versions = {normalise(name): version for name, version in lock}
    wrong = {name for name, needed in list_dependencies().items() if not needed.specifier.contains(versions[name])}
    assert wrong == set()
