"""A folder on disk, touched only through directory descriptors: no symlink is ever followed, in any component."""

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from services.edits.errors import UnreadablePathError, UnsafePathError
from services.edits.objects import hash_object
from services.edits.owner import Owner, acting_as
from services.edits.tree import MODE_EXECUTABLE, MODE_FILE, MODE_LINK, TreeEntry

_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class Kind(Enum):
    """What a name on disk is, without following it."""

    FILE = auto()
    LINK = auto()
    FOLDER = auto()
    SPECIAL = auto()


@dataclass(frozen=True, slots=True)
class DiskFile:
    """The content of a file or the target of a symlink; `data` is None when it was larger than asked for."""

    mode: int
    data: bytes | None
    permissions: int = 0o644

    def matches(self, entry: TreeEntry, *, keeps_modes: bool) -> bool:
        """Return whether this is what `entry` says: kind, content, and the executable bit where modes count."""
        if self.data is None or (self.mode == MODE_LINK) != (entry.mode == MODE_LINK):
            return False
        if keeps_modes and (self.mode & 0o111 != 0) != (entry.mode & 0o111 != 0):
            return False
        return hash_object("blob", self.data) == entry.oid


@dataclass(frozen=True)
class Disk:
    """The folder at `root`, used with the rights of `owner`."""

    root: Path
    owner: Owner

    def list_folder(self, path: str) -> list[tuple[str, Kind]]:
        """Return the names in a folder, sorted; empty when it is gone or not a folder.

        Raises UnsafePathError when the root itself is: that must never look like an empty tree.
        """
        with acting_as(self.owner), _naming(path):
            try:
                handle = self.open_folder(path)
            except OSError as error:
                if error.errno not in _ABSENT:
                    raise
                if not path:
                    raise UnsafePathError(
                        f"{self.root} is no folder (or a symlink to one); nothing was read"
                    ) from error
                return []
            try:
                with os.scandir(handle) as entries:
                    return sorted(((entry.name, _kind_of(entry)) for entry in entries), key=lambda item: item[0])
            finally:
                os.close(handle)

    def open_folder(self, path: str) -> int:
        """Return a descriptor of a folder below the root ("" is the root); each component must be a real folder."""
        handle = os.open(self.root, _OPEN_FOLDER)
        for name in path.split("/") if path else ():
            try:
                inner = os.open(name, _OPEN_FOLDER, dir_fd=handle)
            finally:
                os.close(handle)
            handle = inner
        return handle

    def read_files(
        self, folder: str, names: Iterable[str], max_size_bytes: int | None = None
    ) -> Iterator[tuple[str, DiskFile]]:
        """Yield the files and symlinks among `names` of one folder; those that vanished or are special are left out."""
        with acting_as(self.owner), _naming(folder):
            handle = self.open_folder(folder)
        try:
            for name in names:
                with acting_as(self.owner), _naming(f"{folder}/{name}" if folder else name):
                    found = _read(handle, name, max_size_bytes)
                if found is not None:
                    yield name, found
        finally:
            os.close(handle)

    def read_file(self, path: str) -> DiskFile | None:
        """Return one file or symlink; None when nothing is there or something else is."""
        folder, _, name = path.rpartition("/")
        try:
            return dict(self.read_files(folder, [name])).get(name)
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            raise

    def kind_of(self, path: str) -> Kind | None:
        """Return what has this name, None when nothing has."""
        folder, _, name = path.rpartition("/")
        return dict(self.list_folder(folder)).get(name)


class _naming:  # noqa: N801 - reads as a statement
    """Turn a permission error of the block into one that names the path."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, PermissionError):
            raise UnreadablePathError(
                f"cannot read {self._path or '.'!r}: make it readable for the owner of the repository, or ignore it"
            ) from error


def _kind_of(entry: os.DirEntry[str]) -> Kind:
    if entry.is_symlink():
        return Kind.LINK
    if entry.is_dir(follow_symlinks=False):
        return Kind.FOLDER
    return Kind.FILE if entry.is_file(follow_symlinks=False) else Kind.SPECIAL


def _read(folder: int, name: str, max_size_bytes: int | None) -> DiskFile | None:
    try:
        handle = os.open(name, _OPEN_FILE, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ELOOP:
            return DiskFile(MODE_LINK, os.fsencode(os.readlink(name, dir_fd=folder)))
        if error.errno in {errno.ENOENT, errno.ENXIO}:  # vanished, or a socket
            return None
        raise
    try:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode):
            return None
        mode = MODE_EXECUTABLE if about.st_mode & stat.S_IXUSR else MODE_FILE
        if max_size_bytes is not None and about.st_size > max_size_bytes:
            return DiskFile(mode, None)
        with os.fdopen(handle, "rb", closefd=False) as file:
            return DiskFile(mode, file.read(), about.st_mode & 0o777)
    finally:
        os.close(handle)
