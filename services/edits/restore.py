"""Bring the files of a snapshot back."""

import pygit2

from services.edits.disk import Disk
from services.edits.disk_writer import DiskWriter
from services.edits.models import Restoration, Snapshot
from services.edits.objects import ObjectStore
from services.edits.paths import parents_of
from services.edits.snapshot import take_snapshot
from services.edits.tree import MODE_GITLINK, read_tree

_MARK = "restore"


def restore_snapshot(
    repository: pygit2.Repository, disk: Disk, store: ObjectStore, snapshot: Snapshot, *, is_exact: bool
) -> Restoration:
    """Make the working tree hold the snapshot's files (see UserRepository.restore_snapshot)."""
    before = take_snapshot(repository, disk, store)
    present, wanted = read_tree(store, before.snapshot_tree), read_tree(store, snapshot.snapshot_tree)
    writer = DiskWriter(disk, _MARK)
    gone = sorted(path for path in present.keys() - wanted.keys() if present[path].mode != MODE_GITLINK)
    # A new file in the place of a wanted folder (or the reverse) must go in any case.
    folders = {folder for path in wanted for folder in parents_of(path)}
    removed = tuple(
        path for path in gone if is_exact or path in folders or any(parent in wanted for parent in parents_of(path))
    )
    for path in removed:
        writer.remove(path)
    changed = [path for path, entry in wanted.items() if present.get(path) != entry and entry.mode != MODE_GITLINK]
    for path in sorted(changed):
        found = disk.read_file(path)
        writer.put(path, wanted[path], store.read(wanted[path].oid), None if found is None else found.permissions)
    return Restoration(before, tuple(sorted(changed)), removed)
