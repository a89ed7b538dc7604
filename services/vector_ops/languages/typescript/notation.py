"""Reading the notation of types (see `annotations`) and of chains (see `expressions`)."""

import re
from typing import NamedTuple

_SIGN = re.compile(r"=>|\.\.\.|`[^`]*`|\{\}|[()\[\]{}<>,:|@=]|[^()\[\]{}<>,:|@=``]+")
_STEP = re.compile(r"\.[^.()!\[\]~>^]+|\(\)|!|\[(?:\d*|=[^\]]+)\]|~|>\d+|\^")
_HEAD = re.compile(r"«[^»]*»|'[^']*'|[^.()!\[\]~>^]+")
_DEPTH_CAP = 24


class Node(NamedTuple):
    """A type: `sort` is one of name, union, function, tuple, object, chain, member.

    `name` is that of a name or a member, or the chain; `parts` are arguments, alternatives, items or parameters (a
    function's result is its last part); `keys` are those of an object; `is_rest`: the last parameter takes the rest.
    """

    sort: str
    name: str = ""
    parts: tuple["Node", ...] = ()
    keys: tuple[str, ...] = ()
    is_rest: bool = False


class Generic(NamedTuple):
    """A type parameter: its name, constraint and default."""

    name: str
    constraint: Node | None
    default: Node | None


UNKNOWN = Node("name", "?")


class _Reader:
    def __init__(self, text: str) -> None:
        self.signs = _SIGN.findall(text)
        self.signs.append("")
        self.at = 0
        self.depth = 0

    def accept(self, sign: str) -> bool:
        if self.signs[self.at] == sign:
            self.at += 1
            return True
        return False

    def read_type(self) -> Node:
        self.depth += 1
        if self.depth > _DEPTH_CAP:
            self.at = len(self.signs) - 1
            return UNKNOWN
        parts = [self.read_one()]
        while self.accept("|"):
            parts.append(self.read_one())
        self.depth -= 1
        return parts[0] if len(parts) == 1 else Node("union", "", tuple(parts))

    def read_one(self) -> Node:
        sign = self.signs[self.at]
        if sign:
            self.at += 1
        if sign == "(":
            node = self.read_function()
        elif sign == "[":
            node = Node("tuple", "", self.read_list("]"))
        elif sign == "{":
            node = self.read_object()
        elif sign[:1] == "`":
            node = Node("chain", sign[1:-1])
        elif self.accept("<"):
            node = Node("name", sign, self.read_list(">"))
        else:
            node = Node("name", sign or "?")
        while self.accept("@"):
            node = Node("member", self.signs[self.at], (node,))
            self.at += self.signs[self.at] != ""
        return node

    def read_list(self, end: str) -> tuple[Node, ...]:
        found = []
        while not self.accept(end) and self.signs[self.at]:
            self.accept("...")
            found.append(self.read_type())
            self.accept(",")
        return tuple(found)

    def read_function(self) -> Node:
        found, is_rest = [], False
        while not self.accept("=>") and self.signs[self.at]:
            is_rest = self.accept("...") or is_rest
            found.append(self.read_type())
            self.accept(",")
        found.append(self.read_type())
        self.accept(")")
        return Node("function", "", tuple(found), (), is_rest)

    def read_object(self) -> Node:
        keys, parts = [], []
        while not self.accept("}") and self.signs[self.at]:
            keys.append(self.signs[self.at])
            self.at += 1
            self.accept(":")
            parts.append(self.read_type())
            self.accept(",")
        return Node("object", "", tuple(parts), tuple(keys))

    def read_generics(self) -> tuple[Generic, ...]:
        found = []
        while not self.accept(">") and self.signs[self.at]:
            name = self.signs[self.at]
            self.at += 1
            constraint = self.read_type() if self.accept(":") else None
            default = self.read_type() if self.accept("=") else None
            found.append(Generic(name, constraint, default))
            self.accept(",")
        return tuple(found)


def read_type(text: str) -> Node:
    """Return the type that a notation stands for."""
    return _Reader(text).read_type()


def read_declared(text: str) -> tuple[tuple[Generic, ...], Node | None]:
    """Return the type parameters and the type of a symbol; no type when it has none."""
    reader = _Reader(text)
    generics = reader.read_generics() if reader.accept("<") else ()
    return generics, reader.read_type() if reader.signs[reader.at] else None


def split_chain(chain: str) -> tuple[str, list[str]]:
    """Return the head and the steps of a chain."""
    found = _HEAD.match(chain)
    if found is None:
        return "?", []
    return found[0], _STEP.findall(chain, found.end())
