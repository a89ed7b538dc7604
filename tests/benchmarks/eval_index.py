"""How well search finds what an issue is about.

    python tests/benchmarks/eval_index.py MIRRORS OUT_JSON NAME=ROWS.jsonl.gz...
        [--jobs=COUNT] [--only=EXPRESSION] [--cache=FOLDER] [--keep=FOLDER]

The query is the text of the issue, nothing else, no model. Right are the files that the solution changed and, for
Python, the innermost functions around its edits. `strict` wants all of them within k, `any` one of them. Every file
that the index would hold is ranked; "python" ranks only the .py files, as published figures do. The history is read as
of the commit at which the issue was open. "left_out" are the same rankings under weights that were fitted (from the
shipped ones) on the other repositories only. Repositories or commits that are not below MIRRORS are counted and named.
With a cache, contents that an earlier run has read are not read again.
"""

import json
import multiprocessing
import pickle
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pygit2
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "benchmarks")]

from index_cases import (  # noqa: E402 - the path is set first
    Case,
    CommitView,
    Contents,
    find_gold_files,
    find_gold_functions,
    find_repository,
    read_cases,
)
from index_fitting import MISSING, Ranked, fit_weights, leave_one_out, measure, measure_with_bounds  # noqa: E402

from services.vector_ops.history.history import History  # noqa: E402
from services.vector_ops.retrieval.evidence import hand_down  # noqa: E402
from services.vector_ops.retrieval.question import Route  # noqa: E402
from services.vector_ops.retrieval.ranked import SymbolReader, list_answers, weigh  # noqa: E402
from services.vector_ops.retrieval.search import Gathered, Searcher  # noqa: E402
from services.vector_ops.retrieval.weights import load_scoring  # noqa: E402
from services.vector_ops.source.repository import GitSource  # noqa: E402

Signal = NDArray[np.float64]
KEPT_FILES, KEPT_CHUNKS = 300, 400
WEIGHTS = load_scoring().routes[Route.ISSUE]


METHOD = (
    "Queries are issue texts, no model, no vectors. Files: every indexed file is ranked (files_python: only .py); "
    "right are those that the solution changed. Functions: all functions and methods are ranked; right are the "
    "innermost around the edits, in cases that change .py files alone. strict: all of them within k; any: one of "
    "them. acc in percent, ci95 Wilson's interval. left_out: weights fitted on the other repositories from the "
    "shipped ones on."
)
SHARED_WITH_VECTORS = frozenset({"burntsushi/ripgrep"})
"""Repositories that the static table was trained on; an issue asks no vectors, so this should touch no figure."""


