"""Makes the index of a repository with all its parts. Imported when the first repository is opened.

A server that nobody asks about code must not carry numpy and what builds on it: 20 MB.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from services.kernel.clock import Clock
from services.vector_ops.opened import Derived, OpenIndex
from services.vector_ops.settings import VectorOpsSettings
from services.vector_ops.vectors.choosing import EmbedderSetting, make_embedder
from services.vector_ops.vectors.dense import DenseIndex
from services.vector_ops.vectors.endpoint import EndpointEmbedder
from services.vector_ops.vectors.vector_file import VectorFile

if TYPE_CHECKING:
    from neo4j import Driver


class IndexMaker:
    """Makes indexes that share an embedder and a driver."""

    def __init__(self, settings: VectorOpsSettings, clock: Clock, driver: "Driver | None") -> None:
        chosen = EmbedderSetting(
            model=settings.model,
            endpoint_url=settings.endpoint_url,
            endpoint_key=settings.endpoint_key.get_secret_value(),
            endpoint_model=settings.endpoint_model,
            threads=settings.model_threads,
            cache_dir=settings.index_dir.expanduser() / "models",
        )
        embedder = self._embedder = make_embedder(chosen, clock=clock.monotonic_s)
        self._clock = clock
        self._derived = Derived(
            make_dense=lambda path: DenseIndex(embedder, VectorFile(path), clock=clock.monotonic_s),
            driver=driver,
            graph_timeout_s=settings.neo4j_timeout_s,
            lock_wait_s=settings.lock_wait_s,
            query_budget_s=settings.query_budget_s,
        )

    def make(self, root: Path, path: Path) -> OpenIndex:
        """Return the index of the repository at `root`, kept in the file `path`."""
        return OpenIndex(root, path, self._clock, self._derived)

    def close(self) -> None:
        """Close the connections of an endpoint."""
        if isinstance(self._embedder, EndpointEmbedder):
            self._embedder.close()
