"""What the statements of a block declare, found before anything in the block is walked: names are hoisted."""

from collections.abc import Callable, Sequence

import tree_sitter

from services.vector_ops.languages.facts import FILE, Import
from services.vector_ops.languages.typescript.drafts import Draft
from services.vector_ops.languages.typescript.imports import declare_export, declare_import, read_require
from services.vector_ops.languages.typescript.scopes import Scope

_FUNCTIONS = frozenset({"arrow_function", "function_expression", "generator_function"})
_BOUND_CAP = 200
_CLASSES = frozenset({"class"})
Declare = Callable[[Draft, tree_sitter.Node, Scope, tree_sitter.Node | None, tree_sitter.Node], None]


def declare_all(draft: Draft, statements: Sequence[tree_sitter.Node], scope: Scope) -> None:
    """Bind the names that these statements declare."""
    doc: tree_sitter.Node | None = None
    for node in statements:
        kind = node.type
        if kind == "comment":
            doc = node
            continue
        declare = _DECLARES.get(kind)
        if declare is not None:
            declare(draft, node, scope, doc, node)
        doc = None


def declare_one(
    draft: Draft, node: tree_sitter.Node, scope: Scope, doc: tree_sitter.Node | None, whole: tree_sitter.Node
) -> None:
    """Bind the names of one statement; `whole` is what its symbol spans, with `export` and decorators."""
    declare = _DECLARES.get(node.type)
    if declare is not None:
        declare(draft, node, scope, doc, whole)


def _declare_function(
    draft: Draft, node: tree_sitter.Node, scope: Scope, doc: tree_sitter.Node | None, whole: tree_sitter.Node
) -> None:
    _declare_named(draft, node, scope, doc, whole, kind="function")


def _declare_signature(
    draft: Draft, node: tree_sitter.Node, scope: Scope, doc: tree_sitter.Node | None, whole: tree_sitter.Node
) -> None:
    _declare_named(draft, node, scope, doc, whole, kind="function")
    at = draft.declared.get(node.id)
    if at is not None:
        draft.symbols[at].is_signature = True


def _declare_class(
    draft: Draft, node: tree_sitter.Node, scope: Scope, doc: tree_sitter.Node | None, whole: tree_sitter.Node
) -> None:
    _declare_named(draft, node, scope, doc, whole, kind="class")


def _declare_enum(
    draft: Draft, node: tree_sitter.Node, scope: Scope, doc: tree_sitter.Node | None, whole: tree_sitter.Node
) -> None:
    _declare_named(draft, node, scope, doc, whole, kind="enum")


def _declare_named(
    draft: Draft,
    node: tree_sitter.Node,
    scope: Scope,
    doc: tree_sitter.Node | None,
    whole: tree_sitter.Node,
    *,
    kind: str,
) -> None:
    name = node.child_by_field_name("name")
    if name is None:
        if whole is not node and whole.type == "export_statement":
            draft.declared[node.id] = draft.add_symbol(kind, node, whole, scope, doc, name="default")
        return
    held = scope.names.get(draft.read(name), "")
    instead = int(held[1:]) if held[:1] == "#" and draft.symbols[int(held[1:])].is_signature else None
    if instead is not None and node.type == "function_signature":
        draft.declared[node.id] = instead
        return
    at = draft.add_symbol(kind, name, whole, scope, doc, instead=instead)
    draft.declared[node.id] = at
    scope.names[draft.read(name)] = f"#{at}"
    if kind != "function" and _is_in_module(draft, scope):
        scope.types[draft.read(name)] = draft.symbols[at].qualname


def _is_in_module(draft: Draft, scope: Scope) -> bool:
    """Return whether names of the scope are those of a namespace, found in other files by their qualified names."""
    return scope.is_top and scope.symbol != FILE and draft.symbols[scope.symbol].kind == "module"


def _declare_type(
    draft: Draft, node: tree_sitter.Node, scope: Scope, doc: tree_sitter.Node | None, whole: tree_sitter.Node
) -> None:
    name = node.child_by_field_name("name")
    if name is None:
        return
    kind = "interface" if node.type == "interface_declaration" else "type"
    at = draft.add_symbol(kind, name, whole, scope, doc)
    draft.declared[node.id] = at
    is_named = scope.is_top and not scope.prefix
    scope.types[draft.read(name)] = draft.symbols[at].qualname if is_named else f"#{at}"


