"""Start the local server on demand, find it, stop it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Mapping
from pathlib import Path

from services.home import RESTART, Home, ServerFile, ServerNotRunningError, find_home
from services.kernel.errors import DeadlineExceededError, UnavailableError
from services.kernel.version import VERSION

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 40.0
POLL_S = 0.02
MIN_FREE_BYTES = 4 * 1024 * 1024
# The server executes with nothing of the user's environment but these: where things are, its own settings, and the keys
# of models: the usual three, and those that the user named with `direng model add --key env:NAME`.
KEPT_VARIABLES = ("HOME", "LANG", "PATH", "TMPDIR", "DIRENG_HOME", "DIRENG_SESSION_CAP_USD")
KEPT_PREFIXES = ("AUTH_", "BROKER_", "PLMS_", "PAS_", "PEX_", "VECTOR_OPS_")
USUAL_KEYS = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY")
KEY_VARIABLES_FILE = "key_variables"


def is_alive(pid: int) -> bool:
    """Return whether a process with that id exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def server_environment(environment: Mapping[str, str], named: Collection[str] = ()) -> dict[str, str]:
    """Return the environment for a server process; `named` are the variables that hold keys of models."""
    known = {*KEPT_VARIABLES, *USUAL_KEYS, *named}
    kept = {name: value for name, value in environment.items() if name in known or name.startswith(KEPT_PREFIXES)}
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", **kept}


def key_variables(home: Home) -> tuple[str, ...]:
    """Return the names of the variables that hold keys of models, as `keep_variable` kept them."""
    file = home.path / KEY_VARIABLES_FILE
    return tuple(file.read_text(encoding="utf-8").split()) if file.exists() else ()


def keep_variable(environment: Mapping[str, str], name: str) -> None:
    """Have every server that is started from now on get the variable `name`, if it is set then; only names are kept."""
    home = find_home(environment)
    home.create()
    kept = key_variables(home)
    if name not in {*kept, *USUAL_KEYS}:
        draft = home.path / f"{KEY_VARIABLES_FILE}.{os.getpid()}.tmp"
        draft.write_text("".join(f"{each}\n" for each in (*kept, name)), encoding="utf-8")
        draft.replace(home.path / KEY_VARIABLES_FILE)


def find_server(home: Home) -> ServerFile | None:
    """Return what the running server published; None when none runs, whatever a killed one left behind.

    The home's lock decides: the process id of a killed server may belong to another program by now.
    """
    try:
        server = home.read_server()
    except ServerNotRunningError:
        return None
    return server if is_alive(server.pid) and home.find_owner() == server.pid else None


def ensure_server(environment: Mapping[str, str]) -> Home:
    """Return the home with a server of this version running on it, starting one when there is none."""
    home = find_home(environment)
    home.create()
    server = find_server(home)
    if server is None:
        return start_server(home, environment)
    if server.version != VERSION:
        raise UnavailableError(
            f"the running server is version {server.version}, this command is {VERSION}; run `direng down`, then again"
        )
    return home


def check_space(home: Home) -> None:
    """Raise UnavailableError when a server could not even write its log; it has nowhere else to say so."""
    disk = os.statvfs(home.path)
    if disk.f_blocks and disk.f_bavail * disk.f_frsize < MIN_FREE_BYTES:
        raise UnavailableError(
            f"the disk of {home.path} is full; free some space (a server needs {MIN_FREE_BYTES >> 20} MB to start)"
        )


def start_server(home: Home, environment: Mapping[str, str]) -> Home:
    """Start the server as a detached process and wait until it, or that of a quicker start, has published itself.

    Raises UnavailableError with the server's own last line when it gives up.
    """
    home.create()
    check_space(home)
    process, is_refused = _spawn(home, environment), False
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if find_server(home) is not None:
            return home
        if process.poll() is not None:
            if home.find_owner() is not None:  # another server holds the home: it is starting, or draining
                is_refused = True
            elif is_refused:  # it is gone without having published itself: our turn
                process, is_refused = _spawn(home, environment), False
            else:
                raise UnavailableError(
                    _last_line(_output_file(home)) or f"the server ended with code {process.returncode}"
                )
        time.sleep(POLL_S)
    if is_refused:
        raise DeadlineExceededError(
            f"a server holds {home.path} (process {home.find_owner()}) and is silent; {RESTART}"
        )
    raise DeadlineExceededError(f"the server was not ready after {START_TIMEOUT_S:g} s; its log is {home.log_file}")


def _output_file(home: Home) -> Path:
    return home.path / "server.out"


def _spawn(home: Home, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    # -I: the working directory may hold folders named `services` or `cli`; they must never be imported.
    command = [sys.executable, "-I", "-m", "services.host", "--home", str(home.path)]
    with _output_file(home).open("ab") as output:
        output.truncate(0)  # appended to, so that two starts at the same time do not write over each other
        return subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=server_environment(environment, key_variables(home)),
            start_new_session=True,
            cwd="/",
        )


def _last_line(file: Path) -> str:
    lines = [line for line in file.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""


def stop_server(home: Home) -> bool:
    """Ask the server to drain and wait until it has given the home up; return False when none was running."""
    owner = home.find_owner()
    if not owner:
        home.server_file.unlink(missing_ok=True)  # what a killed server left
        return False
    os.kill(owner, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while time.monotonic() < deadline:
        if home.find_owner() != owner:
            return True
        time.sleep(POLL_S)
    raise DeadlineExceededError(
        f"the server (process {owner}) is still draining after {STOP_TIMEOUT_S:g} s; look at {home.log_file}"
    )
