r"""What a name or an expression may hold, told from one file alone.

A value is a string:

- `module:a.b` follows names from a module (nothing before the colon: this file); `()` after it is what calling gives,
  `[]` an item of it, `^` the class as seen from `super()`, `&` what `with` gives; `#` at the end marks a container of
  it, `~` a function that returns it; `[1]` is the item at a place; `<a,b;c>` is a tuple of what its parts may be;
- `!` is plain: of no type of the repository; `!name` a builtin; `'text` a string or number that is known;
- `{n` the n-th literal collection, `\n` the n-th lambda: both are known to this file only.

No values: nothing is known.
"""

from bisect import bisect_right
from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from tree_sitter import Node

from services.vector_ops.languages.python.annotations import PLAIN, RECEIVER, AnnotationReader, Values
from services.vector_ops.languages.python.builtin_names import BUILTINS
from services.vector_ops.languages.python.scopes import Binding, Bound, Scope

if TYPE_CHECKING:
    from services.vector_ops.languages.python.walk import Walk

MAX_VALUES = 5
MAX_LENGTH = 200
_MAX_SCOPES = 100
_MAX_DEPTH = 14
_MAX_BINDINGS = 40
_START = attrgetter("start")
_TOLD = frozenset({Bound.IMPORT, Bound.RECEIVER})
_SELF_TYPES = frozenset({"Self", "typing.Self", "t.Self", "te.Self", "typing_extensions.Self"})


class Known(NamedTuple):
    """What was found for a binding; `is_final`: no flow of arguments may add to it."""

    values: Values
    is_final: bool
    round_no: int


def unite(groups: list[Values]) -> Values:
    """Return all values once; plain ones only when there are no others."""
    filled = [group for group in groups if group]
    if len(filled) < 2 and (not filled or len(filled[0]) == 1):  # noqa: PLR2004 - one value, or none
        return filled[0] if filled else ()
    found = dict.fromkeys([value for group in filled for value in group])
    real = [value for value in found if value != PLAIN]
    return tuple(real[:MAX_VALUES]) if real else tuple(found)


