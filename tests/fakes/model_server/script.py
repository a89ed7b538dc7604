"""Scripts: rules that say what the model answers. The format is described in the package's docstring."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.fakes.model_server.conversation import Answer, Call, Conversation, Usage, count_tokens

FAULT_KINDS = frozenset({
    "rate_limited", "server_error", "unauthorized", "forbidden", "bad_request", "context_overflow", "redirect", "drop",
    "cut_stream", "error_in_stream", "cut_body", "malformed_body", "malformed_arguments", "wrong_tool", "huge_text",
    "slow", "empty_choices", "endless", "no_usage",
})  # fmt: skip
REPLY_FAULTS = frozenset({
    "cut_stream", "error_in_stream", "cut_body", "malformed_arguments", "wrong_tool", "huge_text", "slow",
    "empty_choices", "no_usage",
})  # fmt: skip
FINISH_REASONS = frozenset({"stop", "length", "tool_calls", "content_filter"})
HUGE_BYTES = 2_000_000
TEMPLATE = re.compile(r"\{\{([a-z_][a-z0-9_]*)\}\}")
TEMPLATE_NUMBER = re.compile(r"\{\{int:([a-z_][a-z0-9_]*)\}\}")


class ScriptError(ValueError):
    """The script itself is wrong: one line that says where."""


def _fields(value: object, allowed: set[str], where: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ScriptError(f"{where} must be an object")
    if unknown := set(value) - allowed:
        raise ScriptError(f"{where} does not know {', '.join(sorted(unknown))}; it knows {', '.join(sorted(allowed))}")
    return value


def _texts(value: object, where: str) -> tuple[str, ...]:
    texts = (value,) if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise ScriptError(f"{where} must be a string or a list of strings")
    return tuple(texts)


@dataclass(frozen=True)
class When:
    """The conditions of a rule; all that are given must hold."""

    conditions: Mapping[str, object] = field(default_factory=dict)

    KNOWN = frozenset({
        "contains", "not_contains", "system_contains", "user_contains", "last_contains", "last_tool_result_contains",
        "last_tool_result_matches", "matches", "model", "provider", "tools_include", "tools_offered", "turn",
        "has_tool_result", "stream",
    })  # fmt: skip

    @classmethod
    def read(cls, value: object, where: str) -> "When":
        """Return the checked conditions."""
        conditions = dict(_fields(value, set(cls.KNOWN), where))
        for name, wanted in conditions.items():
            if name in {"tools_offered", "has_tool_result", "stream"} and not isinstance(wanted, bool):
                raise ScriptError(f"{where}.{name} must be true or false")
            if name == "turn":
                if not isinstance(wanted, int):
                    _fields(wanted, {"min", "max"}, f"{where}.turn")
            elif not isinstance(wanted, bool):
                conditions[name] = _texts(wanted, f"{where}.{name}")
            if name in {"matches", "last_tool_result_matches"}:
                conditions[name] = tuple(_compile(text, where) for text in _texts(wanted, where))
        return cls(conditions)

    def holds(self, talk: Conversation) -> bool:
        """Return whether the conversation meets every condition."""
        return all(_meets(name, wanted, talk) for name, wanted in self.conditions.items())


def _compile(text: str, where: str) -> re.Pattern[str]:
    try:
        return re.compile(text, re.MULTILINE)
    except re.error as error:
        raise ScriptError(f"{where}: {text!r} is no regular expression: {error}") from None


def _haystack(name: str, talk: Conversation) -> str:
    if name.startswith("last_tool_result"):
        return talk.tool_results[-1] if talk.tool_results else ""
    if name == "last_contains":
        return talk.last_text
    if name in {"system_contains", "user_contains"}:
        return talk.text_of(name.removesuffix("_contains"))
    return talk.whole


def _meets(name: str, wanted: object, talk: Conversation) -> bool:
    facts: dict[str, object] = {
        "tools_offered": bool(talk.tools),
        "has_tool_result": bool(talk.tool_results),
        "stream": talk.stream,
    }
    if name in facts:
        return facts[name] == wanted
    if name == "turn":
        low, high = (wanted, wanted) if isinstance(wanted, int) else (wanted.get("min", 0), wanted.get("max", 10**9))  # type: ignore[attr-defined]
        return bool(low <= talk.turn <= high)
    texts: Sequence[str | re.Pattern[str]] = wanted  # type: ignore[assignment]
    if name in {"model", "provider"}:
        return getattr(talk, name) in texts
    if name == "tools_include":
        return all(text in talk.tools for text in texts)
    hay = _haystack(name, talk)
    if name == "not_contains":
        return not any(str(text) in hay for text in texts)
    return all(text in hay if isinstance(text, str) else text.search(hay) is not None for text in texts)


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong; `times` None: always."""

    kind: str
    times: int | None = None
    status: int = 500
    retry_after_s: float | None = None
    after: int = 2
    delay_s: float = 0.0
    trickle_s: float = 0.0
    to: str = ""
    size_bytes: int = HUGE_BYTES
    tool: str = "no_such_tool"
    message: str = ""
    duration_s: float = 30.0
    clean: bool = False

    @classmethod
    def read(cls, value: object, where: str) -> "Fault":
        """Return the checked fault; a bare string is its kind."""
        given = {"kind": value} if isinstance(value, str) else value
        fields = _fields(given, set(cls.__dataclass_fields__), where)
        if fields.get("kind") not in FAULT_KINDS:
            raise ScriptError(f"{where}.kind must be one of {', '.join(sorted(FAULT_KINDS))}")
        if fields["kind"] == "redirect" and not fields.get("to"):
            raise ScriptError(f"{where} needs `to`, the URL to redirect to")
        return cls(**fields)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Reply:
    """What the model says when nothing goes wrong; texts and arguments may hold templates."""

    text: str = ""
    thinking: str = ""
    tool_calls: tuple[Mapping[str, object], ...] = ()
    usage: Mapping[str, int] = field(default_factory=dict)
    finish_reason: str | None = None

    @classmethod
    def read(cls, value: object, where: str) -> "Reply":
        """Return the checked reply; a bare string is its text."""
        given = {"text": value} if isinstance(value, str) else value
        fields = dict(_fields(given, {"text", "thinking", "tool_calls", "usage", "finish_reason"}, where))
        calls = fields.get("tool_calls", [])
        if not isinstance(calls, list):
            raise ScriptError(f"{where}.tool_calls must be a list")
        for call in calls:
            if "name" not in _fields(call, {"name", "arguments", "id"}, f"{where}.tool_calls"):
                raise ScriptError(f"{where}.tool_calls needs a name")
        fields["tool_calls"] = tuple(calls)
        known = {"input", "output", "cache_read", "cache_write", "reasoning"}
        _fields(fields.get("usage", {}), known, f"{where}.usage")
        if fields.get("finish_reason", "stop") not in FINISH_REASONS:
            raise ScriptError(f"{where}.finish_reason must be one of {', '.join(sorted(FINISH_REASONS))}")
        return cls(**fields)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Capture:
    """A value read from the conversation: the last match of `pattern`, its first group when it has one."""

    pattern: re.Pattern[str]
    source: str = "whole"

    @classmethod
    def read(cls, value: object, where: str) -> "Capture":
        """Return the checked capture: a pattern, or `{"regex":, "in": "last_tool_result"|"system"|"user"|"last"}`."""
        fields = _fields({"regex": value} if isinstance(value, str) else value, {"regex", "in"}, where)
        source = str(fields.get("in", "whole"))
        if source not in {"whole", "last_tool_result", "system", "user", "last"}:
            raise ScriptError(f"{where}.in must be last_tool_result, system, user or last")
        return cls(_compile(str(fields.get("regex", "")), where), source)

    def find(self, talk: Conversation) -> str | None:
        """Return the value, or None."""
        name = self.source if self.source in {"whole", "last_tool_result"} else f"{self.source}_contains"
        found = None
        for found in self.pattern.finditer(_haystack(name, talk)):  # noqa: B007 - the last one counts
            pass
        return None if found is None else found.group(1 if self.pattern.groups else 0)


