"""The user's index file: read it, compute its successor, and hold git's own lock on it while a change is made."""

import contextlib
import errno
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import pygit2
from pygit2.enums import FileMode

from services.edits.change import PathChange
from services.edits.errors import IndexLockedError, UnsupportedRepositoryError
from services.edits.owner import Owner, acting_as, acting_as_server
from services.edits.tree import TreeEntry


def digest(data: bytes) -> str:
    """Return the SHA-256 of an index file's bytes."""
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class IndexFile:
    """`index` and `index.lock` in a git directory, used with its owner's rights."""

    git_dir: Path
    owner: Owner
    mark: str

    def read(self) -> bytes:
        """Return the present bytes; empty when there is no index."""
        with acting_as(self.owner):
            return _read(self._index)

    def build(self, present: bytes, changes: tuple[PathChange, ...], scratch: Path) -> bytes:
        """Return the bytes of the index after `changes`; `scratch` is a server-owned file that is removed again."""
        if not changes:
            return present
        with acting_as_server():
            return _build(present, changes, scratch)

    def lock(self, successor: bytes) -> None:
        """Create index.lock with the successor's bytes in one step; raise IndexLockedError if git holds it."""
        with acting_as(self.owner):
            self._spare.unlink(missing_ok=True)
            handle = os.open(self._spare, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
            with os.fdopen(handle, "wb") as file:
                file.write(successor)
                file.flush()
                os.fsync(handle)
            try:
                self._copy_time()
                os.link(self._spare, self._lock)
            except FileExistsError as error:
                raise IndexLockedError(
                    "another git process holds .git/index.lock; wait for it (or remove the file if none runs)"
                ) from error
            finally:
                self._spare.unlink(missing_ok=True)

    def _copy_time(self) -> None:
        # git rechecks files as new as the index. The successor keeps its predecessor's time, so that no change of the
        # last moment is taken for clean; our own entries carry no file times and are rechecked anyway.
        with contextlib.suppress(FileNotFoundError):
            about = self._index.stat()
            os.utime(self._spare, ns=(about.st_atime_ns, about.st_mtime_ns))

    def is_locked_by_us(self, sha256: str) -> bool:
        """Return whether index.lock is the one that `lock` made."""
        with acting_as(self.owner):
            return self._lock.exists() and digest(_read(self._lock)) == sha256

    def commit(self) -> None:
        """Put the locked successor in place."""
        with acting_as(self.owner):
            self._lock.replace(self._index)

    def unlock(self, sha256: str) -> None:
        """Drop our lock, and only ours."""
        with acting_as(self.owner):
            self._spare.unlink(missing_ok=True)
        if self.is_locked_by_us(sha256):
            with acting_as(self.owner):
                self._lock.unlink()

    @property
    def _index(self) -> Path:
        return self.git_dir / "index"

    @property
    def _lock(self) -> Path:
        return self.git_dir / "index.lock"

    @property
    def _spare(self) -> Path:
        return self.git_dir / f"index.direng-{self.mark}"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        if error.errno == errno.ENOENT:
            return b""
        raise


def _mode(entry: TreeEntry) -> FileMode:
    if not entry.is_file:
        return FileMode(entry.mode)
    return FileMode.BLOB_EXECUTABLE if entry.mode & 0o111 else FileMode.BLOB


def _build(present: bytes, changes: tuple[PathChange, ...], scratch: Path) -> bytes:
    try:
        if present:
            scratch.write_bytes(present)
        index = pygit2.Index(str(scratch))
        for change in changes:  # first what goes: a file may become a folder
            if change.new is None:
                index.remove(change.path)
        for change in changes:
            if change.new is not None:
                index.add(pygit2.IndexEntry(change.path, pygit2.Oid(hex=change.new.oid), _mode(change.new)))
        index.write()
        return scratch.read_bytes()
    except UnicodeEncodeError as error:
        raise UnsupportedRepositoryError("a changed file's name is not UTF-8; commit it with git itself") from error
    finally:
        scratch.unlink(missing_ok=True)
