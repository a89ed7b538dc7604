"""The vectors of one index, kept level with its view, and the chunks that lie nearest to a text."""

import threading
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple, Protocol

import numpy as np

from services.vector_ops.core.view import FileRow, IndexView
from services.vector_ops.lexical.documents import Document, decode_document
from services.vector_ops.vectors.embedder import DocumentEmbedder, Embedder, Floats
from services.vector_ops.vectors.nearest import FLAT_LIMIT, Nearest
from services.vector_ops.vectors.texts import ChunkText, list_chunk_texts
from services.vector_ops.vectors.vector_file import EmbeddedFile, VectorFile

QUERY_BUDGET_S: Final = 0.2
"""How long a question may wait for cheap vectors of what has changed; dear ones are never computed for a question."""
_SLICE_FILES = 128
_BATCH_TEXTS = 16
_SAVED_SHARE = 50
_NO_VECTORS = np.zeros((0, 0), np.float32)
_KEPT_PER_CHUNK, _KEPT_AT_LEAST = 2, 50_000


class DenseHit(NamedTuple):
    """A chunk near a text: the lines `start_line` to `end_line` of a file, and the cosine."""

    path: str
    start_line: int
    end_line: int
    score: float


class Dense(Protocol):
    """What retrieval asks of vectors."""

    def rank_chunks(self, view: IndexView, text: str, count: int) -> list[DenseHit]:
        """Return up to `count` chunks of the view, nearest first; chunks without a vector yet are not among them.

        Raises VectorsUnavailableError when the text cannot be embedded now.
        """
        ...

    @property
    def pending(self) -> int:
        """The number of chunks without a vector, as of the last `sync` or `rank_chunks`."""
        ...


