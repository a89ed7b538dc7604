"""The calls of a file: what each may reach, round by round, as arguments flow into parameters."""

import re
from typing import TYPE_CHECKING

from tree_sitter import Node

from services.vector_ops.languages.facts import FILE
from services.vector_ops.languages.python.annotations import PLAIN, Values
from services.vector_ops.languages.python.scopes import UNKNOWN, Draft, Scope
from services.vector_ops.languages.python.syntax import child_at, field

if TYPE_CHECKING:
    from services.vector_ops.languages.python.extraction import Extraction

_MAX_ROUNDS = 4
_MAX_PENDING = 20_000
_HINT_LENGTH = 40
_GIVEN = re.compile(r"(\([^()]*\)|\[-?\d*\]|\{[^{}]*\}|&)+$")
_CALLERS = frozenset({"!map", "!filter", "!sorted", "!min", "!max"})


class Pending:
    """A call whose meaning depends on where it stands, or on arguments that other calls pass."""

    __slots__ = ("has_flowed", "node", "scope", "text", "values")

    def __init__(self, node: Node, scope: Scope, text: str) -> None:
        self.node = node
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
        self._sites: dict[str, list[tuple[Node, Scope]]] = {}
        self._pending: list[Pending] = []

    def run(self) -> None:
        """Refer to what the calls reach."""
        cut, interesting = self._of.walk.cut, self._of.interesting
        for node, start, scope in self._of.walk.place(self._of.walk.captures.called):
            text = cut(start, node.end_byte)
            head, dot, rest = text.partition(".")
            if dot and head in interesting and head not in scope.mentions:
                self._refer_head(node, head, scope)
            values = scope.known.get(head)
            if values is None or not (not dot or rest.replace(".", "_").isidentifier()):
                values = self._look_up(text, head, scope, start)
            if values is None:
                self._meet(node, scope, text)
            elif not values:
                if dot:
                    self._refer_unknown(node, scope, text)
                else:
                    self._of.refer_at(text, scope, node, 0, self._constant_of(text, scope))
            elif len(values) > 1 or not self._refer_plain(node, scope, values[0], head, rest):
                self._meet(node, scope, text)
        self._finish()

    def _finish(self) -> None:
        """Let arguments flow; refer to what the calls reach that waited for that."""
        self._evaluate_early()
        self._run_rounds()
        self._claim_lambdas()
        for one in self._pending:
            self._refer_pending(one)

    def _look_up(self, text: str, head: str, scope: Scope, start: int) -> Values | None:
        """Return what the first of names parted by dots holds; None for other expressions and what may yet change."""
        if not text.replace(".", "_").isidentifier():
            return None
        self._names.has_flowed = False
        values = self._names.look_up(head, scope, start)
        return None if self._names.has_flowed else values

    def _evaluate_early(self) -> None:
        """Evaluate what may ask for arguments of calls, before those are collected."""
        for draft in self._of.walk.drafting.drafts:
            for binding in draft.values[:1]:
                self._names.read_binding(binding)
        for spot in self._of.walk.loops:
            self._evaluator.evaluate(spot.node, spot.scope)

    def _refer_unknown(self, node: Node, scope: Scope, text: str) -> None:
        *others, owner, name = text.split(".")
        mark = f"{UNKNOWN}." if others else UNKNOWN
        self._of.refer_at(name, scope, node, len(name), mark + owner[:_HINT_LENGTH])

    def _refer_plain(self, node: Node, scope: Scope, value: str, head: str, rest: str) -> bool:
        """Refer to what is reached from one value by names alone; return whether it was that plain."""
        first = value[0]
        if first == PLAIN:
            is_done = bool(rest) or (len(value) > 1 and value not in _CALLERS)
            if is_done and not rest:
                self._of.refer_at(head, scope, node, 0, self._constant_of(head, scope))
            return is_done
        if first in "'{\\" or value[-1] in "#~>" or scope.symbol < FILE:
            return False
        if rest:
            target = f"{value}{rest}" if value[-1] == ":" else f"{value}.{rest}"
            name = rest[rest.rfind(".") + 1 :]
            length = len(name)
        else:
            target, name, length = value, _last_name(value), 0
        if first == ":":
            found = self._sites.get(target)
            if found is None:
                self._sites[target] = [(node, scope)]
            else:
                found.append((node, scope))
        if not rest:
            target = self._with_constant(head, target, scope)
        self._of.refer_at(name, scope, node, length, target)
        return True

    # first sight

    def _meet(self, node: Node, scope: Scope, text: str) -> None:
        """Evaluate a call; refer to what it reaches at once if nothing that comes later may tell more."""
        names = self._names
        names.has_flowed = False
        values = self._evaluator.evaluate(node, scope)
        pending = Pending(node, scope, text)
        pending.values, pending.has_flowed = values, names.has_flowed
        self._note_sites(values, node, scope)
        is_open = names.has_flowed or scope.symbol < FILE or any(one[0] == "\\" for one in values)
        if is_open or len(self._pending) > _MAX_PENDING:
            self._pending.append(pending)
        else:
            self._refer_pending(pending)

    def _note_sites(self, values: Values, node: Node, scope: Scope) -> None:
        for value in values:
            if value[0] in ":\\":
                self._sites.setdefault(value, []).append((node, scope))

    def _pass_decorated(self) -> bool:
        """Pass definitions to their decorators; return whether that is news."""
        drafts, is_news = self._of.walk.drafting.drafts, False
        for spot, at in self._of.walk.decorations:
            if at != FILE:
                given = (f":{drafts[at].qualname}",)
                for value in self._evaluator.evaluate(spot.node, spot.scope):
                    if value[0] in ":\\" and self._flows.pass_value(value, spot.node.start_byte, spot.scope, given):
                        is_news = True
        return is_news

    # rounds

    def _run_rounds(self) -> None:
        for _ in range(_MAX_ROUNDS):
            is_passed = self._pass_decorated()
            if not self._flows.add_sites(self._sites) and not is_passed:
                return
            self._names.round_no += 1
            for one in self._pending:
                if one.has_flowed:
                    self._names.has_flowed = False
                    values = self._evaluator.evaluate(one.node, one.scope)
                    one.has_flowed = self._names.has_flowed
                    if values != one.values:
                        one.values = values
                        self._note_sites(values, one.node, one.scope)

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
        node, scope, kind = call.node, call.scope, call.node.type
        target = self.target_of(call.values)
        if kind == "identifier":
            self._of.refer_at(call.text, scope, node, 0, self._with_constant(call.text, target, scope))
        elif kind == "attribute":
            name = call.text[call.text.rfind(".") + 1 :].lstrip(" \t\r\n\\")
            length = len(name)
            self._of.refer_at(name, scope, node, length, target or ("" if call.values else _hint_of(node)))
            self._refer_head(node, call.text.partition(".")[0], scope)
        else:
            self._of.refer_at("", scope, node, 0, target)
        if call.values and call.values[0] in _CALLERS:
            self._refer_callbacks(call)

    def _with_constant(self, name: str, target: str, scope: Scope) -> str:
        """Return the target of a call by name: what the name holds, and the name itself if the module assigns to it."""
        if target[:1] == ":" and scope is self._of.walk.module:
            return target  # in its own body a module flows from statement to statement, as a function does
        constant = self._constant_of(name, scope)
        return f"{constant}|{target}" if constant and target else constant or target

    def _constant_of(self, name: str, scope: Scope) -> str:
        """Return the target of a name that the module assigns to."""
        if not self._of.walk.drafting.has_value(name):
            return ""
        return f":{name}" if self._names.find_scope(scope, name) is self._of.walk.module else ""

    def target_of(self, values: Values) -> str:
        """Return the values as one target: what can be followed in this or another file."""
        if len(values) == 1 and values[0][0] not in "!'{\\" and values[0][-1] not in "#>":
            return values[0]
        found = []
        for one in values:
            if one[0] == "\\":
                at = self._flows.lambda_scope(one).symbol
                if at >= 0:
                    found.append(f":{self._of.walk.drafting.drafts[at].qualname}")
            elif one[0] not in "!'{" and one[-1] not in "#>":
                found.append(one)
        return "|".join(found)

    def _refer_head(self, node: Node, head: str, scope: Scope) -> None:
        """Refer to what the first of the names that lead to a call names, once a scope."""
        if head not in self._of.interesting or head in scope.mentions:
            return
        while node.type == "attribute":
            node = child_at(node, 0) or node
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
                    self._of.refer_at(name, call.scope, value, len(name), "|".join(found))


def _last_name(value: str) -> str:
    path = _GIVEN.sub("", value)
    return path[max(path.rfind("."), path.rfind(":")) + 1 :]


def _hint_of(node: Node) -> str:
    owner = child_at(node, 0)
    mark = UNKNOWN if owner is not None and owner.type == "identifier" else f"{UNKNOWN}."
    while owner is not None and owner.type in {"call", "subscript"}:
        owner = child_at(owner, 0)
    if owner is not None and owner.type == "attribute":
        owner = child_at(owner, owner.named_child_count - 1)
    if owner is None or owner.type != "identifier" or owner.text is None:
        return UNKNOWN
    return mark + owner.text.decode("utf-8", "replace")[:_HINT_LENGTH]


def symbol_of(scope: Scope) -> int:
    """Return the definition that a scope belongs to."""
    current: Scope | None = scope
    while current is not None and current.symbol < FILE:
        current = current.parent
    return FILE if current is None else current.symbol


def is_mention(value: str) -> bool:
    """Return whether a value names something, rather than being made by a call."""
    return value[0] not in "!'{\\$?@" and value[-1] not in ")]#&~:^>}"
