import subprocess
import sys
from pathlib import Path

import pytest

from services.pas.recipes import commands, driver
from services.pas.recipes.commands import RESULT_MARKER, parse_test_output
from services.pas.recipes.models import TestParams

DRIVER = Path(driver.__file__)


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "tree"
    (root / "tests").mkdir(parents=True)
    (root / "lib").mkdir()
    (root / "lib" / "__init__.py").write_text("def one():\n    return 1\n", encoding="utf-8")
    _test_file(root, "from lib import one\n\ndef test_one():\n    assert one() == 1\n")
    return root


def _test_file(root, text):
    (root / "tests" / "test_lib.py").write_text(text, encoding="utf-8")


def _run(root, *paths, select=None, extra_path=(), is_own_interpreter=True):
    """Run the driver as the sandbox does; `extra_path` stands for what a .pth file of an interpreter adds."""
    argv = commands.pytest_argv(
        TestParams(paths=paths, select=select), str(DRIVER), str(root), is_own_interpreter=is_own_interpreter
    )[1:]
    command = [sys.executable, *argv]
    if extra_path:
        start = f"import sys, runpy; sys.path += {list(extra_path)!r}; sys.argv = {argv[1:]!r}; "
        command = [sys.executable, "-I", "-c", f"{start}runpy.run_path({str(DRIVER)!r}, run_name='__main__')"]
    done = subprocess.run(command, capture_output=True, text=True, env={}, check=True)
    return parse_test_output(done.stdout)


def test_passing_tests_are_counted_and_named(tree):
    report = _run(tree)
    assert (report.status, report.reason, report.exit_status) == ("passed", None, 0)
    assert (report.collected, report.passed, report.failed, report.errors, report.skipped) == (1, 1, 0, 0, 0)
    assert report.outcomes == {"tests/test_lib.py::test_one": "passed"}
    assert report.pass_rate == 1.0
    assert report.imported_from["lib"].is_from_tree
    assert report.imported_from["lib"].file == "lib/__init__.py"


def test_each_outcome_is_told_apart(tree):
    _test_file(
        tree,
        "import pytest\n"
        "@pytest.fixture\ndef broken(): raise RuntimeError('no')\n"
        "def test_good(): pass\n"
        "def test_bad(): assert 1 == 2\n"
        "def test_error(broken): pass\n"
        "@pytest.mark.skip\ndef test_skipped(): pass\n"
        "@pytest.mark.xfail\ndef test_expected(): assert 0\n",
    )
    report = _run(tree)
    assert report.status == "failed"
    assert {name.rpartition("::")[2]: outcome for name, outcome in report.outcomes.items()} == {
        "test_good": "passed",
        "test_bad": "failed",
        "test_error": "error",
        "test_skipped": "skipped",
        "test_expected": "xfailed",
    }
    assert (report.passed, report.failed, report.errors, report.skipped) == (2, 1, 1, 1)
    assert report.pass_rate == 0.5
    assert [each.message for each in report.failures] == ["assert 1 == 2", "RuntimeError: no"]


def test_a_file_that_cannot_be_imported_is_an_error(tree):
    _test_file(tree, "import lib.missing\n")
    report = _run(tree)
    assert (report.status, report.errors, report.exit_status) == ("failed", 1, 1)
    assert "lib.missing" in report.failures[0].message


def test_no_cache_and_no_bytecode_stay_behind(tree):
    _run(tree)
    assert not [path for path in tree.rglob("*") if path.name in (".pytest_cache", "__pycache__")]


def test_a_tree_without_tests_is_unknown(tree):
    (tree / "tests" / "test_lib.py").unlink()
    report = _run(tree)
    assert (report.status, report.reason) == ("unknown", "pytest found no tests")
    assert report.pass_rate is None


