"""When a loop has stopped getting anywhere (SPEC.md section 2, "Bail out")."""

import json
from collections import Counter
from collections.abc import Sequence

from jsonschema import Draft202012Validator

from services.broker.models import ToolCall, ToolSpec

MALFORMED_IN_ROW = 3
SAME_ERROR = 3
FAILED_IN_ROW = 8
SAME_ACTION = 4
NUDGES = 2


def read_object(text: str) -> dict[str, object] | None:
    """Return the JSON object that a model wrote, None when it is none."""
    try:
        found = json.loads(text or "{}", strict=False)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


class Patience:
    """Counts what goes wrong; each method returns why to stop, or nothing."""

    def __init__(self, tools: Sequence[ToolSpec]) -> None:
        self._validators = {tool.name: Draft202012Validator(dict(tool.parameters)) for tool in tools}
        self._malformed = 0
        self._failed = 0
        self._silent = 0
        self._errors: Counter[str] = Counter()
        self._last = ("", "")
        self._repeats = 0

    def judge_call(self, call: ToolCall, text: str, *, is_error: bool) -> str:
        """Note a tool call and what came of it."""
        self._silent = 0
        self._malformed = self._malformed + 1 if self._is_malformed(call) else 0
        self._failed = self._failed + 1 if is_error else 0
        action = (call.name, call.arguments)
        self._repeats = self._repeats + 1 if action == self._last else 1
        self._last = action
        if is_error:
            self._errors[text] += 1
        if self._malformed >= MALFORMED_IN_ROW:
            return f"the model made {MALFORMED_IN_ROW} malformed tool calls in a row"
        if self._repeats >= SAME_ACTION:
            return f"the model repeated the same {call.name} call {SAME_ACTION} times"
        if is_error and self._errors[text] >= SAME_ERROR:
            return f"the same error came {SAME_ERROR} times: {_first_line(text)}"
        if self._failed >= FAILED_IN_ROW:
            return f"{FAILED_IN_ROW} tool calls failed in a row, the last: {_first_line(text)}"
        return ""

    def _is_malformed(self, call: ToolCall) -> bool:
        """Return whether nobody could carry the call out: no such tool, or not the arguments it takes."""
        validator, arguments = self._validators.get(call.name), read_object(call.arguments)
        return validator is None or arguments is None or not validator.is_valid(arguments)

    def judge_silence(self) -> str:
        """Note a reply that calls no tool."""
        self._silent += 1
        return "the model stopped calling tools without finishing" if self._silent > NUDGES else ""


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0][:200]
