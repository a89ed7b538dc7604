"""Runs a tree's tests with pytest and reports where its modules were imported from.

A stand-alone script: `python -I driver.py --root DIR [--select EXPR] [-- PATH ...]`. It imports the standard library
and pytest only, because it runs in the tree's own interpreter. The last line it prints is a marker and one line of JSON
(`TestReport` of commands.py); it then exits with 0, whatever the tests did.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import importlib.util
import io
import json
import os
import re
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MARKER = "::direng-test-result::"
MAX_OUTCOMES, MAX_FAILURES, MAX_OUTSIDE, MAX_MESSAGE_CHARS = 2000, 50, 20, 300
_USAGE_ERROR, _NO_TESTS, _INTERNAL_ERROR = 4, 5, 3
_BAD = ("failed", "error", "xpassed")
_ORDER = ("failed", "error", "xpassed", "passed", "skipped", "xfailed")
_MISSING_MODULE = re.compile(r"ModuleNotFoundError: No module named '([\w.]+)'")
_CONFIG_FILES = ("pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini")
# Option or setting in a complaint of pytest -> the plugin `pytest-NAME` that knows it.
_PLUGINS = {"-n": "xdist", "--dist": "xdist", "--cov": "cov", "--timeout": "timeout", "timeout": "timeout"} | {
    "asyncio_": "asyncio", "--asyncio": "asyncio", "--benchmark": "benchmark", "--randomly": "randomly",
    "--disable-socket": "socket", "--reruns": "rerunfailures", "django": "django",
}  # fmt: skip


class Recorder:
    """A pytest plugin that keeps the outcome of every test."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.missing: dict[str, str] = {}
        self.outcomes: dict[str, str] = {}
        self.failures: list[dict[str, str]] = []
        self.collected = 0
        self.crash: str | None = None

    def pytest_internalerror(self, excrepr: Any) -> None:
        """Keep why pytest itself failed."""
        self.crash = _last_line(str(excrepr))

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        """Pass over links that leave the tree: behind one may lie the whole file system."""
        is_away = collection_path.is_symlink() and not collection_path.resolve().is_relative_to(self._root.resolve())
        return True if is_away else None

    def pytest_collection_finish(self, session: Any) -> None:
        """Count the tests that were selected."""
        self.collected = len(session.items)

    def pytest_collectreport(self, report: Any) -> None:
        """Record a file that could not be collected as an error."""
        if report.failed and not self._note_missing(report):
            self._record(report.nodeid or "collection", "error", report.longreprtext)

    def _note_missing(self, report: Any) -> bool:
        """Return whether a file needs a module that neither the interpreter nor the tree has; that is no failure."""
        found = _MISSING_MODULE.search(report.longreprtext)
        if found is None or found[1].partition(".")[0] in _top_level(self._root):
            return False
        self.missing[report.nodeid or "collection"] = found[1]
        return True

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Record a phase of a test; setup and teardown only count when they fail or skip."""
        outcome = _outcome(report)
        if outcome is not None:
            self._record(report.nodeid, outcome, report.longreprtext if outcome in _BAD else "")

    def _record(self, nodeid: str, outcome: str, detail: str) -> None:
        before = self.outcomes.get(nodeid)
        if before is None or _ORDER.index(outcome) < _ORDER.index(before):
            self.outcomes[nodeid] = outcome
        if detail and len(self.failures) < MAX_FAILURES:
            self.failures.append({"nodeid": nodeid, "message": _last_line(detail)})


def _outcome(report: Any) -> str | None:
    if hasattr(report, "wasxfail"):
        return ("xfailed" if report.skipped else "xpassed") if report.when == "call" or report.skipped else None
    if report.failed:
        return "failed" if report.when == "call" else "error"
    if report.skipped:
        return "skipped"
    return "passed" if report.when == "call" else None


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    marked = [line.removeprefix("E").strip() for line in lines if line.startswith("E ")]
    return (marked or lines or [""])[0 if marked else -1][:MAX_MESSAGE_CHARS]


def main(argv: list[str] | None = None) -> int:
    """Run the tests named on the command line; print the report; return 0."""
    parser = argparse.ArgumentParser(description="Run a tree's tests and report as one line of JSON.")
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--select", help="a pytest -k expression")
    parser.add_argument("--plugins", choices=("declared", "all"), default="all", help="which installed plugins to load")
    parser.add_argument("paths", nargs="*")
    args = parser.parse_args(argv)
    report = run(args.root.resolve(), args.paths, args.select, plugins=args.plugins)
    sys.stdout.write(f"\n{MARKER}{json.dumps(report)}\n")
    sys.stdout.flush()
    return 0


def run(root: Path, paths: list[str], select: str | None, *, plugins: str = "all") -> dict[str, Any]:
    """Run pytest in this process and return the report.

    `plugins` is `declared` when the interpreter is not the project's own: only plugins that the tree names are loaded.
    """
    try:
        import pytest  # noqa: PLC0415 - a tree's interpreter may not have it, which is an answer and not a crash
    except ImportError:
        return _unknown("pytest is not installed in this interpreter: install it to have the tests run")
    try:
        chosen = paths or _configured(root)
    except (OSError, ValueError) as error:
        return _unknown(f"pyproject.toml cannot be read: {error}")
    problem = _path_problem(root, chosen)
    if problem is not None:
        return _unknown(problem)
    _enter(root)
    extra = _choose_plugins(root) if plugins == "declared" else None
    recorder = Recorder(root)
    complaints = _Tee()
    started = time.monotonic()
    with contextlib.redirect_stderr(complaints):
        exit_status = int(pytest.main(_arguments(root, chosen, select, extra), plugins=[recorder]))
    report = _report(recorder, exit_status, complaints.getvalue())
    report["duration_s"] = round(time.monotonic() - started, 3)
    return _judge_imports(report, imported_from(root))


class _Tee(io.StringIO):
    """Standard error that is also kept, for the reasons pytest gives there."""

    def write(self, text: str) -> int:
        if sys.__stderr__ is not None:
            sys.__stderr__.write(text)
        return super().write(text)


def _configured(root: Path) -> list[str]:
    """Return `[tool.direng] tests` of the tree, or nothing: pytest's own defaults."""
    file = root / "pyproject.toml"
    if not file.is_file():
        return []
    table = tomllib.loads(file.read_text(encoding="utf-8")).get("tool", {}).get("direng", {})
    tests = table.get("tests", [])
    if not isinstance(tests, list) or not all(isinstance(each, str) for each in tests):
        raise ValueError("[tool.direng] tests must be a list of paths")
    return tests


