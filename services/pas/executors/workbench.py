"""Where every executor runs its commands: allowlist first, then the sandbox; there is no third way."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from services.kernel.errors import ForbiddenError
from services.kernel.vocabulary import Lane
from services.pas.core.allowlist import Allowlist
from services.pas.core.argument import INPUTS_TARGET
from services.pas.core.isolation import (
    ExecResult,
    Isolation,
    IsolationUnavailableError,
    Mount,
    SandboxCommand,
)
from services.pas.core.ports import FaultPoints
from services.pas.sandbox.interpreter import interpreter_mounts
from services.pas.sandbox.limits import is_at_least

ENVIRONMENT: Mapping[str, str] = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/tmp",  # noqa: S108 - the sandbox's private one
    "LANG": "C.UTF-8",
    "PYTHONDONTWRITEBYTECODE": "1",
}
"""All that a command sees of an environment."""

CERTIFICATES = (Path("/etc/ssl/certs"), Path("/etc/pki/tls/certs"))
"""Public CA certificates: libraries load them when they are imported (libgit2 refuses to start without)."""


class CommandDeniedError(ForbiddenError):
    """The lane's allowlist refuses the command; `detail` names the rule."""

    code = "pas.command_denied"


@dataclass(frozen=True)
class Programs:
    """Logical program names and the files behind them."""

    python: Path
    ruff: Path

    def find(self, name: str) -> Path:
        """Return the absolute path of a logical program; raise CommandDeniedError for an unknown one."""
        own = {"python": self.python, "ruff": self.ruff}
        if name in own:
            return own[name]
        found = shutil.which(name, path=ENVIRONMENT["PATH"])
        if found is None:
            raise CommandDeniedError(f"the program {name} is not installed in /usr/bin; install it on this machine")
        return Path(found)


@dataclass(frozen=True)
class Order:
    """One command: logical argv, the folder to work in, and what it may see besides."""

    lane: Lane
    argv: tuple[str, ...]
    folder: Path
    inputs: Mapping[str, bytes] = field(default_factory=dict)
    scripts: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    python: Path | None = None
    """The interpreter behind `python`, when it is not the platform's own."""


class Workbench:
    """Runs orders; one per server."""

    def __init__(
        self, isolation: Isolation, allowlists: Mapping[Lane, Allowlist], programs: Programs, faults: FaultPoints
    ) -> None:
        self._isolation = isolation
        self._allowlists = allowlists
        self._programs = programs
        self._faults = faults

    async def run(self, order: Order, cancel: asyncio.Event) -> ExecResult:
        """Run one command to its end; raise CommandDeniedError or IsolationUnavailableError before anything ran."""
        allowlist = self._allowlists[order.lane]
        decision = allowlist.check_command(order.argv, order.scripts)
        if not decision.is_allowed:
            raise CommandDeniedError(f"{decision.reason} ({decision.rule})")
        report = await asyncio.to_thread(self._isolation.describe)
        if not is_at_least(report.tier, allowlist.min_tier):
            raise IsolationUnavailableError(
                f"lane {order.lane} needs sandbox tier {allowlist.min_tier}; this machine offers {report.tier}"
            )
        async with self._lay_out(order) as command:
            running = asyncio.create_task(self._isolation.run(command(allowlist), cancel=cancel))
            try:
                await self._faults.hit("card_running")
                return await running
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

    async def discard(self, folder: Path) -> None:
        """Remove a folder that a command may have written, whatever modes and owners it left there."""
        await asyncio.to_thread(self._discard, folder)

    def _discard(self, folder: Path) -> None:
        if folder.exists():
            self._isolation.reclaim(folder)
            shutil.rmtree(folder)

    @asynccontextmanager
    async def _lay_out(self, order: Order) -> AsyncIterator[Callable[[Allowlist], SandboxCommand]]:
        inputs = order.folder.with_name(order.folder.name + ".inputs")
        try:
            mounts = list(order.mounts)
            if order.inputs:
                await asyncio.to_thread(_write_inputs, inputs, order.inputs)
                mounts.append(Mount(source=inputs, target=INPUTS_TARGET))
            program = self._find_program(order)
            mounts += _program_mounts(program, order.argv[0])

            def build(allowlist: Allowlist) -> SandboxCommand:
                return SandboxCommand(
                    argv=(str(program), *order.argv[1:]),
                    workspace=order.folder,
                    mounts=tuple(mounts),
                    env=ENVIRONMENT,
                    limits=allowlist.sandbox_limits(),
                )

            yield build
        finally:
            await asyncio.to_thread(shutil.rmtree, inputs, ignore_errors=True)

    def _find_program(self, order: Order) -> Path:
        if order.argv[0] == "python" and order.python is not None:
            return order.python
        return self._programs.find(order.argv[0])


def _program_mounts(program: Path, name: str) -> tuple[Mount, ...]:
    if name == "python":
        certificates = (Mount(source=place.resolve(), target=str(place)) for place in CERTIFICATES if place.is_dir())
        return (*interpreter_mounts(program), *certificates)
    if program.is_relative_to("/usr"):
        return ()
    return (Mount(source=program.resolve(), target=str(program)),)


def _write_inputs(folder: Path, files: Mapping[str, bytes]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    folder.chmod(0o755)  # the lane's uid reads it; the folders above stay closed
    for name, content in files.items():
        path = folder / name
        path.write_bytes(content)
        path.chmod(0o644)


def explain_stop(result: ExecResult) -> str | None:
    """Return why a command did not end by itself, in one line, or None when it did."""
    if result.is_cancelled:
        return "stopped on request"
    if result.is_timed_out:
        return f"stopped after {result.duration_s:.0f} s: the lane's time limit"
    if result.is_out_of_memory:
        return "stopped: it needed more memory than the lane allows"
    if result.is_out_of_disk:
        return "stopped: it had nearly filled the disk"
    if result.exit_code is None:
        return "killed from outside"
    return None
