"""The calls of a file: what each may reach, round by round, as arguments flow into parameters."""

from typing import TYPE_CHECKING

from tree_sitter import Node

from services.vector_ops.languages.facts import FILE
from services.vector_ops.languages.python.annotations import Values
from services.vector_ops.languages.python.flows import Site
from services.vector_ops.languages.python.scopes import Called, Draft, Scope
from services.vector_ops.languages.python.syntax import field

if TYPE_CHECKING:
    from services.vector_ops.languages.python.extraction import Extraction

_MAX_ROUNDS = 4
_HINT_LENGTH = 40
_CALLERS = frozenset({"!map", "!filter", "!sorted", "!min", "!max"})
UNKNOWN = "?"
"""Starts the target of a call on something of which nothing is known; the last name of the receiver follows."""


class Pending:
    """A call whose meaning depends on where it stands, or on arguments that other calls pass."""

    __slots__ = ("has_flowed", "node", "scope", "start", "text", "values")

    def __init__(self, node: Node, start: int, scope: Scope, text: bytes) -> None:
        self.node = node
        self.start = start
        self.scope = scope
        self.text = text
        self.values: Values = ()
        self.has_flowed = False


class Calls:
    """Follows the calls of one file."""

    def __init__(self, extraction: "Extraction") -> None:
        self._of = extraction
        self._names = extraction.names
        self._evaluator = extraction.evaluator
        self._flows = extraction.evaluator.flows
        self._sites: dict[str, list[Site]] = {}
        self._pending: list[Pending] = []

    def run(self) -> None:
        """Refer to what the calls reach."""
        content, refer = self._of.walk.content, self._of.refer_at
        for node, start, scope in self._of.walk.place(self._of.walk.captures.called):
            text = content[start : node.end_byte]
            known = scope.calls.get(text)
            if known is None:
                known = self._meet(node, start, scope, text)
                if known is None:
                    continue
            if known.values:
                self._note_sites(known.values, node, start, scope)
            if known.target:
                refer(known.name, "call", scope, node, known.length, known.target)
        self._pass_decorated()
        self._run_rounds()
        self._claim_lambdas()
        for one in self._pending:
            self._refer_pending(one)

    # first sight

    def _meet(self, node: Node, start: int, scope: Scope, text: bytes) -> Called | None:
        """Return what a text means in a scope, if it means the same everywhere in it."""
        names = self._names
        names.has_flowed = names.is_positional = False
        values = self._evaluator.evaluate(node, scope)
        is_fixed = not (names.has_flowed or names.is_positional or scope.symbol < FILE)
        if is_fixed and not any(one[0] == "\\" or one in _CALLERS for one in values):
            name, length = _name_in(node, text)
            target = self._target_at(node, scope, text, values)
            inner = tuple(one for one in values if one[0] == ":" and one[-1] not in ")]#~&^")
            known = scope.calls[text] = Called(name, length, target, inner)
            self._refer_head(node, text, scope)
            return known
        pending = Pending(node, start, scope, text)
        pending.values, pending.has_flowed = values, names.has_flowed
        self._pending.append(pending)
        self._note_sites(values, node, start, scope)
        return None

    def _note_sites(self, values: Values, node: Node, start: int, scope: Scope) -> None:
        for value in values:
            if value[0] in ":\\":
                found = self._sites.get(value)
                if found is None:
                    found = self._sites[value] = []
                found.append(Site(node.end_byte, node, scope))

    def _pass_decorated(self) -> None:
        drafts = self._of.walk.drafting.drafts
        for spot, at in self._of.walk.decorations:
            if at != FILE:
                given = (f":{drafts[at].qualname}",)
                for value in self._evaluator.evaluate(spot.node, spot.scope):
                    if value[0] in ":\\":
                        site = Site(spot.node.start_byte, None, spot.scope, given=given)
                        self._sites.setdefault(value, []).append(site)

    # rounds

    def _run_rounds(self) -> None:
        for _ in range(_MAX_ROUNDS):
            if not self._flows.add_sites(self._sites):
                return
            self._names.round_no += 1
            self._pass_decorated()
            for one in self._pending:
                if one.has_flowed:
                    self._names.has_flowed = False
                    values = self._evaluator.evaluate(one.node, one.scope)
                    one.has_flowed = self._names.has_flowed
                    if values != one.values:
                        one.values = values
                        self._note_sites(values, one.node, one.start, one.scope)

    # lambdas

    def _claim_lambdas(self) -> None:
        """Make definitions of the lambdas that something in this file calls."""
        wanted = {value for call in self._pending for value in call.values if value[0] == "\\"}
        counts: dict[int, int] = {}
        for start, scope in sorted(self._of.walk.lambdas.items()):
            owner = symbol_of(scope)
            counts[owner] = counts.get(owner, 0) + 1
            if self._flows.known_lambda(start) in wanted:
                self._define_lambda(scope, owner, counts[owner])

    def _define_lambda(self, scope: Scope, owner: int, number: int) -> None:
        drafting = self._of.walk.drafting
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

    def _refer_pending(self, call: Pending) -> None:
        name, length = _name_in(call.node, call.text)
        target = self._target_at(call.node, call.scope, call.text, call.values)
        if target:
            self._of.refer_at(name, "call", call.scope, call.node, length, target)
        self._refer_head(call.node, call.text, call.scope)
        if call.values and call.values[0] in _CALLERS:
            self._refer_callbacks(call)

    def _target_at(self, node: Node, scope: Scope, text: bytes, values: Values) -> str:
        target = self.target_of(values)
        if target:
            return target
        kind = node.type
        if kind == "identifier":
            return self._constant_of(text.decode("utf-8", "replace"), scope)
        return _hint_of(node) if kind == "attribute" and not values else ""

    def _constant_of(self, name: str, scope: Scope) -> str:
        """Return the target of a name of the module of whose value nothing is known."""
        if not self._of.walk.drafting.has_value(name):
            return ""
        return f":{name}" if self._names.find_scope(scope, name) is self._of.walk.module else ""

    def target_of(self, values: Values) -> str:
        """Return the values as one target: what can be followed in this or another file."""
        if len(values) == 1 and values[0][0] not in "!'{\\" and values[0][-1] != "#":
            return values[0]
        found = []
        for one in values:
            if one[0] == "\\":
                at = self._flows.lambda_scope(one).symbol
                if at >= 0:
                    found.append(f":{self._of.walk.drafting.drafts[at].qualname}")
            elif one[0] not in "!'{" and one[-1] != "#":
                found.append(one)
        return "|".join(found)

    def _refer_head(self, node: Node, text: bytes, scope: Scope) -> None:
        head = text.partition(b".")[0]
        if len(head) == len(text) or head not in self._of.interesting or head in scope.mentions:
            return
        while node.type == "attribute" and node.named_child_count:
            node = node.named_child(0) or node
        if node.type == "identifier":
            self._of.refer_mention(node, head, scope, "use")

    def _refer_callbacks(self, call: Pending) -> None:
        parent = call.node.parent
        arguments = field(parent, "arguments") if parent is not None else None
        for child in arguments.named_children if arguments is not None else ():
            value = field(child, "value") if child.type == "keyword_argument" else child
            if value is not None and value.type in {"identifier", "attribute"}:
                found = [one for one in self._evaluator.evaluate(value, call.scope) if self._flows.find_draft(one)]
                if found:
                    name = self._of.walk.read(value)
                    self._of.refer_at(name, "call", call.scope, value, len(name), "|".join(found))


