"""Small real git repositories, made with pygit2."""

from collections.abc import Mapping
from pathlib import Path

import pygit2

AUTHOR = pygit2.Signature("A. Tester", "tester@example.org", 1_790_000_000, 0)


class SourceTree:
    """A git repository in a folder; files are given as path -> content."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.git = pygit2.init_repository(str(root), initial_head="main")

    def write(self, files: Mapping[str, str | bytes]) -> None:
        """Write files without committing them."""
        for path, content in files.items():
            target = self.root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.encode() if isinstance(content, str) else content)

    def remove(self, *paths: str) -> None:
        """Delete files without committing that."""
        for path in paths:
            (self.root / path).unlink()

    def commit(self, files: Mapping[str, str | bytes] | None = None) -> str:
        """Write files, commit everything in the folder, return the commit's sha."""
        self.write(files or {})
        index = self.git.index
        index.read()
        index.add_all()
        index.write()
        parents = [] if self.git.head_is_unborn else [self.git.head.target]
        return str(self.git.create_commit("HEAD", AUTHOR, AUTHOR, "change", index.write_tree(), parents))
