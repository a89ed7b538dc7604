"""One launch from start to last corpse: spawn, read, watch the clock and the memory, kill the whole tree."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from services.pas.core.isolation import (
    ExecResult,
    IsolationUnavailableError,
    SandboxLimits,
    UnsafeWorkspaceError,
)
from services.pas.sandbox.limits import Group, measure_free_disk, measure_tree, reserve_disk

LAUNCHER = Path(__file__).with_name("launcher.py")
LAUNCH_TIMEOUT_S = 60.0
"""Lending a very large tree takes seconds; a launcher that is silent for longer is stuck."""
POLL_INTERVAL_S = 0.1

_CHUNK_BYTES = 65536
_STATUS_LIMIT_BYTES = 65536


@dataclass(frozen=True)
class Launch:
    """What to start: the launcher's plan (without its descriptors) and who limits it."""

    python: Path
    plan: Mapping[str, object]
    workspace: Path
    limits: SandboxLimits
    tier: str
    group: Group | None = None


@dataclass
class _Captured:
    limit_bytes: int
    content: bytearray = field(default_factory=bytearray)
    is_truncated: bool = False

    async def drain(self, stream: asyncio.StreamReader) -> None:
        """Read to the end; keep the first `limit_bytes`."""
        while chunk := await stream.read(_CHUNK_BYTES):
            room = self.limit_bytes - len(self.content)
            self.content += chunk[:room] if room > 0 else b""
            self.is_truncated = self.is_truncated or len(chunk) > room


def _first_line(text: bytes | bytearray) -> str:
    lines = text.decode(errors="replace").strip().splitlines()
    return lines[0] if lines else "it ended without a word"


def _raise_launch_error(status: Mapping[str, object]) -> None:
    if "launch-error" in status:
        kind = UnsafeWorkspaceError if status.get("kind") == "workspace" else IsolationUnavailableError
        raise kind(str(status["launch-error"]))


@contextlib.contextmanager
def _pipe() -> Iterator[tuple[list[int], Callable[[int], None]]]:
    """Yield [read, write] and a function that closes one of them early; the rest is closed at the end."""
    ends = list(os.pipe2(os.O_CLOEXEC))
    is_open = set(ends)

    def close(fd: int) -> None:
        if fd in is_open:
            is_open.discard(fd)
            os.close(fd)

    try:
        yield ends, close
    finally:
        for fd in ends:
            close(fd)


def _write_plan(plan: Mapping[str, object]) -> int:
    fd = os.memfd_create("plan", os.MFD_CLOEXEC)
    with os.fdopen(os.dup(fd), "wb") as file:
        file.write(json.dumps(plan).encode())
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


class _Running:
    """A started sandbox: its bubblewrap process and, once known, the PID 1 that all its processes live under."""

    def __init__(self, launch: Launch, process: asyncio.subprocess.Process, status: asyncio.StreamReader) -> None:
        self._launch = launch
        self._process = process
        self._status = status
        self._init_fd: int | None = None
        self._init_pid = 0
        self.stdout = _Captured(launch.limits.max_output_bytes)
        self.stderr = _Captured(launch.limits.max_output_bytes)
        self._drains = [
            asyncio.ensure_future(capture.drain(stream))
            for capture, stream in ((self.stdout, process.stdout), (self.stderr, process.stderr))
            if stream is not None
        ]

    async def _read_status(self, key: str) -> Mapping[str, object]:
        """Return the first status line that has `key`, or {} at the end of the stream."""
        while line := await self._status.readline():
            status: Mapping[str, object] = json.loads(line)
            _raise_launch_error(status)
            if key in status:
                return status
        return {}

    async def await_start(self) -> None:
        """Wait for the sandbox's PID 1, which stands still until it is released, and take hold of it."""
        status = await self._read_status("child-pid")
        if not status:
            await self._finish_drains()
            raise IsolationUnavailableError(f"bubblewrap did not start: {_first_line(self.stderr.content)}")
        self._init_pid = int(str(status["child-pid"]))
        with contextlib.suppress(ProcessLookupError):  # it failed right after; the exit status will tell
            self._init_fd = os.pidfd_open(self._init_pid)

    async def watch(self, cancel: asyncio.Event | None) -> str:
        """Return why the command is over: `ended`, `timeout`, `cancel`, `memory` or `disk`."""
        reserve_bytes = reserve_disk(measure_free_disk(self._launch.workspace))
        deadline = asyncio.get_running_loop().time() + self._launch.limits.exec_seconds
        ended = asyncio.ensure_future(self._process.wait())
        cancelled = asyncio.ensure_future(cancel.wait()) if cancel is not None else None
        waiting = {task for task in (ended, cancelled) if task is not None}
        try:
            while True:
                left_s = deadline - asyncio.get_running_loop().time()
                if left_s <= 0:
                    return "timeout"
                pause_s = min(left_s, POLL_INTERVAL_S)
                await asyncio.wait(waiting, timeout=pause_s, return_when=asyncio.FIRST_COMPLETED)
                if ended.done():
                    return "ended"
                if cancelled is not None and cancelled.done():
                    return "cancel"
                if (exhausted := self._find_exhausted(reserve_bytes)) is not None:
                    return exhausted
        finally:
            for task in waiting:
                task.cancel()

    def _find_exhausted(self, reserve_bytes: int) -> str | None:
        if self._is_over_memory():
            return "memory"
        return "disk" if measure_free_disk(self._launch.workspace) < reserve_bytes else None

    def _is_over_memory(self) -> bool:
        if self._launch.group is not None:
            # The kernel stops one member; half of a command's processes would only seem to work on.
            return self._launch.group.has_killed_for_memory()
        return measure_tree(self._init_pid) > self._launch.limits.max_mem_mb * 1024 * 1024

    def kill(self) -> None:
        """Kill the sandbox's PID 1, and with it, by the kernel's rule, every process inside; then bubblewrap."""
        if self._init_fd is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._init_fd, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def _finish_drains(self) -> None:
        await asyncio.gather(*self._drains)

    async def finish(self) -> int | None:
        """Wait until nothing is left and return the exit code that bubblewrap reported for the command, if any."""
        await self._process.wait()
        self.kill()  # daemons that outlived the command
        await self._finish_drains()
        code = (await self._read_status("exit-code")).get("exit-code")
        return int(str(code)) if code is not None else None

    async def close(self) -> None:
        """Leave nothing behind, whatever happened."""
        self.kill()
        await self._process.wait()
        await asyncio.gather(*self._drains, return_exceptions=True)
        if self._init_fd is not None:
            os.close(self._init_fd)
            self._init_fd = None


