"""Vector-Ops over HTTP; `kernel.endpoints` says which scope each endpoint needs."""

from typing import Annotated

from fastapi import Depends, FastAPI, Query

from services.kernel.errors import InvalidRequestError
from services.kernel.http import CallerOf
from services.vector_ops.models import (
    Health,
    IndexAnswer,
    IndexQuery,
    IndexSnapshot,
    QueryKind,
    RefreshReport,
    RefreshRequest,
)
from services.vector_ops.protocol import VectorOps

RepoParameter = Annotated[str, Query(min_length=1, max_length=4096)]
TextParameter = Annotated[str | None, Query(min_length=1, max_length=20_000)]
LimitParameter = Annotated[int, Query(ge=1, le=500)]


def read_query(
    repo: RepoParameter,
    kind: QueryKind,
    text: TextParameter = None,
    payload: TextParameter = None,
    limit: LimitParameter = 50,
) -> IndexQuery:
    """Return the query in the URL; `payload` is another name for `text`."""
    words = text if text is not None else payload
    if words is None:
        raise InvalidRequestError("text: give a symbol, or words to search for")
    return IndexQuery(repo=repo, kind=kind, text=words, limit=limit)


def add_routes(app: FastAPI, service: VectorOps, health: Health) -> None:
    """Add the endpoints of Vector-Ops to `app`."""

    @app.get("/health")
    async def get_health() -> Health:
        return health

    @app.post("/refresh")
    async def refresh(caller: CallerOf, request: RefreshRequest) -> RefreshReport:
        return await service.refresh(caller, request)

    @app.get("/query")
    async def query(caller: CallerOf, asked: Annotated[IndexQuery, Depends(read_query)]) -> IndexAnswer:
        return await service.query(caller, asked)

    @app.get("/snapshot")
    async def snapshot(caller: CallerOf, repo: RepoParameter) -> IndexSnapshot:
        return await service.snapshot(caller, repo)
