"""Makes what is derived from the truth. Imported when the first question is asked.

A server that nobody asks about code must not carry what ranks and embeds, nor must a refresh from cron wait for it.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from services.kernel.clock import Clock
from services.vector_ops.derived import Derived, history_path
from services.vector_ops.graph.mirror import Mirror
from services.vector_ops.graph.neo4j_store import Neo4jGraph
from services.vector_ops.history.history import History
from services.vector_ops.settings import VectorOpsSettings
from services.vector_ops.vectors.choosing import EmbedderSetting, make_embedder
from services.vector_ops.vectors.dense import DenseIndex
from services.vector_ops.vectors.endpoint import EndpointEmbedder
from services.vector_ops.vectors.vector_file import VectorFile

if TYPE_CHECKING:
    from neo4j import Driver


class DerivedMaker:
    """Makes what is derived of any number of repositories; they share an embedder and a driver."""

    def __init__(self, settings: VectorOpsSettings, clock: Clock, driver: "Driver | None") -> None:
        chosen = EmbedderSetting(
            model=settings.model,
            endpoint_url=settings.endpoint_url,
            endpoint_key=settings.endpoint_key.get_secret_value(),
            endpoint_model=settings.endpoint_model,
            threads=settings.model_threads,
            cache_dir=settings.index_dir.expanduser() / "models",
        )
        self._embedder = make_embedder(chosen, clock=clock.monotonic_s)
        self._clock = clock
        self._driver = driver
        self._graph_timeout_s = settings.neo4j_timeout_s

    def make(self, root: Path, path: Path) -> Derived:
        """Return what is derived from the index in the file `path`, of the repository at `root`."""
        now_s = self._clock.monotonic_s
        return Derived(
            history=History(history_path(path), clock=now_s),
            dense=DenseIndex(self._embedder, VectorFile(path), clock=now_s),
            mirror=self._make_mirror(root),
        )

    def _make_mirror(self, root: Path) -> Mirror | None:
        if self._driver is None:
            return None
        graph = Neo4jGraph(self._driver, str(root), self._graph_timeout_s)
        return Mirror(graph, self._clock.monotonic_s, self._graph_timeout_s)

    def close(self) -> None:
        """Close the connections of an endpoint."""
        if isinstance(self._embedder, EndpointEmbedder):
            self._embedder.close()
