"""Static vectors: the weighted sum of the rows of a text's terms. No model, no network, some 50,000 chunks a second."""

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from services.vector_ops.lexical.documents import DOCUMENT_VERSION, OWN_NAME, OWNER_NAME, Document
from services.vector_ops.lexical.terms import hash_text
from services.vector_ops.vectors.bags import NAME_WEIGHT, OWNER_WEIGHT, PATH_WEIGHT, damp_counts
from services.vector_ops.vectors.embedder import Floats
from services.vector_ops.vectors.table import StaticTable, read_shipped_table

_TINY = 1e-9

Ints = NDArray[np.int64]


class StaticEmbedder:
    """The shipped table, or another one; read at first use."""

    def __init__(self, read_table: Callable[[], StaticTable] = read_shipped_table) -> None:
        self._read_table = read_table

    @cached_property
    def _table(self) -> StaticTable:
        return self._read_table()

    @cached_property
    def name(self) -> str:
        return f"static.{self._table.digest}.{DOCUMENT_VERSION}"

    @property
    def dimension(self) -> int:
        return self._table.dimension

    def embed_texts(self, texts: Sequence[str]) -> Floats:
        return _make_unit(np.stack([self._sum_terms(text) for text in texts]))

    def embed_query(self, text: str) -> Floats:
        return np.asarray(self.embed_texts([text])[0], np.float32)

    def _sum_terms(self, text: str) -> Floats:
        terms, counts = np.unique(hash_text(text), return_counts=True)
        rows, known = self._table.find_rows(terms)
        return np.asarray(damp_counts(counts[known]) @ self._table.decode(rows[known]), np.float32)

    def embed_documents(self, documents: Sequence[tuple[str, Document]]) -> Floats:
        """Return one row a chunk: its terms, those of the names that it defines, and those of the path."""
        from scipy import sparse  # noqa: PLC0415 - not loaded before vectors are asked for

        rows, columns, weights, chunk_count = self._list_weights(documents)
        needed, columns = np.unique(columns, return_inverse=True)
        shape = (chunk_count, len(needed))
        matrix = sparse.coo_array((weights, (rows, columns)), shape=shape).tocsr()
        return _make_unit(np.asarray(matrix @ self._table.decode(needed), np.float32))

    def _list_weights(self, documents: Sequence[tuple[str, Document]]) -> tuple[Ints, Ints, Floats, int]:
        """Return (chunk, row of the table, weight) of each term, as three arrays, and the number of chunks."""
        rows: list[Ints] = []
        columns: list[Ints] = []
        weights: list[Floats] = []
        begin = 0
        for path, document in documents:
            row_of, is_known = self._table.find_rows(document.vocabulary)
            count = len(document.start_line)
            path_rows, path_known = self._table.find_rows(np.unique(hash_text(path)))
            path_rows = path_rows[path_known]
            parts = (
                (_chunk_of(document.ends), document.term, damp_counts(document.counts)),
                (_chunk_of(document.name_ends), document.name_term, _weigh_names(document.name_flags)),
            )
            for chunk, term, weight in parts:
                kept = is_known[term]
                rows.append(chunk[kept] + begin)
                columns.append(row_of[term][kept])
                weights.append(weight[kept])
            rows.append(np.repeat(np.arange(begin, begin + count), len(path_rows)))
            columns.append(np.tile(path_rows, count))
            weights.append(np.full(count * len(path_rows), PATH_WEIGHT, np.float32))
            begin += count
        return np.concatenate(rows), np.concatenate(columns), np.concatenate(weights), begin


def _chunk_of(ends: NDArray[np.uint32]) -> Ints:
    bounds = np.concatenate((np.zeros(1, np.int64), ends.astype(np.int64)))
    return np.repeat(np.arange(len(ends)), bounds[1:] - bounds[:-1])


def _weigh_names(flags: NDArray[np.uint8]) -> Floats:
    own, around = (flags & OWN_NAME) > 0, (flags & OWNER_NAME) > 0
    return np.asarray(own * NAME_WEIGHT + around * OWNER_WEIGHT, np.float32)


def _make_unit(vectors: Floats) -> Floats:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, _TINY), np.float32)
