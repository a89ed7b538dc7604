"""Carry out a change plan on the user's repository, or take it back: all of it or nothing, also after kill -9.

Order: journal, index.lock (from here on git itself waits), files, journal FINAL, branch, index, journal done.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import pygit2

from services.edits.change import ChangePlan, PathChange
from services.edits.disk import Disk
from services.edits.disk_writer import DiskWriter
from services.edits.errors import HeadMovedError, WorktreeChangedError
from services.edits.index_file import IndexFile, digest
from services.edits.journal import AcceptJournal, JournalRecord, JournalState
from services.edits.objects import ObjectStore
from services.edits.tree import TreeEntry
from services.edits.user_git import BRANCH_PREFIX, read_flag, read_head, read_identity, read_index

_FINAL = {
    JournalState.ACCEPTING: JournalState.ACCEPTING_FINAL,
    JournalState.UNDOING: JournalState.UNDOING_FINAL,
}
_DONE = {
    JournalState.ACCEPTING_FINAL: JournalState.ACCEPTED,
    JournalState.UNDOING_FINAL: JournalState.UNDONE,
}


@dataclass(frozen=True)
class PlanRunner:
    """Applies plans to one repository; the caller holds the repository's write lock and acts as its owner."""

    repository: pygit2.Repository
    disk: Disk
    git_dir: Path
    store: ObjectStore
    journal: AcceptJournal

    def start(self, plan: ChangePlan, state: JournalState, accept_plan: ChangePlan) -> None:
        """Apply `plan`; raise with nothing changed if anything is not as the plan says.

        `accept_plan` is what the journal keeps: the plan itself, or for an undo the plan it takes back.
        """
        index = self.index_file(plan)
        present = index.read()
        successor = index.build(present, plan.index, self._scratch(plan))
        record = JournalRecord(state, accept_plan, digest(successor))
        self.journal.write(record)
        try:
            index.lock(successor)
            self.journal.faults.reach("index:locked")
            _check_same_index(index.read(), present)
            self._check_head(plan)
            self._check_files(plan)
            self._change_files(plan)
            record = replace(record, state=_FINAL[state])
            self.journal.write(record)
            self.finish(record)
        except BaseException:
            # Past the branch there is no way back: recovery completes what is left.
            if not (record.state.is_final and self.read_branch(plan) == plan.new_commit):
                self.roll_back(record)
            raise

    def finish(self, record: JournalRecord) -> None:
        """Do what comes after the files: the branch, the index, the journal. Repeatable."""
        plan = record.active_plan
        index = self.index_file(plan)
        self._move_branch(plan)
        self.journal.faults.reach("branch:moved")
        if index.is_locked_by_us(record.index_sha256):
            index.commit()
            self.journal.faults.reach("index:replaced")
        self.journal.write(replace(record, state=_DONE[record.state]))

    def roll_back(self, record: JournalRecord) -> tuple[str, ...]:
        """Take back what a plan has done so far; return the paths left alone because somebody changed them since."""
        plan = record.active_plan
        kept = []
        for change in reversed(self._in_order(plan)):
            self._writer(plan).clean(change.path)
            if self._is(change.path, change.old):
                continue
            if self._is(change.path, change.new):
                self._put(plan, change.turned_back())
                self.journal.faults.reach(f"file:restored:{change.path}")
            else:
                kept.append(change.path)
        self.close(record)
        return tuple(sorted(kept))

    def close(self, record: JournalRecord) -> None:
        """Release the lock and set the journal back to where it was before the plan began."""
        plan = record.active_plan
        self.index_file(plan).unlock(record.index_sha256)
        if record.state in {JournalState.UNDOING, JournalState.UNDOING_FINAL}:
            self.journal.write(replace(record, state=JournalState.ACCEPTED))
        else:
            self.journal.remove(plan.run_id)

    def index_file(self, plan: ChangePlan) -> IndexFile:
        """Return the index of this repository, marked with the plan's run."""
        return IndexFile(self.git_dir, self.disk.owner, plan.run_id)

    def read_branch(self, plan: ChangePlan) -> str | None:
        """Return the commit the plan's branch is on now."""
        reference = self.repository.references.get(BRANCH_PREFIX + plan.branch)
        return None if reference is None else str(reference.target)

    def holds_new(self, plan: ChangePlan) -> tuple[str, ...]:
        """Return the files on disk that hold the plan's new content."""
        return tuple(sorted(change.path for change in plan.files if self._is(change.path, change.new)))

    def _check_head(self, plan: ChangePlan) -> None:
        head = read_head(self.repository)
        if (head.branch, head.commit) != (plan.branch, plan.old_commit):
            old = plan.old_commit[:12]
            cure = (
                f"{plan.branch} is not checked out, but {head.branch}; `git switch {plan.branch}`, then again"
                if head.branch != plan.branch
                else f"{plan.branch} went on from {old} to {head.commit[:12]}; `git revert {old}` takes it back"
            )
            raise HeadMovedError(f"{cure}; nothing was changed")

    def _check_files(self, plan: ChangePlan) -> None:
        for change in plan.files:
            if not self._is(change.path, change.old):
                raise WorktreeChangedError(f"{change.path!r} was changed meanwhile; nothing was applied")

    def _change_files(self, plan: ChangePlan) -> None:
        for change in self._in_order(plan):
            if not self._is(change.path, change.old):
                raise WorktreeChangedError(f"{change.path!r} was changed meanwhile; nothing was applied")
            self._put(plan, change)
            self.journal.faults.reach(f"file:{change.path}")

    def _in_order(self, plan: ChangePlan) -> list[PathChange]:
        # First what goes, then what comes: a file may become a folder and the reverse.
        return sorted(plan.files, key=lambda change: (change.new is not None, change.path))

    def _is(self, path: str, entry: TreeEntry | None) -> bool:
        found = self.disk.read_file(path)
        if found is None or entry is None:
            return found is None and entry is None
        return found.matches(entry, keeps_modes=read_flag(self.repository, "core.filemode", default=True))

    def _put(self, plan: ChangePlan, change: PathChange) -> None:
        if change.new is None:
            self._writer(plan).remove(change.path)
        else:
            data = self.store.read(change.new.oid)
            self._writer(plan).put(change.path, change.new, data, change.permissions)

    def _move_branch(self, plan: ChangePlan) -> None:
        present = self.read_branch(plan)
        if present == plan.new_commit:
            return
        if present != plan.old_commit:
            raise HeadMovedError(f"the branch {plan.branch} was moved meanwhile; nothing was changed")
        self.repository.set_ident(*read_identity(self.repository, self.disk.owner))  # signs the reflog
        reference = self.repository.references[BRANCH_PREFIX + plan.branch]
        reference.set_target(plan.new_commit, f"direng: {plan.run_id}")

    def _writer(self, plan: ChangePlan) -> DiskWriter:
        return DiskWriter(self.disk, plan.run_id)

    def _scratch(self, plan: ChangePlan) -> Path:
        return self.store.objects_dir.parent / f"index.{plan.run_id}"


def _check_same_index(present: bytes, expected: bytes) -> None:
    if present != expected:
        raise WorktreeChangedError("the index was changed meanwhile; nothing was applied, try again")


def check_index_entries(repository: pygit2.Repository, plan: ChangePlan) -> None:
    """Raise WorktreeChangedError unless the index holds what the plan expects."""
    present = read_index(repository)
    for change in plan.index:
        row = present.get(change.path)
        if (None if row is None else row.entry) != change.old:
            raise WorktreeChangedError(f"{change.path!r} was staged anew since the accept; nothing was changed")
