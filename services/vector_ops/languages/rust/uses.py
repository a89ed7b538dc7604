"""Reads what code does: locals it binds, values it calls, names it mentions."""

import re
from dataclasses import dataclass, field

from tree_sitter import Node

from services.vector_ops.languages.facts import Reference
from services.vector_ops.languages.rust.items import ItemReader
from services.vector_ops.languages.rust.notation import UNKNOWN, add_step, end_receiver, nest, render_type
from services.vector_ops.languages.rust.patterns import list_bindings, list_parts
from services.vector_ops.languages.rust.scopes import Scope
from services.vector_ops.languages.rust.values import Describer, render_path

_BLANK = re.compile(r"\b_\b")
_CONVERSIONS = frozenset({"from", "try_from"})
_OF_TRAITS = frozenset({"fmt", "eq", "cmp", "partial_cmp", "hash", "poll"})
"""Methods of the standard library's traits that are often called by the path of the trait."""

_FOLDING = frozenset({"fold", "try_fold", "scan"})
_NEVER_OURS = frozenset({"Some", "Ok", "Err", "None", "drop"})
_FILLING = frozenset({"push", "push_back", "push_front"})
_EMPTY = frozenset(
    {":Vec<_>", *(f"@{one}::{how} ()" for one in ("Vec", "VecDeque") for how in ("new", "with_capacity", "default"))}
)
_STANDARD_TYPES = frozenset(
    {"Vec", "String", "Option", "Box", "Self", "HashMap", "HashSet", "BTreeMap", "Arc", "Rc", "PathBuf", "Sized", "_"}
)


