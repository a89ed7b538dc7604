"""Take a snapshot: what lies on disk, as a tree in the server's store. Nothing of the user's changes."""

from dataclasses import dataclass, field

import pygit2

from services.edits.disk import Disk, DiskFile, Kind
from services.edits.models import DroppedPath, DropReason, Snapshot
from services.edits.objects import ObjectStore, hash_object
from services.edits.paths import is_git_name
from services.edits.tree import MODE_GITLINK, MODE_LINK, Tree, TreeEntry, read_tree, write_tree
from services.edits.user_git import IndexRow, is_ignored, read_flag, read_head, read_index
from services.kernel.ids import GitOid

MAX_UNTRACKED_BYTES = 50_000_000


@dataclass
class WorktreeScan:
    """One walk over the working tree: tracked files and untracked ones that git would show."""

    repository: pygit2.Repository
    disk: Disk
    store: ObjectStore
    index: dict[str, IndexRow]
    head: Tree
    entries: dict[str, TreeEntry] = field(default_factory=dict)
    left_out: list[DroppedPath] = field(default_factory=list)

    def run(self) -> dict[str, TreeEntry]:
        """Return the tree that is on disk."""
        self._tracked_folders = {folder for path in self.index for folder in _folders_of(path)}
        self._keeps_modes = read_flag(self.repository, "core.filemode", default=True)
        self._has_links = read_flag(self.repository, "core.symlinks", default=True)
        for path, row in self.index.items():
            if row.is_kept or row.entry.mode == MODE_GITLINK:
                self.entries[path] = row.entry
        pending = [""]
        while pending:
            pending.extend(self._visit(pending.pop()))
        return self.entries

    def _visit(self, folder: str) -> list[str]:
        names = self.disk.list_folder(folder)
        prefix = f"{folder}/" if folder else ""
        if folder and any(is_git_name(name) for name, _ in names):
            self._leave_out(folder, DropReason.NESTED_GIT)
            return []
        files = [name for name, kind in names if kind in {Kind.FILE, Kind.LINK}]
        tracked = [name for name in files if prefix + name in self.index]
        untracked = [name for name in files if self._is_shown(prefix + name)]
        for name, file in self.disk.read_files(folder, tracked) if tracked else ():
            self._record(prefix + name, file)
        for name, file in self.disk.read_files(folder, untracked, MAX_UNTRACKED_BYTES) if untracked else ():
            self._record(prefix + name, file)
        folders = [prefix + name for name, kind in names if kind is Kind.FOLDER]
        return [path for path in folders if self._is_entered(path)]

    def _is_shown(self, path: str) -> bool:
        if path in self.index or is_git_name(path.rpartition("/")[2]):
            return False
        return not is_ignored(self.repository, path)

    def _is_entered(self, path: str) -> bool:
        row = self.index.get(path)
        if is_git_name(path.rpartition("/")[2]) or (row is not None and row.entry.mode == MODE_GITLINK):
            return False
        return path in self._tracked_folders or not is_ignored(self.repository, path + "/")

    def _record(self, path: str, file: DiskFile) -> None:
        row = self.index.get(path)
        if row is not None and row.is_kept:
            return
        if file.data is None:
            self._leave_out(path, DropReason.TOO_LARGE)
            return
        self.entries[path] = TreeEntry(self._mode(row, file), self._keep(path, file.data))

    def _mode(self, row: IndexRow | None, file: DiskFile) -> int:
        if row is None or file.mode == MODE_LINK:
            return file.mode
        if row.entry.mode == MODE_LINK:
            return MODE_LINK if not self._has_links else file.mode
        if not self._keeps_modes or (row.entry.mode & 0o111 != 0) == (file.mode & 0o111 != 0):
            return row.entry.mode  # also keeps the odd 100664 of old commits
        return file.mode

    def _keep(self, path: str, data: bytes) -> GitOid:
        # Only what HEAD has is borrowed from the user's store; the rest (staged blobs too) must outlive `git gc`.
        oid = hash_object("blob", data)
        known = self.head.get(path)
        return oid if known is not None and known.oid == oid else self.store.write("blob", data)

    def _leave_out(self, path: str, reason: DropReason) -> None:
        self.left_out.append(DroppedPath(path, reason))


def take_snapshot(repository: pygit2.Repository, disk: Disk, store: ObjectStore) -> Snapshot:
    """Return the snapshot of a user's repository (see UserRepository.take_snapshot)."""
    head = read_head(repository)
    base = read_tree(store, head.tree)
    index = read_index(repository)
    scan = WorktreeScan(repository, disk, store, index, base)
    entries = scan.run()
    tree = write_tree(store, entries)
    staged = {path: row.entry for path, row in index.items()}
    tracked = base.keys() | staged.keys()
    dirty = (path for path in tracked if not base.get(path) == staged.get(path) == entries.get(path))
    return Snapshot(
        repo_root=str(disk.root),
        branch=head.branch,
        head_commit=head.commit,
        base_tree=head.tree,
        snapshot_tree=tree,
        dirty_paths=tuple(sorted(dirty)),
        untracked_paths=tuple(sorted(entries.keys() - tracked)),
        left_out=tuple(scan.left_out),
    )


def _folders_of(path: str) -> list[str]:
    return [path[:index] for index, char in enumerate(path) if char == "/"]