def _path_problem(root: Path, paths: list[str]) -> str | None:
    for path in paths:
        target = (root / path.partition("::")[0]).resolve()
        if path.startswith("-") or not target.is_relative_to(root):
            return f"test path {path!r} is not inside the tree"
        if not target.exists():
            return f"test path {path!r} does not exist"
    return None


def _enter(root: Path) -> None:
    """Make the tree the current directory and the first place to import from, for child processes as well."""
    os.chdir(root)
    first = [str(root)]
    if (root / "src").is_dir() and not (root / "src" / "__init__.py").exists():
        first.insert(0, str(root / "src"))
    sys.path[:0] = first
    sys.dont_write_bytecode = True
    os.environ["PYTHONPATH"] = os.pathsep.join(first)
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    for name in _top_level(root):
        _forget_outside(name, root)


def _forget_outside(name: str, root: Path) -> None:
    """Drop a module that start-up imported from elsewhere although the tree has one of that name."""
    module = sys.modules.get(name)
    if module is not None and name not in sys.stdlib_module_names and _is_outside(module, root):
        for loaded in [each for each in sys.modules if each == name or each.startswith(f"{name}.")]:
            del sys.modules[loaded]


def _arguments(root: Path, paths: list[str], select: str | None, extra: list[str] | None) -> list[str]:
    """Return pytest's arguments; `extra` loads chosen plugins (None: pytest loads all that are installed)."""
    is_limited = extra is not None
    extra = extra or []
    arguments = [*extra, "--rootdir", str(root), "-p", "no:cacheprovider", "-q", "--color=no"]
    arguments.append("--continue-on-collection-errors")  # a file that cannot be imported must not hide the others
    if not _has_configuration(root):
        arguments += ["-c", os.devnull]  # pytest would look for one in the directories above the tree
    if importlib.util.find_spec("xdist") is not None and (not is_limited or "xdist.plugin" in extra):
        arguments += ["-n", "0"]  # imports are judged in this process, so the tests have to run in it
    if select is not None:
        arguments += ["-k", select]
    return [*arguments, *paths]


