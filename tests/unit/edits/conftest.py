import os
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.edits.journal import AcceptJournal
from services.edits.models import Snapshot
from services.edits.repository import UserRepository, open_repository
from services.kernel.ids import GitOid, RunId

MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
RUN = RunId("run-1")


@dataclass
class Bench:
    """A real git repository, the library opened on it, and a stand-in for a lane's folder."""

    root: Path
    home: Path
    base: Path
    names = 0

    def git(self, *arguments: str) -> str:
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_OPTIONAL_LOCKS": "0",  # looking at the repository must not refresh its index
            "GIT_CONFIG_COUNT": "2",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "GIT_CONFIG_KEY_1": "protocol.file.allow",
            "GIT_CONFIG_VALUE_1": "always",
        }
        done = subprocess.run(
            ["git", *arguments], cwd=self.root, env=env, check=True, capture_output=True, errors="surrogateescape"
        )
        return done.stdout

    def write(self, path: str, content: str | bytes) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return file

    def commit(self, message: str = "more") -> str:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)
        return self.head()

    def head(self) -> str:
        return self.git("rev-parse", "HEAD").strip()

    def open(self, path: Path | None = None) -> UserRepository:
        return open_repository(path or self.root, self.base / "stores")

    def journal(self) -> AcceptJournal:
        return AcceptJournal(self.base / "journal")

    def new_folder(self) -> Path:
        self.names += 1
        return self.base / f"lane{self.names}"

    def export(self, tree: GitOid) -> Path:
        folder = self.new_folder()
        self.open().export_tree(tree, folder)
        return folder

    def run(self, snapshot: Snapshot, files: dict[str, str | bytes | None]) -> GitOid:
        """Do what a lane does: export, change files, import."""
        folder = self.export(snapshot.snapshot_tree)
        for path, content in files.items():
            file = folder / path
            if content is None:
                file.unlink()
            else:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content.encode() if isinstance(content, str) else content)
        return self.open().import_tree(folder, snapshot.snapshot_tree).tree

    def accept(self, snapshot: Snapshot, result: GitOid, journal: AcceptJournal | None = None):
        return self.open().accept(RUN, snapshot, result, "Accept", journal or self.journal(), moment=MOMENT)

    def state(self) -> dict[str, str]:
        """Everything of the user's that accept could change, as text: files, index, branch, locks."""
        files = {
            str(file.relative_to(self.root)): (
                file.readlink() if file.is_symlink() else file.read_bytes(),
                file.lstat().st_mode,
            )
            for file in sorted(self.root.rglob("*"))
            if ".git" not in file.relative_to(self.root).parts and (file.is_symlink() or file.is_file())
        }
        locks = sorted(file.name for file in (self.root / ".git").glob("index*"))
        return {
            "files": repr(files),
            "index": self.git("ls-files", "--stage", "-z"),
            "head": self.git("rev-parse", "HEAD"),
            "branch": self.git("symbolic-ref", "HEAD"),
            "locks": repr(locks),
        }


NUMBERS = "".join(f"{number}\n" for number in range(1, 41))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    root, home = tmp_path / "repo", tmp_path / "home"
    root.mkdir()
    home.mkdir()
    bench = Bench(root, home, tmp_path)
    bench.git("init", "-q", "-b", "main")
    bench.git("config", "user.name", "Uma User")
    bench.git("config", "user.email", "uma@example.org")
    bench.write("numbers.txt", NUMBERS)
    bench.write("src/tool.py", "def tool():\n    return 1\n").chmod(0o755)
    bench.write("src/other.py", "x = 1\n")
    bench.write("crlf.txt", b"one\r\ntwo\r\n")
    bench.write(".gitignore", "*.o\nbuild/\n")
    (root / "link").symlink_to("numbers.txt")
    bench.commit("first")
    return bench
