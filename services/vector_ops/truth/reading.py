"""A reading connection with its overlay; used by one thread at a time."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from services.vector_ops.truth.contents import Forms
from services.vector_ops.truth.index_file import connect, read_inode
from services.vector_ops.truth.layers import Layers
from services.vector_ops.truth.outline import OutlineCache
from services.vector_ops.truth.overlay import Overlay
from services.vector_ops.truth.view import ReadBlob, Snapshot, StoredView


class Reader:
    """Keeps the overlay of the last view, so that an unchanged file is read once."""

    def __init__(self, path: Path, forms: Forms) -> None:
        self.inode = read_inode(path)
        self.connection = connect(path)
        self._layers = Layers(self.connection, OutlineCache())
        self._overlay = Overlay(self.connection, self._layers, forms)

    def likeness(self, overlay: Mapping[str, bytes | None]) -> int:
        """Return how much of an overlay is here already; negative for what would have to go."""
        mine = self._overlay.contents.keys()
        return len(mine & overlay.keys()) - len(mine - overlay.keys())

    @contextmanager
    def open_view(self, overlay: Mapping[str, bytes | None], read_blob: ReadBlob) -> Iterator[StoredView]:
        """Read from one snapshot with `overlay` on top."""
        self._overlay.prepare(overlay)
        self.connection.execute("BEGIN")
        is_kept = False
        try:
            meta = dict(self.connection.execute("SELECT key, value FROM main.meta").fetchall())
            base = f"{meta['lineage']}.{meta['epoch']}"
            self._overlay.put(overlay, base)
            is_kept = True
            snapshot = Snapshot(
                meta["commit_sha"],
                meta["lineage"],
                int(meta["epoch"]),
                self._overlay.digest,
                self._overlay.contents,
                self._overlay.touched,
            )
            yield StoredView(self._layers, snapshot, read_blob)
        finally:
            if self.connection.in_transaction:
                self.connection.execute("COMMIT" if is_kept else "ROLLBACK")
            if not is_kept:
                self._overlay.forget()

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()
