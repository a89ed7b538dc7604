"""What a walk over the syntax collects before any name is looked up: scopes, bindings, definitions."""

from dataclasses import dataclass, field
from typing import NamedTuple, Optional

from tree_sitter import Node

from services.vector_ops.languages.facts import FILE

UNKNOWN = "?"
"""Starts the target of a call on something unknown; its last name follows, after a dot when it is no bare name."""


class Bound:
    """What a binding binds its name to. Plain numbers: a member of an enumeration takes ten times as long to reach."""

    SYMBOL = 1  # the definition `at`
    IMPORT = 2  # the target `text`
    VALUE = 3  # the value of `node`
    ITEM = 4  # an item of `node`
    ENTERED = 5  # what `with node as` gives
    PARAMETER = 6  # parameter `at` of the function of its scope: annotation `text`, default `node`
    RECEIVER = 7  # self or cls: the target `text`
    TYPED = 8  # an instance of the annotation `text`
    CLOSED = 9  # nothing is known


class Binding(NamedTuple):
    """One way in which a scope binds a name. `path` leads into a pattern; `start` and `column` say where it stands."""

    how: int
    start: int
    column: int
    scope: "Scope"
    node: Node | None = None
    text: str = ""
    at: int = FILE
    path: tuple[int, ...] = ()


def bind_symbol(start: int, column: int, scope: "Scope", at: int) -> Binding:
    """Return the binding of a definition; made as a plain tuple is, in a third of the time, for there are so many."""
    return tuple.__new__(Binding, (Bound.SYMBOL, start, column, scope, None, "", at, ()))


class ItemSet(NamedTuple):
    """`name[key] = value`."""

    start: int
    column: int
    key: Node
    value: Node
    scope: "Scope"


class Narrowing(NamedTuple):
    """From `start` to `end` a name holds an instance of one of the classes that `kinds` name in `scope`."""

    start: int
    end: int
    kinds: tuple[Node, ...]
    scope: "Scope"


@dataclass(slots=True, eq=False)
class Scope:
    """A module, class, function (lambdas included) or comprehension; `symbol` is the definition that it belongs to.

    `known` holds what names mean wherever this scope uses them; `mentions` the same for whole texts, as targets.
    """

    kind: str
    qualname: str
    symbol: int
    parent: Optional["Scope"]
    body_start: int
    end: int
    names: dict[str, list[Binding]] = field(default_factory=dict)
    outer_names: set[str] = field(default_factory=set)
    returns: list[Node] = field(default_factory=list)
    yields: list[Node] = field(default_factory=list)
    has_star_import: bool = False
    node: Node | None = None
    known: dict[str, tuple[str, ...]] = field(default_factory=dict)
    mentions: dict[str, str] = field(default_factory=dict)
    narrowed: dict[str, list[Narrowing]] | None = None

    def bind(self, name: str, binding: Binding) -> None:
        """Add one binding of `name`."""
        found = self.names.get(name)
        if found is None:
            self.names[name] = [binding]
        else:
            found.append(binding)
            self.known.pop(name, None)

    def qualify(self, name: str) -> str:
        """Return the qualified name of a definition in this scope."""
        return f"{self.qualname}.{name}" if self.qualname else name


@dataclass(slots=True, eq=False)
class Draft:
    """A definition whose values are looked up once all bindings are known."""

    name: str
    qualname: str
    kind: str
    line: int
    column: int
    start_line: int
    end_line: int
    owner: int
    signature: str = ""
    doc: str = ""
    bases: tuple[Node, ...] = ()
    returns: str = ""
    marks: tuple[str, ...] = ()
    scope: Scope | None = None
    inner: Scope | None = None
    parameters: tuple[str, ...] = ()
    values: list[Binding] = field(default_factory=list)
    is_test: bool = False
    is_alternative: bool = False


class Spot(NamedTuple):
    """A node and the scope that it is seen in."""

    node: Node
    scope: Scope
