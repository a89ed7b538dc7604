"""A repository that real git works on, and what git itself would commit of it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from services.vector_ops.source.repository import GitSource
from services.vector_ops.source.worktree import Worktree

IDENTITY = {
    "GIT_AUTHOR_NAME": "A. Tester",
    "GIT_AUTHOR_EMAIL": "tester@example.org",
    "GIT_COMMITTER_NAME": "A. Tester",
    "GIT_COMMITTER_EMAIL": "tester@example.org",
}


class Desk:
    """A working tree; `git` runs git in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()
        self._environment = {"PATH": os.environ["PATH"], "HOME": str(root.parent), **IDENTITY}
        self.git("init", "-q", "-b", "main")

    def git(self, *argv, check=True, **environment):
        done = subprocess.run(
            ("git", *argv),
            cwd=self.root,
            env=self._environment | environment,
            capture_output=True,
            check=check,
            stdin=subprocess.DEVNULL,
        )
        return os.fsdecode(done.stdout).strip()

    def put(self, files):
        for path, content in files.items():
            target = self.root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.encode() if isinstance(content, str) else content)

    def commit(self, files=None):
        self.put(files or {})
        self.git("add", "-A")
        self.git("commit", "-qm", "change", "--allow-empty")
        return self.head()

    def head(self):
        return self.git("rev-parse", "HEAD")

    def commit_apart(self):
        """Commit all of the working tree as `git add -A` would, leaving HEAD and the index as they are."""
        index = self.root.parent / "index-apart"
        # With its time: git looks again at files that are as young as its index.
        shutil.copy2(self.root / ".git/index", index)
        self.git("add", "-A", GIT_INDEX_FILE=str(index))
        tree = self.git("write-tree", GIT_INDEX_FILE=str(index))
        return self.git("commit-tree", tree, "-m", "apart")


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path / "desk")


@pytest.fixture
def source(desk):
    desk.commit({"a.py": "a = 1\n", "pkg/b.py": "b = 1\n"})
    opened = GitSource(str(desk.root))
    yield opened
    opened.close()


@pytest.fixture(params=["watched", "scanned"])
def worktree(request, source):
    made = Worktree(source, is_watched=request.param == "watched")
    yield made
    made.close()
