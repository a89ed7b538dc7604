"""A tree on disk: read without following links, written atomically."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from services.pas.recipes.models import LeftAlone, Occurrence

BOM = b"\xef\xbb\xbf"
MAX_FILE_BYTES = 1_000_000
SKIPPED_DIRECTORIES = frozenset(
    [
        ".git",
        ".hg",
        ".svn",
        ".venv",
        "venv",
        "node_modules",
        "__pycache__",
        ".mypy_cache",
        ".ruff_cache",
        ".pytest_cache",
        ".tox",
        ".nox",
        ".eggs",
    ]
)
_SNIFFED_BYTES = 8192


@dataclass(frozen=True)
class _Skipped:
    """A file that is not read as text; `is_searchable` tells that its bytes may be looked through."""

    reason: str
    is_searchable: bool = False


@dataclass(frozen=True)
class DiskTree:
    """The text files below a directory. Links, binaries, large files and other encodings are left alone.

    Texts are not kept: a tree may be larger than the memory of a lane.
    """

    root: Path

    def paths(self) -> tuple[str, ...]:
        """Return the sorted paths of the readable text files."""
        return self._survey[0]

    def read(self, path: str) -> str:
        """Return the text of a file, newlines as they are, the byte-order mark taken off; KeyError for others."""
        return self._bytes(path).removeprefix(BOM).decode()

    def _bytes(self, path: str) -> bytes:
        read = _read(self.root / path)
        if isinstance(read, _Skipped):
            raise KeyError(path)
        return read

    def unreadable(self, word: str) -> tuple[LeftAlone, ...]:
        """Return the files that were not read and may hold `word`: links, large files, binaries with its bytes."""
        return tuple(
            _skipped(path, each.reason)
            for path, each in sorted(self._survey[1].items())
            if not each.is_searchable or word.encode() in (self.root / path).read_bytes()
        )

    @cached_property
    def _survey(self) -> tuple[tuple[str, ...], dict[str, _Skipped]]:
        readable: list[str] = []
        skipped: dict[str, _Skipped] = {}
        for path in _files(self.root, ""):
            read = _read(self.root / path)
            if isinstance(read, bytes):
                readable.append(path)
            else:
                skipped[path] = read
        return tuple(sorted(readable)), skipped

    def write(self, changed: dict[str, str]) -> None:
        """Replace files by their new texts: byte-order mark and permissions stay, each file changes at once.

        Raises OSError; files written before the error stay written.
        """
        for path, text in sorted(changed.items()):
            mark = BOM if self._bytes(path).startswith(BOM) else b""
            _replace(self.root / path, mark + text.encode())


def _files(root: Path, base: str) -> Iterator[str]:
    with os.scandir(root / base) as entries:
        listed = sorted(entries, key=lambda each: each.name)
    for entry in listed:
        path = f"{base}/{entry.name}" if base else entry.name
        if entry.is_dir(follow_symlinks=False):
            is_environment = os.path.lexists(root / path / "pyvenv.cfg")
            if entry.name not in SKIPPED_DIRECTORIES and not is_environment:
                yield from _files(root, path)
        elif entry.name != ".git":  # a linked worktree has a file of that name
            yield path


def _read(path: Path) -> bytes | _Skipped:
    """Return the bytes of a text file, or why it is not touched."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return _Skipped("a symbolic link: not followed" if path.is_symlink() else f"cannot be read: {error.strerror}")
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return _Skipped("not a regular file")
        if status.st_size > MAX_FILE_BYTES:
            return _Skipped(f"larger than {MAX_FILE_BYTES} bytes")
        return _text(file.read())


def _text(data: bytes) -> bytes | _Skipped:
    if b"\0" in data[:_SNIFFED_BYTES]:
        return _Skipped("a binary file", is_searchable=True)
    try:
        data.decode()
    except UnicodeDecodeError:
        return _Skipped("not valid UTF-8", is_searchable=True)
    return data


def _skipped(path: str, reason: str) -> LeftAlone:
    return LeftAlone(occurrence=Occurrence(path=path, line=1, column=1, kind="unreadable", text=""), reason=reason)


def _replace(path: Path, data: bytes) -> None:
    mode = stat.S_IMODE(os.lstat(path).st_mode)
    temporary = path.with_name(f".{path.name}.rename-tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            os.fchmod(file.fileno(), mode)
        temporary.replace(path)
    except OSError:
        temporary.unlink()
        raise
