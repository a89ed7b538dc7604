"""Private files: readable by their owner alone, replaced whole or not at all."""

import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.kernel.errors import ForbiddenError

OTHERS = 0o077


class KeysUnreadableError(ForbiddenError):
    """The key directory is missing, foreign, damaged or open to others."""

    code = "auth.keys_unreadable"


def check_private(path: Path, status: os.stat_result) -> None:
    """Raise KeysUnreadableError unless only this process's user can use `path`."""
    mode = stat.S_IMODE(status.st_mode)
    if mode & OTHERS:
        kind = "0700" if stat.S_ISDIR(status.st_mode) else "0600"
        raise KeysUnreadableError(f"{path} is open to others (mode {mode:04o}); run `chmod {kind} {path}`")
    if status.st_uid != os.geteuid():
        raise KeysUnreadableError(f"{path} belongs to uid {status.st_uid}, not to this user; use another home")


def describe_unreadable(path: Path, error: OSError) -> KeysUnreadableError:
    """Return the error for a file or folder that cannot be read, with the cure."""
    is_missing = isinstance(error, FileNotFoundError)
    cure = "`direng up` creates the keys of a home" if is_missing else "check its owner and mode"
    return KeysUnreadableError(f"cannot read {path}: {error.strerror}; {cure}")


def make_private_directory(path: Path) -> None:
    """Create `path` (0700) when it is missing; refuse a wider one."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_private(path, path.stat(follow_symlinks=False))
    except OSError as error:
        raise KeysUnreadableError(f"cannot create the key directory {path}: {error.strerror}") from error


def read_private(path: Path) -> bytes:
    """Return the content of a private file; no symbolic link is followed. Raises KeysUnreadableError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise describe_unreadable(path, error) from error
    with os.fdopen(descriptor, "rb") as file:
        check_private(path, os.fstat(descriptor))
        return file.read()


def write_private(path: Path, content: bytes) -> None:
    """Replace `path` by `content` (0600) atomically and durably. Raises KeysUnreadableError."""
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise KeysUnreadableError(f"cannot write {path}: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        Path(temporary).replace(path)
        _sync_directory(path.parent)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        raise KeysUnreadableError(f"cannot write {path}: {error.strerror}") from error


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def lock_directory(path: Path) -> Iterator[None]:
    """Keep other processes out of `path` for the length of the block; a killed holder lets go by itself."""
    try:
        descriptor = os.open(path / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise KeysUnreadableError(f"cannot lock the key directory {path}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
