"""Start the local server on demand, find it, stop it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping

from services.kernel.errors import DeadlineExceededError, UnavailableError
from services.kernel.home import Home, ServerNotRunningError, find_home
from services.kernel.version import VERSION

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 40.0
POLL_S = 0.02
# The server executes with nothing of the user's environment but these: where things are, and its own settings.
KEPT_VARIABLES = ("HOME", "LANG", "PATH", "TMPDIR", "DIRENG_HOME")
KEPT_PREFIXES = ("AUTH_", "PLMS_", "PAS_", "PEX_", "VECTOR_OPS_")


def is_alive(pid: int) -> bool:
    """Return whether a process with that id exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def server_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for a server process."""
    kept = {
        name: value for name, value in environment.items() if name in KEPT_VARIABLES or name.startswith(KEPT_PREFIXES)
    }
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", **kept}


def ensure_server(environment: Mapping[str, str]) -> Home:
    """Return the home with a server of this version running on it, starting one when there is none."""
    home = find_home(environment)
    home.create()
    try:
        server = home.read_server()
    except ServerNotRunningError:
        return start_server(home, environment)
    if not is_alive(server.pid):
        return start_server(home, environment)
    if server.version != VERSION:
        raise UnavailableError(
            f"the running server is version {server.version}, this command is {VERSION}; run `direng down`, then again"
        )
    return home


def start_server(home: Home, environment: Mapping[str, str]) -> Home:
    """Start the server as a detached process and wait until it has published itself.

    Raises UnavailableError with the server's own last line when it gives up.
    """
    home.create()
    log = home.path / "server.out"
    # -I: the working directory may hold folders named `services` or `cli`; they must never be imported.
    command = [sys.executable, "-I", "-m", "services.host", "--home", str(home.path)]
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=server_environment(environment),
            start_new_session=True,
            cwd="/",
        )
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if _is_published(home, process.pid):
            return home
        if process.poll() is not None:
            if _is_published(home, None):  # another start was quicker; its server is the one of this home
                return home
            raise UnavailableError(
                _last_line(log.read_text(errors="replace")) or f"the server ended with code {process.returncode}"
            )
        time.sleep(POLL_S)
    raise DeadlineExceededError(f"the server was not ready after {START_TIMEOUT_S:g} s; its log is {home.log_file}")


def _is_published(home: Home, pid: int | None) -> bool:
    try:
        server = home.read_server()
    except ServerNotRunningError:
        return False
    return is_alive(server.pid) and (pid is None or server.pid == pid)


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""


def stop_server(home: Home) -> bool:
    """Ask the server to drain and wait until it is gone; return False when none was running."""
    try:
        server = home.read_server()
    except ServerNotRunningError:
        return False
    if not is_alive(server.pid):
        home.server_file.unlink(missing_ok=True)
        return False
    os.kill(server.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while time.monotonic() < deadline:
        if not home.server_file.exists() or not is_alive(server.pid):
            return True
        time.sleep(POLL_S)
    raise DeadlineExceededError(
        f"the server (process {server.pid}) is still draining after {STOP_TIMEOUT_S:g} s; look at {home.log_file}"
    )
