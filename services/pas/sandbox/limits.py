"""Who enforces a lane's limits: control groups where this server may make them, else rlimits and polling.

`cgroup2` and `cgroup1` count memory, processes and CPU share for the whole tree, in the kernel. `rlimits` caps what one
process may do, caps the number of processes in the lane's own user namespace, and kills the tree when the sum of its
resident memory passes the limit (polled, so a fast allocator overshoots by what it gets in one interval; each process
is bounded by twice the limit). Shared pages count once per process there: the sum errs on the strict side.
"""

import contextlib
import os
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from services.pas.core.isolation import SandboxLimits

TIERS = ("none", "rlimits", "cgroup1", "cgroup2")
"""From weakest to strongest."""

MAX_FILE_BYTES = 1024 * 1024 * 1024
MAX_OPEN_FILES = 1024
DISK_RESERVE_BYTES = 512 * 1024 * 1024
"""A command is stopped when it leaves less than this (or half of what it found, on a fuller disk)."""
PLATFORM_PROCESSES = 3
"""bubblewrap's monitor, its PID 1, and one being born."""

_CPU_PERIOD_US = 100_000
_GROUP_PREFIX = "direng-lane"
_SWEEP_AGE_S = 3600.0
_CONTROLLERS = ("memory", "pids", "cpu")
_NEEDED_CONTROLLERS = ("memory", "pids")
"""systemd delegates these to every user session, `cpu` only to some."""
_BYTES_PER_MB = 1024 * 1024


def is_at_least(tier: str, minimum: str) -> bool:
    """Whether `tier` is as strong as `minimum`; `cgroup` as a minimum means either generation."""
    floor = "cgroup1" if minimum == "cgroup" else minimum
    return TIERS.index(tier) >= TIERS.index(floor)


def build_rlimits(limits: SandboxLimits, tier: str) -> dict[str, tuple[int, int]]:
    """Return per-process limits by `resource` name, each (soft, hard)."""
    share = max(1.0, limits.max_cpu_pct / 100)
    cpu_s = int(limits.exec_seconds * share) + 2
    rlimits = {
        "RLIMIT_CORE": (0, 0),
        "RLIMIT_CPU": (cpu_s, cpu_s),
        "RLIMIT_FSIZE": (MAX_FILE_BYTES, MAX_FILE_BYTES),
        "RLIMIT_NOFILE": (MAX_OPEN_FILES, MAX_OPEN_FILES),
    }
    if tier == "rlimits":
        data = 2 * limits.max_mem_mb * _BYTES_PER_MB
        rlimits["RLIMIT_DATA"] = (data, data)
    return rlimits


@dataclass(frozen=True)
class CgroupBase:
    """Where this server may make control groups, by controller (for v2 the same directory each time)."""

    version: int
    directories: Mapping[str, Path]

    @property
    def tier(self) -> str:
        """`cgroup1` or `cgroup2`."""
        return f"cgroup{self.version}"


@dataclass(frozen=True)
class Group:
    """One lane command's control group."""

    base: CgroupBase
    directories: tuple[Path, ...] = field(default=())

    @property
    def procs(self) -> list[str]:
        """The files into which a process writes itself to join."""
        return [str(directory / "cgroup.procs") for directory in self.directories]

    def has_killed_for_memory(self) -> bool:
        """Whether the kernel killed a member for want of memory."""
        counters = ("memory.events", "memory.oom_control")
        for path in (directory / name for directory in self.directories for name in counters):
            if path.is_file():
                fields = dict(line.split() for line in path.read_text().splitlines())
                return int(fields.get("oom_kill", "0")) > 0
        return False


def _settings(version: int, limits: SandboxLimits) -> dict[str, dict[str, str]]:
    """Return file -> value by controller."""
    memory_bytes = str(limits.max_mem_mb * _BYTES_PER_MB)
    processes = str(limits.max_processes + PLATFORM_PROCESSES)
    quota_us = limits.max_cpu_pct * _CPU_PERIOD_US // 100
    if version == 2:  # noqa: PLR2004 - the generation
        return {
            "memory": {"memory.max": memory_bytes, "memory.swap.max": "0", "memory.oom.group": "1"},
            "pids": {"pids.max": processes},
            "cpu": {"cpu.max": f"{quota_us} {_CPU_PERIOD_US}"},
        }
    return {
        "memory": {"memory.limit_in_bytes": memory_bytes, "memory.memsw.limit_in_bytes": memory_bytes},
        "pids": {"pids.max": processes},
        "cpu": {"cpu.cfs_period_us": str(_CPU_PERIOD_US), "cpu.cfs_quota_us": str(quota_us)},
    }


_OPTIONAL_FILES = frozenset({"memory.swap.max", "memory.memsw.limit_in_bytes", "memory.oom.group"})


def _write_setting(path: Path, value: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)  # never O_CREAT: in an ordinary directory this must fail
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)


def _write_settings(directory: Path, files: Mapping[str, str]) -> None:
    for name, value in files.items():
        try:
            _write_setting(directory / name, value)
        except OSError:
            if name not in _OPTIONAL_FILES:  # swap accounting may be compiled out; the main limit may not
                raise


