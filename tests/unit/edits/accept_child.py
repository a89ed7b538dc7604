"""Accepts (or undoes, or recovers) in a process of its own that kills itself at the n-th step."""

import json
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

from services.edits.journal import AcceptJournal
from services.edits.models import Snapshot
from services.edits.repository import open_repository, recover
from services.kernel.ids import GitOid, RunId

WRITES = {"os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir", "os.symlink", "os.truncate"}


class KillAt:
    """Counts steps: the named ones, and every change of the file system Python is about to make after the first."""

    def __init__(self, step: int | str) -> None:
        self.name = step if isinstance(step, str) else ""
        self.left = step if isinstance(step, int) else 0
        self.is_started = False
        sys.addaudithook(self.watch)

    def watch(self, event: str, arguments: tuple[object, ...]) -> None:
        opens_for_writing = (
            event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        )
        if self.is_started and (event in WRITES or opens_for_writing):
            self.count()

    def reach(self, name: str) -> None:
        self.is_started = True
        if name == self.name:
            os.kill(os.getpid(), signal.SIGKILL)
        self.count()

    def count(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    order = json.loads(sys.argv[1])
    journal = AcceptJournal(Path(order["journal"]), KillAt(order["step"]))
    user = open_repository(Path(order["root"]), Path(order["stores"]))
    run_id = RunId("run-1")
    if order["action"] == "accept":
        snapshot = Snapshot.from_json(order["snapshot"])
        result = GitOid(order["result"])
        user.accept(run_id, snapshot, result, "Accept", journal, moment=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    elif order["action"] == "undo":
        user.undo(run_id, journal)
    else:
        recover(journal, Path(order["stores"]))


if __name__ == "__main__":
    main()
