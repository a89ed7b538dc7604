"""Google's generateContent: requests in, bodies and streams out."""

import base64
import json
import re
from collections.abc import Iterator, Mapping

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
)
from tests.fakes.model_server.openai_wire import pieces

TOOL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}")
FINISH_REASONS = {"stop": "STOP", "tool_calls": "STOP", "length": "MAX_TOKENS", "content_filter": "SAFETY"}
STATUSES = {
    400: "INVALID_ARGUMENT",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
}


class GoogleWire:
    """Satisfies wires.ModelProtocol. The server puts `model` and `stream`, which are in the path, into the body."""

    name = "google"
    key_status = 400
    DONE = b""

    def parse(self, body: Mapping[str, object], _headers: Mapping[str, str], size_bytes: int) -> Conversation:
        """Return the request; raise BadRequestError when it breaks the protocol."""
        turns: list[Turn] = []
        system = body.get("systemInstruction", body.get("system_instruction"))
        if system:
            turns.append(Turn("system", _read_text(read_object(system, "systemInstruction"))))
        for item in read_list(body.get("contents"), "contents"):
            turns += _read_content(item)
        if not any(turn.role == "user" for turn in turns):
            raise BadRequestError("contents is not specified")
        check_calls_are_answered(turns, "a function call turn must be followed by its function responses")
        config = read_object(body.get("generationConfig") or {}, "generationConfig")
        limit = config.get("maxOutputTokens")
        return Conversation(
            provider=self.name,
            model=str(body.get("model", "")),
            turns=tuple(turns),
            tools=() if _forbids_tools(body) else _read_tools(body.get("tools")),
            stream=body.get("stream") is True,
            max_tokens=limit if isinstance(limit, int) else None,
            size_bytes=size_bytes,
        )

    def error(self, status: int, detail: str, code: str = "") -> dict[str, object]:
        """Return the body of an error."""
        shown: dict[str, object] = {"code": status, "message": detail, "status": STATUSES.get(status, "INTERNAL")}
        if code == "key":
            shown["details"] = [
                {
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": "API_KEY_INVALID",
                    "domain": "googleapis.com",
                }
            ]
        return {"error": shown}

    def overflow(self, talk: Conversation, limit: int) -> dict[str, object]:
        """Return the body of a context overflow."""
        detail = f"The input token count ({talk.input_tokens}) exceeds the maximum number of tokens allowed ({limit})."
        return self.error(400, detail)

    def body(self, talk: Conversation, answer: Answer) -> dict[str, object]:
        """Return the whole answer."""
        parts = [part for group in _parts(talk, answer) for part in group]
        return self._response(talk, answer, parts, is_last=True)

    def stream(self, talk: Conversation, answer: Answer) -> Iterator[bytes]:
        """Yield the answer as server-sent events; the last one carries the finish reason."""
        groups = [] if answer.is_empty else list(_parts(talk, answer, is_split=True))
        for number, group in enumerate(groups or [[]], start=1):
            yield _event(self._response(talk, answer, group, is_last=number >= len(groups)))

    def error_event(self, detail: str) -> bytes:
        """Return an error in the middle of a stream."""
        return _event(self.error(503, detail))

    def babble(self, talk: Conversation) -> bytes:
        """Return one more piece of an endless stream."""
        return _event(self._response(talk, Answer("", "", (), "stop", None), [{"text": "and on "}], is_last=False))

    def models(self, names: list[str]) -> dict[str, object]:
        """Return the list of models."""
        return {"models": [self.model(name) for name in names]}

    def model(self, name: str) -> dict[str, object]:
        """Return one model."""
        return {
            "name": f"models/{name}",
            "displayName": name,
            "inputTokenLimit": 32768,
            "supportedGenerationMethods": ["generateContent"],
        }

    def _response(
        self, talk: Conversation, answer: Answer, parts: list[dict[str, object]], *, is_last: bool
    ) -> dict[str, object]:
        candidate: dict[str, object] = {"content": {"role": "model", "parts": parts}, "index": 0}
        if is_last:
            broken = any(_read_arguments(call) is None for call in answer.calls)
            candidate["finishReason"] = "MALFORMED_FUNCTION_CALL" if broken else FINISH_REASONS[answer.finish_reason]
        whole: dict[str, object] = {"modelVersion": talk.model, "responseId": talk.digest[:24]}
        if not answer.is_empty:
            whole["candidates"] = [candidate]
        if answer.usage is not None:
            whole["usageMetadata"] = _usage(answer.usage)
        return whole


