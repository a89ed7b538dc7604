"""Mine pairs of words and code from git repositories. Usage: mine_static_pairs.py OUT_DIR COMMITS REPOSITORY...

First half of the recipe of the static vectors (docs/vectors.md); `train_static_vectors.py` is the other. A pair is what
a person wrote about code and the code itself: the beginning of a doc comment and its function without the comment, or a
commit's message and the lines that it replaced, with what is around them. Only hashes of terms are kept, one .npz for
each repository; at most COMMITS commits are read of each. The repositories' own licences must permit it.
"""

import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pygit2
import tree_sitter

from services.vector_ops.languages.grammars import load_grammar
from services.vector_ops.lexical.terms import hash_text

SEED = 5
MAX_DOCS = 25_000
MAX_FILE_BYTES = 400_000
MAX_FILES, MAX_HUNKS, CONTEXT_LINES = 6, 2, 8
MIN_QUERY_TERMS, MIN_CODE_TERMS, MAX_CODE_TERMS = 3, 6, 600
GRAMMARS = {
    ".py": ("tree_sitter_python", "language"),
    ".rs": ("tree_sitter_rust", "language"),
    ".go": ("tree_sitter_go", "language"),
    ".ts": ("tree_sitter_typescript", "language_typescript"),
    ".tsx": ("tree_sitter_typescript", "language_tsx"),
    ".js": ("tree_sitter_javascript", "language"),
    ".java": ("tree_sitter_java", "language"),
}
FUNCTIONS = frozenset({
    "function_definition", "function_item", "function_signature_item", "function_declaration", "method_declaration",
    "method_definition", "method_signature", "constructor_declaration", "class_declaration", "interface_declaration",
    "type_declaration", "struct_item", "enum_item", "trait_item", "macro_definition", "type_alias_declaration",
})  # fmt: skip
OWNERS = frozenset({"class_definition", "class_declaration", "interface_declaration", "impl_item", "trait_item"})
COMMENTS = frozenset({"comment", "line_comment", "block_comment"})
BETWEEN = frozenset({"attribute_item", "decorator"})
WRAPPERS = frozenset({"export_statement", "decorated_definition"})
LEFT_OUT = re.compile(
    r"(^|/)(_?vendor(ed)?|_?extern(als?)?|node_modules|third_party|_?generated|dist|locales?)/|\.min\.js$|_pb2?\.|\.d\.ts$"
)
TESTS = re.compile(r"(^|/)(tests?|testing|__tests__|spec|testdata|benches|benchmarks)/|(^|/)test_|[_.]test\.")
DECORATION = re.compile(r"^[ \t]*(///?!?|//!|/\*\*?|\*/|\*(?!/)|#)[ \t]?|\*/[ \t]*$", re.MULTILINE)
SECTION = re.compile(
    r"^\s*(Parameters|Returns?:|Args|Arguments|Examples?|Raises:|Notes?:|See Also|#\s|```|@\w+|:param|:return|>>>)",
    re.MULTILINE,
)
MARKUP = re.compile(r"\{@\w+ ([^}]*)\}|</?\w+>|:\w+:`~?\.?([^`]*)`|\[([^\]]*)\]\([^)]*\)")
SENTENCE = re.compile(r"(?<=[a-z)`'\"][.!?])\s+(?=[A-Z`])|\n[ \t]*\n")
NOISE = re.compile(
    r"\(#\d+\)|^\s*(Fixe[sd]|Close[sd]?|Refs?|Signed-off-by|Co-authored-by|PR|gh-)\b.*$", re.MULTILINE | re.IGNORECASE
)
QUOTES = re.compile(r"^\w*[\"']+\s*|[\"'\s]+$")
DEFINED = re.compile(r"\b(?:def|class|fn|func(?:\s*\([^)]*\))?|function|trait|struct|impl|interface|enum)\s+(\w+)")
HUNK = re.compile(r"^@@ -\d+(?:,\d+)? \+\d+(?:,\d+)? @@ ?(.*)$")


