"""Which names below a folder were touched since the last time one asked: inotify's queue, read without waiting.

The kernel queues an event before the call that caused it returns, so whoever reads the queue now knows of every write
that was finished before. What it cannot tell: writes through a memory map after the file was closed, writes through a
hard link from elsewhere, and what other machines do on a network file system (`is_local` says which those are).
"""

import errno
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from inotify_simple import INotify, flags

MAX_WATCHES = 50_000
_MOUNTS = Path("/proc/self/mountinfo")
_REMOTE = frozenset(("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "vboxsf"))
_REMOTE_PREFIXES = ("fuse", "virtiofs", "prl_fs", "vmhgfs")
_MASK = (
    flags.CREATE
    | flags.DELETE
    | flags.MODIFY
    | flags.CLOSE_WRITE
    | flags.MOVED_FROM
    | flags.MOVED_TO
    | flags.ATTRIB
    | flags.DELETE_SELF
    | flags.MOVE_SELF
    | flags.ONLYDIR
    | flags.DONT_FOLLOW
    | flags.EXCL_UNLINK
)
_LOST = flags.Q_OVERFLOW | flags.UNMOUNT
_SELF = flags.DELETE_SELF | flags.MOVE_SELF


class WatchLimitError(Exception):
    """There are more folders than may be watched."""


@dataclass(slots=True)
class Touched:
    """Paths (from the root) of files and of folders that changed; `is_lost`: there was more than can be told."""

    files: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)
    is_lost: bool = False


class FolderWatch:
    """Watches single folders below a root. Used by one thread at a time."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._queue = INotify(nonblocking=True)
        self._folders: dict[int, str] = {}
        self._watches: dict[str, int] = {}

    def close(self) -> None:
        """End all watches."""
        self._queue.close()

    def add(self, folder: str) -> bool:
        """Watch the names in a folder; return False when there is no such folder; raise WatchLimitError."""
        if len(self._watches) >= MAX_WATCHES:
            raise WatchLimitError
        try:
            watch = self._queue.add_watch(f"{self._root}/{folder}" if folder else self._root, _MASK)
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.ENOMEM}:
                raise WatchLimitError from None
            return False  # gone again, a symlink, or not readable
        self._folders[watch] = folder
        self._watches[folder] = watch
        return True

    def has(self, folder: str) -> bool:
        """Return whether a folder is watched."""
        return folder in self._watches

    def drop(self, tops: Iterable[str]) -> None:
        """End the watches of folders and of everything below them."""
        gone = {top: f"{top}/" for top in tops}
        if not gone:
            return
        inner = tuple(gone.values())
        for folder in [each for each in self._watches if each in gone or each.startswith(inner)]:
            watch = self._watches.pop(folder)
            self._folders.pop(watch, None)
            try:
                self._queue.rm_watch(watch)
            except OSError:
                continue  # the folder itself is gone, and its watch with it

    def read(self) -> Touched:
        """Return what happened since the last call; never waits."""
        touched = Touched()
        for watch, mask, _cookie, name in self._queue.read(timeout=0):
            if mask & _LOST:
                touched.is_lost = True
            folder = self._folders.get(watch)
            if folder is None or mask & flags.IGNORED:
                continue
            if mask & _SELF:
                touched.is_lost |= not folder  # others are told of by the folder that they are in
            else:
                path = f"{folder}/{name}" if folder else name
                (touched.folders if mask & flags.ISDIR else touched.files).add(path)
        return touched


def open_watch(root: Path) -> FolderWatch | None:
    """Return a watch; None where there is no inotify, no more of it, or where it would not see everything."""
    if sys.platform != "linux":
        return None
    if not is_local(root, _read_mounts()):
        return None
    try:
        return FolderWatch(root)
    except (OSError, AttributeError):  # the user's limit of instances is reached; a C library without inotify
        return None


def is_local(root: Path, mounts: str) -> bool:
    """Return whether this machine alone writes below `root`; `mounts` is /proc/self/mountinfo."""
    best, kind = "", ""
    for line in mounts.splitlines():
        words = line.split()
        if "-" not in words:
            continue
        point = words[4].replace("\\040", " ").rstrip("/")
        if len(point) >= len(best) and (f"{root}/").startswith(f"{point}/"):
            best, kind = point, words[words.index("-") + 1]
    return kind not in _REMOTE and not kind.startswith(_REMOTE_PREFIXES)


def _read_mounts() -> str:
    try:
        return _MOUNTS.read_text("utf-8", "surrogateescape")
    except OSError:
        return ""


def is_text(path: str) -> bool:
    """Return whether a name that the system gave is UTF-8."""
    try:
        os.fsencode(path).decode()
    except UnicodeDecodeError:
        return False
    return True
