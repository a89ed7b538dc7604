"""Doc comments: the comment that ends on the line before a declaration."""

import re

from tree_sitter import Node

from services.vector_ops.languages.go.draft import Draft

_DOC_LIMIT = 300
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")


def note_comment(draft: Draft, node: Node) -> bool:
    """Keep a comment while others follow it without a gap; nothing is left inside."""
    before = draft.comments
    if before and before[-1].end_point[0] + 1 != node.start_point[0]:
        before.clear()
    before.append(node)
    return True


def take_doc(draft: Draft, node: Node) -> tuple[str, int]:
    """Return the doc of a declaration and the line where it begins, that of the doc included."""
    row: int = node.start_point[0]
    found = draft.comments
    if not found or found[-1].end_point[0] + 1 != row or found[0].start_point[1] != node.start_point[1]:
        return "", row + 1
    return _read_sentences([draft.text(one) for one in found]), found[0].start_point[0] + 1


def _read_sentences(comments: list[str]) -> str:
    """Return the first paragraph, cut after a sentence when it is long."""
    lines: list[str] = []
    for comment in comments:
        inner = comment[2:-2].splitlines() if comment.startswith("/*") else [comment[2:]]
        lines += [line.strip(" \t*") for line in inner if comment.startswith("/*") or not _is_directive(comment)]
    text = "\n".join(lines).strip()
    paragraph = " ".join(text.partition("\n\n")[0].split())
    if len(paragraph) <= _DOC_LIMIT:
        return paragraph
    kept = ""
    for sentence in _SENTENCE.split(paragraph):
        if len(kept) + len(sentence) >= _DOC_LIMIT:
            break
        kept = f"{kept} {sentence}" if kept else sentence
    return kept or paragraph[:_DOC_LIMIT]


def _is_directive(comment: str) -> bool:
    """Say whether a comment is `//go:embed` and the like: no space, a lower-case word, a colon."""
    return bool(re.match(r"//[a-z]+:[a-z]", comment))


def sign(draft: Draft, node: Node, end_byte: int) -> str:
    """Return the source from the node to `end_byte` on one line, at most 200 characters."""
    text = draft.source[node.start_byte : min(end_byte, node.start_byte + 800)].decode("utf-8", "replace")
    return " ".join(text.split())[:200]
