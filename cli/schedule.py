"""Keeping an index fresh without a server: a block in git's post-commit hook, a line in the user's crontab, a daemon.

The first two run the refresh daemon once, in the background; neither can fail a commit. The third is a unit of the
user's systemd, in which the daemon stays. What is written carries a mark with the repository's path (the unit: in its
name), so that what is taken back is exactly that.
"""

import hashlib
import os
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.home import find_home
from services.kernel.errors import ConflictError, InvalidRequestError

_SHELLS = ("sh", "bash", "dash", "zsh", "ksh", "ash")
_NEW_HOOK = "#!/bin/sh\n"
_MODULE = "services.vector_ops.refresh_daemon"


class UnschedulableError(InvalidRequestError):
    """There is no repository to keep an index of."""


class HookInTheWayError(ConflictError):
    """The repository has a post-commit hook that nothing can be added to."""


@dataclass(frozen=True)
class Place:
    """A repository, where its hook is (None: it is bare), and what runs the daemon.

    `units` is where the user's systemd looks for units; `systemctl` is None where there is no systemd.
    """

    root: Path
    git_dir: Path
    hook: Path | None
    home: Path
    python: str
    crontab: str | None
    units: Path
    systemctl: str | None

    @classmethod
    def find(cls, repo: str, environment: Mapping[str, str]) -> "Place":
        """Return the place of the repository that holds the folder `repo`; raise UnschedulableError."""
        git_dir = Path(_ask_git(repo, "rev-parse", "--path-format=absolute", "--git-common-dir"))
        is_bare = _ask_git(repo, "rev-parse", "--is-bare-repository") == "true"
        root = git_dir if is_bare else Path(_ask_git(repo, "rev-parse", "--show-toplevel"))
        hook = Path(_ask_git(repo, "rev-parse", "--path-format=absolute", "--git-path", "hooks/post-commit"))
        if "\n" in f"{root}{git_dir}":
            raise UnschedulableError(f"{str(root)!r} has a line break in its name; a hook cannot name it")
        crontab = shutil.which("crontab", path=environment.get("PATH"))
        home = find_home(environment).path.absolute()
        settings = environment.get("XDG_CONFIG_HOME") or f"{environment.get('HOME', '~')}/.config"
        units = Path(settings).expanduser() / "systemd/user"
        systemctl = shutil.which("systemctl", path=environment.get("PATH"))
        return cls(root, git_dir, None if is_bare else hook.resolve(), home, sys.executable, crontab, units, systemctl)

    @property
    def unit(self) -> Path:
        """The file of the daemon's unit."""
        return self.units / f"direng-index-{hashlib.sha256(os.fsencode(self.root)).hexdigest()[:12]}.service"

    def command(self, repo: str) -> str:
        """Return the shell command that refreshes once; `repo` is already quoted."""
        variable = shlex.quote(f"DIRENG_HOME={self.home}")
        return f"env {variable} {shlex.quote(self.python)} -I -m {_MODULE} --repo {repo} --once >/dev/null 2>&1"


def install(place: Place, parts: Sequence[str]) -> list[str]:
    """Install what `parts` names (hook, cron, daemon), again when it is there; return what was done, in words."""
    steps: dict[str, Callable[[Place], str]] = {"hook": add_hook, "cron": add_cron, "daemon": add_daemon}
    return [steps[part](place) for part in parts]


def uninstall(place: Place, parts: Sequence[str]) -> list[str]:
    """Take back what `install` did, and nothing else; return what was done, in words."""
    steps: dict[str, Callable[[Place], str]] = {"hook": remove_hook, "cron": remove_cron, "daemon": remove_daemon}
    return [steps[part](place) for part in parts]


def add_hook(place: Place) -> str:
    """Put our block into the post-commit hook; raise HookInTheWayError when that hook is no shell script."""
    if place.hook is None:
        return "hook: none, the repository is bare"
    former = _read_hook(place.hook)
    rest = _without_block(former, place) if former is not None else _NEW_HOOK
    head, newline, body = rest.partition("\n") if rest.startswith("#!") else ("", "", rest)
    # Behind the first line rather than at the end: a hook may leave with `exit` or `exec` before that.
    text = f"{head}{newline}{_make_block(place)}{body}"
    _write_hook(place.hook, text, 0o755 if former is None else stat.S_IMODE(place.hook.stat().st_mode))
    return f"hook: {place.hook} refreshes the index after each commit, in the background"


def remove_hook(place: Place) -> str:
    """Take our block out of the hook, and the hook away when nothing else is in it."""
    if place.hook is None or not place.hook.exists():
        return "hook: none was there"
    former = _read_text(place.hook)
    rest = _without_block(former, place)
    if rest == former:
        return f"hook: {place.hook} has nothing of ours"
    if rest.strip() in {"", _NEW_HOOK.strip()}:
        place.hook.unlink()
        return f"hook: removed {place.hook}"
    _write_hook(place.hook, rest, stat.S_IMODE(place.hook.stat().st_mode))
    return f"hook: took our lines out of {place.hook}"


def _read_hook(hook: Path) -> str | None:
    if not hook.exists():
        return None
    text = _read_text(hook)
    first = text.partition("\n")[0]
    program = first.removeprefix("#!").split()
    shell = Path(program[-1] if program and program[0].endswith("env") else program[0]).name if program else "sh"
    if first.startswith("#!") and shell not in _SHELLS:
        raise HookInTheWayError(f"{hook} is a script for {shell}, not for a shell; use `direng index install --cron`")
    if text and not os.access(hook, os.X_OK):
        raise HookInTheWayError(f"{hook} is not executable, so git does not run it; make it so, or remove it")
    return text


