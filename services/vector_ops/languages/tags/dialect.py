"""What the engine must know of one language: its query, its node types, its customs."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from tree_sitter import Node

from services.vector_ops.languages.facts import Import

Captures = dict[str, list[Node]]


class Shape(NamedTuple):
    """How an expression is read as a receiver, by the fields of its node.

    `role`: name (an identifier or a word like `this`), member (`inner.name`), call (`inner.name()`), apply (`inner()`
    where `inner` holds the name), new (`inner` is the type), static (the text is the path of a type), pass (as
    `inner`).
    """

    role: str
    inner: str = ""
    name: str = ""


class Declared(NamedTuple):
    """A definition as a declarator names it: `scope` is written before the name (`ns.Class`)."""

    name: Node
    params: Node | None = None
    scope: str = ""
    is_function: bool = False


def _no_declarator(_node: Node) -> Declared | None:
    return None


def _no_change(source: bytes) -> bytes:
    return source


def _no_imports(_captures: Captures, _source: bytes) -> list[Import]:
    return []


@dataclass(frozen=True, slots=True)
class Dialect:
    """One language.

    `test_mark` is sought in the text before a function's name, `test_name` in its name. `words` maps words to `this` or
    `super`. `is_outward`: a name is also sought in the namespaces around. `has_free`: a bare call may reach functions
    outside classes. `has_includes`: files see each other by `#include`, and locals may be called. `uses_package`: the
    package is no part of qualified names. `bare_kinds`: what a bare call may be guessed to be. `commons`: names that a
    unique match says nothing about, since the standard library has them too. `is_dynamic`: neither do names of one
    word, since no receiver has a type. `keywords`: words that a broken parse takes for names. `constructor`: the method
    that constructs (`new`). `extension_mark`: what the signature of a function holds that extends other types.
    `include_suffix`: what an included path leaves out.
    """

    name: str
    family: str
    grammar: tuple[str, str]
    suffixes: tuple[str, ...]
    query: str
    shapes: Mapping[str, Shape]
    commons: frozenset[str]
    filenames: tuple[str, ...] = ()
    words: Mapping[str, str] = field(default_factory=lambda: {"this": "this", "super": "super"})
    test_mark: re.Pattern[bytes] | None = None
    test_name: re.Pattern[str] | None = None
    test_path: re.Pattern[str] | None = None
    read_declarator: Callable[[Node], Declared | None] = _no_declarator
    read_imports: Callable[[Captures, bytes], list[Import]] = _no_imports
    prepare: Callable[[bytes], bytes] = _no_change
    keywords: frozenset[str] = frozenset()
    is_outward: bool = False
    has_free: bool = False
    has_includes: bool = False
    is_dynamic: bool = False
    bare_kinds: frozenset[str] = frozenset()
    uses_package: bool = False
    extension_mark: str = ""
    constructor: str = ""
    include_suffix: str = ""
    version: int = 1
