"""The workspace between server and lane: resolving it before a run, taking it back after."""

import contextlib
import os
import stat
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


def _reclaim_entry(name: str, parent_fd: int, owner: tuple[int, int], depth: int) -> None:
    found = os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
    if os.geteuid() == 0 and (found.st_uid, found.st_gid) != owner:
        os.chown(name, *owner, dir_fd=parent_fd, follow_symlinks=False)
    if not (stat.S_ISDIR(found.st_mode) or stat.S_ISREG(found.st_mode)):
        return
    wanted = _wanted_mode(found.st_mode)
    if wanted != stat.S_IMODE(found.st_mode):
        fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent_fd)
        try:
            _set_mode(fd, wanted)
        finally:
            os.close(fd)
    if stat.S_ISDIR(found.st_mode):
        child = os.open(name, _DIRECTORY, dir_fd=parent_fd)
        try:
            _reclaim_directory(child, owner, depth + 1)
        finally:
            os.close(child)


def _reclaim_directory(fd: int, owner: tuple[int, int], depth: int) -> None:
    if depth > MAX_DEPTH:
        raise UnsafeWorkspaceError(f"the workspace is nested deeper than {MAX_DEPTH} directories; discard it")
    for name in os.listdir(fd):
        if depth == 0 and name == ".git":
            continue  # never lent
        _reclaim_entry(name, fd, owner, depth)


def reclaim_tree(workspace: Path) -> None:
    """Make the server own the tree (when it is root), readable and deletable, without setuid bits.

    No symlink is followed. Raises UnsafeWorkspaceError when a lane nested it deeper than MAX_DEPTH.
    """
    real = resolve_workspace(workspace)
    parent_fd = os.open(real.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _reclaim_entry(real.name, parent_fd, (os.geteuid(), os.getegid()), -1)
    finally:
        os.close(parent_fd)
