"""Run as `python -I -S launcher.py CONFIG_FD`: turn one launch plan into a running bubblewrap. Standard library only.

A fresh single-threaded process does what a threaded server must not do between fork and exec: join control groups, make
a private mount namespace, set limits, and drop root. It then becomes bubblewrap (exec), so nothing of it is left over.

When the server is root, bubblewrap must still not be: as uid 0 it keeps rights over the host (ADR 0003). So the
launcher binds the workspace and the mounts into a stage that only this process tree can see, lends the workspace to the
lane's uid, and becomes that uid. As an ordinary user there is nothing to stage or to drop.

The plan is one JSON object: parent_pid, bwrap, uid and gid (null: stay who we are), workspace, can_bind_fd, rlimits
{name: [soft, hard]}, cgroup_procs [path], status_fd, operations. An operation is one of
    ["option", ARGUMENT...]                  passed on
    ["mount", SOURCE, TARGET, is_writable]   a host path
    ["data", TEXT, TARGET]                   a read-only file with this text
    ["seccomp", BASE64]                      the system-call filter
    ["workspace", TARGET]                    the workspace, its `.git` masked
    ["command", ARGUMENT...]                 the last one
A failure before bubblewrap starts is one JSON line {"launch-error", "kind"} on status_fd.
"""

import binascii
import contextlib
import ctypes
import errno
import json
import os
import resource
import signal
import stat
import sys

TYPE_CHECKING = False  # as in typing, without its start-up cost
if TYPE_CHECKING:
    from typing import TypedDict

    class Plan(TypedDict):
        """See above."""

        parent_pid: int
        bwrap: str
        uid: int | None
        gid: int | None
        workspace: str
        can_bind_fd: bool
        rlimits: dict[str, tuple[int, int]]
        cgroup_procs: list[str]
        status_fd: int
        operations: list[list[str]]


_CLONE_NEWNS = 0x00020000
_MS_REC = 0x4000
_MS_PRIVATE = 1 << 18
_MS_BIND = 0x1000
_MS_NOSUID_NODEV = 0x2 | 0x4
_PR_SET_PDEATHSIG = 1
_SYS_OPENAT2 = 437
_RESOLVE_NO_SYMLINKS = 0x04
_AT_FDCWD = -100

STAGE = "/tmp"  # noqa: S108 - covered by a private tmpfs; bubblewrap itself needs this directory to exist
MAX_DEPTH = 256

_libc = ctypes.CDLL(None, use_errno=True)


class LaunchError(Exception):
    """`kind` is `workspace` when the workspace is at fault, else `isolation`."""

    def __init__(self, detail: str, kind: str = "isolation") -> None:
        super().__init__(detail)
        self.kind = kind


def _check(result: int, doing: str) -> None:
    if result < 0:
        code = ctypes.get_errno()
        raise LaunchError(f"cannot {doing}: {os.strerror(code)}")


def _mount(source: str, target: str, filesystem: str | None, flags: int, data: str | None = None) -> None:
    encoded = [os.fsencode(text) if text is not None else None for text in (source, target, filesystem, data)]
    _check(_libc.mount(*encoded[:3], ctypes.c_ulong(flags), encoded[3]), f"mount {target}")


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def _open_workspace(path: str) -> int:
    """Open the directory without following a symlink in any part of its path, however lately it was put there."""
    how = _OpenHow(os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, 0, _RESOLVE_NO_SYMLINKS)
    fd = _libc.syscall(_SYS_OPENAT2, _AT_FDCWD, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how))
    if fd >= 0:
        return int(fd)
    code = ctypes.get_errno()
    if code in {errno.ENOSYS, errno.EPERM}:  # Linux before 5.6, or a container that filters the call
        if os.path.realpath(path) != path:
            raise LaunchError(f"workspace {path} leads through a symlink; give its real path", "workspace")
        return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    if code == errno.ELOOP:
        raise LaunchError(f"workspace {path} leads through a symlink; give its real path", "workspace")
    raise LaunchError(f"cannot open workspace {path}: {os.strerror(code)}", "workspace")


