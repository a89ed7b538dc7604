"""Composition of Vector-Ops: index files, service, HTTP app."""

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fastapi import FastAPI

from services.kernel.caller import Authenticator
from services.kernel.clock import Clock
from services.kernel.errors import InvalidRequestError
from services.kernel.http import OncePerKey, make_app
from services.kernel.version import VERSION
from services.kernel.vocabulary import ServiceName
from services.vector_ops.api import add_routes
from services.vector_ops.core.service import VectorOpsService
from services.vector_ops.graph.neo4j_store import Neo4jGraph
from services.vector_ops.models import CypherAnswer, CypherQuery, Health
from services.vector_ops.protocol import GraphStoreMissingError
from services.vector_ops.settings import VectorOpsSettings
from services.vector_ops.source.repository import GitSource
from services.vector_ops.truth.schema import SCHEMA_VERSION

if TYPE_CHECKING:
    from neo4j import Driver

    from services.vector_ops.making import IndexMaker
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
        self._maker: IndexMaker | None = None
        self._indexes: OrderedDict[Path, OpenIndex] = OrderedDict()
        self._roots: dict[str, Path] = {}
        self._lock = threading.Lock()

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
            source = GitSource(repo)
            if len(self._roots) > _MAX_ROOTS:
                self._roots.clear()
            self._roots[repo] = source.root
            source.close()
        return self._roots[repo]

    def _make(self, root: Path) -> "OpenIndex":
        if self._maker is None:
            from services.vector_ops.making import IndexMaker  # noqa: PLC0415 - 20 MB that an idle server does not need

            self._maker = IndexMaker(self._settings, self._clock, self._driver)
        return self._maker.make(root, index_path(self._index_dir, root))

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
    from services.vector_ops.graph.reading import run_cypher  # noqa: PLC0415

    rows, is_cut = run_cypher(driver, str(root), query.query, timeout_s=timeout_s, max_rows=query.limit)
    epoch = Neo4jGraph(driver, str(root), timeout_s).read_epoch()
    return CypherAnswer.model_validate({"rows": rows, "is_truncated": is_cut, "epoch": epoch})


def create_app(
    parts: VectorOpsParts, authenticator: Authenticator, *, idempotency: OncePerKey | None = None
) -> FastAPI:
    """Return the HTTP app of Vector-Ops."""
    health = Health(version=VERSION)
    return make_app(
        ServiceName.VECTOR_OPS,
        authenticator,
        lambda app: add_routes(app, parts.service, health),
        version=VERSION,
        idempotency=idempotency,
    )
