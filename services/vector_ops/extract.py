"""Content to facts. Python is parsed with tree-sitter; any other text is kept for full-text search only."""

from functools import lru_cache

import tree_sitter

from services.kernel.errors import InternalError
from services.vector_ops.binding import resolve_definitions, resolve_references
from services.vector_ops.core.facts import FileFacts, find_skip_rule, is_python
from services.vector_ops.syntax import Walk


class GrammarMissingError(InternalError):
    """The grammar is no optional part: without it the index would silently be empty."""

    code = "vector_ops.grammar_missing"


@lru_cache(maxsize=1)
def load_language() -> tree_sitter.Language:
    """Return the Python grammar; raise GrammarMissingError, naming the cure, when it cannot be loaded."""
    try:
        import tree_sitter_python  # noqa: PLC0415 - a missing grammar must be one clear error, not a failed import

        return tree_sitter.Language(tree_sitter_python.language())
    except (ImportError, ValueError, TypeError) as error:
        raise GrammarMissingError(
            f"the Python grammar of the code index cannot be loaded ({error}); reinstall tree-sitter-python"
        ) from error


def extract_facts(path: str, content: bytes) -> FileFacts:
    """Return the facts of one file; a content that a rule leaves out comes back empty with `skipped` set."""
    rule = find_skip_rule(content)
    if rule:
        return FileFacts(skipped=rule)
    if not is_python(path):
        return FileFacts()
    tree = tree_sitter.Parser(load_language()).parse(content)
    walk = Walk(content)
    walk.run(tree.root_node)
    return FileFacts(
        definitions=resolve_definitions(walk.module, walk.definitions),
        references=resolve_references(walk.module, walk.references),
        imports=tuple(walk.imports),
    )
