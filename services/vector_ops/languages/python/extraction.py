"""Content to facts."""

import re

from tree_sitter import Node

from services.vector_ops.languages.facts import FILE, FileFacts, Reference, Symbol
from services.vector_ops.languages.python.annotations import PLAIN, Values
from services.vector_ops.languages.python.expressions import Evaluator
from services.vector_ops.languages.python.scopes import Draft, Scope, Spot
from services.vector_ops.languages.python.syntax import field
from services.vector_ops.languages.python.values import Names, unite
from services.vector_ops.languages.python.walk import Walk

_MAX_ROUNDS = 4
_MAX_TYPES = 4
_DOTTED = re.compile(r"[^\W\d][\w.]*")
_HINT_LENGTH = 40
UNKNOWN = "?"
"""Starts the target of a call on something of which nothing is known; the last name of the receiver follows."""

PROPERTY = "%"
"""Starts the type of a method that is read like an attribute."""


class Called:
    """One call and what it may reach; `has_flowed` when arguments of other calls may add to that."""

    __slots__ = ("function", "has_flowed", "spot", "values")

    def __init__(self, spot: Spot, function: Node) -> None:
        self.spot = spot
        self.function = function
        self.values: Values = ()
        self.has_flowed = True


class Extraction:
    """Reads one file."""

    def __init__(self, content: bytes) -> None:
        self.walk = Walk(content)
        self.walk.run()
        self.names = Names(self.walk)
        self.evaluator = Evaluator(self.names)
        self.flows = self.evaluator.flows
        self.references: list[Reference] = []

    def run(self) -> FileFacts:
        """Return the facts."""
        calls = self._follow_calls()
        self._claim_lambdas(calls)
        for call in calls:
            self._refer_call(call)
        self._refer_decorations()
        self._refer_mentions()
        self._refer_bases()
        symbols = tuple(self._finish(at, draft) for at, draft in enumerate(self.walk.drafting.drafts))
        self.references.sort(key=lambda one: (one.line, one.column))
        references = tuple(dict.fromkeys(self.references))
        return FileFacts("python", symbols, references, tuple(self.walk.imports))

    # calls, round by round

    def _follow_calls(self) -> list[Called]:
        calls = []
        for spot in self.walk.calls:
            function = spot.node.named_child(0)
            if function is not None:
                calls.append(Called(spot, function))
        self._pass_decorated()
        is_news = self._evaluate(calls)
        for _ in range(_MAX_ROUNDS):
            if not is_news:
                break
            self.names.round_no += 1
            self._pass_decorated()
            is_news = self._evaluate([one for one in calls if one.has_flowed])
        return calls

    def _evaluate(self, calls: list[Called]) -> bool:
        is_news = False
        for one in calls:
            self.names.has_flowed = False
            one.values = self.evaluator.evaluate(one.function, one.spot.scope)
            one.has_flowed = self.names.has_flowed
            for value in one.values:
                if value[0] in ":\\" and self.flows.add_site(value, one.spot.node, one.spot.scope) is not None:
                    is_news = True
        return is_news

    def _pass_decorated(self) -> None:
        for spot, at in self.walk.decorations:
            if at != FILE:
                given = (f":{self.walk.drafting.drafts[at].qualname}",)
                for value in self.evaluator.evaluate(spot.node, spot.scope):
                    if value[0] in ":\\":
                        self.flows.add_site(value, spot.node, spot.scope, given)

    def _claim_lambdas(self, calls: list[Called]) -> None:
        """Make definitions of the lambdas that something in this file calls."""
        wanted = {value for call in calls for value in call.values if value[0] == "\\"}
        counts: dict[int, int] = {}
        for start, scope in sorted(self.walk.lambdas.items()):
            owner = symbol_of(scope)
            counts[owner] = counts.get(owner, 0) + 1
            if self.flows.known_lambda(start) in wanted:
                self._define_lambda(scope, owner, counts[owner])

    def _define_lambda(self, scope: Scope, owner: int, number: int) -> None:
        drafting = self.walk.drafting
        node = scope.node
        if node is None:
            return
        line, column = drafting.position(node)
        name = f"<lambda{number}>"
        qualname = f"{drafting.drafts[owner].qualname}.{name}" if owner != FILE else name
        signature = drafting.slice_line(node.start_byte, node.end_byte)
        draft = Draft(name, qualname, "function", line, column, line, node.end_point[0] + 1, owner, signature)
        draft.scope, draft.inner = scope.parent, scope
        drafting.drafts.append(draft)
        scope.symbol = len(drafting.drafts) - 1

    # references

    def _refer(self, node: Node, name: str, kind: str, scope: Scope, target: str) -> None:
        line, column = self.walk.drafting.position(node)
        self.references.append(Reference(name, kind, symbol_of(scope), line, column, target))

    def _refer_call(self, call: Called) -> None:
        function, scope = call.function, call.spot.scope
        kind = function.type
        values = call.values
        target = self._target_of(values)
        if kind == "attribute":
            name = function.named_child(function.named_child_count - 1)
            if name is not None and (target or not values):
                text = self.walk.read(name)
                self._refer(name, text, "call", scope, target or self._hint(function))
            self._refer_head(function, scope)
        elif kind == "identifier":
            text = self.walk.read(function)
            target = target or self._constant_of(text, scope)
            if target:
                self._refer(function, text, "call", scope, target)
        elif target:
            self._refer(function, "", "call", scope, target)
        if values and values[0] in {"!map", "!filter", "!sorted", "!min", "!max"}:
            self._refer_callbacks(call)

    def _constant_of(self, name: str, scope: Scope) -> str:
        """Return the target of a name of the module of whose value nothing is known."""
        owner = self.names.find_scope(scope, name)
        return f":{name}" if owner is self.walk.module and self.walk.drafting.has_value(name) else ""

    def _target_of(self, values: Values) -> str:
        """Return the values as one target: what can be followed in this or another file."""
        found = []
        for one in values:
            if one[0] == "\\":
                at = self.flows.lambda_scope(one).symbol
                if at >= 0:
                    found.append(f":{self.walk.drafting.drafts[at].qualname}")
            elif one[0] not in "!'{" and one[-1] != "#":
                found.append(one)
        return "|".join(found)

    def _hint(self, function: Node) -> str:
        owner = function.named_child(0)
        while owner is not None and owner.type in {"call", "subscript"}:
            owner = owner.named_child(0)
        if owner is not None and owner.type == "attribute":
            owner = owner.named_child(owner.named_child_count - 1)
        if owner is None or owner.type != "identifier":
            return UNKNOWN
        return UNKNOWN + self.walk.read(owner)[:_HINT_LENGTH]

    def _refer_head(self, function: Node, scope: Scope) -> None:
        head = function.named_child(0)
        while head is not None and head.type == "attribute":
            head = head.named_child(0)
        if head is not None and head.type == "identifier":
            self._refer_mention(head, "use", scope)

    def _refer_callbacks(self, call: Called) -> None:
        arguments = field(call.spot.node, "arguments")
        for child in arguments.named_children if arguments is not None else ():
            value = field(child, "value") if child.type == "keyword_argument" else child
            if value is not None and value.type in {"identifier", "attribute"}:
                found = [one for one in self.evaluator.evaluate(value, call.spot.scope) if self.flows.find_draft(one)]
                if found:
                    self._refer(value, self.walk.read(value), "call", call.spot.scope, "|".join(found))

    def _refer_decorations(self) -> None:
        for spot, _at in self.walk.decorations:
            values = self.evaluator.evaluate(spot.node, spot.scope)
            if spot.node.type == "call":
                values = tuple(one for one in values if self.flows.find_draft(one))
            target = self._target_of(values)
            if target:
                last = spot.node.named_child(spot.node.named_child_count - 1) if spot.node.type == "attribute" else None
                node = last or spot.node
                text = self.walk.read(node) if spot.node.type != "call" else ""
                self._refer(node, text, "decorate", spot.scope, target)

    def _refer_mentions(self) -> None:
        for spot in self.walk.uses:
            self._refer_mention(spot.node, "use", spot.scope)
        for spot in self.walk.raises:
            target = self._target_of(self.evaluator.evaluate(spot.node, spot.scope))
            if target and not target.endswith(")"):
                self._refer(spot.node, self.walk.read(spot.node).rpartition(".")[2], "call", spot.scope, target)
        for spot in self.walk.loops:
            self._refer_iteration(spot)
        for spot in self.walk.annotations:
            for child in spot.node.named_children:
                if child.type in {"identifier", "attribute"}:
                    self._refer_mention(child, "annotate", spot.scope)
                elif child.type == "string":
                    self._refer_quoted(child, spot.scope)

    def _refer_quoted(self, node: Node, scope: Scope) -> None:
        for dotted in _DOTTED.findall(self.walk.read(node))[:_MAX_TYPES]:
            head, _, rest = dotted.partition(".")
            found = self.names.look_up(head, scope, 1 << 60)
            target = "|".join(f"{one}.{rest}" if rest else one for one in found if one[0] not in "!'{\\")
            if target and target[-1] not in ")]#&~:^@":
                self._refer(node, dotted.rpartition(".")[2], "annotate", scope, target.replace(":.", ":"))

    def _refer_mention(self, node: Node, kind: str, scope: Scope) -> None:
        text = self.walk.read(node)
        if node.type == "identifier":
            owner = self.names.find_scope(scope, text)
            if owner is None and not self.walk.module.has_star_import:
                return
            if owner is not None and owner.kind == "module" and self.walk.drafting.has_value(text):
                self._refer(node, text, kind, scope, f":{text}")
                return
        values = self.evaluator.evaluate(node, scope)
        found = [one for one in values if one[0] not in "!'{\\$?@" and one[-1] not in ")]#&~:^"]
        if found:
            last = node.named_child(node.named_child_count - 1) if node.type == "attribute" else None
            self._refer(last or node, text.rpartition(".")[2], kind, scope, "|".join(found))

    def _refer_iteration(self, spot: Spot) -> None:
        """A loop over an instance of a class of this file calls its `__iter__` and the `__next__` of what that gives."""
        right = field(spot.node, "right")
        for value in self.evaluator.evaluate(right, spot.scope) if right is not None else ():
            found = self.flows.find_draft(f"{value}.__iter__") if value.endswith("()") and value[0] == ":" else None
            if found is not None:
                self._refer(spot.node, "__iter__", "call", spot.scope, f"{value}.__iter__")
                for given in self.flows.list_returns(found[0]):
                    if given.endswith("()"):
                        self._refer(spot.node, "__next__", "call", spot.scope, f"{given}.__next__")

    # definitions

    def _bases_of(self, draft: Draft) -> list[tuple[Node, Values]]:
        scope = draft.scope or self.walk.module
        found = []
        for base in draft.bases:
            node = base
            while node.type == "subscript" and node.named_child_count:
                node = node.named_children[0]
            values = tuple(one for one in self.evaluator.evaluate(node, scope) if one[0] not in "'{\\")
            found.append((node, values))
        return found

    def _refer_bases(self) -> None:
        for at, draft in enumerate(self.walk.drafting.drafts):
            for node, values in self._bases_of(draft):
                target = self._target_of(values)
                if target:
                    last = node.named_child(node.named_child_count - 1) if node.type == "attribute" else None
                    line, column = self.walk.drafting.position(last or node)
                    name = self.walk.read(last or node) if node.type in {"identifier", "attribute"} else ""
                    self.references.append(Reference(name, "inherit", at, line, column, target))

    def _finish(self, at: int, draft: Draft) -> Symbol:
        bases = tuple(value for _node, values in self._bases_of(draft) for value in (values or (UNKNOWN,)))
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
            self._type_of(at, draft),
            bases,
            draft.kind in {"function", "method"} and self._is_test(draft),
        )

    def _type_of(self, at: int, draft: Draft) -> str:
        if draft.kind == "class":
            return ""
        if draft.kind in {"constant", "attribute"}:
            values = unite([self.names.read_binding(one) for one in draft.values[:_MAX_TYPES]])
        elif draft.returns:
            values = self.names.annotated(draft.returns, draft.scope or self.walk.module)
        else:
            values = self.flows.list_returns(at)
        known = [PLAIN if one[0] in "!'{" else one for one in values if one[0] not in "\\$?"]
        text = "|".join(dict.fromkeys(known[:_MAX_TYPES]))
        is_property = any(mark.rpartition(".")[2].endswith("property") for mark in draft.marks)
        return PROPERTY + text if is_property else text

    def _is_test(self, draft: Draft) -> bool:
        if not draft.name.startswith("test"):
            return False
        if draft.owner == FILE:
            return draft.name.startswith("test_")
        owner = self.walk.drafting.drafts[draft.owner]
        return owner.kind == "class" and ("Test" in owner.name or any("Test" in self.walk.read(one) for one in owner.bases))  # fmt: skip


def symbol_of(scope: Scope) -> int:
    """Return the definition that a scope belongs to."""
    current: Scope | None = scope
    while current is not None and current.symbol < FILE:
        current = current.parent
    return FILE if current is None else current.symbol


def extract_facts(content: bytes) -> FileFacts:
    """Return the facts of a source; never raises for bad code."""
    return Extraction(content).run()
