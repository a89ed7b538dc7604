"""Measure a cold repository map beside aider's on the same repository; write tests/benchmarks/map.json.

    python tests/benchmarks/measure_map.py PYTHON_WITH_AIDER REPOSITORY [REPOSITORY ...]

Method. Each REPOSITORY (a git directory, bare or not) is cloned; every run starts from a clone without any cache or
index and ends with the text of a map of about 1,000 tokens. `ours` is the first `repo_map` that the service is asked: a
repository of 50 files or more is sketched by names then, and its index is built afterwards. `ours_indexed` builds the
whole index first, whatever the size. Aider's is its class RepoMap with no chat files, every tracked file that it knows
a language for, `map_tokens` 1,024 without the factor for an empty chat, four characters counted as a token.
Every run is a process of its own. `map_s` and `map_cpu_s` are wall and CPU time after the imports; `process_cpu_s` is
the CPU time of the whole process and its children, as the kernel counted it. A large build reads with two processes,
aider with one: compare CPU time for that. Runs alternate; medians of ROUNDS. The files are in the page cache for both.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).with_name("map.json")
ROUNDS = 3
TOKENS = 1_024
_FIGURES = ("map_s", "map_cpu_s", "process_cpu_s")

OURS = """
import json, os, sys, time
from pathlib import Path
from services.kernel.clock import SystemClock
from services.vector_ops.shelf import open_vector_ops
from services.vector_ops.models import IndexQuery, QueryKind
def cpu():
    return sum(os.times()[:4])
repo, folder, tokens = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
begun, begun_cpu = time.perf_counter(), cpu()
parts = open_vector_ops(folder, SystemClock())
if sys.argv[4] == "indexed":
    parts.service.refresh_now(repo)
query = IndexQuery(repo=repo, kind=QueryKind.REPO_MAP, budget_tokens=tokens)
text = parts.service.query_now(query).text
map_s, map_cpu_s = time.perf_counter() - begun, cpu() - begun_cpu
parts.close()
print(json.dumps({"map_s": map_s, "map_cpu_s": map_cpu_s, "characters": len(text)}))
"""

AIDER = """
import json, os, subprocess, sys, time
from importlib.metadata import version
from pathlib import Path
from aider.repomap import RepoMap
from grep_ast import filename_to_lang
class Counter:
    def token_count(self, text):
        return len(text) // 4
class Console:
    def read_text(self, name):
        try:
            return Path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeError):
            return None
    def tool_output(self, *_): pass
    def tool_warning(self, *_): pass
    def tool_error(self, *_): pass
def cpu():
    return sum(os.times()[:4])
repo, tokens = Path(sys.argv[1]), int(sys.argv[3])
begun, begun_cpu = time.perf_counter(), cpu()
listed = subprocess.run(["git", "ls-files", "-z"], cwd=repo, check=True, capture_output=True, text=True).stdout
files = [str(repo / name) for name in listed.split("\\0") if name and filename_to_lang(name)]
mapper = RepoMap(map_tokens=tokens, root=str(repo), main_model=Counter(), io=Console(), map_mul_no_files=1)
text = mapper.get_repo_map([], files) or ""
map_s, map_cpu_s = time.perf_counter() - begun, cpu() - begun_cpu
found = {"map_s": map_s, "map_cpu_s": map_cpu_s, "characters": len(text), "version": version("aider-chat")}
print(json.dumps(found))
"""


def run_cold(python: str, program: str, repository: Path, way: str) -> dict[str, float]:
    """Return what one run in a process of its own says, over a clone that nobody has looked at."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder) / "work"
        subprocess.run(["git", "clone", "-q", "--no-hardlinks", repository, work], check=True)
        command = [python, "-W", "ignore", "-c", program, str(work), f"{folder}/index", str(TOKENS), way]
        environment = {"PATH": os.environ["PATH"], "HOME": folder}
        child = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert child.stdout is not None
        said = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = status
        if status:
            raise SystemExit(f"a run over {repository} failed with status {status}")
        found: dict[str, float] = json.loads(said.splitlines()[-1])
        return found | {"process_cpu_s": usage.ru_utime + usage.ru_stime}


def measure(aider: str, repository: Path) -> dict[str, object]:
    """Return the medians of all ways over one repository, and how many times faster ours is."""
    ways = {
        "ours": (sys.executable, OURS, "first"),
        "ours_indexed": (sys.executable, OURS, "indexed"),
        "aider": (aider, AIDER, ""),
    }
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, (python, program, way) in ways.items():
            runs[name].append(run_cold(python, program, repository, way))
    found: dict[str, object] = {name: summarise(of_way) for name, of_way in runs.items()}
    for name in ("ours", "ours_indexed"):
        found[f"times_faster_{name}"] = {
            key: round(median(runs["aider"], key) / median(runs[name], key), 2) for key in _FIGURES
        }
    return found


def median(runs: Sequence[dict[str, float]], key: str) -> float:
    """Return the median of one figure."""
    return statistics.median(run[key] for run in runs)


def summarise(runs: Sequence[dict[str, float]]) -> dict[str, object]:
    """Return medians, all wall times, and what a run says of its text."""
    said = {key: value for key, value in runs[-1].items() if key not in _FIGURES}
    medians = {key: round(median(runs, key), 2) for key in _FIGURES}
    return medians | {"all_map_s": [round(run["map_s"], 2) for run in runs]} | said


def name_of(repository: Path) -> str:
    """Return the name of a repository by its folder; a bare one's is that of the folder it lies in, after any `+`."""
    is_bare = (repository / "HEAD").exists()
    return (repository.parent if is_bare else repository).name.rpartition("+")[2]


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Measure a cold repository map beside aider's.")
    parser.add_argument("aider", help="a Python that can import aider")
    parser.add_argument("repositories", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    results: dict[str, object] = {"target_times_faster": 3, "map_tokens": TOKENS, "rounds": ROUNDS}
    results["machine"] = {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.machine()}
    for repository in given.repositories:
        name = name_of(repository.resolve())
        results[name] = measure(given.aider, repository.resolve())
        print(name, json.dumps(results[name], indent=2), flush=True)
        given.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
