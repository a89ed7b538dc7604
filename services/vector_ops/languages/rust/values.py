"""Describes the value of an expression in the notation, by looking down its chain of receivers."""

import re
from dataclasses import dataclass, field

from tree_sitter import Node

from services.vector_ops.languages.rust.grammar import Grammar, Source
from services.vector_ops.languages.rust.notation import UNKNOWN, add_step, join_tuple, nest, render_type
from services.vector_ops.languages.rust.scopes import ScopeStack

_MAX_STEPS = 40
_MAX_NESTED = 3
_MAX_WRAPPED = 8
_MAX_LIST_BYTES = 2_000
_MADE = re.compile(rb"^\s*&?(?:[A-Z_a-z]\w*\s*(?:::|[({.,;]|$))")
"""A list that begins so may hold values of a type that is worth knowing."""
_LITERALS = {
    "string_literal": ":str",
    "raw_string_literal": ":str",
    "char_literal": ":char",
    "integer_literal": ":i32",
    "float_literal": ":f64",
    "boolean_literal": ":bool",
    "unit_expression": ":()",
    "range_expression": ":Range",
    "closure_expression": ":Fn",
}
_POSTFIX = {"try_expression": "?", "index_expression": "[]", "await_expression": "await",
            "array_expression": "^[]"}  # fmt: skip
_RESULTS = frozenset(
    """map and_then flat_map filter_map map_while find_map then map_or map_or_else unwrap_or_else or_insert_with
    get_or_insert_with get_or_init""".split()  # noqa: SIM905
)
_BOOLEAN = frozenset({"==", "!=", "<", ">", "<=", ">=", "&&", "||"})
_MACROS = {"format": ":String", "vec": ":Vec<_>", "concat": ":str", "stringify": ":str", "env": ":str",
           "include_str": ":str", "write": ":Result<_,_>", "writeln": ":Result<_,_>", "matches": ":bool",
           "println": ":()", "print": ":()", "eprintln": ":()", "line": ":u32"}  # fmt: skip
_WRAPPERS = {
    "Some": "Option",
    "Ok": "Result",
    "Err": "Failed",
    "Poll::Ready": "Poll",
    "Box::pin": "Pin",
    "Box::leak": "Box",
    "Pin::new_unchecked": "Pin",
    "Arc::downgrade": "Weak",
    "Rc::downgrade": "Weak",
    **{f"Cow::{one}": "Cow" for one in ("Borrowed", "Owned")},
    **{f"NonNull::{one}": "NonNull" for one in ("new", "new_unchecked", "from")},
    **{f"{one}::new": one for one in ("Box", "Rc", "Arc", "Mutex", "RwLock", "RefCell", "Cell", "Pin")},
}
_SAME = frozenset(
    """mem::take mem::replace std::mem::take std::mem::replace core::mem::take core::mem::replace Arc::clone
    Rc::clone Pin::into_inner Pin::get_mut Pin::into_inner_unchecked Pin::get_unchecked_mut""".split()  # noqa: SIM905
)
"""Functions that give what their first argument refers to."""
_PASSED = frozenset(
    {"parenthesized_expression", "reference_expression", "unary_expression", "unsafe_block",
     "block", "async_block", "expression_statement", "const_block"}
)  # fmt: skip


