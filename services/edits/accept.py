"""Plan an accept (ADR-0008): the run's own hunks, merged into HEAD, index and files, each on its own."""

from dataclasses import dataclass
from datetime import datetime

import pygit2

from services.edits.change import ChangePlan, PathChange
from services.edits.disk import Disk, Kind
from services.edits.errors import (
    HeadMovedError,
    MergeConflictError,
    NothingToAcceptError,
    UnsafePathError,
    WorktreeChangedError,
    list_paths,
)
from services.edits.models import Snapshot
from services.edits.objects import ObjectStore, hash_object
from services.edits.paths import check_path, parents_of
from services.edits.publish import Publisher, apply_to_layer
from services.edits.tree import MODE_GITLINK, Tree, TreeEntry, read_tree, write_tree
from services.edits.user_git import check_idle, read_flag, read_head, read_index
from services.kernel.ids import GitOid, RunId

_UNKNOWN = GitOid("0" * 40)


@dataclass(frozen=True)
class AcceptPlanner:
    """Computes what accepting a run means, without changing anything but object stores."""

    repository: pygit2.Repository
    disk: Disk
    store: ObjectStore
    publisher: Publisher

    def plan(
        self, run_id: RunId, snapshot: Snapshot, result_tree: GitOid, message: str, moment: datetime
    ) -> ChangePlan:
        """Return the plan; raise with nothing changed when the run's hunks do not fit everywhere."""
        self._check_position(snapshot)
        before, after = read_tree(self.store, snapshot.snapshot_tree), read_tree(self.store, result_tree)
        changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
        self._check_changed(changed, before, after)
        untracked = frozenset(snapshot.untracked_paths)
        head = read_tree(self.store, snapshot.base_tree)
        index = {path: row.entry for path, row in read_index(self.repository).items()}
        on_disk, permissions = self._read_disk(changed, before, after)

        new_head = apply_to_layer(self.store, before, after, head, untracked)
        new_index = apply_to_layer(self.store, before, after, index, untracked)
        new_disk = apply_to_layer(self.store, before, after, on_disk, frozenset())
        if new_head.conflicts or new_index.conflicts:
            raise _conflict(new_head.conflicts | new_index.conflicts | new_disk.conflicts)
        if new_disk.conflicts:
            listed = list_paths(tuple(sorted(new_disk.conflicts)))
            raise WorktreeChangedError(
                f"edited since the run's snapshot where the run edits too: {listed}; "
                "nothing was changed; undo those edits, or take the change from the run's branch by hand"
            )
        commit = snapshot.head_commit
        if new_head.entries != head:
            commit = self.publisher.write_commit(write_tree(self.store, new_head.entries), commit, message, moment)
        index_changes = _compare(index, new_index.entries, {})
        self.publisher.copy_blobs(change.new.oid for change in index_changes if change.new is not None)
        files = _compare(on_disk, new_disk.entries, permissions)
        return ChangePlan(
            run_id, str(self.disk.root), snapshot.branch, snapshot.head_commit, commit, files, index_changes
        )

    def _check_position(self, snapshot: Snapshot) -> None:
        if snapshot.repo_root != str(self.disk.root):
            raise NothingToAcceptError(f"the snapshot belongs to {snapshot.repo_root}, not to {self.disk.root}")
        check_idle(self.repository)
        head = read_head(self.repository)
        if head.branch != snapshot.branch:
            raise HeadMovedError(
                f"{head.branch} is checked out now, the run started on {snapshot.branch}; nothing was changed; "
                f"`git switch {snapshot.branch}` and accept again"
            )
        if head.commit != snapshot.head_commit:
            raise HeadMovedError(
                f"{head.branch} has moved from {snapshot.head_commit[:12]} to {head.commit[:12]} since the run "
                "started; nothing was changed; merge the run's branch with git instead"
            )

    def _check_changed(self, changed: list[str], before: Tree, after: Tree) -> None:
        if not changed:
            raise NothingToAcceptError("the run changed no file; there is nothing to accept")
        for path in changed:
            check_path(path)
            sides = before.get(path), after.get(path)
            if any(side is not None and side.mode == MODE_GITLINK for side in sides):
                raise UnsafePathError(f"the run changed the submodule {path!r}; change submodules with git itself")

    def _read_disk(self, changed: list[str], before: Tree, after: Tree) -> tuple[dict[str, TreeEntry], dict[str, int]]:
        """Return what is on disk at the changed paths, and at every place that would be in their way."""
        entries: dict[str, TreeEntry] = {}
        permissions: dict[str, int] = {}
        keeps_modes = read_flag(self.repository, "core.filemode", default=True)
        places = set(changed) | {parent for path in changed if path in after for parent in parents_of(path)}
        for path in sorted(places):
            found = self.disk.read_file(path)
            known = before.get(path)
            if found is None or found.data is None:
                if path in after and path in changed:
                    entries.update(self._read_obstacles(path))
                continue
            permissions[path] = found.permissions
            if known is not None and found.matches(known, keeps_modes=keeps_modes):
                entries[path] = known
            else:
                entries[path] = TreeEntry(found.mode, self.store.write("blob", found.data, is_durable=True))
        return entries, permissions

    def _read_obstacles(self, path: str) -> dict[str, TreeEntry]:
        """Return what stands where a file must go: a special file, or the files of a folder."""
        kind = self.disk.kind_of(path)
        if kind is Kind.SPECIAL:
            return {path: TreeEntry(MODE_GITLINK, _UNKNOWN)}
        if kind is not Kind.FOLDER:
            return {}
        found: dict[str, TreeEntry] = {}
        pending = [path]
        while pending:
            folder = pending.pop()
            for name, inner in self.disk.list_folder(folder):
                if inner is Kind.FOLDER:
                    pending.append(f"{folder}/{name}")
                else:
                    file = self.disk.read_file(f"{folder}/{name}")
                    oid = _UNKNOWN if file is None or file.data is None else hash_object("blob", file.data)
                    found[f"{folder}/{name}"] = TreeEntry(MODE_GITLINK if file is None else file.mode, oid)
        return found


def _compare(old: Tree, new: Tree, permissions: dict[str, int]) -> tuple[PathChange, ...]:
    paths = sorted(path for path in old.keys() | new.keys() if old.get(path) != new.get(path))
    return tuple(PathChange(path, old.get(path), new.get(path), permissions.get(path)) for path in paths)


def _conflict(paths: set[str]) -> MergeConflictError:
    listed = tuple(sorted(paths))
    return MergeConflictError(
        f"the run's changes overlap with your own uncommitted edits in {list_paths(listed)}; nothing was changed; "
        "commit or undo those edits, then run again",
        listed,
    )
