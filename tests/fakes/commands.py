"""A platform of its own for each test that asks: a fresh home, the real commands, a real repository."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


@dataclass
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass
class Platform:
    """The two commands, on one home."""

    home: Path

    def environment(self):
        kept = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR") if name in os.environ}
        return {**kept, "PATH": f"{BIN}:/usr/local/bin:/usr/bin:/bin", "DIRENG_HOME": str(self.home), "NO_COLOR": "1"}

    def run(self, *argv, cwd, timeout_s=150):
        done = subprocess.run(
            argv,
            cwd=cwd,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def direng(self, *argv, cwd, **options):
        return self.run("direng", *argv, cwd=cwd, **options)

    def vp(self, *argv, cwd, **options):
        return self.run("vp", *argv, cwd=cwd, **options)


@pytest.fixture
def platform(tmp_path):
    """A platform whose server is stopped when the test ends."""
    own = Platform(tmp_path / "home")
    yield own
    if (own.home / "server.json").exists():
        own.direng("down", cwd=tmp_path)


def git(*argv, cwd):
    """Run git as a plain user would; return what it printed."""
    identity = ("-c", "user.name=Test", "-c", "user.email=test@localhost")
    done = subprocess.run(("git", *identity, *argv), cwd=cwd, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def sample(tmp_path):
    """The sample project as a clean repository with one commit."""
    repo = tmp_path / "stockbook"
    shutil.copytree(ROOT / "tests/fixtures/sample_project", repo)
    git("init", "-q", "-b", "main", cwd=repo)
    git("add", "-A", cwd=repo)
    git("commit", "-qm", "The books", cwd=repo)
    return repo
