"""Keeps the index of one repository fresh; from cron with `--once`, or as a daemon.

refresh_daemon.py --repo . --index-dir DIR [--freshness-slo 120] [--check-interval 30] [--once | --tend]

Prints `stale -> refreshed` or `fresh` after each check. As a daemon it checks as soon as HEAD has moved (it looks ten
times a second) and at every interval. What queries would otherwise wait for (history, vectors, a graph store) is done
by a second process (`--tend`), so that it never holds up the next commit. This process and the server take the index
lock only while they write; when it is taken, the daemon asks the server, found over the home file, to refresh instead.
"""

import sys
from pathlib import Path

if not __package__:
    # Run as a script: its own folder must not be importable (it holds modules with everyday names), the root must.
    _HERE = Path(__file__).resolve().parent
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != _HERE]
    sys.path.insert(0, str(_HERE.parents[1]))

import argparse
import json
import os
import select
import signal
import subprocess
from dataclasses import dataclass
from types import FrameType

from services.home import Home, ServerNotRunningError, find_home
from services.kernel.clock import SystemClock, to_iso
from services.kernel.errors import PlatformError, error_from_wire
from services.kernel.vocabulary import ServiceName
from services.vector_ops.core.service import VectorOpsService
from services.vector_ops.models import RefreshReport, RefreshRequest
from services.vector_ops.protocol import IndexBusyError, UnindexableError
from services.vector_ops.settings import VectorOpsSettings
from services.vector_ops.shelf import create_service
from services.vector_ops.source.repository import GitSource

METADATA_FILE = "metadata.json"
INDEX_FOLDER = "index"
"""Where the server of a home keeps its indexes."""

_LOCK_WAIT_S = 1
_POLL_S = 0.1
"""Reading what HEAD names takes 0.06 ms: less than a tenth of a percent of one core."""

_TENDING_NICE = 10
_QUIET_S = 1.0
"""Work behind the queries starts when no commit has come for so long: it would slow the next one down."""

_SERVER_TIMEOUT_S = 300
_HTTP_OK = 200


@dataclass(frozen=True)
class Options:
    """What the command line asks for."""

    repo: Path
    index_dir: Path
    freshness_slo_s: float
    check_interval_s: float
    is_once: bool
    is_tending: bool


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value <= 86_400 * 365:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds above 0")
    return value


def parse_options(arguments: list[str], home: Home) -> Options:
    """Return the options; exits with code 2 and one line of usage when they are wrong."""
    parser = argparse.ArgumentParser(prog="refresh_daemon", description="Keep the code index of a repository fresh.")
    parser.add_argument("--repo", type=Path, default=Path(), help="a folder in the repository (default: this one)")
    parser.add_argument(
        "--index-dir", type=Path, default=home.path / INDEX_FOLDER, help="default: index in DIRENG_HOME"
    )
    parser.add_argument("--freshness-slo", type=_positive, default=120, metavar="SECONDS", help="warn when exceeded")
    parser.add_argument("--check-interval", type=_positive, default=30, metavar="SECONDS")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--once", action="store_true", help="check once and exit")
    how.add_argument("--tend", action="store_true", help="do once what queries would otherwise wait for, and exit")
    given = parser.parse_args(arguments)
    return Options(
        given.repo.absolute(),
        given.index_dir.absolute(),
        given.freshness_slo,
        given.check_interval,
        given.once,
        given.tend,
    )


def ask_server(home: Home, repo: Path) -> RefreshReport:
    """Have the running server refresh; raises what it raises, or ServerNotRunningError when there is none."""
    import http.client  # noqa: PLC0415 - a tenth of the start of a process that hardly ever finds the index locked

    server, name = home.read_server(), ServiceName.VECTOR_OPS.value
    connection = http.client.HTTPConnection("127.0.0.1", server.ports[name], timeout=_SERVER_TIMEOUT_S)
    try:
        headers = {"Authorization": f"Bearer {server.tokens[name]}", "Content-Type": "application/json"}
        connection.request("POST", "/refresh", RefreshRequest(repo=str(repo)).model_dump_json(), headers)
        response = connection.getresponse()
        body = response.read()
    except OSError as error:
        raise IndexBusyError(f"the index is locked and its server does not answer ({error}); try again") from None
    finally:
        connection.close()
    if response.status != _HTTP_OK:
        raise error_from_wire(response.status, json.loads(body))
    return RefreshReport.model_validate_json(body)


def write_metadata(index_dir: Path, repo: Path, report: RefreshReport, last_update: str) -> None:
    """Write metadata.json, atomically."""
    content = {
        "last_update": last_update,
        "commit_sha": report.commit_sha,
        "commit_time": report.commit_time,
        "refresh_duration_seconds": round(report.duration_s, 3),
        "repo": str(repo),
    }
    index_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = index_dir / f".{METADATA_FILE}.{os.getpid()}"
    draft.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    draft.replace(index_dir / METADATA_FILE)


