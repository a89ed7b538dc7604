"""The OpenAI-compatible door: chat completions in, the broker's own calls behind it.

What the broker cannot honour is refused in one line, never dropped silently, when it would change the answer's meaning.
"""

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Header, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from sse_starlette import EventSourceResponse, ServerSentEvent

from services.broker.models import (
    BudgetKind,
    BudgetScope,
    Completion,
    CompletionRequest,
    Delta,
    Message,
    Purpose,
    Role,
    ToolCall,
    ToolSpec,
    Usage,
)
from services.broker.protocol import Completions
from services.kernel.caller import Caller
from services.kernel.errors import InvalidRequestError, PlatformError
from services.kernel.http import IDEMPOTENCY_HEADER, CallerOf
from services.kernel.ids import new_id
from services.kernel.vocabulary import Lane

DEFAULT_MODEL = "default"
MAX_CHAT_MESSAGES = 2000
_NO_PARAMETERS: dict[str, JsonValue] = {"type": "object", "properties": {}}
_ROLES = {
    "system": Role.SYSTEM,
    "developer": Role.SYSTEM,
    "user": Role.USER,
    "assistant": Role.ASSISTANT,
    "tool": Role.TOOL,
}


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ChatFunctionCall(_Wire):
    """A function that was called."""

    name: str
    arguments: str


class ChatToolCall(_Wire):
    """A tool call of an assistant's message."""

    id: str
    function: ChatFunctionCall


class ChatPart(_Wire):
    """A part of a message; only text has a meaning here."""

    type: str
    text: str = ""


