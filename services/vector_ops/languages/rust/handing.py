"""What a function hands to the closure that it is given, as its signature says: `F: FnOnce(&mut Inner) -> R`."""

import re

from services.vector_ops.languages.rust.notation import UNKNOWN, render_type

_CLOSURE = re.compile(r"\bFn(?:Once|Mut)?\s*\(")
_PARAMETER = re.compile(r"(?:^|,)\s*(?:const\s+)?([A-Za-z_]\w*)")
_OPEN, _CLOSE = "([{<", ")]}>"


def read_handed(signature: str, owner: str, at: int) -> str:
    """Return the notation of the parameter `at` of the only closure in a signature; unknown when there is none.

    `owner` is the signature of the type whose method it is; it tells which parameters that type has.
    """
    found = list(_CLOSURE.finditer(signature))
    if len(found) != 1:
        return UNKNOWN
    parts = _split(signature[found[0].end() - 1 :])
    if at >= len(parts):
        return UNKNOWN
    own = dict.fromkeys(_list_parameters(signature), UNKNOWN)
    outer = {name: f"{{{number}}}" for number, name in enumerate(_list_parameters(owner))}
    text = render_type(parts[at], {**outer, **own})
    return UNKNOWN if "Self" in text or (len(text) == 1 and text.isupper()) else text


def _list_parameters(signature: str) -> list[str]:
    """Return the names of the type parameters that a signature declares."""
    head = re.search(r"\b(?:fn|struct|enum|union|trait)\s+\w+\s*(?=<)", signature)
    declared = _split(signature[head.end() :]) if head is not None else []
    names = [_PARAMETER.match(one) for one in declared if not one.startswith("'")]
    return [one.group(1) for one in names if one is not None]


def _split(text: str) -> list[str]:
    """Return what stands between the brackets with which a text begins, at its commas; nothing if they stay open."""
    parts, depth, start = [], 0, 1
    for at, one in enumerate(text):
        if one in _OPEN:
            depth += 1
        elif one in _CLOSE and text[at - 1] != "-":
            depth -= 1
        if (one == "," and depth == 1) or depth == 0:
            parts.append(text[start:at].strip())
            start = at + 1
        if depth == 0:
            return [part for part in parts if part]
    return []