@dataclass
class Tally:
    """What some cases gave."""

    strict: list[int] = field(default_factory=list)
    any: list[int] = field(default_factory=list)
    python: list[int] = field(default_factory=list)
    functions: list[int] = field(default_factory=list)
    repos: list[str] = field(default_factory=list)
    function_repos: list[str] = field(default_factory=list)
    file_cases: list[Ranked] = field(default_factory=list)
    function_cases: list[Ranked] = field(default_factory=list)
    missing: Counter[str] = field(default_factory=Counter)
    search_ms: list[float] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Append what other cases gave."""
        for one in fields(self):
            mine, theirs = getattr(self, one.name), getattr(other, one.name)
            mine.update(theirs) if isinstance(mine, Counter) else mine.extend(theirs)


@dataclass(frozen=True)
class Task:
    """The cases of one repository, and where its git directory and its cache are below."""

    repo: str
    cases: Sequence[Case]
    mirrors: Path
    cache: Path | None


def main() -> None:
    """Evaluate the sets named on the command line."""
    named = dict(one[2:].split("=", 1) for one in sys.argv[1:] if one.startswith("--"))
    mirrors, out, *sets = [one for one in sys.argv[1:] if not one.startswith("--")]
    cache = Path(named["cache"]) if "cache" in named else None
    result: dict[str, object] = {
        "begun": datetime.now(UTC).isoformat(timespec="minutes"),
        "method": METHOD,
        "weights_version": load_scoring().version,
    }
    for one in sets:
        begun = time.monotonic()
        name, _, path = one.partition("=")
        cases = [case for case in read_cases(Path(path)) if re.search(named.get("only", "."), case.repo)]
        tally = evaluate(cases, Path(mirrors), cache, int(named.get("jobs", "1")))
        result[name] = {"rows": len(cases), "minutes": round((time.monotonic() - begun) / 60, 1), **summarise(tally)}
        Path(out).write_text(json.dumps(result, indent=1) + "\n", "utf-8")
        if "keep" in named:
            (Path(named["keep"]) / f"{name}.pickle").write_bytes(pickle.dumps(tally))


def evaluate(cases: Sequence[Case], mirrors: Path, cache: Path | None, jobs: int) -> Tally:
    """Rank the places of every case; the repositories with the most cases begin first, all are added by name."""
    sizes = Counter(case.repo for case in cases)
    tasks = {repo: Task(repo, [case for case in cases if case.repo == repo], mirrors, cache) for repo in sizes}
    with ThreadPoolExecutor(jobs) as threads:
        waiting = {repo: threads.submit(run_apart, tasks[repo]) for repo, _size in sizes.most_common()}
    tally = Tally()
    for repo in sorted(waiting):
        tally.add(waiting[repo].result())
    return tally


def run_apart(task: Task) -> Tally:
    """Evaluate one repository in a process of its own; where that fails its cases are missing, for the reason given."""
    begun = time.monotonic()
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as apart:
        running = apart.submit(evaluate_repository, task)
        error = running.exception()
    seconds = f"{time.monotonic() - begun:.0f} s"
    if error is not None:
        reason = f"{task.repo}: failed: {type(error).__name__}: {error}"
        print(reason, seconds, file=sys.stderr, flush=True)
        return Tally(missing=Counter({reason: len(task.cases)}))
    tally = running.result()
    shares = {"strict": measure(tally.strict), "any": measure(tally.any), "functions": measure(tally.functions)}
    print(task.repo, f"n={len(tally.strict)}", json.dumps(shares), seconds, file=sys.stderr, flush=True)
    return tally


def evaluate_repository(task: Task) -> Tally:
    """Rank the places of the cases of one repository, in the order of their commits."""
    path = find_repository(task.mirrors, task.repo)
    if path is None:
        return Tally(missing=Counter({f"{task.repo}: no repository": len(task.cases)}))
    git = pygit2.Repository(str(path))
    there = [case for case in task.cases if case.commit in git]
    there.sort(key=lambda case: (git[case.commit].peel(pygit2.Commit).commit_time, case.id))
    tally = Tally()
    if len(there) < len(task.cases):
        tally.missing[f"{task.repo}: no commit"] = len(task.cases) - len(there)
    kept = task.cache / f"{task.repo.replace('/', '+')}.pickle" if task.cache else None
    follow_commits(there, Contents(GitSource(str(path)), kept), git, tally)
    return tally


def follow_commits(cases: Sequence[Case], contents: Contents, git: pygit2.Repository, tally: Tally) -> None:
    """Move one searcher from commit to commit, as the service would."""
    searcher = Searcher()
    with TemporaryDirectory() as folder:
        history = History(Path(folder) / "history.sqlite3")
        for case in cases:
            history.refresh(git, case.commit, budget_s=1e9)
            view = CommitView(contents, case.commit)
            searcher.prepare(view)
            begun = time.process_time()
            found = searcher.gather(view, case.text, past=history.read_past(case.commit))
            tally.search_ms.append(1e3 * (time.process_time() - begun))
            record(case, view, found, find_gold_files(view, case, git), tally)
        history.close()
    contents.save()


def record(case: Case, view: CommitView, found: Gathered, gold: Sequence[str], tally: Tally) -> None:
    """Add the ranks of one case, and the signals that they came from."""
    files = weigh(found.evidence.files, WEIGHTS.files, found.demotion)
    place = {path: row for row, path in enumerate(found.corpus.paths) if found.corpus.is_alive[row]}
    rows = [place.get(path, -1) for path in gold]
    ranks = [rank_of(files.total, row) for row in rows]
    is_python = np.array([path.endswith(".py") for path in found.corpus.paths], np.bool_)
    python = [rank_of(np.where(is_python, files.total, -1), row) for row in rows if row >= 0 and is_python[row]]
    tally.strict.append(max(ranks, default=MISSING))
    tally.any.append(min(ranks, default=MISSING))
    tally.python.append(max(python, default=MISSING))
    tally.repos.append(case.repo)
    tally.file_cases.append(cut(case.repo, files.parts, WEIGHTS.files, rows, KEPT_FILES))
    wanted = find_gold_functions(view, case) if all(path.endswith(".py") for path in gold) else set()
    if wanted:
        record_functions(view, found, files.total, wanted, tally)
        tally.function_repos.append(case.repo)


def record_functions(
    view: CommitView, found: Gathered, files: Signal, wanted: set[tuple[str, int]], tally: Tally
) -> None:
    """Add the rank of the wanted functions among all functions, which are listed as search lists them."""
    corpus = found.corpus
    demotion = found.demotion[corpus.chunk_file]
    chunks = weigh(hand_down(found.evidence, corpus, files), WEIGHTS.functions, demotion)
    best = np.argsort(-chunks.total, kind="stable")[:KEPT_CHUNKS].tolist()
    found_by = {
        (corpus.paths[corpus.chunk_file[one.chunk]], one.at): one
        for one in list_answers(SymbolReader(view), corpus, chunks.total, best, 2 * KEPT_CHUNKS)
    }
    order = [key for key in found_by if view.is_function(*key)]
    gold = tuple(order.index(one) if one in order else -1 for one in sorted(wanted))
    tally.functions.append(max(row if row >= 0 else MISSING for row in gold))
    names, kept = tuple(WEIGHTS.functions), np.array([found_by[key].chunk for key in order], np.int64)
    shares = np.array([[found_by[key].share] for key in order], np.float32)
    signals = shares * columns(chunks.parts, WEIGHTS.functions, names, kept)
    tally.function_cases.append(Ranked(tally.repos[-1], names, signals, gold))


def cut(
    repo: str, parts: Mapping[str, Signal], weights: Mapping[str, float], rows: Sequence[int], count: int
) -> Ranked:
    """Return the signals of the best places and of the gold ones."""
    names = tuple(weights)
    total = np.sum(list(parts.values()), axis=0) if parts else np.zeros(0)
    kept = list(
        dict.fromkeys([*np.argsort(-total, kind="stable")[:count].tolist(), *(row for row in rows if row >= 0)])
    )
    gold = tuple(kept.index(row) if row >= 0 else -1 for row in rows)
    return Ranked(repo, names, columns(parts, weights, names, np.array(kept, np.int64)), gold)


def columns(
    parts: Mapping[str, Signal], weights: Mapping[str, float], names: Sequence[str], kept: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return the signals before they were weighed, a column each."""
    made = [parts[name][kept] / weights[name] if name in parts else np.zeros(len(kept)) for name in names]
    return np.stack(made, axis=1).astype(np.float32)


