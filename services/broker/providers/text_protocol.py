"""Tools for models that have no tool calls of their own: described in the system message, called in fenced blocks.

A call is a block that begins with a line of three backticks and the word tool, holds one JSON object
{"name": ..., "arguments": {...}}, and ends with a line of three backticks; a result comes back as a user message. Text
without such a block is a plain answer. A block that breaks the form is an error, never half a call.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NoReturn

from pydantic import JsonValue

from services.broker.core.ports import WireError, WireReply, WireRequest
from services.broker.models import AttemptOutcome, Message, Role, ToolCall, ToolSpec

TOOL = "tool"
FENCE = re.compile(r" {0,3}(`{3,})([^`\r]*)\r?")
INSTRUCTIONS = """You can call tools. To call one, write a block exactly like this, on lines of its own:
```tool
{"name": "NAME", "arguments": {...}}
```
One JSON object per block; `arguments` fits the tool's parameters (JSON Schema). Several blocks are several calls. After
your last block stop and wait: each result comes as the next message. Without a block, your text is the final answer.
Tools, one per line:
"""
MUST_CALL = "\nAnswer with at least one tool block now."
RESULT = "Result of the tool {name} ({call_id}):\n{content}"


@dataclass(frozen=True)
class _Block:
    line: int
    body: str


class _BrokenBlockError(ValueError):
    """A tool block breaks the form; the text says how."""


def write_request(request: WireRequest) -> WireRequest:
    """Return the request without tools, calls and results of its own: all of them are in the messages' text."""
    messages = [_write_message(message, names) for message, names in _trace_names(request.messages)]
    if request.tools and request.tool_choice != "none":
        messages = _describe_tools(messages, request)
    return replace(request, messages=tuple(messages), tools=(), tool_choice="auto")


def read_reply(reply: WireReply, request: WireRequest) -> WireReply:
    """Return the reply with the calls that its text makes; raise WireError(MALFORMED), which was paid for.

    `request` is the one before `write_request`. Call ids count on from the calls of the conversation.
    """
    if not request.tools or request.tool_choice == "none":
        return reply
    try:
        prose, blocks = _split(reply.text)
        earlier = sum(len(message.tool_calls) for message in request.messages)
        calls = tuple(_read_call(block, earlier + index) for index, block in enumerate(blocks, start=1))
    except _BrokenBlockError as error:
        _fail(f"the model's tool call cannot be read: {error}", reply)
    if not calls and request.tool_choice == "required":
        _fail("the model called no tool, though it had to", reply)
    if not calls:
        return reply
    return replace(reply, text=prose.strip(), tool_calls=calls, finish_reason="tool_calls", opaque="")


def _fail(detail: str, reply: WireReply) -> NoReturn:
    if reply.finish_reason == "length":
        detail += " (the answer was cut at max_tokens)"
    raise WireError(AttemptOutcome.MALFORMED, detail, is_billable=True, usage=reply.usage)


def _trace_names(messages: Sequence[Message]) -> Iterator[tuple[Message, Mapping[str, str]]]:
    names: dict[str, str] = {}
    for message in messages:
        names.update((call.call_id, call.name) for call in message.tool_calls)
        yield message, names


def _write_message(message: Message, names: Mapping[str, str]) -> Message:
    if message.role is Role.TOOL:
        name = names.get(message.tool_call_id, "of an earlier turn")
        text = RESULT.format(name=name, call_id=message.tool_call_id, content=message.content)
        return Message(role=Role.USER, content=text)
    if message.tool_calls:
        texts = [message.content] if message.content else []
        texts += [write_call(call) for call in message.tool_calls]
        return Message(role=message.role, content="\n".join(texts))
    return message.model_copy(update={"opaque": ""}) if message.opaque else message


def write_call(call: ToolCall) -> str:
    """Return the block that makes a call; arguments that are no JSON object go as the string that they are."""
    try:
        arguments = json.loads(call.arguments)
    except (ValueError, RecursionError):
        arguments = call.arguments
    content = json.dumps({"name": call.name, "arguments": arguments}, ensure_ascii=False)
    return f"```{TOOL}\n{content}\n```"


def _describe_tools(messages: list[Message], request: WireRequest) -> list[Message]:
    text = INSTRUCTIONS + "\n".join(_describe_tool(tool) for tool in request.tools)
    if request.tool_choice == "required":
        text += MUST_CALL
    if messages[0].role is Role.SYSTEM:
        first = Message(role=Role.SYSTEM, content=f"{messages[0].content}\n\n{text}")
        return [first, *messages[1:]]
    return [Message(role=Role.SYSTEM, content=text), *messages]


def _describe_tool(tool: ToolSpec) -> str:
    shown = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
    return json.dumps(shown, ensure_ascii=False)


@dataclass
class _Splitter:
    """Reads lines one by one; `fence` is what opened the block that the next line is in, empty outside."""

    prose: list[str] = field(default_factory=list)
    blocks: list[_Block] = field(default_factory=list)
    fence: str = ""
    start: int = 0
    body: list[str] | None = None

    def read_line(self, number: int, line: str) -> None:
        match = FENCE.fullmatch(line)
        ticks, info = ("", "") if match is None else (match.group(1), match.group(2).strip())
        if not self.fence and ticks:
            self.fence, self.start = ticks, number
            if _opens_tool(info, number):
                self.body = []
                return
        elif ticks and not info and len(ticks) >= len(self.fence):
            self.fence = ""
            if self.body is not None:
                self.blocks.append(_Block(self.start, "\n".join(self.body)))
                self.body = None
                return
        (self.prose if self.body is None else self.body).append(line)


def _split(text: str) -> tuple[str, list[_Block]]:
    """Return the text outside the tool blocks, and the blocks; other fenced blocks are text, whatever they hold."""
    splitter = _Splitter()
    for number, line in enumerate(text.split("\n"), start=1):
        splitter.read_line(number, line)
    if splitter.body is not None:
        raise _BrokenBlockError(f"the block that begins in line {splitter.start} is not closed")
    return "\n".join(splitter.prose), splitter.blocks


def _opens_tool(info: str, number: int) -> bool:
    if info.split(maxsplit=1)[:1] == [TOOL] and info != TOOL:
        raise _BrokenBlockError(f"line {number} has more than ```tool in it")
    return info == TOOL


def _read_call(block: _Block, number: int) -> ToolCall:
    where = f"the block that begins in line {block.line}"
    try:
        value: JsonValue = json.loads(block.body, parse_constant=_refuse_constant, object_pairs_hook=_refuse_twins)
    except RecursionError:
        raise _BrokenBlockError(f"{where} is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise _BrokenBlockError(f"{where} is no JSON ({error.msg}, line {error.lineno} of it)") from None
    except ValueError as error:
        raise _BrokenBlockError(f"{where} {error}") from None
    if not isinstance(value, dict) or set(value) != {"name", "arguments"}:
        raise _BrokenBlockError(f"{where} is not an object of `name` and `arguments` alone")
    name, arguments = value["name"], value["arguments"]
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise _BrokenBlockError(f"{where} needs a string as `name` and an object as `arguments`")
    try:
        return ToolCall(call_id=f"call_{number}", name=name, arguments=json.dumps(arguments, ensure_ascii=False))
    except ValueError:
        raise _BrokenBlockError(f"{where} has an empty or overlong name, or overlong arguments") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"holds {name}, which is no JSON")


def _refuse_twins(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("names one key twice")
    return value
