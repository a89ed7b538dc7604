"""After a crash: bring every accept or undo that was in flight to its end, or back to its start."""

from dataclasses import dataclass, replace
from enum import StrEnum

from services.edits.apply import PlanRunner
from services.edits.change import ChangePlan, PathChange
from services.edits.errors import DetachedHeadError
from services.edits.index_file import digest
from services.edits.journal import JournalRecord
from services.edits.tree import Tree
from services.edits.user_git import read_head, read_index
from services.kernel.ids import RunId


class RecoveryOutcome(StrEnum):
    """How an interrupted accept or undo ended."""

    COMPLETED = "completed"
    ROLLED_BACK = "rolled_back"
    ABANDONED = "abandoned"  # the user moved on meanwhile: nothing more was touched
    BLOCKED = "blocked"  # the repository cannot be used now; the next recovery tries again


@dataclass(frozen=True)
class Recovery:
    """What recovery did for one run; `kept` are files it left alone, `detail` says why where it is not obvious."""

    run_id: RunId
    outcome: RecoveryOutcome
    kept: tuple[str, ...] = ()
    detail: str = ""


def recover_record(runner: PlanRunner, record: JournalRecord) -> Recovery:
    """Finish or take back one interrupted plan."""
    plan = record.active_plan
    if not _is_in_place(runner, plan):
        runner.close(record)
        detail = f"{plan.branch} is no longer checked out where the change began; files are as they were found"
        return Recovery(plan.run_id, RecoveryOutcome.ABANDONED, runner.holds_new(plan), detail)
    if not record.state.is_final:
        kept = runner.roll_back(record)
        return Recovery(plan.run_id, RecoveryOutcome.ROLLED_BACK, kept)
    runner.finish(_relock(runner, record))
    return Recovery(plan.run_id, RecoveryOutcome.COMPLETED)


def _is_in_place(runner: PlanRunner, plan: ChangePlan) -> bool:
    try:
        head = read_head(runner.repository)
    except DetachedHeadError:
        return False
    return head.branch == plan.branch and head.commit in {plan.old_commit, plan.new_commit}


def _relock(runner: PlanRunner, record: JournalRecord) -> JournalRecord:
    """Make the index successor again if our lock is gone (somebody removed it, or it is in place already)."""
    plan = record.active_plan
    index = runner.index_file(plan)
    if index.is_locked_by_us(record.index_sha256):
        return record
    present = {path: row.entry for path, row in read_index(runner.repository).items()}
    missing = tuple(change for change in plan.index if _is_missing(change, present))
    if not missing:
        return record
    data = index.build(index.read(), missing, runner.store.objects_dir.parent / f"index.{plan.run_id}")
    renewed = replace(record, index_sha256=digest(data))
    runner.journal.write(renewed)
    index.lock(data)
    return renewed


def _is_missing(change: PathChange, present: Tree) -> bool:
    return present.get(change.path) == change.old
