"""Trees as flat maps: `path -> (mode, oid)`, read and written byte for byte, whatever the names are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from services.edits.errors import UnsafePathError
from services.edits.objects import ObjectStore
from services.edits.paths import decode_name, encode_name
from services.kernel.ids import GitOid

MODE_FILE = 0o100644
MODE_EXECUTABLE = 0o100755
MODE_LINK = 0o120000
MODE_GITLINK = 0o160000
_MODE_TREE = 0o040000
_OID_BYTES = 20
_KIND_MASK = 0o170000
_KIND_FILE = 0o100000


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """One file, symlink or gitlink of a tree."""

    mode: int
    oid: GitOid

    @property
    def is_file(self) -> bool:
        """Whether this is a regular file (executable or not)."""
        return self.mode & _KIND_MASK == _KIND_FILE


Tree: TypeAlias = Mapping[str, TreeEntry]


def read_tree(store: ObjectStore, oid: GitOid) -> dict[str, TreeEntry]:
    """Return all entries below a tree in path order of git."""
    entries: dict[str, TreeEntry] = {}
    pending = [("", oid)]
    while pending:
        prefix, tree_oid = pending.pop()
        for name, mode, entry_oid in parse_tree(store.read(tree_oid)):
            path = prefix + name
            if mode == _MODE_TREE:
                pending.append((path + "/", entry_oid))
            else:
                entries[path] = TreeEntry(mode, entry_oid)
    return entries


def parse_tree(data: bytes) -> list[tuple[str, int, GitOid]]:
    """Return (name, mode, oid) of each entry of a raw tree object."""
    found = []
    position = 0
    while position < len(data):
        space = data.index(b" ", position)
        end = data.index(b"\0", space)
        oid = GitOid(data[end + 1 : end + 1 + _OID_BYTES].hex())
        found.append((decode_name(data[space + 1 : end]), int(data[position:space], 8), oid))
        position = end + 1 + _OID_BYTES
    return found


def write_tree(store: ObjectStore, entries: Tree) -> GitOid:
    """Write the tree objects for `entries`; return the root's id. A path may not also be a folder of another."""
    root: dict[bytes, object] = {}
    for path, entry in entries.items():
        *folders, name = encode_name(path).split(b"/")
        node = root
        for folder in folders:
            child = node.setdefault(folder, {})
            if not isinstance(child, dict):
                raise UnsafePathError(f"{path!r} lies below a file")
            node = child
        if name in node:
            raise UnsafePathError(f"{path!r} is both a file and a folder")
        node[name] = entry
    return _write_node(store, root)


def _write_node(store: ObjectStore, node: dict[bytes, object]) -> GitOid:
    rows = []
    for name, child in node.items():
        if isinstance(child, TreeEntry):
            rows.append((name, name, child.mode, child.oid))
        elif isinstance(child, dict):
            # git sorts a folder as if its name ended with a slash
            rows.append((name + b"/", name, _MODE_TREE, _write_node(store, child)))
    rows.sort()
    return store.write("tree", b"".join(b"%o %s\0" % (mode, name) + bytes.fromhex(oid) for _, name, mode, oid in rows))


def find_file_below_file(entries: Tree) -> tuple[str, ...]:
    """Return the paths that lie below another entry that is a file: such a map is no tree."""
    return tuple(sorted(path for path in entries if any(folder in entries for folder in _folders(path))))


def _folders(path: str) -> list[str]:
    return [path[:index] for index, char in enumerate(path) if char == "/"]
