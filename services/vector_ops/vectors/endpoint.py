"""An embedding model behind an endpoint that speaks OpenAI's protocol."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from services.vector_ops.vectors.embedder import EmbedderUnusableError, Floats, VectorsUnavailableError

if TYPE_CHECKING:
    import openai

_BATCH: Final = 64
_RETRIES = 2
_QUESTION_TIMEOUT_S = 4.0
"""Somebody waits for the answer to a question: it is asked once, and shortly."""
_PAUSE_S = 30.0
_REFUSED = frozenset({400, 401, 403, 404, 422})


class EndpointEmbedder:
    """Asks one endpoint. After it failed it is left alone for half a minute, so that questions do not wait for it.

    `key` is sent to `url` alone. `dimension` is asked of the endpoint once.
    """

    def __init__(self, url: str, key: str, model: str, *, clock: Callable[[], float], timeout_s: float = 20.0) -> None:
        if not url.startswith(("http://", "https://")) or not model:
            raise EmbedderUnusableError(
                "an embedding endpoint needs VECTOR_OPS_ENDPOINT_URL (http or https) and VECTOR_OPS_ENDPOINT_MODEL"
            )
        self._url = url
        self._key = key
        self._model = model
        self._timeout_s = timeout_s
        self._clock = clock
        self._silent_until_s = 0.0
        self._last_error = ""

    @property
    def name(self) -> str:
        return f"endpoint.{self._url}.{self._model}"

    @cached_property
    def dimension(self) -> int:
        return len(self.embed_query("dimension"))

    def embed_query(self, text: str) -> Floats:
        timeout_s = min(self._timeout_s, _QUESTION_TIMEOUT_S)
        return np.asarray(_make_unit(self._ask([text], timeout_s, retries=0))[0], np.float32)

    def embed_texts(self, texts: Sequence[str]) -> Floats:
        batches = [texts[begin : begin + _BATCH] for begin in range(0, len(texts), _BATCH)]
        return _make_unit(np.concatenate([self._ask(batch, self._timeout_s, _RETRIES) for batch in batches]))

    def close(self) -> None:
        """Close the connections."""
        client = self.__dict__.pop("_client", None)
        if client is not None:
            client.close()

    @cached_property
    def _client(self) -> openai.OpenAI:
        import openai  # noqa: PLC0415 - a second of imports that only this backend needs

        return openai.OpenAI(base_url=self._url, api_key=self._key or "none")

    def _ask(self, texts: Sequence[str], timeout_s: float, retries: int) -> Floats:
        if self._clock() < self._silent_until_s:
            raise VectorsUnavailableError(self._last_error)
        import openai  # noqa: PLC0415

        try:
            # An empty text is refused by some servers.
            client = self._client.with_options(timeout=timeout_s, max_retries=retries)
            answer = client.embeddings.create(
                model=self._model, input=[text or " " for text in texts], encoding_format="float"
            )
        except openai.APIStatusError as error:
            is_final = error.status_code in _REFUSED
            raise self._fail(f"answered {error.status_code}", is_final=is_final) from error
        except (openai.APIError, json.JSONDecodeError) as error:
            raise self._fail(f"did not answer ({type(error).__name__})", is_final=False) from error
        return self._read(answer, len(texts))

    def _read(self, answer: openai.types.CreateEmbeddingResponse, count: int) -> Floats:
        """Check an answer: one vector a text, all of one length, nothing but numbers."""
        rows = sorted(answer.data or (), key=lambda one: one.index)
        try:
            vectors = np.array([one.embedding for one in rows], np.float32)
        except (ValueError, TypeError) as error:
            raise self._fail("sent vectors of different lengths", is_final=False) from error
        if vectors.ndim != 2 or len(vectors) != count or not vectors.size or not np.isfinite(vectors).all():  # noqa: PLR2004
            raise self._fail(f"did not send {count} vectors", is_final=False)
        return vectors

    def _fail(self, what: str, *, is_final: bool) -> VectorsUnavailableError:
        cure = "check VECTOR_OPS_ENDPOINT_URL, _KEY and _MODEL" if is_final else "it is asked again in half a minute"
        self._last_error = f"the embedding endpoint {self._url} {what}; {cure}"
        self._silent_until_s = self._clock() + _PAUSE_S
        return VectorsUnavailableError(self._last_error)


def _make_unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9), np.float32)
