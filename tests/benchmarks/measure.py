"""Measure the platform's speed and size; write tests/benchmarks/results.json.

    python tests/benchmarks/measure.py

Method. Every figure is the median of several runs (count beside it) of whole processes on the machine at hand; CPU and
memory are the kernel's own accounting of the finished process (wait4), or /proc for the server. A fresh home per figure
that starts a server. Nothing is asserted here: the targets stand beside the figures so that a reader can compare.
"""

import http.client
import json
import os
import platform
import pty
import re
import select
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
RESULTS = Path(__file__).with_name("results.json")
FILES = 10
ESCAPE = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")
IDLE_S = 20


def environment(home: Path) -> dict[str, str]:
    """Return the environment of a measured command."""
    return {
        "PATH": f"{BIN}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(home.parent),
        "DIRENG_HOME": str(home),
        "NO_COLOR": "1",
    }


def median_of(runs: int, measure: Callable[[], float]) -> dict[str, float]:
    """Return median, minimum and maximum of `runs` measurements."""
    values = [measure() for _ in range(runs)]
    return {
        "median": round(statistics.median(values), 4),
        "min": round(min(values), 4),
        "max": round(max(values), 4),
        "runs": runs,
    }


def measure_command(argv: list[str], home: Path) -> tuple[float, float]:
    """Return (CPU ms, peak resident MB) of one finished command."""
    child = subprocess.Popen(argv, env=environment(home), stdout=subprocess.DEVNULL)
    _, _, usage = os.wait4(child.pid, 0)
    child.returncode = 0
    return (usage.ru_utime + usage.ru_stime) * 1000, usage.ru_maxrss / 1024


def measure_prompt(home: Path, repo: Path) -> float:
    """Return seconds from starting `direng` in a terminal to its prompt, with a warm server."""
    started = time.monotonic()
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(repo)
        os.execvpe("direng", ["direng"], {**environment(home), "TERM": "xterm"})
    seen = b""
    while b"direng>" not in ESCAPE.sub(b"", seen) and time.monotonic() - started < 20:
        if select.select([terminal], [], [], 0.5)[0]:
            seen += os.read(terminal, 65536)
            if b"\x1b[6n" in seen:  # prompt_toolkit asks where the cursor is; a terminal answers
                os.write(terminal, b"\x1b[1;1R")
                seen = seen.replace(b"\x1b[6n", b"")
    elapsed = time.monotonic() - started
    os.close(terminal)
    os.waitpid(pid, 0)
    return elapsed


def measure_start(home: Path) -> float:
    """Return seconds from `direng up` on an empty home to a healthy server; stops it again."""
    shutil.rmtree(home, ignore_errors=True)
    started = time.monotonic()
    subprocess.run(["direng", "up"], env=environment(home), check=True, stdout=subprocess.DEVNULL)
    assert ask(home, "pas", "GET", "/health")["status"] == "ok"
    elapsed = time.monotonic() - started
    subprocess.run(["direng", "down"], env=environment(home), check=True, stdout=subprocess.DEVNULL)
    return elapsed


def ask(home: Path, service: str, method: str, path: str, body: object = None) -> dict:
    """Send one request to the server of `home`."""
    server = json.loads((home / "server.json").read_text())
    connection = http.client.HTTPConnection("127.0.0.1", server["ports"][service], timeout=60)
    headers = {"Authorization": f"Bearer {server['tokens'][service]}", "Content-Type": "application/json"}
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    payload = json.loads(answer.read())
    connection.close()
    if answer.status >= 400:
        raise SystemExit(f"{method} {path}: {payload}")
    return payload


def make_repo(folder: Path) -> Path:
    """Return a repository with ten unformatted modules."""
    folder.mkdir()
    for number in range(FILES):
        body = "".join(f"def f{i}( a,b ):\n    return {{'a':a,'b':b}}\n" for i in range(40))
        (folder / f"module_{number}.py").write_text(body)
    identity = ["-c", "user.name=B", "-c", "user.email=b@localhost"]
    for argv in (
        ["init", "-q", "-b", "main"],
        ["add", "-A"],
        [*identity, "commit", "-qm", "x"],
    ):
        subprocess.run(["git", *argv], cwd=folder, check=True)
    return folder


