"""Measure the code index; write tests/benchmarks/index.json.

    python tests/benchmarks/measure_index.py REPOSITORY [--issues FILE.jsonl.gz] [--large REPOSITORY ...] [--neo4j URL]

Method. REPOSITORY is a git directory, bare or not (the committed figures: django/django). Building is one process with
one worker, compared by CPU seconds with bare tree-sitter parsing of the same files in the same run; the ratio is what
to quote, for machines differ. Commits are the last 300 first parents, each applied to an index that is level with its
parent; wall time. Queries are asked of the service in process, each a few times, the first round left out. Freshness is
the time from the return of `git commit` to the first answer that knows the commit, with the daemon running beside.
--issues has rows with a `problem_statement`; --large: repositories that are put side by side into one tree, of at least
a million lines, whose index is built in a process of its own, measured by the kernel. --neo4j compares with bare nodes
and edges in the same server.
"""

import argparse
import gzip
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pygit2
import tree_sitter

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from services.kernel.clock import SystemClock  # noqa: E402 - the path is set first
from services.kernel.errors import PlatformError  # noqa: E402
from services.vector_ops.history.history import History  # noqa: E402
from services.vector_ops.languages.catalogue import language_name, load_language  # noqa: E402
from services.vector_ops.languages.grammars import load_grammar  # noqa: E402
from services.vector_ops.models import IndexQuery, QueryKind  # noqa: E402
from services.vector_ops.settings import VectorOpsSettings  # noqa: E402
from services.vector_ops.shelf import create_service, index_path  # noqa: E402
from services.vector_ops.source.repository import GitSource  # noqa: E402
from services.vector_ops.truth.store import TruthStore  # noqa: E402
from services.vector_ops.vectors.dense import DenseIndex  # noqa: E402
from services.vector_ops.vectors.static import StaticEmbedder  # noqa: E402
from services.vector_ops.vectors.vector_file import VectorFile  # noqa: E402
from tests.benchmarks.parity import PinnedSource  # noqa: E402

RESULTS = Path(__file__).with_name("index.json")
COMMITS = 300
SYMBOLS = 300
ROUNDS = 3
FRESHNESS_COMMITS = 60
_GRAMMARS = {
    ".py": ("tree_sitter_python", "language"),
    ".pyi": ("tree_sitter_python", "language"),
    ".js": ("tree_sitter_javascript", "language"),
    ".mjs": ("tree_sitter_javascript", "language"),
    ".ts": ("tree_sitter_typescript", "language_typescript"),
    ".tsx": ("tree_sitter_typescript", "language_tsx"),
    ".go": ("tree_sitter_go", "language"),
    ".rs": ("tree_sitter_rust", "language"),
}


def spread(values: Sequence[float], digits: int = 2) -> dict[str, float]:
    """Return p50, p95, p99, max and the number of values."""
    ordered = sorted(values)
    at = {name: ordered[min(len(ordered) - 1, int(len(ordered) * share))] for name, share in _SHARES.items()}
    return {name: round(value, digits) for name, value in at.items()} | {"n": len(ordered)}


_SHARES = {"p50": 0.50, "p95": 0.95, "p99": 0.99, "max": 1.0}


