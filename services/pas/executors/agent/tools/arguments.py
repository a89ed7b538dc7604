"""What a model may write as a tool's arguments: small JSON Schemas, one place that checks them, typed access."""

import functools
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from services.broker.models import ToolSpec

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator

_SHOWN_CHARS = 80


class ArgumentsRefusedError(Exception):
    """The arguments are no JSON object, or not what the schema says; the message says what is right."""


def make_schema(properties: Mapping[str, JsonValue], *required: str) -> dict[str, JsonValue]:
    """Return the schema of an object with these properties and no others."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }


def parse_arguments(text: str) -> Mapping[str, JsonValue]:
    """Return the object that a model wrote; raise ArgumentsRefusedError with the place where the JSON breaks."""
    try:
        value = json.loads(text.strip() or "{}", object_pairs_hook=_refuse_doubles, strict=False)
    except json.JSONDecodeError as error:
        near = text[max(0, error.pos - 20) : error.pos + 20]
        raise ArgumentsRefusedError(
            f"the arguments are no JSON: {error.msg} at character {error.pos}, near {near!r}"
        ) from error
    except RecursionError as error:
        raise ArgumentsRefusedError("the arguments are nested too deeply") from error
    if not isinstance(value, dict):
        raise ArgumentsRefusedError(f"the arguments must be one JSON object, not {text[:_SHOWN_CHARS]!r}")
    return value


def _refuse_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise ArgumentsRefusedError(f"the arguments name {double!r} twice; say it once")
    return value


class ArgumentCheck:
    """Checks arguments against one tool's schema."""

    def __init__(self, spec: ToolSpec) -> None:
        self._spec = spec

    @functools.cached_property
    def _validator(self) -> "Draft202012Validator":
        from jsonschema import Draft202012Validator  # noqa: PLC0415 - a server without agent cards never loads it

        return Draft202012Validator(dict(self._spec.parameters))

    def check(self, arguments: Mapping[str, JsonValue]) -> None:
        """Raise ArgumentsRefusedError for the first fault, with the arguments that the tool takes."""
        fault = next(iter(self._validator.iter_errors(arguments)), None)
        if fault is None:
            return
        where = ".".join(str(part) for part in fault.absolute_path) or "arguments"
        raise ArgumentsRefusedError(f"{where}: {_shorten(fault.message)}; {describe(self._spec)}")


def describe(spec: ToolSpec) -> str:
    """Return a tool's arguments in one line: `fs_read takes path, start_line?, end_line?`."""
    return f"{spec.name} takes {_list_properties(spec.parameters) or 'no arguments'}"


def _list_properties(schema: Mapping[str, JsonValue]) -> str:
    properties, required = schema.get("properties"), schema.get("required")
    needed = required if isinstance(required, list) else []
    names = []
    for name, inner in properties.items() if isinstance(properties, dict) else ():
        items = inner.get("items") if isinstance(inner, dict) else None
        fields = _list_properties(items) if isinstance(items, dict) else ""
        names.append(f"{name}{'' if name in needed else '?'}{f' [{{{fields}}}]' if fields else ''}")
    return ", ".join(names)


def _shorten(message: str, limit: int = 200) -> str:
    return message if len(message) <= limit else f"{message[:limit]}..."


def read_text(arguments: Mapping[str, JsonValue], name: str, default: str = "") -> str:
    """Return a text argument; the schema has made sure of its type."""
    value = arguments.get(name)
    return value if isinstance(value, str) else default


def read_int(arguments: Mapping[str, JsonValue], name: str, default: int) -> int:
    """Return a whole number."""
    value = arguments.get(name)
    return int(value) if isinstance(value, int | float) else default


def read_texts(arguments: Mapping[str, JsonValue], name: str) -> tuple[str, ...]:
    """Return a list of texts."""
    value = arguments.get(name)
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()
