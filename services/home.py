"""The user's home of the platform (`DIRENG_HOME`): where things lie, and the 0600 file that says where the server is.

Standard library only: the terminal imports this before anything else.
"""

import fcntl
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from services.kernel.errors import ForbiddenError, UnavailableError

RESTART = "run `direng down`, then `direng up`"


class HomeUnusableError(ForbiddenError):
    """The home cannot be read or written, or others can."""

    code = "home.unusable"


class ServerNotRunningError(UnavailableError):
    """No server has published itself in the home."""

    code = "home.server_not_running"


@dataclass(frozen=True)
class ServerFile:
    """What a running server publishes: its ports, and a bearer token of the user for each service."""

    pid: int
    version: str
    started_at: str
    ports: Mapping[str, int]
    tokens: Mapping[str, str]
    tokens_expire_at: int


def parse_server(content: object) -> ServerFile:
    """Return the decoded content of a server file; raise ValueError or TypeError unless it is one."""
    if not isinstance(content, dict):
        raise TypeError
    server = ServerFile(**content)
    numbers = (server.pid, server.tokens_expire_at, *dict(server.ports).values())
    texts = (server.version, server.started_at, *dict(server.tokens).values())
    if not all(type(number) is int and number > 0 for number in numbers):
        raise ValueError
    if not all(isinstance(text, str) for text in texts) or not set(server.tokens) <= set(server.ports):
        raise ValueError
    return server


@dataclass(frozen=True)
class Home:
    """Paths below one home folder."""

    path: Path

    @property
    def server_file(self) -> Path:
        """Where the server publishes itself."""
        return self.path / "server.json"

    @property
    def lock_file(self) -> Path:
        """Held (flock) by the one server of this home."""
        return self.path / "server.lock"

    @property
    def log_file(self) -> Path:
        """The server's log, one JSON object a line."""
        return self.path / "server.log"

    def folder(self, name: str) -> Path:
        """Return the sub-folder `name`, made 0700 when it is new."""
        folder = self.path / name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def create(self) -> None:
        """Make the home 0700; raise HomeUnusableError with the cure when it cannot be used."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            mode = stat.S_IMODE(self.path.stat().st_mode)
            if mode & 0o077:
                raise HomeUnusableError(f"{self.path} is open to others (mode {mode:o}); run: chmod 700 {self.path}")
            if not os.access(self.path, os.R_OK | os.W_OK | os.X_OK):
                raise HomeUnusableError(f"{self.path} cannot be read and written by you; check its owner and mode")
        except OSError as error:
            raise HomeUnusableError(
                f"{self.path} cannot be used: {error.strerror}; set DIRENG_HOME elsewhere"
            ) from None

    def read_server(self) -> ServerFile:
        """Return what the running server published.

        Raises ServerNotRunningError when there is none, HomeUnusableError when the file cannot be trusted.
        """
        try:
            with self.server_file.open(encoding="utf-8") as file:
                if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                    raise HomeUnusableError(f"{self.server_file} is readable by others; {RESTART}")
                return parse_server(json.load(file))
        except FileNotFoundError:
            raise ServerNotRunningError("no server is running; start it with `direng up`") from None
        except (ValueError, TypeError, RecursionError):
            raise HomeUnusableError(f"{self.server_file} is damaged; {RESTART}") from None
        except OSError as error:
            raise HomeUnusableError(f"{self.server_file} cannot be read: {error.strerror}; check its owner") from None

    def find_owner(self) -> int | None:
        """Return the process id of the server that holds the home's lock; None when none does.

        Unlike a process id in a file, a lock ends with its holder: a number that another program has got since then
        is never believed. 0 stands for a holder that has not written its id yet.
        """
        try:
            with self.lock_file.open(encoding="utf-8") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    text = file.read().strip()
                    return int(text) if text.isdecimal() else 0
        except FileNotFoundError:
            return None
        except OSError as error:
            raise HomeUnusableError(f"{self.lock_file} cannot be read: {error.strerror}; check its owner") from None
        return None

    def write_server(self, content: ServerFile) -> None:
        """Publish the server, atomically, readable by the user alone."""
        draft = self.server_file.with_suffix(f".{os.getpid()}.tmp")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(content), file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.server_file)


def find_home(environment: Mapping[str, str]) -> Home:
    """Return the home that `DIRENG_HOME` names, else `~/.direng` ."""
    named = environment.get("DIRENG_HOME")
    if named:
        return Home(Path(named).expanduser().absolute())
    return Home(default_home(environment))


def default_home(environment: Mapping[str, str]) -> Path:
    """Return `~/.direng`; only there do the services listen on their fixed ports."""
    user = environment.get("HOME") or str(Path("~").expanduser())
    return Path(user) / ".direng"