class Names:
    """Looks names up by Python's scope rules; `evaluate` reads expressions, `flow` what callers pass."""

    def __init__(self, walk: "Walk") -> None:
        self.walk = walk
        self.round_no = 0
        self.has_flowed = False
        self.is_positional = False
        self.wanted: set[Scope] = set()
        self.depth = 0
        self._known: dict[int, Known] = {}
        self._busy: set[int] = set()
        self.evaluate: Callable[[Node, Scope], Values] = _know_nothing
        self.take_item: Callable[[Values, tuple[int, ...]], Values] = _keep_values
        self.iterate: Callable[[Values], Values] = _keep_all
        self.enter: Callable[[Values], Values] = _keep_all
        self.flow: Callable[[Binding], Values] = _flow_nothing

    def find_scope(self, scope: Scope, name: str) -> Scope | None:
        """Return the scope that binds `name` as seen from `scope`."""
        current: Scope | None = scope
        for _ in range(_MAX_SCOPES):
            if current is None:
                return None
            if name in current.outer_names:
                current = current.parent
                continue
            if name in current.names and (current.kind != "class" or _is_body(current, scope)):
                return current
            current = current.parent
        return None

    def look_up(self, name: str, scope: Scope, start: int) -> Values:
        """Return what `name` may hold where it is used at the byte `start` of `scope`."""
        known = scope.known.get(name)
        if known is not None:
            return known
        owner = self.find_scope(scope, name)
        known = self._look_outside(name) if owner is None else owner.known.get(name)
        if owner is None or known is not None:
            scope.known[name] = known = known or ()
            return known
        if owner.narrowed is not None and name in owner.narrowed:
            narrowed = self._narrow(owner, name, start)
            if narrowed:
                return narrowed
        return self._look_inside(name, scope, owner, start)

    def _look_outside(self, name: str) -> Values:
        """Return what a name holds that no scope of the file binds."""
        if name in BUILTINS:
            return (f"{PLAIN}{name}",)
        return (f":{name}",) if self.walk.module.has_star_import else ()

    def _look_inside(self, name: str, scope: Scope, owner: Scope, start: int) -> Values:
        """Return what the bindings of a name give that may hold at `start`."""
        bindings = owner.names[name]
        if len(bindings) > 1:
            bindings = self._reach(bindings, start, is_here=_is_body(owner, scope))
            if len(bindings) > 1:
                return unite([self.read_binding(one) for one in bindings[:MAX_VALUES]])
            return self.read_binding(bindings[0])
        return self._look_up_only(bindings[0], name, scope, owner)

    def _narrow(self, owner: Scope, name: str, start: int) -> Values:
        """Return what the nearest test before `start` says of a name that was not bound anew since."""
        self.is_positional = True
        fitting = [one for one in (owner.narrowed or {})[name] if one.start <= start < one.end]
        if not fitting:
            return ()
        test = max(fitting, key=_START)
        if any(test.start < one.start <= start for one in owner.names[name]):
            return ()
        return unite([self.annotated(self.walk.read(kind), test.scope) for kind in test.kinds])

    def _look_up_only(self, binding: Binding, name: str, scope: Scope, owner: Scope) -> Values:
        """Return what the only binding of a name gives; it is the same wherever this scope uses the name."""
        flowed, positional = self.has_flowed, self.is_positional
        self.has_flowed = self.is_positional = False
        values = self.read_binding(binding)
        if not self.has_flowed and not self._busy and not (owner.narrowed and name in owner.narrowed):
            owner.known[name] = scope.known[name] = values
        self.has_flowed = self.has_flowed or flowed
        self.is_positional = positional
        return values

    def _reach(self, bindings: list[Binding], start: int, *, is_here: bool) -> list[Binding]:
        """Return the bindings that may hold at `start`: one indented no deeper than `start` ends the earlier ones."""
        self.is_positional = True
        if len(bindings) > _MAX_BINDINGS:
            after = bisect_right(bindings, start, key=_START) if is_here else len(bindings)
            bindings = bindings[max(0, after - _MAX_BINDINGS) : max(after, 1)]
        if is_here:
            before = [one for one in bindings if one.start <= start]
            column = self.walk.indentation(start)
        else:
            is_module = bindings[0].scope.kind == "module"
            before, column = bindings, 0 if is_module else min(one.column for one in bindings)
        if not before:
            return bindings
        for index in range(len(before) - 1, -1, -1):
            if before[index].column <= column:
                return before[index:]
        return before

    def read_binding(self, binding: Binding) -> Values:
        """Return what a binding gives its name."""
        how = binding.how
        if how == Bound.SYMBOL:
            return (f":{self.walk.drafting.drafts[binding.at].qualname}",)
        if how in _TOLD:
            return (binding.text,)
        if how == Bound.CLOSED:
            return ()
        key = id(binding)
        known = self._known.get(key)
        if known is not None and (known.is_final or known.round_no == self.round_no):
            self.has_flowed = self.has_flowed or not known.is_final
            return known.values
        if key in self._busy or self.depth > _MAX_DEPTH:
            return ()
        return self._read_anew(key, binding)

    def _read_anew(self, key: int, binding: Binding) -> Values:
        outer_flowed, self.has_flowed = self.has_flowed, False
        self._busy.add(key)
        self.depth += 1
        try:
            values = self._read_kind(binding)
        finally:
            self.depth -= 1
            self._busy.discard(key)
        self._known[key] = Known(values, not self.has_flowed, self.round_no)
        self.has_flowed = self.has_flowed or outer_flowed
        return values

    def _read_kind(self, binding: Binding) -> Values:
        how = binding.how
        if how == Bound.TYPED:
            values = self._place_self(self.annotated(binding.text, binding.scope), binding.scope)
            return self.take_item(values, binding.path)
        if how == Bound.PARAMETER:
            return self._read_parameter(binding)
        if binding.node is None:
            return ()
        values = self.evaluate(binding.node, binding.scope)
        if how == Bound.ITEM:
            values = self.iterate(values)
        elif how == Bound.ENTERED:
            values = self.enter(values)
        return self.take_item(values, binding.path) if binding.path else values

    def _read_parameter(self, binding: Binding) -> Values:
        outer = binding.scope.parent or self.walk.module
        if binding.text:
            return self._place_self(self.annotated(binding.text, outer), outer)
        self.has_flowed = True
        self.wanted.add(binding.scope)
        default = self.evaluate(binding.node, outer) if binding.node is not None else ()
        return unite([default, self.flow(binding)])

    def _place_self(self, values: Values, scope: Scope) -> Values:
        """Return values with the class around a scope instead of `Self`."""
        if not any(one[0] == RECEIVER for one in values):
            return values
        current: Scope | None = scope
        while current is not None and current.kind != "class":
            current = current.parent
        own = f":{current.qualname}()" if current is not None else PLAIN
        return tuple(f"{own}{one[1:]}" if one[0] == RECEIVER else one for one in values)

    def annotated(self, text: str, scope: Scope) -> Values:
        """Return what a thing annotated with `text` may be."""

        def look_up(dotted: str) -> Values:
            if dotted in _SELF_TYPES:
                return (RECEIVER,)
            head, _, rest = dotted.partition(".")
            found = self.look_up(head, scope, 1 << 60)
            return tuple(step(one, rest) for one in found) if rest else found

        return unite([AnnotationReader(text, look_up).read()])


def step(value: str, name: str) -> str:
    """Return the attribute `name` of a value."""
    if value[0] in "!'{\\" or value[-1] == ">":
        return PLAIN
    if value[-1] in "#~":
        return _step_container(value, name)
    return f"{value}{name}" if value[-1] == ":" else f"{value}.{name}"


def _step_container(value: str, name: str) -> str:
    if name in {"get", "pop", "setdefault", "__getitem__", "popleft", "__next__", "__anext__"}:
        return f"{value[:-1]}~"
    if name == "items" and value[-2] != ">":
        return f"<{PLAIN},{value[:-1]}>#~"
    return f"{value}~" if name in {"values", "copy", "__iter__", "__aiter__"} else PLAIN


def _is_body(owner: Scope, scope: Scope) -> bool:
    """Return whether `scope` runs where `owner` does: it is the same, or a comprehension in it."""
    for _ in range(_MAX_SCOPES):
        if scope is owner:
            return True
        if scope.kind != "comprehension" or scope.parent is None:
            return False
        scope = scope.parent
    return False


def _know_nothing(_node: Node, _scope: Scope) -> Values:
    return ()


def _keep_values(values: Values, _path: tuple[int, ...]) -> Values:
    return values


def _keep_all(values: Values) -> Values:
    return values


def _flow_nothing(_binding: Binding) -> Values:
    return ()