def _event(data: Mapping[str, object]) -> bytes:
    return f"data: {json.dumps(data, ensure_ascii=False)}\r\n\r\n".encode()


def _read_arguments(call: Call) -> dict[str, object] | None:
    """Return the arguments as an object; None when they are none, which this wire cannot carry."""
    try:
        arguments = json.loads(call.arguments)
    except ValueError:
        return None
    return arguments if isinstance(arguments, dict) else None


def _parts(talk: Conversation, answer: Answer, *, is_split: bool = False) -> Iterator[list[dict[str, object]]]:
    """Yield the parts of an answer, in the groups in which they are streamed; malformed calls are left out."""
    for piece in pieces(answer.thinking) if is_split else [answer.thinking] * bool(answer.thinking):
        yield [{"text": piece, "thought": True}]
    for piece in pieces(answer.text) if is_split else [answer.text] * bool(answer.text):
        yield [{"text": piece}]
    signature = base64.b64encode(f"sig-{talk.digest[:24]}".encode()).decode()
    for index, call in enumerate(answer.calls):
        arguments = _read_arguments(call)
        if arguments is not None:
            part: dict[str, object] = {"functionCall": {"id": call.call_id, "name": call.name, "args": arguments}}
            yield [{**part, "thoughtSignature": signature} if index == 0 else part]


def _usage(usage: Usage) -> dict[str, object]:
    return {
        "promptTokenCount": usage.input,
        "cachedContentTokenCount": usage.cache_read,
        "candidatesTokenCount": usage.output - usage.reasoning,
        "thoughtsTokenCount": usage.reasoning,
        "totalTokenCount": usage.input + usage.output,
    }


def _read_text(content: Mapping[str, object]) -> str:
    parts = [read_object(part, "parts[]") for part in read_list(content.get("parts"), "parts")]
    return "\n".join(str(part["text"]) for part in parts if "text" in part and not part.get("thought"))


def _read_content(value: object) -> list[Turn]:
    content = read_object(value, "contents[]")
    role = content.get("role", "user")
    if role not in {"user", "model"}:
        raise BadRequestError("Please use a valid role: user, model.")
    parts = [read_object(part, "parts[]") for part in read_list(content.get("parts"), "contents[].parts")]
    calls = [read_object(part["functionCall"], "functionCall") for part in parts if "functionCall" in part]
    results = [
        read_object(part["functionResponse"], "functionResponse") for part in parts if "functionResponse" in part
    ]
    if (calls and role == "user") or (results and role == "model"):
        raise BadRequestError("function calls are the model's, function responses the user's")
    turns = [
        Turn("tool", _read_result(result), answers=str(result.get("id") or result.get("name"))) for result in results
    ]
    text = _read_text(content)
    called = tuple(
        (str(call.get("id") or call.get("name")), str(call.get("name")), json.dumps(call.get("args") or {}))
        for call in calls
    )
    if text or called or not turns:
        turns.append(Turn("assistant" if role == "model" else "user", text, called))
    return turns


def _read_result(result: Mapping[str, object]) -> str:
    """Return what a function answered: its text when it is wrapped in one field, as is usual, else the JSON."""
    response = read_object(result.get("response"), "functionResponse.response")
    only = next(iter(response.values())) if len(response) == 1 else None
    return only if isinstance(only, str) else json.dumps(response)


def _forbids_tools(body: Mapping[str, object]) -> bool:
    config = read_object(body.get("toolConfig") or {}, "toolConfig")
    calling = read_object(config.get("functionCallingConfig") or {}, "functionCallingConfig")
    return calling.get("mode") == "NONE"


def _read_tools(value: object) -> tuple[str, ...]:
    names = []
    for item in read_list(value or [], "tools"):
        declared = read_object(item, "tools[]").get("functionDeclarations") or []
        for each in read_list(declared, "functionDeclarations"):
            name = str(read_object(each, "functionDeclarations[]").get("name", ""))
            if not TOOL_NAME.fullmatch(name):
                raise BadRequestError(f"Invalid function name: {name!r}")
            names.append(name)
    return tuple(names)
