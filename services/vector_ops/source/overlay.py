"""The uncommitted files of a working tree: a bounded set of contents, and the words for its state."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from services.vector_ops.source.disk import DiskFile
from services.vector_ops.source.heads import Head

MAX_FILES = 2_000
"""More are not read at query time: thousands of untracked files are a folder that somebody forgot to ignore."""

MAX_BYTES = 256_000_000
_EMPTY: Mapping[str, bytes | None] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class WorktreeState:
    """How a working tree differs from the commit `base_sha`, at one moment.

    `overlay` has the content of each file that differs (None: it is gone, or no plain file any more), at most
    `MAX_FILES`; `is_cut` says that there are more. `digest` is the same for the same overlay, empty for an empty one.
    `is_watched`: the answer comes from the system's own notes of what was written; otherwise from a scan of all files.
    """

    overlay: Mapping[str, bytes | None]
    is_cut: bool
    digest: str
    head: Head
    base_sha: str
    is_watched: bool


class Overlay:
    """Collects what differs; keeps within the caps, files that the commit has before new ones."""

    def __init__(self) -> None:
        self._files: dict[str, DiskFile | None] = {}
        self._size_bytes = 0
        self.is_cut = False
        self._frozen: tuple[Mapping[str, bytes | None], str] | None = (_EMPTY, "")

    def __len__(self) -> int:
        return len(self._files)

    def paths(self) -> Iterable[str]:
        """Return the paths, in no order."""
        return self._files.keys()

    def put(self, path: str, file: DiskFile | None) -> None:
        """Set how a path differs; a file beyond the caps is not kept, and the overlay is cut from then on."""
        self.drop(path)
        size_bytes = len(file.content) if file is not None else 0
        if len(self._files) >= MAX_FILES or self._size_bytes + size_bytes > MAX_BYTES:
            self.is_cut = True
            return
        self._files[path] = file
        self._size_bytes += size_bytes
        self._frozen = None

    def drop(self, path: str) -> None:
        """Take a path out: it does not differ any more."""
        if path not in self._files:
            return
        file = self._files.pop(path)
        self._size_bytes -= len(file.content) if file is not None else 0
        self._frozen = None

    def freeze(self) -> tuple[Mapping[str, bytes | None], str]:
        """Return the contents by path, sorted, and their digest; the same objects until something changes."""
        if self._frozen is None:
            files = dict(sorted(self._files.items()))
            whole = hashlib.sha256()
            for path, file in files.items():
                whole.update(f"{path}\0{'' if file is None else file.sha}\0".encode())
            contents = {path: None if file is None else file.content for path, file in files.items()}
            self._frozen = (MappingProxyType(contents), whole.hexdigest() if files else "")
        return self._frozen
