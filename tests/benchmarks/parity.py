"""Does an index that is kept level by increments hold the rows of one that is built anew? On real commits.

    python tests/benchmarks/parity.py REPOSITORY LANGUAGE[,LANGUAGE...] COMMITS [EVERY]

Walks the last COMMITS first parents of a (bare) repository, with jumps to older commits and back in between. After each
EVERY-th commit (default: each) the index must hold the same files, symbols and edges as a clean build of that commit,
and the view with the same changes as an uncommitted overlay must have held them before. Prints one line of JSON; ends
with 1 when anything differed.
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pygit2

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from services.vector_ops.languages.catalogue import language_name, load_language  # noqa: E402 - the path is set first
from services.vector_ops.source.heads import Head  # noqa: E402
from services.vector_ops.source.repository import GitSource  # noqa: E402
from services.vector_ops.truth.store import TruthStore  # noqa: E402
from services.vector_ops.truth.view import StoredView  # noqa: E402

JUMP_EVERY = 15
JUMP_BACK = 40
SHOWN = 5

Rows = dict[str, list[tuple[object, ...]]]


class PinnedSource(GitSource):
    """A repository whose HEAD is whatever commit is wanted."""

    pinned = ""

    def read_head(self) -> Head:
        return super().read_head() if not self.pinned else replace(super().read_head(), commit_sha=self.pinned)


@dataclass
class Tally:
    """What was seen; times in milliseconds."""

    commits: int = 0
    jumps: int = 0
    compared: int = 0
    overlays_compared: int = 0
    parsed: int = 0
    resolved: int = 0
    refresh_ms: list[float] = field(default_factory=list)
    overlay_ms: list[float] = field(default_factory=list)
    build_s: list[float] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)


def list_commits(source: GitSource, count: int) -> list[str]:
    """Return the last commits of the first-parent line, oldest first."""
    commit = source.repository[source.resolve("HEAD")].peel(pygit2.Commit)
    found = [str(commit.id)]
    while commit.parent_ids and len(found) <= count:
        commit = source.repository[commit.parent_ids[0]].peel(pygit2.Commit)
        found.append(str(commit.id))
    return found[::-1]


def walk(commits: list[str]) -> Iterator[tuple[str, bool]]:
    """Yield commits in order; now and then jump back as a branch switch does, and return. The flag marks jumps."""
    for at, sha in enumerate(commits):
        yield sha, False
        if at and at % JUMP_EVERY == 0:
            yield commits[max(0, at - JUMP_BACK)], True
            yield sha, True


def read_rows(view: StoredView) -> Rows:
    """Return everything a view holds, in an order of its own."""
    files = [(row.path, row.blob_sha, row.language, row.is_test, row.skipped) for row in view.list_files()]
    return {
        "file": list(files),
        "symbol": sorted(view.all_symbols()),
        "edge": sorted(view.all_edges()),
        "count": [view.count()],
    }


def compare(what: str, sha: str, found: Rows, wanted: Rows) -> list[str]:
    """Return a line for each table that differs."""
    lines = []
    for table, rows in wanted.items():
        mine, clean = set(found[table]), set(rows)
        if found[table] != rows:
            lines.append(
                f"{what} at {sha[:12]}: {table}: {len(mine - clean)} too many {sorted(mine - clean, key=str)[:SHOWN]}, "
                f"{len(clean - mine)} missing {sorted(clean - mine, key=str)[:SHOWN]}"
            )
    return lines


def build_clean(folder: Path, source: PinnedSource, languages: set[str], tally: Tally) -> Rows:
    """Return the rows of a clean build of the pinned commit."""
    path = folder / "clean.sqlite3"
    path.unlink(missing_ok=True)
    store = open_store(path, languages)
    started_s = time.process_time()
    store.refresh(source, wait_s=1)
    tally.build_s.append(time.process_time() - started_s)
    with store.view({}, source.read_blob) as view:
        rows = read_rows(view)
    store.close()
    return rows


def open_store(path: Path, languages: set[str], **parts: Any) -> TruthStore:
    """Return a store that knows some languages only; all else is text."""

    def name_language(path: str) -> str:
        name = language_name(path)
        return name if name in languages else ""

    return TruthStore(path, load_language, name_language, **parts)


def read_overlay(store: TruthStore, source: PinnedSource, sha: str, tally: Tally) -> Rows | None:
    """Return the rows of the present commit with the way to `sha` as an overlay."""
    state = store.peek_state()
    changes = None if state is None else source.changes(state.commit_sha, sha)
    if changes is None:
        return None
    overlay = {path: None if blob is None else source.read_blob(blob) for path, blob in changes.items()}
    started_s = time.perf_counter()
    with store.view(overlay, source.read_blob) as view:
        view.list_files()
        tally.overlay_ms.append(1000 * (time.perf_counter() - started_s))
        return read_rows(view)


def check(repository: str, languages: set[str], count: int, every: int, folder: Path) -> Tally:
    """Walk the commits and compare."""
    source = PinnedSource(repository)
    commits = list_commits(source, count)
    tally, store = Tally(), open_store(folder / "kept.sqlite3", languages)
    for sha, is_jump in walk(commits):
        is_compared = tally.commits % every == 0 or sha == commits[-1]
        over = read_overlay(store, source, sha, tally) if is_compared else None
        refresh(store, source, sha, tally)
        tally.commits += not is_jump
        tally.jumps += is_jump
        if is_compared:
            wanted = build_clean(folder, source, languages, tally)
            with store.view({}, source.read_blob) as view:
                tally.differences += compare("index", sha, read_rows(view), wanted)
            tally.compared += 1
            if over is not None:
                tally.differences += compare("overlay", sha, over, wanted)
                tally.overlays_compared += 1
        if tally.differences:
            break
    store.close()
    return tally


def refresh(store: TruthStore, source: PinnedSource, sha: str, tally: Tally) -> None:
    """Bring the kept index to a commit; the first time is a build and not counted."""
    source.pinned = sha
    is_first = store.peek_state() is None
    started_s = time.perf_counter()
    applied = store.refresh(source, wait_s=1)
    if not is_first:
        tally.refresh_ms.append(1000 * (time.perf_counter() - started_s))
        tally.parsed += applied.files_parsed
        tally.resolved += applied.files_resolved


def describe(repository: str, languages: set[str], tally: Tally) -> dict[str, object]:
    """Return the figures of a run."""
    ordered = sorted(tally.refresh_ms) or [0.0]
    return {
        "repository": Path(repository).parent.name if Path(repository).name == "repo" else Path(repository).name,
        "languages": sorted(languages),
        "commits": tally.commits,
        "jumps": tally.jumps,
        "compared": tally.compared,
        "overlays_compared": tally.overlays_compared,
        "differences": tally.differences,
        "files_parsed": tally.parsed,
        "files_resolved": tally.resolved,
        "refresh_p50_ms": round(statistics.median(ordered), 1),
        "refresh_p99_ms": round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))], 1),
        "overlay_p50_ms": round(statistics.median(tally.overlay_ms or [0.0]), 1),
        "clean_build_p50_s": round(statistics.median(tally.build_s or [0.0]), 2),
    }


def main(arguments: list[str]) -> int:
    """Check one repository; return the exit code."""
    repository, names, count = arguments[:3]
    languages = set(names.split(","))
    with tempfile.TemporaryDirectory() as folder:
        every = int(arguments[3]) if len(arguments) > 3 else 1
        tally = check(repository, languages, int(count), every, Path(folder))
    print(json.dumps(describe(repository, languages, tally)))
    return 1 if tally.differences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
