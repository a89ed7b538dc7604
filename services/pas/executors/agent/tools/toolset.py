"""The agent's tools as the loop sees them: what is on offer, and one way to run a call that never raises."""

import difflib
from collections.abc import Sequence

from services.broker.models import ToolCall, ToolSpec
from services.kernel.errors import PlatformError
from services.pas.core.ports import ArtifactBox
from services.pas.executors.agent.toolbox import MAX_RESULT_CHARS, Tool, ToolResult, ToolScene
from services.pas.executors.agent.tools.arguments import (
    ArgumentCheck,
    ArgumentsRefusedError,
    describe,
    parse_arguments,
)
from services.pas.executors.agent.tools.execution import RunTestTool
from services.pas.executors.agent.tools.finishing import FinishTool
from services.pas.executors.agent.tools.index import IndexLook, IndexTool
from services.pas.executors.agent.tools.listing import ListTool
from services.pas.executors.agent.tools.patching import PatchTool
from services.pas.executors.agent.tools.reading import ReadTool
from services.pas.executors.agent.tools.searching import SearchTool
from services.pas.executors.workbench import Programs, Workbench


class Toolset:
    """All tools of one server; stateless between calls."""

    def __init__(self, tools: Sequence[Tool]) -> None:
        self._tools = {tool.spec.name: (tool, ArgumentCheck(tool.spec)) for tool in tools}
        self._specs = tuple(tool.spec for tool in tools)

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """Return what is on offer; together below 5 KiB of JSON."""
        return self._specs

    async def run(self, call: ToolCall, scene: ToolScene) -> ToolResult:
        """Run one call. A wrong name, broken JSON or wrong arguments give `is_error` with what is right."""
        known = self._tools.get(call.name)
        if known is None:
            return _refuse(self._explain_unknown(call.name))
        tool, check = known
        try:
            arguments = parse_arguments(call.arguments)
            check.check(arguments)
        except ArgumentsRefusedError as error:
            return _refuse(f"{call.name}: {error}")
        try:
            return _cap(await tool.run(arguments, scene))
        except PlatformError as error:
            return _refuse(f"{call.name}: {error.detail}")
        except OSError as error:
            return _refuse(f"{call.name}: the folder cannot be used: {error.strerror or type(error).__name__}")

    def _explain_unknown(self, name: str) -> str:
        plain = name.replace(".", "_").replace("-", "_").lower()
        near = difflib.get_close_matches(plain, self._tools, n=1, cutoff=0.6)
        hint = f"did you mean {near[0]}? {describe(self._tools[near[0]][0].spec)}" if near else "there is no such tool"
        return f"there is no tool {name[:60]!r}; {hint}; the tools are {', '.join(self._tools)}"


def _refuse(text: str) -> ToolResult:
    return ToolResult(text=text, line=text[:200], is_error=True)


def _cap(result: ToolResult) -> ToolResult:
    if len(result.text) <= MAX_RESULT_CHARS and len(result.line) <= 200:  # noqa: PLR2004 - as ToolResult says
        return result
    mark = "\n[cut]"
    text = result.text if len(result.text) <= MAX_RESULT_CHARS else result.text[: MAX_RESULT_CHARS - len(mark)] + mark
    return ToolResult(
        text=text,
        line=result.line[:200],
        is_error=result.is_error,
        changes=result.changes,
        denied=result.denied,
        shown=result.shown,
        tests=result.tests,
        is_done=result.is_done,
    )


def open_toolset(bench: Workbench, artifacts: ArtifactBox, programs: Programs, look: IndexLook) -> Toolset:
    """Return the agent's tools over a server's workbench, artifact store and index."""
    return Toolset(
        (
            ReadTool(),
            ListTool(),
            SearchTool(),
            PatchTool(),
            RunTestTool(bench, artifacts, programs),
            IndexTool(look),
            FinishTool(),
        )
    )
