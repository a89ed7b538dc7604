"""The walk itself: an explicit stack, positions, and the records that handlers leave."""

from collections.abc import Callable, Sequence

from tree_sitter import Node

from services.vector_ops.core.facts import Definition, Import
from services.vector_ops.expressions import MAX_TEXT, read_doc, read_spine, read_text
from services.vector_ops.scopes import Binding, RawDefinition, RawReference, Scope, Spine

Handler = Callable[[Node, Scope, str], None]


class Walker:
    """Walks a tree in document order without recursion: nesting of any depth costs memory, never the stack.

    Handlers are called with the node, its scope and the kind of use that a bare name at this place is.
    """

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.is_ascii = content.isascii()
        self.module = Scope("module", "")
        self.definitions: list[RawDefinition] = []
        self.references: list[RawReference] = []
        self.imports: list[Import] = []
        self._attributes: dict[str, RawDefinition] = {}
        self._stack: list[tuple[Node, Scope, str]] = []
        self._handlers: dict[str, Handler] = {}

    def run(self, root: Node) -> None:
        """Walk the tree."""
        self.push(root.named_children, self.module)
        while self._stack:
            node, scope, kind = self._stack.pop()
            handler = self._handlers.get(node.type)
            if handler is not None:
                handler(node, scope, kind)
            elif node.named_child_count:
                self.push(node.named_children, scope)

    def push(self, nodes: Sequence[Node | None], scope: Scope, kind: str = "name") -> None:
        """Visit `nodes` next, in order."""
        self._stack.extend((node, scope, kind) for node in reversed(nodes) if node is not None)

    def position(self, node: Node) -> tuple[int, int]:
        """Return line and column, both from 1; the column counts characters, not bytes."""
        row, column = node.start_point
        if not self.is_ascii:
            start = node.start_byte
            column = len(self.content[start - column : start].decode("utf-8", "replace"))
        return row + 1, column + 1

    def slice_text(self, start: int, end: int) -> str:
        """Return at most MAX_TEXT bytes of the source on one line."""
        return " ".join(self.content[start : min(end, start + MAX_TEXT)].decode("utf-8", "replace").split())

    def define(self, name: Node, node: Node, scope: Scope, kind: str, body: Node | None = None) -> RawDefinition:
        """Record a definition; its signature ends where `body` starts."""
        text = read_text(name)
        line, column = self.position(name)
        definition = Definition(
            name=text,
            qualname=scope.qualify(text),
            kind=kind,
            line=line,
            column=column,
            end_line=node.end_point[0] + 1,
            signature=self.slice_text(node.start_byte, body.start_byte if body is not None else node.end_byte),
            doc=read_doc(body) if body is not None else "",
        )
        raw = RawDefinition(definition, scope)
        self.definitions.append(raw)
        return raw

    def define_attribute(self, name: Node, node: Node, scope: Scope, kind: str, value: tuple[Scope, Binding]) -> None:
        """Record a module constant or a class attribute once, and every value that it is given and in which scope."""
        text = read_text(name)
        qualname = scope.qualify(text)
        raw = self._attributes.get(qualname)
        if raw is None:
            raw = self._attributes[qualname] = self.define(name, node, scope, kind)
            scope.bind(text, Binding(target=f":{qualname}"))
        raw.types.append(value)

    def refer(self, node: Node, name: str, spine: Spine | None, scope: Scope, *, kind: str, receiver: str = "") -> None:
        """Record a use of a name."""
        line, column = self.position(node)
        self.references.append(RawReference(name, spine, kind, receiver, scope, line, column))

    def bind_names(self, node: Node | None, scope: Scope, binding: Binding) -> None:
        """Bind every name in a target; only a target that is one name takes the value."""
        while node is not None and node.type == "as_pattern_target" and node.named_child_count == 1:
            node = node.named_children[0]
        if node is not None and node.type == "identifier":
            scope.bind(read_text(node), binding)
            return
        stack = [node] if node is not None else []
        while stack:
            current = stack.pop()
            if current.type == "identifier":
                scope.bind(read_text(current), Binding())
            elif current.type in {"attribute", "subscript"}:
                self.push([current], scope)
            else:
                stack.extend(current.named_children)

    def assign(self, left: Node, node: Node, scope: Scope, binding: Binding) -> None:
        """Record an assignment to `left` by the statement `node`."""
        if left.type == "identifier" and scope.kind in {"module", "class"}:
            kind = "constant" if scope.kind == "module" else "attribute"
            self.define_attribute(left, node, scope, kind, (scope, binding))
        elif left.type == "identifier":
            if read_text(left) not in scope.outer_names:
                scope.bind(read_text(left), binding)
        elif left.type == "attribute":
            self._assign_attribute(left, node, scope, binding)
        elif left.type == "subscript":
            self.push([left], scope)
        else:
            self._assign_many(left, node, scope)

    def _assign_many(self, left: Node, node: Node, scope: Scope) -> None:
        for child in left.named_children:
            if child.type in {"identifier", "attribute"}:
                self.assign(child, node, scope, Binding())
            else:
                self.bind_names(child, scope, Binding())

    def _assign_attribute(self, left: Node, node: Node, scope: Scope, binding: Binding) -> None:
        spine = read_spine(left)
        owner = scope.names.get(spine[0], []) if spine and len(spine) == 2 else []  # noqa: PLR2004 - self and one name
        target = owner[0].target if owner else ""
        name = left.child_by_field_name("attribute")
        if name is None or not target.startswith(":") or scope.kind != "function":
            self.push([left], scope)
            return
        of_class = Scope("class", target[1:].removesuffix("()"), scope)
        self.define_attribute(name, node, of_class, "attribute", (scope, binding))