def measure_overhead(home: Path, repo: Path, work: Path) -> float:
    """Return seconds of a run of recipe `format` on ten files, request to final state, minus ruff's own."""
    copy = work / "copy"
    shutil.copytree(repo, copy)
    ruff_started = time.monotonic()
    subprocess.run(
        ["ruff", "format", "--no-cache", "."], cwd=copy, env=environment(home), check=True, stdout=subprocess.DEVNULL
    )
    ruff_s = time.monotonic() - ruff_started
    shutil.rmtree(copy)
    card = {
        "task_id": "format",
        "lane": "Code-Impl",
        "title": "Format",
        "configuration": "recipe/format",
        "payload": {"kind": "recipe", "recipe": "format"},
    }
    basis = {"repo": str(repo), "prd_sha256": "0" * 64, "contract_version": "2026-11-21-001"}
    started = time.monotonic()
    run = ask(
        home, "pas", "POST", "/pas/v1/runs/start", {"project_id": "bench", "passport_basis": basis, "cards": [card]}
    )
    while run["state"] not in {"completed", "needs_review", "failed", "terminated"}:
        time.sleep(0.01)
        run = ask(home, "pas", "GET", f"/pas/v1/runs/status?run_id={run['run_id']}")
    elapsed = time.monotonic() - started
    if run["state"] != "completed" or run["files_changed"] != FILES:
        raise SystemExit(f"the measured run ended {run['state']}: {run['reason']}")
    return elapsed - ruff_s


def measure_rest(home: Path) -> tuple[float, float]:
    """Return (resident MB, CPU percent over IDLE_S seconds) of an idle server."""
    pid = json.loads((home / "server.json").read_text())["pid"]

    def ticks() -> int:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    before = ticks()
    time.sleep(IDLE_S)
    percent = (ticks() - before) / os.sysconf("SC_CLK_TCK") / IDLE_S * 100
    status = Path(f"/proc/{pid}/status").read_text()
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(resident.split()[1]) / 1024, percent


def main() -> None:
    """Measure everything and write the results."""
    work = Path(tempfile.mkdtemp())
    home, repo = work / "home", make_repo(work / "repo")
    versions = [measure_command(["direng", "--version"], home) for _ in range(11)]
    figures = {
        "version_cpu_ms": {
            **median_of(1, lambda: statistics.median(v[0] for v in versions)),
            "runs": 11,
            "target": 150,
        },
        "version_peak_mb": {
            **median_of(1, lambda: statistics.median(v[1] for v in versions)),
            "runs": 11,
            "target": 60,
        },
        "server_healthy_s": {**median_of(5, lambda: measure_start(home)), "target": 3},
    }
    subprocess.run(["direng", "up"], env=environment(home), check=True, stdout=subprocess.DEVNULL)
    rest_mb, rest_cpu = measure_rest(home)
    figures["server_rest_mb"] = {"median": round(rest_mb, 1), "runs": 1, "target": 150}
    figures["server_rest_cpu_percent"] = {"median": round(rest_cpu, 2), "runs": 1, "seconds": IDLE_S, "target": 2}
    figures["prompt_s"] = {**median_of(7, lambda: measure_prompt(home, repo)), "target": 0.3}
    figures["format_run_overhead_s"] = {**median_of(5, lambda: measure_overhead(home, repo, work)), "target": 1.5}
    used_mb, used_cpu = measure_rest(home)
    figures["server_after_five_runs_mb"] = {"median": round(used_mb, 1), "runs": 1}
    figures["server_after_five_runs_cpu_percent"] = {"median": round(used_cpu, 2), "runs": 1, "seconds": IDLE_S}
    subprocess.run(["direng", "down"], env=environment(home), check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(work)
    document = {
        "method": __doc__.split("Method.", 1)[1].strip(),
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.system()},
        "figures": figures,
    }
    RESULTS.write_text(json.dumps(document, indent=2) + "\n")
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
