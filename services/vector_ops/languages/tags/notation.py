"""What is known of a receiver, as text: kept in `Reference.target`, read again by resolution.

A head and steps, divided by `/`. Heads: `this`, `super`, `:T` (an instance of T), `^T` (the type T itself), a bare name
(a field, a type or a global), `~` (nothing: what a bare call reaches), `?` and a name that may hint at the type
(unknown). Steps: `name` or `name()`. After
`#`: how many arguments the call passes.
"""

import re
from functools import lru_cache

UNKNOWN = "?"
BARE = "~"
THIS = "this"
SUPER = "super"
_INNER = re.compile(r"<[^<>]*>|\([^()]*\)|\[[^\[\]]*\]|\{[^{}]*\}")
_NOISE = re.compile(r"[*&?!]|\b(?:const|volatile|struct|class|union|enum|typename|final|static|ref|out|in|mutable)\b")
_DIVIDERS = re.compile(r"\s*(?:::|\\|->|\.)\s*")
_PATH = re.compile(r"[^\W\d][\w$]*(?:\.[^\W\d][\w$]*)*")
_MAX_TYPE = 400
_PRIMITIVE_NAMES = """
void int long short char bool boolean byte float double string object unsigned signed size_t auto var mixed array
callable iterable self static null never false true decimal dynamic uint ulong
"""
_PRIMITIVES = frozenset(_PRIMITIVE_NAMES.split())


@lru_cache(maxsize=1 << 16)
def clean_type(text: str) -> str:
    """Return the dotted path of a written type without arguments and marks; nothing when it is none of a repository."""
    if len(text) > _MAX_TYPE:
        return ""
    while True:
        bare = _INNER.sub("", text)
        if bare == text:
            break
        text = bare
    text = _DIVIDERS.sub(".", _NOISE.sub(" ", text).strip()).strip(" .")
    text = text.partition("|")[0].strip()
    return text if _PATH.fullmatch(text) and text not in _PRIMITIVES else ""


def split_target(target: str) -> tuple[str, int]:
    """Return the receiver of a target and the number of arguments (-1: unknown)."""
    receiver, mark, count = target.rpartition("#")
    return (receiver, int(count)) if mark else (target, -1)


def join_type(arity: tuple[int, int] | None, type_name: str) -> str:
    """Return the notation of what a symbol returns or holds: `2,3:Type`, or `Type` without parameters known."""
    return f"{arity[0]},{arity[1]}:{type_name}" if arity else type_name


def split_type(notation: str) -> tuple[tuple[int, int] | None, str]:
    """Return what `join_type` joined."""
    head, mark, name = notation.partition(":")
    if not mark:
        return None, notation
    least, _, most = head.partition(",")
    return (int(least), int(most)), name
