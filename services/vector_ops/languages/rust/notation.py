"""The private notation in which extraction tells resolution what it knows: types, and descriptions of values.

A type is Rust's own text without references, lifetimes and spaces: `Vec<Foo>`, `~Trait+Other` (dyn, impl, or a type
parameter with these bounds), `{0+Trait}` (parameter 0 of the type it is written in), `_`.

A value is a base and steps, parted by spaces. Bases: `:TYPE`, `@PATH` (an item), `%PATH` (payload of a constructor),
`$` (what the closure that it is nested in is given), `_` (unknown). Steps: `.field`, `.method()`, `.method()<TYPE>`,
`.method()=VALUE` (a closure gives that back; `;` for spaces), `()` (called), `?` (what Some or Ok holds), `!` (what
Err holds), `[]` (indexed), `*` (one of what it yields), `|method` (what a closure handed to that method is given;
`|method#1`: its other parameters; `|`: one handed to this function), `#1` (part of a tuple), `^Arc` (wrapped in that),
`%PATH` (payload of a constructor that it matches), `&TYPE` (annotated so, with blanks), `await`.

The target of a reference: empty (a bare name), `PATH::` (what stands before the name; `PATH::=VALUE` says what a
conversion is given), `VALUE .` (a receiver), `!` or `PATH::!` (a macro).
"""

import re
from collections.abc import Mapping

from services.vector_ops.languages.facts import Symbol

MAX_TYPE_CHARACTERS = 160
MAX_VALUE_CHARACTERS = 240
UNKNOWN = "_"
_TUPLE = "\x02"
OFF = "#off"
"""Among the bases of a symbol: a `cfg` leaves it out where its twin is kept."""

FOR = "#for "
"""Begins a base of a method whose impl block names its type by a path, which follows."""

_NOISE = re.compile(
    r"//[^\n]*|/\*.*?\*/|for\s*<[^>]*>|'\w+\s*(?:\+|,)?|\?\s*Sized\s*\+?|&|\bmut\b|\bconst\b", re.DOTALL
)
_OPAQUE = re.compile(r"\b(?:dyn|impl)\s+")
_SPACE = re.compile(r"\s+")
_ARRAY = re.compile(r";[^\]\[]*\]")
_AS = re.compile(r"\s+as\s+[\w:]+(?:<[^<>]*>)?>")
_NAME = re.compile(r"(?<![:\w])[A-Za-z_]\w*")


def render_type(text: str, names: Mapping[str, str]) -> str:
    """Return the notation of a type; `names` replaces `Self` and type parameters."""
    if len(text) > MAX_TYPE_CHARACTERS * 2:
        return UNKNOWN
    text = _NOISE.sub("", text) if "'" in text or "&" in text or " " in text or "\n" in text else text
    if " as " in text:
        text = _AS.sub(">", text)
    if "dyn" in text or "impl" in text:
        text = _OPAQUE.sub("~", text)
    text = _SPACE.sub("", text).removeprefix("::")
    if ";" in text:
        text = _ARRAY.sub("]", text)
    if names:
        text = _NAME.sub(lambda found: _replace(found, names), text)
    return text.replace("<>", "") if len(text) <= MAX_TYPE_CHARACTERS else UNKNOWN


def _replace(found: re.Match[str], names: Mapping[str, str]) -> str:
    name = found.group()
    known = names.get(name)
    if known is None:
        return name
    return f"<{known}>" if found.string.startswith("::", found.end()) else known


def is_off(symbol: Symbol) -> bool:
    """Return whether a `cfg` leaves a definition out."""
    return OFF in symbol.bases


def is_of_trait(symbol: Symbol) -> bool:
    """Return whether a method stands in the impl block of a trait."""
    return any(one[0] != "#" for one in symbol.bases)


def read_trait(symbol: Symbol) -> str:
    """Return the notation of the trait in whose impl block a method stands; nothing when there is none."""
    return next((one for one in symbol.bases if one[0] != "#"), "")


def read_home(symbol: Symbol) -> str:
    """Return the path by which the impl block of a method names its type; nothing for a bare name."""
    return next((one.removeprefix(FOR) for one in symbol.bases if one.startswith(FOR)), "")


def add_step(value: str, step: str) -> str:
    """Return the value one step on; unknown stays unknown, and a tuple that is written out gives its part."""
    if value == UNKNOWN or len(value) > MAX_VALUE_CHARACTERS:
        return UNKNOWN
    if value[0] == _TUPLE:
        parts = value.split(_TUPLE)[1:]
        at = int(step[1:]) if step[0] == "#" else len(parts)
        return parts[at] if at < len(parts) else UNKNOWN
    return f"{value} {step}"


def end_receiver(value: str) -> str:
    """Return the target of a call of a method on this value."""
    return ":() ." if value[:1] == _TUPLE else f"{value} ."


def join_tuple(values: list[str]) -> str:
    """Return the value of a tuple that is written out; only parts of it are ever asked for."""
    return UNKNOWN if any(one[:1] == _TUPLE for one in values) else "".join(f"{_TUPLE}{one}" for one in values)


def split_tuple(value: str) -> list[str]:
    """Return the parts of a tuple that is written out, or the value alone."""
    return value.split(_TUPLE)[1:] if value[:1] == _TUPLE else [value]


def nest(value: str) -> str:
    """Return a value as it stands inside a step: what a closure gives back. Nothing when it cannot."""
    return "" if ";" in value or _TUPLE in value or value in {"", UNKNOWN} else value.replace(" ", ";")


def unnest(value: str) -> str:
    """Return the value that `nest` was given."""
    return value.replace(";", " ")
