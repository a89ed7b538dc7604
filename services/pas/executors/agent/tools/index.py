"""rag_query: the code index of the repository, with the stamp that says what each answer was computed from."""

from collections.abc import Mapping
from typing import Protocol

from pydantic import JsonValue

from services.broker.models import ToolSpec
from services.kernel.errors import PlatformError
from services.pas.executors.agent.toolbox import MAX_RESULT_CHARS, ToolResult, ToolScene
from services.pas.executors.agent.tools.arguments import make_schema, read_int, read_text
from services.vector_ops.models import Hit, IndexAnswer, QueryKind, Stamp

_DEFAULT_LIMIT = 20
_MAX_LIMIT = 100
_MAX_SNIPPET_CHARS = 160
_RESERVED_CHARS = 400
_SHOWN_DIRTY = 5


class IndexLook(Protocol):
    """Asks the index of a repository; `services/pas/calls/vector_ops.py` gives it."""

    async def __call__(self, repo: str, kind: QueryKind, text: str, limit: int) -> IndexAnswer:
        """Return hits with their stamp; raises PlatformError, such as SymbolNotFoundError with near names."""
        ...


class IndexTool:
    """Looks things up in the index."""

    spec = ToolSpec(
        name="rag_query",
        description="Ask the code index (the repository before your edits): where_defined, who_calls and impact_set"
        " take a symbol; search, nn_snippet (nearest code), repo_map (signatures that matter) and context_pack (code,"
        " callers, packages) take words.",
        parameters=make_schema(
            {
                "kind": {"enum": [kind.value for kind in QueryKind]},
                "text": {"type": "string", "minLength": 1, "maxLength": 2000},
                "limit": {"type": "integer", "minimum": 1, "maximum": _MAX_LIMIT},
            },
            "kind",
            "text",
        ),
    )

    def __init__(self, look: IndexLook) -> None:
        self._look = look

    async def run(self, arguments: Mapping[str, JsonValue], scene: ToolScene) -> ToolResult:
        kind, text = QueryKind(read_text(arguments, "kind")), read_text(arguments, "text")
        limit = read_int(arguments, "limit", _DEFAULT_LIMIT)
        try:
            answer = await self._look(scene.work.repo, kind, text, limit)
        except PlatformError as error:
            return ToolResult(text=error.detail, line=f"{kind} {text}: {error.detail}"[:200], is_error=True)
        return _show(f"{kind.value} {text[:80]!r}", answer)


def _show(what: str, answer: IndexAnswer) -> ToolResult:
    if answer.text:
        return _show_text(what, answer)
    rows: list[str] = []
    size = 0
    for hit in answer.hits:
        row = _show_hit(hit)
        size += len(row) + 1
        if size > MAX_RESULT_CHARS - _RESERVED_CHARS:
            break
        rows.append(row)
    line = f"{what}: {len(answer.hits)} hits"
    is_cut = answer.is_truncated or len(rows) < len(answer.hits)
    more = ["[there are more; ask more narrowly]"] if is_cut else []
    return ToolResult(text="\n".join([line, *rows, *more, _show_stamp(answer.stamp)]), line=line[:200])


def _show_text(what: str, answer: IndexAnswer) -> ToolResult:
    room = MAX_RESULT_CHARS - _RESERVED_CHARS
    more = ["[there is more; ask more narrowly]"] if answer.is_truncated or len(answer.text) > room else []
    line = f"{what}: {len(answer.hits)} places"
    return ToolResult(text="\n".join([line, answer.text[:room], *more, _show_stamp(answer.stamp)]), line=line[:200])


def _show_hit(hit: Hit) -> str:
    sure = f" [{hit.tier.value}]" if hit.tier is not None else ""
    snippet = " ".join(hit.snippet.split())[:_MAX_SNIPPET_CHARS]
    return f"{hit.path}:{hit.line}: {hit.symbol} ({hit.kind}){sure} {snippet}".rstrip()


def _show_stamp(stamp: Stamp) -> str:
    state = "fresh" if stamp.is_fresh else f"{stamp.lag_s:.0f} s behind {stamp.head_commit[:12]}"
    dirty = ""
    if stamp.dirty_paths:
        names = ", ".join(stamp.dirty_paths[:_SHOWN_DIRTY])
        rest = len(stamp.dirty_paths) - _SHOWN_DIRTY
        dirty = f"; uncommitted, read as on disk: {names}" + (f" and {rest} more" if rest > 0 else "")
    return f"[index of commit {stamp.indexed_commit[:12]}, {state}{dirty}; your own edits are not in it]"