def cpu_s(work: Callable[[], object]) -> float:
    """Return the CPU seconds of this process for some work."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def wall_ms(work: Callable[[], object]) -> float:
    """Return the milliseconds that some work took."""
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1000


def read_contents(source: GitSource, commit: str) -> dict[str, bytes]:
    """Return path -> content of the files of code that are parsed."""
    found = {path: sha for path, sha in source.list_blobs(commit).items() if language_name(path)}
    contents = {path: source.read_blob(sha) for path, sha in found.items()}
    return {path: content for path, content in contents.items() if len(content) <= 1_000_000}  # what the index parses


def parse_all(contents: dict[str, bytes]) -> None:
    """Parse every file with its grammar, and nothing else: the limit that building is compared with."""
    parsers: dict[str, tree_sitter.Parser] = {}
    for path, content in contents.items():
        suffix = Path(path).suffix.lower()
        if suffix in _GRAMMARS:
            if suffix not in parsers:
                parsers[suffix] = tree_sitter.Parser(load_grammar(*_GRAMMARS[suffix]))
            parsers[suffix].parse(content)


def measure_building(repository: Path, folder: Path) -> dict[str, object]:
    """Return CPU seconds of parsing, of building, of vectors and of history, their ratios, and sizes."""
    source = GitSource(str(repository))
    head = source.read_head().commit_sha
    contents = read_contents(source, head)
    parsing = statistics.median(cpu_s(lambda: parse_all(contents)) for _ in range(ROUNDS))
    built = []
    for number in range(ROUNDS):
        store = TruthStore(folder / f"build{number}.sqlite3", load_language, language_name, workers=1)
        built.append(cpu_s(lambda store=store: store.refresh(source, wait_s=1)))  # type: ignore[misc]
        state = store.peek_state()
        if number < ROUNDS - 1:
            store.close()
    assert state is not None
    dense = DenseIndex(StaticEmbedder(), VectorFile(folder / "build"), clock=time.monotonic)
    with store.view({}, source.read_blob) as view:
        embedding = cpu_s(lambda: dense.sync(view))
        text_bytes = sum(len(source.read_blob(row.blob_sha)) for row in view.list_files() if not row.skipped)
    store.close()
    history = History(folder / "history.sqlite3")
    mining = cpu_s(lambda: history.refresh(source.repository, head, budget_s=600))
    history.close()
    building = statistics.median(built)
    size = (folder / f"build{ROUNDS - 1}.sqlite3").stat().st_size
    return {
        "files": state.totals.files,
        "parsed_files": len(contents),
        "parsed_bytes": sum(map(len, contents.values())),
        "symbols": state.totals.symbols,
        "edges": state.totals.edges,
        "parse_cpu_s": round(parsing, 2),
        "build_cpu_s": round(building, 2),
        "ratio_to_parsing": round(building / parsing, 2),
        "ratio_target": 4,
        "static_vectors_cpu_s": round(embedding, 2),
        "ratio_with_vectors_to_build": round((building + embedding) / building, 2),
        "ratio_with_vectors_target": 2,
        "history_cpu_s": round(mining, 2),
        "indexed_text_bytes": text_bytes,
        "index_bytes": size,
        "size_ratio": round(size / text_bytes, 2),
        "size_ratio_target": 3,
    }


def measure_commits(repository: Path, folder: Path) -> dict[str, object]:
    """Return the milliseconds of bringing an index level with each of the last commits, edges included."""
    git = pygit2.Repository(str(repository))
    line = [git.head.peel(pygit2.Commit)]
    while len(line) <= COMMITS and line[-1].parents:
        line.append(line[-1].parents[0])
    shas = [str(commit.id) for commit in reversed(line)]
    source = PinnedSource(str(repository))
    source.pinned = shas[0]
    store = TruthStore(folder / "commits.sqlite3", load_language, language_name)
    store.refresh(source, wait_s=1)
    times = []
    for sha in shas[1:]:
        source.pinned = sha
        times.append(wall_ms(lambda: store.refresh(source, wait_s=1)))
    store.close()
    return {"ms": spread(times), "targets_ms": {"p50": 30, "p99": 400}}


def measure_queries(work: Path, folder: Path, issues: Sequence[str]) -> dict[str, object]:
    """Return the milliseconds of each verb, asked of the service in process."""
    parts = create_service(VectorOpsSettings(index_dir=folder / "service"), SystemClock())
    repo = str(work)
    parts.service.refresh_now(repo)
    parts.service.tend_now(repo)
    with parts.shelf.open(repo).read() as (reading, _stamp):
        symbols = [
            one for one in reading.view.all_symbols() if one.at >= 0 and one.kind in {"function", "method", "class"}
        ]
    chosen = random.Random(7).sample(symbols, min(SYMBOLS, len(symbols)))
    phrases = [one.doc.split(". ")[0][:120] for one in symbols if len(one.doc.split()) > 3]
    phrases = random.Random(8).sample(phrases, min(100, len(phrases)))

    def ask(kind: QueryKind, text: str) -> float:
        query = IndexQuery(repo=repo, kind=kind, text=text)
        try:
            return wall_ms(lambda: parts.service.query_now(query))
        except PlatformError:
            return 0.0  # a name that is none for people (`<lambda>`)

    def rounds(kind: QueryKind, texts: Sequence[str]) -> dict[str, float]:
        for text in texts:
            ask(kind, text)
        return spread([ask(kind, text) for text in texts])

    names = [one.qualname for one in chosen]
    found: dict[str, object] = {
        "where_defined": rounds(QueryKind.WHERE_DEFINED, names) | {"target_p95": 2},
        "who_calls": rounds(QueryKind.WHO_CALLS, names) | {"target_p95": 2},
        "impact_set": rounds(QueryKind.IMPACT_SET, names[:100]),
        "search_short": rounds(QueryKind.SEARCH, phrases) | {"target_p95": 50},
        "nn_snippet": rounds(QueryKind.NN_SNIPPET, phrases),
        "repo_map": rounds(QueryKind.REPO_MAP, [""] * 20) | {"target_p95": 50},
        "repo_map_for_a_task": rounds(QueryKind.REPO_MAP, phrases[:50]),
        "context_pack": rounds(QueryKind.CONTEXT_PACK, phrases[:30]),
    }
    if issues:
        found["search_issue"] = rounds(QueryKind.SEARCH, issues[:100]) | {"target_p95": 150}
    texts = {
        QueryKind.WHO_CALLS: names,
        QueryKind.IMPACT_SET: names[:100],
        QueryKind.SEARCH: [*phrases[:30], *issues[:30]],
        QueryKind.NN_SNIPPET: phrases[:30],
        QueryKind.REPO_MAP: ["", *phrases[:10]],
        QueryKind.CONTEXT_PACK: phrases[:30],
    }
    peaks = {kind.value: max(measure_peak_mb(ask, kind, text) for text in some) for kind, some in texts.items()}
    parts.close()
    return {"ms": found, "peak_mb": peaks}


def measure_peak_mb(ask: Callable[[QueryKind, str], float], kind: QueryKind, text: str) -> float:
    """Return the most memory that a question held at once, the index in memory and SQLite's own pages aside."""
    tracemalloc.start()
    ask(kind, text)
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return round(peak / 1e6, 1)