def _read_text(hook: Path) -> str:
    try:
        text = hook.read_text("utf-8")
    except UnicodeDecodeError:
        raise HookInTheWayError(f"{hook} is no text; use `direng index install --cron`") from None
    return text if not text or text.endswith("\n") else f"{text}\n"


def _marks(place: Place) -> tuple[str, str]:
    return f"# >>> direng index {place.git_dir} >>>\n", f"# <<< direng index {place.git_dir} <<<\n"


def _make_block(place: Place) -> str:
    begin, end = _marks(place)
    # The hooks of several repositories may be one folder (core.hooksPath), and a repository may have several trees.
    own = f'[ "$(git rev-parse --path-format=absolute --git-common-dir)" = {shlex.quote(str(place.git_dir))} ]'
    command = place.command('"$(git rev-parse --show-toplevel)"')
    return f"{begin}if {own}; then\n  ( {command} </dev/null & )\nfi\n{end}"


def _without_block(text: str, place: Place) -> str:
    begin, end = _marks(place)
    before, mark, rest = text.partition(begin)
    _block, closing, after = rest.partition(end)
    return before + after if mark and closing else text


def _write_hook(hook: Path, text: str, mode: int) -> None:
    hook.parent.mkdir(parents=True, exist_ok=True)
    draft = hook.with_name(f".{hook.name}.{os.getpid()}")
    draft.write_text(text, "utf-8")
    draft.chmod(mode)
    draft.replace(hook)


def add_cron(place: Place) -> str:
    """Put our line into the user's crontab; without crontab, return the line for the reader to put somewhere."""
    line = _cron_line(place)
    if place.crontab is None:
        return f"cron: there is no crontab here; the line for your scheduler is\n{line}"
    rows = [row for row in _read_cron(place.crontab) if not row.endswith(_cron_mark(place))]
    _write_cron(place.crontab, [*rows, line])
    return "cron: refreshes the index every minute"


def remove_cron(place: Place) -> str:
    """Take our line out of the user's crontab."""
    if place.crontab is None:
        return "cron: there is no crontab here"
    rows = _read_cron(place.crontab)
    rest = [row for row in rows if not row.endswith(_cron_mark(place))]
    if rest == rows:
        return "cron: nothing of ours is there"
    _write_cron(place.crontab, rest)
    return "cron: took our line out"


def add_daemon(place: Place) -> str:
    """Write a unit that runs the daemon, and start it; where systemd does not do that, return the command to run."""
    command = " ".join(map(shlex.quote, _daemon_command(place)))
    if place.systemctl is None:
        return f"daemon: there is no systemd here; have your supervisor run\n{command}"
    former = place.unit.read_text("utf-8") if place.unit.exists() else None
    place.unit.parent.mkdir(parents=True, exist_ok=True)
    place.unit.write_text(_make_unit(place), "utf-8")
    for action in (["daemon-reload"], ["enable", place.unit.name], ["restart", place.unit.name]):
        done = _run([place.systemctl, "--user", *action])
        if done.returncode != 0:
            if former is None:
                remove_daemon(place)
            reason = " ".join(done.stderr.split())[:200]
            return f"daemon: systemd does not run it ({reason}); have your supervisor run\n{command}"
    return f"daemon: {place.unit.name} follows the repository from now on, after each login too"


def remove_daemon(place: Place) -> str:
    """Stop the daemon and take its unit away."""
    if not place.unit.exists():
        return "daemon: nothing of ours is there"
    if place.systemctl is not None:
        _run([place.systemctl, "--user", "disable", "--now", place.unit.name])
    place.unit.unlink()
    if place.systemctl is not None:
        _run([place.systemctl, "--user", "daemon-reload"])
    return f"daemon: stopped and removed {place.unit.name}"


def _daemon_command(place: Place) -> list[str]:
    return ["env", f"DIRENG_HOME={place.home}", place.python, "-I", "-m", _MODULE, "--repo", str(place.root)]


def _make_unit(place: Place) -> str:
    command = " ".join(map(_quote_for_systemd, ["/usr/bin/env", *_daemon_command(place)[1:]]))
    lines = [
        "[Unit]",
        "Description=Keeps the code index of a repository fresh",
        "[Service]",
        f"ExecStart={command}",
        "Restart=on-failure",
        "RestartSec=60",
        "Nice=10",
        "[Install]",
        "WantedBy=default.target",
    ]
    return "".join(f"{line}\n" for line in lines)


def _quote_for_systemd(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"'


def _cron_line(place: Place) -> str:
    command = place.command(shlex.quote(str(place.root)))
    # To cron, a bare % ends the command.
    return f"* * * * * {command.replace('%', chr(92) + '%')}{_cron_mark(place)}"


def _cron_mark(place: Place) -> str:
    return f" # direng index {str(place.root).replace('%', chr(92) + '%')}"


def _read_cron(crontab: str) -> list[str]:
    done = _run([crontab, "-l"])
    return done.stdout.splitlines() if done.returncode == 0 else []  # it fails when there is no crontab yet


def _write_cron(crontab: str, rows: Sequence[str]) -> None:
    done = _run([crontab, "-"], "".join(f"{row}\n" for row in rows))
    if done.returncode != 0:
        raise HookInTheWayError(f"crontab refuses: {' '.join(done.stderr.split())[:200]}")


def _ask_git(repo: str, *argv: str) -> str:
    if shutil.which("git") is None:
        raise UnschedulableError("git is not on PATH; install it (apt-get install git)")
    done = _run(["git", "-C", repo, *argv])
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[0]
        raise UnschedulableError(f"{repo}: git says: {reason}")
    return done.stdout.removesuffix("\n")


def _run(argv: Sequence[str], text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, input=text, capture_output=True, text=True, check=False)  # noqa: S603 - git, crontab
