"""A full disk under the platform's home: one clear line, nothing half-written, the same server goes on afterwards."""

import contextlib
import hashlib
import http.client
import json
import os
import subprocess
import time

import pytest

from services.home import Home
from services.kernel.ids import new_id
from tests.fakes.commands import Platform, git
from tests.fakes.terminal import Terminal

DISK_MB = 24
ARTIFACT_BYTES = 3 * 1024 * 1024
RENAME = "rename stockbook.pricing.net_amount to net_sum"
WAIT_S = 60
"""Far more than anything here takes: it guards against hanging, it measures nothing."""


class SmallDisk(Platform):
    """A platform whose home is a disk of its own, of 24 MB."""

    @property
    def filler(self):
        return self.home / "filler"

    def fill(self, left_bytes=0):
        """Leave `left_bytes` free (0: not a block)."""
        with self.filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * 4096)
        assert os.statvfs(self.home).f_bavail == 0
        os.truncate(self.filler, max(0, self.filler.stat().st_size - left_bytes))

    def free(self):
        self.filler.unlink()


@pytest.fixture
def disk(tmp_path):
    if os.geteuid() != 0:
        pytest.fail("this test mounts a small disk; run the suite as root")
    small = SmallDisk(tmp_path / "home")
    small.home.mkdir()
    options = ("-t", "tmpfs", "-o", f"size={DISK_MB}m,mode=0700", "direng-test")
    subprocess.run(("mount", *options, str(small.home)), check=True)
    try:
        yield small
        small.direng("down", cwd=tmp_path)
    finally:
        subprocess.run(("umount", "-l", str(small.home)), check=True)


def assert_one_line(done, *words):
    lines = [line for line in done.err.splitlines() if line.strip()]
    assert done.code == 1, done.out + done.err
    assert len(lines) == 1, done.err
    assert lines[0].startswith("error: ")
    assert "internal error" not in lines[0]
    for word in words:
        assert word in lines[0]


def read_repository(repo):
    """Return the user's files, branches and HEAD."""
    files = {
        path.relative_to(repo): path.read_bytes()
        for path in repo.rglob("*")
        if path.is_file() and ".git" not in path.parts
    }
    return files, git("for-each-ref", cwd=repo), git("rev-parse", "HEAD", cwd=repo), git("status", "-s", cwd=repo)


def assert_artifacts_whole(home):
    """Whatever stands under a final key is what its name says; nothing else lies there."""
    found = [path for path in (home / "artifacts" / "sha256").rglob("*") if path.is_file()]
    for path in found:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
    return {path.name for path in found}


def put_artifact(home, content):
    server = Home(home).read_server()
    connection = http.client.HTTPConnection("127.0.0.1", server.ports["pas"], timeout=WAIT_S)
    headers = {"Authorization": f"Bearer {server.tokens['pas']}", "Idempotency-Key": new_id("key")}
    connection.request("POST", "/pas/v1/artifacts", content, headers)
    response = connection.getresponse()
    body = json.loads(response.read())
    connection.close()
    return response.status, body


def test_commands_on_a_full_disk_say_so_in_one_line_and_work_again_when_there_is_space(disk, sample):
    assert disk.direng("up", cwd=sample).code == 0
    server, before = Home(disk.home).read_server(), read_repository(sample)
    disk.fill()
    for command in (
        ("direng", "implement", RENAME, "--delegate", "--yes"),
        ("direng", "implement", "run the tests", "--direct", "--yes"),
        ("direng", "ask", "where is net_amount defined"),
        ("vp", "new", "--title", "x", "--prd", RENAME),
    ):
        assert_one_line(disk.run(*command, cwd=sample), "disk is full", "free some space")
    assert disk.vp("list", cwd=sample).code == 0, "what only reads goes on"
    assert read_repository(sample) == before
    assert_artifacts_whole(disk.home)

    disk.free()
    done = disk.direng("implement", RENAME, "--delegate", "--yes", cwd=sample)
    assert done.code == 0, done.out + done.err
    assert Home(disk.home).read_server().pid == server.pid, "it is the same server"
    assert [run["state"] for run in json.loads(disk.direng("--json", "runs", cwd=sample).out)] == ["completed"]


def test_an_artifact_that_does_not_fit_leaves_nothing_under_its_key(disk, tmp_path):
    assert disk.direng("up", cwd=tmp_path).code == 0
    content = os.urandom(ARTIFACT_BYTES)
    digest = hashlib.sha256(content).hexdigest()
    disk.fill(left_bytes=ARTIFACT_BYTES // 2)
    status, body = put_artifact(disk.home, content)
    assert (status, body["code"]) == (503, "artifacts.store_full")
    assert len(body["detail"].splitlines()) == 1
    assert "free some space" in body["detail"]
    assert digest not in assert_artifacts_whole(disk.home)
    assert not [path for path in (disk.home / "artifacts").rglob(f"*{digest}*") if path.stat().st_size]
    disk.free()
    status, body = put_artifact(disk.home, content)
    assert (status, body["sha256"]) == (200, digest)
    assert digest in assert_artifacts_whole(disk.home)


@pytest.mark.parametrize("left_bytes", [0, 200 * 1024])
def test_a_disk_that_fills_during_a_run_ends_the_command_and_then_the_run(disk, sample, left_bytes):
    """Without a byte left nothing can be recorded, with some bytes left something else fails: both must end."""
    assert disk.direng("up", cwd=sample).code == 0
    before = read_repository(sample)
    argv = ("direng", "implement", RENAME, "--delegate", "--yes")
    terminal = Terminal(argv, cwd=sample, environment=disk.environment())
    terminal.expect("0/4 cards", timeout_s=WAIT_S)
    disk.fill(left_bytes)
    code = terminal.close()
    assert code == 1, terminal.text
    assert "Traceback" not in terminal.text
    assert "internal error" not in terminal.text
    assert "disk" in terminal.text.strip().splitlines()[-1] or "failed" in terminal.text
    assert read_repository(sample) == before
    assert_artifacts_whole(disk.home)

    disk.free()
    deadline = time.monotonic() + WAIT_S
    while (run := json.loads(disk.direng("--json", "runs", cwd=sample).out)[0])["state"] in {"executing", "validating"}:
        assert time.monotonic() < deadline, "the run does not end although there is space again"
        time.sleep(0.5)
    assert run["state"] in {"failed", "completed"}, run
    assert "internal error" not in run["reason"]
    if run["state"] == "failed":
        assert "disk" in run["reason"] or "space" in run["reason"], run["reason"]
        assert read_repository(sample) == before
    assert_artifacts_whole(disk.home)


def test_a_server_that_cannot_start_for_want_of_space_says_so(disk, tmp_path):
    disk.fill()
    assert_one_line(disk.direng("up", cwd=tmp_path), str(disk.home), "full", "free some space")
    disk.free()
    assert disk.direng("up", cwd=tmp_path).code == 0
    disk.fill()
    stopped = disk.direng("down", cwd=tmp_path)
    assert stopped.code == 0, "a server on a full disk can be stopped"
