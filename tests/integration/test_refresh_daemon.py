"""The refresh daemon as cron and people run it: as a script, as a module, as a process that is stopped."""

import asyncio
import fcntl
import json
import os
import signal
import stat
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from services.home import Home, ServerFile
from services.kernel.clock import SystemClock
from services.kernel.vocabulary import ServiceName
from services.vector_ops.app import create_app
from services.vector_ops.models import IndexQuery, QueryKind
from services.vector_ops.shelf import index_path, open_vector_ops
from tests.fakes.identity import ENGINEER, KnownCallers
from tests.fakes.sockets import REPOSITORY, serve
from tests.fakes.sources import SourceTree

SCRIPT = REPOSITORY / "services/vector_ops/refresh_daemon.py"
LIMIT_S = 60


@pytest.fixture
def tree(tmp_path):
    made = SourceTree(tmp_path / "repo")
    # Folders with our own names must not be imported in place of ours.
    made.commit({"a.py": "def first(): ...\n", "services/__init__.py": "1 / 0\n", "cli/__init__.py": "1 / 0\n"})
    return made


@pytest.fixture
def environment(tmp_path):
    return {"PATH": os.environ["PATH"], "DIRENG_HOME": str(tmp_path / "home"), "HOME": str(tmp_path)}


def run(arguments, environment, cwd):
    return subprocess.run(
        arguments, env=environment, cwd=cwd, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )


def test_the_script_refreshes_once_and_is_fresh_the_second_time(tree, environment, tmp_path):
    command = [sys.executable, SCRIPT, "--repo", ".", "--index-dir", tmp_path / "index", "--once"]
    first, second = run(command, environment, tree.root), run(command, environment, tree.root)
    assert (first.stdout, first.stderr, first.returncode) == ("stale -> refreshed\n", "", 0)
    assert (second.stdout, second.stderr, second.returncode) == ("fresh\n", "", 0)
    metadata = json.loads((tmp_path / "index" / "metadata.json").read_text())
    assert metadata.keys() >= {"last_update", "commit_sha", "commit_time", "refresh_duration_seconds"}
    assert metadata["commit_sha"] == str(tree.git.head.target)
    tree.commit({"b.py": "b = 1\n"})
    assert run(command, environment, tree.root).stdout == "stale -> refreshed\n"


