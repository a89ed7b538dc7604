"""The server process: one a home, found without guessing, started clean, stopped soon."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from cli.launch import KEPT_PREFIXES, KEPT_VARIABLES
from cli.wire import Wire
from services.home import Home, ServerFile
from services.kernel.errors import UnauthenticatedError
from tests.fakes.commands import Platform, git
from tests.fakes.forgery import assemble

NOBODY_UID = 65534
DRAIN_S = 30
"""Far more than a drain takes: it guards against hanging, it measures nothing."""


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """One platform with a server that the tests of this module share; none of them may stop it."""
    shared = Platform(tmp_path_factory.mktemp("shared") / "home")
    folder = shared.home.parent
    started = shared.run(
        "env", "SECRET_TOKEN=hunter2", "PYTHONPATH=/nowhere", "PEX_TEST_MARK=1", "direng", "up", cwd=folder
    )
    assert started.code == 0, started.err
    yield shared
    assert shared.direng("down", cwd=folder).code == 0


def read_server(platform):
    return json.loads((platform.home / "server.json").read_text())


def write_server(platform, content, mode=0o600):
    platform.home.mkdir(mode=0o700, exist_ok=True)
    path = platform.home / "server.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    path.chmod(mode)


def published(pid, **changes):
    """Return what a server of process `pid` would have published, of a port where nobody listens."""
    services = ("auth", "plms", "pas", "pex", "direng", "vector_ops")
    server = ServerFile(
        pid=pid,
        version="0",
        started_at="2026-11-21T00:00:00Z",
        ports=dict.fromkeys(services, 1),
        tokens=dict.fromkeys(services[1:], "stale"),
        tokens_expire_at=1,
    )
    return {**asdict(server), **changes}


def assert_one_line(done, code, *words):
    lines = [line for line in done.err.splitlines() if line.strip()]
    assert done.code == code, done.out + done.err
    assert len(lines) == 1, done.err
    assert lines[0].startswith("error: ")
    for word in words:
        assert word in lines[0]


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until_gone(pid):
    deadline = time.monotonic() + DRAIN_S
    while is_alive(pid):
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.05)


def find_hosts(home):
    """Return the processes that serve `home`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended meanwhile
        if b"services.host" in words and str(home).encode() in words:
            found.append(int(path.parent.name))
    return found


def test_two_starts_at_the_same_time_give_one_server_and_both_succeed(platform, tmp_path):
    with ThreadPoolExecutor(3) as pool:
        starts = [pool.submit(platform.direng, "up", cwd=tmp_path) for _ in range(3)]
        ended = [start.result() for start in starts]
    assert [done.code for done in ended] == [0, 0, 0], [done.err for done in ended]
    assert find_hosts(platform.home) == [read_server(platform)["pid"]]


def test_a_second_server_is_refused_and_the_first_goes_on(running):
    first = read_server(running)
    second = running.run(
        sys.executable, "-I", "-m", "services.host", "--home", str(running.home), cwd=running.home.parent
    )
    assert second.code == 1
    assert len(second.err.splitlines()) == 1
    assert f"process {first['pid']}" in second.err
    assert "direng down" in second.err
    assert read_server(running) == first
    again = running.direng("up", cwd=running.home.parent)
    assert (again.code, "already running" in again.out) == (0, True)


def test_the_file_of_a_killed_server_is_not_believed(platform, tmp_path):
    assert platform.direng("up", cwd=tmp_path).code == 0
    killed = read_server(platform)["pid"]
    os.kill(killed, signal.SIGKILL)
    wait_until_gone(killed)
    assert read_server(platform)["pid"] == killed, "it left its file behind"
    assert platform.direng("runs", cwd=platform.home.parent).code == 1, "no repository: but a server answered"
    assert read_server(platform)["pid"] != killed


