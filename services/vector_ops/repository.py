"""Reading a git repository with pygit2: HEAD, trees, blobs, and what is uncommitted. Nothing is ever written.

Contents are compared by blob sha. The server may be root and the repository another user's, so libgit2's owner check is
lifted while a repository is opened; libgit2 runs no hook, filter or helper program on the way.
"""

import os
import stat
import threading
from datetime import UTC, datetime
from pathlib import Path

import pygit2
from pygit2.enums import FileMode, FileStatus, Option

from services.vector_ops.core.facts import MAX_FILE_BYTES, is_secret
from services.vector_ops.core.ports import DirtyFile, Head
from services.vector_ops.protocol import UnindexableError

MAX_DIRTY_FILES = 2_000
"""More are not read at query time: thousands of untracked files are a folder that somebody forgot to ignore."""

_OPEN = threading.Lock()
_PLAIN = frozenset({FileMode.BLOB, FileMode.BLOB_EXECUTABLE})
_NO_FOLLOW = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


def _open(path: str) -> pygit2.Repository:
    # The option is global to libgit2: it is lifted for the open only, so that other users of pygit2 keep the check.
    with _OPEN:
        before = pygit2.option(Option.GET_OWNER_VALIDATION)
        pygit2.option(Option.SET_OWNER_VALIDATION, 0)
        try:
            found = pygit2.discover_repository(path)
            if found is None:
                raise UnindexableError(f"{path} is no git repository; run `git init` there or name another folder")
            return pygit2.Repository(found)
        finally:
            pygit2.option(Option.SET_OWNER_VALIDATION, before)


class GitSource:
    """One repository, opened at or below its root."""

    def __init__(self, path: str) -> None:
        try:
            self._repository = _open(str(Path(path).expanduser()))
        except (pygit2.GitError, ValueError, OSError, KeyError) as error:
            raise UnindexableError(f"{path[:200]!r} cannot be opened as a git repository: {error}") from None
        self.root = Path(self._repository.workdir or self._repository.path).resolve()

    def read_head(self) -> Head:
        try:
            commit = self._repository.head.peel(pygit2.Commit)
        except (pygit2.GitError, KeyError):
            raise UnindexableError(f"{self.root} has no commit yet; commit something first") from None
        committed = datetime.fromtimestamp(commit.commit_time, UTC)
        return Head(str(commit.id), committed, self._read_moved_at(committed))

    def _read_moved_at(self, committed: datetime) -> datetime:
        try:
            entry = next(iter(self._repository.lookup_reference("HEAD").log()), None)
        except (pygit2.GitError, KeyError):
            return committed
        return committed if entry is None else datetime.fromtimestamp(entry.committer.time, UTC)

    def list_blobs(self, commit_sha: str) -> dict[str, str]:
        index = pygit2.Index()
        index.read_tree(self._repository[commit_sha].peel(pygit2.Tree))
        return {entry.path: str(entry.id) for entry in index if entry.mode in _PLAIN and not is_secret(entry.path)}

    def read_blob(self, blob_sha: str) -> bytes:
        blob = self._repository[blob_sha]
        return blob.data if isinstance(blob, pygit2.Blob) else b""

    def size_blob(self, blob_sha: str) -> int:
        blob = self._repository[blob_sha]
        return blob.size if isinstance(blob, pygit2.Blob) else 0

    def list_dirty(self) -> tuple[tuple[DirtyFile, ...], bool]:
        if self._repository.is_bare:
            return (), False
        status = self._repository.status(untracked_files="all", ignored=False)
        root = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            paths = sorted(
                (path for path, flags in status.items() if not flags & FileStatus.IGNORED and not path.endswith("/")),
                key=lambda path: (status[path] == FileStatus.WT_NEW, path),
            )
            files = tuple(DirtyFile(path, _read_plain(root, path)) for path in paths[:MAX_DIRTY_FILES])
            return files, len(paths) > MAX_DIRTY_FILES
        finally:
            os.close(root)


def _read_plain(root: int, path: str) -> bytes | None:
    """Return the content of a plain file below `root`, following no symlink on the way; None for anything else."""
    if is_secret(path):
        return None
    folder, opened = root, list[int]()
    try:
        *parents, name = path.split("/")
        for parent in parents:
            folder = os.open(parent, _NO_FOLLOW | os.O_DIRECTORY, dir_fd=folder)
            opened.append(folder)
        handle = os.open(name, _NO_FOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError:
        return None
    finally:
        for descriptor in opened:
            os.close(descriptor)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        return None
    with os.fdopen(handle, "rb") as file:
        return file.read(MAX_FILE_BYTES + 1)