def _declare_module(
    draft: Draft, node: tree_sitter.Node, scope: Scope, doc: tree_sitter.Node | None, whole: tree_sitter.Node
) -> None:
    name = node.child_by_field_name("name")
    if name is None or name.type == "string":
        return
    text = draft.read(name)
    at = draft.add_symbol("module", name, whole, scope, doc, name=text)
    draft.declared[node.id] = at
    scope.names.setdefault(text.partition(".")[0], f"#{at}")
    if "." not in text and _is_in_module(draft, scope):
        scope.types.setdefault(text, draft.symbols[at].qualname)


def _declare_ambient(
    draft: Draft, node: tree_sitter.Node, scope: Scope, doc: tree_sitter.Node | None, whole: tree_sitter.Node
) -> None:
    for child in node.named_children:
        if child.type == "statement_block":
            name = child.prev_sibling or child
            draft.declared[node.id] = draft.add_symbol("module", name, whole, scope, name="global")
        else:
            declare_one(draft, child, scope, doc, whole)


def _declare_expression(
    draft: Draft, node: tree_sitter.Node, scope: Scope, doc: tree_sitter.Node | None, whole: tree_sitter.Node
) -> None:
    children = node.children
    held = children[0] if children else node
    if held.type == "internal_module":
        _declare_module(draft, held, scope, doc, whole)
    elif held.type == "await_expression" and held.named_child_count:
        held = held.named_children[0]
    if held.type == "assignment_expression" and held.children[0].type == "using":
        _declare_using(draft, held, scope, doc, whole)


def _declare_using(
    draft: Draft, node: tree_sitter.Node, scope: Scope, doc: tree_sitter.Node | None, whole: tree_sitter.Node
) -> None:
    """Bind the name of `using name = value`, with `await` or without: the grammar takes it for an assignment."""
    name = node.child_by_field_name("left")
    if name is not None and name.type == "identifier":
        _bind_value(draft, name, scope, whole, "constant", doc=doc)


def _declare_variables(
    draft: Draft, node: tree_sitter.Node, scope: Scope, doc: tree_sitter.Node | None, whole: tree_sitter.Node
) -> None:
    is_constant = node.children[0].type == "const" if node.child_count else False
    for one in node.named_children:
        if one.type != "variable_declarator":
            continue
        name, value = one.child_by_field_name("name"), one.child_by_field_name("value")
        if name is None:
            continue
        module, member = read_require(draft, value, scope)
        if module and scope.is_top:
            _bind_required(draft, name, module, member, scope)
        elif name.type == "identifier":
            _declare_variable(draft, name, value, one, scope, doc=doc, whole=whole, is_constant=is_constant)
        else:
            for bound, _path in list_bound(draft, name):
                _bind_value(draft, bound, scope, whole, "constant" if is_constant else "variable")


def _declare_variable(
    draft: Draft,
    name: tree_sitter.Node,
    value: tree_sitter.Node | None,
    declarator: tree_sitter.Node,
    scope: Scope,
    *,
    doc: tree_sitter.Node | None,
    whole: tree_sitter.Node,
    is_constant: bool,
) -> None:
    kind = value.type if value is not None else ""
    if value is not None and (kind in _FUNCTIONS or kind in _CLASSES):
        at = draft.add_symbol("class" if kind in _CLASSES else "function", name, whole, scope, doc)
        draft.declared[value.id] = at
        draft.declared[declarator.id] = at
        scope.names[draft.read(name)] = f"#{at}"
        return
    at = _bind_value(draft, name, scope, whole, "constant" if is_constant else "variable", doc=doc)
    inner = _find_object(value)
    if inner is not None:
        if at < 0:
            at = draft.add_symbol("constant", name, whole, scope, doc)
            scope.names[draft.read(name)] = f"#{at}"
            draft.declared[name.id] = at
        draft.declared[inner.id] = at


def _find_object(value: tree_sitter.Node | None) -> tree_sitter.Node | None:
    """Return the object literal that holds functions, in `{...}`, `{...} as const`, `Object.freeze({...})`."""
    for _step in range(4):
        if value is None:
            return None
        if value.type == "object":
            return value if any(one.type in {"method_definition", "pair"} for one in value.named_children) else None
        if value.type in {"as_expression", "satisfies_expression", "parenthesized_expression"}:
            value = value.named_children[0] if value.named_child_count else None
        else:
            return None
    return None


