"""Does a refresh that is killed at any moment leave an index at the boundary of a commit? On real commits.

    python tests/benchmarks/index_crash.py REPOSITORY LANGUAGE[,LANGUAGE...] ROUNDS

Each round starts a process that brings an index to a random commit and dies by SIGKILL: at its n-th file or blob, when
the state is about to be written, before a finished build is put in place, or after a random time. Then the file must be
sound and hold the rows of the commit it names, or not be there; and a refresh must bring it to a clean build's rows.
Prints one line of JSON; ends with 1 when anything differed.
"""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from services.vector_ops.truth import building  # noqa: E402 - the path is set first
from tests.benchmarks.parity import PinnedSource, Rows, list_commits, open_store, read_rows  # noqa: E402

POINTS = ("file", "blob", "state", "place", "time")
COMMITS = 12
SPREAD = 25
MAX_DELAY_S = 1.5
FRESH_SHARE = 0.3
"""Of the rounds, how many start without an index."""


def die() -> None:
    """End this process as `kill -9` does."""
    os.kill(os.getpid(), signal.SIGKILL)


class Fuse:
    """Dies at the n-th call."""

    def __init__(self, count: int) -> None:
        self._left = count

    def __call__(self, *_arguments: object) -> None:
        self._left -= 1
        if self._left <= 0:
            die()


def run_child(arguments: list[str]) -> None:
    """Refresh an index and die on the way."""
    repository, sha, index, languages, point, count = arguments
    fuse = Fuse(int(count))
    source = PinnedSource(repository)
    source.pinned = sha

    def is_stopping() -> bool:
        if point == "file":
            fuse()
        return False

    def read_blob(blob_sha: str, read: Callable[[str], bytes] = source.read_blob) -> bytes:
        fuse()
        return read(blob_sha)

    def now() -> datetime:
        if point == "state":
            die()
        return datetime.now(UTC)

    if point == "blob":
        source.read_blob = read_blob  # type: ignore[method-assign]
    if point == "place":
        building.remove_journal = Fuse(2)  # type: ignore[assignment]  # the second call is just before the rename
    store = open_store(Path(index), set(languages.split(",")), now=now)
    store.refresh(source, wait_s=5, is_stopping=is_stopping)


@dataclass
class Tally:
    """What was seen."""

    rounds: int = 0
    killed: Counter[str] = field(default_factory=Counter)
    survived: int = 0
    found: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


class Trial:
    """Rounds over one repository."""

    def __init__(self, repository: str, languages: str, folder: Path, *, seed: int, spread: int = SPREAD) -> None:
        self.tally = Tally()
        self._repository = repository
        self._languages = languages
        self._folder = folder
        self._index = folder / "index" / "one.sqlite3"
        self._source = PinnedSource(repository)
        self._commits = list_commits(self._source, COMMITS * spread)[::spread]
        self._clean: dict[str, Rows] = {}
        self._draw = random.Random(seed)

    def run_random_round(self) -> None:
        """Run a round with everything drawn."""
        point, count = self._draw.choice(POINTS), self._draw.randrange(1, 60)
        self.run_round(point, count, is_new=self._draw.random() < FRESH_SHARE)

    def run_round(self, point: str, count: int, *, is_new: bool) -> None:
        """Kill one refresh, look at what it left, and finish it."""
        if is_new:
            for path in self._index.parent.glob("*"):
                path.unlink()
        before = self._read_commit()
        target = self._draw.choice([sha for sha in self._commits if sha != before])
        self._kill_child(target, point, count)
        self.tally.rounds += 1
        self._check(f"after the kill on the way from {before[:12]} to {target[:12]}", {before, target})
        self._source.pinned = target
        store = open_store(self._index, set(self._languages.split(",")))
        store.refresh(self._source, wait_s=5)
        store.close()
        self._check(f"after finishing {target[:12]}", {target})

    def _read_commit(self) -> str:
        store = open_store(self._index, set(self._languages.split(",")))
        state = store.peek_state()
        store.close()
        return "" if state is None else state.commit_sha

    def _kill_child(self, target: str, point: str, count: int) -> None:
        arguments = ("--child", self._repository, target, str(self._index), self._languages, point, str(count))
        child = subprocess.Popen([sys.executable, __file__, *arguments], stderr=subprocess.PIPE)
        if point == "time":
            time.sleep(self._draw.random() * MAX_DELAY_S)
            child.kill()
        _, errors = child.communicate()
        if child.returncode == -signal.SIGKILL:
            self.tally.killed[point] += 1
        elif child.returncode == 0:
            self.tally.survived += 1
        else:
            self.tally.faults.append(f"the child failed: {errors.decode()[-500:]}")

    def _check(self, when: str, allowed: set[str]) -> None:
        commit = self._read_commit()
        self.tally.found["no index" if not commit else "the commit" if len(allowed) == 1 else "a boundary"] += 1
        if commit not in allowed:
            self.tally.faults.append(f"{when}: the index names {commit[:12] or 'nothing'}")
        if not commit:
            return
        with closing(sqlite3.connect(self._index)) as connection:
            verdict = connection.execute("PRAGMA quick_check").fetchone()[0]
        if verdict != "ok":
            self.tally.faults.append(f"{when}: quick_check says {verdict}")
        elif self._read(self._index) != self._find_clean(commit):
            self.tally.faults.append(f"{when}: the rows are not those of {commit[:12]}")

    def _read(self, path: Path) -> Rows:
        store = open_store(path, set(self._languages.split(",")))
        with store.view({}, self._source.read_blob) as view:
            rows = read_rows(view)
        store.close()
        return rows

    def _find_clean(self, commit: str) -> Rows:
        if commit not in self._clean:
            path = self._folder / f"{commit}.sqlite3"
            self._source.pinned = commit
            store = open_store(path, set(self._languages.split(",")))
            store.refresh(self._source, wait_s=5)
            store.close()
            self._clean[commit] = self._read(path)
        return self._clean[commit]


def main(arguments: list[str]) -> int:
    """Run the rounds, or one child; return the exit code."""
    if arguments[0] == "--child":
        run_child(arguments[1:])
        return 0
    repository, languages, rounds = arguments
    with tempfile.TemporaryDirectory() as folder:
        trial = Trial(repository, languages, Path(folder), seed=int(rounds))
        for _ in range(int(rounds)):
            trial.run_random_round()
    tally = trial.tally
    figures = {"rounds": tally.rounds, "killed": tally.killed, "survived": tally.survived, "found": tally.found}
    print(json.dumps({**figures, "faults": tally.faults}))
    return 1 if tally.faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
