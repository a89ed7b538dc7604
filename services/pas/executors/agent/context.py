"""The conversation of a card within its model's context: what was said, and what of it is still shown in full.

Everything here is a function of what was added, in order: a restarted attempt that adds the same messages asks with the
same request, byte for byte.
"""

import hashlib
from dataclasses import dataclass

from services.broker.models import Message, Role, ToolCall, ToolSpec, estimate_tokens
from services.kernel.ids import Sha256

KEPT_RAW = 6
"""So many newest tool results stay while leaving out older ones makes room enough."""
KEPT_RAW_HARD = 2
"""So many stay always: each is at most a third of the input."""
TARGET_SHARE = 0.7
"""Leaving out goes down to this share of the input at once: a boundary that moves each turn defeats prompt caching."""
HARD_RESULT_CHARS = 2000
MAX_SPEECH_CHARS = 20_000
MAX_ARGUMENT_CHARS = 40_000
MAX_OPAQUE_CHARS = 200_000
"""A longer turn is not handed back in its provider's form: what it says is shortened."""


@dataclass
class _Entry:
    message: Message
    tokens: int
    stub: Message | None = None
    is_left_out: bool = False

    def shown(self) -> Message:
        return self.stub if self.is_left_out and self.stub is not None else self.message


def clip(text: str, max_chars: int) -> str:
    """Return `text`, its middle named as left out when it is longer than `max_chars`."""
    if len(text) <= max_chars:
        return text
    head, tail = max_chars * 2 // 3, max_chars // 3
    return f"{text[:head]}\n[... {len(text) - head - tail} characters left out ...]\n{text[-tail:]}"


class Transcript:
    """Messages in order, packed into `input_tokens` by leaving out the oldest tool results."""

    def __init__(self, system: str, tools: tuple[ToolSpec, ...], input_tokens: int) -> None:
        self._entries: list[_Entry] = []
        self._digest = hashlib.sha256()
        self._fixed_tokens = sum(estimate_tokens(tool.model_dump_json()) for tool in tools)
        self._input_tokens = input_tokens
        for tool in tools:
            self._digest.update(tool.model_dump_json().encode("utf-8", "surrogatepass"))
        self.add(Message(role=Role.SYSTEM, content=system))

    @property
    def sha256(self) -> Sha256:
        """Return a digest of everything that was said so far and of the tools on offer."""
        return Sha256(self._digest.copy().hexdigest())

    @property
    def max_result_chars(self) -> int:
        """Return how much of one tool's result fits: a third of the input, so that three do."""
        return max(self._input_tokens, 1000)

    def set_input(self, input_tokens: int) -> None:
        """Go on with a model of another context."""
        self._input_tokens = input_tokens
        self._leave_out()

    def add(self, message: Message) -> None:
        """Append what was said."""
        self._digest.update(message.model_dump_json().encode("utf-8", "surrogatepass"))
        self._digest.update(b"\0")
        self._entries.append(_Entry(message, _count(message)))
        self._leave_out()

    def add_result(self, call: ToolCall, text: str) -> None:
        """Append what a tool returned."""
        content = clip(text, self.max_result_chars)
        message = Message(role=Role.TOOL, content=content, tool_call_id=call.call_id)
        self.add(message)
        lines = content.count("\n") + 1
        stub = (
            f"[the result of this {call.name} call ({lines} lines) was left out to save space; call it again if needed]"
        )
        if len(stub) < len(content):
            self._entries[-1].stub = message.model_copy(update={"content": stub})
        self._leave_out()

    def pack(self, hardness: int) -> tuple[Message, ...]:
        """Return the messages to send. `hardness` above 0: the model refused them as too long, so show far less."""
        if hardness == 0:
            return tuple(entry.shown() for entry in self._entries)
        results = [entry for entry in self._entries if entry.message.role is Role.TOOL]
        kept = {id(entry) for entry in results[-KEPT_RAW_HARD:]}
        return tuple(_shrink(entry, is_kept=id(entry) in kept) for entry in self._entries)

    def _leave_out(self) -> None:
        """Leave out the oldest results until there is room; of the newest only where nothing else is left."""
        if self._total() <= self._input_tokens:
            return
        results = [entry for entry in self._entries if entry.message.role is Role.TOOL]
        for kept, limit in ((KEPT_RAW, self._input_tokens * TARGET_SHARE), (KEPT_RAW_HARD, self._input_tokens)):
            total = self._total()
            for entry in results[:-kept]:
                if total <= limit:
                    return
                if entry.stub is not None and not entry.is_left_out:
                    entry.is_left_out = True
                    total -= entry.tokens - _count(entry.stub)

    def _total(self) -> int:
        return self._fixed_tokens + sum(
            _count(entry.shown()) if entry.is_left_out else entry.tokens for entry in self._entries
        )


def _count(message: Message) -> int:
    arguments = "".join(call.arguments for call in message.tool_calls)
    return estimate_tokens(message.content) + estimate_tokens(arguments) + estimate_tokens(message.opaque)


def _shrink(entry: _Entry, *, is_kept: bool) -> Message:
    if entry.message.role is not Role.TOOL:
        return entry.message
    if not is_kept and entry.stub is not None:
        return entry.stub
    return entry.message.model_copy(update={"content": clip(entry.message.content, HARD_RESULT_CHARS)})
