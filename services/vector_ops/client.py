"""Vector-Ops behind a URL; satisfies `protocol.VectorOps`."""

from collections.abc import AsyncIterator

from services.kernel.caller import Caller
from services.kernel.http import HttpCall
from services.vector_ops.models import (
    CypherAnswer,
    CypherQuery,
    IndexAnswer,
    IndexQuery,
    IndexSnapshot,
    RefreshReport,
    RefreshRequest,
)


class HttpVectorOps:
    """Sends each call to a Vector-Ops server; errors come back as the class that was raised there.

    The first query on a large repository builds its index, so give the HttpCall a timeout of minutes.
    """

    def __init__(self, call: HttpCall) -> None:
        self._call = call

    async def refresh(self, caller: Caller, request: RefreshRequest) -> RefreshReport:
        return RefreshReport.model_validate_json(await self._call.send("POST", "/refresh", caller, body=request))

    async def query(self, caller: Caller, query: IndexQuery) -> IndexAnswer:
        parameters = {
            "repo": query.repo,
            "kind": query.kind.value,
            "text": query.text,
            "limit": str(query.limit),
            "budget_tokens": str(query.budget_tokens),
            "explain": str(query.explain).lower(),
        }
        return IndexAnswer.model_validate_json(await self._call.send("GET", "/query", caller, query=parameters))

    async def snapshot(self, caller: Caller, repo: str) -> IndexSnapshot:
        return IndexSnapshot.model_validate_json(
            await self._call.send("GET", "/snapshot", caller, query={"repo": repo})
        )

    async def cypher(self, caller: Caller, query: CypherQuery) -> CypherAnswer:
        parameters = {"repo": query.repo, "query": query.query, "limit": str(query.limit)}
        return CypherAnswer.model_validate_json(await self._call.send("GET", "/cypher", caller, query=parameters))

    async def follow(self, caller: Caller, repo: str) -> AsyncIterator[IndexSnapshot]:
        async for data in self._call.stream("GET", "/freshness", caller, query={"repo": repo}):
            yield IndexSnapshot.model_validate_json(data)
