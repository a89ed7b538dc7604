"""What turns texts into vectors: one protocol for the shipped table, a local model, and a model behind an endpoint."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from services.kernel.errors import InvalidRequestError, UnavailableError
from services.vector_ops.lexical.documents import Document

Floats = NDArray[np.float32]


class VectorsUnavailableError(UnavailableError):
    """Vectors cannot be had now; answers go on without them."""

    code = "vector_ops.vectors_unavailable"


class EmbedderUnusableError(InvalidRequestError):
    """The setting names no embedder that can work here: a package or a model is missing."""

    code = "vector_ops.embedder_unusable"


class Embedder(Protocol):
    """Turns texts into unit vectors; nothing is loaded before the first text.

    All methods raise VectorsUnavailableError for what may pass and EmbedderUnusableError for what will not.
    """

    @property
    def name(self) -> str:
        """The model and its version: vectors of another name are never compared with these."""
        ...

    @property
    def dimension(self) -> int:
        """The length of a vector; may load the model, or ask for it."""
        ...

    def embed_texts(self, texts: Sequence[str]) -> Floats:
        """Return one row a text, each of unit length or, when it says nothing, zero."""
        ...

    def embed_query(self, text: str) -> Floats:
        """Return the vector of a question, which some models embed in another way than code."""
        ...


@runtime_checkable
class DocumentEmbedder(Embedder, Protocol):
    """An embedder that needs no text: the terms that the index keeps of each chunk are enough."""

    def embed_documents(self, documents: Sequence[tuple[str, Document]]) -> Floats:
        """Return one row a chunk of these (path, document), one document after the other."""
        ...
