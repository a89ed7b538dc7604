"""Expressions as the notation that facts keep, and the references inside them.

chain := head step...
head  := "#5" (symbol of this file) | "$3" (local variable) | "@7" (what reference 7 gives) | "*7" (what it calls)
       | "&5" (an instance of class 5) | name (bound at the top of the file) | "%" (outside) | "?" (unknown)
       | "«type»" | "'module'" (all that a module exports)
step  := ".name" | "()" (called) | "!" (constructed) | "[]" (an element) | "[0]" | "[=key]" | "~" (awaited)
       | ">0" (what a function takes as its parameter 0) | "^" (its base class)
"""

from collections.abc import Callable

import tree_sitter

from services.vector_ops.languages.facts import FILE
from services.vector_ops.languages.typescript.annotations import spell_type
from services.vector_ops.languages.typescript.drafts import LEAVES, Draft
from services.vector_ops.languages.typescript.globals import is_declarable, is_test_call, tells_nothing
from services.vector_ops.languages.typescript.scopes import Scope, find_value

_LENGTH_CAP = 160
_DEPTH_CAP = 24
_ASSIGNED_CAP = 3
_PAIR = 2
_NEVER_TESTS = frozenset("0123456789)]?")
_LITERALS = frozenset(
    {"string", "template_string", "number", "regex", "true", "false", "null", "undefined", "update_expression"}
    | {"unary_expression", "binary_expression", "jsx_element", "jsx_self_closing_element"}
)
_WRAPPERS = frozenset({"parenthesized_expression", "non_null_expression"})
_PREFIXED = frozenset({"new_expression", "await_expression"})
Step = Callable[[Draft, tree_sitter.Node, str, Scope], str]
_CHOICES = frozenset({"||", "??", "&&"})


def express(draft: Draft, node: tree_sitter.Node, scope: Scope, expected: str = "", depth: int = 0) -> str:
    """Return the notation of an expression; add its calls; have the rest of it walked later.

    `expected` is the notation of the type that its surroundings want.
    """
    links: list[tuple[Step, tree_sitter.Node]] = []
    while True:
        kind = node.type
        step = _STEPS.get(kind)
        if step is not None:
            inner = _find_inner(node, kind) if kind in _PREFIXED else node.children[0]
            if inner is None:
                break
            links.append((step, node))
        elif kind in _WRAPPERS and node.named_child_count:
            inner = node.named_children[0]
        else:
            break
        node = inner
    if kind == "identifier":
        name = draft.read(node)
        value = find_value(scope, name) or f"%{name}"
    else:
        value = _express_head(draft, node, scope, "" if links else expected, depth)
    for step, link in reversed(links):
        value = step(draft, link, value, scope)
        if len(value) > _LENGTH_CAP:
            value = "?"
    return value


def _find_inner(node: tree_sitter.Node, kind: str) -> tree_sitter.Node | None:
    """Return what is constructed or awaited."""
    if kind == "new_expression":
        return node.child_by_field_name("constructor")
    return node.named_children[0] if node.named_child_count else node.children[0]


def _express_head(draft: Draft, node: tree_sitter.Node, scope: Scope, expected: str, depth: int) -> str:
    kind = node.type
    if kind in {"this", "super"}:
        return scope.this if kind == "this" else f"{scope.this}^"
    special = _HEADS.get(kind)
    if special is not None and depth < _DEPTH_CAP:
        return special(draft, node, scope, expected, depth + 1)
    draft.stack.append((node, scope, expected))
    if kind in {"object", "class"}:
        at = draft.declared.get(node.id)
        return "?" if at is None else f"#{at}"
    return "«%Array<?>»" if kind == "array" else "%" if kind in _LITERALS else "?"


def _express_cast(draft: Draft, node: tree_sitter.Node, scope: Scope, _expected: str, depth: int) -> str:
    parts = node.named_children
    if len(parts) < _PAIR:
        return express(draft, parts[0], scope, "", depth) if parts else "?"
    value, cast = (parts[1], parts[0]) if node.type == "type_assertion" else (parts[0], parts[1])
    draft.push([cast], scope)
    notation = spell_type(
        cast.named_children[0] if cast.type == "type_arguments" and cast.named_child_count else cast, scope
    )
    is_kept = notation not in {"?", "%"} and "`" not in notation and node.type != "satisfies_expression"
    inner = express(draft, value, scope, f"«{notation}»" if "`" not in notation else "", depth)
    if is_kept:
        return f"«{notation}»"
    return "%" if notation == "%" else inner


