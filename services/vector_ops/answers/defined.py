"""Where a symbol is defined."""

from services.vector_ops.answers.meaning import find_meaning
from services.vector_ops.answers.places import Lines, make_definition_hit
from services.vector_ops.core.view import IndexView
from services.vector_ops.models import Hit


def where_defined(view: IndexView, lines: Lines, text: str, limit: int) -> tuple[list[Hit], bool]:
    """Return the definitions that `text` may mean, and whether the limit cut them."""
    meaning = find_meaning(view, text)
    found = (*meaning.symbols, *meaning.files)
    hits = [make_definition_hit(lines, one, score=0.5 if one.is_test else 1.0) for one in found[:limit]]
    return hits, len(found) > limit
