"""Parameters of tests that pytest fills: the fixture a parameter names."""

from __future__ import annotations

from collections.abc import Iterator
from posixpath import basename, dirname

import libcst as cst

from services.pas.recipes.rename.modules import Project
from services.pas.recipes.rename.scopes import Binding, Scope
from services.pas.recipes.rename.walk import children, tail


def find_fixture(project: Project, parameter: Binding) -> Binding | None:
    """Return the fixture function that fills a parameter of a test or of another fixture, as pytest looks it up."""
    function = parameter.scope.node
    if not isinstance(function, cst.FunctionDef) or not _is_test_file(parameter.scope.path):
        return None
    is_filled = function.name.value.startswith("test") or _is_fixture(function)
    if not is_filled or _is_parametrized(function, parameter.name):
        return None
    for scope in _places(project, parameter.scope):
        for binding in scope.bindings.get(parameter.name, ()):
            node = binding.statement
            if isinstance(node, cst.FunctionDef) and node is not function and _is_fixture(node):
                return binding
    return None


def results(function: cst.FunctionDef) -> list[cst.BaseExpression]:
    """Return the expressions that a function returns or yields, those of nested functions left out."""
    return list(_results(function.body))


def _results(node: cst.CSTNode) -> Iterator[cst.BaseExpression]:
    if isinstance(node, (cst.FunctionDef, cst.ClassDef, cst.Lambda)):
        return
    if isinstance(node, (cst.Return, cst.Yield)) and isinstance(node.value, cst.BaseExpression):
        yield node.value
    for child in children(node):
        yield from _results(child)


def _is_test_file(path: str) -> bool:
    name = basename(path)
    return name == "conftest.py" or name.startswith("test_") or name.endswith("_test.py")


def _places(project: Project, scope: Scope) -> Iterator[Scope]:
    """Yield the scopes that fixtures are looked up in: the class, the module, then `conftest.py` upwards."""
    owner = scope.owner()
    if owner is not None:
        yield owner
    yield scope.module()
    directory = dirname(scope.path)
    while True:
        module = project.load_if_present(f"{directory}/conftest.py" if directory else "conftest.py")
        if module is not None and module.path != scope.path:
            yield module.scope
        if not directory:
            return
        directory = dirname(directory)


def _is_fixture(function: cst.FunctionDef) -> bool:
    """Return whether a function is a fixture under its own name."""
    for each in function.decorators:
        call = each.decorator
        if tail(call) == "fixture":
            return not isinstance(call, cst.Call) or not any(
                arg.keyword is not None and arg.keyword.value == "name" for arg in call.args
            )
    return False


def _is_parametrized(function: cst.FunctionDef, name: str) -> bool:
    for each in function.decorators:
        call = each.decorator
        if isinstance(call, cst.Call) and tail(call) == "parametrize" and call.args and _mentions(call.args[0], name):
            return True
    return False


def _mentions(node: cst.CSTNode, name: str) -> bool:
    if isinstance(node, cst.SimpleString):
        return name in [part.strip() for part in node.raw_value.split(",")]
    return any(_mentions(child, name) for child in children(node))
