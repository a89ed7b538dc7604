"""Read a folder that a lane has written into the store, trusting nothing in it."""

from collections.abc import Callable
from dataclasses import dataclass, field

from services.edits.disk import Disk, DiskFile, Kind
from services.edits.errors import TreeTooLargeError
from services.edits.models import DroppedPath, DropReason, ImportedTree
from services.edits.objects import ObjectStore, hash_object
from services.edits.paths import is_git_name
from services.edits.tree import MODE_GITLINK, MODE_LINK, Tree, TreeEntry, write_tree

MAX_FILE_BYTES = 50_000_000
MAX_TOTAL_BYTES = 2_000_000_000
MAX_FILES = 200_000
MAX_DEPTH = 100
TOOL_CACHES = frozenset({"__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis"})
"""Folders that tools leave behind; they are results only when the repository tracks them."""


@dataclass
class FolderCapture:
    """One walk over a lane's folder."""

    disk: Disk
    store: ObjectStore
    like: Tree
    is_ignored: Callable[[str], bool]
    entries: dict[str, TreeEntry] = field(default_factory=dict)
    dropped: list[DroppedPath] = field(default_factory=list)
    total_bytes: int = 0

    def run(self) -> ImportedTree:
        """Return the tree of the folder."""
        self._known_folders = {path[:index] for path in self.like for index, char in enumerate(path) if char == "/"}
        for path, entry in self.like.items():
            if entry.mode == MODE_GITLINK:
                self.entries[path] = entry
        pending = [""]
        while pending:
            pending.extend(self._visit(pending.pop()))
        return ImportedTree(write_tree(self.store, self.entries), tuple(self.dropped))

    def _visit(self, folder: str) -> list[str]:
        prefix = f"{folder}/" if folder else ""
        if folder.count("/") >= MAX_DEPTH:
            raise TreeTooLargeError(f"the folder {folder[:80]!r}... is more than {MAX_DEPTH} levels deep")
        folders, files = [], []
        for name, kind in self.disk.list_folder(folder):
            reason = self._reason_to_drop(prefix + name, name, kind)
            if reason is not None:
                # The worktree's own .git is not the lane's doing and needs no report.
                if self._is_reported(prefix + name, reason):
                    self.dropped.append(DroppedPath(prefix + name, reason))
            elif kind is Kind.FOLDER:
                folders.append(prefix + name)
            else:
                files.append(name)
        for name, file in self.disk.read_files(folder, files, MAX_FILE_BYTES) if files else ():
            self._record(prefix + name, file)
        return folders

    def _is_reported(self, path: str, reason: DropReason) -> bool:
        if reason is DropReason.NESTED_GIT:
            return "/" in path
        # The export made an empty folder for a submodule; only what a lane put into it is worth a report.
        return reason is not DropReason.IN_SUBMODULE or bool(self.disk.list_folder(path))

    def _reason_to_drop(self, path: str, name: str, kind: Kind) -> DropReason | None:
        if is_git_name(name):
            return DropReason.NESTED_GIT
        if kind is Kind.SPECIAL:
            return DropReason.SPECIAL_FILE
        known = self.like.get(path)
        if known is not None and known.mode == MODE_GITLINK:
            return DropReason.IN_SUBMODULE
        if known is not None or path in self._known_folders:
            return None
        is_folder = kind is Kind.FOLDER
        if (is_folder and name in TOOL_CACHES) or self.is_ignored(path + "/" if is_folder else path):
            return DropReason.IGNORED
        return None

    def _record(self, path: str, file: DiskFile) -> None:
        known = self.like.get(path)
        if file.data is None:
            if known is not None:
                raise TreeTooLargeError(f"{path!r} grew over {MAX_FILE_BYTES} bytes; the run's result was not taken")
            self.dropped.append(DroppedPath(path, DropReason.TOO_LARGE))
            return
        self.total_bytes += len(file.data)
        if self.total_bytes > MAX_TOTAL_BYTES or len(self.entries) >= MAX_FILES:
            raise TreeTooLargeError(f"the folder holds more than {MAX_FILES} files or {MAX_TOTAL_BYTES} bytes")
        oid = hash_object("blob", file.data)
        if known is None or known.oid != oid:
            self.store.write("blob", file.data)
        self.entries[path] = TreeEntry(_mode(known, file), oid)


def _mode(known: TreeEntry | None, file: DiskFile) -> int:
    if known is None or file.mode == MODE_LINK or not known.is_file:
        return file.mode
    return known.mode if (known.mode & 0o111 != 0) == (file.mode & 0o111 != 0) else file.mode
