"""Content to facts."""

import re

from tree_sitter import Node

from services.vector_ops.languages.facts import FILE, FileFacts, Reference, Symbol
from services.vector_ops.languages.python.annotations import PLAIN, VARIABLE, Values, name_argument
from services.vector_ops.languages.python.calling import Calls, is_mention, symbol_of
from services.vector_ops.languages.python.defining import ELSE
from services.vector_ops.languages.python.expressions import Evaluator
from services.vector_ops.languages.python.narrowing import narrow_names
from services.vector_ops.languages.python.scopes import UNKNOWN, Bound, Draft, Scope, Spot
from services.vector_ops.languages.python.values import Names, unite
from services.vector_ops.languages.python.walk import Walk

_MAX_TYPES = 4
_MAX_PARTS = 6
_DOTTED = re.compile(r"[^\W\d][\w.]*")
_NAMED = frozenset({Bound.SYMBOL, Bound.IMPORT})
_MADE = re.compile(r"^(\w+\.)*([tT]ype\[|Callable\[([\w.]+|\[.*\]), *)|\]$")
PROPERTY = "%"
"""Starts the type of a method that is read like an attribute."""


class Extraction:
    """Reads one file."""

    def __init__(self, content: bytes) -> None:
        self.walk = Walk(content)
        self.walk.run()
        self.names = Names(self.walk)
        self.evaluator = Evaluator(self.names)
        self.flows = self.evaluator.flows
        self.calls = Calls(self)
        self.references: list[Reference] = []
        self.interesting = self._list_interesting()
        self._is_ascii = content.isascii()
        self._wrappers: dict[int, list[str]] = {}
        self._bases: dict[int, list[tuple[Node, Values]]] = {}

    def run(self) -> FileFacts:
        """Return the facts."""
        narrow_names(self.names)
        self.calls.run()
        self._refer_mentions()
        self._refer_annotations()
        self._refer_decorations()
        self._refer_statements()
        self._refer_bases()
        symbols = tuple(self._finish(at, draft) for at, draft in enumerate(self.walk.drafting.drafts))
        self.references.sort(key=_place_of)
        return FileFacts("python", symbols, tuple(self.references), tuple(self.walk.imports))

    def dissolve(self) -> None:
        """Take the parts from each other: all is freed at once then, and no cycle is left."""
        for scope in self.walk.list_scopes():
            scope.names.clear()
            scope.narrowed = None
        for part in (self.walk, self.names, self.flows, self.evaluator.literals, self.evaluator, self.calls, self):
            vars(part).clear()

    def _list_interesting(self) -> frozenset[str]:
        """Return the names that some scope binds to a definition or an import: others are of plain values."""
        found = set()
        for scope in (self.walk.module, *self.walk.scopes):
            for name, bindings in scope.names.items():
                if bindings[0].how in _NAMED or (scope.kind == "module") or bindings[-1].how in _NAMED:
                    found.add(name)
        return frozenset(found)

    # references

    def refer_at(self, name: str, scope: Scope, node: Node, length: int, target: str, *, kind: str = "call") -> None:
        """Add a reference by a name of so many characters at the end of the node; no length: by the node itself.

        What has no name is placed where its arguments open: where it starts, the call that makes it may have its own.
        """
        if not target:
            return
        if length or not name:
            row, column = node.end_point
            column -= length
            if not self._is_ascii:
                length, column = _widen(name, column)
                column = self._count_characters(node.end_byte - length, column)
        else:
            row, column = node.start_point
            if not self._is_ascii:
                column = self._count_characters(node.start_byte, column)
        at = scope.symbol if scope.symbol >= FILE else symbol_of(scope)
        # Made as a plain tuple is, in a third of the time, for there are so many.
        self.references.append(tuple.__new__(Reference, (name, kind, at, row + 1, column + 1, target)))

    def _count_characters(self, start: int, column: int) -> int:
        return len(self.walk.content[start - column : start].decode("utf-8", "replace"))

    def _refer_mentions(self) -> None:
        cut, interesting, has_star = self.walk.cut, self.interesting, self.walk.module.has_star_import
        for node, start, scope in self.walk.place(self.walk.captures.mentioned):
            text = cut(start, node.end_byte)
            head, dot, rest = text.partition(".")
            if head in interesting or has_star or (dot and self._is_method(head, rest, scope)):
                self.refer_mention(node, text, scope, "use")
        for spot in self.walk.patterns:
            self.refer_mention(spot.node, self.walk.read(spot.node), spot.scope, "use")

    def _is_method(self, head: str, rest: str, scope: Scope) -> bool:
        """Return whether `self.name` names a method of the class around it."""
        if not rest.isidentifier() or not self.walk.drafting.has_function(rest):
            return False
        owner = self.names.find_scope(scope, head)
        return owner is not None and owner.names[head][0].how == Bound.RECEIVER

    def refer_mention(self, node: Node, text: str, scope: Scope, kind: str) -> None:
        """Add a reference to what a name or an attribute names, if it names a definition or an import."""
        target = scope.mentions.get(text)
        if target is None:
            self.names.is_positional = self.names.has_flowed = False
            target = self._find_mentioned(node, text, scope)
            if not self.names.is_positional and not self.names.has_flowed:
                scope.mentions[text] = target
        if target:
            name = text[text.rfind(".") + 1 :].lstrip(" \t\r\n\\")
            self.refer_at(name, scope, node, len(name), target, kind=kind)

    def _find_mentioned(self, node: Node, text: str, scope: Scope) -> str:
        if "." not in text:
            owner = self.names.find_scope(scope, text)
            if owner is None and not self.walk.module.has_star_import:
                return ""
            if owner is self.walk.module and self.walk.drafting.has_value(text):
                return f":{text}"
        return "|".join(one for one in self.evaluator.evaluate(node, scope) if is_mention(one))

    def _refer_annotations(self) -> None:
        cut = self.walk.cut
        for node, start, scope in self.walk.place(self.walk.captures.annotated):
            text = cut(start, node.end_byte)
            if text[-1:] in {"'", '"'}:
                self._refer_quoted(node, scope)
            elif text.partition(".")[0] in self.interesting or self.walk.module.has_star_import:
                self.refer_mention(node, text, scope, "annotate")

    def _refer_quoted(self, node: Node, scope: Scope) -> None:
        for dotted in _DOTTED.findall(self.walk.read(node))[:_MAX_PARTS]:
            head, _, rest = dotted.partition(".")
            found = (f"{one}.{rest}" if rest else one for one in self.names.look_up(head, scope, 1 << 60))
            target = "|".join(one.replace(":.", ":") for one in found if is_mention(one))
            if target:
                self.refer_at(dotted.rpartition(".")[2], scope, node, 0, target, kind="annotate")

    def _refer_decorations(self) -> None:
        for spot, at in self.walk.decorations:
            target = self.calls.target_of(self.evaluator.evaluate(spot.node, spot.scope))
            if at != FILE and ":" in target and "|" not in target:
                self._wrappers.setdefault(at, []).append(target)
            if spot.node.type == "call":
                self._refer_before(spot, "", "decorate", target)
            else:
                name = self.walk.read(spot.node).rpartition(".")[2]
                self.refer_at(name, spot.scope, spot.node, len(name), target, kind="decorate")

    def _refer_before(self, spot: Spot, name: str, kind: str, target: str) -> None:
        """Add a reference for what the syntax calls: it stands before the node, where no name of the node does."""
        row, column = spot.node.start_point
        if target:
            self.references.append(Reference(name, kind, symbol_of(spot.scope), row + 1, max(1, column), target))

    def _refer_statements(self) -> None:
        for spot in self.walk.raises:
            values = self.evaluator.evaluate(spot.node, spot.scope)
            target = "|".join(one for one in values if is_mention(one))
            if target:
                name = self.walk.read(spot.node).rpartition(".")[2]
                self.refer_at(name, spot.scope, spot.node, len(name), target)
        for spot in self.walk.loops:
            self._refer_iteration(spot)

    def _refer_iteration(self, spot: Spot) -> None:
        """Refer to `__iter__`, and the `__next__` of what it gives, of a class of this file that is looped over."""
        for value in self.evaluator.evaluate(spot.node, spot.scope):
            found = self.flows.find_draft(f"{value}.__iter__") if value.endswith("()") and value[0] == ":" else None
            if found is not None:
                self._refer_before(spot, "__iter__", "call", f"{value}.__iter__")
                for given in self.flows.list_returns(found[0]):
                    if given.endswith("()"):
                        self._refer_before(spot, "__next__", "call", f"{given}.__next__")

    # definitions

    def _bases_of(self, at: int, draft: Draft) -> list[tuple[Node, Values]]:
        known = self._bases.get(at)
        if known is not None:
            return known
        found = self._bases[at] = []
        for base in draft.bases:
            node = base
            while node.type == "subscript" and node.named_child_count:
                node = node.named_children[0]
            values = self.evaluator.evaluate(node, draft.scope or self.walk.module)
            found.append((node, tuple(one for one in values if one[0] not in "'{\\")))
        return found

    def _with_argument(self, base: Node, values: Values, draft: Draft) -> Values:
        """Return what a base is, with the argument of a generic one."""
        keys = base.children_by_field_name("subscript") if base.type == "subscript" else []
        if not values or len(keys) != 1:
            return values or (UNKNOWN,)
        argument = name_argument(self.names.annotated(self.walk.read(keys[0]), draft.scope or self.walk.module))
        return tuple(one + argument if is_mention(one) else one for one in values)

    def _refer_bases(self) -> None:
        for at, draft in enumerate(self.walk.drafting.drafts):
            for node, values in self._bases_of(at, draft) if draft.bases else ():
                target = "|".join(one for one in values if is_mention(one))
                if target and draft.inner is not None:
                    name = self.walk.read(node).rpartition(".")[2]
                    self.refer_at(name, draft.inner, node, len(name), target, kind="inherit")

    def _finish(self, at: int, draft: Draft) -> Symbol:
        bases: tuple[str, ...] = ()
        if draft.kind != "class":
            bases = (*((ELSE,) if draft.is_alternative else ()), *self._wrappers.get(at, ()))
        elif draft.bases:
            known = zip(draft.bases, self._bases_of(at, draft), strict=False)
            bases = tuple(one for base, (_node, values) in known for one in self._with_argument(base, values, draft))
        is_test = draft.name[:4] == "test" and draft.kind in {"function", "method"} and self._is_test(draft)
        return Symbol(
            draft.name,
            draft.qualname,
            draft.kind,
            draft.line,
            draft.column,
            draft.start_line,
            draft.end_line,
            draft.owner,
            draft.signature,
            draft.doc,
            self._type_of(at, draft) if draft.kind != "class" else ELSE if draft.is_alternative else "",
            bases,
            is_test,
        )

    def _is_member(self, draft: Draft) -> bool:
        """Return whether a value is one of an enumeration, set in the body of its class: an instance of that."""
        if not draft.values or draft.owner == FILE or draft.values[0].scope is not draft.scope:
            return False
        bases = self._bases_of(draft.owner, self.walk.drafting.drafts[draft.owner])
        is_enumeration = any(one.startswith("enum:") for _node, values in bases for one in values)
        return is_enumeration and draft.values[0].how == Bound.VALUE and not draft.name.startswith("_")

    def _type_of(self, at: int, draft: Draft) -> str:
        if self._is_member(draft):
            values: Values = (f":{self.walk.drafting.drafts[draft.owner].qualname}()",)
        elif draft.values:
            values = unite([self.names.read_binding(one) for one in draft.values[:_MAX_TYPES]])
        elif draft.returns:
            values = self.names.annotated(draft.returns, draft.scope or self.walk.module)
        else:
            values = self.flows.list_returns(at)
        if draft.kind == "method" and draft.owner != FILE:
            own = f":{self.walk.drafting.drafts[draft.owner].qualname}()"
            values = tuple("@" if one == own else one for one in values)
        text = _join_types(values)
        if draft.parameters and draft.returns.isidentifier():
            if self.walk.drafting.is_variable(draft.returns) and not text.startswith(VARIABLE):
                text = f"{VARIABLE}|{text}"
            text = self._with_given(draft, text)
        if draft.marks and any(mark.rpartition(".")[2].endswith("property") for mark in draft.marks):
            return PROPERTY + text
        return text

    def _with_given(self, draft: Draft, text: str) -> str:
        """Return the type of a function, led by `$` if it gives back its first argument, `$()` if what that makes."""
        scope = draft.scope or self.walk.module
        bound = [draft.inner.names.get(one, ()) for one in draft.parameters[:2]] if draft.inner is not None else []
        note = next((one[0].text for one in bound if one and one[0].how == Bound.PARAMETER), "")
        mark = "$" if note == draft.returns else "$()" if _MADE.sub("", note) == draft.returns else ""
        values = self.names.look_up(draft.returns, scope, 1 << 60) if mark else ()
        if not self.walk.drafting.has_value(draft.returns) and not any(_is_variable(one) for one in values):
            return text
        return f"{mark}|{text}".rstrip("|") if mark else text

    def _is_test(self, draft: Draft) -> bool:
        if draft.owner == FILE:
            return draft.name.startswith("test_")
        owner = self.walk.drafting.drafts[draft.owner]
        names = [owner.name, *(self.walk.read(one) for one in owner.bases)]
        return owner.kind == "class" and any("Test" in name for name in names)


def _join_types(values: Values) -> str:
    if not values:
        return ""
    known = [PLAIN if one[0] in "!'{" else one for one in values if one[0] not in "\\$?"]
    return "|".join(dict.fromkeys(known[:_MAX_TYPES]))


def _is_variable(value: str) -> bool:
    """Return whether a value that was imported may be a type variable."""
    return value.startswith("typing:TypeVar(") or (value[0] != PLAIN and not value.startswith(("typing:", ":")))


def _widen(name: str, column: int) -> tuple[int, int]:
    """Return the length of a name in bytes, and the column moved by what it is more than in characters."""
    length = len(name.encode())
    return length, column - length + len(name)


def _place_of(one: Reference) -> tuple[int, int]:
    return one[3], one[4]


def extract_facts(content: bytes) -> FileFacts:
    """Return the facts of a source; never raises for bad code."""
    extraction = Extraction(content)
    facts = extraction.run()
    extraction.dissolve()
    return facts
