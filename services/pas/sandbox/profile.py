"""What a lane sees: the bubblewrap operations of one command, in the form that `launcher.py` takes."""

import base64
from collections.abc import Iterable, Sequence
from pathlib import Path

from services.pas.core.isolation import WORKSPACE_TARGET, Mount, SandboxCommand, UnsafeWorkspaceError

Operation = list[str | bool]

LANE_NAME = "lane"
DEFAULT_LANE_ID = 65533
"""Uid and gid of every lane, outside (when the server is root) and inside.

Debian and systemd both leave it unallocated (65534 is `nobody`, which other daemons share; 61184-65519 is handed out to
dynamic services), and it is the highest such id that the usual 65536-id map of a rootless container still contains.
"""

TMP_BYTES = 256 * 1024 * 1024
SHARED_MEMORY_BYTES = 64 * 1024 * 1024
"""Sizes of the lane's private /tmp and /dev/shm; bubblewrap's own default is half of the machine's memory each."""

PRLIMIT = "/usr/bin/prlimit"

_SYSTEM_DIRECTORIES = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives", "/etc/localtime")
_RESERVED_TARGETS = ("/proc", "/dev", "/tmp", WORKSPACE_TARGET)  # noqa: S108 - a path inside the sandbox


def _option(*arguments: str) -> Operation:
    return ["option", *arguments]


def _namespaces(features: frozenset[str]) -> list[Operation]:
    operations = [
        _option("--unshare-user", "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"),
        _option("--uid", str(DEFAULT_LANE_ID), "--gid", str(DEFAULT_LANE_ID), "--hostname", LANE_NAME),
    ]
    if "disable-userns" in features:
        operations.append(_option("--disable-userns"))
    return operations


def _system(root: Path) -> list[Operation]:
    """Show /usr and the few files of /etc that programs need, never `/`, `/var`, `/run` or a home."""
    operations = [_option("--ro-bind", "/usr", "/usr")]
    for name in _SYSTEM_DIRECTORIES:
        place = root / name
        if place.is_symlink():
            operations.append(_option("--symlink", str(place.readlink()), f"/{name}"))
        elif place.is_dir():
            operations.append(_option("--ro-bind", f"/{name}", f"/{name}"))
    operations += [_option("--ro-bind-try", name, name) for name in _SYSTEM_FILES]
    number = DEFAULT_LANE_ID
    passwd = f"root:x:0:0:root:/:/usr/sbin/nologin\n{LANE_NAME}:x:{number}:{number}:lane:/tmp:/usr/sbin/nologin\n"
    operations += [
        ["data", passwd, "/etc/passwd"],
        ["data", f"root:x:0:\n{LANE_NAME}:x:{number}:\n", "/etc/group"],
        ["data", "passwd: files\ngroup: files\nhosts: files\n", "/etc/nsswitch.conf"],
        ["data", "127.0.0.1 localhost\n::1 localhost\n", "/etc/hosts"],
    ]
    return operations


def _kernel_files() -> list[Operation]:
    return [
        _option("--proc", "/proc"),
        # bubblewrap covers /proc/sys only when access(2) says it is writable, which its 0555 mode hides from it.
        _option("--ro-bind", "/proc/sys", "/proc/sys"),
        _option("--dev", "/dev"),
        _option("--size", str(SHARED_MEMORY_BYTES), "--tmpfs", "/dev/shm"),  # noqa: S108 - inside
        _option("--remount-ro", "/dev"),
        _option("--size", str(TMP_BYTES), "--tmpfs", "/tmp"),  # noqa: S108 - inside
    ]


def _is_below(target: str, place: str) -> bool:
    return target == place or target.startswith(place + "/")


def _check_target(mount: Mount) -> None:
    """Let a mount add to the lane's view, and never replace what the profile itself put there."""
    parts = Path(mount.target).parts
    is_plain = mount.target.startswith("/") and ".." not in parts and str(Path(mount.target)) == mount.target
    if not is_plain or mount.target == "/":
        raise UnsafeWorkspaceError(f"mount target {mount.target!r} must be a plain absolute path below /")
    if any(_is_below(place, mount.target) for place in _RESERVED_TARGETS):
        raise UnsafeWorkspaceError(f"mount target {mount.target} would cover a part of the sandbox; choose another")
    if any(_is_below(mount.target, place) for place in ("/proc", "/dev", WORKSPACE_TARGET)):
        raise UnsafeWorkspaceError(f"mount target {mount.target} lies in a directory of the sandbox; choose another")


def _ordered(mounts: Iterable[Mount]) -> list[Mount]:
    """Outer directories first: bubblewrap applies in order, and a later outer bind would hide an inner one."""
    unique = {mount.target: mount for mount in mounts}
    return sorted(unique.values(), key=lambda mount: len(Path(mount.target).parts))


def _parents_of(mounts: Sequence[Mount]) -> list[Operation]:
    """Make the directories above each mount: bubblewrap would make them 0700 in some versions."""
    parents = {str(parent) for mount in mounts for parent in Path(mount.target).parents} - {"/"}
    shown = ("/usr", "/etc", "/tmp", WORKSPACE_TARGET, *(mount.target for mount in mounts))  # noqa: S108 - inside
    missing = [parent for parent in parents if not any(_is_below(parent, place) for place in shown)]
    return [_option("--dir", parent) for parent in sorted(missing)]


def _cap_processes(command: SandboxCommand, features: frozenset[str]) -> list[str]:
    """Cap the number of processes from inside, in the lane's own user namespace.

    Set any earlier, the limit would count all lanes of one uid together (or all of a user's own processes); set from
    outside, it would need CAP_SYS_RESOURCE, which root lacks in most containers.
    """
    if "prlimit" not in features:
        return []
    count = command.limits.max_processes + 1  # bubblewrap's PID 1 is counted too
    return [PRLIMIT, f"--nproc={count}:{count}", "--"]


def build_operations(
    command: SandboxCommand, *, features: frozenset[str], seccomp_filter: bytes, root: Path = Path("/")
) -> list[Operation]:
    """Return the launcher operations for `command`, in the order in which bubblewrap must apply them.

    `root` is only read to mirror its /bin and /lib layout. Raises UnsafeWorkspaceError for a mount that would cover a
    part of the profile.
    """
    mounts = _ordered(command.mounts)
    for mount in mounts:
        _check_target(mount)
    operations = [*_namespaces(features), *_system(root), *_kernel_files(), *_parents_of(mounts)]
    operations.append(["workspace", WORKSPACE_TARGET])
    operations += [["mount", str(mount.source), mount.target, mount.is_writable] for mount in mounts]
    operations.append(_option("--remount-ro", "/", "--chdir", WORKSPACE_TARGET))
    operations += [_option("--setenv", name, value) for name, value in command.env.items()]
    operations.append(["seccomp", base64.b64encode(seccomp_filter).decode()])
    operations.append(["command", *_cap_processes(command, features), *command.argv])
    return operations
