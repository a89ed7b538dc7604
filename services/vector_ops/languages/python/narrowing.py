"""Where `isinstance` tells what a name holds: the ranges of the source in which it does."""

from bisect import bisect_left
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from tree_sitter import Node

from services.vector_ops.languages.python.scopes import Bound, Narrowing, Scope
from services.vector_ops.languages.python.syntax import child_at, field

if TYPE_CHECKING:
    from services.vector_ops.languages.python.values import Names

_TEST = b"isinstance("
_MAX_TESTS = 2_000
_MAX_CLIMB = 12
_START = attrgetter("start_byte")
_EXITS = frozenset({"return_statement", "raise_statement", "continue_statement", "break_statement"})
_WRAPPERS = frozenset({"parenthesized_expression", "not_operator"})
_BRANCHES = frozenset({"if_statement", "elif_clause", "while_statement"})
Range = tuple[int, int]


class _Step(NamedTuple):
    """One step up from a test: the ranges in which it holds, and whether the climb goes on, with which sign."""

    ranges: tuple[Range, ...] = ()
    goes_on: bool = False
    is_negated: bool = False


def narrow_names(names: "Names") -> None:
    """Tell the scopes of a file in which ranges a test says what their names hold."""
    walk = names.walk
    called, nodes, at = walk.captures.called, list[Node](), walk.content.find(_TEST)
    while at >= 0 and len(nodes) < _MAX_TESTS:
        index = bisect_left(called, at, key=_START)
        if index < len(called) and called[index].end_byte == at + len(_TEST) - 1 and called[index].start_byte == at:
            nodes.append(called[index])
        at = walk.content.find(_TEST, at + 1)
    for node, _start, scope in walk.place(nodes):
        _narrow(names, node, scope)


def _narrow(names: "Names", node: Node, scope: Scope) -> None:
    call = node.parent
    arguments = field(call, "arguments") if call is not None else None
    name, kind = (child_at(arguments, 0), child_at(arguments, 1)) if arguments is not None else (None, None)
    if call is None or name is None or kind is None or name.type != "identifier":
        return
    text = names.walk.read(name)
    owner = names.find_scope(scope, text)
    if owner is None or owner.kind not in {"function", "comprehension"}:
        return
    if owner.names[text][0].how == Bound.RECEIVER:
        return
    kinds = tuple(kind.named_children) if kind.type == "tuple" else (kind,)
    for start, end in _list_ranges(call):
        if owner.narrowed is None:
            owner.narrowed = {}
        owner.narrowed.setdefault(text, []).append(Narrowing(start, end, kinds, scope))


def _list_ranges(test: Node) -> list[Range]:
    """Return the ranges in which a test is known to hold."""
    found: list[Range] = []
    node, is_negated = test, False
    for _ in range(_MAX_CLIMB):
        parent = node.parent
        if parent is None:
            break
        step = _climb(node, parent, is_negated=is_negated)
        found.extend(step.ranges)
        if not step.goes_on:
            break
        node, is_negated = parent, step.is_negated
    return found


def _climb(node: Node, parent: Node, *, is_negated: bool) -> _Step:
    kind = parent.type
    if kind in _WRAPPERS:
        return _Step((), True, is_negated != (kind == "not_operator"))
    if kind == "boolean_operator" and parent.child_count > 1:
        is_told = (parent.children[1].type == "or") == is_negated
        return _Step(((node.end_byte, parent.end_byte),), True, is_negated) if is_told else _Step()
    if kind == "conditional_expression" and parent.named_child_count == 3:  # noqa: PLR2004 - value, condition, other
        return _Step(_range_of(parent.named_children[2 if is_negated else 0]))
    if kind in _BRANCHES and is_negated:
        return _Step(_after_exit(parent))
    return _Step() if is_negated else _Step(_holds_in(parent))


def _holds_in(parent: Node) -> tuple[Range, ...]:
    """Return where the condition of a statement or of a comprehension holds."""
    if parent.type in _BRANCHES:
        return _range_of(field(parent, "body" if parent.type == "while_statement" else "consequence"))
    if parent.type == "assert_statement" and parent.parent is not None:
        return ((parent.end_byte, parent.parent.end_byte),)
    return _range_of(parent.parent) if parent.type == "if_clause" else ()


def _range_of(node: Node | None) -> tuple[Range, ...]:
    return ((node.start_byte, node.end_byte),) if node is not None else ()


def _after_exit(branch: Node) -> tuple[Range, ...]:
    """Return what follows an `if` that is left at its end."""
    body = field(branch, "consequence") if branch.type == "if_statement" else None
    last = child_at(body, body.named_child_count - 1) if body is not None and body.named_child_count else None
    if last is None or last.type not in _EXITS or branch.parent is None:
        return ()
    return ((branch.end_byte, branch.parent.end_byte),)
