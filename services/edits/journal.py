"""The journal of accepts and undos: one small file per run, written before the first change and at each turn.

    (absent) -> ACCEPTING -> ACCEPTING_FINAL -> ACCEPTED -> UNDOING -> UNDOING_FINAL -> UNDONE
                    |                              ^           |
                    v (rolled back)                +-----------+ (rolled back)
                 (absent)

Until a FINAL state is on disk, recovery goes back; from then on it goes forward.
"""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from services.edits.change import ChangePlan
from services.edits.owner import acting_as_server
from services.kernel.errors import InvalidRequestError
from services.kernel.ids import ID_PATTERN, RunId


class JournalState(StrEnum):
    """How far a run's accept or undo has come."""

    ACCEPTING = "accepting"
    ACCEPTING_FINAL = "accepting_final"
    ACCEPTED = "accepted"
    UNDOING = "undoing"
    UNDOING_FINAL = "undoing_final"
    UNDONE = "undone"

    @property
    def is_final(self) -> bool:
        """Whether recovery goes forward from here."""
        return self in {JournalState.ACCEPTING_FINAL, JournalState.UNDOING_FINAL}

    @property
    def is_pending(self) -> bool:
        """Whether a process died here."""
        return self not in {JournalState.ACCEPTED, JournalState.UNDONE}


class FaultPoints(Protocol):
    """Where a test may kill the process: called after each step that changed something on disk."""

    def reach(self, name: str) -> None:
        """Note that step `name` is done."""
        ...


class NoFaults:
    """The production face of FaultPoints: nothing happens."""

    def reach(self, name: str) -> None:
        """Go on."""


@dataclass(frozen=True)
class JournalRecord:
    """What the journal knows of one run: the accept's plan (an undo is its reverse), and where it stands.

    `index_sha256` is the digest of the index that is to be put in place: it tells our index.lock from git's.
    """

    state: JournalState
    plan: ChangePlan
    index_sha256: str

    @property
    def active_plan(self) -> ChangePlan:
        """The plan in flight."""
        is_undo = self.state in {JournalState.UNDOING, JournalState.UNDOING_FINAL}
        return self.plan.turned_back() if is_undo else self.plan


@dataclass(frozen=True)
class AcceptJournal:
    """The journal in `directory` (server-owned, outside every repository)."""

    directory: Path
    faults: FaultPoints = field(default_factory=NoFaults)

    def read(self, run_id: RunId) -> JournalRecord | None:
        """Return what is known of a run."""
        try:
            with acting_as_server():
                body = json.loads(self._file(run_id).read_text("ascii"))
        except FileNotFoundError:
            return None
        return JournalRecord(JournalState(body["state"]), ChangePlan.from_json(body["plan"]), body["index_sha256"])

    def write(self, record: JournalRecord) -> None:
        """Put a record on disk, atomically, and wait until it is there."""
        with acting_as_server():
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            file = self._file(record.plan.run_id)
            body = {"state": record.state, "plan": record.plan.to_json(), "index_sha256": record.index_sha256}
            temporary = file.with_suffix(".new")
            with temporary.open("w", encoding="ascii") as out:
                json.dump(body, out)
                out.flush()
                os.fsync(out.fileno())
            temporary.replace(file)
            self._sync()
        self.faults.reach(f"journal:{record.state}")

    def remove(self, run_id: RunId) -> None:
        """Forget a run that was rolled back."""
        with acting_as_server():
            self._file(run_id).unlink(missing_ok=True)
            self._sync()
        self.faults.reach("journal:removed")

    def list_pending(self) -> Iterator[JournalRecord]:
        """Yield the records at which a process died."""
        for file in sorted(self.directory.glob("*.json")) if self.directory.is_dir() else ():
            record = self.read(RunId(file.stem))
            if record is not None and record.state.is_pending:
                yield record

    def _file(self, run_id: RunId) -> Path:
        if not re.match(ID_PATTERN, run_id):
            raise InvalidRequestError(f"{run_id!r} is no run id")
        return self.directory / f"{run_id}.json"

    def _sync(self) -> None:
        handle = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
