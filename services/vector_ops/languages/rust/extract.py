"""Reads one file of Rust: one pass over the captures of a query, in the order of the text."""

from tree_sitter import Node

from services.vector_ops.languages.facts import FileFacts
from services.vector_ops.languages.rust.definitions import Definitions
from services.vector_ops.languages.rust.grammar import Source, load_rust
from services.vector_ops.languages.rust.items import ItemReader
from services.vector_ops.languages.rust.macros import MacroReader
from services.vector_ops.languages.rust.scopes import Scope, ScopeStack
from services.vector_ops.languages.rust.uses import UseReader
from services.vector_ops.languages.rust.values import Describer
from services.vector_ops.languages.rust.walk import Handler, walk

_MAX_BRACKETS = 2_000
_OPEN = frozenset(b"([{")
_OTHER = bytes(one for one in range(256) if one not in b"()[]{}")
_QUIET_ATTRIBUTES = frozenset({"derive", "cfg", "cfg_attr", "allow", "doc", "test", "path", "deny", "expect", "inline"})


def extract_rust(content: bytes) -> FileFacts:
    """Return the facts of a file of Rust; code that is nested absurdly deep is left out."""
    if _is_too_deep(content):
        return FileFacts("rust", skipped="nested too deeply")
    grammar = load_rust()
    source = Source(content, content.isascii())
    scopes = ScopeStack([Scope(len(content) + 1)])
    describer = Describer(grammar, source, scopes)
    definitions = Definitions(grammar, content.split(b"\n"))
    items = ItemReader(describer, definitions)
    handlers: dict[str, Handler] = {}
    handlers.update(_make_handlers(items, UseReader(describer, items), MacroReader(describer, items, handlers)))
    walk(grammar, source, grammar.parse(content), scopes, handlers)
    inherits = [one._replace(scope=definitions.find(qualname)) for qualname, one in items.inherits]
    return FileFacts(
        "rust",
        symbols=definitions.settle(items.implemented),
        references=(*items.references, *inherits),
        imports=tuple(items.imports),
    )


def _is_too_deep(content: bytes) -> bool:
    depth = 0
    for one in content.translate(None, _OTHER):
        depth += 1 if one in _OPEN else -1
        if depth > _MAX_BRACKETS:
            return True
    return False


def _make_handlers(items: ItemReader, uses: UseReader, macros: MacroReader) -> dict[str, Handler]:
    def read_use(node: Node) -> None:
        items.read_use(node)
        uses.skip_paths(node)

    def read_attribute(node: Node) -> None:
        name = items.read_attribute(node)
        uses.skip_paths(node)
        if name not in _QUIET_ATTRIBUTES:
            macros.scan_tokens(node)

    rest = {"use": read_use, "attribute": read_attribute, "macro_call": macros.read_macro_call}
    return {**_list_definers(items), **_list_users(uses), **rest}


def _list_definers(items: ItemReader) -> dict[str, Handler]:
    return {
        "function": items.read_function,
        "struct": items.read_struct,
        "enum": items.read_enum,
        "variant": items.read_variant,
        "trait": items.read_trait,
        "impl": items.read_impl,
        "module": items.read_module,
        "type_alias": items.read_type_alias,
        "constant": items.read_constant,
        "field": items.read_field,
        "macro_rules": items.read_macro_rules,
    }


def _list_users(uses: UseReader) -> dict[str, Handler]:
    return {
        "block": uses.open_block,
        "branch": uses.open_block,
        "else": uses.leave_condition,
        "match": uses.open_match,
        "arm": uses.open_arm,
        "loop": uses.open_loop,
        "closure": uses.open_closure,
        "closure_arguments": uses.read_closure_arguments,
        "let": uses.read_let,
        "let_condition": uses.read_let,
        "call": uses.read_call,
        "construct": uses.read_construct,
        "value": uses.read_value,
        "path": uses.read_path,
        "type": uses.read_type,
    }