def _name_in(node: Node, text: bytes) -> tuple[str, int]:
    """Return the name by which something is called, and its length in bytes; nothing when it has none."""
    kind = node.type
    if kind == "identifier":
        name = text
    elif kind == "attribute":
        name = text[text.rfind(b".") + 1 :].lstrip(b" \t\r\n\\")
    else:
        return "", 0
    return name.decode("utf-8", "replace"), len(name)


def _hint_of(node: Node) -> str:
    owner = node.named_child(0)
    while owner is not None and owner.type in {"call", "subscript"}:
        owner = owner.named_child(0)
    if owner is not None and owner.type == "attribute":
        owner = owner.named_child(owner.named_child_count - 1)
    if owner is None or owner.type != "identifier" or owner.text is None:
        return UNKNOWN
    return UNKNOWN + owner.text.decode("utf-8", "replace")[:_HINT_LENGTH]


def symbol_of(scope: Scope) -> int:
    """Return the definition that a scope belongs to."""
    current: Scope | None = scope
    while current is not None and current.symbol < FILE:
        current = current.parent
    return FILE if current is None else current.symbol


def is_mention(value: str) -> bool:
    """Return whether a value names something, rather than being made by a call."""
    return value[0] not in "!'{\\$?@" and value[-1] not in ")]#&~:^"


