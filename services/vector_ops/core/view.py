"""One consistent reading of an index: the committed files with the uncommitted ones on top.

Everything that answers a query reads through an `IndexView`; everything derived (lexical arrays, vectors, graph arrays,
a graph store elsewhere) is brought level by comparing `epoch`, then `list_files`, with what it has.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from services.vector_ops.languages.world import EdgeKind, Tier


class FileRow(NamedTuple):
    """A file of the view; `blob_sha` is the git blob sha of the content that is indexed.

    `language` is empty for text; `skipped` says by which rule the content was left out; `is_overlay`: uncommitted.
    """

    id: int
    path: str
    blob_sha: str
    language: str
    is_test: bool
    is_overlay: bool
    skipped: str


class SymbolRow(NamedTuple):
    """A definition; `id` is stable: a hash of path, qualified name and ordinal.

    `at` is its place among its file's symbols, FILE (-1) for the symbol that stands for the file itself (name: the
    path, kind: file, line 1).
    """

    id: int
    path: str
    at: int
    name: str
    qualname: str
    kind: str
    line: int
    column: int
    start_line: int
    end_line: int
    signature: str
    doc: str
    is_test: bool


class EdgeRow(NamedTuple):
    """An edge between two symbols; `path`, `line`, `column` say where in the source's file it stands."""

    source_id: int
    target_id: int
    kind: EdgeKind
    tier: Tier
    path: str
    line: int
    column: int


class IndexView(Protocol):
    """One snapshot; safe to read from one thread. All results come in a deterministic order."""

    @property
    def commit_sha(self) -> str:
        """The commit that the committed part was made from."""
        ...

    @property
    def epoch(self) -> str:
        """Differs whenever anything that the view holds differs: the commit's epoch and a digest of the overlay."""
        ...

    @property
    def committed_epoch(self) -> str:
        """The epoch without the overlay; equal to `epoch` when nothing is uncommitted."""
        ...

    def list_files(self) -> list[FileRow]:
        """Return all files by path."""
        ...

    def find_file(self, path: str) -> FileRow | None:
        """Return one file."""
        ...

    def read_text(self, path: str) -> str:
        """Return the content of a file as the view sees it; empty for one that was left out or is not there."""
        ...

    def read_documents(self, paths: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Yield (path, encoded document) as `lexical.documents` made it, for files that were not left out."""
        ...

    def find_symbols(self, names: Sequence[str], limit: int = 500) -> list[SymbolRow]:
        """Return the symbols with one of these names, by path and line."""
        ...

    def find_members(self, name: str, owners: Sequence[str], limit: int = 500) -> list[SymbolRow]:
        """Return the symbols with this name inside one of these, by path and line; an empty owner: at the top level.

        An owner is the last name of the enclosing definition, not its qualified name.
        """
        ...

    def count_named(self, name: str) -> int:
        """Return how many symbols have this name."""
        ...

    def find_paths(self, fragment: str, limit: int = 1_000) -> list[str]:
        """Return the paths of files that contain a text, in any case, `-` and `_` being alike; by path."""
        ...

    def find_symbols_like(self, name: str, limit: int = 20) -> list[str]:
        """Return names that may have been meant by `name`: other case, or a name that begins alike."""
        ...

    def read_symbols(self, ids: Iterable[int]) -> dict[int, SymbolRow]:
        """Return symbols by id; an id that is gone is missing."""
        ...

    def list_symbols(self, path: str) -> list[SymbolRow]:
        """Return the symbols of one file by `at`, without the file's own."""
        ...

    def file_symbol(self, path: str) -> SymbolRow | None:
        """Return the symbol that stands for a file."""
        ...

    def edges_to(self, ids: Sequence[int], kinds: Sequence[EdgeKind], limit: int = 1_000) -> list[EdgeRow]:
        """Return the edges that lead to these symbols, by tier, path, line."""
        ...

    def count_edges_to(self, ids: Sequence[int], kinds: Sequence[EdgeKind]) -> dict[int, int]:
        """Return how many edges lead to each of these symbols; one that nothing leads to is missing."""
        ...

    def edges_from(self, ids: Sequence[int], kinds: Sequence[EdgeKind], limit: int = 1_000) -> list[EdgeRow]:
        """Return the edges that leave these symbols, by path and line."""
        ...

    def file_edges(self) -> Iterator[tuple[str, str, int, int]]:
        """Yield (source path, target path, kind, number of edges) between different files, ambiguous ones left out."""
        ...

    def all_edges(self) -> Iterator[EdgeRow]:
        """Yield every edge, file by file."""
        ...

    def all_symbols(self) -> Iterator[SymbolRow]:
        """Yield every symbol, the files' own included, file by file."""
        ...

    def changed_since(self, epoch: str) -> tuple[str, ...] | None:
        """Return the paths whose symbols or edges differ from that committed epoch; None when that is not known."""
        ...

    def count(self) -> tuple[int, int, int]:
        """Return the number of files, symbols (files' own aside) and edges."""
        ...
