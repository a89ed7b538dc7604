"""Small decisions around the durable engine and the wire."""

import pytest

from services.pas.api import parse_cursor
from services.pas.engine import JsonSerializer
from services.pas.executors.linter import uses_ruff
from services.pas.executors.recipe import RecipeParamsError, check_params
from services.pas.executors.tests import choose_interpreter
from services.pas.executors.workbench import CommandDeniedError, Programs
from services.pas.models import RecipePayload


def test_workflow_arguments_travel_as_plain_json_never_pickled():
    serializer = JsonSerializer()
    text = serializer.serialize({"args": ("run-1", 2), "kwargs": {}})
    assert text == '{"args":["run-1",2],"kwargs":{}}'
    assert serializer.deserialize(text) == {"args": ["run-1", 2], "kwargs": {}}
    error = serializer.deserialize(serializer.serialize(ValueError("why")))
    assert isinstance(error, RuntimeError)
    assert str(error) == "ValueError: why"
    with pytest.raises(TypeError, match="no JSON value"):
        serializer.serialize(object())


@pytest.mark.parametrize(
    ("header", "after", "expected"),
    [(None, 4, 4), ("7", 4, 7), ("x", 4, 4), ("-1", 4, 4), ("", 4, 4), (None, -9, 0), ("٣", 1, 1)],
)
def test_cursor_is_the_header_when_it_is_a_number_else_the_query(header, after, expected):
    assert parse_cursor(header, after) == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, False),
        ({"ruff.toml": ""}, True),
        ({".ruff.toml": ""}, True),
        ({"pyproject.toml": "[tool.ruff]\n"}, True),
        ({"pyproject.toml": "[tool.ruff.lint]\nselect = ['E']\n"}, True),
        ({"pyproject.toml": "[tool.black]\n"}, False),
        ({"pyproject.toml": "not toml ["}, False),
        ({"setup.cfg": "[ruff]\n"}, False),
    ],
)
def test_repository_uses_ruff_when_it_configures_it(tmp_path, files, expected):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert uses_ruff(tmp_path) is expected


def test_own_interpreter_is_used_only_with_pytest(tmp_path):
    own = tmp_path / "platform-python"
    assert choose_interpreter(tmp_path, own) == own
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    assert choose_interpreter(tmp_path, own) == own
    package = tmp_path / ".venv" / "lib" / "python3.11" / "site-packages" / "pytest"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    assert choose_interpreter(tmp_path, own) == python


@pytest.mark.parametrize(
    ("recipe", "params", "words"),
    [
        ("no-such", {}, "there is no recipe no-such; there are: rename-symbol, format, lint-fix"),
        ("run-tests", {}, "there is no recipe run-tests"),
        ("rename-symbol", {"old": "a"}, "recipe rename-symbol: new: Field required"),
        ("format", {"path": "a"}, "recipe format: path: Extra inputs are not permitted"),
    ],
)
def test_wrong_parameters_are_refused_before_anything_runs(recipe, params, words):
    with pytest.raises(RecipeParamsError, match=words):
        check_params(RecipePayload(recipe=recipe, params=params))


def test_unknown_program_is_refused(tmp_path):
    with pytest.raises(CommandDeniedError, match="no-such-program is not installed"):
        Programs(python=tmp_path / "python", ruff=tmp_path / "ruff").find("no-such-program")
