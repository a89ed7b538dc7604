"""Work on a user's files with the user's own rights, also when the server is root.

A root server that writes into a folder its user controls could be led by a planted symlink to write anywhere, and would
leave files that the user cannot change. So every access to the user's repository happens under the file-system identity
of the repository's owner: Linux keeps one per thread (setfsuid), the kernel then checks permissions and sets ownership.
"""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from services.edits.errors import UnsupportedRepositoryError


@dataclass(frozen=True)
class Owner:
    """Who owns the user's repository."""

    uid: int
    gid: int


def is_foreign(owner: Owner) -> bool:
    """Return whether this process must take on another identity to act for `owner`."""
    return os.geteuid() == 0 and owner.uid != 0


@contextmanager
def acting_as(owner: Owner) -> Iterator[None]:
    """Run the block with the file-system identity of `owner` in this thread only; a no-op for an ordinary user.

    Never await inside the block: the identity belongs to the thread, not to the task.
    """
    if not is_foreign(owner):
        yield
        return
    with _file_identity(owner.uid, owner.gid):
        yield


@contextmanager
def acting_as_server() -> Iterator[None]:
    """Run the block with the server's own identity again: for its store, inside a block that acts as an owner."""
    if os.geteuid() != 0 or not sys.platform.startswith("linux"):
        yield
        return
    with _file_identity(0, os.getegid()):
        yield


@contextmanager
def _file_identity(uid: int, gid: int) -> Iterator[None]:
    libc = _load_libc()
    previous_gid = libc.setfsgid(gid)
    previous_uid = libc.setfsuid(uid)
    try:
        yield
    finally:
        libc.setfsuid(previous_uid)
        libc.setfsgid(previous_gid)


_LIBC: list[ctypes.CDLL] = []


def _load_libc() -> ctypes.CDLL:
    if not sys.platform.startswith("linux"):
        raise UnsupportedRepositoryError(
            "a root server serves other users' repositories on Linux only; run it as the repository's owner"
        )
    if not _LIBC:
        _LIBC.append(ctypes.CDLL(None))
    return _LIBC[0]
