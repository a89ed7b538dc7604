"""The walk: captures of a text in order, each handed to the reader that knows it, scopes closed on the way."""

from collections.abc import Callable, Mapping
from operator import itemgetter

from tree_sitter import Node

from services.vector_ops.languages.rust.grammar import Grammar, Source
from services.vector_ops.languages.rust.scopes import ScopeStack

Handler = Callable[[Node], None]

# A binding takes effect where its statement ends, so that `let x = x.next()` still sees the x before.
_AT_END = frozenset({"let", "let_condition"})
_key = itemgetter(0, 1, 2)


def walk(grammar: Grammar, source: Source, root: Node, scopes: ScopeStack, handlers: Mapping[str, Handler]) -> None:
    """Hand every capture below `root` to its handler."""
    events: list[tuple[int, int, int, Handler, Node]] = []
    base = source.base_byte
    for name, nodes in grammar.capture(root).items():
        handler = handlers.get(name)
        if handler is None:
            continue
        if name in _AT_END:
            events += [(base + node.end_byte, 0, 0, handler, node) for node in nodes]
        else:
            events += [(base + node.start_byte, 1, -node.end_byte, handler, node) for node in nodes]
    events.sort(key=_key)
    close = scopes.close_until
    for position, _, _, handle, node in events:
        close(position)
        handle(node)
