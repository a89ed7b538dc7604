"""The terminal starts fast because it imports little: the standard library, and prompt_toolkit in the REPL."""

import os
import subprocess
import sys
from pathlib import Path

from cli import direng

ROOT = Path(direng.__file__).resolve().parents[1]
# The interpreter may know another installation of the platform, or none: what is tested is this tree.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"}

HEAVY = {"pydantic", "fastapi", "aiohttp", "sqlalchemy", "dbos", "uvicorn", "pygit2", "typer", "rich", "asyncio"}


def loaded_by(code):
    script = f"{code}\nimport sys; print(' '.join(sorted(sys.modules)))"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=ENVIRONMENT, cwd="/", capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_direng_and_its_commands_import_nothing_heavy():
    assert not loaded_by("import cli.direng, cli.commands") & HEAVY


def test_the_repl_adds_prompt_toolkit_and_nothing_else_heavy():
    modules = loaded_by("import cli.repl")
    assert "prompt_toolkit" in modules
    assert not modules & (HEAVY - {"asyncio"})


def test_the_working_directory_is_never_imported(tmp_path):
    for name in ("services", "cli"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('the wrong package was imported')")
    as_script = {name: value for name, value in ENVIRONMENT.items() if name != "PYTHONSAFEPATH"}
    for argv, environment in (([direng.__file__], as_script), (["-m", "cli.direng"], ENVIRONMENT)):
        command = [sys.executable, *argv, "--version"]
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
