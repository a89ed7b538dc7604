"""Git trees read from their raw bytes: names that are not UTF-8 survive, and only what differs is looked at."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

FOLDER = b"40000"
LINK = b"120000"
SUBMODULE = b"160000"
PLAIN = frozenset((b"100644", b"100755", b"100664"))
MAX_PATH_BYTES = 4_096
_SHA_BYTES = 20

ReadTree = Callable[[bytes], bytes]
"""Return the raw content of the tree with this (binary) sha."""


class Entry(NamedTuple):
    """A name in a tree: the mode as git writes it, and the binary sha."""

    mode: bytes
    sha: bytes


def parse_tree(raw: bytes) -> Iterator[tuple[bytes, Entry]]:
    """Yield (name, entry) of one raw tree; raise ValueError when it is damaged."""
    at, end = 0, len(raw)
    while at < end:
        stop = raw.index(b"\0", at)
        mode, _, name = raw[at:stop].partition(b" ")
        at = stop + 1 + _SHA_BYTES
        yield name, Entry(mode, raw[stop + 1 : at])


def walk_tree(read: ReadTree, tree_sha: bytes, enter: Callable[[bytes], bool]) -> Iterator[tuple[bytes, bytes, Entry]]:
    """Yield (folder, name, entry) of everything but folders below a tree; `enter` says whether to enter a folder."""
    pending = [(b"", tree_sha)]
    while pending:
        folder, sha = pending.pop()
        for name, entry in parse_tree(read(sha)):
            if entry.mode != FOLDER:
                yield folder, name, entry
                continue
            inner = folder + b"/" + name if folder else name
            if len(inner) < MAX_PATH_BYTES and enter(inner):
                pending.append((inner, entry.sha))


def diff_trees(
    read: ReadTree, old_sha: bytes | None, new_sha: bytes | None, enter: Callable[[bytes], bool]
) -> Iterator[tuple[bytes, bytes, Entry | None, Entry | None]]:
    """Yield (folder, name, old, new) for every name but folders that differs between two trees, renames as two."""
    pending = [(b"", old_sha, new_sha)]
    while pending:
        folder, before, after = pending.pop()
        old = dict(parse_tree(read(before))) if before is not None else {}
        new = dict(parse_tree(read(after))) if after is not None else {}
        for name in old.keys() | new.keys():
            was, now = old.get(name), new.get(name)
            if was == now:
                continue
            was_in, now_in = _folder_sha(was), _folder_sha(now)
            if was_in is not None or now_in is not None:
                inner = folder + b"/" + name if folder else name
                if len(inner) < MAX_PATH_BYTES and enter(inner):
                    pending.append((inner, was_in, now_in))
            was, now = _unless_folder(was), _unless_folder(now)
            if was is not None or now is not None:
                yield folder, name, was, now


def _folder_sha(entry: Entry | None) -> bytes | None:
    return entry.sha if entry is not None and entry.mode == FOLDER else None


def _unless_folder(entry: Entry | None) -> Entry | None:
    return None if entry is None or entry.mode == FOLDER else entry