def _choose_plugins(root: Path) -> list[str]:
    """Return the `-p` options of the installed pytest plugins that the tree declares, and switch the others off.

    A plugin that only this platform's interpreter has would change what the project's tests see (its warnings, say).
    """
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    declared = _declarations(root)
    chosen: list[str] = []
    for entry in importlib.metadata.entry_points(group="pytest11"):
        package = entry.dist.name if entry.dist is not None else entry.name
        if re.search(rf"(?<![\w-]){re.escape(package.lower())}(?![\w-])", declared):
            chosen += ["-p", entry.value.partition(":")[0]]
    return chosen


def _declarations(root: Path) -> str:
    patterns = (
        "pyproject.toml",
        "setup.cfg",
        "setup.py",
        "tox.ini",
        "Pipfile",
        "*requirements*.txt",
        "requirements/*.txt",
    )
    files = [path for pattern in patterns for path in root.glob(pattern) if path.is_file()]
    return "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in files).lower()


def _has_configuration(root: Path) -> bool:
    if any((root / name).is_file() for name in _CONFIG_FILES):
        return True
    marks = {"pyproject.toml": "[tool.pytest", "tox.ini": "[pytest]", "setup.cfg": "[tool:pytest]"}
    return any(
        mark in (root / name).read_text(encoding="utf-8", errors="replace")
        for name, mark in marks.items()
        if (root / name).is_file()
    )


# -- the report


def _report(recorder: Recorder, exit_status: int, complaints: str) -> dict[str, Any]:
    counts = dict.fromkeys(_ORDER, 0)
    for outcome in recorder.outcomes.values():
        counts[outcome] += 1
    ordered = sorted(recorder.outcomes.items(), key=lambda each: _ORDER.index(each[1]))
    status, reason = _status(recorder, exit_status, complaints)
    modules = sorted(set(recorder.missing.values()))
    if modules and status == "failed" and not any(counts[outcome] for outcome in _BAD):
        status = "passed"  # pytest's exit status counts the files that could not be imported
    if modules and not recorder.outcomes:
        cure = "put a .venv with the project's dependencies into the repository"
        status, reason = "unknown", f"the tests need {', '.join(modules[:5])}, which is not installed; {cure}"
    return {
        "status": status,
        "reason": reason,
        "collected": recorder.collected,
        "passed": counts["passed"] + counts["xfailed"],
        "failed": counts["failed"] + (counts["xpassed"] if status == "failed" else 0),
        "errors": counts["error"],
        "skipped": counts["skipped"],
        "exit_status": exit_status,
        "outcomes": dict(ordered[:MAX_OUTCOMES]),
        "outcomes_omitted": max(0, len(ordered) - MAX_OUTCOMES),
        "failures": recorder.failures,
        "files_not_imported": len(recorder.missing),
        "missing_modules": modules,
    }


def _status(recorder: Recorder, exit_status: int, complaints: str) -> tuple[str, str | None]:
    if exit_status == _NO_TESTS:
        return "unknown", "pytest found no tests"
    if exit_status == _USAGE_ERROR:
        return "unknown", _refusal(complaints)
    if exit_status == _INTERNAL_ERROR:
        return "unknown", _crash(recorder, complaints)
    return ("passed", None) if exit_status == 0 else ("failed", None)