def measure_freshness(work: Path, folder: Path) -> dict[str, object]:
    """Return the milliseconds from the end of a commit to an answer that knows it, with the daemon beside."""
    index_dir = folder / "fresh"
    parts = create_service(VectorOpsSettings(index_dir=index_dir), SystemClock())
    parts.service.refresh_now(str(work))
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "DIRENG_HOME": str(folder / "home")}
    daemon = subprocess.Popen(
        [sys.executable, ROOT / "services/vector_ops/refresh_daemon.py", "--repo", work, "--index-dir", index_dir],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    time.sleep(3)
    waiting = TruthStore(index_path(index_dir, work.resolve()), load_language, language_name)
    times = []
    for number in range(FRESHNESS_COMMITS):
        (work / "bench_fresh.py").write_text(f"def bench_fresh_{number}():\n    return {number}\n")
        sha = _commit(work, f"Add bench {number}")
        begun = time.perf_counter()
        while (state := waiting.peek_state()) is None or state.commit_sha != sha:
            time.sleep(0.005)
        query = IndexQuery(repo=str(work), kind=QueryKind.WHERE_DEFINED, text=f"bench_fresh_{number}")
        assert parts.service.query_now(query).hits
        times.append((time.perf_counter() - begun) * 1000)
        time.sleep(random.Random(number).uniform(0.1, 0.5))
    daemon.terminate()
    daemon.wait()
    waiting.close()
    parts.close()
    return {"commit_to_answer_ms": spread(times), "target_p99_ms": 1000}


def _commit(work: Path, message: str) -> str:
    identity = ["-c", "user.name=Bench", "-c", "user.email=bench@example.org"]
    for command in (["add", "-A"], [*identity, "commit", "-qm", message]):
        subprocess.run(["git", *command], cwd=work, check=True, capture_output=True)
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=work, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def measure_large(repositories: Sequence[Path], folder: Path) -> dict[str, object]:
    """Return the peak memory of building the index of all these repositories in one tree."""
    root = folder / "large"
    git = pygit2.init_repository(str(root))
    (root / ".git/objects/info").mkdir(exist_ok=True)
    objects = [str(Path(pygit2.Repository(str(one)).path) / "objects") for one in repositories]
    (root / ".git/objects/info/alternates").write_text("\n".join(objects) + "\n")
    git = pygit2.Repository(str(root))
    builder = git.TreeBuilder()
    for number, one in enumerate(repositories):
        tree = pygit2.Repository(str(one)).head.peel(pygit2.Tree).id
        builder.insert(f"part{number}", tree, pygit2.enums.FileMode.TREE)
    who = pygit2.Signature("Bench", "bench@example.org", 1_700_000_000, 0)
    git.create_commit("HEAD", who, who, "all", builder.write(), [])
    source = GitSource(str(root))
    contents = read_contents(source, source.read_head().commit_sha)
    lines = sum(content.count(b"\n") for content in contents.values())
    contents.clear()
    program = (
        "import sys; from pathlib import Path; "
        "from services.vector_ops.languages.catalogue import language_name, load_language; "
        "from services.vector_ops.source.repository import GitSource; "
        "from services.vector_ops.truth.store import TruthStore; "
        "TruthStore(Path(sys.argv[1]), load_language, language_name, workers=1)"
        ".refresh(GitSource(sys.argv[2]), wait_s=1)"
    )
    begun = time.monotonic()
    child = subprocess.Popen([sys.executable, "-c", program, folder / "large.sqlite3", root], cwd=ROOT)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = status
    return {
        "lines_of_code": lines,
        "peak_mb": round(usage.ru_maxrss / 1024),
        "target_mb": 1500,
        "build_s": round(time.monotonic() - begun, 1),
        "exit": status,
    }


def read_issues(path: Path | None) -> list[str]:
    """Return the issue texts of a file of rows."""
    if path is None:
        return []
    with gzip.open(path, "rt") as rows:
        return [json.loads(row)["problem_statement"][:20_000] for row in rows]


def clone(repository: Path, folder: Path) -> Path:
    """Return a working tree of a repository."""
    work = folder / "work"
    subprocess.run(["git", "clone", "-q", "--no-hardlinks", repository, work], check=True)
    return work


def steps(given: argparse.Namespace, folder: Path) -> Iterator[tuple[str, Callable[[], dict[str, object]]]]:
    """Yield the name and the work of each part."""
    work = clone(given.repository, folder)
    yield "building", lambda: measure_building(given.repository, folder)
    yield "commits", lambda: measure_commits(given.repository, folder)
    yield "queries", lambda: measure_queries(work, folder, read_issues(given.issues))
    yield "freshness", lambda: measure_freshness(work, folder)
    if given.large:
        yield "large", lambda: measure_large(given.large, folder)
    if given.neo4j:
        from tests.benchmarks.measure_graph import measure_graph  # noqa: PLC0415 - needs a server

        yield "neo4j", lambda: measure_graph(given.neo4j)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Measure the code index.")
    parser.add_argument("repository", type=Path)
    parser.add_argument("--issues", type=Path)
    parser.add_argument("--large", type=Path, nargs="*", default=[])
    parser.add_argument("--neo4j", default="")
    parser.add_argument("--only", default="")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    results = json.loads(given.out.read_text()) if given.only and given.out.exists() else {}
    results["machine"] = {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.machine()}
    with tempfile.TemporaryDirectory() as folder:
        for name, measure in steps(given, Path(folder)):
            if not given.only or name in given.only.split(","):
                results[name] = measure()
                print(name, json.dumps(results[name], indent=2), flush=True)
                given.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
