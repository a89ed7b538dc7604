"""How well search finds what an issue is about.

    python tests/benchmarks/eval_index.py MIRRORS OUT_JSON NAME=ROWS.jsonl.gz... [--only=EXPRESSION] [--cache=FOLDER]

The query is the text of the issue, nothing else, no model. Right are the files that the solution changed and, for
Python, the innermost functions around its edits. `strict` wants all of them within k, `any` one of them. Every file
that the index would hold is ranked; "python" ranks only the .py files, as published figures do. The history is read as
of the commit at which the issue was open. "left_out" are the same rankings under weights that were fitted (from the
shipped ones) on the other repositories only. Repositories or commits that are not below MIRRORS are counted and named.
With a cache, contents that an earlier run has read are not read again.
"""

import json
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
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
from services.vector_ops.retrieval.question import Route  # noqa: E402
from services.vector_ops.retrieval.ranked import weigh  # noqa: E402
from services.vector_ops.retrieval.search import Gathered, Searcher  # noqa: E402
from services.vector_ops.retrieval.weights import load_scoring  # noqa: E402
from services.vector_ops.source.repository import GitSource  # noqa: E402

KEPT_FILES, KEPT_CHUNKS = 300, 400
WEIGHTS = load_scoring().routes[Route.ISSUE]


@dataclass
class Tally:
    """What one set of cases gave."""

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


def main() -> None:
    """Evaluate the sets named on the command line."""
    named = dict(one[2:].split("=", 1) for one in sys.argv[1:] if one.startswith("--"))
    mirrors, out, *sets = [one for one in sys.argv[1:] if not one.startswith("--")]
    cache = Path(named["cache"]) if "cache" in named else None
    result: dict[str, object] = {"weights_version": load_scoring().version}
    for one in sets:
        name, _, path = one.partition("=")
        tally = evaluate(read_cases(Path(path)), Path(mirrors), named.get("only", "."), cache)
        result[name] = summarise(tally)
        Path(out).write_text(json.dumps(result, indent=1) + "\n", "utf-8")


def evaluate(cases: Sequence[Case], mirrors: Path, only: str, cache: Path | None) -> Tally:
    """Rank the places of every case, repository by repository, in the order of their commits."""
    tally = Tally()
    for repo in sorted({case.repo for case in cases if re.search(only, case.repo)}):
        path = find_repository(mirrors, repo)
        mine = [case for case in cases if case.repo == repo]
        if path is None:
            tally.missing[f"{repo}: no repository"] += len(mine)
            continue
        git = pygit2.Repository(str(path))
        there = [case for case in mine if case.commit in git]
        if len(there) < len(mine):
            tally.missing[f"{repo}: no commit"] += len(mine) - len(there)
        begun = time.monotonic()
        there.sort(key=lambda case: git[case.commit].peel(pygit2.Commit).commit_time)
        kept = cache / f"{repo.replace('/', '+')}.pickle" if cache else None
        evaluate_repository(there, Contents(GitSource(str(path)), kept), git, tally)
        strict, any_one = (dict(by_repository(tally.repos, ranks)).get(repo) for ranks in (tally.strict, tally.any))
        print(repo, "strict", strict, "any", any_one, f"{time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    return tally


def evaluate_repository(cases: Sequence[Case], contents: Contents, git: pygit2.Repository, tally: Tally) -> None:
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
    view: CommitView, found: Gathered, files: NDArray[np.float64], wanted: set[tuple[str, int]], tally: Tally
) -> None:
    """Add the rank of the wanted functions among all functions; one in several chunks counts by its best."""
    corpus = found.corpus
    demotion = found.demotion[corpus.chunk_file]
    chunks = weigh({**found.evidence.chunks, "file": files[corpus.chunk_file]}, WEIGHTS.functions, demotion)
    best: dict[tuple[str, int], int] = {}
    for chunk in np.argsort(-chunks.total, kind="stable")[:KEPT_CHUNKS].tolist():
        key = corpus.paths[corpus.chunk_file[chunk]], int(corpus.at[chunk])
        if key not in best and view.is_function(*key):
            best[key] = chunk
    order = list(best)
    gold = tuple(order.index(one) if one in best else -1 for one in sorted(wanted))
    tally.functions.append(max(row if row >= 0 else MISSING for row in gold))
    names, kept = tuple(WEIGHTS.functions), np.array(list(best.values()), np.int64)
    signals = columns(chunks.parts, WEIGHTS.functions, names, kept)
    tally.function_cases.append(Ranked(tally.repos[-1], names, signals, gold))


def cut(repo: str, parts: dict, weights: dict, rows: Sequence[int], count: int) -> Ranked:  # type: ignore[type-arg]
    """Return the signals of the best places and of the gold ones."""
    names = tuple(weights)
    total = np.sum(list(parts.values()), axis=0) if parts else np.zeros(0)
    kept = list(
        dict.fromkeys([*np.argsort(-total, kind="stable")[:count].tolist(), *(row for row in rows if row >= 0)])
    )
    gold = tuple(kept.index(row) if row >= 0 else -1 for row in rows)
    return Ranked(repo, names, columns(parts, weights, names, np.array(kept, np.int64)), gold)


def columns(parts: dict, weights: dict, names: Sequence[str], kept: NDArray[np.int64]) -> NDArray[np.float32]:  # type: ignore[type-arg]
    """Return the signals before they were weighed, a column each."""
    made = [parts[name][kept] / weights[name] if name in parts else np.zeros(len(kept)) for name in names]
    return np.stack(made, axis=1).astype(np.float32)


def rank_of(scores: NDArray[np.float64], row: int) -> int:
    """Return how many places stand before a row; MISSING for one that is not there."""
    if row < 0:
        return MISSING
    return int((scores > scores[row]).sum() + (scores[:row] == scores[row]).sum())


def summarise(tally: Tally) -> dict[str, object]:
    """Return the tables of one set."""
    summary: dict[str, object] = {
        "cases": len(tally.strict),
        "missing": dict(sorted(tally.missing.items())),
        "files_strict": measure_with_bounds(tally.strict),
        "files_any": measure_with_bounds(tally.any),
        "left_out_files_strict": measure_with_bounds(leave_one_out(tally.file_cases, dict(WEIGHTS.files))),
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