def _express_choice(draft: Draft, node: tree_sitter.Node, scope: Scope, expected: str, depth: int) -> str:
    left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
    operator = node.child_by_field_name("operator")
    if left is None or right is None or operator is None or operator.type not in _CHOICES:
        draft.push(node.named_children, scope)
        return "%"
    first = express(draft, left, scope, expected, depth)
    second = express(draft, right, scope, expected, depth)
    if operator.type == "&&":
        return second
    return first if _is_known(draft, first) else second


def _express_ternary(draft: Draft, node: tree_sitter.Node, scope: Scope, expected: str, depth: int) -> str:
    condition, left = node.child_by_field_name("condition"), node.child_by_field_name("consequence")
    right = node.child_by_field_name("alternative")
    if condition is None or left is None or right is None:
        draft.push(node.named_children, scope)
        return "?"
    draft.push([condition], scope)
    first = express(draft, left, scope, expected, depth)
    second = express(draft, right, scope, expected, depth)
    return first if _is_known(draft, first) else second


def _is_known(draft: Draft, notation: str) -> bool:
    """Return whether something may be told of a value: nothing can of a local variable of which nothing is known."""
    is_local = notation[0] == "$" and notation[1:].isdigit()
    return (draft.locals[int(notation[1:])] if is_local else notation) not in {"?", "%"}


def _express_assignment(draft: Draft, node: tree_sitter.Node, scope: Scope, _expected: str, depth: int) -> str:
    draft.stack.append((node, scope, ""))
    right = node.child_by_field_name("right")
    return (
        "?"
        if right is None or depth > _ASSIGNED_CAP or right.type != "identifier"
        else express(draft, right, scope, "", depth)
    )


def _step_member(draft: Draft, link: tree_sitter.Node, value: str, _scope: Scope) -> str:
    return value if value == "%" else f"{value}.{draft.read(link.children[-1])}"


def _step_await(_draft: Draft, _link: tree_sitter.Node, value: str, _scope: Scope) -> str:
    return value if value in {"%", "?"} else f"{value}~"


def _step_subscript(draft: Draft, link: tree_sitter.Node, value: str, scope: Scope) -> str:
    index = link.child_by_field_name("index")
    if index is None or value in {"%", "?"}:
        draft.push([index] if index is not None else [], scope)
        return value
    text = draft.read(index)
    if index.type == "number":
        return f"{value}[{text}]" if text.isdigit() else f"{value}[]"
    if index.type == "string":
        return f"{value}.{text[1:-1]}" if text[1:-1].isidentifier() else "?"
    draft.push([index], scope)
    return f"{value}[={text}]" if index.type == "identifier" else f"{value}[]"


def _step_call(draft: Draft, link: tree_sitter.Node, value: str, scope: Scope) -> str:
    children = link.children
    called, arguments = children[0], children[-1]
    kind = called.type
    if kind in _WRAPPERS:
        called = unwrap(called)
        kind = called.type
    if kind == "import":
        return _express_module(draft, arguments, scope, value) + "~"
    if value == "%require":
        return _express_module(draft, arguments, scope, value)
    if kind == "await_expression" and called.named_child_count and called is children[0]:
        return _step_await(draft, link, _call_awaited(draft, link, value, scope), scope)
    if len(children) > _PAIR:
        draft.push([one for one in children[1:-1] if one.type == "type_arguments"], scope)
    is_test = value[-1] not in _NEVER_TESTS and is_test_call(value)
    if is_test:
        _declare_test(draft, arguments, scope)
    if value[0] == "%" and not is_declarable(value):
        push_arguments(draft, arguments, scope, "")
        return "%it" if is_test else "?" if tells_nothing(value) else "%"
    return _add_call(draft, called, arguments, value, scope, kind="call")


def _call_awaited(draft: Draft, link: tree_sitter.Node, value: str, scope: Scope) -> str:
    """Return what `await f<T>()` waits for: the grammar reads it as a call of `await f`."""
    children = link.children
    draft.push([one for one in children[1:-1] if one.type == "type_arguments"], scope)
    value = value.removesuffix("~")
    if value[0] == "%" and not is_declarable(value):
        push_arguments(draft, children[-1], scope, "")
        return "%"
    return _add_call(draft, unwrap(children[0].named_children[0]), children[-1], value, scope, kind="call")