def test_a_foreign_process_under_the_old_id_is_neither_believed_nor_stopped(platform, tmp_path):
    with subprocess.Popen(["sleep", "600"]) as foreign:
        write_server(platform, published(foreign.pid))
        down = platform.direng("down", cwd=tmp_path)
        assert (down.code, "no server was running" in down.out) == (0, True)
        assert foreign.poll() is None
        assert not (platform.home / "server.json").exists()

        write_server(platform, published(foreign.pid))
        up = platform.direng("up", cwd=tmp_path)
        assert up.code == 0, up.err
        assert read_server(platform)["pid"] != foreign.pid
        assert platform.direng("doctor", cwd=tmp_path).out.count("MISSING  server") == 0
        assert platform.direng("down", cwd=tmp_path).code == 0
        assert foreign.poll() is None
        foreign.kill()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        "\x00\x01",
        '{"pid": 1}',
        published("12"),
        published(0),
        published(-1),
        published(True),
        published(2**40, ports=[]),
        published(1, ports={"direng": "80"}),
        published(1, ports={}),
        published(1, surprise=1),
        "[" * 100_000,
    ],
    ids=lambda content: str(content)[:24],
)
def test_a_damaged_server_file_is_one_line_with_the_cure(platform, tmp_path, content):
    write_server(platform, content)
    done = platform.direng("runs", cwd=tmp_path)
    assert_one_line(done, 4, "server.json", "damaged", "`direng down`, then `direng up`")


def test_the_cure_of_a_damaged_server_file_works_with_and_without_a_server(platform, tmp_path):
    write_server(platform, "{")
    assert platform.direng("down", cwd=tmp_path).code == 0
    assert platform.direng("up", cwd=tmp_path).code == 0
    lost = read_server(platform)["pid"]
    write_server(platform, "{")
    assert_one_line(platform.vp("list", cwd=tmp_path), 4, "damaged", "direng down")
    assert platform.direng("down", cwd=tmp_path).code == 0
    wait_until_gone(lost)
    assert platform.direng("up", cwd=tmp_path).code == 0
    lost = read_server(platform)["pid"]
    (platform.home / "server.json").unlink()
    down = platform.direng("down", cwd=tmp_path)
    assert (down.code, "stopped" in down.out) == (0, True), "a server whose file is gone can be stopped all the same"
    wait_until_gone(lost)


def test_a_server_file_that_others_can_read_is_refused(platform, tmp_path):
    write_server(platform, published(1), mode=0o644)
    for command in (("runs",), ("ask", "who calls f"), ("up",)):
        assert_one_line(platform.direng(*command, cwd=tmp_path), 4, "readable by others", "`direng down`")
    assert_one_line(platform.vp("list", cwd=tmp_path), 4, "readable by others")


def test_a_server_file_that_is_a_folder_is_one_line(platform, tmp_path):
    (platform.home / "server.json").mkdir(parents=True)
    platform.home.chmod(0o700)
    assert_one_line(platform.direng("runs", cwd=tmp_path), 4, "server.json", "cannot be read")
    (platform.home / "server.json").rmdir()


def without_rights(platform, *argv, home=None):
    """Run a command without root's rights over other users' files (the checkout may lie in root's own folder)."""
    drop = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--clear-groups")
    other = Platform(home or platform.home)
    return other.run(*(drop if os.geteuid() == 0 else ()), *argv, cwd="/")


@pytest.mark.parametrize("command", [("direng", "up"), ("direng", "runs"), ("direng", "down"), ("vp", "list")])
@pytest.mark.parametrize("mode", [0o700, 0o000])
def test_a_home_that_the_user_cannot_read_is_one_line(platform, tmp_path, command, mode):
    """Somebody else's home, or (who runs this as an ordinary user) a home without any rights."""
    tmp_path.chmod(0o755)
    platform.home.mkdir(mode=0o700)
    platform.home.chmod(mode if os.geteuid() == 0 else 0o000)
    if os.geteuid() == 0:
        os.chown(platform.home, NOBODY_UID, NOBODY_UID)
    try:
        done = without_rights(platform, *command)
        assert_one_line(done, 4, str(platform.home))
    finally:
        platform.home.chmod(0o700)


def test_a_home_below_a_folder_that_cannot_be_written_is_one_line(platform):
    assert_one_line(without_rights(platform, "direng", "up", home=Path("/proc/home")), 4, "/proc/home", "DIRENG_HOME")


def test_down_without_a_server_says_so_and_makes_no_home(platform, tmp_path):
    done = platform.direng("down", cwd=tmp_path)
    assert (done.code, done.out.strip()) == (0, "no server was running")
    assert not platform.home.exists()


