"""finish: the model says that it is done, or what blocks it. Only recorded tests say whether it is."""

from collections.abc import Mapping

from pydantic import JsonValue

from services.broker.models import ToolSpec
from services.pas.executors.agent.toolbox import ToolResult, ToolScene
from services.pas.executors.agent.tools.arguments import make_schema, read_text

BLOCKED = "blocked"


class FinishTool:
    """Ends the work."""

    spec = ToolSpec(
        name="finish",
        description="End the work: done, or blocked with the reason. The tests are run once more then.",
        parameters=make_schema(
            {
                "summary": {"type": "string", "minLength": 1},
                "status": {"enum": ["done", BLOCKED]},
                "reason": {"type": "string"},
            },
            "summary",
            "status",
        ),
    )

    async def run(self, arguments: Mapping[str, JsonValue], scene: ToolScene) -> ToolResult:
        del scene
        summary, reason = read_text(arguments, "summary"), read_text(arguments, "reason")
        if read_text(arguments, "status") != BLOCKED:
            return ToolResult(text=summary, line=f"done: {_one_line(summary)}", is_done=True)
        if not reason.strip():
            text = "blocked needs a reason: say what is missing and who could give it"
            return ToolResult(text=text, line=text, is_error=True)
        return ToolResult(text=f"{summary}\n{reason}", line=f"blocked: {_one_line(reason)}", is_done=True)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:180]
