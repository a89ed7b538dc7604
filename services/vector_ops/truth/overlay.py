"""The overlay of uncommitted files on a reading connection: kept between views, changed only where contents changed."""

import sqlite3
from collections.abc import Mapping
from hashlib import blake2b, sha1

from services.vector_ops.truth.applying import Applier
from services.vector_ops.truth.collector import paused_collector
from services.vector_ops.truth.contents import Content, Form, Forms, read_content
from services.vector_ops.truth.dependents import Dependents, read_dependents
from services.vector_ops.truth.layers import Layers
from services.vector_ops.truth.skipping import MAX_FILE_BYTES, OVERSIZED
from services.vector_ops.truth.tables import OverlayTables


def hash_blob(content: bytes) -> str:
    """Return the git blob sha of a content."""
    return sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


class Overlay:
    """Brings the attached in-memory tables level with a mapping path -> content (None: gone)."""

    def __init__(self, connection: sqlite3.Connection, layers: Layers, forms: Forms) -> None:
        self.digest = ""
        self.touched: frozenset[str] = frozenset()
        self.contents: dict[str, bytes | None] = {}
        self._connection = connection
        self._layers = layers
        self._forms = forms
        self._tables: OverlayTables | None = None
        self._shas: dict[str, str | None] = {}
        self._base = ""
        self._dependents = Dependents(())

    def prepare(self, wanted: Mapping[str, bytes | None]) -> None:
        """Attach the tables when they are needed for the first time; to be called outside a transaction."""
        if wanted and self._tables is None:
            self._tables = OverlayTables(self._connection)

    def forget(self) -> None:
        """Start from nothing at the next change: the last one was rolled back."""
        self._base = ""
        self._shas = {}
        self._layers.is_layered = False

    def put(self, wanted: Mapping[str, bytes | None], base: str) -> None:
        """Bring the overlay level; `base` names the committed state below it."""
        if not wanted and not self._shas:
            return
        shas = self._hash(wanted)
        if base != self._base or not wanted:
            self._clear(base)
        if shas != self._shas or not self.digest:
            self._apply(shas, dict(wanted))
        self.contents = dict(wanted)

    def _hash(self, wanted: Mapping[str, bytes | None]) -> dict[str, str | None]:
        """Return the blob shas; the very object of the last time is not hashed again."""
        known, contents = self._shas, self.contents
        return {
            path: (known[path] if path in known and contents.get(path) is content else hash_blob(content))
            if content is not None
            else None
            for path, content in wanted.items()
        }

    def _clear(self, base: str) -> None:
        if self._tables is not None:
            self._tables.clear()
        self._layers.is_layered = False
        self._base = base
        self._shas = {}
        self.contents = {}
        self.touched = frozenset()
        self.digest = ""

    def _apply(self, shas: dict[str, str | None], contents: dict[str, bytes | None]) -> None:
        if not shas or self._tables is None:
            return
        if not self._layers.is_layered:
            self._dependents = read_dependents(self._connection)
        changes = {path: sha for path, sha in shas.items() if path not in self._shas or self._shas[path] != sha}
        changes |= {path: self._find_committed(path) for path in self._shas.keys() - shas.keys()}
        self._layers.is_layered = True

        by_sha = {sha: contents[path] or b"" for path, sha in shas.items() if sha is not None}

        def read(sha: str, form: Form) -> Content:
            content = by_sha[sha]
            rule = OVERSIZED if len(content) > MAX_FILE_BYTES else ""
            return read_content(self._forms.language_of(form), form, content, rule)

        applier = Applier(self._layers, self._tables, self._forms, self._dependents, read, lambda: False)
        with paused_collector():
            outcome = applier.apply(changes)
        self._shas = shas
        self.touched |= outcome.touched
        listed = "\0".join(f"{path}\0{sha}" for path, sha in sorted(shas.items()))
        self.digest = blake2b(listed.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()

    def _find_committed(self, path: str) -> str | None:
        sql = "SELECT b.sha FROM main.file f JOIN main.blob b ON b.id = f.blob_id WHERE f.path = ?"
        found = self._connection.execute(sql, (path,)).fetchone()
        return None if found is None else str(found[0])
