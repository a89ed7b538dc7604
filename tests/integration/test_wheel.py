"""The installed wheel: built from the tracked files, installed into a virtual environment that has no checkout."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fakes.commands import ROOT, git

pytestmark = pytest.mark.sandbox

DATABASES = ("direng.db", "pas.db", "pex.db", "plms.db")
INTENT = "rename stockbook.pricing.compute_total to price_lines everywhere and run the tests"
POLICY_MODULE = "services.pas.policy.validate_broker_policy"
TRAP = "raise SystemExit('a folder of the repository was imported')\n"


@dataclass(frozen=True)
class Installed:
    """A virtual environment with the wheel, and a home of its own."""

    prefix: Path
    home: Path

    def run(self, program, *argv, cwd, timeout_s=150):
        environment = {"PATH": f"{self.prefix}/bin:/usr/bin:/bin", "DIRENG_HOME": str(self.home), "NO_COLOR": "1"}
        return subprocess.run(
            (str(self.prefix / "bin" / program), *argv),
            cwd=cwd,
            env=environment | {"HOME": str(self.home.parent), "LANG": "C.UTF-8"},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def succeed(self, program, *argv, cwd):
        done = self.run(program, *argv, cwd=cwd)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def run_tool(*argv, cwd):
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def copy_tracked_files(target):
    for name in git("ls-files", "-z", cwd=ROOT).split("\0"):
        source = ROOT / name
        if name and source.is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name)


def build_wheel(folder):
    source, output = folder / "source", folder / "wheel"
    copy_tracked_files(source)
    build = (sys.executable, "-I", "-m", "build", "--wheel", "--no-isolation", "--outdir", str(output), str(source))
    run_tool(*build, cwd=folder)
    shutil.rmtree(source)
    (wheel,) = output.glob("*.whl")
    return wheel


def link_or_copy(source, target):
    try:
        os.link(source, target)
    except OSError:  # another file system, or somebody else's files
        shutil.copy2(source, target)


def give_dependencies(prefix):
    """Put the dependencies into the environment's own prefix, as pip would: lanes see nothing else. No platform."""
    source = Path(sysconfig.get_paths()["purelib"])
    target = Path(sysconfig.get_paths("venv", vars={"base": str(prefix), "platbase": str(prefix)})["purelib"])
    shutil.copytree(
        source,
        target,
        dirs_exist_ok=True,
        copy_function=link_or_copy,
        ignore=shutil.ignore_patterns("__editable__*", "direng-*", "mypy", "mypyc"),
    )
    shutil.copy2(Path(sys.executable).parent / "ruff", prefix / "bin" / "ruff")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return build_wheel(tmp_path_factory.mktemp("build"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("installed")
    prefix = folder / "venv"
    run_tool(sys.executable, "-m", "venv", "--without-pip", str(prefix), cwd=folder)
    give_dependencies(prefix)
    pip = (sys.executable, "-I", "-m", "pip", "--python", str(prefix / "bin" / "python"))
    run_tool(
        *pip, "install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check", str(wheel), cwd=folder
    )
    own = Installed(prefix, folder / "home")
    yield own
    own.run("direng", "down", cwd=folder)
    shutil.rmtree(prefix)


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """The sample project, with folders that bear the names of the platform's packages and must never be imported."""
    repo = tmp_path_factory.mktemp("elsewhere") / "stockbook"
    shutil.copytree(ROOT / "tests/fixtures/sample_project", repo)
    for name in ("services", "cli"):
        (repo / name).mkdir()
        (repo / name / "__init__.py").write_text(TRAP)
    git("init", "-q", "-b", "main", cwd=repo)
    git("add", "-A", cwd=repo)
    git("commit", "-qm", "The books", cwd=repo)
    return repo


def test_the_wheel_holds_every_tracked_file_of_the_packages_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    tracked = git("ls-files", "-z", "services", "cli", cwd=ROOT).split("\0")
    assert held == {name for name in tracked if name and (ROOT / name).is_file()}


def test_modules_come_from_the_wheel_and_not_from_the_checkout(installed, repository):
    script = (
        "import sys, cli.direng, services.topology as t; print(t.__file__, cli.direng.__file__, *sys.path, sep='\\n')"
    )
    places = installed.succeed("python", "-I", "-c", script, cwd=repository).split()
    assert all(Path(place).is_relative_to(installed.prefix) for place in places[:2])
    assert not [place for place in places if Path(place).is_relative_to(ROOT)]


def test_both_commands_tell_their_version_from_a_folder_with_packages_of_the_same_names(installed, repository):
    assert installed.succeed("direng", "--version", cwd=repository).split()[0] == "direng"
    assert installed.succeed("vp", "--version", cwd=repository).split()[0] == "vp"


def test_the_packaged_example_policy_is_valid_by_the_packaged_schema(installed, repository):
    find = "from importlib.resources import files; print(files('services.pas.policy') / 'model_broker_example.json')"
    example = installed.succeed("python", "-I", "-c", find, cwd=repository).strip()
    assert installed.succeed("python", "-I", "-m", POLICY_MODULE, example, cwd=repository).startswith("VALID")
    assert Path(example).is_relative_to(installed.prefix)


def test_a_server_of_the_wheel_does_the_main_job_and_goes_down(installed, repository):
    """Intents, priors, allowlists and every service's migrations are package data that this job cannot do without."""
    installed.succeed("direng", "up", cwd=repository)
    server = json.loads((installed.home / "server.json").read_text())
    command = Path(f"/proc/{server['pid']}/cmdline").read_bytes().split(b"\0")
    assert Path(os.fsdecode(command[0])).is_relative_to(installed.prefix)
    assert "missing" not in installed.succeed("direng", "doctor", cwd=repository)

    told = installed.succeed("direng", "implement", INTENT, "--delegate", "--yes", cwd=repository)
    assert "completed, verified" in told
    assert "20 of 20 tests passed" in told
    installed.succeed("direng", "accept", cwd=repository)
    assert "def price_lines(" in (repository / "stockbook/pricing.py").read_text()

    installed.succeed("direng", "down", cwd=repository)
    assert not (installed.home / "server.json").exists()
    for name in DATABASES:
        with sqlite3.connect(installed.home / "state" / name) as connection:
            assert connection.execute("SELECT version_num FROM alembic_version").fetchone() is not None
        connection.close()