class DenseIndex:
    """Dense ranking with one embedder over one index; safe to use from several threads.

    Nothing is loaded before it is first used. What the view holds is compared by path and blob sha, so it does not
    matter what happened in between: a commit, an edit on disk, a switch of branches.
    """

    def __init__(
        self, embedder: Embedder, kept: VectorFile, *, clock: Callable[[], float], flat_limit: int = FLAT_LIMIT
    ) -> None:
        self._embedder = embedder
        self._kept = kept
        self._clock = clock
        self._flat_limit = flat_limit
        self._lock = threading.Lock()
        """Held for moments: the state below."""
        self._work_lock = threading.Lock()
        """Held while vectors are computed; who has it may take `_lock`, not the other way round."""
        self._nearest: Nearest | None = None
        self._files: dict[str, EmbeddedFile] = {}
        self._order: tuple[list[int], list[str]] | None = None
        self._next_id = 0
        self._unsaved = 0
        self._state = 0
        """Another number after every change of what `_nearest` holds."""
        self._level_with = ""
        self._sizes: dict[str, int] = {}
        self._pending = 0

    @property
    def pending(self) -> int:
        return self._pending

    @property
    def model(self) -> str:
        """The name of the embedder's model and version."""
        return self._embedder.name

    def take_notes(self) -> list[str]:
        """Return what happened to the files since the last call: set aside, made anew."""
        notes = self._kept.notes[:]
        self._kept.notes.clear()
        return notes

    def count_lag(self, view: IndexView) -> int | None:
        """Return how many chunks of a view have no vector yet; None while nothing has asked for vectors."""
        if self._nearest is None:
            return None
        if self._work_lock.acquire(blocking=False):  # else vectors are computed just now, and counted
            try:
                self._bring_level(view, 0)
            finally:
                self._work_lock.release()
        return self._pending

    def rank_chunks(self, view: IndexView, text: str, count: int) -> list[DenseHit]:
        vector = self._embedder.embed_query(text)
        if self._work_lock.acquire(blocking=False):
            try:
                self._bring_level(view, QUERY_BUDGET_S if self._is_cheap() else 0)
            finally:
                self._work_lock.release()
        with self._lock:
            missing = self._match(view)
            # Another thread computes vectors just now and has not counted yet: a file has one chunk at least.
            self._pending = max(self._pending, len(missing))
            return list(self._name_hits(self._open().find(vector, count)))

    def sync(self, view: IndexView, budget_s: float | None = None) -> int:
        """Compute vectors for what has changed, for about `budget_s` seconds (None: all); return what is pending.

        Call it again until nothing is; questions are answered meanwhile. Raises VectorsUnavailableError and
        EmbedderUnusableError; what was computed until then is kept.
        """
        with self._work_lock:
            self._bring_level(view, budget_s)
            if not self._pending:
                self._settle()
            return self._pending

    def save(self) -> None:
        """Write the vectors to disk when they have changed; raises VectorsUnavailableError."""
        with self._work_lock, self._lock:
            self._save(0)

    def close(self) -> None:
        """Forget what is in memory and close the files; the next use opens them again."""
        with self._work_lock, self._lock:
            self._nearest = None
            self._files, self._order, self._sizes = {}, None, {}
            self._level_with = ""
            self._kept.close()

    def _is_cheap(self) -> bool:
        return isinstance(self._embedder, DocumentEmbedder)

    def _open(self) -> Nearest:
        if self._nearest is None:
            nearest = Nearest(self._embedder.dimension, self._flat_limit)
            self._files = self._kept.load(self._embedder.name, nearest)
            self._nearest = nearest
            self._next_id = max((one.first_id + one.chunk_count for one in self._files.values()), default=0)
            self._unsaved = 0
            self._order = None
        return self._nearest

    def _bring_level(self, view: IndexView, budget_s: float | None) -> None:
        """Match the view, then embed for `budget_s`: nothing when that is 0, at least one step otherwise."""
        deadline = None if budget_s is None else self._clock() + budget_s
        with self._lock:
            missing = sorted(self._match(view), key=_by_use)
        done, is_working = 0, budget_s != 0
        while is_working and done < len(missing):
            count = self._add_some(view, missing[done : done + _SLICE_FILES], deadline)
            done += count
            is_working = count > 0 and not self._is_over(deadline)
        self._count_pending(view, missing[done:])
        with self._lock:
            if not self._pending:
                self._level_with = view.epoch

    def _is_over(self, deadline: float | None) -> bool:
        return deadline is not None and self._clock() >= deadline

    def _match(self, view: IndexView) -> list[FileRow]:
        """Remove vectors of contents that the view does not have: they must not answer. Return the files without."""
        nearest = self._open()
        if view.epoch == self._level_with:
            return []
        files = {file.path: file for file in view.list_files() if not file.skipped}
        shas = {path: file.blob_sha for path, file in files.items()}
        gone = [path for path, one in self._files.items() if shas.get(path) != one.blob_sha]
        dropped = [self._files.pop(path) for path in gone]
        if dropped:
            ids = [np.arange(one.first_id, one.first_id + one.chunk_count) for one in dropped]
            nearest.remove(np.concatenate(ids))
            self._unsaved += sum(one.chunk_count for one in dropped)
            self._state += 1
            self._level_with = ""
            self._order = None
        return [file for path, file in files.items() if path not in self._files]

    def _add_some(self, view: IndexView, files: Sequence[FileRow], deadline: float | None) -> int:
        """Embed files in order until the deadline; return how many were done."""
        wanted = [one.path for one in files]
        documents = {path: decode_document(data) for path, data in view.read_documents(wanted)}
        if isinstance(self._embedder, DocumentEmbedder):
            found = [(path, documents[path]) for path in wanted if path in documents]
            vectors = self._embedder.embed_documents(found) if found else _NO_VECTORS
            self._add(files, documents, vectors)
            return len(files)
        for done, file in enumerate(files):
            document = documents.get(file.path)
            texts = list_chunk_texts(view, file.path, document) if document is not None else []
            embedded = self._embed_texts(texts, deadline)
            if embedded is None:
                return done
            self._add([file], documents, embedded)
            if self._is_over(deadline):
                return done + 1
        return len(files)

    def _add(self, files: Sequence[FileRow], documents: dict[str, Document], vectors: Floats) -> None:
        """Add the vectors of these files' chunks, file after file."""
        with self._lock:
            self._open().add(np.arange(self._next_id, self._next_id + len(vectors)), vectors)
            self._state += 1
            for file in files:
                noted = EmbeddedFile(file.blob_sha, self._next_id, _pack_places(documents.get(file.path)))
                self._files[file.path] = noted
                self._next_id += noted.chunk_count
                self._unsaved += noted.chunk_count
            self._level_with = ""
            self._order = None

    def _embed_texts(self, texts: Sequence[ChunkText], deadline: float | None) -> Floats | None:
        """Return the vectors of texts, or nothing when time ran out before all were there; each is kept at once."""
        if not texts:
            return _NO_VECTORS
        known = self._kept.read_cache(self._embedder.name, [one.key for one in texts])
        missing = {one.key: one.text for one in texts if one.key not in known}
        while missing:
            batch = dict(islice(missing.items(), _BATCH_TEXTS))
            fresh = dict(zip(batch, self._embedder.embed_texts(list(batch.values())), strict=True))
            self._kept.write_cache(self._embedder.name, fresh.items())
            known |= fresh
            missing = {key: text for key, text in missing.items() if key not in fresh}
            if missing and self._is_over(deadline):
                return None
        return np.stack([known[one.key] for one in texts])

    def _count_pending(self, view: IndexView, missing: Sequence[FileRow]) -> None:
        """Count the chunks of the files that are not embedded; each content is looked at once."""
        unknown = {file.path: file.blob_sha for file in missing if file.blob_sha not in self._sizes}
        if not missing:
            self._sizes.clear()
        for path, data in view.read_documents(unknown) if unknown else ():
            self._sizes[unknown[path]] = len(decode_document(data).start_line)
        self._pending = sum(self._sizes.get(file.blob_sha, 0) for file in missing)

    def _read_order(self) -> tuple[list[int], list[str]]:
        """Return the first ids in order, and the path of each."""
        if self._order is None:
            pairs = sorted((one.first_id, path) for path, one in self._files.items() if one.places)
            self._order = ([first for first, _path in pairs], [path for _first, path in pairs])
        return self._order

    def _name_hits(self, found: Iterable[tuple[int, float]]) -> Iterator[DenseHit]:
        firsts, paths = self._read_order()
        for one, score in found:
            path = paths[bisect_right(firsts, one) - 1]
            file = self._files[path]
            start_line, end_line = file.find_place(one - file.first_id)
            yield DenseHit(path, start_line, end_line, score)

    def _settle(self) -> None:
        """Move very many vectors into clusters, questions being answered meanwhile, and write what has changed."""
        with self._lock:
            nearest, state = self._open(), self._state
            copied = nearest.copy_flat() if nearest.is_crowded else None
        clusters = nearest.make_clusters(*copied) if copied is not None else None
        with self._lock:
            if clusters is not None and state == self._state and nearest is self._nearest:
                nearest.adopt(clusters)
                self._unsaved += len(nearest)
            self._save(len(nearest) // _SAVED_SHARE)

    def _save(self, over: int) -> None:
        """Write when more than `over` chunks differ from what was written; the rest is cheap to find again."""
        if self._nearest is not None and self._unsaved > over:
            self._kept.save(self._embedder.name, self._nearest, self._files)
            if not self._is_cheap():
                self._kept.prune_cache(max(_KEPT_AT_LEAST, _KEPT_PER_CHUNK * len(self._nearest)))
            self._unsaved = 0


def _pack_places(document: Document | None) -> bytes:
    if document is None:
        return b""
    return np.stack((document.start_line, document.end_line), axis=1).astype(np.uint32).tobytes()


def _by_use(file: FileRow) -> tuple[bool, bool, str]:
    """Code first, tests after it, prose last: where vectors are dear, these are there soonest."""
    return not file.language, file.is_test, file.path