class ChatMessage(_Wire):
    """A message."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | tuple[ChatPart, ...] | None = None
    tool_calls: tuple[ChatToolCall, ...] | None = None
    tool_call_id: str | None = None


class ChatFunction(_Wire):
    """A function on offer."""

    name: str
    description: str = ""
    parameters: dict[str, JsonValue] | None = None


class ChatTool(_Wire):
    """A tool on offer."""

    type: Literal["function"] = "function"
    function: ChatFunction


class ChatStreamOptions(_Wire):
    """How to stream."""

    include_usage: bool = False


class ChatRequest(_Wire):
    """What a client of the OpenAI chat completions API sends."""

    model: str = DEFAULT_MODEL
    messages: tuple[ChatMessage, ...] = Field(min_length=1, max_length=MAX_CHAT_MESSAGES)
    tools: tuple[ChatTool, ...] | None = None
    tool_choice: JsonValue = None
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    stream: bool = False
    stream_options: ChatStreamOptions | None = None
    n: int | None = None
    stop: JsonValue = None
    response_format: JsonValue = None
    functions: JsonValue = None


def add_chat(app: FastAPI, service: Completions) -> None:
    """Add the OpenAI-compatible endpoint to `app`."""

    @app.post("/v1/chat/completions")
    async def complete_chat(
        caller: CallerOf,
        chat: ChatRequest,
        x_budget_scope: Annotated[str | None, Header()] = None,
        idempotency_key: Annotated[str | None, Header(alias=IDEMPOTENCY_HEADER)] = None,
    ) -> Response:
        request = to_request(chat, choose_scopes(caller, x_budget_scope), _make_call_id(caller, idempotency_key))
        if chat.stream:
            deltas = service.stream(caller, request)
            first = await anext(deltas)  # a refusal before the first piece becomes a plain answer
            has_usage = chat.stream_options is not None and chat.stream_options.include_usage
            return EventSourceResponse(stream_chunks(request.call_id, first, deltas, has_usage=has_usage))
        return JSONResponse(to_chat(await service.complete(caller, request)))


def _make_call_id(caller: Caller, key: str | None) -> str:
    return new_id("chat") if key is None else f"chat:{caller.subject}:{key}"[:300]


def choose_scopes(caller: Caller, header: str | None) -> tuple[BudgetScope, ...]:
    """Return the budgets of a chat: those the header names, the caller's own run, or a session of the caller's."""
    if header is not None:
        return tuple(_parse_scope(part.strip()) for part in header.split(","))
    if caller.run_id is None:
        return (BudgetScope(kind=BudgetKind.SESSION, id=caller.subject),)
    run = BudgetScope(kind=BudgetKind.RUN, id=caller.run_id)
    if caller.project_id is None:
        return (run,)
    return (BudgetScope(kind=BudgetKind.PROJECT, id=caller.project_id), run)


def _parse_scope(text: str) -> BudgetScope:
    kind, _, name = text.partition(":")
    try:
        return BudgetScope(kind=BudgetKind(kind), id=name)
    except (ValidationError, ValueError):
        raise InvalidRequestError(
            f"X-Budget-Scope {text[:80]!r} is no budget; write kind:id, such as run:RUN_ID (several with commas)"
        ) from None


def to_request(chat: ChatRequest, scopes: tuple[BudgetScope, ...], call_id: str) -> CompletionRequest:
    """Return the broker's form of a chat; raise InvalidRequestError for what it cannot honour."""
    _refuse_unsupported(chat)
    try:
        return CompletionRequest(
            call_id=call_id,
            scopes=scopes,
            lane=Lane.CODE_IMPL,
            purpose=Purpose.CHAT,
            alias=None if chat.model == DEFAULT_MODEL else chat.model,
            messages=tuple(_to_message(message) for message in chat.messages),
            tools=tuple(_to_tool(tool) for tool in chat.tools or ()),
            tool_choice=_to_tool_choice(chat.tool_choice),
            max_tokens=chat.max_completion_tokens or chat.max_tokens,
            temperature=chat.temperature,
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidRequestError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def _refuse_unsupported(chat: ChatRequest) -> None:
    wanted = {
        "n over 1": chat.n not in {None, 1},
        "stop": chat.stop not in (None, []),
        "response_format": chat.response_format not in (None, {"type": "text"}),
        "functions": chat.functions is not None,
    }
    refused = [name for name, is_wanted in wanted.items() if is_wanted]
    if refused:
        raise InvalidRequestError(f"this broker does not support {', '.join(refused)}; leave it out")


def _to_message(message: ChatMessage) -> Message:
    return Message(
        role=_ROLES[message.role],
        content=_to_text(message.content),
        tool_calls=tuple(
            ToolCall(call_id=call.id, name=call.function.name, arguments=call.function.arguments)
            for call in message.tool_calls or ()
        ),
        tool_call_id=message.tool_call_id or "",
    )


def _to_text(content: str | tuple[ChatPart, ...] | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    for part in content:
        if part.type != "text":
            raise InvalidRequestError(
                f"a message has a part of type {part.type[:40]!r}, but only text is taken: this broker fetches no URL"
                " from a request"
            )
    return "".join(part.text for part in content)


def _to_tool(tool: ChatTool) -> ToolSpec:
    function = tool.function
    return ToolSpec(
        name=function.name, description=function.description, parameters=function.parameters or _NO_PARAMETERS
    )


def _to_tool_choice(choice: JsonValue) -> Literal["auto", "required", "none"]:
    if choice is None or choice == "auto":
        return "auto"
    if choice == "required":
        return "required"
    if choice == "none":
        return "none"
    raise InvalidRequestError("tool_choice is auto, required or none here; offer only the one tool that must be called")


def to_chat(completion: Completion) -> dict[str, Any]:
    """Return the OpenAI form of an answer, and the broker's receipts beside it."""
    message: dict[str, Any] = {"role": "assistant", "content": completion.text or None}
    if completion.tool_calls:
        message["tool_calls"] = [_to_chat_call(call) for call in completion.tool_calls]
    choice = {"index": 0, "message": message, "finish_reason": completion.finish_reason, "logprobs": None}
    return {
        **_head(completion.call_id, completion.alias, "chat.completion"),
        "choices": [choice],
        "usage": _to_chat_usage(completion.usage),
        "cost_microusd": completion.cost_microusd,
        "receipts": [receipt.model_dump(mode="json") for receipt in completion.receipts],
    }


def _head(call_id: str, model: str, kind: str) -> dict[str, Any]:
    # The API's `created` is for display only; a constant keeps a replayed answer the same.
    return {"id": call_id, "object": kind, "created": 0, "model": model}


def _to_chat_call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.call_id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _to_chat_usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.tokens_in,
        "completion_tokens": usage.tokens_out,
        "total_tokens": usage.tokens_in + usage.tokens_out,
        "prompt_tokens_details": {"cached_tokens": usage.tokens_cache_read},
        "completion_tokens_details": {"reasoning_tokens": usage.tokens_think},
    }


async def stream_chunks(
    call_id: str, first: Delta, rest: AsyncIterator[Delta], *, has_usage: bool
) -> AsyncIterator[ServerSentEvent]:
    """Yield OpenAI chunks, then `[DONE]`; an error ends the stream as the API's error object."""
    sent = ""
    is_broken = False
    try:
        async for delta in _chain(first, rest):
            if delta.completion is not None:
                for event in _end_chunks(delta.completion, sent, has_usage=has_usage):
                    yield event
            elif delta.is_restart:
                is_broken = True  # what was sent cannot be taken back: the rest is sent when it is whole
            elif not is_broken:
                sent += delta.text
                yield _chunk(call_id, DEFAULT_MODEL, {"content": delta.text})
    except PlatformError as error:
        yield ServerSentEvent(
            data=json.dumps({"error": {"message": error.detail, "code": error.code, "type": "broker"}})
        )
    yield ServerSentEvent(data="[DONE]")


async def _chain(first: Delta, rest: AsyncIterator[Delta]) -> AsyncIterator[Delta]:
    yield first
    async for delta in rest:
        yield delta


def _end_chunks(completion: Completion, sent: str, *, has_usage: bool) -> list[ServerSentEvent]:
    if not completion.text.startswith(sent):
        detail = "the stream broke and the next answer begins differently; ask again without stream"
        raise InvalidRequestError(f"{detail} (call {completion.call_id} is paid and kept)")
    call_id, model = completion.call_id, completion.alias
    events = []
    if len(completion.text) > len(sent):
        events.append(_chunk(call_id, model, {"content": completion.text[len(sent) :]}))
    if completion.tool_calls:
        calls = [{"index": n, **_to_chat_call(call)} for n, call in enumerate(completion.tool_calls)]
        events.append(_chunk(call_id, model, {"tool_calls": calls}))
    events.append(_chunk(call_id, model, {}, completion.finish_reason))
    if has_usage:
        body = {**_head(call_id, model, "chat.completion.chunk"), "choices": []}
        events.append(ServerSentEvent(data=json.dumps(body | {"usage": _to_chat_usage(completion.usage)})))
    return events


def _chunk(call_id: str, model: str, delta: dict[str, Any], finish_reason: str | None = None) -> ServerSentEvent:
    choice = {"index": 0, "delta": {"role": "assistant", **delta}, "finish_reason": finish_reason}
    return ServerSentEvent(data=json.dumps(_head(call_id, model, "chat.completion.chunk") | {"choices": [choice]}))
