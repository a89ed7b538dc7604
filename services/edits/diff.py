"""What changed between two trees, as a patch and as a table."""

import pygit2
from pygit2.enums import DeltaStatus, DiffFind, DiffOption

from services.edits.models import ChangeStatus, FileChange, TreeDiff
from services.edits.objects import ObjectStore
from services.edits.owner import acting_as_server
from services.edits.paths import decode_name
from services.edits.tree import Tree, TreeEntry, write_tree

_STATUS = {
    DeltaStatus.ADDED: ChangeStatus.ADDED,
    DeltaStatus.DELETED: ChangeStatus.DELETED,
    DeltaStatus.MODIFIED: ChangeStatus.MODIFIED,
    DeltaStatus.RENAMED: ChangeStatus.RENAMED,
    DeltaStatus.TYPECHANGE: ChangeStatus.RETYPED,
}


def diff_entries(store: ObjectStore, old: Tree, new: Tree) -> TreeDiff:
    """Return the changes from `old` to `new`; only changed paths cost anything."""
    changed = {path for path in old.keys() | new.keys() if old.get(path) != new.get(path)}
    parts: list[tuple[FileChange, str]] = []
    for patch in _compare(store, _restrict(old, changed), _restrict(new, changed), DiffOption.NORMAL):
        change, text = _read_patch(patch), _decode(patch.data)
        if text is None or change.is_binary:
            # Bytes that are no UTF-8 cannot live in text: such a file goes as a git binary patch.
            names = {change.path, change.old_path or change.path}
            text = _binary_patch(store, _restrict(old, names), _restrict(new, names))
            change = FileChange(change.path, change.status, 0, 0, is_binary=True, old_path=change.old_path)
        parts.append((change, text))
    parts.sort(key=lambda part: part[0].path)
    return TreeDiff("".join(text for _, text in parts), tuple(change for change, _ in parts))


def _restrict(entries: Tree, paths: set[str]) -> dict[str, TreeEntry]:
    return {path: entries[path] for path in paths if path in entries}


def _compare(store: ObjectStore, old: Tree, new: Tree, flags: DiffOption) -> list[pygit2.Patch]:
    old_oid, new_oid = write_tree(store, old), write_tree(store, new)
    with acting_as_server():
        tree = store.repository[old_oid].peel(pygit2.Tree)
        diff = tree.diff_to_tree(
            store.repository[new_oid].peel(pygit2.Tree), flags=flags | DiffOption.INCLUDE_TYPECHANGE
        )
        diff.find_similar(flags=DiffFind.FIND_RENAMES)
        return [patch for patch in diff if patch is not None]


def _binary_patch(store: ObjectStore, old: Tree, new: Tree) -> str:
    flags = DiffOption.FORCE_BINARY | DiffOption.SHOW_BINARY
    return "".join(patch.data.decode("ascii") for patch in _compare(store, old, new, flags))


def _decode(data: bytes) -> str | None:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _read_patch(patch: pygit2.Patch) -> FileChange:
    delta = patch.delta
    status = _STATUS[delta.status]
    path = decode_name(delta.new_file.raw_path)
    _context, added, deleted = patch.line_stats
    return FileChange(
        path=path,
        status=status,
        added=added,
        deleted=deleted,
        is_binary=bool(delta.is_binary),
        old_path=decode_name(delta.old_file.raw_path) if status is ChangeStatus.RENAMED else None,
    )