class RefreshDaemon:
    """Checks one repository, once or until it is stopped."""

    def __init__(self, service: VectorOpsService, home: Home, options: Options) -> None:
        self._service = service
        self._home = home
        self._options = options
        self._clock = SystemClock()
        self._is_stopped = False
        self._source: GitSource | None = None
        self._complaint = ""
        self._tending: subprocess.Popen[bytes] | None = None
        self._tended = ""
        self._seen = ("", 0.0)
        # A signal handler may interrupt any line of this thread, so it must take no lock (threading.Event would): it
        # sets a flag and writes to a pipe on which the loop sleeps.
        self._wake_read, self._wake_write = os.pipe()

    def close(self) -> None:
        """End the work behind the checks and close what is open."""
        self._service.close()
        if self._tending is not None:
            self._tending.terminate()
            self._tending.wait()
        if self._source is not None:
            self._source.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def stop(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        """End the loop, and a refresh that is under way, whose transaction is rolled back."""
        self._is_stopped = True
        self._service.close()
        os.write(self._wake_write, b"!")

    def has_stopped(self) -> bool:
        """Return whether a signal asked for the end."""
        return self._is_stopped

    def check(self) -> str:
        """Bring the index level with HEAD, say what was found, and return the commit."""
        report = self._refresh()
        if report.note:
            sys.stderr.write(f"{report.note}\n")
        is_fresh = report.outcome == "fresh"
        if not is_fresh or not (self._options.index_dir / METADATA_FILE).exists():
            write_metadata(self._options.index_dir, self._options.repo, report, to_iso(self._clock.now()))
        if report.duration_s > self._options.freshness_slo_s:
            slo = self._options.freshness_slo_s
            sys.stderr.write(f"the refresh took {report.duration_s:.0f} s, above the freshness SLO of {slo:g} s\n")
        sys.stdout.write("fresh\n" if is_fresh else "stale -> refreshed\n")
        sys.stdout.flush()
        return report.commit_sha

    def _refresh(self) -> RefreshReport:
        try:
            return self._service.refresh_now(str(self._options.repo))
        except IndexBusyError:
            if self._options.index_dir != self._home.folder(INDEX_FOLDER):
                raise  # the server keeps another index: its answer would say nothing about this one
            try:
                return ask_server(self._home, self._options.repo)
            except ServerNotRunningError:
                pass
            raise

    def run(self) -> int:
        """Check at every move of HEAD and at every interval until stopped; return 0, or 1 when the last check failed.

        What waiting may mend is tried again. What is no repository at the start, or is gone, ends the daemon.
        """
        code = 0
        while not self.has_stopped():
            try:
                known = self.check()
                code = 0
                self._complaint = ""
            except PlatformError as error:
                code = 0 if self.has_stopped() else 1
                if not self._explain(error):
                    break
                known = self._read_head()
            if self._options.is_once:
                break
            self._wait(known)
        return code

    def _explain(self, error: PlatformError) -> bool:
        """Say what went wrong, once while it stays the same; return whether to go on."""
        if not self.has_stopped() and error.detail != self._complaint:
            sys.stderr.write(f"{error.detail}\n")
            sys.stderr.flush()
            self._complaint = error.detail
        if not isinstance(error, UnindexableError):
            return error.is_retryable
        # A branch without a commit gets one; a folder that is gone does not come back.
        return self._source is not None and self._source.is_current()

    def _wait(self, known: str) -> None:
        """Sleep until HEAD names another commit than `known`, the interval is over, or a signal came."""
        now_s = self._clock.monotonic_s()
        until_s = now_s + self._options.check_interval_s
        if self._tending is not None and self._tending.poll():
            self._tended = ""  # once an interval, what could not be done is tried again
        if known != self._seen[0]:
            self._seen = (known, now_s)
        while (left_s := until_s - self._clock.monotonic_s()) > 0:
            if until_s - left_s - self._seen[1] > _QUIET_S and not self._complaint:
                self._tend(known)
            if select.select([self._wake_read], [], [], min(_POLL_S, left_s))[0]:
                return
            if self._read_head() not in {known, ""}:
                return

    def _read_head(self) -> str:
        """Return what HEAD names; nothing when that cannot be read now."""
        try:
            if self._source is None or not self._source.is_current():
                self._source = GitSource(str(self._options.repo))
            return self._source.read_head().commit_sha
        except UnindexableError:
            return ""

    def _tend(self, commit_sha: str) -> None:
        """Have done what queries would otherwise wait for, unless that is done, or still under way."""
        is_busy = self._tending is not None and self._tending.poll() is None
        if is_busy or commit_sha == self._tended:
            return
        self._tended = commit_sha
        command = [sys.executable, str(Path(__file__).resolve()), "--tend"]
        command += ["--repo", str(self._options.repo), "--index-dir", str(self._options.index_dir)]
        self._tending = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603 - this very file


def tend(service: VectorOpsService, options: Options) -> int:
    """Do what queries would otherwise wait for, giving way to everybody else; return 1 when a part could not be."""
    os.nice(_TENDING_NICE)
    try:
        faults = service.tend_now(str(options.repo))
    except PlatformError as error:
        faults = {"the work behind the queries": error.detail}
    for part, fault in faults.items():
        sys.stderr.write(f"{part}: {fault}\n")
    return 1 if faults else 0


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    home = find_home(os.environ)
    options = parse_options(sys.argv[1:] if arguments is None else arguments, home)
    try:
        settings = VectorOpsSettings(index_dir=options.index_dir, lock_wait_s=_LOCK_WAIT_S)
        parts = create_service(settings, SystemClock())
    except PlatformError as error:
        sys.stderr.write(f"{error.detail}\n")
        return 1
    daemon = RefreshDaemon(parts.service, home, options)
    former = {number: signal.signal(number, daemon.stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        return tend(parts.service, options) if options.is_tending else daemon.run()
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
        daemon.close()
        parts.close()


if __name__ == "__main__":
    sys.exit(main())
