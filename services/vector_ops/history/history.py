"""The history of one repository: mined step by step, read as of any mined commit."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Final, NamedTuple

import pygit2

from services.vector_ops.history.mining import MinedCommit, find_commit, mine_commit
from services.vector_ops.history.past import Past, build_past
from services.vector_ops.history.store import HistoryStore, StoredCommit

MAX_COMMITS: Final = 2_500
_BATCH = 100
_SPARE_SHARE = 4


class Progress(NamedTuple):
    """How far mining is: `mined` of `wanted` commits of the line that ends in `commit_sha`."""

    commit_sha: str
    mined: int
    wanted: int

    @property
    def is_complete(self) -> bool:
        """Say whether nothing of the line is left to mine."""
        return self.mined >= self.wanted


class History:
    """Mines and answers; every method may be called from any thread.

    Only first parents are followed, at most `max_commits` of them. What is mined already answers, newest commits first.
    """

    def __init__(self, path: Path, *, max_commits: int = MAX_COMMITS, clock: Callable[[], float] = monotonic) -> None:
        self._path = path
        self._max_commits = max_commits
        self._clock = clock
        self._lock = threading.Lock()
        self._store: HistoryStore | None = None
        self._commits: dict[str, StoredCommit] = {}
        self._names: dict[int, str] = {}
        self._past: Past | None = None
        self._version = -1

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        with self._lock:
            if self._store is not None:
                self._store.close()
            self._store, self._commits, self._names, self._past, self._version = None, {}, {}, None, -1

    def refresh(
        self,
        repository: pygit2.Repository,
        commit_sha: str,
        *,
        budget_s: float = 5.0,
        is_stopping: Callable[[], bool] = bool,
    ) -> Progress:
        """Mine what is new in a line, newest first, for about `budget_s`: some two milliseconds a commit.

        After a rebase or a force-push only the commits that were not there before are mined. What a call has mined
        stays when the next one is interrupted. Raises sqlite3.Error when the file cannot be written.
        """
        deadline_s = self._clock() + budget_s
        with self._lock:
            store = self._open()
            line = self._walk(repository, commit_sha)
            missing = [sha for sha in line if sha not in self._commits]
            batch: list[MinedCommit] = []
            for sha in missing:
                commit = find_commit(repository, sha)
                if commit is None or is_stopping() or self._clock() >= deadline_s:
                    break
                batch.append(mine_commit(repository, commit))
                if len(batch) == _BATCH:
                    self._save(store, batch)
            self._save(store, batch)
            self._forget(store, line)
            return Progress(commit_sha, sum(1 for sha in line if sha in self._commits), len(line))

    def read_past(self, commit_sha: str) -> Past:
        """Return the past as a commit sees it, as far as it is mined; an empty one for an unknown commit."""
        with self._lock:
            self._open()
            if self._past is None or self._past.commit_sha != commit_sha:
                self._past = build_past(commit_sha, list(self._follow(commit_sha)), self._names)
            return self._past

    def find_newest(self, commit_sha: str) -> str:
        """Return the commit when it is mined; empty when it is not yet, or nothing has asked for the past."""
        with self._lock:
            if self._store is not None:
                self._open()
            return commit_sha if commit_sha in self._commits else ""

    def _open(self) -> HistoryStore:
        """Return the file, with what other processes have mined since the last look."""
        store = self._store = self._store or HistoryStore(self._path)
        version = store.read_version()
        if version != self._version:
            self._version = version
            self._load(store)
            self._past = None
        return store

    def _load(self, store: HistoryStore) -> None:
        self._commits |= store.read_commits(max((commit.id for commit in self._commits.values()), default=0))
        self._names |= store.read_paths(max(self._names, default=0))

    def _save(self, store: HistoryStore, batch: list[MinedCommit]) -> None:
        if batch:
            store.add(batch)
            batch.clear()
            self._load(store)
            self._past = None

    def _walk(self, repository: pygit2.Repository, commit_sha: str) -> list[str]:
        """Return the shas of a line; git is asked only about commits that are not mined."""
        line: list[str] = []
        sha = commit_sha
        while sha and len(line) < self._max_commits:
            known = self._commits.get(sha)
            commit = None if known else find_commit(repository, sha)
            if known is None and commit is None:
                break
            line.append(sha)
            sha = known.parent_sha if known else str(commit.parent_ids[0]) if commit and commit.parent_ids else ""
        return line

    def _follow(self, commit_sha: str) -> Iterator[StoredCommit]:
        sha = commit_sha
        for _number in range(self._max_commits):
            commit = self._commits.get(sha)
            if commit is None:
                return
            yield commit
            sha = commit.parent_sha

    def _forget(self, store: HistoryStore, line: list[str]) -> None:
        """Drop the oldest mined commits of other lines once there are many more than a line may hold."""
        surplus = len(self._commits) - _SPARE_SHARE * self._max_commits
        if surplus <= 0:
            return
        kept = set(line)
        gone = sorted((commit.id, sha) for sha, commit in self._commits.items() if sha not in kept)[:surplus]
        store.forget(number for number, _sha in gone)
        for _number, sha in gone:
            del self._commits[sha]
