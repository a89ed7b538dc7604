"""What each kind of Python syntax means to the index: definitions, bindings, imports, uses."""

from tree_sitter import Node

from services.vector_ops.core.facts import Import
from services.vector_ops.expressions import read_annotation, read_quoted, read_spine, read_text, read_value
from services.vector_ops.scopes import Binding, Scope
from services.vector_ops.walking import Walker

_CLASS_FIRST = frozenset({"__new__", "__init_subclass__", "__class_getitem__"})
_RECEIVER_BYTES = 60


class Walk(Walker):
    """A walk that knows Python."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self._handlers = {
            "decorated_definition": self._on_decorated,
            "function_definition": self._on_function,
            "class_definition": self._on_class,
            "lambda": self._on_lambda,
            "list_comprehension": self._on_comprehension,
            "set_comprehension": self._on_comprehension,
            "dictionary_comprehension": self._on_comprehension,
            "generator_expression": self._on_comprehension,
            "for_in_clause": self._on_loop,
            "for_statement": self._on_loop,
            "as_pattern": self._on_as,
            "named_expression": self._on_walrus,
            "assignment": self._on_assignment,
            "augmented_assignment": self._on_augmented,
            "type_alias_statement": self._on_alias,
            "import_statement": self._on_import,
            "import_from_statement": self._on_import_from,
            "global_statement": self._on_global,
            "nonlocal_statement": _ignore,
            "future_import_statement": _ignore,
            "call": self._on_call,
            "attribute": self._on_attribute,
            "identifier": self._on_identifier,
            "keyword_argument": self._on_keyword,
            "type": self._on_type,
            "keyword_pattern": self._on_keyword_pattern,
            "class_pattern": self._on_class_pattern,
            "dotted_name": self._on_capture,
        }

    # definitions

    def _on_decorated(self, node: Node, scope: Scope, _kind: str) -> None:
        decorators = [child for child in node.named_children if child.type == "decorator"]
        expressions = [child.named_children[0] for child in decorators if child.named_child_count]
        names = " ".join("@" + read_text(one) for one in expressions if one.type == "identifier")
        self.push([node.child_by_field_name("definition")], scope, names or "@")
        self.push(expressions, scope, "decorator")

    def _on_function(self, node: Node, scope: Scope, kind: str) -> None:
        name, body = node.child_by_field_name("name"), node.child_by_field_name("body")
        parameters, returns = node.child_by_field_name("parameters"), node.child_by_field_name("return_type")
        if name is None:
            return
        raw = self.define(name, node, scope, "method" if scope.kind == "class" else "function", body)
        if returns is not None:
            raw.types.append((scope, Binding(spine=read_annotation(returns))))
        scope.bind(raw.definition.name, Binding(target=f":{raw.definition.qualname}"))
        inner = Scope("function", raw.definition.qualname, scope)
        self._bind_self(scope, inner, raw.definition.name, parameters, kind)
        self.push([returns, body], inner)
        self._bind_parameters(parameters, scope, inner)

    def _bind_self(self, scope: Scope, inner: Scope, name: str, parameters: Node | None, decorators: str) -> None:
        if scope.kind != "class" or "@staticmethod" in decorators or parameters is None:
            return
        first = next((child for child in parameters.named_children if child.type != "comment"), None)
        if first is not None and first.type in {"identifier", "typed_parameter"}:
            text = read_text(first).split(":")[0].strip()
            is_class = "@classmethod" in decorators or name in _CLASS_FIRST
            inner.bind(text, Binding(target=f":{scope.qualname}" + ("" if is_class else "()")))

    def _bind_parameters(self, parameters: Node | None, outer: Scope, inner: Scope) -> None:
        for parameter in reversed(parameters.named_children if parameters is not None else []):
            annotation = parameter.child_by_field_name("type")
            name = parameter if parameter.type == "identifier" else parameter.child_by_field_name("name")
            if name is None and parameter.named_child_count:
                name = parameter.named_children[0]
            # *args: X binds a tuple of X, of which nothing is known.
            is_plain = name is not None and name.type == "identifier"
            spine = read_annotation(annotation) if is_plain and annotation is not None else None
            self.bind_names(name, inner, Binding(spine=spine))
            self.push([annotation, parameter.child_by_field_name("value")], outer)

    def _on_class(self, node: Node, scope: Scope, _kind: str) -> None:
        name, body = node.child_by_field_name("name"), node.child_by_field_name("body")
        bases = node.child_by_field_name("superclasses")
        if name is None:
            return
        raw = self.define(name, node, scope, "class", body)
        scope.bind(raw.definition.name, Binding(target=f":{raw.definition.qualname}"))
        self.push([body], Scope("class", raw.definition.qualname, scope))
        children = bases.named_children if bases is not None else []
        for child in children:
            if child.type != "keyword_argument":
                raw.bases.append(read_spine(child.named_children[0] if child.type == "subscript" else child))
        self.push(children, scope, "base")

    # scopes without a name

    def _on_lambda(self, node: Node, scope: Scope, _kind: str) -> None:
        inner = Scope("function", scope.qualname, scope)
        self.push([node.child_by_field_name("body")], inner)
        self._bind_parameters(node.child_by_field_name("parameters"), scope, inner)

    def _on_comprehension(self, node: Node, scope: Scope, _kind: str) -> None:
        self.push(node.named_children, Scope("comprehension", scope.qualname, scope))

    # bindings

    def _on_loop(self, node: Node, scope: Scope, _kind: str) -> None:
        left = node.child_by_field_name("left")
        self.push([child for child in node.named_children if child != left], scope)
        if left is not None:
            self.assign(left, left, scope, Binding())

    def _on_as(self, node: Node, scope: Scope, _kind: str) -> None:
        children = node.named_children
        alias = node.child_by_field_name("alias") or (children[-1] if len(children) > 1 else None)
        value = children[0] if children else None
        # A context manager is taken to return itself, as nearly all classes do.
        spine = read_spine(value) if value is not None and value.type == "call" else None
        self.push([value], scope)
        self.bind_names(alias, scope, Binding(spine=spine))

    def _on_walrus(self, node: Node, scope: Scope, _kind: str) -> None:
        value, owner = node.child_by_field_name("value"), scope
        while owner.kind == "comprehension" and owner.parent is not None:
            owner = owner.parent
        self.push([value], scope)
        self.bind_names(node.child_by_field_name("name"), owner, Binding(spine=read_spine(value)))

    def _on_augmented(self, node: Node, scope: Scope, _kind: str) -> None:
        left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
        if left is not None and left.type == "identifier" and scope.kind == "function":
            self.bind_names(left, scope, Binding())
        self.push([left, right], scope)

    def _on_assignment(self, node: Node, scope: Scope, _kind: str) -> None:
        left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
        annotation = node.child_by_field_name("type")
        self.push([annotation, right], scope)
        if left is not None:
            self.assign(left, node, scope, read_value(right, annotation))

    def _on_alias(self, node: Node, scope: Scope, _kind: str) -> None:
        left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
        name = left.named_children[0] if left is not None and left.named_child_count else None
        if name is not None and name.type == "identifier":
            spine = read_annotation(right)
            self.assign(name, node, scope, Binding(spine=spine[:-1] if spine else None))
        self.push([right], scope)

    def _on_global(self, node: Node, scope: Scope, _kind: str) -> None:
        scope.outer_names.update(read_text(child) for child in node.named_children)

    # what other modules bring

    def _on_import(self, node: Node, scope: Scope, _kind: str) -> None:
        for child in node.children_by_field_name("name"):
            name, alias = child.child_by_field_name("name"), child.child_by_field_name("alias")
            module = read_text(name if name is not None else child)
            local = read_text(alias) if alias is not None else module.split(".")[0]
            scope.bind(local, Binding(target=f"{module if alias is not None else local}:"))
            self._add_import(child, local, module, "", scope)

    def _on_import_from(self, node: Node, scope: Scope, _kind: str) -> None:
        source = node.child_by_field_name("module_name")
        if source is None:
            return
        module = "".join(read_text(source).split())
        for child in node.children_by_field_name("name"):
            name, alias = child.child_by_field_name("name"), child.child_by_field_name("alias")
            original = read_text(name if name is not None else child)
            local = read_text(alias) if alias is not None else original
            scope.bind(local, Binding(target=f"{module}:{original}"))
            self._add_import(child, local, module, original, scope)
        for child in node.named_children:
            if child.type == "wildcard_import":
                self.module.has_star_import = True
                self._add_import(child, "*", module, "*", scope)

    def _add_import(self, node: Node, local: str, module: str, name: str, scope: Scope) -> None:
        line, column = self.position(node)
        self.imports.append(Import(local, module, name, scope.qualname, line, column))

    # uses

    def _on_call(self, node: Node, scope: Scope, _kind: str) -> None:
        self.push([node.child_by_field_name("arguments")], scope)
        self.push([node.child_by_field_name("function")], scope, "call")

    def _on_attribute(self, node: Node, scope: Scope, kind: str) -> None:
        owner, name = node.child_by_field_name("object"), node.child_by_field_name("attribute")
        if owner is None or name is None:
            return
        receiver = self.slice_text(owner.start_byte, min(owner.end_byte, owner.start_byte + _RECEIVER_BYTES)) or "?"
        self.refer(
            name,
            read_text(name),
            read_spine(node),
            scope,
            kind="attribute" if kind == "name" else kind,
            receiver=receiver,
        )
        self.push([owner], scope)

    def _on_identifier(self, node: Node, scope: Scope, kind: str) -> None:
        name = read_text(node)
        self.refer(node, name, (name,), scope, kind="name" if kind.startswith("@") else kind)

    def _on_keyword(self, node: Node, scope: Scope, _kind: str) -> None:
        self.push([node.child_by_field_name("value")], scope)

    def _on_type(self, node: Node, scope: Scope, _kind: str) -> None:
        for child in node.named_children:
            quoted = read_quoted(child) if child.type == "string" else None
            if quoted is not None and len(quoted) == 1:
                self.refer(child, quoted[0], quoted, scope, kind="name")
            elif quoted is not None:
                self.refer(child, quoted[-1], quoted, scope, kind="attribute", receiver=".".join(quoted[:-1]))
            else:
                self.push([child], scope)

    # patterns of match statements

    def _on_class_pattern(self, node: Node, scope: Scope, _kind: str) -> None:
        children = node.named_children
        if children:
            spine = tuple(read_text(child) for child in children[0].named_children)
            receiver = ".".join(spine[:-1])
            self.refer(
                children[0], spine[-1], spine, scope, kind="attribute" if receiver else "name", receiver=receiver
            )
        self.push(children[1:], scope)

    def _on_keyword_pattern(self, node: Node, scope: Scope, _kind: str) -> None:
        self.push(node.named_children[1:], scope)

    def _on_capture(self, node: Node, scope: Scope, _kind: str) -> None:
        children = node.named_children
        if len(children) == 1:
            self.bind_names(children[0], scope, Binding())
        elif children:
            spine = tuple(read_text(child) for child in children)
            self.refer(children[-1], spine[-1], spine, scope, kind="attribute", receiver=".".join(spine[:-1]))


def _ignore(_node: Node, _scope: Scope, _kind: str) -> None:
    """Skip syntax that neither binds nor uses a global name."""
