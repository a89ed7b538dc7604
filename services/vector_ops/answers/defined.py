"""Where a symbol is defined."""

from services.vector_ops.answers.meaning import find_meaning, is_beside
from services.vector_ops.answers.places import Lines, make_definition_hit
from services.vector_ops.core.view import IndexView
from services.vector_ops.models import Hit

_BESIDE_SCORE = 0.5


def where_defined(view: IndexView, lines: Lines, text: str, limit: int) -> tuple[list[Hit], bool]:
    """Return the definitions that `text` may mean, code before tests and examples, and whether a cap cut them."""
    meaning = find_meaning(view, text)
    found = (*meaning.symbols, *meaning.files)
    hits = [make_definition_hit(lines, one, score=_BESIDE_SCORE if is_beside(one) else 1.0) for one in found[:limit]]
    return hits, meaning.is_cut or len(found) > limit
