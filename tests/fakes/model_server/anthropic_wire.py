"""Anthropic messages: requests in, bodies and streams out."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from tests.fakes.model_server.conversation import (
    Answer,
    BadRequestError,
    Call,
    Conversation,
    Turn,
    Usage,
    check_calls_are_answered,
    read_list,
    read_object,
    read_text,
)
from tests.fakes.model_server.openai_wire import pieces

TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
STOP_REASONS = {"stop": "end_turn", "tool_calls": "tool_use", "length": "max_tokens", "content_filter": "refusal"}
ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}
CREATED_AT = "2025-10-09T08:53:20Z"


class AnthropicWire:
    """Satisfies server.ModelProtocol."""

    name = "anthropic"
    key_status = 401
    DONE = b'event: message_stop\ndata: {"type": "message_stop"}\n\n'

    def parse(self, body: Mapping[str, object], headers: Mapping[str, str], size_bytes: int) -> Conversation:
        """Return the request; raise BadRequestError when it breaks the protocol."""
        if "anthropic-version" not in {name.lower() for name in headers}:
            raise BadRequestError("anthropic-version: header is required")
        if not isinstance(body.get("max_tokens"), int):
            raise BadRequestError("max_tokens: Field required")
        turns: list[Turn] = []
        if body.get("system"):
            turns.append(Turn("system", read_text(body["system"], "system")))
        for item in read_list(body.get("messages"), "messages"):
            turns += _read_message(item)
        if not any(turn.role == "user" for turn in turns):
            raise BadRequestError("messages: at least one message is required")
        check_calls_are_answered(
            turns,
            "`tool_use` ids were found without `tool_result` blocks immediately after",
        )
        choice = read_object(body.get("tool_choice") or {}, "tool_choice")
        return Conversation(
            provider=self.name,
            model=str(body.get("model", "")),
            turns=tuple(turns),
            tools=() if choice.get("type") == "none" else _read_tools(body.get("tools")),
            stream=body.get("stream") is True,
            max_tokens=int(str(body["max_tokens"])),
            size_bytes=size_bytes,
        )

    def error(self, status: int, detail: str, _code: str = "") -> dict[str, object]:
        """Return the body of an error."""
        kind = ERROR_TYPES.get(status, "api_error")
        return {"type": "error", "error": {"type": kind, "message": detail}, "request_id": "req_script"}

    def overflow(self, talk: Conversation, limit: int) -> dict[str, object]:
        """Return the body of a context overflow."""
        return self.error(400, f"prompt is too long: {talk.input_tokens} tokens > {limit} maximum")

    def body(self, talk: Conversation, answer: Answer) -> dict[str, object]:
        """Return the whole answer."""
        blocks: list[dict[str, object]] = []
        if answer.thinking:
            blocks.append({"type": "thinking", "thinking": answer.thinking, "signature": _signature(talk)})
        if answer.text:
            blocks.append({"type": "text", "text": answer.text})
        blocks += [_tool_use(call) for call in answer.calls]
        whole = self._head(talk)
        whole["content"] = [] if answer.is_empty else blocks
        whole["stop_reason"] = STOP_REASONS[answer.finish_reason]
        if answer.usage is not None:
            whole["usage"] = _usage(answer.usage)
        return whole

    def stream(self, talk: Conversation, answer: Answer) -> Iterator[bytes]:
        """Yield the answer as server-sent events, without the final `message_stop`."""
        head = self._head(talk)
        if answer.usage is not None:
            head["usage"] = {**_usage(answer.usage), "output_tokens": 1}
        yield _event("message_start", message=head)
        yield _event("ping")
        for index, (block, deltas) in enumerate(() if answer.is_empty else _blocks(talk, answer)):
            yield _event("content_block_start", index=index, content_block=block)
            for delta in deltas:
                yield _event("content_block_delta", index=index, delta=delta)
            yield _event("content_block_stop", index=index)
        ending = {"stop_reason": STOP_REASONS[answer.finish_reason], "stop_sequence": None}
        if answer.usage is None:
            yield _event("message_delta", delta=ending)
        else:
            yield _event("message_delta", delta=ending, usage=_usage(answer.usage))

    def error_event(self, detail: str) -> bytes:
        """Return an error in the middle of a stream."""
        return _event("error", error={"type": "overloaded_error", "message": detail})

    def babble(self, talk: Conversation) -> bytes:
        """Return one more piece of an endless stream."""
        if talk.stream:
            return _event("content_block_delta", index=0, delta={"type": "text_delta", "text": "and on "})
        return b" "

    def models(self, names: list[str]) -> dict[str, object]:
        """Return the list of models."""
        data = [self.model(name) for name in names]
        ends = {"first_id": names[0] if names else None, "last_id": names[-1] if names else None}
        return {"data": data, "has_more": False, **ends}

    def model(self, name: str) -> dict[str, object]:
        """Return one model."""
        return {"type": "model", "id": name, "display_name": name, "created_at": CREATED_AT}

    def _head(self, talk: Conversation) -> dict[str, object]:
        return {
            "id": f"msg_{talk.digest[:24]}",
            "type": "message",
            "role": "assistant",
            "model": talk.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
        }


def _event(kind: str, **data: object) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **data}, ensure_ascii=False)}\n\n".encode()


def _signature(talk: Conversation) -> str:
    return f"sig-{talk.digest[:32]}"


def _tool_use(call: Call) -> dict[str, object]:
    try:
        arguments = json.loads(call.arguments)
    except ValueError:
        arguments = (
            call.arguments
        )  # malformed on purpose: the wire carries an object, so a client must see that it is none
    return {"type": "tool_use", "id": call.call_id, "name": call.name, "input": arguments}


def _blocks(talk: Conversation, answer: Answer) -> Iterator[tuple[dict[str, object], Sequence[dict[str, object]]]]:
    if answer.thinking:
        thought: list[dict[str, object]] = [
            {"type": "thinking_delta", "thinking": piece} for piece in pieces(answer.thinking)
        ]
        sealed: dict[str, object] = {"type": "signature_delta", "signature": _signature(talk)}
        yield {"type": "thinking", "thinking": "", "signature": ""}, [*thought, sealed]
    if answer.text:
        yield {"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in pieces(answer.text)]
    for call in answer.calls:
        start: dict[str, object] = {"type": "tool_use", "id": call.call_id, "name": call.name, "input": {}}
        parts = ["", *pieces(call.arguments)]
        yield start, [{"type": "input_json_delta", "partial_json": piece} for piece in parts]


def _usage(usage: Usage) -> dict[str, object]:
    shown: dict[str, object] = {
        "input_tokens": usage.input - usage.cache_read - usage.cache_write,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cache_read,
        "output_tokens": usage.output,
        "service_tier": "standard",
    }
    if usage.reasoning:
        shown["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    return shown


def _read_message(value: object) -> list[Turn]:
    message = read_object(value, "messages[]")
    role, content = str(message.get("role", "")), message.get("content")
    if role not in {"user", "assistant"}:
        raise BadRequestError(f"messages[].role: Input should be 'user' or 'assistant', not {role!r}")
    if isinstance(content, str):
        return [Turn(role, content)]
    blocks = [read_object(item, "messages[].content[]") for item in read_list(content, "messages[].content")]
    allowed = {"user": {"text", "tool_result"}, "assistant": {"text", "tool_use", "thinking", "redacted_thinking"}}
    if strange := {str(block.get("type")) for block in blocks} - allowed[role]:
        raise BadRequestError(f"messages[].content[]: unexpected blocks of {role}: {', '.join(sorted(strange))}")
    results = [_read_result(block) for block in blocks if block["type"] == "tool_result"]
    text = "\n".join(str(block.get("text", "")) for block in blocks if block["type"] == "text")
    calls = tuple(
        (str(block.get("id")), str(block.get("name")), json.dumps(block.get("input")))
        for block in blocks
        if block["type"] == "tool_use"
    )
    own = [Turn(role, text, calls)] if text or calls or not results else []
    return [*results, *own]


def _read_result(block: Mapping[str, object]) -> Turn:
    return Turn(
        "tool", read_text(block.get("content"), "tool_result.content"), answers=str(block.get("tool_use_id", ""))
    )


def _read_tools(value: object) -> tuple[str, ...]:
    names = []
    for item in read_list(value or [], "tools"):
        tool = read_object(item, "tools[]")
        name = str(tool.get("name", ""))
        if not TOOL_NAME.fullmatch(name):
            raise BadRequestError(f"tools[].name: {name!r} should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
        if read_object(tool.get("input_schema"), "tools[].input_schema").get("type") != "object":
            raise BadRequestError(f"tools[].input_schema.type: Input should be 'object' ({name})")
        names.append(name)
    return tuple(names)
