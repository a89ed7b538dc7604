"""Attacks, run inside a lane and, as their positive control, outside."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

from services.pas.core.isolation import SandboxCommand, SandboxLimits
from services.pas.sandbox.interpreter import interpreter_mounts

PYTHON = Path(sys.executable)
LIMITS = SandboxLimits(exec_seconds=20, max_mem_mb=512, max_cpu_pct=200, max_processes=64, max_output_bytes=1_000_000)
ENV = {"PATH": "/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8"}

# Every attack is Python source that sets `found`, run unchanged inside and, as its positive control, outside.
_PROLOGUE = """
import ctypes, errno, json, os, socket, subprocess, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def error_of(function, *arguments):
    try:
        function(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    return 'ok'
def syscall(number, *arguments):
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(argument) for argument in arguments])
    return 'ok' if result >= 0 else errno.errorcode[ctypes.get_errno()]
found = None
"""
_EPILOGUE = "\nprint(json.dumps(found))\n"


class Lane:
    """A workspace with a sandbox around it, and the same attacks outside for comparison."""

    def __init__(self, isolation, workspace):
        self.isolation = isolation
        self.workspace = workspace

    async def run(self, *argv, limits=LIMITS, mounts=(), env=ENV, cancel=None):
        command = SandboxCommand(tuple(argv), self.workspace, (*interpreter_mounts(PYTHON), *mounts), env, limits)
        return await self.isolation.run(command, cancel=cancel)

    async def run_code(self, code, **options):
        return await self.run(str(PYTHON), "-I", "-S", "-c", _PROLOGUE + code, **options)

    async def attack(self, code, **options):
        """Return what the attack found inside."""
        result = await self.run_code(code + _EPILOGUE, **options)
        assert result.exit_code == 0, result
        return json.loads(result.stdout)


def attack_outside(code, **options):
    """Return what the attack finds without a sandbox: proof that it is an attack at all."""
    answer = subprocess.run(
        [PYTHON, "-I", "-S", "-c", _PROLOGUE + code + _EPILOGUE],
        capture_output=True,
        check=False,
        timeout=30,
        **options,
    )
    assert answer.returncode == 0, answer
    return json.loads(answer.stdout)


async def wait_until(condition, *, tries=400):
    """Wait until `condition()` holds; at most tries x 25 ms, then the caller's assertion speaks."""
    for _ in range(tries):
        if condition():
            return True
        await asyncio.sleep(0.025)
    return False


def pids_with(token):
    """Return the processes of this machine whose command line holds `token`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if token.encode() in line:
                found.append(int(entry.name))
    return found
