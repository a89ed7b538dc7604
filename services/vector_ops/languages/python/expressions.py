"""What an expression may hold."""

from collections.abc import Callable

from tree_sitter import Node

from services.vector_ops.languages.python.annotations import PLAIN, Values, join_tuple, name_argument
from services.vector_ops.languages.python.flows import Flows, find_argument
from services.vector_ops.languages.python.literals import Literals
from services.vector_ops.languages.python.scopes import Bound, Scope
from services.vector_ops.languages.python.syntax import child_at, field, number_kinds
from services.vector_ops.languages.python.values import MAX_LENGTH, Names, step, unite

_MAX_DEPTH = 16
_PASSING = frozenset({"list", "tuple", "set", "frozenset", "sorted", "reversed", "iter", "deque"})
_PAIRING = frozenset({"enumerate", "zip"})
_TELLING = _PASSING | _PAIRING | {"next", "type", "getattr"}


class Evaluator:
    """Evaluates the expressions of one file."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.literals = Literals(names)
        self.flows = Flows(names, self.literals)
        self._depth = 0
        numbers = number_kinds()
        self._kinds = {numbers[kind]: handler for kind, handler in self._list_handlers().items()}
        names.evaluate = self.evaluate
        names.take_item = self.literals.take_path
        names.iterate = self.literals.iterate
        names.enter = _enter
        names.flow = self.flows.flow_into

    def _list_handlers(self) -> dict[str, Callable[[Node, Scope], Values]]:
        return {
            **dict.fromkeys(_PLAIN_KINDS, _read_plain),
            "identifier": self._read_name,
            "attribute": self._read_attribute,
            "dotted_name": self._read_dotted,
            "call": self._read_call,
            "subscript": self._read_subscript,
            "parenthesized_expression": self._read_inner,
            "await": self._read_inner,
            "expression_list": self.literals.read_sequence,
            "list": self.literals.read_sequence,
            "tuple": self.literals.read_sequence,
            "set": self.literals.read_sequence,
            "dictionary": self.literals.read_mapping,
            "list_comprehension": self.literals.read_comprehension,
            "set_comprehension": self.literals.read_comprehension,
            "generator_expression": self.literals.read_comprehension,
            "dictionary_comprehension": self.literals.read_comprehension,
            "conditional_expression": self._read_conditional,
            "boolean_operator": self._read_boolean,
            "named_expression": self._read_walrus,
            "binary_operator": self._read_binary,
            "unary_operator": self._read_unary,
            "lambda": self._read_lambda,
            "string": self._read_constant,
            "integer": self._read_constant,
            "yield": self._read_yield_from,
            "none": _read_nothing,
        }

    def evaluate(self, node: Node, scope: Scope) -> Values:
        """Return what an expression may hold; nothing when that cannot be told."""
        handler = self._kinds.get(node.kind_id)
        if handler is None or self._depth > _MAX_DEPTH:
            return ()
        self._depth += 1
        found = handler(node, scope)
        self._depth -= 1
        return found

    def _read_name(self, node: Node, scope: Scope) -> Values:
        return self.names.look_up(self.names.walk.read(node), scope, node.start_byte)

    def read_dotted(self, text: str, scope: Scope, start: int) -> Values:
        """Return what names parted by dots may hold."""
        head, dot, rest = text.partition(".")
        values = self.names.look_up(head, scope, start)
        return tuple(found for one in values if len(found := walk_steps(one, rest)) <= MAX_LENGTH) if dot else values

    def _read_dotted(self, node: Node, scope: Scope) -> Values:
        return self.read_dotted(self.names.walk.read(node), scope, node.start_byte)

    def _read_attribute(self, node: Node, scope: Scope) -> Values:
        text = self.names.walk.read(node)
        if text.replace(".", "_").isidentifier():
            return self.read_dotted(text, scope, node.start_byte)
        owner, name = child_at(node, 0), child_at(node, node.named_child_count - 1)
        if owner is None or name is None:
            return ()
        values = self.evaluate(owner, scope)
        if not values:
            return ()
        text = self.names.walk.read(name)
        return tuple(found for one in values if len(found := step(one, text)) <= MAX_LENGTH)

    def _read_inner(self, node: Node, scope: Scope) -> Values:
        inner = child_at(node, 0)
        return self.evaluate(inner, scope) if inner is not None else ()

    def _read_conditional(self, node: Node, scope: Scope) -> Values:
        children = node.named_children
        if len(children) != 3:  # noqa: PLR2004 - value, condition, other value
            return ()
        return unite([self.evaluate(children[0], scope), self.evaluate(children[2], scope)])

    def _read_boolean(self, node: Node, scope: Scope) -> Values:
        return unite([self.evaluate(child, scope) for child in node.named_children if child.type != "comment"])

    def _read_binary(self, node: Node, scope: Scope) -> Values:
        children = node.children
        if len(children) != 3:  # noqa: PLR2004 - left, operator, right
            return ()
        return _operate(self.evaluate(children[0], scope), _BINARY.get(children[1].type, ""))

    def _read_unary(self, node: Node, scope: Scope) -> Values:
        children = node.children
        if len(children) != 2:  # noqa: PLR2004 - operator, operand
            return (PLAIN,)
        return _operate(self.evaluate(children[1], scope), _UNARY.get(children[0].type, "")) or (PLAIN,)

    def _read_walrus(self, node: Node, scope: Scope) -> Values:
        value = field(node, "value")
        return self.evaluate(value, scope) if value is not None else ()

    def _read_lambda(self, node: Node, _scope: Scope) -> Values:
        return self.flows.read_lambda(node)

    def _read_constant(self, node: Node, _scope: Scope) -> Values:
        if node.end_byte - node.start_byte > MAX_LENGTH or (node.type == "string" and node.named_child_count > 3):  # noqa: PLR2004
            return (PLAIN,)
        text = self.names.walk.read(node)
        return (f"'{text[1:-1]}",) if text[0] in "\"'" else (f"'#{text}",)

    def _read_yield_from(self, node: Node, scope: Scope) -> Values:
        inner = child_at(node, 0)
        return self.literals.iterate(self.evaluate(inner, scope)) if inner is not None else ()

    def _read_subscript(self, node: Node, scope: Scope) -> Values:
        owner = field(node, "value")
        keys = node.children_by_field_name("subscript")
        if owner is None or len(keys) != 1:
            return ()
        values = self.evaluate(owner, scope)
        found = self.literals.read_item(owner, keys[0], node, scope, values)
        if len(found) == 1 and found[0][-2:] == "[]" and keys[0].type in _NAMES:
            return (found[0] + name_argument(self.names.annotated(self.names.walk.read(keys[0]), scope)),)
        return found

    # calls

    def _read_call(self, node: Node, scope: Scope) -> Values:
        function = child_at(node, 0)
        if function is None:
            return ()
        if self.names.walk.content.endswith(b".__new__", 0, function.end_byte):
            return self._make_new(node, scope)
        found = [self._call_value(one, node, scope) for one in self.evaluate(function, scope)]
        return unite(found)

    def _make_new(self, node: Node, scope: Scope) -> Values:
        """Return what `__new__` makes: an instance of the class that it is given."""
        arguments = field(node, "arguments")
        first = child_at(arguments, 0) if arguments is not None else None
        values = self.evaluate(first, scope) if first is not None else ()
        return tuple(f"{one}()" for one in values if one[0] not in "!'{\\")

    def _call_value(self, value: str, node: Node, scope: Scope) -> Values:
        first = value[0]
        if first in "!'{" or value[-1] == ">":
            return self._call_builtin(value[1:], node, scope) if first == PLAIN else ()
        if first == "\\":
            return self.flows.call_lambda(value)
        if value[-1] == "~":
            return (value[:-1],)
        if value in _CASTS or value in _COPIES:
            return self._cast(node, scope, is_type=value in _CASTS)
        given = self.flows.call_function(value, node, scope)
        if given is None and value in _VARIABLES:
            given = self._read_bound(node, scope)
        if given is None:
            given = (f"{value}({self._name_argument(node, scope)})",) if len(value) <= MAX_LENGTH else ()
        return given

    def _read_bound(self, node: Node, scope: Scope) -> Values | None:
        """Return what a type variable is at least; None when that is not told."""
        arguments = field(node, "arguments")
        bound = find_argument(self.names, arguments, _NOWHERE, "bound") if arguments is not None else None
        values = self.names.annotated(self.names.walk.read(bound), scope) if bound is not None else ()
        return tuple(one[:-2] for one in values) if values and all(one.endswith("()") for one in values) else None

    def _name_argument(self, node: Node, scope: Scope) -> str:
        """Return what the first argument names, if it names a definition or an import: what is given may hang on it."""
        arguments = field(node, "arguments")
        first = child_at(arguments, 0) if arguments is not None else None
        if first is None or first.type not in {"identifier", "attribute"}:
            return ""
        text = self.names.walk.read(first)
        head = text.partition(".")[0]
        owner = self.names.find_scope(scope, head) if text.replace(".", "_").isidentifier() else None
        if owner is None or len(owner.names[head]) > 1 or owner.names[head][0].how not in _NAMED:
            return ""
        values = self.read_dotted(text, scope, first.start_byte)
        return values[0] if len(values) == 1 and len(values[0]) < _MAX_ARGUMENT and "(" not in values[0] else ""

    def _cast(self, node: Node, scope: Scope, *, is_type: bool) -> Values:
        """Return what a call gives that is of the type of its first argument, or of the type that this names."""
        arguments = field(node, "arguments")
        first = child_at(arguments, 0) if arguments is not None else None
        if first is None:
            return ()
        return self.names.annotated(self.names.walk.read(first), scope) if is_type else self.evaluate(first, scope)

    def _call_builtin(self, name: str, node: Node, scope: Scope) -> Values:
        if name == "super":
            return _find_super(scope)
        arguments = field(node, "arguments")
        parts = arguments.named_children if arguments is not None else []
        if name not in _TELLING or not parts:
            return (PLAIN,) if name not in _GIVING else ()
        return self._call_telling(name, parts, scope)

    def _call_telling(self, name: str, parts: list[Node], scope: Scope) -> Values:
        """Return what a builtin gives that passes on what it is given."""
        if name == "getattr":
            return self._get_attribute(parts, scope)
        values = self.evaluate(parts[0], scope)
        if name in _PAIRING:
            return self._pair([self.literals.iterate(self.evaluate(one, scope)) for one in parts], name)
        if name == "next":
            return self.literals.iterate(values)
        if name == "type":
            return tuple(one[:-2] for one in values if one.endswith("()"))
        return values

    def _pair(self, groups: list[Values], name: str) -> Values:
        joined = join_tuple([(PLAIN,), groups[0]] if name == "enumerate" else groups)
        return (f"{joined}#",) if joined != PLAIN else ()

    def _get_attribute(self, parts: list[Node], scope: Scope) -> Values:
        names = self.evaluate(parts[1], scope) if len(parts) > 1 else ()
        if len(names) != 1 or names[0][0] != "'" or not names[0][1:].isidentifier():
            return ()
        return tuple(step(one, names[0][1:]) for one in self.evaluate(parts[0], scope))


_NAMES = frozenset({"identifier", "attribute", "string", "subscript"})
_NOWHERE = 1 << 20
_MAX_ARGUMENT = 80
_NAMED = frozenset({Bound.SYMBOL, Bound.IMPORT})
_VARIABLES = frozenset({"typing:TypeVar", "typing_extensions:TypeVar"})
_COPIES = frozenset({"copy:copy", "copy:deepcopy", "dataclasses:replace"})
_CASTS = frozenset({"typing:cast", "typing:.cast", "typing_extensions:cast", "t:cast"})
_GIVING = frozenset(
    "map filter zip enumerate max min sum vars globals locals eval __import__ property object getattr".split()  # noqa: SIM905 - words in lines read better
)
_PLAIN_KINDS = (
    "float concatenated_string true false comparison_operator not_operator ellipsis".split()  # noqa: SIM905 - words in lines read better
)


_BINARY = {
    "+": "add",
    "-": "sub",
    "*": "mul",
    "/": "truediv",
    "//": "floordiv",
    "%": "mod",
    "@": "matmul",
    "&": "and",
    "|": "or",
    "^": "xor",
    "<<": "lshift",
    ">>": "rshift",
    "**": "pow",
}
_UNARY = {"~": "invert", "-": "neg", "+": "pos"}


def _operate(values: Values, name: str) -> Values:
    """Return what the method of an operator gives; a collection stays one when it is added to or united."""
    found = []
    for one in values:
        if one[0] in "!'":
            found.append(PLAIN)
        elif one[0] == "{" or one[-1] in "#>":
            found.extend((one,) if name in {"add", "or"} else ())
        elif one[0] != "\\" and name and len(one) <= MAX_LENGTH:
            found.append(f"{step(one, f'__{name}__')}()")
    return unite([tuple(found)])


def walk_steps(value: str, dotted: str) -> str:
    """Return an attribute of an attribute of a value."""
    if value[0] in "!'{\\" or value[-1] == ">":
        return PLAIN
    if value[-1] not in "#~":
        return f"{value}{dotted}" if value[-1] == ":" else f"{value}.{dotted}"
    for name in dotted.split("."):
        value = step(value, name)
    return value


def _find_super(scope: Scope) -> Values:
    current: Scope | None = scope
    while current is not None and current.kind != "class":
        current = current.parent
    return () if current is None else (f":{current.qualname}^",)


def _enter(values: Values) -> Values:
    return tuple(one[:-1] if one[-1] == "#" else one if one[0] in "!'{\\" else f"{one}&" for one in values)


def _read_plain(_node: Node, _scope: Scope) -> Values:
    return (PLAIN,)


def _read_nothing(_node: Node, _scope: Scope) -> Values:
    return ()
