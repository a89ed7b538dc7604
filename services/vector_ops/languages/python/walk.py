"""One pass over the captured syntax: scopes, bindings, definitions, imports, and what is called or mentioned."""

from collections.abc import Callable, Iterator
from operator import attrgetter

from tree_sitter import Node

from services.vector_ops.languages.facts import FILE, Import
from services.vector_ops.languages.python.binding import bind_pattern, bind_target
from services.vector_ops.languages.python.defining import Drafting
from services.vector_ops.languages.python.scopes import Binding, Bound, ItemSet, Scope, Spot
from services.vector_ops.languages.python.syntax import capture, field, number_kinds

_MAX_INDENT = 200
UNCLAIMED = FILE - 1
"""The symbol of a scope that belongs to the definition around it."""

_BODY = attrgetter("body_start")
Handler = Callable[[Node, Scope], None]


class Walk:
    """What the walk leaves; `drafts` by their place, `calls` and `uses` in document order."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.text = content.decode("ascii") if content.isascii() else ""
        self.module = Scope("module", "", FILE, None, -1, len(content) + 1)
        self.drafting = Drafting(content, self.cut)
        self.imports: list[Import] = []
        self.captures = capture(content)
        self.scopes: list[Scope] = []
        self.patterns: list[Spot] = []
        self.decorations: list[tuple[Spot, int]] = []
        self.raises: list[Spot] = []
        self.loops: list[Spot] = []
        self.lambdas: dict[int, Scope] = {}
        self.comprehensions: dict[int, Scope] = {}
        self.item_sets: dict[str, list[ItemSet]] = {}
        self._inner = self.module
        self._handlers = self._list_handlers()

    def run(self) -> None:
        """Walk the source."""
        names, last = self._handlers, self.module
        for node in self.captures.scoped:
            start = node.start_byte
            scope = self._inner
            while start >= scope.end:
                scope = scope.parent or self.module
            self._inner = scope
            while start < scope.body_start:
                scope = scope.parent or self.module
            handler = names.get(node.kind_id)
            if handler is not None:
                handler(node, scope)
            if self._inner is not last:
                last = self._inner
                if last.body_start >= start:
                    self.scopes.append(last)
        self.scopes.sort(key=_BODY)

    def _list_handlers(self) -> dict[int, Handler]:
        handlers: dict[str, Handler] = {
            "assignment": self._on_assignment,
            "function_definition": self._on_function,
            "class_definition": self._on_class,
            "decorated_definition": self._on_decorated,
            "lambda": self._on_lambda,
            "list_comprehension": self._on_comprehension,
            "set_comprehension": self._on_comprehension,
            "dictionary_comprehension": self._on_comprehension,
            "generator_expression": self._on_comprehension,
            "for_in_clause": self._on_loop,
            "for_statement": self._on_loop,
            "as_pattern": self._on_as,
            "named_expression": self._on_walrus,
            "type_alias_statement": self._on_alias,
            "import_statement": self._on_import,
            "import_from_statement": self._on_import_from,
            "global_statement": self._on_outer_names,
            "nonlocal_statement": self._on_outer_names,
            "return_statement": self._on_return,
            "yield": self._on_yield,
            "class_pattern": self._on_class_pattern,
            "dotted_name": self._on_capture,
            "raise_statement": self._on_raise,
        }
        numbers = number_kinds()
        return {numbers[kind]: handler for kind, handler in handlers.items()}

    def list_scopes(self) -> Iterator[Scope]:
        """Yield every scope, those too that hold nothing that matters."""
        yield self.module
        yield from (draft.inner for draft in self.drafting.drafts if draft.inner is not None)
        yield from self.lambdas.values()
        yield from self.comprehensions.values()

    def read(self, node: Node) -> str:
        """Return the text of a node."""
        return self.cut(node.start_byte, node.end_byte)

    def cut(self, start: int, end: int) -> str:
        """Return the text between two bytes; in ASCII, which is decoded once, they count characters too."""
        return self.text[start:end] or self.content[start:end].decode("utf-8", "replace")

    def indentation(self, start: int) -> int:
        """Return how far the line of a byte is indented."""
        if start > len(self.content):
            return 0
        line = self.content.rfind(b"\n", 0, start) + 1
        head = self.content[line : line + _MAX_INDENT]
        return len(head) - len(head.lstrip(b" \t"))

    def place(self, nodes: list[Node]) -> Iterator[tuple[Node, int, Scope]]:
        """Yield each of the nodes (by where they start) with its start and its scope."""
        scopes, count, index, scope = self.scopes, len(self.scopes), 0, self.module
        for node in nodes:
            start = node.start_byte
            while start >= scope.end:
                scope = scope.parent or self.module
            while index < count and scopes[index].body_start <= start:
                if start < scopes[index].end:
                    scope = scopes[index]
                index += 1
            yield node, start, scope

    # definitions

    def _on_decorated(self, node: Node, scope: Scope) -> None:
        marks = []
        first = len(self.decorations)  # not every decorator is one whose target is followed: `@buttons[0].clicked`
        for child in node.children:
            if child.type == "decorator" and child.named_child_count:
                expression = child.named_children[0]
                name = expression.child_by_field_name("function") if expression.type == "call" else expression
                marks.append(self.read(name if name is not None else expression))
                if expression.type in {"identifier", "attribute", "call"}:
                    self.decorations.append((Spot(expression, scope), -1))
        self.drafting.expect(node, tuple(marks), first)

    def _on_function(self, node: Node, scope: Scope) -> None:
        at = self.drafting.define_function(node, scope)
        if at == FILE:
            return
        draft = self.drafting.drafts[at]
        self._inner = draft.inner or self._inner
        self._claim_decorations(at)

    def _claim_decorations(self, at: int) -> None:
        start = self.drafting.claim()
        for index in range(start, len(self.decorations)):
            spot, owner = self.decorations[index]
            if owner == FILE:
                self.decorations[index] = (spot, at)

    def _on_class(self, node: Node, scope: Scope) -> None:
        at = self.drafting.define_class(node, scope)
        if at == FILE:
            return
        self._inner = self.drafting.drafts[at].inner or self._inner
        self._claim_decorations(at)

    # scopes without a name

    def _on_lambda(self, node: Node, scope: Scope) -> None:
        body = field(node, "body")
        start = body.start_byte if body is not None else node.end_byte
        inner = Scope("function", scope.qualname, UNCLAIMED, scope, start, node.end_byte, node=node)
        self.lambdas[node.start_byte] = inner
        if body is not None:
            inner.returns.append(body)
        self.drafting.bind_parameters(field(node, "parameters"), inner, "")
        self._inner = inner

    def _on_comprehension(self, node: Node, scope: Scope) -> None:
        inner = Scope("comprehension", scope.qualname, scope.symbol, scope, node.start_byte, node.end_byte)
        self.comprehensions[node.start_byte] = self._inner = inner

    # bindings

    def _on_loop(self, node: Node, scope: Scope) -> None:
        left, right = field(node, "left"), field(node, "right")
        if left is None or right is None:
            return
        bind_pattern(self, left, scope, Binding(Bound.ITEM, right.end_byte, node.start_point[1] + 1, scope, right))
        if right.type in {"identifier", "call", "attribute"}:
            self.loops.append(Spot(right, scope))

    def _on_as(self, node: Node, scope: Scope) -> None:
        children = node.named_children
        if len(children) < 2:  # noqa: PLR2004 - a value and its name
            return
        value, alias = children[0], children[-1]
        parent = node.parent
        how = Bound.ENTERED
        if parent is not None and parent.type == "except_clause":
            how = Bound.TYPED
        elif parent is not None and parent.type == "case_pattern":
            how = Bound.CLOSED
        text = self.read(value) if how == Bound.TYPED else ""
        bind_pattern(self, alias, scope, Binding(how, value.end_byte, node.start_point[1], scope, value, text))

    def _on_walrus(self, node: Node, scope: Scope) -> None:
        name, value, owner = field(node, "name"), field(node, "value"), scope
        while owner.kind == "comprehension" and owner.parent is not None:
            owner = owner.parent
        if name is not None and value is not None:
            owner.bind(self.read(name), Binding(Bound.VALUE, node.end_byte, node.start_point[1], scope, value))

    def _on_assignment(self, node: Node, scope: Scope) -> None:
        children = node.children
        left, annotation, right = children[0], None, None
        if len(children) > 1 and children[1].type == ":":
            annotation = children[2] if len(children) > 2 else None  # noqa: PLR2004
            right = children[4] if len(children) > 4 else None  # noqa: PLR2004
        elif len(children) > 2:  # noqa: PLR2004
            right = children[2]
        bind_target(self, left, node, scope, annotation=annotation, right=right)

    def _on_alias(self, node: Node, scope: Scope) -> None:
        left, right = field(node, "left"), field(node, "right")
        name = left.named_children[0] if left is not None and left.named_child_count else None
        if name is not None and name.type == "identifier":
            bind_target(self, name, node, scope, right=right)

    def _on_outer_names(self, node: Node, scope: Scope) -> None:
        scope.outer_names.update(self.read(child) for child in node.named_children)

    def _on_return(self, node: Node, scope: Scope) -> None:
        if node.named_child_count:
            scope.returns.append(node.named_children[0])

    def _on_yield(self, node: Node, scope: Scope) -> None:
        while scope.kind == "comprehension" and scope.parent is not None:
            scope = scope.parent
        if node.named_child_count:
            is_from = node.child_count > 1 and node.children[1].type == "from"
            scope.yields.append(node if is_from else node.named_children[0])

    # what other modules bring

    def _on_import(self, node: Node, scope: Scope) -> None:
        for child in node.children_by_field_name("name"):
            name, alias = field(child, "name"), field(child, "alias")
            module = self.read(name if name is not None else child)
            local = self.read(alias) if alias is not None else module.split(".", 1)[0]
            target = f"{module if alias is not None else local}:"
            self._bind_import(child, local, target, scope)
            self._add_import(child, local, module, "", scope)

    def _on_import_from(self, node: Node, scope: Scope) -> None:
        source = field(node, "module_name")
        if source is None:
            return
        module = "".join(self.read(source).split())
        for child in node.children_by_field_name("name"):
            name, alias = field(child, "name"), field(child, "alias")
            original = self.read(name if name is not None else child)
            local = self.read(alias) if alias is not None else original
            self._bind_import(child, local, f"{module}:{original}", scope)
            self._add_import(child, local, module, original, scope)
        for child in node.named_children:
            if child.type == "wildcard_import":
                self.module.has_star_import = True
                self._add_import(child, "*", module, "*", scope)

    def _bind_import(self, node: Node, local: str, target: str, scope: Scope) -> None:
        scope.bind(local, Binding(Bound.IMPORT, node.start_byte, node.start_point[1], scope, text=target))

    def _add_import(self, node: Node, local: str, module: str, name: str, scope: Scope) -> None:
        line, column = self.drafting.position(node)
        at = max(FILE, scope.symbol)
        self.imports.append(Import(local, module, name, at, line, column, scope.kind == "module"))

    # uses

    def _on_raise(self, node: Node, scope: Scope) -> None:
        if node.named_child_count and node.named_children[0].type in {"identifier", "attribute"}:
            self.raises.append(Spot(node.named_children[0], scope))

    def _on_class_pattern(self, node: Node, scope: Scope) -> None:
        if node.named_child_count:
            self.patterns.append(Spot(node.named_children[0], scope))

    def _on_capture(self, node: Node, scope: Scope) -> None:
        if node.named_child_count == 1:
            scope.bind(self.read(node), Binding(Bound.CLOSED, node.start_byte, node.start_point[1], scope))
        else:
            self.patterns.append(Spot(node, scope))
