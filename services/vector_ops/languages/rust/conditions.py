"""Whether a `#[cfg(...)]` keeps a definition in a build of the tests on Linux, which is what indexes mostly look at."""

import re

_TOKEN = re.compile(r'"[^"]*"|[A-Za-z_]\w*|[=(),]')
_MAX_TOKENS = 200
_TRUE = frozenset({"test", "unix", "debug_assertions"})
_FALSE = frozenset({"windows", "miri", "loom", "doctest", "fuzzing", "kani"})
_OPERATORS = frozenset({"not", "any", "all"})
_TARGETS = {"target_os": "linux", "target_family": "unix", "target_arch": "x86_64", "target_pointer_width": "64"}


def is_switched_off(attributes: list[str]) -> bool:
    """Return whether one of these attributes surely leaves the definition out of such a build."""
    for one in attributes:
        head, _, condition = one.partition("cfg(")
        if condition and head.strip() in {"#[", "#!["} and _evaluate(condition) is False:
            return True
    return False


def _evaluate(text: str) -> bool | None:
    """Return the truth of a condition; None where it depends on features and the like."""
    stack: list[tuple[str, list[bool | None]]] = [("all", [])]
    tokens = _TOKEN.findall(text)[:_MAX_TOKENS]
    for at, word in enumerate(tokens):
        following = tokens[at + 1] if at + 1 < len(tokens) else ""
        if word in _OPERATORS and following == "(":
            stack.append((word, []))
        elif word == ")":
            if len(stack) == 1:
                break
            operator, values = stack.pop()
            stack[-1][1].append(_combine(operator, values))
        elif following == "=":
            wanted = tokens[at + 2].strip('"') if at + 2 < len(tokens) else ""
            stack[-1][1].append(wanted == _TARGETS[word] if word in _TARGETS else None)
        elif word[0].isalpha() and tokens[at - 1] != "=":
            stack[-1][1].append(True if word in _TRUE else False if word in _FALSE else None)
    return _combine(*stack[0])


def _combine(operator: str, values: list[bool | None]) -> bool | None:
    if operator == "not":
        return None if not values or values[0] is None else not values[0]
    decisive = operator == "any"
    if decisive in values:
        return decisive
    return None if None in values else not decisive
