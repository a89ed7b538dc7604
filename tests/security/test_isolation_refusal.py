"""No isolation, no run: every way in which the sandbox could be missing or weaker ends before anything ran."""

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from lane_attack import LIMITS, PYTHON

from services.pas.core.isolation import IsolationUnavailableError, SandboxCommand, UnsafeWorkspaceError
from services.pas.sandbox import probe
from services.pas.sandbox.bubblewrap import BubblewrapIsolation
from services.pas.sandbox.execution import LAUNCHER
from services.pas.sandbox.interpreter import interpreter_mounts

pytestmark = pytest.mark.sandbox

ROOT = Path(__file__).resolve().parents[2]


def script(path, text):
    path.write_text(text)
    path.chmod(0o755)
    return path


async def refusal_of(isolation, workspace):
    """Return why nothing ran, after making sure that nothing did."""
    command = SandboxCommand(("/bin/sh", "-c", "echo ran > /lane/ran"), workspace, (), {}, LIMITS)
    with pytest.raises(IsolationUnavailableError) as caught:
        await isolation.run(command)
    assert not (workspace / "ran").exists()
    assert not isolation.describe().is_available
    assert isolation.describe().tier == "none"
    return caught.value.detail


async def test_missing_bubblewrap_refuses_and_names_the_cure(workspace, tmp_path):
    detail = await refusal_of(BubblewrapIsolation(bwrap=tmp_path / "bwrap"), workspace)
    assert "missing" in detail
    assert "apt-get install bubblewrap" in detail


async def test_too_old_bubblewrap_refuses_and_names_the_cure(workspace, tmp_path):
    old = script(tmp_path / "bwrap", "#!/bin/sh\necho 'usage: --args --seccomp --ro-bind'\n")
    detail = await refusal_of(BubblewrapIsolation(bwrap=old), workspace)
    assert "too old" in detail
    assert "apt-get install bubblewrap" in detail


async def test_setuid_bubblewrap_refuses(workspace, tmp_path):
    copy = tmp_path / "bwrap"
    shutil.copy("/usr/bin/bwrap", copy)
    copy.chmod(0o4755)
    assert "setuid" in await refusal_of(BubblewrapIsolation(bwrap=copy), workspace)


@pytest.fixture
def failing_bwrap():
    """A bubblewrap with all options that cannot make a namespace; in a place that a lane's uid reaches."""
    directory = Path(tempfile.mkdtemp(dir="/var/tmp"))
    directory.chmod(0o755)
    shown = subprocess.run(["/usr/bin/bwrap", "--help"], capture_output=True, text=True, check=True).stdout
    (directory / "help").write_text(shown)
    complaint = "bwrap: setting up uid map: Permission denied"
    text = f'#!/bin/sh\n[ "$1" = --help ] && exec cat {directory}/help\necho "{complaint}" >&2\nexit 1\n'
    yield script(directory / "bwrap", text)
    shutil.rmtree(directory)


async def test_bubblewrap_that_fails_refuses_with_its_first_line(workspace, failing_bwrap):
    detail = await refusal_of(BubblewrapIsolation(bwrap=failing_bwrap), workspace)
    assert "uid map: Permission denied" in detail


async def test_bubblewrap_that_fails_after_the_probe_is_no_result(lane, workspace, failing_bwrap, monkeypatch):
    monkeypatch.setattr(lane.isolation._probe, "bwrap", failing_bwrap)
    with pytest.raises(IsolationUnavailableError, match="uid map: Permission denied"):
        await lane.run("/bin/sh", "-c", "echo ran > ran")
    assert list(workspace.iterdir()) == []


def test_lane_uid_of_root_is_refused():
    with pytest.raises(ValueError, match="unprivileged"):
        BubblewrapIsolation(lane_id=0)


def launch(plan, **options):
    """Run the launcher itself and return its status line."""
    config = os.memfd_create("plan", 0)
    os.write(config, json.dumps(plan).encode())
    os.lseek(config, 0, os.SEEK_SET)
    answer = subprocess.run(
        [PYTHON, "-I", "-S", LAUNCHER, str(config)], pass_fds=(config,), capture_output=True, check=False, **options
    )
    os.close(config)
    assert answer.returncode == 126, answer
    return json.loads(answer.stderr.splitlines()[0])


