"""What a change reaches, one hit a file: the surest place in it, and every reason."""

from collections.abc import Callable, Sequence

from services.vector_ops.answers.places import TIERS, Lines, name_of
from services.vector_ops.core.view import SymbolRow
from services.vector_ops.models import Hit
from services.vector_ops.retrieval.impact import PAST, ImpactItem

DIRECT, INDIRECT, BY_HISTORY = "direct", "indirect", "history"
"""The sections of an impact set: what leans on the change itself, what leans on that, what only changed together."""
_MAX_REASONS = 6
_DEFINING_SCORE = 2.0


def collect_impact(
    lines: Lines, seeds: Sequence[SymbolRow], items: Sequence[ImpactItem], is_test: Callable[[str], bool]
) -> list[Hit]:
    """Return one hit a file, those that define the symbols first, then the likeliest."""
    by_path: dict[str, list[ImpactItem]] = {}
    for item in items:
        by_path.setdefault(item.path, []).append(item)
    hits = []
    for path in dict.fromkeys([one.path for one in seeds] + list(by_path)):
        defined = [one for one in seeds if one.path == path]
        hits.append(_make_hit(lines, path, defined, by_path.get(path, []), is_test=is_test(path)))
    return sorted(hits, key=lambda hit: (-hit.score, hit.kind == "test", hit.path))


def _make_hit(
    lines: Lines, path: str, defined: Sequence[SymbolRow], items: Sequence[ImpactItem], *, is_test: bool
) -> Hit:
    best = items[0] if items else None
    line = defined[0].line if defined else best.line if best else 1
    symbol = defined[0] if defined else best.symbol if best else None
    reasons = [f"defines {one.qualname}" for one in defined]
    reasons += [f"{_subject(item)}{reason}" for item in items for reason in item.reasons]
    shown = list(dict.fromkeys(reasons))
    more = [f"and {len(shown) - _MAX_REASONS} more"] if len(shown) > _MAX_REASONS else []
    step = 1 if defined else min(item.step for item in items)
    return Hit(
        path=path,
        line=line,
        column=symbol.column if symbol is not None and symbol.line == line else 1,
        symbol=name_of(symbol),
        kind="test" if is_test else "file",
        snippet=lines.snippet(path, line),
        tier=TIERS[best.tier] if best is not None and best.tier is not None and not defined else None,
        score=_DEFINING_SCORE if defined else max(item.score for item in items),
        reason="; ".join(shown[:_MAX_REASONS] + more),
        section=DIRECT if step == 1 else BY_HISTORY if step == PAST else INDIRECT,
    )


def _subject(item: ImpactItem) -> str:
    symbol = item.symbol
    return f"{symbol.qualname} " if symbol is not None and symbol.kind != "file" else ""
