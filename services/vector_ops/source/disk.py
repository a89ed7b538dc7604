"""Files of a working tree, read without following a symlink anywhere on the way."""

import hashlib
import os
import stat
from typing import NamedTuple

MAX_CONTENT_BYTES = 1_000_001
"""One more than an indexed file may have, so that who reads the content sees that it is too large."""

_MAX_HASHED_BYTES = 64_000_000
_CHUNK_BYTES = 1_000_000
_NO_FOLLOW = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


class DiskFile(NamedTuple):
    """A plain file: its git blob sha and its first `MAX_CONTENT_BYTES`."""

    sha: str
    content: bytes

    def is_blob(self, blob_sha: str) -> bool:
        """Return whether git has this content under that sha, as it is or with line ends made plain."""
        if self.sha == blob_sha:
            return True
        return b"\r\n" in self.content and hash_blob(self.content.replace(b"\r\n", b"\n")) == blob_sha


def hash_blob(content: bytes) -> str:
    """Return the sha under which git keeps a content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def read_plain(root: int, path: str) -> DiskFile | None:
    """Return a plain file below the open folder `root`; None for anything else, a symlink or one on the way to it."""
    folder, opened = root, list[int]()
    try:
        *parents, name = path.split("/")
        for parent in parents:
            folder = os.open(parent, _NO_FOLLOW | os.O_DIRECTORY, dir_fd=folder)
            opened.append(folder)
        handle = os.open(name, _NO_FOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except (OSError, ValueError):
        return None
    finally:
        for descriptor in opened:
            os.close(descriptor)
    try:
        return _read_open(handle)
    except OSError:
        return None
    finally:
        os.close(handle)


def _read_open(handle: int) -> DiskFile | None:
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        return None
    first = _read_up_to(handle, MAX_CONTENT_BYTES)
    if len(first) < MAX_CONTENT_BYTES:
        return DiskFile(hash_blob(first), first)
    if found.st_size > _MAX_HASHED_BYTES:  # never indexed: that it is another one is all that has to be known
        return DiskFile(f"{found.st_size}-{found.st_mtime_ns}-{found.st_ino}", first)
    whole = hashlib.sha1(b"blob %d\0" % found.st_size + first, usedforsecurity=False)
    left = found.st_size - len(first)
    while left > 0 and (chunk := os.read(handle, min(left, _CHUNK_BYTES))):
        whole.update(chunk)
        left -= len(chunk)
    return DiskFile(whole.hexdigest(), first)


def _read_up_to(handle: int, limit_bytes: int) -> bytes:
    chunks, left = [], limit_bytes
    while left > 0 and (chunk := os.read(handle, min(left, _CHUNK_BYTES))):
        chunks.append(chunk)
        left -= len(chunk)
    return b"".join(chunks)