@dataclass(frozen=True)
class Rule:
    """One rule. `times` None: it may answer any number of times."""

    when: When = field(default_factory=When)
    reply: Reply | None = None
    fault: Fault | None = None
    times: int | None = None
    capture: Mapping[str, Capture] = field(default_factory=dict)

    @classmethod
    def read(cls, value: object, where: str) -> "Rule":
        """Return the checked rule."""
        given = _fields(value, {"when", "reply", "fault", "times", "capture", "note"}, where)
        fault = None if "fault" not in given else Fault.read(given["fault"], f"{where}.fault")
        reply = None if "reply" not in given else Reply.read(given["reply"], f"{where}.reply")
        times = given.get("times")
        if times is not None and (not isinstance(times, int) or times < 1):
            raise ScriptError(f"{where}.times must be a positive number")
        if reply is None and (fault is None or fault.kind in REPLY_FAULTS - {"huge_text"}):
            raise ScriptError(f"{where} needs a reply")
        captures = _fields(given.get("capture", {}), set(given.get("capture", {})), f"{where}.capture")  # type: ignore[call-overload]
        return cls(
            When.read(given.get("when", {}), f"{where}.when"),
            reply,
            fault,
            times,
            {name: Capture.read(spec, f"{where}.capture.{name}") for name, spec in captures.items()},
        )

    def match(self, talk: Conversation) -> dict[str, str] | None:
        """Return the values for the templates when the rule fits, else None."""
        if not self.when.holds(talk):
            return None
        values = {
            "last_tool_result": talk.tool_results[-1] if talk.tool_results else "",
            "last": talk.last_text,
            "model": talk.model,
            "turn": str(talk.turn),
        }
        for name, capture in self.capture.items():
            found = capture.find(talk)
            if found is None:
                return None
            values[name] = found
        return values


