"""A lane sees only its own processes, inherits nothing, and leaves nobody behind."""

import asyncio
import os
import signal
import subprocess
import uuid
from pathlib import Path

import pytest
from lane_attack import PYTHON, pids_with, wait_until

from services.pas.core.isolation import SandboxLimits

pytestmark = pytest.mark.sandbox

SHORT = SandboxLimits(exec_seconds=1, max_mem_mb=256, max_cpu_pct=100, max_processes=64, max_output_bytes=100_000)
LONG = SandboxLimits(exec_seconds=120, max_mem_mb=256, max_cpu_pct=100, max_processes=64, max_output_bytes=100_000)

# A daemon as daemons are made: forked twice, in its own session, deaf to polite signals.
DAEMON = """
import signal
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open('started', 'w').close()
        subprocess.run(['/bin/sh', '-c', 'sleep 300 # ' + {token!r} + '; true'])
        os._exit(0)
    os._exit(0)
"""


ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def token():
    return f"canary-{uuid.uuid4().hex}"


@pytest.fixture
def witness(token):
    """A process of the host that must neither be seen nor be harmed."""
    with subprocess.Popen(["/bin/sh", "-c", f"sleep 60 # {token}; true"]) as process:
        yield process
        process.kill()


async def test_processes_of_the_host_are_invisible(lane, outside, witness):
    code = "found = sorted(int(n) for n in os.listdir('/proc') if n.isdigit())"
    assert witness.pid in outside(code)
    pids = await lane.attack(code)
    assert len(pids) <= 4
    assert max(pids) < 50


async def test_killing_everything_reaches_only_the_own_sandbox(lane, witness):
    code = """
child = subprocess.Popen(['/usr/bin/sleep', '60'])
signal = __import__('signal'); signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.kill(-1, signal.SIGTERM)
found = child.wait()
"""
    assert await lane.attack(code) == -signal.SIGTERM
    assert witness.poll() is None


async def test_servers_environment_is_nowhere_inside(lane, monkeypatch, outside):
    monkeypatch.setenv("PAS_SECRET", "hunter2-canary")
    code = """
found = []
for name in os.listdir('/proc'):
    if name.isdigit():
        for part in ('environ', 'cmdline'):
            try:
                found.append(open('/proc/' + name + '/' + part, 'rb').read().decode(errors='replace'))
            except OSError:
                pass
"""
    assert any("hunter2-canary" in text for text in outside(code))
    texts = await lane.attack(code)
    assert texts
    assert not any("hunter2-canary" in text or str(lane.workspace) in text for text in texts)


async def test_descriptors_of_the_server_are_not_inherited(lane, tmp_path, outside):
    leaked = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    os.set_inheritable(leaked, True)
    code = "found = sorted(int(n) for n in os.listdir('/proc/self/fd') if os.path.exists('/proc/self/fd/' + n))"
    try:
        assert leaked in outside(code, close_fds=False)
        assert await lane.attack(code) == [0, 1, 2]
    finally:
        os.close(leaked)


async def test_strict_umask_of_the_server_changes_nothing_inside(lane, workspace):
    before = os.umask(0o077)
    try:
        await lane.attack("open('made', 'w').close(); os.mkdir('directory')")
    finally:
        os.umask(before)
    assert [(workspace / name).stat().st_mode & 0o777 for name in ("made", "directory")] == [0o644, 0o755]


async def test_standard_input_is_empty(lane):
    assert await lane.attack("found = sys.stdin.read()") == ""


async def test_daemon_does_not_outlive_its_command(tiered_lane, token, workspace):
    code = DAEMON.format(token=token) + "\nwhile not os.path.exists('started'): time.sleep(0.01)\n"
    result = await tiered_lane.run_code(code)
    assert result.exit_code == 0, result
    assert (workspace / "started").exists()
    assert pids_with(token) == []


async def test_daemon_does_not_outlive_a_timeout(tiered_lane, token, workspace):
    result = await tiered_lane.run_code(DAEMON.format(token=token) + "\ntime.sleep(300)\n", limits=SHORT)
    assert (result.is_timed_out, result.is_cancelled, result.exit_code) == (True, False, None)
    assert (workspace / "started").exists()
    assert pids_with(token) == []


async def test_daemon_does_not_outlive_a_cancellation(tiered_lane, token, workspace):
    cancel = asyncio.Event()
    running = asyncio.create_task(
        tiered_lane.run_code(DAEMON.format(token=token) + "\ntime.sleep(300)\n", limits=LONG, cancel=cancel)
    )
    assert await wait_until((workspace / "started").exists)
    assert pids_with(token)
    cancel.set()
    result = await running
    assert (result.is_timed_out, result.is_cancelled, result.exit_code) == (False, True, None)
    assert pids_with(token) == []


async def test_cancelled_task_leaves_nobody_behind(lane, token, workspace):
    running = asyncio.create_task(lane.run_code(DAEMON.format(token=token) + "\ntime.sleep(300)\n", limits=LONG))
    assert await wait_until((workspace / "started").exists)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert pids_with(token) == []
    assert not (workspace / ".git").exists()


async def test_cancellation_before_the_start_runs_nothing(lane, workspace):
    cancel = asyncio.Event()
    cancel.set()
    result = await lane.run_code("open('ran', 'w').close()", limits=LONG, cancel=cancel)
    assert result.is_cancelled
    assert list(workspace.iterdir()) == []


SERVER = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from services.pas.core.isolation import SandboxCommand, SandboxLimits
from services.pas.sandbox.bubblewrap import BubblewrapIsolation
from services.pas.sandbox.interpreter import interpreter_mounts
limits = SandboxLimits(300, 256, 100, 64, 1000)
python = Path(sys.executable)
command = SandboxCommand(
    (str(python), '-I', '-S', '-c', {code!r}), Path({workspace!r}), interpreter_mounts(python), {{}}, limits
)
asyncio.run(BubblewrapIsolation().run(command))
"""


async def test_killed_server_takes_its_sandboxes_along(token, workspace):
    code = "import os, subprocess, time\n" + DAEMON.format(token=token) + "\ntime.sleep(300)\n"
    script = SERVER.format(root=str(ROOT), code=code, workspace=str(workspace))
    server = await asyncio.create_subprocess_exec(PYTHON, "-c", script)
    assert await wait_until((workspace / "started").exists)
    assert len(set(pids_with(token)) - {server.pid}) >= 2
    server.send_signal(signal.SIGKILL)
    await server.wait()
    assert await wait_until(lambda: pids_with(token) == []), pids_with(token)


async def test_two_commands_share_a_workspace_and_git_stays_masked(lane, workspace):
    first = asyncio.create_task(
        lane.attack(
            "open('a', 'w').close()\n"
            "while not os.path.exists('go'): time.sleep(0.01)\n"
            "found = error_of(os.rename, '.git', 'g')"
        )
    )
    assert await wait_until((workspace / "a").exists)
    assert (await lane.run("/usr/bin/true")).exit_code == 0  # its end must not unmask `.git` for the first
    (workspace / "go").write_text("")
    assert await first == "EBUSY"
    assert not (workspace / ".git").exists()


async def test_many_commands_at_once_end_and_leave_nothing(lane, workspace, token):
    results = await asyncio.gather(*(lane.run("/bin/sh", "-c", f"exit 7 # {token}") for _ in range(20)))
    assert {result.exit_code for result in results} == {7}
    assert pids_with(token) == []
    assert list(workspace.iterdir()) == []
