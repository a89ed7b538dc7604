"""`direng index mcp`: the tools of the index over stdin and stdout, answered by the running server."""

import asyncio

from pydantic import BaseModel

from cli.index import check_size
from cli.wire import Wire
from services.vector_ops.mcp_tools import IndexTools, make_mcp_server
from services.vector_ops.models import IndexAnswer, IndexQuery, IndexSnapshot, RefreshReport, RefreshRequest

SERVICE = "vector_ops"


class WireAsks:
    """Sends every question to the server; satisfies `mcp_tools.IndexAsk`."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def query(self, query: IndexQuery) -> IndexAnswer:
        """Return the answer of one verb."""
        parameters = check_size({**_texts(query), "explain": str(query.explain).lower()})
        return IndexAnswer.model_validate(await asyncio.to_thread(self._wire.get, SERVICE, "/query", parameters))

    async def refresh(self, request: RefreshRequest) -> RefreshReport:
        """Bring the index level with HEAD."""
        body = request.model_dump(mode="json")
        return RefreshReport.model_validate(await asyncio.to_thread(self._wire.post, SERVICE, "/refresh", body))

    async def snapshot(self, repo: str) -> IndexSnapshot:
        """Return what the index holds."""
        found = await asyncio.to_thread(self._wire.get, SERVICE, "/snapshot", {"repo": repo})
        return IndexSnapshot.model_validate(found)


def _texts(query: BaseModel) -> dict[str, str]:
    return {name: str(value) for name, value in query.model_dump(mode="json").items() if value != ""}


def serve_tools(wire: Wire, repo: str) -> None:
    """Serve until stdin ends; `repo` is the repository that a call means when it names none."""
    make_mcp_server(IndexTools(WireAsks(wire), repo)).run("stdio")