def test_the_module_uses_the_working_directory_and_the_home_by_default(tree, environment):
    command = [sys.executable, "-P", "-m", "services.vector_ops.refresh_daemon", "--once"]
    done = run(command, environment | {"PYTHONPATH": str(REPOSITORY)}, tree.root)
    assert (done.stdout, done.returncode) == ("stale -> refreshed\n", 0), done.stderr
    home = Path(environment["DIRENG_HOME"])
    assert (home / "index" / "metadata.json").exists()
    assert stat.S_IMODE((home / "index").stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("repo", "line"),
    [("missing", "is no git repository; run `git init` there or name another folder"), ("empty", "has no commit yet")],
)
def test_a_bad_repository_is_one_line_and_exit_code_1(environment, tmp_path, repo, line):
    SourceTree(tmp_path / "empty")
    done = run([sys.executable, SCRIPT, "--repo", tmp_path / repo, "--once"], environment, tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert line in done.stderr


def test_wrong_usage_is_exit_code_2(environment, tmp_path):
    assert run([sys.executable, SCRIPT, "--check-interval", "0"], environment, tmp_path).returncode == 2


def test_a_damaged_index_is_named_and_rebuilt(tree, environment, tmp_path):
    command = [sys.executable, SCRIPT, "--index-dir", tmp_path / "index", "--once"]
    run(command, environment, tree.root)
    path = index_path(tmp_path / "index", tree.root.resolve())
    path.write_bytes(b"no database" * 1_000)
    done = run(command, environment, tree.root)
    assert (done.stdout, done.returncode) == ("stale -> refreshed\n", 0)
    assert "was set aside" in done.stderr


def test_it_follows_new_commits_and_sigterm_stops_it_cleanly(tree, environment, tmp_path):
    command = [sys.executable, SCRIPT, "--index-dir", tmp_path / "index", "--check-interval", "0.05"]
    with subprocess.Popen(
        command, env=environment, cwd=tree.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "stale -> refreshed\n"
        tree.commit({"b.py": "b = 1\n"})
        assert any(process.stdout.readline() == "stale -> refreshed\n" for _ in range(1_000))
        process.send_signal(signal.SIGTERM)
        rest, errors = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, errors) == (0, "")
    assert set(rest.splitlines()) <= {"fresh"}


@contextmanager
def following(tree, environment, index_dir, *arguments):
    """Run the daemon on a repository; it is stopped when the block ends, if it has not ended before."""
    command = [sys.executable, SCRIPT, "--index-dir", index_dir, *arguments]
    with subprocess.Popen(
        command, env=environment, cwd=tree.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "stale -> refreshed\n"
        try:
            yield process
        finally:
            process.terminate()


def await_refresh(process):
    assert any(process.stdout.readline() == "stale -> refreshed\n" for _ in range(10_000))


def test_it_sees_a_commit_long_before_its_interval_is_over(tree, environment, tmp_path):
    with following(tree, environment, tmp_path / "index", "--check-interval", "86400") as process:
        for number in range(3):
            sha = tree.commit({"b.py": f"b = {number}\n"})
            assert process.stdout.readline() == "stale -> refreshed\n"
            assert json.loads((tmp_path / "index/metadata.json").read_text())["commit_sha"] == sha
        process.terminate()
        assert process.communicate(timeout=LIMIT_S) == ("", "")
        assert process.returncode == 0


def test_it_does_the_work_behind_the_queries_when_no_commit_comes(tree, environment, tmp_path):
    parts = open_vector_ops(tmp_path / "index", SystemClock())
    query = IndexQuery(repo=str(tree.root), kind=QueryKind.SEARCH, text="first thing")
    with closing(parts), following(tree, environment, tmp_path / "index"):
        deadline_s, mined = time.monotonic() + LIMIT_S, ""
        while not mined and time.monotonic() < deadline_s:
            mined = parts.service.query_now(query).stamp.history_commit
            time.sleep(0.05)
    assert mined == str(tree.git.head.target)


def test_it_outlives_a_branch_without_a_commit_and_complains_once(tree, environment, tmp_path):
    with following(tree, environment, tmp_path / "index", "--check-interval", "0.05") as process:
        (tree.root / ".git/HEAD").write_text("ref: refs/heads/new\n")
        assert process.stderr.readline().endswith("has no commit yet; commit something first\n")
        tree.commit({"b.py": "b = 1\n"})
        await_refresh(process)
        process.terminate()
        assert process.communicate(timeout=LIMIT_S)[1] == ""
        assert process.returncode == 0


def test_it_ends_with_one_line_when_the_repository_is_gone(tree, environment, tmp_path):
    with following(tree, environment, tmp_path / "index", "--check-interval", "0.05") as process:
        tree.root.rename(tmp_path / "elsewhere")
        _out, errors = process.communicate(timeout=LIMIT_S)
        assert (process.returncode, errors.count("\n")) == (1, 1), errors


def test_two_daemons_on_one_index_both_follow_it(tree, environment, tmp_path):
    command = [sys.executable, SCRIPT, "--index-dir", tmp_path / "index", "--once"]
    run(command, environment, tree.root)
    tree.commit({"b.py": "b = 1\n"})
    options = {"env": environment, "cwd": tree.root, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen([*command[:-1], "--check-interval", "0.05"], **options) for _ in range(2)]
    for process in both:
        assert process.stdout.readline() in {"stale -> refreshed\n", "fresh\n"}
    sha = tree.commit({f"m{number}.py": "def f(): ...\n" for number in range(50)})
    for process in both:
        for _ in range(30):
            process.stdout.readline()
        process.terminate()
    for process in both:
        assert process.communicate(timeout=LIMIT_S)[1] == ""
        assert process.returncode == 0
    assert run(command, environment, tree.root).stdout == "fresh\n"
    assert json.loads((tmp_path / "index/metadata.json").read_text())["commit_sha"] == sha


def test_kill_9_in_the_middle_of_a_refresh_leaves_an_index_that_the_next_one_completes(tree, environment, tmp_path):
    tree.commit({f"m{number}.py": f"def f{number}(): ...\n" * 200 for number in range(150)})
    command = [sys.executable, SCRIPT, "--index-dir", tmp_path / "index", "--once"]
    path = index_path(tmp_path / "index", tree.root.resolve())
    with subprocess.Popen(command, env=environment, cwd=tree.root, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and not path.exists():
            time.sleep(0.002)
        process.kill()
    done = run(command, environment, tree.root)
    assert done.returncode == 0, done.stderr
    again = run(command, environment, tree.root)
    assert (again.stdout, again.stderr) == ("fresh\n", "")


class Unlocking:
    """An ASGI app that gives the index lock back when the first request has come."""

    def __init__(self, app, lock):
        self._app = app
        self._lock = lock
        self.paths = []

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http":
            self.paths.append(scope["path"])
            fcntl.flock(self._lock, fcntl.LOCK_UN)
        await self._app(scope, receive, send)


async def test_while_the_server_holds_the_index_the_daemon_asks_the_server(tree, environment, tmp_path):
    home = Home(Path(environment["DIRENG_HOME"]))
    home.create()
    parts = open_vector_ops(home.folder("index"), SystemClock())
    lock_path = index_path(home.folder("index"), tree.root.resolve()).with_suffix(".lock")
    with lock_path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        app = Unlocking(create_app(parts, KnownCallers()), lock)
        async with serve(app) as base_url:
            publish(home, int(base_url.rpartition(":")[2]))
            process = await start([SCRIPT, "--once"], environment, tree.root)
            out, errors = await process.communicate()
    parts.close()
    assert (out.decode(), errors.decode(), process.returncode) == ("stale -> refreshed\n", "", 0)
    assert app.paths == ["/refresh"]
    assert json.loads((home.path / "index/metadata.json").read_text())["commit_sha"] == str(tree.git.head.target)


def test_a_locked_index_without_a_server_is_one_line_and_exit_code_1(tree, environment, tmp_path):
    lock_path = index_path(tmp_path / "index", tree.root.resolve()).with_suffix(".lock")
    lock_path.parent.mkdir()
    with lock_path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = run([sys.executable, SCRIPT, "--index-dir", lock_path.parent, "--once"], environment, tree.root)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "another process is writing the index; try again in a moment\n"


def publish(home, port):
    name = ServiceName.VECTOR_OPS.value
    home.write_server(
        ServerFile(
            pid=os.getpid(),
            version="0",
            started_at="",
            ports={name: port},
            tokens={name: ENGINEER.token},
            tokens_expire_at=4_000_000_000,
        )
    )


async def start(arguments, environment, cwd):
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable, *arguments, env=environment, cwd=cwd, stdout=pipe, stderr=pipe
    )