class Pair(NamedTuple):
    """What was written, the code, the names that it defines, the names around it, and its path."""

    query: str
    code: str
    own: str
    owner: str
    path: str
    is_commit: bool


def main() -> None:
    """Mine each repository that has no file yet."""
    out_dir, commits = Path(sys.argv[1]), int(sys.argv[2])
    for name in sys.argv[3:]:
        target = out_dir / f"{Path(name).resolve().parent.name}.npz"
        if not target.exists():
            chance = random.Random(SEED)  # noqa: S311
            pairs = mine_docs(pygit2.Repository(name), chance)
            docs = len(pairs)
            pairs += mine_commits(name, commits, chance)
            save_pairs(target, pairs)
            print(target.stem, docs, "of doc comments", len(pairs) - docs, "of commits", flush=True)


def save_pairs(target: Path, pairs: list[Pair]) -> None:
    """Write the terms' hashes of all pairs, each text with where it ends; nothing of the texts themselves."""
    arrays: dict[str, np.ndarray] = {"is_commit": np.array([pair.is_commit for pair in pairs], np.bool_)}
    for at, field in enumerate(Pair._fields[:5]):
        hashes = [hash_text(str(pair[at]))[:MAX_CODE_TERMS] for pair in pairs]
        arrays[field] = np.concatenate([*hashes, np.zeros(0, np.uint32)])
        arrays[f"{field}_ends"] = np.cumsum([len(one) for one in hashes], dtype=np.int64)
    np.savez_compressed(target, **arrays)


def mine_docs(repository: pygit2.Repository, chance: random.Random) -> list[Pair]:
    """Return the pairs of doc comments at HEAD, each text once."""
    seen: set[str] = set()
    pairs: list[Pair] = []
    for path, content in _list_sources(repository):
        for query, code, own, owner in _documented(path, content, chance):
            if query not in seen and _is_telling(query, code):
                seen.add(query)
                pairs.append(Pair(query, code, own, owner, path, is_commit=False))
    chance.shuffle(pairs)
    return pairs[:MAX_DOCS]


def _is_telling(query: str, code: str) -> bool:
    return len(set(hash_text(query).tolist())) >= MIN_QUERY_TERMS and len(hash_text(code)) >= MIN_CODE_TERMS


def _list_sources(repository: pygit2.Repository) -> Iterator[tuple[str, bytes]]:
    folders = [("", repository.revparse_single("HEAD^{tree}"))]
    while folders:
        prefix, tree = folders.pop()
        for entry in tree:
            path = f"{prefix}{entry.name}"
            if entry.type_str == "tree":
                folders.append((f"{path}/", entry))
            elif entry.type_str == "blob" and Path(path).suffix in GRAMMARS and not LEFT_OUT.search(path):
                content = entry.data if entry.size <= MAX_FILE_BYTES else b""
                yield path, content


def _documented(path: str, content: bytes, chance: random.Random) -> Iterator[tuple[str, str, str, str]]:
    """Yield (beginning of the comment, code without it, own name, names around) of each documented definition."""
    parser = tree_sitter.Parser(load_grammar(*GRAMMARS[Path(path).suffix]))
    stack: list[tuple[tree_sitter.Node, str]] = [(parser.parse(content).root_node, "")]
    while stack:
        node, around = stack.pop()
        name = _text(node.child_by_field_name("name") or node.child_by_field_name("type"), content)
        if node.type in FUNCTIONS:
            comment, code = _split_comment(node, content)
            if comment:
                yield begin_comment(comment, chance), code, name, around
        inner = f"{around} {name}" if node.type in OWNERS else around
        stack.extend((child, inner) for child in node.named_children)


