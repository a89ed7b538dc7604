"""Types as resolution sees them, and the reading of their notation."""

import re
from typing import NamedTuple

from services.vector_ops.languages.world import SymbolAt

_TOKEN = re.compile(r"[A-Za-z_]\w*|\d+|::|->|[<>()\[\]{}+,=~]")
_MAX_TOKENS = 120


class Type(NamedTuple):
    """A type: `kind` is one of the constants below; `args` are its arguments, `traits` what a bound one implements."""

    kind: str
    at: SymbolAt | None = None
    name: str = ""
    args: tuple["Type", ...] = ()
    traits: tuple[SymbolAt, ...] = ()


OURS = "ours"
"""A struct, enum or union of this repository (`at`)."""
FOREIGN = "foreign"
"""A type of another crate, of the standard library, or built in; `name` is its last name, or `?`."""
BOUND = "bound"
"""Some type that implements `traits` of this repository."""
PARAMETER = "parameter"
"""Parameter number `name` of the type that it is written in, implementing `traits`."""
TUPLE = "tuple"
ITEM = "item"
"""A function or constructor itself (`at`)."""
PAYLOAD = "payload"
"""What the constructor `at` was given: a pattern names its parts."""

UNKNOWN = Type("unknown")
DOUBT = Type("doubt")
"""Unknown, and likely to be foreign: what foreign code gave back."""
OPAQUE = Type(FOREIGN, name="?")


class Text(NamedTuple):
    """The shape of a type's text: `kind` path, bounds, parameter, tuple, slice or unknown.

    `segments` of a path are (name, arguments); a path in angle brackets begins with a segment whose name is empty and
    whose argument is the type.
    """

    kind: str
    segments: tuple[tuple[str, tuple["Text", ...]], ...] = ()
    parts: tuple["Text", ...] = ()
    number: int = -1


UNREAD = Text("unknown")


class _Reader:
    """Recursive descent; texts are short, so the depth is bounded."""

    def __init__(self, text: str) -> None:
        self.tokens = _TOKEN.findall(text)[:_MAX_TOKENS]
        self.at = 0

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, token: str) -> bool:
        if self.peek() == token and token:
            self.at += 1
            return True
        return False

    def read(self) -> Text:
        if self.take("~"):
            return Text("bounds", parts=self.read_bounds())
        if self.take("{"):
            index = int(self.tokens[self.at]) if self.peek().isdigit() else -1
            self.at += index >= 0
            self.take("+")
            parts = self.read_bounds() if self.peek() != "}" else ()
            self.take("}")
            return Text("parameter", parts=parts, number=index)
        if self.take("("):
            parts = self.read_list(")")
            is_tuple = len(parts) != 1 or self.tokens[self.at - 2] == ","
            return Text("tuple", parts=parts) if is_tuple else parts[0]
        if self.take("["):
            return Text("path", segments=(("[]", self.read_list("]")),))
        return self.read_path()

    def read_bounds(self) -> tuple[Text, ...]:
        found = [self.read_path()]
        while self.take("+"):
            found.append(self.read_path())
        return tuple(found)

    def read_list(self, end: str) -> tuple[Text, ...]:
        found: list[Text] = []
        while self.at < len(self.tokens) and not self.take(end):
            before = self.at
            found.append(self.read())
            if self.take("="):
                found[-1] = self.read()
            self.take(",")
            if self.at == before:
                self.at += 1
        return tuple(found)

    def read_path(self) -> Text:
        segments: list[tuple[str, tuple[Text, ...]]] = []
        self.take("::")
        while self.at < len(self.tokens):
            if self.take("<"):
                segments.append(("", self.read_list(">")))
            elif self.peek()[:1].isalpha() or self.peek()[:1] == "_":
                segments.append(self.read_segment())
            elif not segments and self.peek() == "{":
                segments.append(("", (self.read(),)))
            else:
                break
            if not self.take("::"):
                break
        if not segments or segments == [("_", ())]:
            return UNREAD
        return Text("path", segments=tuple(segments))

    def read_segment(self) -> tuple[str, tuple[Text, ...]]:
        name = self.tokens[self.at]
        self.at += 1
        args: tuple[Text, ...] = ()
        if self.take("<"):
            args = self.read_list(">")
        elif self.peek() == "(" and name in {"Fn", "FnMut", "FnOnce", "fn"}:
            self.take("(")
            given = self.read_list(")")
            args = (self.read() if self.take("->") else Text("tuple"), *given)
        return name, args


def read_type(text: str) -> Text:
    """Return the shape of a type's text; what cannot be read is unknown."""
    reader = _Reader(text)
    try:
        found = reader.read()
    except RecursionError:
        return UNREAD
    if found.kind == "parameter" and reader.take("::"):
        rest = reader.read_path()
        return Text("path", segments=(("", (found,)), *rest.segments))
    return found


def substitute(one: Type, args: tuple[Type, ...]) -> Type:
    """Return a type with the parameters of the type that it was written in replaced by `args`."""
    if one.kind == PARAMETER:
        at = int(one.name)
        if at < len(args) and args[at].kind != UNKNOWN.kind:
            return args[at]
        if one.traits:
            return Type(BOUND, traits=one.traits)
        return one.args[0] if one.args else UNKNOWN
    if one.args:
        return one._replace(args=tuple(substitute(part, args) for part in one.args))
    return one


def holds_ours(one: Type) -> bool:
    """Return whether a type may hold values of this repository's types somewhere inside."""
    return one.kind != FOREIGN if not one.args else any(holds_ours(part) for part in one.args)
