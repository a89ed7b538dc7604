"""Which arguments reach which parameters, and what functions give back, within one file."""

import re
from typing import NamedTuple

from tree_sitter import Node

from services.vector_ops.languages.python.annotations import PLAIN, Values
from services.vector_ops.languages.python.literals import Literals
from services.vector_ops.languages.python.scopes import Binding, Bound, Draft, Scope
from services.vector_ops.languages.python.syntax import field
from services.vector_ops.languages.python.values import Names, unite

_ARGUMENT = re.compile(r"\{[^{}]*\}")
_MAX_SITES = 40
_MAX_BASES = 12
_MAX_RETURNS = 8


class Site(NamedTuple):
    """A call that reaches a function: what is called, in its scope; `given` when a decorator passes a value."""

    function: Node | None
    scope: Scope
    offset: int = 0
    given: Values = ()


class Flows:
    """Arguments and returns of one file; call sites are added round by round."""

    def __init__(self, names: Names, literals: Literals) -> None:
        self._names = names
        self._literals = literals
        self._sites: dict[Scope, dict[int, Site]] = {}
        self._by_qualname: dict[str, int] | None = None
        self._returns: dict[int, tuple[Values, bool, int]] = {}
        self._busy: set[int] = set()
        self._lambda_list: list[Scope] = []
        self._lambda_at: dict[int, str] = {}

    # what a value calls

    def find_draft(self, value: str) -> tuple[int, bool] | None:
        """Return the definition of this file that a value names, and whether it is taken from an instance."""
        if value[0] != ":" or value[-1] in ")]#~^&>":
            return None
        if self._by_qualname is None:
            drafts = self._names.walk.drafting.drafts
            self._by_qualname = {one.qualname: at for at, one in enumerate(drafts) if one.inner is not None}
        path = value[1:] if "{" not in value else _ARGUMENT.sub("", value[1:])
        at = self._by_qualname.get(path)
        if at is not None:
            return at, False
        owner, _, name = path.rpartition(".")
        if not owner.endswith("()"):
            return None
        found = self._find_inherited(owner[:-2], name)
        return None if found is None else (found, True)

    def _find_inherited(self, owner: str, name: str) -> int | None:
        by_qualname = self._by_qualname or {}
        queue = [owner]
        for _ in range(_MAX_BASES):
            if not queue:
                return None
            qualname = queue.pop(0)
            at = by_qualname.get(f"{qualname}.{name}")
            if at is not None:
                return at
            owner_at = by_qualname.get(qualname)
            if owner_at is not None:
                queue.extend(self._list_bases(owner_at))
        return None

    def _list_bases(self, at: int) -> list[str]:
        draft = self._names.walk.drafting.drafts[at]
        scope = draft.scope or self._names.walk.module
        found = [one for base in draft.bases for one in self._names.evaluate(base, scope)]
        return [one[1:] for one in found if one[0] == ":"]

    def _callee(self, value: str) -> tuple[Scope, int] | None:
        """Return the scope of what a call of the value runs, and how many parameters are filled already."""
        if value[0] == "\\":
            return self._lambda_list[int(value[1:])], 0
        found = self.find_draft(value)
        if found is None:
            return None
        at, is_bound = found
        draft = self._names.walk.drafting.drafts[at]
        if draft.kind == "class":
            init = self._find_inherited(draft.qualname, "__init__")
            if init is None:
                return None
            draft, is_bound = self._names.walk.drafting.drafts[init], True
        if "staticmethod" in draft.marks:
            is_bound = False
        elif "classmethod" in draft.marks:
            is_bound = True
        return (draft.inner, int(is_bound)) if draft.inner is not None else None

    # arguments to parameters

    def add_sites(self, sites: dict[str, list[tuple[Node, Scope]]]) -> bool:
        """Remember what may call each value; return whether that tells more of a parameter that someone asked for."""
        is_news = False
        for value, found in sites.items() if self._names.wanted else ():
            callee = self._callee(value)
            if callee is None or callee[0] not in self._names.wanted:
                continue
            known = self._sites.setdefault(callee[0], {})
            for node, scope in found[:_MAX_SITES]:
                start = node.end_byte
                if start not in known:
                    known[start] = Site(node, scope, callee[1])
                    is_news = True
        return is_news

    def pass_value(self, value: str, start: int, scope: Scope, given: Values) -> bool:
        """Remember that a decorator is called with a definition; return whether that is news."""
        callee = self._callee(value)
        if callee is None:
            return False
        known = self._sites.setdefault(callee[0], {})
        is_news = start not in known
        known[start] = Site(None, scope, callee[1], given)
        return is_news

    def flow_into(self, binding: Binding) -> Values:
        """Return what the call sites of this file pass to a parameter."""
        name = _name_of(binding)
        groups = []
        for site in self._sites.get(binding.scope, {}).values():
            arguments = _arguments_of(site)
            if site.given:
                groups.append(site.given if binding.at - site.offset == 0 else ())
            elif arguments is not None:
                argument = find_argument(self._names, arguments, binding.at - site.offset, name)
                groups.append(self._names.evaluate(argument, site.scope) if argument is not None else ())
        return unite(groups)

    # what calls give

    def call_function(self, value: str, node: Node, scope: Scope) -> Values | None:
        """Return what a call of a function of this file gives, or None to leave it to resolution."""
        found = self.find_draft(value)
        if found is None:
            return None
        draft = self._names.walk.drafting.drafts[found[0]]
        if draft.kind == "class" or draft.returns or draft.inner is None:
            return None
        values = self._list_returns(found[0], draft)
        passed = [one for one in values if one[0] == "$"]
        special = [one for one in values if one[0] in "{\\"]
        if not passed and not special:
            is_named = values and all(one[0] == ":" and self.find_draft(one) for one in values)
            return values if is_named else None
        offset = (self._callee(value) or (None, 0))[1]
        arguments = field(node, "arguments")
        groups = [self._pass(one, arguments, scope, offset) for one in passed] if arguments is not None else []
        return unite([*groups, tuple(special), tuple(one for one in values if one[0] not in "${\\")])

    def _pass(self, mark: str, arguments: Node, scope: Scope, offset: int) -> Values:
        index, _, name = mark[1:].partition(" ")
        argument = find_argument(self._names, arguments, int(index) - offset, name)
        return self._names.evaluate(argument, scope) if argument is not None else ()

    def _list_returns(self, at: int, draft: Draft) -> Values:
        known = self._returns.get(at)
        if known is not None and (known[1] or known[2] == self._names.round_no):
            self._names.has_flowed = self._names.has_flowed or not known[1]
            return known[0]
        if at in self._busy or draft.inner is None:
            return ()
        self._busy.add(at)
        outer, self._names.has_flowed = self._names.has_flowed, False
        groups = [self._read_return(one, draft.inner) for one in draft.inner.returns[:_MAX_RETURNS]]
        if draft.inner.yields:
            groups = [self._read_yield(one, draft.inner) for one in draft.inner.yields[:_MAX_RETURNS]]
        values = unite(groups)
        self._busy.discard(at)
        self._returns[at] = (values, not self._names.has_flowed, self._names.round_no)
        self._names.has_flowed = self._names.has_flowed or outer
        return values

    def _read_return(self, node: Node, scope: Scope) -> Values:
        if node.type == "identifier":
            name = self._names.walk.read(node)
            bindings = scope.names.get(name, ())
            if len(bindings) == 1 and bindings[0].how == Bound.PARAMETER and not bindings[0].text:
                return (f"${bindings[0].at} {name}",)
        return self._names.evaluate(node, scope)

    def _read_yield(self, node: Node, scope: Scope) -> Values:
        values = self._names.evaluate(node, scope)
        return tuple(f"{one}#" if one[0] not in "!'{\\" else PLAIN for one in values)

    def list_returns(self, at: int) -> Values:
        """Return what a function may give, as far as other files can follow it."""
        draft = self._names.walk.drafting.drafts[at]
        if draft.inner is None:
            return ()
        return tuple(PLAIN if one[0] in "!'{" else one for one in self._list_returns(at, draft) if one[0] not in "$\\")

    # lambdas

    def read_lambda(self, node: Node) -> Values:
        """Return the value that stands for a lambda."""
        found = self._lambda_at.get(node.start_byte)
        if found is None:
            scope = self._names.walk.lambdas.get(node.start_byte)
            if scope is None:
                return ()
            found = self._lambda_at[node.start_byte] = f"\\{len(self._lambda_list)}"
            self._lambda_list.append(scope)
        return (found,)

    def known_lambda(self, start: int) -> str:
        """Return the value of the lambda that starts at a byte; empty when nothing has met it."""
        return self._lambda_at.get(start, "")

    def lambda_scope(self, value: str) -> Scope:
        """Return the scope of a lambda."""
        return self._lambda_list[int(value[1:])]

    def call_lambda(self, value: str) -> Values:
        """Return what calling a lambda gives."""
        scope = self._lambda_list[int(value[1:])]
        return unite([self._names.evaluate(one, scope) for one in scope.returns])


def _arguments_of(site: Site) -> Node | None:
    call = site.function.parent if site.function is not None else None
    return field(call, "arguments") if call is not None else None


def _name_of(binding: Binding) -> str:
    return next((name for name, found in binding.scope.names.items() if binding in found), "")


def find_argument(names: Names, arguments: Node, index: int, name: str) -> Node | None:
    """Return the expression that a call passes at a position or under a name."""
    position = 0
    for child in arguments.named_children:
        kind = child.type
        if kind == "keyword_argument":
            label = field(child, "name")
            if label is not None and names.walk.read(label) == name:
                return field(child, "value")
        elif kind in {"list_splat", "dictionary_splat"}:
            position = 1 << 20
        elif kind != "comment":
            if position == index:
                return child
            position += 1
    return None
