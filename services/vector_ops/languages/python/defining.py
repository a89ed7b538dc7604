"""Making definitions: their names, places, signatures, docs and parameters."""

import re
from collections.abc import Callable

from tree_sitter import Node

from services.vector_ops.languages.facts import FILE
from services.vector_ops.languages.python.scopes import Binding, Bound, Draft, Scope, bind_symbol
from services.vector_ops.languages.python.syntax import child_at, field

MAX_SIGNATURE = 200
MAX_DOC = 300
OVERLOAD = "@overload "
"""Starts the signature of a declaration that only says one way to call what follows it."""
ELSE = "?else"
"""Type of a class, first base of a function, that stands in for an earlier one when a condition does not hold."""

_MAX_BRANCH = 5
_WINDOWS = re.compile(r"(sys\.platform *(==|\.startswith\()|os\.name *==|platform\.system\(\) *==) *[\"'](win|nt|Win)")
_CLASS_FIRST = frozenset({"__new__", "__init_subclass__", "__class_getitem__"})
_STRING_EDGE = re.compile(r"^[A-Za-z]*(\"\"\"|'''|\"|')|(\"\"\"|'''|\"|')$")
_SENTENCE = re.compile(r"(?<=[.!?])\s")


class Drafting:
    """The definitions of one file."""

    def __init__(self, content: bytes, cut: Callable[[int, int], str]) -> None:
        self.content = content
        self._cut = cut
        self.drafts: list[Draft] = []
        self._is_ascii = content.isascii()
        self._values: dict[str, Draft] = {}
        self._pending: tuple[int, int, tuple[str, ...], int] = (0, -1, (), 0)
        self._claimed = 0
        self._functions: set[str] = set()
        self._defined: set[str] = set()

    def position(self, node: Node) -> tuple[int, int]:
        """Return line and column, both from 1; the column counts characters, not bytes."""
        row, column = node.start_point
        if not self._is_ascii:
            start = node.start_byte
            column = len(self.content[start - column : start].decode("utf-8", "replace"))
        return row + 1, column + 1

    def read(self, node: Node) -> str:
        """Return the text of a node."""
        return self._cut(node.start_byte, node.end_byte)

    def slice_line(self, start: int, end: int) -> str:
        """Return a piece of the source on one line, cut to the length of a signature."""
        text = self._cut(start, min(end, start + 2 * MAX_SIGNATURE))
        return " ".join(text.split())[:MAX_SIGNATURE]

    def expect(self, node: Node, marks: tuple[str, ...], first: int) -> None:
        """Remember the decorators of the definition that ends where `node` does."""
        self._pending = (node.start_point[0] + 1, node.end_byte, marks, first)

    def claim(self) -> int:
        """Return the first of the decorations that the definition made last may own."""
        return self._claimed

    def _take_pending(self, node: Node) -> tuple[int, tuple[str, ...]]:
        line, end, marks, first = self._pending
        if end == node.end_byte:
            self._pending = (0, -1, (), 0)
            self._claimed = first
            return line, marks
        self._claimed = 1 << 60
        return node.start_point[0] + 1, ()

    def _draft(self, name: Node, node: Node, scope: Scope, kind: str, body: Node | None) -> Draft:
        text = self.read(name)
        line, column = self.position(name)
        start_line, marks = self._take_pending(node)
        qualname = scope.qualify(text)
        draft = Draft(text, qualname, kind, line, column, start_line, node.end_point[0] + 1, scope.symbol)
        draft.marks, draft.scope = marks, scope
        draft.signature = self.slice_line(node.start_byte, body.start_byte if body is not None else node.end_byte)
        draft.is_alternative = qualname in self._defined and _is_alternative(node)
        self._defined.add(qualname)
        if body is not None:
            draft.doc = self._read_doc(body)
        self.drafts.append(draft)
        return draft

    def _read_doc(self, body: Node) -> str:
        first = child_at(body, 0)
        if first is None or first.type != "expression_statement":
            return ""
        first = child_at(first, 0)
        if first is None or first.type != "string":
            return ""
        piece = self._cut(first.start_byte, min(first.end_byte, first.start_byte + 4 * MAX_DOC))
        text = _STRING_EDGE.sub("", piece).strip()
        paragraph = " ".join(text.split("\n\n", 1)[0].split())
        if len(paragraph) <= MAX_DOC:
            return paragraph
        return _SENTENCE.split(paragraph[:MAX_DOC], maxsplit=1)[0]

    def define_function(self, node: Node, scope: Scope) -> int:
        """Add a function with its scope and parameters; return its place."""
        name, body = field(node, "name"), field(node, "body")
        if name is None:
            return FILE
        draft = self._draft(name, node, scope, "method" if scope.kind == "class" else "function", body)
        at = len(self.drafts) - 1
        self._functions.add(draft.name)
        returns = field(node, "return_type")
        draft.returns = self.read(returns) if returns is not None else ""
        if any(mark.rpartition(".")[2] == "overload" for mark in draft.marks):
            draft.signature = f"{OVERLOAD}{draft.signature}"[:MAX_SIGNATURE]
        start = body.start_byte if body is not None else node.end_byte
        inner = Scope("function", draft.qualname, at, scope, start, node.end_byte, node=node)
        draft.inner = inner
        scope.bind(draft.name, bind_symbol(name.start_byte, node.start_point[1], scope, at))
        receiver = ""
        if scope.kind == "class" and "staticmethod" not in draft.marks:
            is_class = "classmethod" in draft.marks or draft.name in _CLASS_FIRST
            receiver = f":{scope.qualname}" + ("" if is_class else "()")
        draft.parameters = self.bind_parameters(field(node, "parameters"), inner, receiver)
        return at

    def bind_parameters(self, parameters: Node | None, inner: Scope, receiver: str) -> tuple[str, ...]:
        """Bind the parameters in the scope of a function; return their names, starred ones with their stars."""
        names: list[str] = []
        for parameter in parameters.named_children if parameters is not None else ():
            name, annotation, default = _read_parameter(parameter)
            if name is None:
                continue
            text = self.read(name)
            how, note = Bound.PARAMETER, self.read(annotation) if annotation is not None else ""
            if not names and receiver:
                how, note = Bound.RECEIVER, receiver
            elif name.type != "identifier":
                how, text = Bound.CLOSED, text.lstrip("*")
            binding = tuple.__new__(Binding, (how, name.start_byte, 0, inner, default, note, len(names), ()))
            names.append(text if name.type == "identifier" else self.read(name))
            inner.bind(text, binding)
            if how == Bound.RECEIVER:
                inner.known[text] = (receiver,)
        return tuple(names)

    def define_class(self, node: Node, scope: Scope) -> int:
        """Add a class with its scope and bases; return its place."""
        name, body, bases = field(node, "name"), field(node, "body"), field(node, "superclasses")
        if name is None:
            return FILE
        draft = self._draft(name, node, scope, "class", body)
        at = len(self.drafts) - 1
        children = bases.named_children if bases is not None else []
        draft.bases = tuple(child for child in children if child.type not in {"keyword_argument", "comment"})
        scope.bind(draft.name, bind_symbol(name.start_byte, node.start_point[1], scope, at))
        start = body.start_byte if body is not None else node.end_byte
        draft.inner = Scope("class", draft.qualname, at, scope, start, node.end_byte)
        return at

    def has_value(self, name: str) -> bool:
        """Return whether the module assigns to a name."""
        return name in self._values

    def is_variable(self, name: str) -> bool:
        """Return whether the module defines a type variable of this name."""
        draft = self._values.get(name)
        return draft is not None and "TypeVar(" in draft.signature

    def has_function(self, name: str) -> bool:
        """Return whether a function or method of this name has been met."""
        return name in self._functions

    def define_value(self, name: str, left: Node, node: Node, scope: Scope, binding: Binding) -> None:
        """Add a module constant or a class attribute, or one more value of it."""
        self._define_value(name, left, node, scope, binding)

    def define_attribute(self, name: str, left: Node, node: Node, holder: Scope, binding: Binding) -> None:
        """Add an attribute that a method sets on its receiver, or one more value of it."""
        self._define_value(name, left, node, holder, binding)

    def _define_value(self, name: str, left: Node, node: Node, scope: Scope, binding: Binding) -> None:
        qualname = scope.qualify(name)
        draft = self._values.get(qualname)
        if draft is None:
            line, column = self.position(left)
            kind = "constant" if scope.kind == "module" else "attribute"
            signature = self.slice_line(node.start_byte, node.end_byte)
            draft = Draft(name, qualname, kind, line, column, line, node.end_point[0] + 1, scope.symbol, signature)
            draft.scope = scope
            self._values[qualname] = draft
            self.drafts.append(draft)
        elif len(draft.values) == 1 and draft.values[0].node is not None and self._is_for_windows(draft.values[0].node):
            draft.line, draft.column = self.position(left)
            draft.start_line, draft.end_line = draft.line, node.end_point[0] + 1
        draft.values.append(binding)

    def _is_for_windows(self, node: Node) -> bool:
        """Return whether a value is set for Windows only: as type checkers do, POSIX is taken for granted."""
        for _ in range(_MAX_BRANCH):
            parent = node.parent
            if parent is None or parent.type == "module":
                return False
            condition = field(parent, "condition") if parent.type == "if_statement" else None
            if condition is not None and node == field(parent, "consequence"):
                return _WINDOWS.match(self.read(condition)) is not None
            node = parent
        return False


def _is_alternative(node: Node) -> bool:
    """Return whether a definition stands in the second or a later branch of a condition."""
    parent = node.parent
    if parent is not None and parent.type == "decorated_definition":
        parent = parent.parent
    branch = parent.parent if parent is not None and parent.type == "block" else None
    return branch is not None and branch.type in {"else_clause", "elif_clause", "except_clause"}


def _read_parameter(node: Node) -> tuple[Node | None, Node | None, Node | None]:
    """Return name, annotation and default of a parameter."""
    if node.type == "identifier":
        return node, None, None
    if node.type in {"comment", "keyword_separator", "positional_separator"}:
        return None, None, None
    annotation, default = field(node, "type"), field(node, "value")
    name = field(node, "name")
    if name is None:
        name = node if node.type.endswith("splat_pattern") else child_at(node, 0)
    return name, annotation, default
