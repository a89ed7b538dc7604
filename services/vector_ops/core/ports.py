"""What core needs from outside: a repository to read (`Source`) and a place to keep facts (`Store`)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from services.vector_ops.core.facts import Definition, DefinitionAt, FileFacts, ImportAt, ReferenceAt

Extract = Callable[[str, bytes], FileFacts]
"""`extract(path, content)` returns the facts of one file."""


@dataclass(frozen=True, slots=True)
class Head:
    """The commit that HEAD names; `moved_at` is when HEAD came to name it."""

    commit_sha: str
    commit_time: datetime
    moved_at: datetime


@dataclass(frozen=True, slots=True)
class DirtyFile:
    """A file whose content on disk differs from HEAD; `content` is None when it is gone or not a plain file."""

    path: str
    content: bytes | None


@dataclass(frozen=True, slots=True)
class IndexState:
    """The commit an index was built from."""

    commit_sha: str
    commit_time: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Totals:
    """How much an index holds, overlay included."""

    files: int
    symbols: int
    references: int


class Source(Protocol):
    """One git repository, opened for reading."""

    root: Path

    def read_head(self) -> Head:
        """Return HEAD; raise UnindexableError when there is no commit."""
        ...

    def list_blobs(self, commit_sha: str) -> dict[str, str]:
        """Return path -> blob sha of the plain files of a commit: no symlinks, no submodules, no secrets by path."""
        ...

    def read_blob(self, blob_sha: str) -> bytes:
        """Return a blob's content."""
        ...

    def size_blob(self, blob_sha: str) -> int:
        """Return a blob's size in bytes without reading it."""
        ...

    def list_dirty(self) -> tuple[tuple[DirtyFile, ...], bool]:
        """Return the files whose content differs from HEAD, then the untracked ones that are not ignored.

        The second value says that there were too many and some untracked ones were left out.
        """
        ...


class Reader(Protocol):
    """One consistent view of the index with the overlay of uncommitted files on top."""

    def read_state(self) -> IndexState | None:
        """Return what the index was built from, or None for an empty one."""
        ...

    def count(self) -> Totals:
        """Return totals."""
        ...

    def list_paths(self) -> list[str]:
        """Return every path."""
        ...

    def blob_of(self, path: str) -> str | None:
        """Return the blob sha of a committed path; None for an overlaid one."""
        ...

    def find_definitions(self, names: Sequence[str]) -> list[DefinitionAt]:
        """Return the definitions with one of these names."""
        ...

    def find_definitions_at(self, path: str, qualname: str) -> list[Definition]:
        """Return the definitions of a qualified name in one file."""
        ...

    def list_definitions(self, path: str) -> list[Definition]:
        """Return the definitions of one file by line."""
        ...

    def find_constants_of(self, name: str) -> list[DefinitionAt]:
        """Return the constants whose value's target ends in `name` (module-level aliases)."""
        ...

    def find_references(self, names: Sequence[str], limit: int) -> list[ReferenceAt]:
        """Return up to `limit` references to one of these names, by path and line."""
        ...

    def find_imports_at(self, path: str, local: str) -> list[ImportAt]:
        """Return the module-level imports of one file that bind `local` (`*` for star imports)."""
        ...

    def find_imports_of(self, name: str) -> list[ImportAt]:
        """Return all imports of `name`, or of a module whose last component is `name`."""
        ...

    def find_modules(self, stem: str) -> list[str]:
        """Return the Python paths whose module's last component is `stem`."""
        ...

    def has_path(self, path: str) -> bool:
        """Return whether the index holds the path."""
        ...

    def rank_text(self, terms: Sequence[str], limit: int) -> list[tuple[str, float]]:
        """Return (path, BM25 score), best first; overlaid files are scored by the same formula."""
        ...

    def near_names(self, name: str, limit: int) -> list[str]:
        """Return symbol names that may have been meant."""
        ...


class Writer(Protocol):
    """One transaction that moves the index to a commit."""

    def read_state(self) -> IndexState | None: ...
    def list_files(self) -> dict[str, str]: ...
    def has_blob(self, blob_sha: str, *, python: bool) -> bool: ...
    def add_blob(self, blob_sha: str, *, python: bool, facts: FileFacts) -> None: ...
    def put_file(self, path: str, blob_sha: str, text: str) -> None: ...
    def remove_files(self, paths: Iterable[str]) -> None: ...
    def set_state(self, state: IndexState) -> None: ...
    def count(self) -> tuple[int, int]: ...


class Store(Protocol):
    """The index of one repository."""

    notes: list[str]

    def peek_state(self) -> IndexState | None:
        """Return what the index was built from without opening a view; None when there is no usable index yet."""
        ...

    def read(self, overlay: Mapping[str, bytes | None]) -> AbstractContextManager[Reader]:
        """Open a consistent view with `overlay` (path -> content, None for a path that is gone) on top."""
        ...

    def write(self, *, wait_s: float) -> AbstractContextManager[Writer]:
        """Take the index lock and open one transaction; raise IndexBusyError when another process keeps the lock."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...
