"""What one command may use, in both tiers: control groups and the fallback."""

import asyncio
import os
import time
from dataclasses import replace

import pytest
from lane_attack import LIMITS

from services.pas.sandbox import execution
from services.pas.sandbox.bubblewrap import BubblewrapIsolation
from services.pas.sandbox.limits import _SWEEP_AGE_S

pytestmark = pytest.mark.sandbox

MB = 1024 * 1024


async def test_fork_bomb_stops_at_the_process_limit(tiered_lane):
    code = """
count = 0
try:
    while count < 500:
        if os.fork() == 0:
            time.sleep(30)
            os._exit(0)
        count += 1
    found = ['no limit', count]
except OSError as error:
    found = [errno.errorcode[error.errno], count]
"""
    error, count = await tiered_lane.attack(code, limits=replace(LIMITS, max_processes=16))
    assert error == "EAGAIN"
    assert 8 <= count <= 16


async def test_process_limit_counts_each_lane_for_itself(tiered_lane):
    """The limit belongs to a sandbox, not to the uid that all of them share on the host."""
    code = """
children = [subprocess.Popen(['/usr/bin/sleep', '0.3']) for _ in range(10)]
found = [child.wait() for child in children]
"""
    limits = replace(LIMITS, max_processes=16)
    results = await asyncio.gather(*(tiered_lane.attack(code, limits=limits) for _ in range(4)))
    assert results == [[0] * 10] * 4


async def test_one_process_that_takes_too_much_memory_is_stopped(tiered_lane):
    code = "\nblocks = []\nwhile True:\n    blocks.append(b'x' * (8 << 20)); time.sleep(0.005)\n"
    result = await tiered_lane.run_code(code, limits=replace(LIMITS, max_mem_mb=96))
    assert result.is_out_of_memory or b"MemoryError" in result.stderr, result
    assert not result.is_timed_out
    assert result.exit_code != 0


async def test_many_processes_that_take_too_much_together_are_stopped(tiered_lane):
    code = """
children = []
for _ in range(6):
    pid = os.fork()
    if pid == 0:
        block = b'x' * (40 << 20)
        time.sleep(15)
        os._exit(0)
    children.append(pid)
found = [os.waitpid(pid, 0)[1] for pid in children]
"""
    result = await tiered_lane.run_code(code, limits=replace(LIMITS, max_mem_mb=128))
    assert result.is_out_of_memory, result
    assert not result.is_timed_out


async def test_same_processes_pass_under_a_sufficient_limit(tiered_lane):
    code = """
for _ in range(3):
    if os.fork() == 0:
        block = b'x' * (40 << 20)
        os._exit(0)
found = [os.wait()[1] for _ in range(3)]
"""
    assert await tiered_lane.attack(code, limits=replace(LIMITS, max_mem_mb=512)) == [0, 0, 0]


@pytest.mark.parametrize("place", ["/tmp", "/dev/shm"])
async def test_memory_file_systems_end_at_their_size(tiered_lane, place):
    code = f"""
written = 0
try:
    with open('{place}/fill', 'wb', buffering=0) as file:
        while written < 2000:
            file.write(bytes(1 << 20)); written += 1
    found = ['no limit', written]
except OSError as error:
    found = [errno.errorcode[error.errno], written]
"""
    error, written = await tiered_lane.attack(code, limits=replace(LIMITS, max_mem_mb=600))
    assert error == "ENOSPC"
    assert written <= 256


@pytest.mark.parametrize("place", ["/", "/dev", "/etc"])
async def test_other_memory_file_systems_are_read_only(lane, place):
    assert await lane.attack(f"found = error_of(open, '{place}/fill', 'wb')") in {"EROFS", "EACCES"}


async def test_single_file_cannot_grow_beyond_its_limit(lane, workspace):
    code = """
signal = __import__('signal'); signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
found = error_of(os.truncate, os.open('sparse', os.O_CREAT | os.O_WRONLY), 1 << 40)
"""
    assert await lane.attack(code) == "EFBIG"


async def test_lane_that_fills_the_disk_is_stopped_before_it_is_full(tiered_lane, monkeypatch):
    monkeypatch.setattr(execution, "reserve_disk", lambda free_bytes: free_bytes - 64 * MB)
    code = """
for number in range(64):
    with open(str(number), 'wb') as file:
        file.write(os.urandom(1 << 20) * 4)
    time.sleep(0.02)
time.sleep(15)
"""
    result = await tiered_lane.run_code(code)
    assert (result.is_out_of_disk, result.is_timed_out, result.exit_code) == (True, False, None)


async def test_flood_of_output_is_cut_and_the_command_still_ends(lane):
    limits = replace(LIMITS, max_output_bytes=100_000)
    code = "\nfor _ in range(300): sys.stdout.write('x' * 100_000)\nsys.stderr.write('end')\n"
    result = await lane.run_code(code, limits=limits)
    assert result.exit_code == 0
    assert result.is_truncated
    assert result.stdout == b"x" * 100_000
    assert result.stderr == b"end"


async def test_output_within_the_limit_is_whole(lane):
    result = await lane.run_code("sys.stdout.write('x' * 70_000)", limits=replace(LIMITS, max_output_bytes=70_000))
    assert not result.is_truncated
    assert len(result.stdout) == 70_000


async def test_command_that_never_ends_is_stopped_by_the_clock(tiered_lane):
    result = await tiered_lane.run_code("\nwhile True: pass\n", limits=replace(LIMITS, exec_seconds=0.5))
    assert result.is_timed_out
    assert result.exit_code is None


async def test_exit_code_and_both_streams_come_back(tiered_lane):
    result = await tiered_lane.run("/bin/sh", "-c", "echo out; echo err >&2; exit 42")
    assert (result.exit_code, result.stdout, result.stderr) == (42, b"out\n", b"err\n")
    assert result.tier == tiered_lane.isolation.describe().tier


async def test_death_by_signal_is_an_exit_code_above_128(lane):
    assert (await lane.run("/bin/sh", "-c", "kill -SEGV $$")).exit_code == 139


async def test_missing_program_is_a_result(lane):
    result = await lane.run("/usr/bin/no-such-program")
    assert result.exit_code not in {0, None}
    assert b"no-such-program" in result.stderr


def groups_of(base):
    return [path for place in base.directories.values() for path in place.glob("direng-lane-*")] if base else []


async def test_no_control_group_is_left_behind_and_those_of_dead_servers_are_swept(isolations, lane):
    base = isolations["strongest"]._base
    dead = await asyncio.create_subprocess_exec("/usr/bin/true")
    await dead.wait()
    for place in set(base.directories.values()) if base else ():
        for name, age_s in (("stale", 2 * _SWEEP_AGE_S), ("young", 0)):
            group = place / f"direng-lane-{dead.pid}-{name}"
            group.mkdir()
            os.utime(group, (time.time() - age_s,) * 2)
    await lane.run("/usr/bin/true")
    assert [path for path in groups_of(base) if f"-{os.getpid()}-" in path.name] == []
    assert BubblewrapIsolation().describe().is_available
    assert [path for path in groups_of(base) if path.name.endswith("-stale")] == []
    young = [path for path in groups_of(base) if path.name.endswith("-young")]
    assert bool(young) == bool(base), "a group that was just made may be about to get its first member"
    for path in young:
        path.rmdir()


async def test_lane_does_not_see_its_control_group(lane):
    assert await lane.attack("found = os.path.exists('/sys/fs/cgroup')") is False
