"""What the truth store needs from outside, and what it tells."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from services.kernel.errors import UnavailableError
from services.vector_ops.languages.language import Language

LoadLanguage = Callable[[str], Language]
"""Returns a language by its name."""

LanguageName = Callable[[str], str]
"""Returns the language of a path, or nothing for text."""

IsStopping = Callable[[], bool]


class IndexingStoppedError(UnavailableError):
    """The server is going down; the transaction was rolled back and nothing is lost."""

    code = "vector_ops.indexing_stopped"


class Head(Protocol):
    """The commit that HEAD names."""

    @property
    def commit_sha(self) -> str: ...
    @property
    def commit_time(self) -> datetime: ...


class Source(Protocol):
    """One git repository, opened for reading."""

    def read_head(self) -> Head:
        """Return HEAD; raise UnindexableError when there is no commit."""
        ...

    def list_blobs(self, commit_sha: str) -> Mapping[str, str]:
        """Return path -> blob sha of the files of a commit that may be indexed."""
        ...

    def changes(self, old_sha: str, new_sha: str) -> Mapping[str, str | None] | None:
        """Return path -> blob sha (None: gone) of what differs; None when a commit is unknown."""
        ...

    def read_blob(self, blob_sha: str) -> bytes:
        """Return a blob's content."""
        ...

    def size_blob(self, blob_sha: str) -> int:
        """Return a blob's size in bytes without reading it."""
        ...


class Totals(NamedTuple):
    """How much an index holds; the symbols without those that stand for files."""

    files: int = 0
    symbols: int = 0
    edges: int = 0

    def add(self, other: "Totals") -> "Totals":
        """Return the sum."""
        return Totals(self.files + other.files, self.symbols + other.symbols, self.edges + other.edges)


NO_TOTALS = Totals()


@dataclass(frozen=True, slots=True)
class State:
    """The commit an index was built from; `epoch` rises with each transaction that changes anything."""

    commit_sha: str
    commit_time: datetime
    updated_at: datetime
    epoch: int
    totals: Totals = NO_TOTALS


@dataclass(frozen=True, slots=True)
class Applied:
    """What a refresh did. `outcome` is `refreshed` or `fresh`; `notes` say what else happened, one sentence each."""

    outcome: str
    state: State
    files_parsed: int
    files_resolved: int
    notes: tuple[str, ...] = ()
