"""Write a tree into an empty folder."""

import os
from pathlib import Path

from services.edits.errors import UnsafePathError
from services.edits.objects import ObjectStore
from services.edits.paths import check_path
from services.edits.tree import MODE_GITLINK, MODE_LINK, Tree, TreeEntry, find_file_below_file


def export_tree(store: ObjectStore, entries: Tree, destination: Path) -> int:
    """Write `entries` below `destination` (made if absent, must be empty); return the number of files.

    All paths are checked before the first is written. Symlinks come last, so that nothing is written through one.
    A gitlink becomes an empty folder.
    """
    for path in entries:
        check_path(path)
    hidden = find_file_below_file(entries)
    if hidden:
        raise UnsafePathError(f"refused the tree: {hidden[0]!r} lies below a file")
    destination.mkdir(parents=True, exist_ok=True)
    with os.scandir(destination) as present:
        if any(present):
            raise UnsafePathError(f"{destination} is not empty; give a new folder to export into")
    root = str(destination)
    folders = {path.rpartition("/")[0] for path in entries} | {
        path for path, entry in entries.items() if entry.mode == MODE_GITLINK
    }
    for folder in sorted(folders):
        Path(root, folder).mkdir(parents=True, exist_ok=True)
    links = {path: entry for path, entry in entries.items() if entry.mode == MODE_LINK}
    for path, entry in entries.items():
        if entry.is_file:
            _write_file(f"{root}/{path}", store.read(entry.oid), entry)
    for path, entry in links.items():
        Path(root, path).symlink_to(os.fsdecode(store.read(entry.oid)))
    return len(entries)


def _write_file(path: str, data: bytes, entry: TreeEntry) -> None:
    permissions = 0o755 if entry.mode & 0o111 else 0o644
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, permissions)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        os.fchmod(handle, permissions)  # whatever the umask of the server
