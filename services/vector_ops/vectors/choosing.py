"""Which embedder the settings name."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from services.vector_ops.vectors.embedder import Embedder
from services.vector_ops.vectors.endpoint import EndpointEmbedder
from services.vector_ops.vectors.neural import NeuralEmbedder
from services.vector_ops.vectors.static import StaticEmbedder

STATIC: Final = "static"
ENDPOINT: Final = "endpoint"


@dataclass(frozen=True, slots=True)
class EmbedderSetting:
    """`model` is `static`, `endpoint`, a model's folder, or `pip:package`; `cache_dir` keeps converted models."""

    model: str = STATIC
    endpoint_url: str = ""
    endpoint_key: str = field(default="", repr=False)
    endpoint_model: str = ""
    threads: int = 1
    cache_dir: Path | None = None


def make_embedder(setting: EmbedderSetting, *, clock: Callable[[], float]) -> Embedder:
    """Return the embedder; nothing is loaded or asked yet. `clock` counts seconds.

    Raises EmbedderUnusableError for an endpoint without an address.
    """
    if setting.model == STATIC:
        return StaticEmbedder()
    if setting.model == ENDPOINT:
        return EndpointEmbedder(setting.endpoint_url, setting.endpoint_key, setting.endpoint_model, clock=clock)
    return NeuralEmbedder(setting.model, threads=setting.threads, cache_dir=setting.cache_dir)
