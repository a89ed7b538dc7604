"""Between our messages and pydantic_ai's: conversations and tools out, replies and usage in."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace

from pydantic import ValidationError
from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    ModelResponsePart,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.usage import RequestUsage

from services.broker.core.ports import Target, WireError
from services.broker.models import AttemptOutcome, Message, Role, ToolCall, ToolSpec, Usage

OPAQUE_PARTS = (TextPart, ThinkingPart, ToolCallPart)
"""What an opaque turn may hold; anything else would come from elsewhere and is not sent on."""


def build_parameters(tools: Sequence[ToolSpec]) -> ModelRequestParameters:
    """Return the tools on offer, with their schemas as they are: no strict mode, which would rewrite them."""
    return ModelRequestParameters(
        function_tools=[
            ToolDefinition(
                name=tool.name,
                description=tool.description,
                parameters_json_schema=dict(tool.parameters),
                strict=False,
            )
            for tool in tools
        ]
    )


def build_history(target: Target, messages: Sequence[Message]) -> list[ModelMessage]:
    """Return the conversation; raise WireError(REJECTED) when a tool message answers no call before it."""
    history: list[ModelMessage] = []
    parts: list[ModelRequestPart] = []
    names: dict[str, str] = {}
    for message in messages:
        if message.role is Role.ASSISTANT:
            if parts:
                history.append(ModelRequest(parts=parts))
                parts = []
            names.update((call.call_id, call.name) for call in message.tool_calls)
            history.append(_build_response(target, message))
        else:
            parts.append(_build_part(message, names))
    if parts:
        history.append(ModelRequest(parts=parts))
    return history


def _build_part(message: Message, names: dict[str, str]) -> ModelRequestPart:
    if message.role is Role.SYSTEM:
        return SystemPromptPart(content=message.content)
    if message.role is Role.USER:
        return UserPromptPart(content=message.content)
    name = names.get(message.tool_call_id)
    if name is None:
        raise WireError(
            AttemptOutcome.REJECTED,
            f"a tool message answers the call {message.tool_call_id[:60]!r}, which no message before it makes",
        )
    return ToolReturnPart(tool_name=name, content=message.content, tool_call_id=message.tool_call_id)


def _build_response(target: Target, message: Message) -> ModelResponse:
    opaque = _read_opaque(target, message)
    if opaque is not None:
        return opaque
    parts: list[ModelResponsePart] = [TextPart(content=message.content)] if message.content else []
    parts += [
        ToolCallPart(tool_name=call.name, args=call.arguments, tool_call_id=call.call_id) for call in message.tool_calls
    ]
    return ModelResponse(parts=parts)


def _read_opaque(target: Target, message: Message) -> ModelResponse | None:
    """Return the turn in its provider's own form, None when it is another model's or no longer the message's."""
    if not message.opaque:
        return None
    try:
        sealed = json.loads(message.opaque)
        if sealed["provider"] != target.provider.value or sealed["model"] != target.model:
            return None
        [response] = ModelMessagesTypeAdapter.validate_python(sealed["messages"])
    except (ValueError, KeyError, TypeError, ValidationError, RecursionError):
        return None
    if not isinstance(response, ModelResponse) or not all(isinstance(part, OPAQUE_PARTS) for part in response.parts):
        return None
    calls = [(call.call_id, call.name) for call in message.tool_calls]
    return response if join_text(response) == message.content and _list_pairs(response) == calls else None


def _list_pairs(response: ModelResponse) -> list[tuple[str, str]]:
    return [(part.tool_call_id, part.tool_name) for part in _list_call_parts(response.parts)]


def seal(target: Target, response: ModelResponse) -> str:
    """Return what must be handed back for the model to go on, empty when text and calls say it all."""
    kinds = [type(part) for part in response.parts]
    is_plain = kinds == sorted(kinds, key=lambda kind: kind is not TextPart)
    is_plain &= all(isinstance(part, TextPart | ToolCallPart) and not part.provider_details for part in response.parts)
    if is_plain or not all(isinstance(part, OPAQUE_PARTS) for part in response.parts):
        return ""
    messages = ModelMessagesTypeAdapter.dump_json([replace(response, usage=RequestUsage())]).decode()
    head = json.dumps({"provider": target.provider.value, "model": target.model})
    return f'{head[:-1]}, "messages": {messages}}}'


def join_text(response: ModelResponse) -> str:
    """Return the text of all text parts, as it was streamed."""
    return "".join(part.content for part in response.parts if isinstance(part, TextPart))


def list_calls(response: ModelResponse) -> tuple[ToolCall, ...]:
    """Return the tool calls; raise ValueError when one has no usable name or id."""
    return tuple(
        ToolCall(call_id=part.tool_call_id, name=part.tool_name, arguments=_read_arguments(part.args))
        for part in _list_call_parts(response.parts)
    )


def _list_call_parts(parts: Iterable[ModelResponsePart]) -> list[ToolCallPart]:
    return [part for part in parts if isinstance(part, ToolCallPart)]


def _read_arguments(arguments: object) -> str:
    """Return the arguments as the model wrote them; a protocol that carries them decoded has them encoded again."""
    if isinstance(arguments, str):
        return arguments if arguments.strip() else "{}"
    return "{}" if arguments is None else json.dumps(arguments, ensure_ascii=False)


def read_usage(told: RequestUsage) -> Usage | None:
    """Return the tokens that the provider told, None when it told none or what no count can be."""
    think = max(told.output_reasoning_tokens, *(told.details.get(name, 0) for name in _THINK_DETAILS))
    counts = (told.input_tokens, told.cache_read_tokens, told.cache_write_tokens, told.output_tokens, think)
    if told.unmeasured_requests or not any(counts):
        return None
    if min(counts) < 0:
        return None
    return Usage(
        tokens_in=counts[0],
        tokens_cache_read=counts[1],
        tokens_cache_write=counts[2],
        tokens_out=max(counts[3], think),
        tokens_think=think,
    )


_THINK_DETAILS = ("reasoning_tokens", "thinking_tokens", "thoughts_tokens")
"""How OpenAI, Anthropic and Google name, in RequestUsage.details, the part of the output that was thinking."""
