"""Annotations as text to what an instance of the annotated type is: works alike for code and for quoted names."""

import re
from collections.abc import Callable

Values = tuple[str, ...]

PLAIN = "!"
"""A value of no type of the repository: a number, a string, what a builtin gives."""

VARIABLE = "typing:TypeVar()()"
"""What an instance of a type variable is."""

RECEIVER = "@"
"""Starts a value that is taken from the receiver of a method: `Self`."""

_TOKEN = re.compile(r"[^\W\d][\w.]*|\"[^\"]*\"|'[^']*'|[\[\],|()]|\.\.\.|\S")
_MAX_TOKENS = 200
_MAX_DEPTH = 12
_TRANSPARENT = frozenset(
    ("Optional", "Annotated", "Final", "ClassVar", "Required", "NotRequired", "ReadOnly", "Awaitable", "InitVar")
)
_CONTAINERS = frozenset(
    """
    list List Iterable Iterator Sequence MutableSequence set Set frozenset FrozenSet tuple Tuple Generator AsyncIterator
    AsyncIterable AsyncGenerator Collection deque Deque ContextManager AbstractContextManager AsyncContextManager
    AbstractAsyncContextManager Reversible AbstractSet
    """.split()  # noqa: SIM905 - words in lines read better
)
_MAPPINGS = frozenset(
    """
    dict Dict Mapping MutableMapping defaultdict DefaultDict OrderedDict WeakValueDictionary ChainMap
    """.split()  # noqa: SIM905 - words in lines read better
)
_TUPLES = frozenset({"tuple", "Tuple"})
_MAX_TUPLE = 180
_UNTOLD = "?"
_MAX_ARGUMENT = 80
_NESTING = re.compile(r"[{}<>,;|#~]|^[!'\\$?@<]")
_OPAQUE = frozenset({"Literal", "Any", "None", "object", "NoReturn", "Never", "TypeGuard", "TypeIs", "LiteralString"})


class AnnotationReader:
    """Reads one annotation; `look_up` says what a dotted name stands for."""

    def __init__(self, text: str, look_up: Callable[[str], Values]) -> None:
        self._tokens = _TOKEN.findall(text)
        self._at = 0
        self._look_up = look_up

    def read(self) -> Values:
        """Return the values that a thing of this type may be; nothing when the type cannot be told."""
        return self._read_union(0) if len(self._tokens) <= _MAX_TOKENS else ()

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _read_union(self, depth: int) -> Values:
        found = self._read_one(depth)
        while self._peek() == "|":
            self._at += 1
            found += self._read_one(depth)
        return tuple(dict.fromkeys(found))

    def _read_one(self, depth: int) -> Values:
        word = self._peek()
        if not word or word in "],)" or depth > _MAX_DEPTH:
            return ()
        self._at += 1
        if word[0] in "\"'":
            return AnnotationReader(word[1:-1], self._look_up).read() if depth < _MAX_DEPTH else ()
        if word in "([":
            inner = self._read_list(depth + 1)
            return inner[0] if len(inner) == 1 else ()
        return self._read_type(word, depth) if word[0].isalpha() or word[0] == "_" else ()

    def _read_type(self, name: str, depth: int) -> Values:
        if self._peek() != "[":
            return self._read_name(name)
        self._at += 1
        return self._read_generic(name, depth + 1)

    def _read_list(self, depth: int) -> list[Values]:
        found: list[Values] = []
        while self._peek() and self._peek() not in "])":
            before = self._at
            found.append(self._read_union(depth))
            if self._peek() == "," or self._at == before:
                self._at += 1
        self._at += 1
        return found

    def _read_name(self, name: str) -> Values:
        if name == "None":
            return ()
        last = name.rpartition(".")[2]
        if last in _OPAQUE:
            return ()
        return tuple(
            PLAIN if one[0] == PLAIN else one if one[0] == RECEIVER else f"{one}()"
            for one in self._look_up(name)
            if one[0] not in "'{\\"
        )

    def _read_generic(self, name: str, depth: int) -> Values:
        last = name.rpartition(".")[2]
        parts = self._read_list(depth)
        if last in _OPAQUE:
            return (PLAIN,) if last == "Literal" else ()
        if not parts:
            return self._read_name(name)
        if last == "Union":
            return tuple(dict.fromkeys(one for part in parts for one in part))
        return self._read_wrapped(name, last, parts)

    def _read_wrapped(self, name: str, last: str, parts: list[Values]) -> Values:
        if last in _TRANSPARENT:
            return parts[0]
        if last == "Coroutine":
            return parts[-1]
        if last in {"type", "Type"}:
            return tuple(one.partition("{")[0].removesuffix("()") for one in parts[0])
        if last in _CONTAINERS:
            is_tuple = last in _TUPLES and (len(parts) > 2 or bool(parts[-1] and parts[1:]))  # noqa: PLR2004 - `X, ...`
            return (join_tuple(parts),) if is_tuple else _mark(parts[0], "#")
        if last in _MAPPINGS or last == "Callable":
            return _mark(parts[-1], "~" if last == "Callable" else "#")
        argument = name_argument(parts[0]) if len(parts) == 1 else ""
        return tuple(one + argument if one[-1] == ")" else one for one in self._read_name(name))


def join_tuple(parts: list[Values]) -> str:
    """Return the value of a tuple: `<`, its parts parted by commas, what each may be by semicolons, `>`.

    Plain when no part is anything else, or when the text would be too long.
    """
    known = [[one for one in part if one[0] not in "'{\\$<"] for part in parts]
    if not any(one != PLAIN for part in known for one in part):
        return PLAIN
    text = ",".join(";".join(part) or _UNTOLD for part in known)
    return f"<{text}>" if len(text) <= _MAX_TUPLE else PLAIN


def name_argument(values: Values) -> str:
    """Return the argument of a generic type in braces; empty when it is plain, or too long or manifold to say."""
    if len(values) != 1 or len(values[0]) > _MAX_ARGUMENT:
        return ""
    return "" if _NESTING.search(values[0]) else f"{{{values[0]}}}"


def split_tuple(value: str) -> list[Values]:
    """Return the parts of the value of a tuple."""
    parts = value[1 : value.rfind(">")].split(",")
    return [tuple(part.split(";")) if part != _UNTOLD else () for part in parts]


def _mark(values: Values, mark: str) -> Values:
    return tuple(one if one == PLAIN else one + mark for one in values) or (PLAIN,)