class _Lending:
    """Gives a tree to the lane: every entry is owned by `owner` afterwards, nothing outside is touched.

    Without an owner (the lane runs as the server's own user) the tree is only checked.
    """

    def __init__(self, owner: "tuple[int, int] | None", device: int) -> None:
        self._owner = owner
        self._device = device
        self._unseen_links: dict[tuple[int, int], int] = {}

    def lend(self, directory_fd: int) -> None:
        own = os.stat(directory_fd)
        self._give(".", directory_fd, own)
        self._walk(directory_fd, 0)
        if any(self._unseen_links.values()):
            # Lending such a file would lend its other name too: the lane could rewrite a file outside its workspace.
            raise LaunchError("a file in the workspace has another hard link outside it; export a copy", "workspace")

    def _walk(self, directory_fd: int, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise LaunchError(f"the workspace is nested deeper than {MAX_DEPTH} directories", "workspace")
        fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory_fd)
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    if depth == 0 and entry.name == ".git":
                        continue  # masked inside, and the server's own
                    with contextlib.suppress(FileNotFoundError):  # another command in this workspace removed it
                        self._lend_entry(fd, entry, depth)
        finally:
            os.close(fd)

    def _lend_entry(self, fd: int, entry: "os.DirEntry[str]", depth: int) -> None:
        found = entry.stat(follow_symlinks=False)
        if stat.S_ISDIR(found.st_mode) and found.st_dev != self._device:  # files of one overlayfs may differ
            raise LaunchError(f"{entry.name} in the workspace is on another file system; unmount it", "workspace")
        if stat.S_ISREG(found.st_mode) and found.st_nlink > 1:
            inode = (found.st_dev, found.st_ino)
            self._unseen_links[inode] = self._unseen_links.get(inode, found.st_nlink) - 1
        self._give(entry.name, fd, found)
        if stat.S_ISDIR(found.st_mode):
            child = os.open(entry.name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
            try:
                self._walk(child, depth + 1)
            finally:
                os.close(child)

    def _give(self, name: str, fd: int, found: os.stat_result) -> None:
        if self._owner is not None and (found.st_uid, found.st_gid) != self._owner:
            os.chown(name, *self._owner, dir_fd=fd, follow_symlinks=False)


def _mask_git(workspace_fd: int, target: str) -> list[str]:
    """Return the options that hide `.git`; a missing one is made, else the lane could put its own there."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(".git", 0o755, dir_fd=workspace_fd)
    found = os.stat(".git", dir_fd=workspace_fd, follow_symlinks=False)
    if stat.S_ISDIR(found.st_mode):
        return ["--size", "4096", "--tmpfs", f"{target}/.git", "--remount-ro", f"{target}/.git"]
    if stat.S_ISREG(found.st_mode):
        return ["--ro-bind-data", str(_memory_file(b"")), f"{target}/.git"]
    raise LaunchError("`.git` in the workspace is neither a directory nor a file; remove it", "workspace")


def _memory_file(content: bytes) -> int:
    """Return an inheritable descriptor of an anonymous file, at its start."""
    fd = os.memfd_create("plan", 0)
    os.write(fd, content)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


class _Stage:
    """The private tree through which a uid without rights to `/root` still reaches what the plan binds."""

    def __init__(self) -> None:
        self._count = 0

    def open(self) -> None:
        _check(_libc.unshare(_CLONE_NEWNS), "make a private mount namespace (needs CAP_SYS_ADMIN)")
        _mount("none", "/", None, _MS_REC | _MS_PRIVATE)

    def cover(self) -> None:
        """Everything to bind must be open by now: what was below the stage is out of sight from here on."""
        _mount("tmpfs", STAGE, "tmpfs", _MS_NOSUID_NODEV, "size=1m,mode=0755")

    def bind(self, source_fd: int) -> str:
        self._count += 1
        place = f"{STAGE}/{self._count}"
        if stat.S_ISDIR(os.fstat(source_fd).st_mode):
            os.mkdir(place, 0o755)  # noqa: PTH102 - pathlib would double the start-up time
        else:
            os.close(os.open(place, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644))
        _mount(f"/proc/self/fd/{source_fd}", place, None, _MS_BIND)
        return place


def _open_source(path: str, uid: int) -> int:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        raise LaunchError(f"cannot open {path}, which the sandbox must show: {error.strerror}") from error
    found = os.fstat(fd)
    needed = 0o5 if stat.S_ISDIR(found.st_mode) else 0o4
    if found.st_uid != uid and found.st_mode & needed != needed:
        raise LaunchError(f"the lane's uid {uid} cannot read {path}; run: chmod -R o+rX {path}")
    return fd


def _stage_paths(plan: "Plan", uid: int, workspace_fd: int) -> tuple[str, dict[str, str]]:
    """Return where the stage shows the workspace, and each mount by its source."""
    stage = _Stage()
    stage.open()
    # Opened again: a descriptor from before belongs to mounts of the old namespace, which cannot be bound here.
    own_workspace_fd = _open_workspace(plan["workspace"])
    if not os.path.samestat(os.fstat(workspace_fd), os.fstat(own_workspace_fd)):
        raise LaunchError("the workspace was exchanged while it was being prepared", "workspace")
    sources = {item[1]: _open_source(item[1], uid) for item in plan["operations"] if item[0] == "mount"}
    stage.cover()
    return stage.bind(own_workspace_fd), {path: stage.bind(fd) for path, fd in sources.items()}


def _bwrap_arguments(plan: "Plan", workspace_fd: int) -> list[str]:
    uid = plan["uid"]
    place, staged = (plan["workspace"], {}) if uid is None else _stage_paths(plan, uid, workspace_fd)
    arguments: list[str] = []
    for kind, *rest in plan["operations"]:
        if kind == "mount":
            source, target, is_writable = rest[0], rest[1], rest[2]
            arguments += ["--bind" if is_writable else "--ro-bind", staged.get(source, source), target]
        elif kind == "data":
            arguments += ["--ro-bind-data", str(_memory_file(rest[0].encode())), rest[1]]
        elif kind == "seccomp":
            arguments += ["--seccomp", str(_memory_file(binascii.a2b_base64(rest[0])))]
        elif kind == "workspace":
            arguments += _bind_workspace(plan, workspace_fd, place, rest[0])
        elif kind == "option":
            arguments += rest
    return arguments


def _bind_workspace(plan: "Plan", workspace_fd: int, place: str, target: str) -> list[str]:
    masked = _mask_git(workspace_fd, target)
    if plan["uid"] is None and plan["can_bind_fd"]:
        fd = os.dup(workspace_fd)
        os.set_inheritable(fd, True)
        return ["--bind-fd", str(fd), target, *masked]
    return ["--bind", place, target, *masked]


def _write_text(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _die_with_server(parent_pid: int) -> None:
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "tie the sandbox to the server's life")
    if os.getppid() != parent_pid:
        raise LaunchError("the server is gone")


def _drop_root(uid: int, gid: int) -> None:
    try:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    except OSError as error:
        raise LaunchError(f"cannot become uid {uid} here ({error.strerror}); give the lane another uid") from error


def _prepare(plan: "Plan") -> list[str]:
    """Do everything that must happen before bubblewrap and return its arguments."""
    _die_with_server(plan["parent_pid"])
    os.umask(0o022)  # a lane's files get the same modes whatever the server's own umask is
    for path in plan["cgroup_procs"]:
        _write_text(path, "0")
    _write_text("/proc/self/oom_score_adj", "700")  # when memory runs out, the lane goes before the server
    workspace_fd = _open_workspace(plan["workspace"])
    uid, gid = plan["uid"], plan["gid"]
    owner = (uid, gid) if uid is not None and gid is not None else None
    _Lending(owner, os.fstat(workspace_fd).st_dev).lend(workspace_fd)
    arguments = _bwrap_arguments(plan, workspace_fd)
    for name, bounds in plan["rlimits"].items():
        resource.setrlimit(getattr(resource, name), bounds)
    if owner is not None:
        _drop_root(*owner)
        _die_with_server(plan["parent_pid"])  # the kernel forgets the first one when the uid changes
    if 0 in {os.getuid(), os.geteuid()}:
        raise LaunchError("bubblewrap is never started as root: give the lane a uid")
    return arguments


def main(config_fd: int) -> None:
    """Read the plan, prepare, become bubblewrap; never returns."""
    with os.fdopen(config_fd, "rb") as config:
        plan = json.loads(config.read())
    try:
        arguments = _prepare(plan)
        argument_fd = _memory_file(b"\0".join(os.fsencode(argument) for argument in arguments) + b"\0")
        # Only the lane's own command stays readable in /proc/1/cmdline; host paths went through the descriptor.
        command = plan["operations"][-1][1:]
        os.execve(plan["bwrap"], ["bwrap", "--args", str(argument_fd), "--", *command], {})  # noqa: S606 - on purpose
    except (LaunchError, OSError) as error:
        line = {"launch-error": str(error), "kind": getattr(error, "kind", "isolation")}
        os.write(plan["status_fd"], json.dumps(line).encode() + b"\n")
        os._exit(126)


if __name__ == "__main__":
    main(int(sys.argv[1]))