def _bind_value(
    draft: Draft,
    name: tree_sitter.Node,
    scope: Scope,
    whole: tree_sitter.Node,
    kind: str,
    *,
    doc: tree_sitter.Node | None = None,
) -> int:
    """Bind a variable: a symbol at the top of the file, else a local; return the symbol or -1."""
    text = draft.read(name)
    if not scope.is_top:
        scope.names[text] = draft.add_local()
        return -1
    at = draft.add_symbol(kind, name, whole, scope, doc)
    draft.declared[name.id] = at
    scope.names[text] = f"#{at}"
    return at


def _bind_required(draft: Draft, name: tree_sitter.Node, module: str, member: str, scope: Scope) -> None:
    """Bind what `const name = require(module)` binds, as an import."""
    line, column = draft.place(name)
    if name.type == "identifier":
        text = draft.read(name)
        draft.imports.append(Import(text, module, member or "export=", scope.symbol, line, column))
        scope.names[text] = text
        return
    for bound, path in list_bound(draft, name):
        text = draft.read(bound)
        line, column = draft.place(bound)
        draft.imports.append(Import(text, module, path.lstrip(".").partition(".")[0], scope.symbol, line, column))
        scope.names[text] = text


def list_bound(draft: Draft, pattern: tree_sitter.Node) -> list[tuple[tree_sitter.Node, str]]:
    """Return the names that a pattern binds, each with the steps that lead there from the whole value."""
    found: list[tuple[tree_sitter.Node, str]] = []
    todo: list[tuple[tree_sitter.Node, str]] = [(pattern, "")]
    while todo and len(found) < _BOUND_CAP:
        node, path = todo.pop()
        kind = node.type
        if kind in {"identifier", "shorthand_property_identifier_pattern"}:
            found.append((node, path if kind == "identifier" else f"{path}.{draft.read(node)}"))
        elif kind == "array_pattern":
            todo.extend(_list_elements(node, path))
        elif kind in {"rest_pattern", "object_pattern"}:
            inner = path if kind == "object_pattern" else "?"
            todo.extend((child, inner) for child in reversed(node.named_children))
        else:
            todo.extend(_open_pattern(draft, node, path))
    return found


def _open_pattern(draft: Draft, node: tree_sitter.Node, path: str) -> list[tuple[tree_sitter.Node, str]]:
    """Return what `key: pattern` and `pattern = default` hold."""
    if node.type == "pair_pattern":
        key, value = node.child_by_field_name("key"), node.child_by_field_name("value")
        if key is None or value is None:
            return []
        return [(value, f"{path}.{draft.read(key)}" if key.type == "property_identifier" else "?")]
    left = node.child_by_field_name("left") if node.type.endswith("assignment_pattern") else None
    return [(left, path)] if left is not None else []


def _list_elements(node: tree_sitter.Node, path: str) -> list[tuple[tree_sitter.Node, str]]:
    found, at = [], 0
    for child in node.children:
        if child.type == ",":
            at += 1
        elif child.is_named:
            found.append((child, f"{path}[{at}]"))
    return found


_DECLARES: dict[str, Declare] = {
    "function_declaration": _declare_function,
    "generator_function_declaration": _declare_function,
    "function_expression": _declare_function,
    "generator_function": _declare_function,
    "arrow_function": _declare_function,
    "function_signature": _declare_signature,
    "class_declaration": _declare_class,
    "abstract_class_declaration": _declare_class,
    "class": _declare_class,
    "interface_declaration": _declare_type,
    "type_alias_declaration": _declare_type,
    "enum_declaration": _declare_enum,
    "module": _declare_module,
    "internal_module": _declare_module,
    "ambient_declaration": _declare_ambient,
    "expression_statement": _declare_expression,
    "lexical_declaration": _declare_variables,
    "variable_declaration": _declare_variables,
    "import_statement": declare_import,
    "import_alias": declare_import,
    "export_statement": lambda draft, node, scope, doc, _whole: declare_export(draft, node, scope, doc, declare_one),
}