@dataclass(frozen=True)
class ModelTraits:
    """How one of the served models differs: it ignores tools, it refuses them (400), or its context is small."""

    no_tools: bool = False
    refuses_tools: bool = False
    context_tokens: int | None = None


@dataclass(frozen=True)
class Script:
    """Rules in order, the models that are served (none named: any), the keys that are accepted (none named: any)."""

    rules: tuple[Rule, ...]
    models: Mapping[str, ModelTraits] = field(default_factory=dict)
    keys: frozenset[str] = frozenset()

    @classmethod
    def read(cls, value: object) -> "Script":
        """Return the checked script; raise ScriptError with the place of the mistake."""
        fields = _fields({"rules": value} if isinstance(value, list) else value, {"rules", "models", "keys"}, "script")
        rules, models = fields.get("rules", []), fields.get("models", {})
        if not isinstance(rules, list):
            raise ScriptError("script.rules must be a list")
        if isinstance(models, list):
            models = {name: {} for name in _texts(models, "script.models")}
        traits = {
            name: ModelTraits(**_fields(each, {"no_tools", "refuses_tools", "context_tokens"}, f"script.models.{name}"))  # type: ignore[arg-type]
            for name, each in _fields(models, set(models), "script.models").items()  # type: ignore[call-overload]
        }
        return cls(
            tuple(Rule.read(rule, f"rule {number}") for number, rule in enumerate(rules, start=1)),
            traits,
            frozenset(_texts(fields.get("keys", ()), "script.keys")),
        )

    @classmethod
    def load(cls, path: Path) -> "Script":
        """Read a script from a JSON file."""
        try:
            return cls.read(json.loads(path.read_text(encoding="utf-8")))
        except json.JSONDecodeError as error:
            raise ScriptError(f"{path} is no JSON: {error}") from None

    def narrow(self, talk: Conversation) -> Conversation:
        """Return the conversation as the model sees it: one without tools sees none."""
        return replace(talk, tools=()) if self.traits(talk.model).no_tools else talk

    def traits(self, model: str) -> ModelTraits:
        """Return how `model` behaves."""
        return self.models.get(model, ModelTraits())


def fill(template: object, values: Mapping[str, str]) -> object:
    """Return `template` with its `{{name}}` replaced, in every string of it; `"{{int:name}}"` becomes a number."""
    if isinstance(template, str):
        whole = TEMPLATE_NUMBER.fullmatch(template)
        if whole:
            return int(values[whole.group(1)])
        return TEMPLATE.sub(lambda found: values.get(found.group(1), found.group(0)), template)
    if isinstance(template, dict):
        return {key: fill(item, values) for key, item in template.items()}
    if isinstance(template, list):
        return [fill(item, values) for item in template]
    return template


def compose(reply: Reply, talk: Conversation, values: Mapping[str, str], fault: Fault | None) -> Answer:
    """Return the answer that a reply gives to a conversation; a function of both alone."""
    kind = "" if fault is None else fault.kind
    text, thinking = str(fill(reply.text, values)), str(fill(reply.thinking, values))
    calls = () if talk.tools == () and kind != "wrong_tool" else _calls(reply, talk, values)
    if fault is not None and kind == "wrong_tool":
        calls = (Call(f"call_{talk.digest[:12]}_{talk.turn}_0", fault.tool, "{}"),)
    if fault is not None and kind == "huge_text":
        text = ("all work and no play " * (fault.size_bytes // 21 + 1))[: fault.size_bytes]
    if kind == "malformed_arguments":
        calls = tuple(replace(call, arguments=call.arguments.rstrip("}") + ', "oops') for call in calls)
    finish = reply.finish_reason or ("tool_calls" if calls else "stop")
    if talk.max_tokens and not calls and kind != "huge_text" and count_tokens(text) > talk.max_tokens:
        text, finish = text.encode()[: talk.max_tokens * 4].decode("utf-8", "ignore"), "length"
    usage = None if kind == "no_usage" else _usage(reply, talk, text + thinking, calls)
    return Answer(text, thinking, calls, finish, usage, is_empty=kind == "empty_choices")


def _calls(reply: Reply, talk: Conversation, values: Mapping[str, str]) -> tuple[Call, ...]:
    made = []
    for index, call in enumerate(reply.tool_calls):
        filled = fill(call.get("arguments", {}), values)
        arguments = filled if isinstance(filled, str) else json.dumps(filled, ensure_ascii=False)
        call_id = str(call.get("id") or f"call_{talk.digest[:12]}_{talk.turn}_{index}")
        made.append(Call(call_id, str(call["name"]), arguments))
    return tuple(made)


def _usage(reply: Reply, talk: Conversation, said: str, calls: Sequence[Call]) -> Usage:
    counted = max(1, count_tokens(said + "".join(call.name + call.arguments for call in calls)))
    return Usage(**{"input": talk.input_tokens, "output": counted, **reply.usage})
