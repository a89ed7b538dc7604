"""Ranked files and ranked functions in one list that keeps both orders."""

from collections.abc import Iterator
from typing import Final

from services.vector_ops.core.view import IndexView
from services.vector_ops.retrieval.question import Route
from services.vector_ops.retrieval.ranked import RankedPlace, Ranking

_FILE_SHARE: Final = 0.6
"""Of the answer to an issue, so much is kept for the introduction of files."""


def merge_places(view: IndexView, ranking: Ranking, limit: int) -> tuple[RankedPlace, ...]:
    """Return at most `limit` places.

    For an issue the files first appear in the order of the files, and the functions stand in their own order;
    a file whose functions come later is introduced by itself, its symbol being the file's. For a name or a phrase the
    functions come first, then the files that none of them is in.
    """
    if ranking.route is Route.ISSUE:
        return tuple(_keep_both(view, ranking, limit))
    seen = {place.path for place in ranking.functions}
    rest = [_stand_for_file(view, place) for place in ranking.files if place.path not in seen]
    kept = max(limit - len(rest), limit - limit // 4)
    return (*ranking.functions[:kept], *rest)[:limit]


def _keep_both(view: IndexView, ranking: Ranking, limit: int) -> Iterator[RankedPlace]:
    files = ranking.files[: max(1, round(limit * _FILE_SHARE))]
    order = {place.path: index for index, place in enumerate(files)}
    introduced = given = 0
    for function in ranking.functions:
        index = order.get(function.path)
        if index is None:
            continue
        ahead = files[introduced:index]
        after = max(introduced, index + 1)
        if given + len(ahead) + 1 + len(files) - after > limit:
            continue
        yield from (_stand_for_file(view, place) for place in ahead)
        yield function
        given, introduced = given + len(ahead) + 1, after
    yield from (_stand_for_file(view, place) for place in files[introduced:])


def _stand_for_file(view: IndexView, place: RankedPlace) -> RankedPlace:
    return place._replace(symbol=view.file_symbol(place.path))
