"""Change files of the user's working tree: each change is one atomic step, no symlink is followed."""

import contextlib
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from services.edits.disk import Disk
from services.edits.errors import UnreadablePathError, WorktreeChangedError
from services.edits.owner import acting_as
from services.edits.paths import check_path
from services.edits.tree import MODE_LINK, TreeEntry

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class DiskWriter:
    """Writes below `disk.root` with its owner's rights; `mark` makes this run's temporary names its own."""

    disk: Disk
    mark: str

    @property
    def temporary_name(self) -> str:
        """The name a file has while it is being written, in the folder of its target."""
        return f".direng-{self.mark}.tmp"

    def put(self, path: str, entry: TreeEntry, data: bytes, permissions: int | None) -> None:
        """Make `path` hold this content, replacing a file or symlink (or an empty folder) that is there."""
        check_path(path)
        folder, _, name = path.rpartition("/")
        with acting_as(self.disk.owner), _refusing(path), self._opened(folder, is_made=True) as handle:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.temporary_name, dir_fd=handle)
            if entry.mode == MODE_LINK:
                os.symlink(data, os.fsencode(self.temporary_name), dir_fd=handle)
            else:
                _write(handle, self.temporary_name, data, _permissions(entry, permissions))
            with contextlib.suppress(OSError):
                os.rmdir(name, dir_fd=handle)
            os.rename(self.temporary_name, name, src_dir_fd=handle, dst_dir_fd=handle)
            os.fsync(handle)

    def remove(self, path: str) -> None:
        """Delete a file or symlink, and the folders that are empty then, as git does."""
        check_path(path)
        folder, _, name = path.rpartition("/")
        with acting_as(self.disk.owner), _refusing(path):
            with self._opened(folder, is_made=False) as handle:
                os.unlink(name, dir_fd=handle)
                os.fsync(handle)
            self._prune(folder)

    def clean(self, path: str) -> None:
        """Remove what a killed process left beside `path`, and folders it made for nothing."""
        folder, _, _name = path.rpartition("/")
        with acting_as(self.disk.owner), contextlib.suppress(OSError):
            with self._opened(folder, is_made=False) as handle:
                os.unlink(self.temporary_name, dir_fd=handle)
            self._prune(folder)

    def _prune(self, folder: str) -> None:
        while folder:
            parent, _, name = folder.rpartition("/")
            try:
                with self._opened(parent, is_made=False) as handle:
                    os.rmdir(name, dir_fd=handle)
            except OSError as error:
                if error.errno in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT, errno.ENOTDIR, errno.EBUSY}:
                    return
                raise
            folder = parent

    @contextmanager
    def _opened(self, folder: str, *, is_made: bool) -> Iterator[int]:
        if is_made:
            self._make(folder)
        handle = self.disk.open_folder(folder)
        try:
            yield handle
        finally:
            os.close(handle)

    def _make(self, folder: str) -> None:
        parts = folder.split("/") if folder else []
        for count in range(len(parts)):
            with self._opened("/".join(parts[:count]), is_made=False) as handle, contextlib.suppress(FileExistsError):
                os.mkdir(parts[count], 0o755, dir_fd=handle)


@contextmanager
def _refusing(path: str) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise UnreadablePathError(
            f"cannot write {path!r}: give the owner of the repository write permission"
        ) from error
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST}:
            raise WorktreeChangedError(
                f"{path!r} was changed meanwhile ({error.strerror}); nothing was applied"
            ) from error
        raise


def _permissions(entry: TreeEntry, known: int | None) -> int:
    if known is None:
        return 0o755 if entry.mode & 0o111 else 0o644
    plain = known & 0o666
    return plain | ((plain & 0o444) >> 2) if entry.mode & 0o111 else plain


def _write(folder: int, name: str, data: bytes, permissions: int) -> None:
    handle = os.open(name, _CREATE, 0o600, dir_fd=folder)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fchmod(handle, permissions)
        os.fsync(handle)