def plan_for(workspace, **changes):
    return {
        "bwrap": "/usr/bin/bwrap", "uid": None, "gid": None, "workspace": str(workspace), "can_bind_fd": True,
        "rlimits": {}, "cgroup_procs": [], "parent_pid": os.getpid(), "status_fd": 2,
        "operations": [["workspace", "/lane"], ["command", "/usr/bin/true"]],
    } | changes  # fmt: skip


@pytest.mark.skipif(os.geteuid() != 0, reason="only root could start bubblewrap as root")
def test_launcher_never_starts_bubblewrap_as_root(workspace):
    assert "never started as root" in launch(plan_for(workspace))["launch-error"]
    assert "never started as root" in launch(plan_for(workspace, uid=0, gid=0))["launch-error"]


def test_launcher_whose_server_is_gone_starts_nothing(workspace):
    assert launch(plan_for(workspace, parent_pid=1))["launch-error"] == "the server is gone"


async def test_workspace_that_is_a_symlink_is_refused(lane, workspace):
    link = workspace.with_name("link")
    link.symlink_to(workspace)
    lane.workspace = link
    with pytest.raises(UnsafeWorkspaceError, match="symlink"):
        await lane.run("/usr/bin/true")


async def test_workspace_exchanged_for_a_symlink_after_the_check_is_refused(lane, workspace, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    build = lane.isolation._make_group

    def exchange(limits):
        workspace.rename(tmp_path / "moved")
        workspace.symlink_to(elsewhere)
        return build(limits)

    monkeypatch.setattr(lane.isolation, "_make_group", exchange)
    with pytest.raises(UnsafeWorkspaceError, match="symlink"):
        await lane.run("/bin/sh", "-c", "echo ran > ran")
    assert list(elsewhere.iterdir()) == []


async def test_workspace_below_a_symlinked_parent_is_resolved(lane, workspace, tmp_path):
    (tmp_path / "parent").symlink_to(workspace.parent)
    lane.workspace = tmp_path / "parent" / workspace.name
    assert (await lane.run("/bin/sh", "-c", "echo ran > ran")).exit_code == 0
    assert (workspace / "ran").exists()


async def test_missing_workspace_is_refused(lane, tmp_path):
    lane.workspace = tmp_path / "absent"
    with pytest.raises(UnsafeWorkspaceError, match="not a directory"):
        await lane.run("/usr/bin/true")


async def test_file_with_a_hard_link_outside_the_workspace_is_refused(lane, workspace, canary):
    os.link(canary, workspace / "inside")
    owner, mode = canary.stat().st_uid, stat.S_IMODE(canary.stat().st_mode)
    with pytest.raises(UnsafeWorkspaceError, match="hard link"):
        await lane.run("/bin/sh", "-c", "echo x > inside")
    assert canary.read_text() == "canary-4711"
    lane.isolation.reclaim(workspace)
    assert (canary.stat().st_uid, stat.S_IMODE(canary.stat().st_mode)) == (owner, mode)


async def test_hard_links_within_the_workspace_are_fine(lane, workspace):
    (workspace / "a").write_text("x")
    os.link(workspace / "a", workspace / "b")
    assert (await lane.run("/usr/bin/true")).exit_code == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user's lane reads what the user reads")
async def test_mount_that_the_lane_could_not_read_is_refused_with_the_cure(lane, tmp_path):
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    with pytest.raises(IsolationUnavailableError, match=r"chmod -R o\+rX"):
        await lane.run("/usr/bin/true", mounts=(replace(interpreter_mounts(PYTHON)[0], source=private, target="/x"),))


def test_interpreter_that_would_show_a_whole_home_is_refused(tmp_path):
    with pytest.raises(UnsafeWorkspaceError, match="interpreter"):
        interpreter_mounts(tmp_path / "absent")
    (tmp_path / "python").symlink_to(PYTHON)
    with pytest.raises(UnsafeWorkspaceError, match="bin directory"):
        interpreter_mounts(tmp_path / "python")


@pytest.mark.parametrize(
    ("name", "value", "cure"),
    [
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "bwrap-userns-restrict"),
        ("kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
        ("user/max_user_namespaces", "0", "user.max_user_namespaces=10000"),
    ],
)
def test_kernel_switch_that_blocks_namespaces_is_named_with_its_cure(tmp_path, name, value, cure):
    switch = tmp_path / "sys" / name
    switch.parent.mkdir(parents=True)
    switch.write_text(value + "\n")
    assert cure in probe.name_cure("bwrap: setting up uid map: Permission denied", proc=tmp_path)


def test_container_without_namespaces_is_named_with_its_cure(tmp_path):
    assert "--cap-add SYS_ADMIN" in probe.name_cure("Can't mount proc on /newroot/proc", proc=tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user's lane reads what the user reads")
async def test_interpreter_that_the_lane_cannot_read_is_found_by_the_probe(workspace, tmp_path):
    prefix = tmp_path / "private"
    (prefix / "bin").mkdir(parents=True)
    (prefix / "bin/python3").symlink_to(PYTHON.resolve())
    (prefix / "pyvenv.cfg").write_text(f"home = {PYTHON.resolve().parent}\n")
    prefix.chmod(0o700)
    detail = await refusal_of(BubblewrapIsolation(python=prefix / "bin/python3"), workspace)
    assert f"chmod -R o+rX {prefix}" in detail


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_other_systems_are_refused(system):
    report = probe.Probe(python=PYTHON, bwrap=probe.DEFAULT_BWRAP, lane_id=65533, system=system).run(None)
    assert not report.is_available
    assert "Linux" in report.problems[0].cure


def test_probe_finds_this_machine_able():
    report = probe.probe_isolation()
    assert report.is_available, report.problems
    assert report.tier in {"rlimits", "cgroup1", "cgroup2"}
    assert all(problem.cure for problem in report.problems)


ORDINARY = """
import asyncio, json, os, sys
from pathlib import Path
uid, package, workspace = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
sys.path.insert(0, package)
if os.geteuid() == 0:
    os.setgroups([]); os.setresgid(uid, uid, uid); os.setresuid(uid, uid, uid)
from services.pas.core.isolation import SandboxCommand, SandboxLimits
from services.pas.sandbox.bubblewrap import BubblewrapIsolation
isolation = BubblewrapIsolation()
limits = SandboxLimits(20, 256, 100, 16, 10000)
code = '''
import os
def tried(path, flags):
    try:
        os.close(os.open(path, flags)); return 'ok'
    except OSError as error:
        return os.strerror(error.errno)
open('made', 'w').close()
print(os.getuid(), os.listdir('.git'), tried('/proc/sys/kernel/core_pattern', os.O_WRONLY), os.path.exists('/var'))
'''
command = SandboxCommand(('/usr/bin/python3', '-I', '-S', '-c', code), workspace, (), {}, limits)
result = asyncio.run(isolation.run(command))
isolation.reclaim(workspace)
left = sorted(os.listdir(workspace))
print(json.dumps([os.geteuid(), result.stdout.decode(), result.stderr.decode(), result.exit_code, left]))
"""


@pytest.fixture
def public_directory(tmp_path):
    """A place that another user can reach and that holds the modules under test."""
    directory = Path("/tmp") / f"direng-ordinary-{os.getpid()}"
    ignored = shutil.ignore_patterns("__pycache__")  # a server with a strict umask may have left unreadable ones
    for name in ("services/kernel", "services/pas"):
        shutil.copytree(ROOT / name, directory / name, ignore=ignored)
    (directory / "services/__init__.py").touch()
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


def test_ordinary_user_gets_the_same_isolation(public_directory):
    """The path without root; as another user when the tests are root, whose own interpreter may lie in /root."""
    uid = 61000 if os.geteuid() == 0 else os.geteuid()
    workspace = public_directory / "workspace"
    workspace.mkdir()
    if os.geteuid() == 0:
        os.chown(workspace, uid, uid)
    assert sys.version_info >= (3, 11)
    answer = subprocess.run(
        ["/usr/bin/python3", "-I", "-c", ORDINARY, str(uid), str(public_directory), str(workspace)],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    assert answer.returncode == 0, answer.stderr
    euid, stdout, stderr, code, left = json.loads(answer.stdout)
    assert (euid, code, left) == (uid, 0, ["made"]), stderr
    assert stdout.strip() in {"65533 [] Read-only file system False", "65533 [] Permission denied False"}
