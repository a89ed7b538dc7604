"""The open indexes of one process, and the service over them; what HTTP needs comes on top in `app.py`."""

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from services.kernel.clock import Clock
from services.kernel.errors import InvalidRequestError
from services.kernel.version import VERSION
from services.vector_ops.core.service import VectorOpsService
from services.vector_ops.models import CypherAnswer, CypherQuery
from services.vector_ops.protocol import GraphStoreMissingError
from services.vector_ops.settings import VectorOpsSettings
from services.vector_ops.truth.schema import SCHEMA_VERSION

if TYPE_CHECKING:
    from neo4j import Driver

    from services.vector_ops.derived import Derived
    from services.vector_ops.making import DerivedMaker
    from services.vector_ops.opened import OpenIndex

_KEY_LENGTH = 24
_MAX_ROOTS = 1_000


def index_path(index_dir: Path, root: Path) -> Path:
    """Return the index file of the repository at `root`: named by a hash of its canonical path."""
    return index_dir / f"{hashlib.sha256(str(root).encode()).hexdigest()[:_KEY_LENGTH]}.sqlite3"


class Shelf:
    """Opens repositories and keeps the indexes of the last few open."""

    def __init__(self, settings: VectorOpsSettings, clock: Clock, driver: "Driver | None") -> None:
        self._settings = settings
        self._index_dir = settings.index_dir.expanduser()
        self._limit = settings.open_indexes
        self._clock = clock
        self._driver = driver
        self._maker: DerivedMaker | None = None
        self._indexes: OrderedDict[Path, OpenIndex] = OrderedDict()
        self._roots: dict[str, Path] = {}
        self._lock = threading.Lock()
        self._making = threading.Lock()

    def open(self, repo: str) -> "OpenIndex":
        """Open the index of the repository that holds `repo`; raises UnindexableError."""
        closing: list[OpenIndex] = []
        try:
            with self._lock:
                root = self._find_root(repo)
                index = self._indexes.pop(root, None)
                if index is not None and not index.is_current():
                    closing.append(index)  # the folder was removed, or holds another repository now
                    self._roots.clear()
                    index, root = None, self._find_root(repo)
                self._indexes[root] = index or self._make(root)
                while len(self._indexes) > self._limit:
                    closing.append(self._indexes.popitem(last=False)[1])
                return self._indexes[root]
        finally:
            for one in closing:
                one.close()

    def _find_root(self, repo: str) -> Path:
        if repo not in self._roots:
            from services.vector_ops.source.repository import GitSource  # noqa: PLC0415 - as below

            source = GitSource(repo)
            if len(self._roots) > _MAX_ROOTS:
                self._roots.clear()
            self._roots[repo] = source.root
            source.close()
        return self._roots[repo]

    def _make(self, root: Path) -> "OpenIndex":
        # An idle server needs nothing that reads code: 20 MB.
        from services.vector_ops.opened import OpenIndex, Patience  # noqa: PLC0415

        path = index_path(self._index_dir, root)
        patience = Patience(self._settings.lock_wait_s, self._settings.query_budget_s)
        return OpenIndex(root, path, self._clock, lambda: self._derive(root, path), patience)

    def _derive(self, root: Path, path: Path) -> "Derived":
        with self._making:
            if self._maker is None:
                from services.vector_ops.making import DerivedMaker  # noqa: PLC0415 - a refresh does without

                self._maker = DerivedMaker(self._settings, self._clock, self._driver)
            return self._maker.make(root, path)

    def close(self) -> None:
        """Close all indexes."""
        with self._lock:
            indexes = list(self._indexes.values())
            self._indexes.clear()
        for index in indexes:
            index.close()
        if self._maker is not None:
            self._maker.close()


@dataclass(frozen=True)
class VectorOpsParts:
    """An open Vector-Ops. Who opened it closes it."""

    service: VectorOpsService
    shelf: Shelf
    driver: "Driver | None" = None

    def close(self) -> None:
        """Stop a refresh that is under way (nothing is lost) and close the indexes."""
        self.service.close()
        self.shelf.close()
        if self.driver is not None:
            self.driver.close()


def open_vector_ops(index_dir: Path, clock: Clock) -> VectorOpsParts:
    """Return Vector-Ops over `index_dir`, with the other settings as the environment has them."""
    return create_service(VectorOpsSettings(index_dir=index_dir), clock)


def create_service(settings: VectorOpsSettings, clock: Clock) -> VectorOpsParts:
    """Return Vector-Ops over `settings.index_dir`."""
    driver = open_driver(settings) if settings.neo4j_url else None
    shelf = Shelf(settings, clock, driver)

    def ask_graph(query: CypherQuery) -> CypherAnswer:
        if driver is None:
            raise GraphStoreMissingError("Cypher needs Neo4j; set VECTOR_OPS_NEO4J_URL (docker-compose.yml has one)")
        return answer_cypher(driver, shelf.open(query.repo).root, query, settings.neo4j_timeout_s)

    service = VectorOpsService(open_index=shelf.open, ask_graph=ask_graph, clock=clock, schema_version=SCHEMA_VERSION)
    return VectorOpsParts(service, shelf, driver)


def open_driver(settings: VectorOpsSettings) -> "Driver":
    """Return a driver for Neo4j; it connects at first use, and again by itself.

    Raises InvalidRequestError for a URL that is none of Neo4j's.
    """
    from neo4j import GraphDatabase  # noqa: PLC0415 - the driver loads when it is configured
    from neo4j.exceptions import DriverError  # noqa: PLC0415

    fault = InvalidRequestError(
        "VECTOR_OPS_NEO4J_URL is no address of Neo4j; give one such as bolt://127.0.0.1:7687, or unset it"
    )
    password = settings.neo4j_password.get_secret_value()
    try:
        address = urlsplit(settings.neo4j_url)
        if address.scheme.partition("+")[0] not in {"bolt", "neo4j"} or not address.hostname or address.port == 0:
            raise fault
        return GraphDatabase.driver(
            settings.neo4j_url,
            auth=(settings.neo4j_user, password) if password else None,
            connection_timeout=settings.neo4j_timeout_s,
            connection_acquisition_timeout=settings.neo4j_timeout_s,
            max_transaction_retry_time=0,
            notifications_min_severity="OFF",
            user_agent=f"direng/{VERSION}",
        )
    except (DriverError, ValueError):  # their text may repeat the URL, and a URL may hold a password
        raise fault from None


def answer_cypher(driver: "Driver", root: Path, query: CypherQuery, timeout_s: float) -> CypherAnswer:
    """Return the rows of a query that only reads."""
    from services.vector_ops.graph.neo4j_store import Neo4jGraph  # noqa: PLC0415 - loads with the driver
    from services.vector_ops.graph.reading import run_cypher  # noqa: PLC0415

    rows, is_cut = run_cypher(driver, str(root), query.query, timeout_s=timeout_s, max_rows=query.limit)
    epoch = Neo4jGraph(driver, str(root), timeout_s).read_epoch()
    return CypherAnswer.model_validate({"rows": rows, "is_truncated": is_cut, "epoch": epoch})