def _refusal(complaints: str) -> str:
    lines = [line.strip() for line in complaints.splitlines() if "error" in line.lower()]
    said = (lines or ["no reason given"])[-1][:MAX_MESSAGE_CHARS]
    plugin = next((plugin for mark, plugin in _PLUGINS.items() if f" {mark}" in f" {said}"), None)
    cure = f"; pytest-{plugin} is missing from this interpreter" if plugin else ""
    return f"pytest refused the project's configuration: {said}{cure}"


def _crash(recorder: Recorder, complaints: str) -> str:
    """Return why pytest itself failed; that says nothing about the tests."""
    lines = [line.removeprefix("INTERNALERROR>").strip() for line in complaints.splitlines()]
    said = recorder.crash or _last_line("\n".join(line for line in lines if line and not line.startswith("^")))
    return f"pytest failed inside itself: {said}"


def _unknown(reason: str) -> dict[str, Any]:
    return {"status": "unknown", "reason": reason}


# -- where modules came from


def imported_from(root: Path) -> dict[str, Any]:
    """Return, for each imported top-level name of the tree, whether all of it that the tree has came from the tree."""
    found: dict[str, Any] = {}
    for name in sorted(_top_level(root)):
        loaded = {each: sys.modules[each] for each in list(sys.modules) if each == name or each.startswith(f"{name}.")}
        if name not in loaded:
            continue
        outside = sorted(each for each, module in loaded.items() if _is_rival(each, module, root))
        file = next(iter(_locations(loaded[name])), None)
        found[name] = {
            "is_from_tree": not outside,
            "file": _shown(file, root) if file is not None else None,
            "outside": [f"{each} ({next(iter(_locations(loaded[each])))})" for each in outside[:MAX_OUTSIDE]],
        }
    return found


def _judge_imports(report: dict[str, Any], imports: dict[str, Any]) -> dict[str, Any]:
    report["imported_from"] = imports
    foreign = [each for entry in imports.values() for each in entry["outside"]]
    if foreign and report["status"] != "unknown":
        report["status"] = "failed"
        report["reason"] = (
            f"the tests imported {foreign[0]}, not the tree's own copy: their result says nothing about it"
        )
    return report


def _bases(root: Path) -> Iterator[Path]:
    yield root
    if (root / "src").is_dir():
        yield root / "src"


def _top_level(root: Path) -> set[str]:
    """Return the names that can be imported from the tree: modules, and directories that hold Python files."""
    names: set[str] = set()
    for base in _bases(root):
        for entry in base.iterdir():
            if entry.suffix == ".py" and entry.stem.isidentifier():
                names.add(entry.stem)
            elif entry.is_dir() and entry.name.isidentifier() and _holds_python(entry):
                names.add(entry.name)
    return names - {"src", "conftest", "setup"}


def _holds_python(directory: Path) -> bool:
    return any(directory.glob("*.py")) or any(directory.glob("*/*.py"))


def _locations(module: Any) -> list[Path]:
    file = getattr(module, "__file__", None)
    if isinstance(file, str):
        return [Path(file).resolve()]
    try:
        return [Path(each).resolve() for each in getattr(module, "__path__", [])]
    except (TypeError, KeyError):  # a namespace package whose parent was dropped recomputes its path and fails
        return []


def _is_outside(module: Any, root: Path) -> bool:
    locations = _locations(module)
    return bool(locations) and not any(each.is_relative_to(root) for each in locations)


def _is_rival(name: str, module: Any, root: Path) -> bool:
    """Return whether a module came from elsewhere although the tree has a file for it."""
    if not _is_outside(module, root):
        return False
    relative = Path(*name.split("."))
    files = (relative.with_suffix(".py"), relative / "__init__.py")
    return any((base / file).is_file() for base in _bases(root) for file in files)


def _shown(file: Path, root: Path) -> str:
    return file.relative_to(root).as_posix() if file.is_relative_to(root) else str(file)


if __name__ == "__main__":
    sys.exit(main())
