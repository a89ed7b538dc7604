"""OpenAI chat completions: requests in, bodies and streams out."""

import json
import re
from collections.abc import Iterator, Mapping

from tests.fakes.model_server.conversation import (
    Answer,
    BadRequestError,
    Conversation,
    Turn,
    Usage,
    check_calls_are_answered,
    read_list,
    read_object,
    read_text,
)

CREATED = 1_760_000_000
CHUNK_CHARS = 24
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
ERROR_TYPES = {400: "invalid_request_error", 401: "invalid_request_error", 404: "invalid_request_error"}
ERROR_CODES = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}


class OpenAiWire:
    """Satisfies server.ModelProtocol."""

    name = "openai"
    key_status = 401
    DONE = b"data: [DONE]\n\n"

    def parse(self, body: Mapping[str, object], _headers: Mapping[str, str], size_bytes: int) -> Conversation:
        """Return the request; raise BadRequestError when it breaks the protocol."""
        turns = tuple(_read_message(item) for item in read_list(body.get("messages"), "messages"))
        if not turns:
            raise BadRequestError("messages: [] is too short")
        check_calls_are_answered(
            turns,
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            "'tool_call_id'. The following tool_call_ids did not have response messages",
        )
        is_stream = body.get("stream") is True
        options = read_object(body.get("stream_options") or {}, "stream_options")
        limit = body.get("max_completion_tokens", body.get("max_tokens"))
        return Conversation(
            provider=self.name,
            model=str(body.get("model", "")),
            turns=turns,
            tools=() if body.get("tool_choice") == "none" else _read_tools(body.get("tools")),
            stream=is_stream,
            include_usage=not is_stream or options.get("include_usage") is True,
            max_tokens=limit if isinstance(limit, int) else None,
            size_bytes=size_bytes,
        )

    def error(self, status: int, detail: str, code: str = "") -> dict[str, object]:
        """Return the body of an error."""
        kind = ERROR_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
        if status == 429:
            kind = "requests"
        named = code if code and code not in {"invalid_request_error", "key"} else ERROR_CODES.get(status)
        return {"error": {"message": detail, "type": kind, "param": None, "code": named}}

    def overflow(self, talk: Conversation, limit: int) -> dict[str, object]:
        """Return the body of a context overflow."""
        detail = (
            f"This model's maximum context length is {limit} tokens. However, your messages resulted in "
            f"{talk.input_tokens} tokens. Please reduce the length of the messages."
        )
        return {
            "error": {
                "message": detail,
                "type": "invalid_request_error",
                "param": "messages",
                "code": "context_length_exceeded",
            }
        }

    def body(self, talk: Conversation, answer: Answer) -> dict[str, object]:
        """Return the whole answer."""
        message: dict[str, object] = {"role": "assistant", "content": answer.text or None, "refusal": None}
        if answer.thinking:
            message["reasoning_content"] = answer.thinking
        if answer.calls:
            message["tool_calls"] = [
                {"id": call.call_id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in answer.calls
            ]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish_reason}
        whole: dict[str, object] = {
            "id": f"chatcmpl-{talk.digest[:24]}",
            "object": "chat.completion",
            "created": CREATED,
            "model": talk.model,
            "choices": [] if answer.is_empty else [choice],
        }
        if answer.usage is not None:
            whole["usage"] = _usage(answer.usage)
        return whole

    def stream(self, talk: Conversation, answer: Answer) -> Iterator[bytes]:
        """Yield the answer as server-sent events, without the final `[DONE]`."""
        deltas = [] if answer.is_empty else [{"role": "assistant", "content": ""}, *_deltas(answer)]
        for delta in deltas:
            yield self._chunk(talk, [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}])
        if not answer.is_empty:
            last = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": answer.finish_reason}
            yield self._chunk(talk, [last])
        if talk.include_usage and answer.usage is not None:
            yield self._chunk(talk, [], _usage(answer.usage))

    def error_event(self, detail: str) -> bytes:
        """Return an error in the middle of a stream."""
        return _event({"error": {"message": detail, "type": "server_error", "param": None, "code": None}})

    def babble(self, talk: Conversation) -> bytes:
        """Return one more piece of an endless stream."""
        delta = {"content": "and on "}
        return self._chunk(talk, [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}])

    def models(self, names: list[str]) -> dict[str, object]:
        """Return the list of models."""
        return {"object": "list", "data": [self.model(name) for name in names]}

    def model(self, name: str) -> dict[str, object]:
        """Return one model."""
        return {"id": name, "object": "model", "created": CREATED, "owned_by": "script"}

    def _chunk(
        self, talk: Conversation, choices: list[dict[str, object]], usage: dict[str, object] | None = None
    ) -> bytes:
        chunk: dict[str, object] = {
            "id": f"chatcmpl-{talk.digest[:24]}",
            "object": "chat.completion.chunk",
            "created": CREATED,
            "model": talk.model,
            "choices": choices,
        }
        if talk.include_usage:
            chunk["usage"] = usage
        return _event(chunk)


def _event(data: Mapping[str, object]) -> bytes:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


def _usage(usage: Usage) -> dict[str, object]:
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def pieces(text: str) -> Iterator[str]:
    """Yield `text` in the pieces in which it is streamed: small ones, but no more than about a thousand."""
    size = max(CHUNK_CHARS, len(text) // 1000)
    for start in range(0, len(text), size):
        yield text[start : start + size]


def _deltas(answer: Answer) -> Iterator[dict[str, object]]:
    for piece in pieces(answer.thinking):
        yield {"reasoning_content": piece}
    for piece in pieces(answer.text):
        yield {"content": piece}
    for index, call in enumerate(answer.calls):
        head = {"index": index, "id": call.call_id, "type": "function"}
        yield {"tool_calls": [{**head, "function": {"name": call.name, "arguments": ""}}]}
        for piece in pieces(call.arguments):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _read_message(value: object) -> Turn:
    message = read_object(value, "messages[]")
    role = str(message.get("role", ""))
    if role not in {"system", "developer", "user", "assistant", "tool"}:
        raise BadRequestError(f"Invalid value: {role!r}. Supported values are: 'system', 'assistant', 'user', 'tool'.")
    calls = tuple(_read_call(item) for item in read_list(message.get("tool_calls") or [], "messages[].tool_calls"))
    if calls and role != "assistant":
        raise BadRequestError("only a message of the assistant has tool_calls")
    text = read_text(message.get("content"), "messages[].content")
    return Turn("system" if role == "developer" else role, text, calls, str(message.get("tool_call_id", "")))


def _read_call(value: object) -> tuple[str, str, str]:
    call = read_object(value, "tool_calls[]")
    function = read_object(call.get("function"), "tool_calls[].function")
    if not isinstance(function.get("arguments"), str):
        raise BadRequestError("tool_calls[].function.arguments must be a string")
    return str(call.get("id", "")), str(function.get("name", "")), str(function["arguments"])


def _read_tools(value: object) -> tuple[str, ...]:
    names = []
    for item in read_list(value or [], "tools"):
        function = read_object(read_object(item, "tools[]").get("function"), "tools[].function")
        name = str(function.get("name", ""))
        if not TOOL_NAME.fullmatch(name):
            raise BadRequestError(f"Invalid 'tools[].function.name': {name!r} does not match ^[a-zA-Z0-9_-]+$")
        schema = read_object(function.get("parameters", {"type": "object"}), "tools[].function.parameters")
        if schema.get("type") != "object":
            raise BadRequestError(f"Invalid schema for function {name!r}: schema must be of 'type': \"object\"")
        names.append(name)
    return tuple(names)
