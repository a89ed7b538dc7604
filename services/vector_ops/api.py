"""Vector-Ops over HTTP; `kernel.endpoints` says which scope each endpoint needs."""

from http import HTTPStatus
from itertools import count
from typing import Annotated

from fastapi import Depends, FastAPI, Query, Response
from sse_starlette import EventSourceResponse
from starlette.types import Receive, Scope, Send

from services.kernel.caller import Caller
from services.kernel.errors import InvalidRequestError
from services.kernel.http import CallerOf
from services.vector_ops.models import (
    MAX_QUERY_CHARACTERS,
    CypherAnswer,
    CypherQuery,
    Health,
    IndexAnswer,
    IndexQuery,
    IndexSnapshot,
    QueryKind,
    RefreshReport,
    RefreshRequest,
)
from services.vector_ops.protocol import WholeVectorOps
from services.wire.sse import stream_events

RepoParameter = Annotated[str, Query(min_length=1, max_length=4096)]
TextParameter = Annotated[str | None, Query(max_length=MAX_QUERY_CHARACTERS)]
LimitParameter = Annotated[int, Query(ge=1, le=500)]
BudgetParameter = Annotated[int, Query(ge=100, le=100_000)]
CypherParameter = Annotated[str, Query(min_length=1, max_length=MAX_QUERY_CHARACTERS)]
RowsParameter = Annotated[int, Query(ge=1, le=1_000)]


def read_query(
    repo: RepoParameter,
    kind: QueryKind,
    *,
    text: TextParameter = None,
    payload: TextParameter = None,
    limit: LimitParameter = 50,
    budget_tokens: BudgetParameter = 2_000,
    explain: bool = False,
) -> IndexQuery:
    """Return the query in the URL; `payload` is another name for `text`."""
    words = text if text is not None else payload
    if not words and kind is not QueryKind.REPO_MAP:
        raise InvalidRequestError("text: give a symbol, or words to search for")
    return IndexQuery(repo=repo, kind=kind, text=words or "", limit=limit, budget_tokens=budget_tokens, explain=explain)


def add_routes(app: FastAPI, service: WholeVectorOps, health: Health) -> None:
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

    _add_more_routes(app, service)


def _add_more_routes(app: FastAPI, service: WholeVectorOps) -> None:
    @app.get("/cypher")
    async def cypher(
        caller: CallerOf, repo: RepoParameter, query: CypherParameter, limit: RowsParameter = 100
    ) -> CypherAnswer:
        return await service.cypher(caller, CypherQuery(repo=repo, query=query, limit=limit))

    @app.get("/freshness")
    async def follow(caller: CallerOf, repo: RepoParameter) -> EventSourceResponse:
        numbers = count(1)
        return await stream_events(service.follow(caller, repo), lambda _snapshot: next(numbers))

    @app.get("/mcp")
    async def refuse_mcp_stream(caller: CallerOf) -> Response:
        del caller
        # No session is kept, so there is none to follow; the protocol has clients expect this very status.
        return Response(status_code=HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": "POST"})

    @app.post("/mcp")
    async def mcp(caller: CallerOf) -> Response:
        return _McpResponse(service, caller)


class _CallerAsks:
    """The index as one caller may use it; satisfies `mcp_tools.IndexAsk`."""

    def __init__(self, service: WholeVectorOps, caller: Caller) -> None:
        self._service = service
        self._caller = caller

    async def query(self, query: IndexQuery) -> IndexAnswer:
        return await self._service.query(self._caller, query)

    async def refresh(self, request: RefreshRequest) -> RefreshReport:
        return await self._service.refresh(self._caller, request)

    async def snapshot(self, repo: str) -> IndexSnapshot:
        return await self._service.snapshot(self._caller, repo)


class _McpResponse(Response):
    """Lets the SDK of the Model Context Protocol answer the request."""

    def __init__(self, service: WholeVectorOps, caller: Caller) -> None:
        super().__init__()
        self._asks = _CallerAsks(service, caller)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from services.vector_ops.mcp_tools import IndexTools, serve_mcp_request  # noqa: PLC0415 - 20 MB, rarely used

        await serve_mcp_request(IndexTools(self._asks), scope, receive, send)
