"""The verbs of the index as tools of the Model Context Protocol, with the official SDK, for other agents.

The same tools over stdio (`direng index mcp`, one repository) and over streamable HTTP (`/mcp` of the service, which
checks the bearer token as for every other endpoint). Answers are compact text, and the same as structured content.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Protocol, TypeVar

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.transport_security import TransportSecuritySettings
from mcp.types import CallToolResult, TextContent, ToolAnnotations
from pydantic import Field, ValidationError
from starlette.types import Receive, Scope, Send

from services.kernel.errors import PlatformError
from services.kernel.version import VERSION
from services.vector_ops.answers.places import show_path
from services.vector_ops.models import IndexAnswer, IndexQuery, IndexSnapshot, QueryKind, RefreshReport, RefreshRequest

INSTRUCTIONS = (
    "A code index of git repositories that is always fresh: uncommitted edits included. Every answer names the commit"
    " it was computed from. Prefer where_defined and who_calls for a symbol you know, search for words or issues,"
    " impact_set before a change, repo_map for an overview, context_pack for everything at once within a budget."
)
_MAX_LIMIT = 500

T = TypeVar("T")
Repo = Annotated[str, Field(description="a folder in the repository; empty: the repository the server was started for")]
Symbol = Annotated[str, Field(description="`name`, `Class.method`, `package.module.name` or a path")]
Words = Annotated[str, Field(description="words, code, a traceback or a whole issue text")]
Limit = Annotated[int, Field(ge=1, le=_MAX_LIMIT, description="at most so many hits")]
Budget = Annotated[int, Field(ge=100, le=100_000, description="at most so many tokens of text")]


class IndexAsk(Protocol):
    """The index as the caller of a tool may use it."""

    async def query(self, query: IndexQuery) -> IndexAnswer:
        """Return the answer of one verb."""
        ...

    async def refresh(self, request: RefreshRequest) -> RefreshReport:
        """Bring the index level with HEAD."""
        ...

    async def snapshot(self, repo: str) -> IndexSnapshot:
        """Return what the index holds."""
        ...


def format_answer(answer: IndexAnswer) -> str:
    """Return an answer as lines: the text it rendered, or one line a hit, and its stamp."""
    lines = [answer.text] if answer.text else [_format_hit(answer, at) for at in range(len(answer.hits))]
    if not lines:
        lines = ["nothing found"]
    if answer.is_truncated:
        lines.append("... (cut; raise the limit or the budget for more)")
    stamp = answer.stamp
    dirty = f" + {len(stamp.dirty_paths)} uncommitted files" if stamp.dirty_paths else ""
    fresh = "fresh" if stamp.is_fresh else f"stale by {stamp.lag_s:.0f} s"
    lines.append(f"[index at {stamp.indexed_commit[:12]}{dirty}, {fresh}]")
    if stamp.dense_pending:
        lines.append(f"[{stamp.dense_pending} pieces of code have no vector yet]")
    lines += [f"[warning: {warning}]" for warning in stamp.warnings]
    return "\n".join(lines)


def _format_hit(answer: IndexAnswer, at: int) -> str:
    hit = answer.hits[at]
    notes = ", ".join(part for part in (hit.tier.value if hit.tier else "", hit.reason) if part)
    symbol = f" {hit.symbol}" if hit.symbol else ""
    return f"{show_path(hit.path)}:{hit.line}{symbol} | {' '.join(hit.snippet.split())}" + (
        f" [{notes}]" if notes else ""
    )


class IndexTools:
    """The tools; `repo` is the repository that a call means when it names none."""

    def __init__(self, ask: IndexAsk, repo: str = "") -> None:
        self._ask = ask
        self._repo = repo

    async def where_defined(self, symbol: Symbol, repo: Repo = "", limit: Limit = 20) -> CallToolResult:
        """Find where a function, class, method or constant is defined."""
        return await self._query(QueryKind.WHERE_DEFINED, symbol, repo, limit=limit)

    async def who_calls(self, symbol: Symbol, repo: Repo = "", limit: Limit = 50) -> CallToolResult:
        """Find the calls of a symbol, each with how sure the index is: exact, typed, unique-name or ambiguous."""
        return await self._query(QueryKind.WHO_CALLS, symbol, repo, limit=limit)

    async def impact_set(self, symbol: Symbol, repo: Repo = "", limit: Limit = 50) -> CallToolResult:
        """Find what a change of a symbol may break: callers, subclasses, importers, tests, co-changed files."""
        return await self._query(QueryKind.IMPACT_SET, symbol, repo, limit=limit)

    async def search(self, text: Words, repo: Repo = "", limit: Limit = 20) -> CallToolResult:
        """Find the files and functions that words, an issue or a traceback are about."""
        return await self._query(QueryKind.SEARCH, text, repo, limit=limit)

    async def nn_snippet(self, text: Words, repo: Repo = "", limit: Limit = 10) -> CallToolResult:
        """Find the pieces of code whose vectors are nearest to a text or a piece of code."""
        return await self._query(QueryKind.NN_SNIPPET, text, repo, limit=limit)

    async def repo_map(self, text: Words = "", repo: Repo = "", budget_tokens: Budget = 2_000) -> CallToolResult:
        """Draw a map of the repository, its most important signatures; with a text, of what matters for that task."""
        return await self._query(QueryKind.REPO_MAP, text, repo, budget_tokens=budget_tokens)

    async def context_pack(self, text: Words, repo: Repo = "", budget_tokens: Budget = 4_000) -> CallToolResult:
        """Collect code, callers, packages and citations for a task, within a budget."""
        return await self._query(QueryKind.CONTEXT_PACK, text, repo, budget_tokens=budget_tokens)

    async def index_status(self, repo: Repo = "") -> CallToolResult:
        """Say what the index holds and how fresh it is."""
        snapshot = await _try(lambda: self._ask.snapshot(self._choose(repo)))
        text = (
            f"{snapshot.files} files, {snapshot.symbols} symbols, {snapshot.references} edges at "
            f"{snapshot.stamp.indexed_commit[:12]}, {'fresh' if snapshot.stamp.is_fresh else 'stale'}"
        )
        return _result(text, snapshot.model_dump(mode="json"))

    async def index_refresh(self, repo: Repo = "") -> CallToolResult:
        """Bring the index level with the last commit now; queries do so by themselves."""
        report = await _try(lambda: self._ask.refresh(RefreshRequest(repo=self._choose(repo))))
        return _result(f"{report.outcome} at {report.commit_sha[:12]}", report.model_dump(mode="json"))

    async def _query(self, kind: QueryKind, text: str, repo: str, **more: int) -> CallToolResult:
        try:
            query = IndexQuery(repo=self._choose(repo), kind=kind, text=text, **more)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise ToolError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
        answer = await _try(lambda: self._ask.query(query))
        return _result(format_answer(answer), answer.model_dump(mode="json", exclude_defaults=True))

    def _choose(self, repo: str) -> str:
        chosen = repo or self._repo
        if not chosen:
            raise ToolError("repo: give a folder in the repository")
        return chosen


async def _try(call: Callable[[], Awaitable[T]]) -> T:
    try:
        return await call()
    except PlatformError as error:
        raise ToolError(f"{error.code}: {error.detail}") from None


def _result(text: str, structured: object) -> CallToolResult:
    return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=structured)


def make_mcp_server(tools: IndexTools) -> MCPServer[None]:
    """Return an MCP server with the tools."""
    server: MCPServer[None] = MCPServer("direng-index", instructions=INSTRUCTIONS, version=VERSION, log_level="ERROR")
    reading = ToolAnnotations(read_only_hint=True, open_world_hint=False)
    refreshing = ToolAnnotations(read_only_hint=False, idempotent_hint=True, open_world_hint=False)
    for tool in (
        tools.where_defined,
        tools.who_calls,
        tools.impact_set,
        tools.search,
        tools.nn_snippet,
        tools.repo_map,
        tools.context_pack,
        tools.index_status,
    ):
        server.add_tool(tool, annotations=reading, structured_output=False)
    server.add_tool(tools.index_refresh, annotations=refreshing, structured_output=False)
    return server


async def serve_mcp_request(tools: IndexTools, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one HTTP request of the streamable transport. No session is kept: every request carries its own token."""
    server = make_mcp_server(tools)
    # The service's own gate has checked the host and the origin.
    open_door = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    server.streamable_http_app(json_response=True, stateless_http=True, transport_security=open_door)
    async with server.session_manager.run():
        await server.session_manager.handle_request(scope, receive, send)