def test_the_configured_paths_are_used(tree):
    (tree / "pyproject.toml").write_text('[tool.direng]\ntests = ["quick"]\n', encoding="utf-8")
    (tree / "quick").mkdir()
    (tree / "quick" / "test_q.py").write_text("def test_q(): pass\n", encoding="utf-8")
    assert list(_run(tree).outcomes) == ["quick/test_q.py::test_q"]
    assert list(_run(tree, "tests").outcomes) == ["tests/test_lib.py::test_one"]


def test_tests_can_be_selected(tree):
    _test_file(tree, "def test_alpha(): pass\ndef test_beta(): pass\n")
    assert list(_run(tree, select="alpha or beta").outcomes) == [
        "tests/test_lib.py::test_alpha",
        "tests/test_lib.py::test_beta",
    ]
    assert list(_run(tree, "tests/test_lib.py::test_beta").outcomes) == ["tests/test_lib.py::test_beta"]
    assert list(_run(tree, select="beta").outcomes) == ["tests/test_lib.py::test_beta"]


@pytest.mark.parametrize("path", ["../outside", "missing", "-x"])
def test_a_path_that_is_not_in_the_tree_is_unknown(tree, path):
    report = _run(tree, path)
    assert report.status == "unknown"
    assert repr(path) in report.reason


def test_a_missing_plugin_is_named(tree):
    (tree / "pytest.ini").write_text("[pytest]\naddopts = --cov=lib\n", encoding="utf-8")
    report = _run(tree)
    assert report.status == "unknown"
    assert report.reason.endswith("unrecognized arguments: --cov=lib; pytest-cov is missing from this interpreter")


def test_parallel_runs_are_brought_back_into_one_process(tree):
    (tree / "pytest.ini").write_text("[pytest]\naddopts = -n 2\n", encoding="utf-8")
    assert _run(tree).imported_from["lib"].is_from_tree


def test_a_copy_installed_elsewhere_does_not_win(tree, tmp_path):
    installed = tmp_path / "installed"
    (installed / "lib").mkdir(parents=True)
    (installed / "lib" / "__init__.py").write_text("def one():\n    return 2\n", encoding="utf-8")
    assert _run(tree, extra_path=[str(installed)]).status == "passed"


def test_modules_imported_from_elsewhere_fail_the_run(tree, tmp_path):
    installed = tmp_path / "installed"
    (installed / "lib").mkdir(parents=True)
    (installed / "lib" / "__init__.py").write_text("def one():\n    return 1\n", encoding="utf-8")
    (tree / "conftest.py").write_text(f"import sys\nsys.path.insert(0, {str(installed)!r})\n", encoding="utf-8")
    report = _run(tree)
    assert report.status == "failed"
    assert not report.imported_from["lib"].is_from_tree
    assert report.reason.startswith(f"the tests imported lib ({installed}")


def test_packages_named_like_the_platforms_own_come_from_the_tree(tree):
    (tree / "services").mkdir()
    (tree / "services" / "__init__.py").touch()
    (tree / "services" / "kernel.py").write_text("WHO = 'tree'\n", encoding="utf-8")
    _test_file(tree, "from services.kernel import WHO\ndef test_who(): assert WHO == 'tree'\n")
    root = str(DRIVER.parents[3])
    report = _run(tree, extra_path=[root])
    assert report.status == "passed"
    assert report.imported_from["services"].is_from_tree


def test_a_src_layout_is_put_first(tree):
    (tree / "src").mkdir()
    (tree / "lib").rename(tree / "src" / "lib")
    assert _run(tree).imported_from["lib"].file == "src/lib/__init__.py"


def test_child_processes_see_the_tree_first(tree):
    _test_file(
        tree,
        "import subprocess, sys\n"
        "def test_child():\n"
        "    command = [sys.executable, '-c', 'import lib; print(lib.__file__)']\n"
        "    done = subprocess.run(command, cwd='/', capture_output=True)\n"
        f"    assert done.stdout.decode().startswith({str(tree)!r})\n",
    )
    assert _run(tree).status == "passed"


def test_configuration_above_the_tree_is_not_read(tree):
    (tree.parent / "pytest.ini").write_text("[pytest]\naddopts = --nonsense\n", encoding="utf-8")
    assert _run(tree).status == "passed"


