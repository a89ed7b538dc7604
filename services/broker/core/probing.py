"""Does a model answer, and how does it call tools: one small real call, or a look at its endpoint."""

import json
from dataclasses import dataclass, replace

from services.broker.core.binding import PROBE_SCOPE
from services.broker.core.lineup import Candidate
from services.broker.models import (
    Completion,
    CompletionRequest,
    Message,
    Purpose,
    Role,
    ToolSpec,
    ToolStyle,
)
from services.kernel.vocabulary import Lane

PROBE_TOOL = ToolSpec(
    name="report_ready",
    description="Report that you are ready. Call this tool once.",
    parameters={
        "type": "object",
        "properties": {"word": {"type": "string", "description": "The word ready."}},
        "required": ["word"],
        "additionalProperties": False,
    },
)
PROBE_MAX_TOKENS = 512
PROBE_AGAIN = "mend that and test again"
TEXT_ONLY_CURE = "use it for answers only, and configure a model that calls tools for agent cards"


@dataclass(frozen=True)
class ProbeCall:
    """One question to a model, and how it is to call tools."""

    candidate: Candidate
    request: CompletionRequest


def make_probe(candidate: Candidate, tool_style: ToolStyle, call_id: str) -> ProbeCall:
    """Return a small call with a tool on offer."""
    target = replace(candidate.target, tool_style=tool_style)
    request = CompletionRequest(
        call_id=call_id,
        scopes=(PROBE_SCOPE,),
        lane=Lane.CODE_IMPL,
        purpose=Purpose.PROBE,
        alias=candidate.alias,
        messages=(
            Message(role=Role.SYSTEM, content="You test a connection. Call the tool that is on offer."),
            Message(role=Role.USER, content='Call report_ready with the word "ready".'),
        ),
        tools=(PROBE_TOOL,),
        max_tokens=PROBE_MAX_TOKENS,
    )
    return ProbeCall(replace(candidate, target=target), request)


def has_called_tool(completion: Completion) -> bool:
    """Return whether the answer calls the tool on offer with an argument object."""
    for call in completion.tool_calls:
        try:
            arguments = json.loads(call.arguments)
        except ValueError:
            continue
        if call.name == PROBE_TOOL.name and isinstance(arguments, dict):
            return True
    return False
