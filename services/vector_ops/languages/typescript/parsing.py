"""From a content to its syntax tree, around what the parsers cannot do."""

import re

import tree_sitter

from services.vector_ops.languages.grammars import load_grammar

_TYPED = frozenset({".ts", ".mts", ".cts"})
_OTHERS = bytes(set(range(256)) - set(b"(){}[]"))
_PASSES = 64
_DEPTH_CAP = 3_000
_GENERIC_LINE = re.compile(rb"(?<=\n)([ \t]*)[ \t]<(?=[\sA-Za-z_$])")
_ENDINGS = frozenset({b">", b")", b"}", b"]", b"'", b'"', b"_", b"$"})
_LOOKBACK = 600


def load_parser(suffix: str) -> tree_sitter.Language:
    """Return the grammar for a suffix; raise GrammarMissingError, naming the cure, when it cannot be loaded."""
    if suffix in _TYPED:
        return load_grammar("tree_sitter_typescript", "language_typescript")
    if suffix == ".tsx":
        return load_grammar("tree_sitter_typescript", "language_tsx")
    return load_grammar("tree_sitter_javascript")


def is_too_deep(content: bytes) -> bool:
    """Return whether brackets nest so deep that the parsers, which recurse in C, may crash the process.

    Cost: a hundredth of parsing; what is left when pairs were taken out a few times bounds the depth from above.
    """
    left = content.translate(None, _OTHERS)
    for _step in range(_PASSES):
        fewer = left.replace(b"()", b"").replace(b"{}", b"").replace(b"[]", b"")
        if len(fewer) == len(left):
            break
        left = fewer
    return len(left) > _DEPTH_CAP


def parse_content(suffix: str, content: bytes) -> tree_sitter.Node:
    """Return the root of the syntax tree.

    The grammar wants a semicolon before a call signature that begins with `<`, which the language does not: when there
    are errors, a blank before such a line becomes one, if that leaves fewer errors. No place in the file moves.
    """
    parser = tree_sitter.Parser(load_parser(suffix))
    root = parser.parse(content).root_node
    if not root.has_error or suffix not in _TYPED:
        return root
    mended = _GENERIC_LINE.sub(_mend, content)
    if mended == content:
        return root
    again = parser.parse(mended).root_node
    return again if _count_errors(again) < _count_errors(root) else root


def _mend(found: re.Match[bytes]) -> bytes:
    before = found.string[max(0, found.start() - _LOOKBACK) : found.start()]
    for line in reversed(before.split(b"\n")):
        code = line.partition(b"//")[0].strip()
        if code and not code.startswith((b"*", b"/*")):
            return found[1] + b";<" if code[-1:].isalnum() or code[-1:] in _ENDINGS else found[0]
    return found[0]


def _count_errors(root: tree_sitter.Node) -> int:
    count, todo = 0, [root]
    while todo:
        node = todo.pop()
        if node.is_error:
            count += max(1, node.end_point[0] - node.start_point[0])
        elif node.is_missing:
            count += 1
        elif node.has_error:
            todo.extend(node.children)
    return count
