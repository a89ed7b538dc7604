"""What this machine can isolate, found by doing it, and what to type when it cannot."""

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from services.pas.core.isolation import (
    IsolationProblem,
    IsolationReport,
    SandboxCommand,
    SandboxLimits,
    UnsafeWorkspaceError,
)
from services.pas.sandbox.execution import LAUNCHER, default_python
from services.pas.sandbox.interpreter import interpreter_mounts
from services.pas.sandbox.limits import CgroupBase, find_cgroup_base
from services.pas.sandbox.profile import DEFAULT_LANE_ID, PRLIMIT, build_operations
from services.pas.sandbox.seccomp import UnsupportedMachineError, build_filter

DEFAULT_BWRAP = Path("/usr/bin/bwrap")

_PROBE_TIMEOUT_S = 30
_NEEDED_OPTIONS = ("args", "size", "json-status-fd", "block-fd", "seccomp", "ro-bind-data", "remount-ro")
_OPTIONAL_OPTIONS = ("disable-userns", "bind-fd")
_TRIAL_LIMITS = SandboxLimits(exec_seconds=10, max_mem_mb=64, max_cpu_pct=100, max_processes=8, max_output_bytes=4096)

_CURE_INSTALL = "install bubblewrap 0.6 or newer (Debian, Ubuntu: apt-get install bubblewrap)"
_CURE_APPARMOR = (
    "AppArmor blocks user namespaces here (Ubuntu 24.04 does): install apparmor-profiles and load its "
    "bwrap-userns-restrict profile, or run: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
)
_CURE_SYSCTL = "allow user namespaces: sysctl -w {name}={value}"
_CURE_CONTAINER = (
    "this container forbids namespaces: start it with --cap-add SYS_ADMIN --security-opt seccomp=unconfined "
    "--security-opt apparmor=unconfined --security-opt systempaths=unconfined, or run on the host"
)


def _failed(what: str, cure: str) -> IsolationReport:
    return IsolationReport(tier="none", features=(), problems=(IsolationProblem(what, cure),))


def _read_number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def name_cure(message: str, *, proc: Path = Path("/proc")) -> str:
    """Return what to type, given bubblewrap's complaint and the kernel's switches."""
    for name in ("kernel/unprivileged_userns_clone", "user/max_user_namespaces"):
        if _read_number(proc / "sys" / name) == 0:
            value = 1 if name.startswith("kernel") else 10000
            return _CURE_SYSCTL.format(name=name.replace("/", "."), value=value)
    if _read_number(proc / "sys/kernel/apparmor_restrict_unprivileged_userns") == 1:
        return _CURE_APPARMOR
    if any(word in message.lower() for word in ("chmod", "another uid")):
        return "do as it says, or use an interpreter that other users can read"
    if any(word in message.lower() for word in ("proc", "permi", "cap_sys_admin")):
        return _CURE_CONTAINER
    return "see what `bwrap --unshare-user --ro-bind / / /usr/bin/true` says; nothing runs without isolation"


def _first_complaint(stderr: bytes) -> str:
    """Return the first line of bubblewrap's, or the launcher's own error (a JSON line)."""
    line = (stderr.decode(errors="replace").strip().splitlines() or [""])[0]
    try:
        return str(json.loads(line)["launch-error"])
    except (ValueError, TypeError, KeyError):
        return line