@dataclass(slots=True)
class UseReader:
    """Handlers of expressions; the references go where those of the definitions go."""

    describer: Describer
    items: ItemReader
    _closure_values: dict[int, tuple[str, ...]] = field(default_factory=dict)
    _path_end: int = -1
    _type_end: int = -1

    def _end(self, node: Node) -> int:
        return self.describer.source.base_byte + node.end_byte

    def _start(self, node: Node) -> int:
        return self.describer.source.base_byte + node.start_byte

    def _refer(self, node: Node, name: str, kind: str, target: str) -> None:
        line, column = self.describer.source.place(node)
        self.items.references.append(Reference(name, kind, self.describer.scopes.top.symbol, line, column, target))

    def open_block(self, node: Node) -> None:
        """Open a scope of locals."""
        self.describer.scopes.open_block(self._end(node))

    def leave_condition(self, node: Node) -> None:
        """Forget what the condition of an `if let` binds: it is not bound in the `else`."""
        top, given = self.describer.scopes.top, node.prev_named_sibling
        if top.end == self._end(node) and top.locals:
            if given is not None and node.parent is not None:
                self.describer.results[self._start(node.parent)] = self.describer.describe(given)
            top.locals.clear()

    def open_match(self, node: Node) -> None:
        """Open a match, remembering what it looks at."""
        value = self.describer.describe(self.describer.child(node, "value"))
        self.describer.scopes.open_block(self._end(node), value).match_start = self._start(node)

    def open_arm(self, node: Node) -> None:
        """Open an arm, binding what its pattern binds."""
        scrutinee, start = self.describer.scopes.find_scrutinee()
        scope = self.describer.scopes.open_block(self._end(node))
        self._bind(node, scope, scrutinee)
        if self.describer.results.get(start, UNKNOWN) == UNKNOWN:
            self.describer.results[start] = self.describer.describe(self.describer.child(node, "value"))

    def open_loop(self, node: Node) -> None:
        """Open a `for`, binding what it iterates over."""
        value = self.describer.describe(self.describer.child(node, "value"))
        scope = self.describer.scopes.open_block(self._end(node))
        self._bind(node, scope, add_step(value, "*"))

    def _bind(self, node: Node, scope: Scope, value: str) -> None:
        pattern = self.describer.child(node, "pattern")
        if pattern is not None:
            scope.locals.update(list_bindings(self.describer, pattern, value))

    def open_closure(self, node: Node) -> None:
        """Open a closure; a parameter without a type holds what the receiver of the call holds."""
        hints = self._closure_values.pop(self._start(node), (UNKNOWN,))
        scope = self.describer.scopes.open_block(self._end(node))
        parameters = self.describer.child(node, "parameters")
        for at, one in list_parts(parameters) if parameters is not None else ():
            if one.type != "parameter":
                scope.locals.update(list_bindings(self.describer, one, hints[min(at, len(hints) - 1)]))
                continue
            pattern, annotated = self.describer.child(one, "pattern"), self.describer.child(one, "type")
            if pattern is not None and annotated is not None:
                text = render_type(self.describer.source.read(annotated), scope.names)
                scope.locals.update(list_bindings(self.describer, pattern, f":{text}"))

    def read_let(self, node: Node) -> None:
        """Bind the names of a `let`, or of the condition of an `if let`."""
        pattern = self.describer.child(node, "pattern")
        if pattern is None:
            return
        annotated = self.describer.child(node, "type")
        text = render_type(self.describer.source.read(annotated), self.describer.scopes.top.names) if annotated else ""
        if text and text != UNKNOWN and not _BLANK.search(text):
            value = f":{text}"
        else:
            value = self.describer.describe(self.describer.child(node, "value"))
            value = add_step(value, f"&{text}") if text and value != UNKNOWN else value
        self.describer.scopes.top.locals.update(list_bindings(self.describer, pattern, value))

    def read_closure_arguments(self, node: Node) -> None:
        """Say of closures among arguments what their parameters may hold: what the receiver of the call yields."""
        function = node.prev_named_sibling
        if function is not None and function.type == "generic_function":
            function = self.describer.child(function, "function")
        if function is None:
            return
        is_method = function.type == "field_expression"
        value = self.describer.describe(self.describer.child(function, "value") if is_method else function)
        name = self.describer.child(function, "field") if is_method else None
        method = self.describer.source.read(name) if name is not None else ""
        hints: tuple[str, ...] = (add_step(value, f"|{method}"), add_step(value, f"|{method}#1"))
        if method in _FOLDING:
            hints = (self.describer.describe(node.named_child(0)), *hints)
        for one in node.named_children:
            if one.type == "closure_expression":
                self._closure_values[self._start(one)] = hints

    def read_call(self, node: Node) -> None:
        """Read a call: of a name, of a path, or of a method."""
        function = self.describer.child(node, "function")
        if function is not None and function.type == "generic_function":
            function = self.describer.child(function, "function")
        if function is None:
            return
        kind = function.type
        if kind == "field_expression":
            self._refer_method(node, function)
        elif kind == "identifier":
            text = self.describer.source.read(function)
            if text not in _NEVER_OURS and self.describer.scopes.find_local(text) is None:
                self._refer(function, text, "call", "")
        elif kind == "scoped_identifier":
            self._refer_called(node, function)

    def _refer_method(self, node: Node, function: Node) -> None:
        name, receiver = self.describer.child(function, "field"), self.describer.child(function, "value")
        if name is None or name.type != "field_identifier":
            return
        text = self.describer.source.read(name)
        self._refer(name, text, "call", end_receiver(self.describer.describe(receiver)))
        if text in _FILLING and receiver is not None and receiver.type == "identifier":
            self._fill(receiver, node)

    def _fill(self, receiver: Node, call: Node) -> None:
        """Let an empty list that was made without a type hold what is put into it."""
        name = self.describer.source.read(receiver)
        if self.describer.scopes.find_local(name) in _EMPTY:
            given = self.describer.describe_argument(call)
            if given not in {"", UNKNOWN}:
                self.describer.scopes.bind_again(name, add_step(given, "^Vec"))

    def _refer_called(self, node: Node, function: Node) -> None:
        """Note the call of a path; `Default::default` is that of the type which is asked for."""
        is_default = self.describer.source.read(function) == "Default::default"
        wanted = self.describer.describe_wanted(node) if is_default else ""
        name = self.describer.child(function, "name")
        if not wanted or name is None:
            self._refer_path(function, "call", node)
            return
        self._path_end = self._end(function)
        self._refer(name, "default", "call", end_receiver(wanted))

    def _refer_path(self, node: Node, kind: str, call: Node | None = None) -> None:
        self._path_end = self._end(node)
        name, path = self.describer.child(node, "name"), self.describer.child(node, "path")
        if name is None:
            return
        prefix = ""
        if path is not None:
            prefix = render_path(self.describer.source.read(path), self.describer.scopes.top.names)
        text = self.describer.source.read(name)
        given = self._read_given(call, text) if call is not None and prefix else ""
        self._refer(name, text, kind, f"{prefix}::{'=' if given else ''}{given}")

    def _read_given(self, call: Node, name: str) -> str:
        """Return the first argument where it decides what is called: of a conversion, and what is handed to a trait."""
        if name in _CONVERSIONS or name in _OF_TRAITS:
            return nest(self.describer.describe_argument(call))
        arguments = self.describer.child(call, "arguments")
        first = arguments.named_child(0) if arguments is not None and arguments.named_child_count else None
        return nest(self.describer.describe(first)) if first is not None and first.type == "self" else ""

    def read_path(self, node: Node) -> None:
        """Read a path that is not called."""
        if self._start(node) >= self._path_end:
            self._refer_path(node, "use")

    def skip_paths(self, node: Node) -> None:
        """Read no paths before the end of this node."""
        self._path_end = self._end(node)

    def read_value(self, node: Node) -> None:
        """Read a name that is handed on: a function, a constant."""
        text = self.describer.source.read(node)
        if self.describer.scopes.find_local(text) is None and text not in _NEVER_OURS:
            self._refer(node, text, "use", "")

    def read_construct(self, node: Node) -> None:
        """Read a struct literal."""
        name = self.describer.child(node, "name")
        if name is None:
            return
        if name.type == "generic_type_with_turbofish":
            name = self.describer.child(name, "type") or name
        self._type_end = self._end(name)
        text = render_path(self.describer.source.read(name), self.describer.scopes.top.names)
        head, _, last = text.rpartition("::")
        at = self.describer.child(name, "name") if name.type == "scoped_type_identifier" else name
        self._refer(at or name, last, "new", f"{head}::" if head else "")

    def read_type(self, node: Node) -> None:
        """Read the mention of a type."""
        start = self._start(node)
        if start < self._type_end or start in self.items.named_at:
            return
        self._type_end = self._end(node)
        text = self.describer.source.read(node)
        names = self.describer.scopes.top.names
        if text in _STANDARD_TYPES or text in names:
            return
        if node.type == "type_identifier":
            self._refer(node, text, "annotate", "")
            return
        head, _, last = render_type(text, names).rpartition("::")
        at = self.describer.child(node, "name")
        if head and at is not None:
            self._refer(at, last, "annotate", f"{head}::")
