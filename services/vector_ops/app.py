"""Composition of Vector-Ops: index files, service, HTTP app."""

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI

from services.kernel.caller import Authenticator
from services.kernel.clock import Clock
from services.kernel.http import OncePerKey, make_app
from services.kernel.version import VERSION
from services.kernel.vocabulary import ServiceName
from services.vector_ops.api import add_routes
from services.vector_ops.core.service import Opened, VectorOpsService
from services.vector_ops.extract import extract_facts, load_language
from services.vector_ops.models import Health
from services.vector_ops.repository import GitSource
from services.vector_ops.schema import SCHEMA_VERSION
from services.vector_ops.settings import VectorOpsSettings
from services.vector_ops.store import SqliteStore

_KEY_LENGTH = 24


def index_path(index_dir: Path, root: Path) -> Path:
    """Return the index file of the repository at `root`: named by a hash of its canonical path."""
    return index_dir / f"{hashlib.sha256(str(root).encode()).hexdigest()[:_KEY_LENGTH]}.sqlite3"


class Shelf:
    """Opens repositories and keeps the indexes of the last few open."""

    def __init__(self, settings: VectorOpsSettings) -> None:
        self._index_dir = settings.index_dir.expanduser()
        self._limit = settings.open_indexes
        self._stores: OrderedDict[Path, SqliteStore] = OrderedDict()
        self._lock = threading.Lock()

    def open(self, repo: str) -> Opened:
        """Open the repository that holds `repo`; raises UnindexableError."""
        source = GitSource(repo)
        return Opened(source, self._store_of(source.root))

    def _store_of(self, root: Path) -> SqliteStore:
        closing: list[SqliteStore] = []
        with self._lock:
            store = self._stores.pop(root, None) or SqliteStore(index_path(self._index_dir, root), extract_facts)
            self._stores[root] = store
            while len(self._stores) > self._limit:
                closing.append(self._stores.popitem(last=False)[1])
        for one in closing:
            one.close()
        return store

    def close(self) -> None:
        """Close all indexes."""
        with self._lock:
            stores = list(self._stores.values())
            self._stores.clear()
        for store in stores:
            store.close()


@dataclass(frozen=True)
class VectorOpsParts:
    """An open Vector-Ops. Who opened it closes it."""

    service: VectorOpsService
    shelf: Shelf

    def close(self) -> None:
        """Stop a refresh that is under way (nothing is lost) and close the indexes."""
        self.service.close()
        self.shelf.close()


def open_vector_ops(index_dir: Path, clock: Clock) -> VectorOpsParts:
    """Return Vector-Ops over `index_dir`, with the other settings as the environment has them."""
    return create_service(VectorOpsSettings(index_dir=index_dir), clock)


def create_service(settings: VectorOpsSettings, clock: Clock) -> VectorOpsParts:
    """Return Vector-Ops over `settings.index_dir`; raises GrammarMissingError here rather than index nothing."""
    load_language()
    shelf = Shelf(settings)
    service = VectorOpsService(
        open_repository=shelf.open,
        extract=extract_facts,
        clock=clock,
        schema_version=SCHEMA_VERSION,
        lock_wait_s=settings.lock_wait_s,
    )
    return VectorOpsParts(service, shelf)


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
