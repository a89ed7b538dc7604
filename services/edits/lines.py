"""Line endings: a checkout with autocrlf has CRLF on disk and LF in git; hunks must fit both."""

from services.edits.objects import ObjectStore
from services.edits.tree import Tree, TreeEntry

_CRLF, _LF = b"\r\n", b"\n"


def fit_line_endings(store: ObjectStore, base: dict[str, TreeEntry], theirs: dict[str, TreeEntry], layer: Tree) -> None:
    """Rewrite `base` and `theirs` with LF where the layer has LF only and the base has CRLF only."""
    for path, mine in layer.items():
        old, new = base.get(path), theirs.get(path)
        if old is None or old.oid == mine.oid or not (old.is_file and mine.is_file):
            continue
        old_data, my_data = store.read(old.oid), store.read(mine.oid)
        if _has_only_crlf(old_data) and _LF in my_data and _CRLF not in my_data:
            base[path] = TreeEntry(old.mode, store.write("blob", old_data.replace(_CRLF, _LF)))
            if new is not None and new.is_file:
                theirs[path] = TreeEntry(new.mode, store.write("blob", store.read(new.oid).replace(_CRLF, _LF)))


def _has_only_crlf(data: bytes) -> bool:
    return 0 < data.count(_CRLF) == data.count(_LF) and b"\0" not in data
