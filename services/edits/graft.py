"""Change a few files of a tree, and turn one tree on disk into another, reading and writing only what differs."""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from services.edits.errors import UnsafePathError
from services.edits.objects import ObjectStore
from services.edits.paths import check_path, encode_name
from services.edits.tree import MODE_FILE, TreeEntry, parse_tree
from services.kernel.ids import GitOid

_MODE_TREE = 0o040000
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_Node = dict[str, TreeEntry]


def _read_node(store: ObjectStore, oid: GitOid) -> _Node:
    return {name: TreeEntry(mode, entry) for name, mode, entry in parse_tree(store.read(oid))}


def _write_node(store: ObjectStore, node: _Node) -> GitOid:
    rows = []
    for name, entry in node.items():
        raw = encode_name(name)
        # git sorts a folder as if its name ended with a slash
        rows.append((raw + b"/" if entry.mode == _MODE_TREE else raw, raw, entry))
    rows.sort(key=lambda row: row[0])
    body = b"".join(b"%o %s\0" % (entry.mode, raw) + bytes.fromhex(entry.oid) for _, raw, entry in rows)
    return store.write("tree", body)


def graft(store: ObjectStore, base: GitOid, changes: Mapping[str, bytes | None]) -> GitOid:
    """Return `base` with these files changed: new content, or None for a file that goes.

    A changed file keeps its mode; a folder that becomes empty goes too. Costs the folders on the way, not the tree.
    Raises UnsafePathError, with nothing but loose objects written, for a path that holds `..` or `.git`, that leads
    through a file, symlink or submodule, that names a folder, symlink or submodule, or whose removal removes nothing.
    """
    tree = base
    for path, content in sorted(changes.items()):
        check_path(path)
        entry = None if content is None else TreeEntry(MODE_FILE, store.write("blob", content))
        tree = _graft_one(store, tree, path.split("/"), entry, path) or store.write("tree", b"")
    return tree


def _graft_one(
    store: ObjectStore, tree: GitOid | None, parts: list[str], entry: TreeEntry | None, path: str
) -> GitOid | None:
    node = _read_node(store, tree) if tree is not None else {}
    name, rest = parts[0], parts[1:]
    known = node.get(name)
    if rest:
        if known is not None and known.mode != _MODE_TREE:
            raise UnsafePathError(f"{path!r} lies below {name!r}, which is no folder")
        child = _graft_one(store, known.oid if known else None, rest, entry, path)
        placed = None if child is None else TreeEntry(_MODE_TREE, child)
    else:
        if known is not None and not known.is_file:
            raise UnsafePathError(f"{path!r} is a folder, a symlink or a submodule; only files can be changed")
        placed = entry if entry is None or known is None else TreeEntry(known.mode, entry.oid)
    if placed is None:
        if known is None:
            raise UnsafePathError(f"{path!r} does not exist; it cannot be removed")
        del node[name]
    else:
        node[name] = placed
    return _write_node(store, node) if node else None


def find_changes(store: ObjectStore, old: GitOid, new: GitOid) -> dict[str, TreeEntry | None]:
    """Return what is different in `new`, by path; None for what is gone. Folders that are equal are not read."""
    changes: dict[str, TreeEntry | None] = {}
    pending: list[tuple[str, GitOid | None, GitOid | None]] = [("", old, new)]
    while pending:
        prefix, before_oid, after_oid = pending.pop()
        before = _read_node(store, before_oid) if before_oid else {}
        after = _read_node(store, after_oid) if after_oid else {}
        for name in before.keys() | after.keys():
            was, now = before.get(name), after.get(name)
            if was == now:
                continue
            folders = _folder(was), _folder(now)
            if any(folders):
                pending.append((f"{prefix}{name}/", *folders))
            if was is not None and not folders[0]:
                changes.setdefault(prefix + name, None)
            if now is not None and not folders[1]:
                changes[prefix + name] = now
    return changes


def _folder(entry: TreeEntry | None) -> GitOid | None:
    return entry.oid if entry is not None and entry.mode == _MODE_TREE else None


def restore_folder(store: ObjectStore, folder: Path, old: GitOid, new: GitOid) -> int:
    """Turn a server's own folder, which holds exactly `old`, into `new`; return how many paths were touched.

    Only for folders that no lane has written: what lies between the root and a path is what `old` says. Raises
    UnsafePathError when something else than plain files differs.
    """
    changes = find_changes(store, old, new)
    for path, entry in sorted(changes.items(), key=lambda item: (item[1] is not None, item[0])):
        check_path(path)
        place = folder / path
        if entry is None:
            _remove(folder, place)
        elif not entry.is_file:
            raise UnsafePathError(f"{path!r} is no plain file; it cannot be restored")
        else:
            _write(place, store.read(entry.oid), entry)
    return len(changes)


def _remove(root: Path, place: Path) -> None:
    place.unlink()
    for parent in place.parents:
        if parent == root:
            return
        try:
            parent.rmdir()
        except OSError:  # not empty
            return


def _write(place: Path, data: bytes, entry: TreeEntry) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        place.unlink()
    handle = os.open(place, _CREATE, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        os.fchmod(handle, 0o755 if entry.mode & 0o111 else 0o644)
