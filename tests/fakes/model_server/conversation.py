"""A request to a model, whichever wire it came over; and what a model answers."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

BYTES_PER_TOKEN = 4


class BadRequestError(Exception):
    """The request breaks a rule of its protocol; the server answers 400 (or `status`) in that protocol's shape."""

    def __init__(self, detail: str, status: int = 400, code: str = "invalid_request_error") -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status
        self.code = code


@dataclass(frozen=True)
class Turn:
    """One message. Roles are system, user, assistant, tool; a tool turn is the result of one call."""

    role: str
    text: str = ""
    calls: tuple[tuple[str, str, str], ...] = ()
    """Calls of an assistant's turn: id, name, arguments as JSON text."""
    answers: str = ""
    """The id of the call that a tool turn answers."""


@dataclass(frozen=True)
class Conversation:
    """What a client asked. `tools` are the names on offer, empty when the client forbids calls (tool_choice none)."""

    provider: str
    model: str
    turns: tuple[Turn, ...]
    tools: tuple[str, ...] = ()
    stream: bool = False
    include_usage: bool = True
    max_tokens: int | None = None
    size_bytes: int = 0

    @property
    def turn(self) -> int:
        """How many times the model has spoken already."""
        return sum(1 for turn in self.turns if turn.role == "assistant")

    @property
    def tool_results(self) -> tuple[str, ...]:
        """The texts of all tool results, oldest first."""
        return tuple(turn.text for turn in self.turns if turn.role == "tool")

    @property
    def last_text(self) -> str:
        """The text of the newest message."""
        return self.turns[-1].text if self.turns else ""

    def text_of(self, role: str) -> str:
        """Return all that one role said."""
        return "\n".join(turn.text for turn in self.turns if turn.role == role)

    @property
    def whole(self) -> str:
        """Everything that was said, arguments of tool calls included."""
        parts: list[str] = []
        for turn in self.turns:
            parts += [turn.text, *(f"{name} {arguments}" for _, name, arguments in turn.calls)]
        return "\n".join(parts)

    @property
    def digest(self) -> str:
        """Name this conversation: the same one has the same name, whatever the wire or the time."""
        content = [[turn.role, turn.text, [list(call[1:]) for call in turn.calls]] for turn in self.turns]
        return hashlib.sha256(json.dumps([self.model, content]).encode()).hexdigest()

    @property
    def input_tokens(self) -> int:
        """What the server counts for the request when the script tells no usage; never more than its bytes."""
        return max(1, self.size_bytes // BYTES_PER_TOKEN)


@dataclass(frozen=True)
class Call:
    """A tool call of an answer; `arguments` is JSON text, or what the script wants to pass for it."""

    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Usage:
    """Tokens: `input` includes both cached parts, `output` includes the reasoning."""

    input: int
    output: int
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0


@dataclass(frozen=True)
class Answer:
    """What the model says. `usage` None: it tells none; `is_empty`: it sends no choice at all."""

    text: str
    thinking: str
    calls: tuple[Call, ...]
    finish_reason: str
    usage: Usage | None
    is_empty: bool = False


def count_tokens(text: str) -> int:
    """Return what the server counts for `text`."""
    return math.ceil(len(text.encode()) / BYTES_PER_TOKEN)


def read_object(value: object, what: str) -> Mapping[str, object]:
    """Narrow a part of a request to an object."""
    if not isinstance(value, dict):
        raise BadRequestError(f"{what} must be an object")
    return value


def read_list(value: object, what: str) -> Sequence[object]:
    """Narrow a part of a request to a list."""
    if not isinstance(value, list):
        raise BadRequestError(f"{what} must be an array")
    return value


def read_text(value: object, what: str) -> str:
    """Narrow a part of a request to text: a string, null, or a list of parts with a `text`."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    parts = [read_object(part, what) for part in read_list(value, what)]
    return "\n".join(str(part["text"]) for part in parts if part.get("type") == "text")


def check_calls_are_answered(turns: Sequence[Turn], detail: str) -> None:
    """Refuse a conversation in which a tool call has no result right after it, or a result has no call."""
    open_ids: set[str] = set()
    for turn in turns:
        if turn.role == "tool":
            if turn.answers not in open_ids:
                raise BadRequestError(f"a tool result answers no open call: {turn.answers!r}")
            open_ids.discard(turn.answers)
            continue
        if open_ids:
            raise BadRequestError(f"{detail}: {', '.join(sorted(open_ids))}")
        open_ids = {call_id for call_id, _, _ in turn.calls}
    if open_ids:
        raise BadRequestError(f"{detail}: {', '.join(sorted(open_ids))}")