def _step_new(draft: Draft, link: tree_sitter.Node, value: str, scope: Scope) -> str:
    arguments, called = link.child_by_field_name("arguments"), link.child_by_field_name("constructor")
    kept = link.child_by_field_name("type_arguments")
    if kept is not None:
        draft.push([kept], scope)
    if value[0] == "%" and not is_declarable(value):
        push_arguments(draft, arguments, scope, "")
        return "%"
    made = _add_call(draft, unwrap(called) if called is not None else link, arguments, value, scope, kind="new")
    if kept is None or value[0] in "@$&*?«'":
        return made
    spelt = ",".join(spell_type(one, scope, 3) for one in kept.named_children)
    if value[0] == "#" and value[1:].isdigit() and draft.symbols[int(value[1:])].owner == FILE:
        value = draft.symbols[int(value[1:])].qualname
    is_plain = len(spelt) < _LENGTH_CAP - 40 and "`" not in spelt and "«" not in value and value[-1] not in "])!~"
    return f"«{value}<{spelt}>»" if is_plain and spelt.strip("%?,") else made


def _add_call(
    draft: Draft, called: tree_sitter.Node, arguments: tree_sitter.Node | None, value: str, scope: Scope, *, kind: str
) -> str:
    """Add the reference of a call and return what it gives."""
    if called.type == "member_expression":
        name = called.children[-1]
        text = draft.read(name)
        at = draft.add_reference(kind, text, name, scope, value[: len(value) - len(text)] if value != "?" else "?.")
    elif called.type in {"identifier", "super"}:
        at = draft.add_reference(kind, draft.read(called), called, scope, value)
    else:
        push_arguments(draft, arguments, scope, f"{value}" if value != "?" else "")
        return "?" if value == "?" else f"{value}{'!' if kind == 'new' else '()'}"
    push_arguments(draft, arguments, scope, f"*{at}")
    return f"@{at}" if not value.endswith(".each") else "%it"


def push_arguments(draft: Draft, arguments: tree_sitter.Node | None, scope: Scope, callee: str) -> None:
    """Have the arguments of a call walked, each with what the callee takes there."""
    if arguments is None:
        return
    if arguments.type != "arguments":
        draft.push([arguments], scope)
        return
    at = 0
    for one in arguments.named_children:
        kind = one.type
        if kind == "identifier":
            draft.add_use("use", one, scope, find_value(scope, draft.read(one)))
        elif kind not in LEAVES:
            draft.stack.append((one, scope, f"{callee}>{at}" if callee else ""))
        at += kind != "comment"


def unwrap(node: tree_sitter.Node) -> tree_sitter.Node:
    """Return what is inside brackets and `!`."""
    while node.type in _WRAPPERS and node.named_child_count:
        node = node.named_children[0]
    return node


def _express_module(draft: Draft, arguments: tree_sitter.Node, scope: Scope, value: str) -> str:
    first = arguments.named_children[0] if arguments.named_child_count else None
    if first is None or first.type != "string":
        draft.push([arguments], scope)
        return "?"
    module = draft.read(first)[1:-1]
    draft.add_reference("require" if value == "%require" else "import", module, first, scope, f"'{module}'")
    return f"'{module}'" if "'" not in module else "?"


def _declare_test(draft: Draft, arguments: tree_sitter.Node, scope: Scope) -> None:
    """Make a symbol of `it("does this", () => ...)`: runners select tests by that title."""
    named = [one for one in arguments.named_children if one.type != "comment"]
    if len(named) < _PAIR or named[0].type not in {"string", "template_string"}:
        return
    for one in named[1:]:
        if one.type in {"arrow_function", "function_expression"}:
            title = " ".join(draft.read(named[0])[1:-1].replace(".", " ").split())[:120]
            if title:
                at = draft.add_symbol("function", named[0], one, scope, name=title)
                draft.symbols[at].is_test = True
                draft.symbols[at].signature = f"test({draft.read(named[0])[:150]})"
                draft.declared[one.id] = at
            return


_STEPS: dict[str, Step] = {
    "member_expression": _step_member,
    "await_expression": _step_await,
    "subscript_expression": _step_subscript,
    "call_expression": _step_call,
    "new_expression": _step_new,
}
_HEADS = {
    "as_expression": _express_cast,
    "satisfies_expression": _express_cast,
    "type_assertion": _express_cast,
    "binary_expression": _express_choice,
    "ternary_expression": _express_ternary,
    "assignment_expression": _express_assignment,
}
