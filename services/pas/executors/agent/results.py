"""Results of tools as they are recorded: JSON without the changed files, which the step's tree has."""

from dataclasses import replace

from pydantic import TypeAdapter

from services.pas.executors.agent.toolbox import ToolResult

_TOOL_RESULT = TypeAdapter(ToolResult)


def dump_result(result: ToolResult) -> str:
    """Return a tool's result without the changed files: the step's tree has them."""
    return _TOOL_RESULT.dump_json(replace(result, changes={})).decode()


def load_result(text: str) -> ToolResult:
    """Return the recorded result of a tool."""
    return _TOOL_RESULT.validate_json(text)
