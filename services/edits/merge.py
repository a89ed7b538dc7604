"""Three-way merge of trees: path by path, and line by line where both sides changed a file."""

from dataclasses import dataclass, field

from pygit2.enums import MergeFlag

from services.edits.objects import ObjectStore
from services.edits.owner import acting_as_server
from services.edits.tree import MODE_FILE, Tree, TreeEntry, find_file_below_file, write_tree
from services.kernel.ids import GitOid


@dataclass
class FlatMerge:
    """The outcome of a merge: entries, and the paths where both sides disagree."""

    entries: dict[str, TreeEntry]
    conflicts: set[str] = field(default_factory=set)


def merge_entries(store: ObjectStore, base: Tree, ours: Tree, theirs: Tree) -> FlatMerge:
    """Apply the changes from `base` to `theirs` onto `ours`.

    No renames are guessed. A conflict is: both sides changed the same or adjacent lines, one side changed what the
    other deleted, both sides changed a mode, a link or a binary file differently, or a file met a folder.
    """
    merged = FlatMerge(dict(ours))
    contested = []
    for path in sorted(base.keys() | theirs.keys()):
        old, mine, new = base.get(path), ours.get(path), theirs.get(path)
        if new in (old, mine):
            continue
        if mine == old:
            _put(merged.entries, path, new)
        elif (sides := _pair_sides(path, old, mine, new)) is not None:
            contested.append(sides)
        else:
            merged.conflicts.add(path)
    _merge_files(store, contested, merged)
    changed = {path for path in base.keys() | theirs.keys() if base.get(path) != theirs.get(path)}
    merged.conflicts.update(_find_blocked(merged.entries, changed))
    return merged


def _find_blocked(entries: Tree, changed: set[str]) -> set[str]:
    """Return the changed paths that cannot be: a file below a file."""
    blocked = set()
    for path in find_file_below_file(entries):
        folders = {path[:index] for index, char in enumerate(path) if char == "/"} & entries.keys()
        blocked.update(({path} | folders) & changed or {path})
    return blocked


def _put(entries: dict[str, TreeEntry], path: str, entry: TreeEntry | None) -> None:
    if entry is None:
        entries.pop(path, None)
    else:
        entries[path] = entry


@dataclass(frozen=True)
class _Sides:
    """The three entries of one path, all regular files with a mode both sides can agree on."""

    path: str
    mode: int
    oids: tuple[GitOid, GitOid, GitOid]


def _pair_sides(path: str, base: TreeEntry | None, ours: TreeEntry | None, theirs: TreeEntry | None) -> _Sides | None:
    if base is None or ours is None or theirs is None:
        return None
    mode = _merge_mode(base, ours, theirs)
    if mode is None or not (base.is_file and ours.is_file and theirs.is_file):
        return None
    return _Sides(path, mode, (base.oid, ours.oid, theirs.oid))


def _merge_files(store: ObjectStore, contested: list[_Sides], merged: FlatMerge) -> None:
    contents = _merge_contents(store, [sides.oids for sides in contested])
    for sides, oid in zip(contested, contents, strict=True):
        if oid is None:
            merged.conflicts.add(sides.path)
        else:
            merged.entries[sides.path] = TreeEntry(sides.mode, oid)


def _merge_mode(base: TreeEntry, ours: TreeEntry, theirs: TreeEntry) -> int | None:
    if theirs.mode in {base.mode, ours.mode}:
        return ours.mode
    return theirs.mode if ours.mode == base.mode else None


def _merge_contents(store: ObjectStore, triples: list[tuple[GitOid, GitOid, GitOid]]) -> list[GitOid | None]:
    """Return the merged blob of each (base, ours, theirs), None for a conflict.

    libgit2 merges whole trees only, so the files become the numbered entries of three small ones: no name of the
    user's ever matters, no attribute applies to them.
    """
    if not triples:
        return []
    base, ours, theirs = (
        write_tree(store, {str(number): TreeEntry(MODE_FILE, triple[side]) for number, triple in enumerate(triples)})
        for side in range(3)
    )
    with acting_as_server():
        index = store.repository.merge_trees(base, ours, theirs, flags=MergeFlag(0))
        found = {entry.path: GitOid(str(entry.id)) for entry in index}
        conflicts = {side.path for sides in index.conflicts or () for side in sides if side is not None}
    return [None if str(number) in conflicts else found[str(number)] for number in range(len(triples))]
