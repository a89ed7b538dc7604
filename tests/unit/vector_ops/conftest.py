"""One service over a small repository."""

import pytest

from services.kernel.clock import SystemClock
from services.vector_ops.models import IndexQuery, QueryKind, RefreshRequest
from services.vector_ops.shelf import open_vector_ops
from tests.fakes.identity import ENGINEER
from tests.fakes.sources import SourceTree


class Index:
    """Asks a service about one repository."""

    def __init__(self, service, tree):
        self.service = service
        self.tree = tree

    @property
    def repo(self):
        return str(self.tree.root)

    async def refresh(self):
        return await self.service.refresh(ENGINEER, RefreshRequest(repo=self.repo))

    async def ask(self, kind, text, limit=50):
        return await self.service.query(
            ENGINEER, IndexQuery(repo=self.repo, kind=QueryKind(kind), text=text, limit=limit)
        )

    async def places(self, kind, text):
        return [f"{hit.path}:{hit.line}" for hit in (await self.ask(kind, text)).hits]

    async def callers(self, text):
        return {f"{hit.path}:{hit.line}": hit.tier.value for hit in (await self.ask("who_calls", text)).hits}


@pytest.fixture
def tree(tmp_path):
    return SourceTree(tmp_path / "repo")


@pytest.fixture
def index_dir(tmp_path):
    return tmp_path / "index"


@pytest.fixture
def index(tree, index_dir):
    parts = open_vector_ops(index_dir, SystemClock())
    yield Index(parts.service, tree)
    parts.close()