class Probe:
    """Tries one command through the whole profile, as the server will run it."""

    def __init__(self, *, python: Path, bwrap: Path, lane_id: int, system: str = sys.platform) -> None:
        self._python = python
        self.bwrap = bwrap
        self._lane_id = lane_id
        self._system = system

    def run(self, base: CgroupBase | None) -> IsolationReport:
        """Return the report; `base` is where control groups were found possible."""
        refusal = self._refuse_platform() or self._refuse_binary()
        if refusal is not None:
            return refusal
        options = self._read_options()
        missing = [name for name in _NEEDED_OPTIONS if name not in options]
        if missing:
            return _failed(f"bubblewrap at {self.bwrap} is too old (lacks --{missing[0]})", _CURE_INSTALL)
        features = tuple(name for name in _OPTIONAL_OPTIONS if name in options)
        if Path(PRLIMIT).is_file():
            features = (*features, "prlimit")
        elif base is None:
            return _failed(f"nothing can cap the number of processes ({PRLIMIT} is missing)", "install util-linux")
        message = self._try(frozenset(features))
        if message is not None:
            return _failed(f"bubblewrap cannot isolate here ({message})", name_cure(message))
        return self._describe(features, base)

    def _describe(self, features: tuple[str, ...], base: CgroupBase | None) -> IsolationReport:
        problems = []
        if base is None:
            cure = "run under a systemd user session or grant a writable cgroup subtree (memory, pids, cpu)"
            problems.append(
                IsolationProblem("memory is polled and the CPU share is not enforced: no control groups", cure, False)
            )
        elif "cpu" not in base.directories:
            cure = "have the cpu controller delegated to this server's control group"
            problems.append(IsolationProblem("the CPU share is not enforced: no cpu controller", cure, False))
        if "disable-userns" not in features:
            what = "nested user namespaces are stopped by the system-call filter only"
            problems.append(IsolationProblem(what, "install bubblewrap 0.8 or newer", False))
        uid = "lane-uid" if os.geteuid() == 0 else "own-uid"
        tier = base.tier if base is not None else "rlimits"
        return IsolationReport(tier=tier, features=(*features, "seccomp", uid), problems=tuple(problems))

    def _refuse_platform(self) -> IsolationReport | None:
        if self._system == "darwin":
            return _failed(
                "macOS isolation has not been verified", "run on Linux, or in a Linux virtual machine or container"
            )
        if self._system != "linux":
            return _failed(f"no isolation for {self._system}", "run on Linux")
        try:
            build_filter(platform.machine())
        except UnsupportedMachineError as error:
            return _failed(str(error), "run on such a machine")
        return None

    def _refuse_binary(self) -> IsolationReport | None:
        try:
            found = self.bwrap.stat()
        except OSError:
            return _failed(f"bubblewrap is missing ({self.bwrap})", _CURE_INSTALL)
        if found.st_mode & 0o4000:
            # Started through setuid it is root on the host, and its options are then the only boundary.
            return _failed(f"{self.bwrap} is setuid root", f"chmod u-s {self.bwrap}, and allow user namespaces")
        return None

    def _read_options(self) -> set[str]:
        try:
            answer = subprocess.run(  # noqa: S603 - our own binary and plan
                [self.bwrap, "--help"], env={}, capture_output=True, timeout=_PROBE_TIMEOUT_S, check=False
            )
        except (OSError, subprocess.SubprocessError):
            return set()
        words = (answer.stdout + answer.stderr).decode(errors="replace").split()
        return {word.removeprefix("--") for word in words if word.startswith("--")}

    def _try(self, features: frozenset[str]) -> str | None:
        """Run the platform's own interpreter, as recipes do; return the first line of what went wrong, or None."""
        try:
            mounts = interpreter_mounts(self._python)
        except UnsafeWorkspaceError as error:
            return error.detail
        with tempfile.TemporaryDirectory(prefix="direng-probe-") as directory:
            workspace = Path(directory).resolve() / "work"
            workspace.mkdir()
            argv = (str(self._python), "-I", "-S", "-c", "")
            command = SandboxCommand(argv, workspace, mounts, {}, _TRIAL_LIMITS)
            return self._launch(self._plan(command, features))

    def _plan(self, command: SandboxCommand, features: frozenset[str]) -> dict[str, object]:
        is_root = os.geteuid() == 0
        operations = build_operations(command, features=features, seccomp_filter=build_filter(platform.machine()))
        return {
            "bwrap": str(self.bwrap),
            "uid": self._lane_id if is_root else None,
            "gid": self._lane_id if is_root else None,
            "workspace": str(command.workspace),
            "can_bind_fd": "bind-fd" in features,
            "rlimits": {},
            "cgroup_procs": [],
            "parent_pid": os.getpid(),
            "status_fd": 2,
            "operations": operations,
        }

    def _launch(self, plan: Mapping[str, object]) -> str | None:
        config_fd = os.memfd_create("plan", os.MFD_CLOEXEC)
        try:
            os.write(config_fd, json.dumps(plan).encode())
            os.lseek(config_fd, 0, os.SEEK_SET)
            answer = subprocess.run(  # noqa: S603 - our own binary and plan
                [self._python, "-I", "-S", LAUNCHER, str(config_fd)],
                env={},
                cwd="/",
                stdin=subprocess.DEVNULL,
                capture_output=True,
                pass_fds=(config_fd,),
                timeout=_PROBE_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.SubprocessError) as error:
            return str(error)
        finally:
            os.close(config_fd)
        if answer.returncode == 0:
            return None
        return _first_complaint(answer.stderr) or f"it ended with code {answer.returncode}"


def probe_isolation(*, python: Path | None = None, bwrap: Path = DEFAULT_BWRAP) -> IsolationReport:
    """Return what this machine can isolate; every problem carries the line that cures it (`direng doctor`)."""
    probe = Probe(python=python or default_python(), bwrap=bwrap, lane_id=DEFAULT_LANE_ID)
    return probe.run(find_cgroup_base())