def test_the_server_sees_nothing_of_the_users_environment_but_the_allowed_names(running):
    lines = Path(f"/proc/{read_server(running)['pid']}/environ").read_bytes().decode().split("\0")
    names = {line.partition("=")[0] for line in lines if line}
    assert {name for name in names if name not in KEPT_VARIABLES and not name.startswith(KEPT_PREFIXES)} == set()
    assert "PEX_TEST_MARK" in names, "a setting of ours goes through"
    assert "hunter2" not in "".join(lines)


def test_the_server_runs_in_no_folder_of_the_user(running):
    process = Path(f"/proc/{read_server(running)['pid']}")
    assert (process / "cwd").readlink() == Path("/")
    assert b"-I" in (process / "cmdline").read_bytes().split(b"\0")


def test_a_repository_with_our_package_names_is_never_imported(platform, tmp_path):
    """Every module that the platform might look for raises and leaves a mark when it is imported."""
    repo = tmp_path / "hostile"
    mark = tmp_path / "imported"
    names = [f"{package}/__init__.py" for package in ("services", "cli", "uvicorn", "fastapi", "sqlalchemy", "rich")]
    for name in (*names, "services/host.py", "sitecustomize.py", "typing.py", "json.py", "logging.py"):
        path = repo / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"open({str(mark)!r}, 'a').write(__file__)\nraise SystemExit('imported from the repository')\n")
    git("init", "-q", "-b", "main", cwd=repo)
    git("add", "-A", cwd=repo)
    git("commit", "-qm", "Names like ours", cwd=repo)
    for command in (("direng", "up"), ("direng", "runs"), ("vp", "list"), ("direng", "ask", "where is host defined")):
        done = platform.run("env", f"PYTHONPATH={tmp_path}/nothing", *command, cwd=repo)
        assert "imported from the repository" not in done.out + done.err
        assert done.code in {0, 1}, done.err
        assert "Traceback" not in done.err
    assert not mark.exists(), mark.read_text()
    assert find_hosts(platform.home) == [read_server(platform)["pid"]]


def test_sigterm_ends_open_streams_and_the_server_soon(platform, sample):
    """A session's stream is open, with a client that reads nothing, when the server is told to stop."""
    started = platform.direng("implement", "run the tests", "--delegate", "--yes", cwd=sample)
    assert started.code == 0, started.out + started.err
    wire = Wire(Home(platform.home))
    (session,) = [one for one in wire.get("direng", "/sessions") if one["turns"]]
    answers = []

    def watch():
        try:
            turns = f"/sessions/{session['session_id']}/turns"
            answers.extend(event.data for event in wire.stream("direng", "POST", turns, {"text": "run the tests"}))
        except Exception as error:  # noqa: BLE001 - whatever ends the stream: it must end
            answers.append(error)

    reader = threading.Thread(target=watch)
    reader.start()
    server = read_server(platform)
    silent = http.client.HTTPConnection("127.0.0.1", server["ports"]["direng"], timeout=DRAIN_S)
    silent.connect()
    deadline = time.monotonic() + DRAIN_S
    while not answers:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(server["pid"], signal.SIGTERM)
    wait_until_gone(server["pid"])
    reader.join(DRAIN_S)
    assert not reader.is_alive()
    silent.close()
    assert not (platform.home / "server.json").exists()
    assert Home(platform.home).find_owner() is None


def test_a_client_with_outdated_tokens_reads_the_home_file_again(running):
    wire = Wire(Home(running.home))
    good = wire.server()
    expired = assemble({"alg": "RS256", "kid": "gone"}, {"exp": 1}, b"x" * 256)
    wire._server = replace(good, tokens=dict.fromkeys(good.tokens, expired))
    assert isinstance(wire.get("direng", "/sessions"), list)
    assert wire.server().tokens == good.tokens

    wire._server = replace(good, tokens=dict.fromkeys(good.tokens, expired))
    with pytest.raises(Exception, match="no session"):
        next(wire.stream("direng", "GET", "/sessions/ses-unknown/events"))
    assert wire.server().tokens == good.tokens, "streams recover too"


def test_a_token_that_stays_bad_is_refused_after_one_more_try(tmp_path, running):
    """The file itself holds bad tokens: one clear error, no loop."""
    copy = Platform(tmp_path / "copy")
    server = read_server(running)
    write_server(copy, {**server, "tokens": dict.fromkeys(server["tokens"], "bad.token.here")})
    with pytest.raises(UnauthenticatedError):
        Wire(Home(copy.home)).get("direng", "/sessions")