def test_output_that_looks_like_a_report_does_not_confuse(tree):
    _test_file(tree, f"def test_print(): print('\\n{RESULT_MARKER}{{}}'); assert 0\n")
    assert _run(tree).status == "failed"


def test_a_process_that_ends_early_is_no_pass(tree):
    _test_file(tree, "import os\ndef test_exit(): os._exit(0)\n")
    report = _run(tree)
    assert (report.status, report.reason) == ("failed", "the test process ended before it reported")


def test_an_interpreter_without_pytest_is_unknown(tree):
    code = (
        "import sys, runpy; sys.modules['pytest'] = None; "
        f"sys.argv = ['driver.py', '--root', {str(tree)!r}]; runpy.run_path({str(DRIVER)!r}, run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, env={}, check=True)
    report = parse_test_output(done.stdout)
    assert report.status == "unknown"
    assert "pytest is not installed" in report.reason


def test_the_script_stands_alone():
    source = DRIVER.read_text(encoding="utf-8")
    assert "services." not in source


CONFIG = '[tool.pytest.ini_options]\nfilterwarnings = ["error"]\n'
ASYNC_TEST = "import asyncio\nasync def test_wait():\n    await asyncio.sleep(0)\n"


def test_a_foreign_interpreter_loads_no_plugin_that_the_project_does_not_declare(tree):
    """pytest-asyncio warns about a setting that others never made; with warnings as errors that is fatal."""
    (tree / "pyproject.toml").write_text(CONFIG, encoding="utf-8")
    report = _run(tree, is_own_interpreter=False)
    assert (report.status, report.passed) == ("passed", 1)


def test_a_declared_plugin_is_loaded(tree):
    extra = '[project.optional-dependencies]\ntest = ["pytest-asyncio>=1"]\n'
    declared = f'{extra}[tool.pytest.ini_options]\nasyncio_mode = "auto"\n'
    (tree / "pyproject.toml").write_text(declared, encoding="utf-8")
    _test_file(tree, ASYNC_TEST)
    assert _run(tree, is_own_interpreter=False).passed == 1


def test_a_crash_of_pytest_itself_says_nothing_about_the_tests(tree):
    (tree / "conftest.py").write_text("def pytest_collection_modifyitems():\n    raise RuntimeError('boom')\n")
    report = _run(tree)
    assert report.status == "unknown"
    assert "boom" in report.reason


def test_files_that_need_a_module_nobody_has_are_told_and_are_no_failure(tree):
    (tree / "tests" / "test_needy.py").write_text("import no_such_module_anywhere\n\ndef test_it():\n    pass\n")
    report = _run(tree)
    assert (report.status, report.passed, report.errors) == ("passed", 1, 0)
    assert (report.files_not_imported, report.missing_modules) == (1, ("no_such_module_anywhere",))


def test_nothing_is_known_when_every_file_needs_a_missing_module(tree):
    _test_file(tree, "import no_such_module_anywhere\n\ndef test_it():\n    pass\n")
    report = _run(tree)
    assert (report.status, report.pass_rate) == ("unknown", None)
    assert "no_such_module_anywhere" in report.reason


def test_a_module_that_the_tree_should_have_is_a_failure(tree):
    _test_file(tree, "import lib.gone\n\ndef test_it():\n    pass\n")
    report = _run(tree)
    assert (report.status, report.errors) == ("failed", 1)


def test_link_that_leaves_the_tree_is_not_followed(tmp_path):
    tree = tmp_path / "outer" / "tree"
    tree.mkdir(parents=True)
    (tmp_path / "outer" / "test_outside.py").write_text("def test_outside():\n    raise AssertionError\n")
    (tree / "test_inside.py").write_text("def test_inside():\n    pass\n")
    (tree / "away").symlink_to("..")
    report = _run(tree)
    assert (report.collected, report.passed, report.failed) == (1, 1, 0)
