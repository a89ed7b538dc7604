"""What Vector-Ops promises its neighbours.

PlatformError
├── InvalidRequestError
│   └── UnindexableError        vector_ops.unindexable          not a git repository, or one without a commit
├── NotFoundError
│   └── SymbolNotFoundError     vector_ops.symbol_not_found     carries near names
└── UnavailableError
    ├── IndexBusyError          vector_ops.index_busy           another process holds the index
    └── IndexUnwritableError    vector_ops.index_unwritable     disk full, no permission, damaged and set aside
"""

from typing import Protocol

from services.kernel.caller import Caller
from services.kernel.errors import InvalidRequestError, NotFoundError, UnavailableError
from services.vector_ops.models import IndexAnswer, IndexQuery, IndexSnapshot, RefreshReport, RefreshRequest


class UnindexableError(InvalidRequestError):
    """The path is no git repository with at least one commit."""

    code = "vector_ops.unindexable"


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