def _split_comment(node: tree_sitter.Node, content: bytes) -> tuple[str, str]:
    code = _text(node, content)
    body = node.child_by_field_name("body")
    if node.type == "function_definition":
        first = body.named_children[0] if body and body.named_children else None
        if first is None or first.type != "expression_statement" or first.named_children[0].type != "string":
            return "", code
        start, end = first.start_byte - node.start_byte, first.end_byte - node.start_byte
        whole = content[node.start_byte : node.end_byte]
        return QUOTES.sub("", _text(first, content)), (whole[:start] + whole[end:]).decode("utf-8", "replace")
    return DECORATION.sub("", _comment_before(node, content)), code


def _comment_before(node: tree_sitter.Node, content: bytes) -> str:
    if node.parent is not None and node.parent.type in WRAPPERS:
        node = node.parent
    lines: list[str] = []
    line = node.start_point[0]
    before = node.prev_named_sibling
    while before is not None and before.type in COMMENTS | BETWEEN and line - before.end_point[0] <= 1:
        if before.type in COMMENTS:
            lines.append(_text(before, content).rstrip("\n"))
        line = before.start_point[0]
        before = before.prev_named_sibling
    return "\n".join(reversed(lines))


def _text(node: tree_sitter.Node | None, content: bytes) -> str:
    return content[node.start_byte : node.end_byte].decode("utf-8", "replace") if node is not None else ""


def begin_comment(comment: str, chance: random.Random) -> str:
    """Return the first sentence, or one time in four the description up to the first section."""
    text = MARKUP.sub(lambda found: found[1] or found[2] or found[3] or " ", comment).strip()
    section = SECTION.search(text)
    description = text[: section.start()].strip() if section and section.start() else text
    first = SENTENCE.split(description, maxsplit=1)[0]
    return description[:600] if chance.random() < 1 / 4 else first[:400]


def mine_commits(repository: str, count: int, chance: random.Random) -> list[Pair]:
    """Return the pairs of the newest commits that touch few files."""
    suffixes = [f"*{suffix}" for suffix in GRAMMARS]
    command = ["git", "--git-dir", repository, "log", f"-n{count}", "-p", f"-U{CONTEXT_LINES}", "--no-merges"]
    command += ["--no-color", "--no-renames", "--format=%x00%s%n%b%x01", "HEAD", "--", *suffixes]
    done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603
    pairs: list[Pair] = []
    for record in done.stdout.decode("utf-8", "replace").split("\0")[1:]:
        message, _, patch = record.partition("\1")
        pairs += _pairs_of_commit(message, patch, chance)
    chance.shuffle(pairs)
    return pairs


def _pairs_of_commit(message: str, patch: str, chance: random.Random) -> list[Pair]:
    files = [one for one in patch.split("\ndiff --git ")[1:] if not LEFT_OUT.search(one.split("\n", 1)[0])]
    files = [one for one in files if not TESTS.search(one.split("\n", 1)[0])]
    subject, _, body = NOISE.sub("", message).partition("\n")
    query = f"{subject} {body.strip()[:400]}" if chance.random() < 1 / 2 else subject
    if not 0 < len(files) <= MAX_FILES:
        return []
    hunks = [hunk for one in files for hunk in _hunks(one)]
    chosen = chance.sample(hunks, min(len(hunks), MAX_HUNKS))
    return [Pair(query, code, own, "", path, is_commit=True) for path, own, code in chosen if _is_telling(query, code)]


def _hunks(patch: str) -> Iterator[tuple[str, str, str]]:
    path = patch.split("\n", 1)[0].rpartition(" b/")[2]
    own, lines = "", list[str]()
    for line in [*patch.split("\n"), "@@ -0,0 +0,0 @@"]:
        found = HUNK.match(line)
        if found:
            if lines:
                yield path, own, "\n".join(lines)
            defined = DEFINED.search(found[1])
            own, lines = defined[1] if defined else "", []
        elif line[:1] in {" ", "-"} and not line.startswith("---"):
            lines.append(line[1:])


if __name__ == "__main__":
    main()