def rank_of(scores: Signal, row: int) -> int:
    """Return how many places stand before a row; MISSING for one that is not there."""
    if row < 0:
        return MISSING
    return int((scores > scores[row]).sum() + (scores[:row] == scores[row]).sum())


def summarise(tally: Tally) -> dict[str, object]:
    """Return the tables of one set."""
    apart = [rank for rank, repo in zip(tally.any, tally.repos, strict=True) if repo not in SHARED_WITH_VECTORS]
    summary: dict[str, object] = {
        "cases": len(tally.strict),
        "missing": dict(sorted(tally.missing.items())),
        "files_strict": measure_with_bounds(tally.strict),
        "files_any": measure_with_bounds(tally.any),
        "files_any_without_training_repositories": measure_with_bounds(apart),
        "left_out_files_strict": measure_with_bounds(leave_one_out(tally.file_cases, dict(WEIGHTS.files))),
        "left_out_files_any": measure_with_bounds(leave_one_out(tally.file_cases, dict(WEIGHTS.files), is_any=True)),
        "fitted_to_all": fit_weights(tally.file_cases, dict(WEIGHTS.files)),
        "per_repository": dict(by_repository(tally.repos, tally.strict)),
        "per_repository_any": dict(by_repository(tally.repos, tally.any)),
        "search_cpu_ms": [round(float(np.percentile(tally.search_ms, q)), 1) for q in (50, 95, 100)],
    }
    if tally.functions:
        summary |= {
            "files_python": measure_with_bounds(tally.python),
            "functions": measure_with_bounds(tally.functions),
            "left_out_functions": measure_with_bounds(leave_one_out(tally.function_cases, dict(WEIGHTS.functions))),
            "fitted_to_all_functions": fit_weights(tally.function_cases, dict(WEIGHTS.functions)),
            "per_repository_functions": dict(by_repository(tally.function_repos, tally.functions)),
        }
    return summary


def by_repository(repos: Sequence[str], ranks: Sequence[int]) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield the shares of each repository, with the number of its cases."""
    for repo in sorted(set(repos)):
        mine = [rank for rank, one in zip(ranks, repos, strict=True) if one == repo]
        yield repo, {"n": float(len(mine)), **measure(mine)}


if __name__ == "__main__":
    main()
