"""Finding out who can enforce limits, on made-up control group trees (the kernel's own are tried in tests/security)."""

import os

import pytest

from services.pas.core.isolation import SandboxLimits
from services.pas.sandbox import limits

LIMITS = SandboxLimits(exec_seconds=30, max_mem_mb=256, max_cpu_pct=150, max_processes=20, max_output_bytes=1)


def proc_with(tmp_path, cgroup):
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(cgroup)
    return tmp_path / "proc"


def test_directory_that_is_no_control_group_is_never_taken_for_one(tmp_path):
    """On a hybrid layout /sys/fs/cgroup is an ordinary tmpfs, where any file name could be created."""
    (tmp_path / "cgroup/session").mkdir(parents=True)
    proc = proc_with(tmp_path, "0::/session/server\n")
    assert limits.find_cgroup_base(mounts=tmp_path / "cgroup", proc=proc) is None
    assert list((tmp_path / "cgroup/session").iterdir()) == []


def test_server_at_the_root_of_version_2_has_no_place_for_siblings(tmp_path):
    (tmp_path / "cgroup").mkdir()
    assert limits.find_cgroup_base(mounts=tmp_path / "cgroup", proc=proc_with(tmp_path, "0::/\n")) is None


def test_missing_process_information_means_no_control_groups(tmp_path):
    assert limits.find_cgroup_base(mounts=tmp_path, proc=tmp_path / "absent") is None


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        (1, {"memory.limit_in_bytes": "268435456", "pids.max": "23", "cpu.cfs_quota_us": "150000"}),
        (2, {"memory.max": "268435456", "pids.max": "23", "cpu.max": "150000 100000"}),
    ],
)
def test_limits_are_written_in_the_units_of_each_version(version, expected):
    written = {name: value for files in limits._settings(version, LIMITS).values() for name, value in files.items()}
    assert expected.items() <= written.items()


def test_fallback_bounds_memory_per_process_and_control_groups_do_not_need_it():
    assert limits.build_rlimits(LIMITS, "rlimits")["RLIMIT_DATA"] == (512 * 1024 * 1024,) * 2
    assert "RLIMIT_DATA" not in limits.build_rlimits(LIMITS, "cgroup2")
    assert limits.build_rlimits(LIMITS, "cgroup2")["RLIMIT_CPU"] == (47, 47)


@pytest.mark.parametrize(
    ("tier", "minimum", "expected"),
    [
        ("rlimits", "rlimits", True),
        ("rlimits", "cgroup", False),
        ("cgroup1", "cgroup", True),
        ("cgroup2", "cgroup", True),
        ("none", "rlimits", False),
    ],
)
def test_tiers_are_ordered(tier, minimum, expected):
    assert limits.is_at_least(tier, minimum) is expected


def test_kill_for_memory_is_read_from_either_version(tmp_path):
    base = limits.CgroupBase(2, {})
    events = tmp_path / "memory.events"
    events.write_text("low 0\nmax 3\noom 1\noom_kill 0\n")
    assert not limits.Group(base, (tmp_path,)).has_killed_for_memory()
    events.write_text("low 0\nmax 3\noom 1\noom_kill 2\n")
    assert limits.Group(base, (tmp_path,)).has_killed_for_memory()
    events.unlink()
    (tmp_path / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n")
    assert limits.Group(base, (tmp_path,)).has_killed_for_memory()


def test_own_process_is_measured_and_a_vanished_one_counts_nothing(tmp_path):
    assert limits.measure_tree(os.getpid()) > 5_000_000
    assert limits.measure_tree(1, proc=tmp_path) == 0


def test_descendants_are_added_up(tmp_path):
    for pid, children, pages in ((10, "11 12", 100), (11, "13", 10), (12, "", 1), (13, "", 1000)):
        (tmp_path / f"{pid}/task/{pid}").mkdir(parents=True)
        (tmp_path / f"{pid}/statm").write_text(f"99999 {pages} 5 1 0 1 0\n")
        (tmp_path / f"{pid}/task/{pid}/children").write_text(children)
    assert limits.measure_tree(10, proc=tmp_path) == 1111 * os.sysconf("SC_PAGE_SIZE")


def test_reserve_is_half_of_a_nearly_full_disk():
    assert limits.reserve_disk(10 * limits.DISK_RESERVE_BYTES) == limits.DISK_RESERVE_BYTES
    assert limits.reserve_disk(1000) == 500