def make_group(base: CgroupBase, name: str, limits: SandboxLimits) -> Group:
    """Create and limit a group. Raises OSError when this server may not; nothing is left behind then."""
    settings = _settings(base.version, limits)
    made: dict[Path, None] = {}
    try:
        for controller, parent in base.directories.items():
            directory = parent / f"{_GROUP_PREFIX}-{os.getpid()}-{name}"
            directory.mkdir(exist_ok=directory in made)
            made[directory] = None
            _write_settings(directory, settings[controller])
    except OSError:
        remove_group(Group(base, tuple(made)))
        raise
    return Group(base, tuple(made))


def remove_group(group: Group, *, patience_s: float = 0.0) -> None:
    """Remove an emptied group; members killed a moment ago may still be on their way out for `patience_s`."""
    give_up = time.monotonic() + patience_s
    for directory in group.directories:
        while directory.is_dir():
            with contextlib.suppress(OSError):
                directory.rmdir()
                break
            if time.monotonic() >= give_up:
                break  # swept by the next server
            time.sleep(0.002)


def sweep_groups(base: CgroupBase) -> None:
    """Remove the groups of servers that were killed; those of a living one may be empty only for a moment."""
    for parent in set(base.directories.values()):
        for directory in parent.glob(f"{_GROUP_PREFIX}-*"):
            owner = directory.name.removeprefix(f"{_GROUP_PREFIX}-").partition("-")[0]
            with contextlib.suppress(OSError):
                # A process id says little across containers that share the control groups, and a group is empty for
                # a moment before its first member joins: only groups that have been there for long are left-overs.
                is_old = time.time() - directory.stat().st_mtime > _SWEEP_AGE_S
                if is_old and not Path("/proc", owner).exists():
                    directory.rmdir()


def _own_groups(proc: Path) -> dict[str, str]:
    """Return this process's group path by controller; the empty name is v2."""
    groups = {}
    for line in (proc / "self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        groups.update(dict.fromkeys(controllers.split(","), path))
    return groups


def _candidates(mounts: Path, proc: Path) -> Iterator[CgroupBase]:
    groups = _own_groups(proc)
    for names in (_CONTROLLERS, _NEEDED_CONTROLLERS):
        if groups.get("", "/") != "/":
            # A group with members cannot have limited children (v2), so a lane becomes our sibling, not our child.
            yield CgroupBase(2, dict.fromkeys(names, (mounts / groups[""].lstrip("/")).parent))
        if all(name in groups for name in names):
            yield CgroupBase(1, {name: mounts / name / groups[name].lstrip("/") for name in names})


def _can_join(group: Group) -> bool:
    """Move a process into the group: for an ordinary user that takes rights above the group as well."""
    with subprocess.Popen(["/usr/bin/sleep", "60"], env={}, cwd="/") as child:
        try:
            for path in group.procs:
                _write_setting(Path(path), str(child.pid))
        except OSError:
            return False
        finally:
            child.kill()
    return True


def _try_base(base: CgroupBase) -> bool:
    trial = SandboxLimits(exec_seconds=1, max_mem_mb=64, max_cpu_pct=100, max_processes=8, max_output_bytes=0)
    try:
        group = make_group(base, f"trial-{uuid.uuid4().hex}", trial)
    except OSError:
        return False
    try:
        return _can_join(group)
    finally:
        remove_group(group, patience_s=1.0)


def find_cgroup_base(*, mounts: Path = Path("/sys/fs/cgroup"), proc: Path = Path("/proc")) -> CgroupBase | None:
    """Return where groups can be made, found by making one and moving a process into it, or None."""
    try:
        candidates = list(_candidates(mounts, proc))
    except (OSError, ValueError):
        return None
    for base in candidates:
        if _try_base(base):
            sweep_groups(base)
            return base
    return None


def reserve_disk(free_bytes: int) -> int:
    """Return how many bytes a command must leave free, given what was free when it started."""
    return min(DISK_RESERVE_BYTES, free_bytes // 2)


def measure_free_disk(path: Path) -> int:
    """Return the bytes free for ordinary users on the file system of `path`; none when it has no inodes left."""
    found = os.statvfs(path)
    has_inodes = found.f_files == 0 or found.f_favail > 0
    return found.f_bavail * found.f_frsize if has_inodes else 0


def measure_tree(root_pid: int, *, proc: Path = Path("/proc")) -> int:
    """Return the resident bytes of a process and all its descendants.

    Orphans of a lane are adopted by its PID 1, so that starting there misses none.
    """
    pages = 0
    waiting = [root_pid]
    while waiting:
        directory = proc / str(waiting.pop())
        with contextlib.suppress(OSError, ValueError, IndexError):  # it ended while we looked
            pages += int((directory / "statm").read_text().split()[1])
            for task in os.scandir(directory / "task"):
                waiting += [int(pid) for pid in Path(task.path, "children").read_text().split()]
    return pages * os.sysconf("SC_PAGE_SIZE")
