"""Hits in groups, for questions about a subject rather than a place: by package, and by what changes together."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final, NamedTuple

from services.vector_ops.history.past import Past
from services.vector_ops.retrieval.ranked import RankedPlace

_MIN_TOGETHER: Final = 3
_MIN_SHARE: Final = 0.25
_MAX_CLUSTERED = 40
_PARTNERS_EACH = 20


class Theme(NamedTuple):
    """A group of files that answer together; `score` is the sum of theirs, `reason` says what joins them."""

    name: str
    paths: tuple[str, ...]
    score: float
    reason: str


def group_themes(places: Sequence[RankedPlace], past: Past | None, limit: int = 5) -> list[Theme]:
    """Return the packages and the co-change clusters of ranked files, best first; a group has two files at least.

    A cluster that lies in one package is left out: the package says it better.
    """
    scores: dict[str, float] = {}
    for place in places:
        scores.setdefault(place.path, place.score)
    packages = _group_packages(scores)
    clusters = _group_clusters(scores, past) if past is not None else []
    themes = sorted((*packages, *clusters), key=lambda theme: (-theme.score, theme.name))
    return themes[:limit]


def _group_packages(scores: dict[str, float]) -> list[Theme]:
    members: dict[str, list[str]] = defaultdict(list)
    for path in scores:
        members[path.rpartition("/")[0]].append(path)
    return [
        Theme(f"{folder or '.'}/", tuple(paths), round(sum(scores[path] for path in paths), 4), "one package")
        for folder, paths in members.items()
        if len(paths) > 1
    ]


def _group_clusters(scores: dict[str, float], past: Past) -> list[Theme]:
    """Join the ranked files that changed together often enough, directly or over others of them."""
    head = list(scores)[:_MAX_CLUSTERED]
    root = {path: path for path in head}

    def find(path: str) -> str:
        while root[path] != path:
            path = root[path]
        return path

    for path in head:
        for partner in past.list_partners([path], _PARTNERS_EACH):
            is_close = partner.together >= _MIN_TOGETHER and partner.together >= _MIN_SHARE * partner.changes
            if partner.path in root and is_close:
                root[find(partner.path)] = find(path)
    members: dict[str, list[str]] = defaultdict(list)
    for path in head:
        members[find(path)].append(path)
    return [
        Theme(paths[0], tuple(paths), round(sum(scores[path] for path in paths), 4), "changed together in the past")
        for paths in members.values()
        if len(paths) > 1 and len({path.rpartition("/")[0] for path in paths}) > 1
    ]
