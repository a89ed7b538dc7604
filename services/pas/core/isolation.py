"""The isolation port: what a lane asks of a sandbox, in plain values.

Errors:

UnavailableError
└── IsolationUnavailableError   nothing ran: this machine cannot isolate a command (fail closed)
InvalidRequestError
└── UnsafeWorkspaceError        nothing ran: the workspace itself would let a lane reach outside it
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from services.kernel.errors import InvalidRequestError, UnavailableError

WORKSPACE_TARGET = "/lane"
"""Where every lane finds its workspace: a path that no host uses, for interpreters keep their host paths inside."""


class IsolationUnavailableError(UnavailableError):
    """No isolation, no run: `detail` names the missing piece and its cure."""

    code = "pas.isolation_unavailable"


class UnsafeWorkspaceError(InvalidRequestError):
    """The workspace is a symlink, or holds something (outside hard links, a symlinked `.git`) that leads out of it."""

    code = "pas.unsafe_workspace"


@dataclass(frozen=True)
class Mount:
    """One host path that the command may see at `target` (an absolute path inside).

    When the server is root the lane is another user: `source` must then be readable (or writable) for others.
    """

    source: Path
    target: str
    is_writable: bool = False


@dataclass(frozen=True)
class SandboxLimits:
    """What one command may use. CPU and memory count for its whole process tree."""

    exec_seconds: float
    max_mem_mb: int
    max_cpu_pct: int
    max_processes: int
    max_output_bytes: int
    """Kept of stdout and of stderr, each; the rest is read and dropped, so that the command never blocks."""


@dataclass(frozen=True)
class SandboxCommand:
    """One command: `argv[0]` is an absolute path inside; `workspace`, a host directory, is writable at /lane."""

    argv: tuple[str, ...]
    workspace: Path
    mounts: tuple[Mount, ...]
    env: Mapping[str, str]
    """The complete environment inside; nothing is inherited (bubblewrap itself adds PWD)."""
    limits: SandboxLimits


@dataclass(frozen=True)
class ExecResult:
    """What a command did. `exit_code` is None when it was killed for time, cancellation, memory or disk."""

    exit_code: int | None
    stdout: bytes
    stderr: bytes
    is_timed_out: bool
    is_cancelled: bool
    is_truncated: bool
    duration_s: float
    tier: str
    is_out_of_memory: bool = False
    is_out_of_disk: bool = False
    """It had nearly filled the disk that its workspace lies on."""


@dataclass(frozen=True)
class IsolationProblem:
    """One missing piece and how to get it; a fatal one means that nothing runs."""

    what: str
    cure: str
    is_fatal: bool = True


@dataclass(frozen=True)
class IsolationReport:
    """What this machine can do: `tier` names who enforces the limits (`none` when nothing can run)."""

    tier: str
    features: tuple[str, ...]
    problems: tuple[IsolationProblem, ...]

    @property
    def is_available(self) -> bool:
        """Whether commands can run at all."""
        return not any(problem.is_fatal for problem in self.problems)


class Isolation(Protocol):
    """A sandbox. The only way in which anything a model or a repository wrote is ever executed."""

    async def run(self, command: SandboxCommand, *, cancel: asyncio.Event | None = None) -> ExecResult:
        """Run one command to its end and return what it did; setting `cancel` kills its whole process tree.

        "Ran and failed" is a result. Raises IsolationUnavailableError or UnsafeWorkspaceError before anything ran.
        Costs about 40 ms over the command itself. The awaiting thread must live as long as the call: the kernel kills
        the sandbox when the thread that started it ends.
        """
        ...

    def reclaim(self, workspace: Path) -> None:
        """Give the tree back to the server: own it, make it readable and deletable, drop setuid bits.

        Never follows a symlink. Call it once a card's last command has ended; a later `run` lends the tree out again.
        """
        ...

    def describe(self) -> IsolationReport:
        """Return what was found by trying (about 100 ms the first time, then cached)."""
        ...
