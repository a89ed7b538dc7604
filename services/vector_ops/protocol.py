"""What Vector-Ops promises its neighbours.

PlatformError
├── InvalidRequestError
│   ├── UnindexableError        vector_ops.unindexable          not a git repository, or one without a commit
│   └── GraphStoreMissingError  vector_ops.graph_store_missing  Cypher needs Neo4j, and none is configured
├── NotFoundError
│   └── SymbolNotFoundError     vector_ops.symbol_not_found     carries near names
└── UnavailableError
    ├── IndexBusyError          vector_ops.index_busy           another process holds the index
    └── IndexUnwritableError    vector_ops.index_unwritable     disk full, no permission, damaged and set aside
"""

from collections.abc import AsyncIterator
from typing import Protocol

from services.kernel.caller import Caller
from services.kernel.errors import InvalidRequestError, NotFoundError, UnavailableError
from services.vector_ops.models import (
    CypherAnswer,
    CypherQuery,
    IndexAnswer,
    IndexQuery,
    IndexSnapshot,
    RefreshReport,
    RefreshRequest,
)


class UnindexableError(InvalidRequestError):
    """The path is no git repository with at least one commit."""

    code = "vector_ops.unindexable"


class GraphStoreMissingError(InvalidRequestError):
    """Cypher is answered by Neo4j alone."""

    code = "vector_ops.graph_store_missing"


class SymbolNotFoundError(NotFoundError):
    """No definition has that name."""

    code = "vector_ops.symbol_not_found"


class IndexBusyError(UnavailableError):
    """Another process is writing the index."""

    code = "vector_ops.index_busy"


class IndexUnwritableError(UnavailableError):
    """The index file cannot be read or written."""

    code = "vector_ops.index_unwritable"


class VectorOps(Protocol):
    """The code index."""

    async def refresh(self, caller: Caller, request: RefreshRequest) -> RefreshReport:
        """Bring the index level with HEAD, in one transaction.

        Raises UnindexableError, IndexBusyError. Needs scope index.refresh.
        """
        ...

    async def query(self, caller: Caller, query: IndexQuery) -> IndexAnswer:
        """Answer one query from the present index, refreshing it first when HEAD has moved.

        Raises UnindexableError; SymbolNotFoundError for the symbol verbs. Needs scope index.read.
        """
        ...

    async def snapshot(self, caller: Caller, repo: str) -> IndexSnapshot:
        """Return what the index of `repo` holds and how fresh it is. Needs scope index.read."""
        ...


class IndexGraph(Protocol):
    """The graph of all indexed repositories, for questions that no verb answers."""

    async def cypher(self, caller: Caller, query: CypherQuery) -> CypherAnswer:
        """Return the rows of a query that only reads.

        Raises GraphStoreMissingError without Neo4j, InvalidRequestError for what is wrong or more than reading,
        DeadlineExceededError. Needs scope index.read.
        """
        ...


class IndexFreshness(Protocol):
    """How fresh an index is, as it happens."""

    def follow(self, caller: Caller, repo: str) -> AsyncIterator[IndexSnapshot]:
        """Yield a snapshot now, and one whenever HEAD, the index, the uncommitted files or the vectors have moved.

        Ends when the service stops. Needs scope index.read.
        """
        ...


class WholeVectorOps(VectorOps, IndexGraph, IndexFreshness, Protocol):
    """All that Vector-Ops offers."""