@dataclass(slots=True)
class Describer:
    """Describes expressions of one source, in the scopes that are open."""

    grammar: Grammar
    source: Source
    scopes: ScopeStack
    results: dict[int, str] = field(default_factory=dict)
    """What the arms of a match give back, by the byte where it begins."""
    _nested: int = 0

    def child(self, node: Node, field: str) -> Node | None:
        """Return the child of a node in a field."""
        return node.child_by_field_id(self.grammar.field[field])

    def describe(self, node: Node | None) -> str:
        """Return the value of an expression."""
        steps: list[str] = []
        for _ in range(_MAX_STEPS):
            if node is None:
                return UNKNOWN
            base, node = self._describe_one(node, steps)
            if base:
                return self._join(base, steps)
        return UNKNOWN

    def _describe_one(self, node: Node, steps: list[str]) -> tuple[str, Node | None]:
        """Return the base that an expression is; or note its step, and return the expression to go on with."""
        kind = node.type
        if kind == "call_expression":
            return self._step_into_call(node, steps)
        if kind == "field_expression":
            steps.append(f".{self._read_field(node, 'field')}")
            return "", self.child(node, "value")
        if kind == "index_expression" and node.named_child_count > 1 and node.named_child(1).type == "range_expression":
            return "", node.named_child(0)
        if kind in _POSTFIX:
            steps.append(_POSTFIX[kind])
            return "", node.named_child(0) if node.named_child_count else None
        if kind in _PASSED:
            if kind == "unary_expression" and self.source.text.startswith(b"**self", node.start_byte):
                # `self` is a reference: only the second star follows a pointer.
                steps.append(".deref()")
            return "", _last_named(node)
        return self._describe_base(node, kind)

    def describe_argument(self, call: Node) -> str:
        """Return the value of the first argument of a call."""
        arguments = self.child(call, "arguments")
        return self.describe(arguments.named_child(0)) if arguments is not None and arguments.named_child_count else ""

    def describe_wanted(self, node: Node) -> str:
        """Return the value that the place of an expression asks for; nothing where it asks for none that is named.

        Such places are a field, the rest of a struct, a `let` with a type, and the end of a function.
        """
        parent = node.parent
        if parent is None:
            return ""
        if parent.type == "let_declaration":
            return self._describe_type(self.child(parent, "type"), "")
        holder = parent.parent
        if parent.type == "block" and holder is not None and _last_named(parent) == node:
            return self._describe_type(self.child(holder, "return_type"), "")
        field = self.child(parent, "field") if parent.type == "field_initializer" else None
        if holder is None or (field is None and parent.type != "base_field_initializer"):
            return ""
        step = f" .{self.source.read(field)}" if field is not None else ""
        return self._describe_type(self.child(holder.parent, "name") if holder.parent is not None else None, step)

    def _describe_type(self, kind: Node | None, step: str) -> str:
        return f":{render_path(self.source.read(kind), self.scopes.top.names)}{step}" if kind is not None else ""

    def describe_body(self, node: Node) -> str:
        """Return the value of a block: what its last expression gives, seen with the locals before it."""
        scope = self.scopes.open_block(1 << 60)
        if self.scopes.top is not scope:
            return UNKNOWN
        for _ in range(_MAX_WRAPPED):
            if node.type in {"block", "expression_statement"} and node.named_child_count:
                self._bind_plainly(node, scope.locals)
                node = node.named_child(node.named_child_count - 1)
        found = self.describe(node)
        self.scopes.close_last()
        return "" if found == UNKNOWN else found

    def _bind_plainly(self, block: Node, names: dict[str, str]) -> None:
        for one in block.named_children[:-1]:
            pattern = self.child(one, "pattern") if one.type == "let_declaration" else None
            if pattern is not None and pattern.type == "identifier":
                names[self.source.read(pattern)] = self.describe(self.child(one, "value"))

    def _join(self, base: str, steps: list[str]) -> str:
        for step in reversed(steps):
            base = add_step(base, step)
        return base

    def _read_field(self, node: Node, field: str) -> str:
        child = self.child(node, field)
        return self.source.read(child) if child is not None else ""

    def _step_into_call(self, node: Node, steps: list[str]) -> tuple[str, Node | None]:
        """Return the base when the callee is a path, or the receiver to go on with."""
        function, turbofish = self.child(node, "function"), ""
        if function is not None and function.type == "generic_function":
            types = self._read_field(function, "type_arguments").removeprefix("::")
            turbofish = render_type(types[1:-1], self.scopes.top.names)
            function = self.child(function, "function")
        if function is None:
            return UNKNOWN, None
        kind = function.type
        if kind == "field_expression":
            name = self._read_field(function, "field")
            result = f"<{turbofish}>" if turbofish else self._describe_result(node, name)
            steps.append(f".{name}(){result}")
            return "", self.child(function, "value")
        if kind in {"identifier", "scoped_identifier"}:
            return self._describe_called(node, function, kind, turbofish, steps)
        steps.append("()")
        return "", function

    def _describe_result(self, node: Node, name: str) -> str:
        """Return what the closure gives back that is handed to this method, as a suffix of its step."""
        arguments = self.child(node, "arguments") if name in _RESULTS and self._may_nest() else None
        given = _last_named(arguments) if arguments is not None else None
        if given is None:
            return ""
        if given.type == "scoped_identifier":
            return f"=@{render_path(self.source.read(given), self.scopes.top.names)};()"
        if given.type != "closure_expression":
            return ""
        scope, parameters = self.scopes.open_block(1 << 60), self.child(given, "parameters")
        names = parameters.named_children if parameters is not None else []
        scope.locals.update(self._list_given(names))
        self._nested += 1
        nested = nest(self.describe(self.child(given, "body")))
        self._nested -= 1
        self.scopes.close_last()
        return f"={nested}" if nested else ""

    def _list_given(self, parameters: list[Node]) -> dict[str, str]:
        """Return the names that the parameters of a closure bind: to what it is given, or to parts of it."""
        value = "$" if len(parameters) == 1 else UNKNOWN
        found = {self.source.read(one): value for one in parameters if one.type == "identifier"}
        if len(parameters) == 1 and parameters[0].type == "tuple_pattern":
            at = 0
            for one in parameters[0].children:
                at += one.type == ","
                if one.type == "identifier":
                    found[self.source.read(one)] = f"$ #{at}"
        return found

    def _describe_called(
        self, node: Node, function: Node, kind: str, turbofish: str, steps: list[str]
    ) -> tuple[str, Node | None]:
        text = self.source.read(function)
        if kind == "identifier":
            local = self.scopes.find_local(text)
            if local is not None:
                return add_step(local, "()"), None
        wrapper = _WRAPPERS.get(text)
        arguments = self.child(node, "arguments") if wrapper or text in _SAME else None
        if arguments is not None and arguments.named_child_count:
            if wrapper:
                steps.append(f"^{wrapper}")
            return "", arguments.named_child(0)
        return f"@{render_path(text, self.scopes.top.names)} ()" + (f"<{turbofish}>" if turbofish else ""), None

    def _describe_base(self, node: Node, kind: str) -> tuple[str, Node | None]:
        """Return the base that this expression is, or the expression to go on with."""
        names = self.scopes.top.names
        literal = _LITERALS.get(kind)
        if literal:
            return literal, None
        if kind == "identifier":
            text = self.source.read(node)
            return self.scopes.find_local(text) or f"@{text}", None
        if kind == "self":
            return f":{names.get('Self', UNKNOWN)}", None
        if kind == "scoped_identifier":
            return f"@{render_path(self.source.read(node), names)}", None
        if kind == "struct_expression":
            return f":{render_type(self._read_field(node, 'name').replace('::<', '<'), names)}", None
        return self._describe_rest(node, kind)

    def _describe_rest(self, node: Node, kind: str) -> tuple[str, Node | None]:
        if kind == "type_cast_expression":
            return f":{render_type(self._read_field(node, 'type'), self.scopes.top.names)}", None
        if kind == "macro_invocation":
            name = self._read_field(node, "macro")
            if name == "vec":
                return self._describe_list(node), None
            return _MACROS.get(name.rpartition("::")[2], f"@{name}!"), None
        if kind in {"if_expression", "match_expression"}:
            known = self.results.get(self.source.base_byte + node.start_byte, UNKNOWN)
            is_plain = known == UNKNOWN and kind == "if_expression"
            return ("", self.child(node, "consequence")) if is_plain else (known, None)
        if kind == "tuple_expression":
            return join_tuple([self._describe_part(one) for one in node.named_children[:6]]) or UNKNOWN, None
        is_comparison = kind == "binary_expression" and node.child_count > 1 and node.child(1).type in _BOOLEAN
        return (":bool" if is_comparison else UNKNOWN), None

    def _describe_list(self, node: Node) -> str:
        """Return the value of `vec![...]`, by its first element."""
        tokens = node.named_child(node.named_child_count - 1)
        text = self.source.text[tokens.start_byte + 1 : tokens.end_byte - 1]
        if len(text) > _MAX_LIST_BYTES or not _MADE.search(text) or not self._may_nest():
            return ":Vec<_>"
        root, outer = self.grammar.parse(b"[" + text + b"];"), self.source
        statement = root.named_child(0) if not root.has_error else None
        self.source, self._nested = Source(b"[" + text + b"];", outer.is_ascii), self._nested + 1
        found = self.describe(statement.named_child(0) if statement is not None else None)
        self.source, self._nested = outer, self._nested - 1
        return found.removesuffix(" ^[]") + " ^Vec" if found.endswith(" ^[]") else ":Vec<_>"

    def _describe_part(self, node: Node) -> str:
        if not self._may_nest():
            return UNKNOWN
        self._nested += 1
        found = self.describe(node)
        self._nested -= 1
        return found

    def _may_nest(self) -> bool:
        return self._nested < _MAX_NESTED and not self.scopes.is_full


def render_path(text: str, names: dict[str, str]) -> str:
    """Return the notation of a path of an expression: `Self` and type parameters replaced, no turbofish."""
    return render_type(text.replace("::<", "<"), names)


def _last_named(node: Node) -> Node | None:
    count = node.named_child_count
    return node.named_child(count - 1) if count else None
