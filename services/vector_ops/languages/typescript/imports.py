"""Import and export statements, and `require`."""

from collections.abc import Callable

import tree_sitter

from services.vector_ops.languages.facts import Import
from services.vector_ops.languages.typescript.drafts import Draft
from services.vector_ops.languages.typescript.scopes import Scope, find_value

_PAIR = 2
_VALUES = frozenset({"function_expression", "arrow_function", "class", "generator_function"})
DeclareOne = Callable[[Draft, tree_sitter.Node, Scope, tree_sitter.Node | None, tree_sitter.Node], None]


def declare_import(
    draft: Draft, node: tree_sitter.Node, scope: Scope, _doc: tree_sitter.Node | None, _whole: tree_sitter.Node
) -> None:
    """Bind the names of an `import` statement; a bare `import "m"` binds nothing."""
    if node.type == "import_alias":
        _bind_alias(draft, node, scope)
        return
    source = node.child_by_field_name("source")
    clause = next((one for one in node.named_children if one.type in {"import_clause", "import_require_clause"}), None)
    if clause is not None and clause.type == "import_require_clause":
        _bind_equal(draft, clause, scope)
    elif source is not None and clause is None:
        line, column = draft.place(source)
        draft.imports.append(Import("", _read_string(draft, source), "", scope.symbol, line, column))
    elif source is not None and clause is not None:
        _bind_clause(draft, clause, _read_string(draft, source), scope)


def _bind_equal(draft: Draft, clause: tree_sitter.Node, scope: Scope) -> None:
    """Bind `import name = require("module")`."""
    source = clause.child_by_field_name("source")
    if source is not None:
        _bind(draft, clause.named_children[0], _read_string(draft, source), "export=", scope)


def _bind_alias(draft: Draft, node: tree_sitter.Node, scope: Scope) -> None:
    """Bind `import name = space.member`; inside a namespace it is a member of that, which only names the other."""
    if node.named_child_count < _PAIR or not scope.is_top:
        return
    name, path = node.named_children[:2]
    head, dot, rest = draft.read(path).partition(".")
    bound = find_value(scope, head)
    if not bound or bound[0] == "%" or not dot:
        return
    at = draft.add_symbol("attribute", name, node, scope)
    draft.symbols[at].result = f"{bound}.{rest}"
    scope.names[draft.read(name)] = f"#{at}"


def _bind_clause(draft: Draft, clause: tree_sitter.Node, module: str, scope: Scope) -> None:
    for one in clause.named_children:
        if one.type == "identifier":
            _bind(draft, one, module, "default", scope)
        elif one.type == "namespace_import" and one.named_child_count:
            _bind(draft, one.named_children[0], module, "", scope)
        elif one.type == "named_imports":
            _bind_named(draft, one, module, scope)


def _bind_named(draft: Draft, imports: tree_sitter.Node, module: str, scope: Scope) -> None:
    for one in imports.named_children:
        name = one.child_by_field_name("name") if one.type == "import_specifier" else None
        if name is not None:
            _bind(draft, one.child_by_field_name("alias") or name, module, _read_name(draft, name), scope, placed=name)


def _bind(
    draft: Draft,
    bound: tree_sitter.Node,
    module: str,
    name: str,
    scope: Scope,
    *,
    placed: tree_sitter.Node | None = None,
) -> None:
    local = draft.read(bound)
    line, column = draft.place(placed or bound)
    draft.imports.append(Import(local, module, name, scope.symbol, line, column))
    scope.names[local] = local


def _read_string(draft: Draft, node: tree_sitter.Node) -> str:
    return draft.read(node)[1:-1]


def _read_name(draft: Draft, node: tree_sitter.Node) -> str:
    return _read_string(draft, node) if node.type == "string" else draft.read(node)


def declare_export(
    draft: Draft, node: tree_sitter.Node, scope: Scope, doc: tree_sitter.Node | None, declare_one: DeclareOne
) -> None:
    """Note what an `export` statement exports, and declare what it declares."""
    source = node.child_by_field_name("source")
    module = _read_string(draft, source) if source is not None else ""
    held = node.child_by_field_name("declaration")
    value = node.child_by_field_name("value")
    if held is not None:
        declare_one(draft, held, scope, doc, node)
        name = held.child_by_field_name("name")
        if name is not None and any(one.type == "default" for one in node.children):
            _export(draft, "default", "", draft.read(name), name, scope=scope)
    elif value is not None:
        _export_value(draft, node, value, scope, doc, declare_one=declare_one)
    elif module and any(one.type == "*" for one in node.children):
        _export(draft, "*", module, "*", node, scope=scope)
    else:
        _export_clauses(draft, node, module, scope)


def _export_value(
    draft: Draft,
    node: tree_sitter.Node,
    value: tree_sitter.Node,
    scope: Scope,
    doc: tree_sitter.Node | None,
    *,
    declare_one: DeclareOne,
) -> None:
    """Note `export default value`."""
    if value.type == "identifier":
        _export(draft, "default", "", draft.read(value), value, scope=scope)
    elif value.type in _VALUES:
        declare_one(draft, value, scope, doc, node)
        name = value.child_by_field_name("name")
        if name is not None:
            _export(draft, "default", "", draft.read(name), name, scope=scope)
    else:
        at = draft.add_symbol("constant", value, node, scope, doc, name="default")
        draft.declared[value.id] = at
        draft.declared[node.id] = at


def _export_clauses(draft: Draft, node: tree_sitter.Node, module: str, scope: Scope) -> None:
    for clause in node.named_children:
        if clause.type == "namespace_export" and clause.named_child_count:
            _export(
                draft, _read_name(draft, clause.named_children[0]), module, "", clause.named_children[0], scope=scope
            )
        elif clause.type == "identifier":
            _export(draft, "export=", "", draft.read(clause), clause, scope=scope)
        elif clause.type == "export_clause":
            for one in clause.named_children:
                name = one.child_by_field_name("name") if one.type == "export_specifier" else None
                if name is not None:
                    alias = one.child_by_field_name("alias") or name
                    _export(draft, _read_name(draft, alias), module, _read_name(draft, name), name, scope=scope)


def _export(draft: Draft, local: str, module: str, name: str, node: tree_sitter.Node, *, scope: Scope) -> None:
    line, column = draft.place(node)
    draft.imports.append(Import(local, module, name, scope.symbol, line, column, True))


def export_assigned(draft: Draft, local: str, name: str, node: tree_sitter.Node, scope: Scope) -> None:
    """Note `exports.local = name` or `module.exports = name` (local: `export=`)."""
    _export(draft, local, "", name, node, scope=scope)


def read_require(draft: Draft, value: tree_sitter.Node | None, scope: Scope) -> tuple[str, str]:
    """Return (module, member) of `require("module")` or `require("module").member`, or two empty strings."""
    if value is None or value.type not in {"call_expression", "member_expression"}:
        return "", ""
    member = ""
    if value.type == "member_expression":
        member = draft.read(value.children[-1])
        value = value.children[0]
    if value.type != "call_expression" or draft.read(value.children[0]) != "require" or find_value(scope, "require"):
        return "", ""
    arguments = value.children[-1].named_children
    if len(arguments) != 1 or arguments[0].type != "string":
        return "", ""
    return _read_string(draft, arguments[0]), member
