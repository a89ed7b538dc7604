"""The workspace between server and lane: resolving it before a run, taking it back after."""

import contextlib
import os
import stat
import uuid
from pathlib import Path

from services.pas.core.isolation import UnsafeWorkspaceError
from services.pas.sandbox.launcher import MAX_DEPTH

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def resolve_workspace(workspace: Path) -> Path:
    """Return the real path of a workspace directory; raises UnsafeWorkspaceError when it is a symlink or no directory.

    Only its parents, which no lane can write, are resolved; the launcher then opens the result without following any.
    """
    if workspace.is_symlink():
        raise UnsafeWorkspaceError(f"workspace {workspace} is a symlink; give the directory itself")
    if not workspace.is_dir():
        raise UnsafeWorkspaceError(f"workspace {workspace} is not a directory")
    return workspace.parent.resolve() / workspace.name


def remove_placeholder(workspace: Path) -> None:
    """Remove the empty `.git` directory that the launcher put in the way; anything else stays."""
    with contextlib.suppress(OSError):
        (workspace / ".git").rmdir()


def _set_mode(fd: int, mode: int) -> None:
    # An O_PATH descriptor cannot be chmod-ed itself; its magic link leads to exactly this inode, never through a name.
    Path(f"/proc/self/fd/{fd}").chmod(mode)


def _wanted_mode(mode: int) -> int:
    if stat.S_ISDIR(mode):
        return stat.S_IMODE(mode) | 0o700
    return (stat.S_IMODE(mode) | 0o600) & ~(stat.S_ISUID | stat.S_ISGID)


class _Reclaiming:
    """One walk over a tree that a lane wrote, by descriptors: no name is resolved through a symlink."""

    def __init__(self, top_fd: int) -> None:
        self._top_fd = top_fd
        self._owner = (os.geteuid(), os.getegid())
        self._pending: list[str] = []
        self.is_too_deep = False

    def take_all(self) -> None:
        self._take_directory(self._top_fd, 0)
        while self._pending:
            self._take(self._pending.pop(), self._top_fd, 0)

    def _take_directory(self, fd: int, depth: int) -> None:
        for name in os.listdir(fd):
            if depth == 0 and name == ".git":
                continue  # never lent
            if depth > MAX_DEPTH:
                self._lift(name, fd)
            else:
                self._take(name, fd, depth)

    def _take(self, name: str, fd: int, depth: int) -> None:
        found = os.stat(name, dir_fd=fd, follow_symlinks=False)
        if self._owner[0] == 0 and (found.st_uid, found.st_gid) != self._owner:
            os.chown(name, *self._owner, dir_fd=fd, follow_symlinks=False)
        if not (stat.S_ISDIR(found.st_mode) or stat.S_ISREG(found.st_mode)):
            return
        wanted = _wanted_mode(found.st_mode)
        if wanted != stat.S_IMODE(found.st_mode):
            entry = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
            try:
                _set_mode(entry, wanted)
            finally:
                os.close(entry)
        if stat.S_ISDIR(found.st_mode):
            child = os.open(name, _DIRECTORY, dir_fd=fd)
            try:
                self._take_directory(child, depth + 1)
            finally:
                os.close(child)

    def _lift(self, name: str, fd: int) -> None:
        """Move what lies too deep up to the top, so that the tree can at least be deleted."""
        self.is_too_deep = True
        lifted = f".too-deep-{uuid.uuid4().hex}"  # unguessable: the lane may have left names in the way
        os.rename(name, lifted, src_dir_fd=fd, dst_dir_fd=self._top_fd)
        self._pending.append(lifted)


def reclaim_tree(workspace: Path) -> None:
    """Make the server own the tree (when it is root), readable and deletable, without setuid bits.

    No symlink is followed. Raises UnsafeWorkspaceError when a lane nested it deeper than MAX_DEPTH; the tree can be
    deleted then, but its layout is no longer the lane's.
    """
    real = resolve_workspace(workspace)
    fd = os.open(real, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(fd)
        if os.geteuid() == 0 and found.st_uid != 0:
            os.chown(".", 0, os.getegid(), dir_fd=fd)
        _set_mode(fd, _wanted_mode(found.st_mode))
        top_fd = os.open(".", _DIRECTORY, dir_fd=fd)
    finally:
        os.close(fd)
    try:
        reclaiming = _Reclaiming(top_fd)
        reclaiming.take_all()
    finally:
        os.close(top_fd)
    if reclaiming.is_too_deep:
        raise UnsafeWorkspaceError(f"the lane nested its tree deeper than {MAX_DEPTH} directories; discard it")