async def _open_status(read_fd: int) -> tuple[asyncio.StreamReader, asyncio.BaseTransport]:
    reader = asyncio.StreamReader(limit=_STATUS_LIMIT_BYTES)
    loop = asyncio.get_running_loop()
    pipe = os.fdopen(os.dup(read_fd), "rb", buffering=0)
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    return reader, transport


async def _spawn(launch: Launch, status_fd: int, block_fd: int) -> asyncio.subprocess.Process:
    options = [["option", "--json-status-fd", str(status_fd), "--block-fd", str(block_fd)]]
    operations = launch.plan["operations"]
    if not isinstance(operations, list):
        raise TypeError("the plan's operations are a list")
    plan = {**launch.plan, "parent_pid": os.getpid(), "status_fd": status_fd, "operations": options + operations}
    config_fd = _write_plan(plan)
    try:
        return await asyncio.create_subprocess_exec(
            *(str(launch.python), "-I", "-S", str(LAUNCHER), str(config_fd)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={},
            cwd="/",
            pass_fds=(config_fd, status_fd, block_fd),
            start_new_session=True,
        )
    finally:
        os.close(config_fd)


async def execute(launch: Launch, cancel: asyncio.Event | None) -> ExecResult:
    """Run one launch to its end; see `Isolation.run` for errors."""
    with _pipe() as (status, close_status), _pipe() as (block, close_block):
        reader, transport = await _open_status(status[0])
        try:
            process = await _spawn(launch, status[1], block[0])
        except BaseException:
            transport.close()
            raise
        # No await before the `try`: closing the block pipe releases the command, so it must never outlive our watch.
        running = _Running(launch, process, reader)
        try:
            close_status(status[1])
            close_block(block[0])
            async with asyncio.timeout(LAUNCH_TIMEOUT_S):
                await running.await_start()
            started_s = asyncio.get_running_loop().time()
            if cancel is None or not cancel.is_set():
                with contextlib.suppress(BrokenPipeError):
                    os.write(block[1], b"1")
            reason = await running.watch(cancel)
            if reason != "ended":
                running.kill()
            code = await running.finish()
            duration_s = asyncio.get_running_loop().time() - started_s
            return _judge(launch, running, reason, code, duration_s)
        except TimeoutError as error:
            raise IsolationUnavailableError("the sandbox did not start within a minute; see `direng doctor`") from error
        finally:
            await asyncio.shield(running.close())
            transport.close()


def _judge(launch: Launch, running: _Running, reason: str, code: int | None, duration_s: float) -> ExecResult:
    is_out_of_memory = reason == "memory" or (launch.group is not None and launch.group.has_killed_for_memory())
    if reason == "ended" and code is None and not is_out_of_memory:
        raise IsolationUnavailableError(f"the sandbox could not be set up: {_first_line(running.stderr.content)}")
    return ExecResult(
        exit_code=code if reason == "ended" else None,
        stdout=bytes(running.stdout.content),
        stderr=bytes(running.stderr.content),
        is_timed_out=reason == "timeout",
        is_cancelled=reason == "cancel",
        is_truncated=running.stdout.is_truncated or running.stderr.is_truncated,
        duration_s=duration_s,
        tier=launch.tier,
        is_out_of_memory=is_out_of_memory,
        is_out_of_disk=reason == "disk",
    )


def default_python() -> Path:
    """Return the interpreter that runs this server; it also runs the launcher."""
    return Path(sys.executable)
