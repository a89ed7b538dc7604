"""A question that is one name: its definitions come first, the best qualified ones at the top."""

import re
from collections.abc import Sequence

from services.vector_ops.core.view import IndexView, SymbolRow
from services.vector_ops.retrieval.path_kinds import PathKind, classify_path
from services.vector_ops.retrieval.places import count_common_tail

_SEPARATOR = re.compile(r"::|->|[.#/]")
_MINOR_KINDS = frozenset({"variable", "constant", "attribute", "field", "variant"})


def find_named(view: IndexView, text: str, limit: int) -> list[SymbolRow]:
    """Return the definitions that a name such as `Class.method` or `pkg.module.name` means, best first."""
    wanted = [part for part in _SEPARATOR.split(text.strip().removesuffix("()")) if part]
    if not wanted:
        return []
    rows = view.find_symbols([wanted[-1]])
    if not rows:
        rows = view.find_symbols(view.find_symbols_like(wanted[-1], 5))
    return sorted(rows, key=lambda row: _order(row, wanted))[:limit]


def _order(row: SymbolRow, wanted: Sequence[str]) -> tuple[int, bool, bool, int, str, int]:
    """Sort by how much of the qualified name fits, then code before tests, functions before values."""
    module = re.sub(r"\.\w+$", "", row.path).split("/")
    full = [*module, *_SEPARATOR.split(row.qualname)]
    matched = count_common_tail(full, wanted)
    is_beside = row.is_test or classify_path(row.path) is not PathKind.CODE
    return -matched, is_beside, row.kind in _MINOR_KINDS, row.qualname.count("."), row.path, row.line
