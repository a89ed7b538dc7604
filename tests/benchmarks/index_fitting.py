"""Weights chosen on some repositories and tried on another: what is left of a score when nothing was tuned to it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MISSING = 1_000_000
KS = (1, 3, 5, 10, 20, 50)
_STEPS = (0.5, 0.7, 1.4, 2.0)
_FIRST = 0.1
_ROUNDS = 2
_LEAST_GAIN = 5e-4
_Z = 1.96


class Ranked(NamedTuple):
    """The signals of one case, a column for each name, over the places that matter; `gold` are rows, -1 for missing."""

    repo: str
    names: tuple[str, ...]
    signals: NDArray[np.float32]
    gold: tuple[int, ...]

    def rank(self, weights: dict[str, float]) -> int:
        """Return the rank, from 0, of the gold place that stands lowest."""
        if not self.gold or min(self.gold) < 0:
            return MISSING
        scores = self.signals @ np.array([weights.get(name, 0.0) for name in self.names], np.float32)
        return max(int((scores > scores[row]).sum()) for row in self.gold)

    def rank_any(self, weights: dict[str, float]) -> int:
        """Return the rank, from 0, of the gold place that stands highest; MISSING when none is there."""
        found = tuple(row for row in self.gold if row >= 0)
        return min((self._replace(gold=(row,)).rank(weights) for row in found), default=MISSING)


def measure(ranks: Sequence[int]) -> dict[str, float]:
    """Return the share, in percent, of ranks within each k."""
    return {f"@{k}": round(100 * sum(rank < k for rank in ranks) / max(len(ranks), 1), 1) for k in KS}


def bound(hits: int, count: int) -> list[float]:
    """Return the 95% interval of a share in percent (Wilson)."""
    if not count:
        return [0.0, 100.0]
    share, spread = hits / count, _Z * _Z / count
    centre = (share + spread / 2) / (1 + spread)
    half = _Z * ((share * (1 - share) + spread / 4) / count) ** 0.5 / (1 + spread)
    return [round(100 * (centre - half), 1), round(100 * (centre + half), 1)]


def measure_with_bounds(ranks: Sequence[int]) -> dict[str, object]:
    """Return the shares and their intervals."""
    count = len(ranks)
    bounds = {f"@{k}": bound(sum(rank < k for rank in ranks), count) for k in KS}
    return {"n": count, "acc": measure(ranks), "ci95": bounds}


def fit_weights(cases: Sequence[Ranked], start: dict[str, float]) -> dict[str, float]:
    """Return weights that rank the gold places of some cases higher: one weight at a time, by a few steps."""
    best, weights = _worth(cases, start), dict(start)
    for _round in range(_ROUNDS):
        is_better = False
        for name in start:
            for value in _try_values(weights[name]):
                trial = {**weights, name: value}
                worth = _worth(cases, trial)
                if worth > best + _LEAST_GAIN:
                    best, weights, is_better = worth, trial, True
        if not is_better:
            break
    return weights


def _try_values(value: float) -> tuple[float, ...]:
    return (*(round(value * step, 4) for step in _STEPS), 0.0) if value else (_FIRST,)


def _worth(cases: Sequence[Ranked], weights: dict[str, float]) -> float:
    ranks = np.array([case.rank(weights) for case in cases], np.float64)
    return float(np.mean(1 / (1 + ranks)) + 0.5 * np.mean(ranks < 5) + 0.5 * np.mean(ranks < 10))


def leave_one_out(cases: Sequence[Ranked], start: dict[str, float], *, is_any: bool = False) -> list[int]:
    """Return the rank of each case (or of its best gold place) under weights fitted without its repository."""
    ranks: list[int] = []
    for repo in sorted({case.repo for case in cases}):
        weights = fit_weights([case for case in cases if case.repo != repo], start)
        mine = [case for case in cases if case.repo == repo]
        ranks.extend(case.rank_any(weights) if is_any else case.rank(weights) for case in mine)
    return ranks
