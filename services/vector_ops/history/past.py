"""The past as one commit sees it, in arrays: recency, words of commits, and co-change, per path."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.vector_ops.history.store import StoredCommit
from services.vector_ops.lexical.terms import Terms

Scores = NDArray[np.float64]
_RECENCY_COMMITS: Final = 100.0
"""After so many commits a change counts a third of what it counted."""
_WORDS_COMMITS: Final = 3_000.0
_COCHANGE_COMMITS: Final = 1_000.0
_WORDS_POWER: Final = 3.0


class Partner(NamedTuple):
    """A path that changed together with others: in `together` of the `changes` commits that changed one of those."""

    path: str
    together: int
    changes: int
    score: float


@dataclass(frozen=True, slots=True)
class Past:
    """The newest commits of one line, 0 the newest, and the paths they touched under the names they have today.

    The touches are pairs (`touch_commit[i]`, `touch_path[i]`), in the order of commits; the words likewise, in the
    order of terms.
    """

    commit_sha: str
    paths: tuple[str, ...]
    commit_count: int
    sizes: NDArray[np.int64]
    touch_commit: NDArray[np.int64]
    touch_path: NDArray[np.int64]
    word_term: Terms
    word_commit: NDArray[np.int64]

    def rank_recency(self) -> Scores:
        """Return for each path how much it changed lately: the newest commit gives 1, older ones less; summed."""
        gains = np.exp(-self.touch_commit / _RECENCY_COMMITS)
        return np.log1p(np.bincount(self.touch_path, weights=gains, minlength=len(self.paths)))

    def rank_commits(self, terms: Terms, boosts: Scores) -> Scores:
        """Return for each commit how well its message matches: BM25 without term frequencies."""
        scores = np.zeros(self.commit_count)
        norms = 1.2 * (0.25 + 0.75 * self.sizes / max(float(self.sizes.mean()) if self.commit_count else 1.0, 1.0))
        begins = np.searchsorted(self.word_term, terms, side="left").tolist()
        ends = np.searchsorted(self.word_term, terms, side="right").tolist()
        for begin, end, boost in zip(begins, ends, boosts.tolist(), strict=True):
            commits = self.word_commit[begin:end]
            rarity = np.log1p((self.commit_count - len(commits) + 0.5) / (len(commits) + 0.5))
            scores[commits] += boost * rarity * 2.2 / (1 + norms[commits])
        return scores

    def rank_words(self, terms: Terms, boosts: Scores) -> Scores:
        """Return for each path how well the messages of the commits that touched it match; the best few decide."""
        scores = self.rank_commits(terms, boosts) * np.exp(-np.arange(self.commit_count) / _WORDS_COMMITS)
        breadth = np.bincount(self.touch_commit, minlength=self.commit_count)
        shared = scores**_WORDS_POWER / np.sqrt(np.maximum(breadth, 1))
        summed = np.bincount(self.touch_path, weights=shared[self.touch_commit], minlength=len(self.paths))
        total: Scores = np.power(summed, 1 / _WORDS_POWER, dtype=np.float64)
        return total

    def rank_partners(self, seeds: Scores) -> Scores:
        """Return for each path how often it changed together with the seeds (a weight for each path), decayed.

        A commit hands the seeds' weight to its other paths, shared among them; a path that changes all the time gets
        less for it.
        """
        breadth = np.bincount(self.touch_commit, minlength=self.commit_count)
        decay = np.exp(-np.arange(self.commit_count) / _COCHANGE_COMMITS) / np.maximum(breadth - 1, 1)
        touched = np.bincount(self.touch_path, minlength=len(self.paths))
        arriving = seeds[self.touch_path] / np.sqrt(np.maximum(touched[self.touch_path], 1))
        by_commit = np.bincount(self.touch_commit, weights=arriving, minlength=self.commit_count)
        passed = (by_commit[self.touch_commit] - arriving) * decay[self.touch_commit]
        return np.bincount(self.touch_path, weights=passed, minlength=len(self.paths)) / np.sqrt(np.maximum(touched, 1))

    def list_partners(self, paths: Sequence[str], limit: int) -> list[Partner]:
        """Return the paths that changed most often together with one of `paths`, best first.

        The score is the decayed share of the commits, each counted less the more paths it touched, in 0 to 1.
        """
        number = {path: index for index, path in enumerate(self.paths)}
        ours = np.array(sorted({number[path] for path in paths if path in number}), np.int64)
        is_ours = np.isin(self.touch_path, ours)
        commits = np.unique(self.touch_commit[is_ours])
        if not len(commits):
            return []
        breadth = np.bincount(self.touch_commit, minlength=self.commit_count)
        gain = np.zeros(self.commit_count)
        gain[commits] = np.exp(-commits / _COCHANGE_COMMITS)
        is_beside = ~is_ours & (gain[self.touch_commit] > 0)
        beside, at = self.touch_path[is_beside], self.touch_commit[is_beside]
        shares = gain[at] / np.sqrt(np.maximum(breadth[at] - 1, 1))
        together = np.bincount(beside, minlength=len(self.paths))
        scores = np.bincount(beside, weights=shares, minlength=len(self.paths)) / (float(gain.sum()) + 1)
        best = sorted(np.flatnonzero(together).tolist(), key=lambda one: (-scores[one], self.paths[one]))[:limit]
        return [Partner(self.paths[one], int(together[one]), len(commits), float(scores[one])) for one in best]


def build_past(commit_sha: str, chain: Sequence[StoredCommit], names: dict[int, str]) -> Past:
    """Return the past of a line of commits, newest first."""
    today: dict[int, int] = {}
    commits: list[int] = []
    touched: list[int] = []
    for number, commit in enumerate(chain):
        for old, new in commit.renames.reshape(-1, 2).tolist():
            today[old] = today.get(new, new)
        ids = [today.get(one, one) for one in commit.paths.tolist()]
        commits.extend([number] * len(ids))
        touched.extend(ids)
    distinct, places = np.unique(np.array(touched, np.int64), return_inverse=True)
    terms = np.concatenate([commit.terms for commit in chain]) if chain else np.zeros(0, np.uint32)
    sizes = np.array([len(commit.terms) for commit in chain], np.int64)
    word_commit = np.repeat(np.arange(len(chain)), sizes)
    order = np.argsort(terms, kind="stable")
    return Past(
        commit_sha,
        tuple(names[one] for one in distinct.tolist()),
        len(chain),
        sizes,
        np.array(commits, np.int64),
        places.astype(np.int64),
        terms[order],
        word_commit[order],
    )
