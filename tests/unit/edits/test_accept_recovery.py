"""kill -9 after every single step of accept and undo: what is there afterwards is the old state or the new one."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from services.edits.errors import OperationInProgressError, WorktreeChangedError
from services.edits.journal import AcceptJournal, JournalState
from services.edits.recovery import RecoveryOutcome
from services.edits.repository import recover
from services.kernel.ids import RunId

RUN = RunId("run-1")
CHILD = Path(__file__).with_name("accept_child.py")
PROJECT = Path(__file__).parents[3]
MOST_STEPS = 100


def run_child(bench, action, step, snapshot=None, result=""):
    order = {
        "action": action,
        "step": step,
        "root": str(bench.root),
        "stores": str(bench.base / "stores"),
        "journal": str(bench.base / "journal"),
        "snapshot": snapshot.to_json() if snapshot else None,
        "result": result,
    }
    done = subprocess.run(
        [sys.executable, str(CHILD), json.dumps(order)],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join([str(PROJECT), *sys.path]),
            "HOME": str(bench.home),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in {0, -signal.SIGKILL}, done.stderr
    return done.returncode == 0


def prepare(bench):
    bench.write("numbers.txt", bench.root.joinpath("numbers.txt").read_text().replace("3\n", "staged\n", 1))
    bench.git("add", "numbers.txt")
    bench.write("notes.md", "mine\n")
    snapshot = bench.open().take_snapshot()
    text = bench.root.joinpath("numbers.txt").read_text().replace("30\n", "run\n")
    files = {"numbers.txt": text, "deep/er/new.py": "new\n", "src/other.py": None, "notes.md": "mine, improved\n"}
    return snapshot, bench.run(snapshot, files)


def test_kill_at_any_step_of_accept_and_undo_ends_in_the_old_state_or_the_new(bench):
    snapshot, result = prepare(bench)
    old = bench.state()
    bench.accept(snapshot, result)
    new = bench.state()
    bench.open().undo(RUN, bench.journal())
    assert bench.state() == old

    outcomes = {"accept": set(), "undo": set()}
    for action, start, end in (("accept", old, new), ("undo", new, old)):
        for step in range(1, MOST_STEPS):
            if bench.state() != start:  # the previous round went through
                if action == "accept":
                    bench.open().undo(RUN, bench.journal())
                else:
                    bench.accept(snapshot, result)
            assert bench.state() == start
            is_done = run_child(bench, action, step, snapshot, result)
            recovered = recover(bench.journal(), bench.base / "stores")
            outcomes[action].update(recovery.outcome for recovery in recovered)
            assert all(recovery.kept == () for recovery in recovered)
            assert bench.state() in (start, end), f"{action} killed at step {step}"
            if is_done:
                assert bench.state() == end
                break
        else:
            pytest.fail(f"{action} has more than {MOST_STEPS} steps")
        assert step > 30
    assert outcomes["accept"] == outcomes["undo"] == {RecoveryOutcome.COMPLETED, RecoveryOutcome.ROLLED_BACK}


def test_recovery_itself_may_be_killed_at_any_step(bench):
    snapshot, result = prepare(bench)
    old = bench.state()
    for step in range(1, MOST_STEPS):
        assert not run_child(bench, "accept", "file:notes.md", snapshot, result)
        is_done = run_child(bench, "recover", step)
        recover(bench.journal(), bench.base / "stores")
        assert bench.state() == old
        if is_done:
            return
    pytest.fail("recovery never ended")


def test_a_file_edited_after_the_crash_is_kept_and_named(bench):
    snapshot, result = prepare(bench)
    assert not run_child(bench, "accept", "file:deep/er/new.py", snapshot, result)
    bench.write("deep/er/new.py", "edited after the crash\n")
    (recovery,) = recover(bench.journal(), bench.base / "stores")
    assert recovery.outcome is RecoveryOutcome.ROLLED_BACK
    assert recovery.kept == ("deep/er/new.py",)
    assert bench.root.joinpath("deep/er/new.py").read_text() == "edited after the crash\n"
    assert bench.root.joinpath("src/other.py").exists()


def test_recovery_completes_even_if_somebody_removed_the_lock(bench):
    snapshot, result = prepare(bench)
    assert not run_child(bench, "accept", "journal:accepting_final", snapshot, result)
    bench.root.joinpath(".git/index.lock").unlink()
    (recovery,) = recover(bench.journal(), bench.base / "stores")
    assert recovery.outcome is RecoveryOutcome.COMPLETED
    assert bench.git("status", "--porcelain") == "M  numbers.txt\n?? notes.md\n"
    assert bench.journal().read(RUN).state is JournalState.ACCEPTED


def test_recovery_after_the_user_moved_on_touches_nothing(bench):
    snapshot, result = prepare(bench)
    assert not run_child(bench, "accept", "journal:accepting_final", snapshot, result)
    bench.root.joinpath(".git/index.lock").unlink()
    bench.git("commit", "-q", "--allow-empty", "-m", "moved on")
    before = bench.state()
    (recovery,) = recover(bench.journal(), bench.base / "stores")
    assert recovery.outcome is RecoveryOutcome.ABANDONED
    assert "numbers.txt" in recovery.kept
    assert bench.state() == before
    assert recover(bench.journal(), bench.base / "stores") == ()


def test_recovery_on_a_detached_head_touches_nothing(bench):
    snapshot, result = prepare(bench)
    assert not run_child(bench, "accept", "file:notes.md", snapshot, result)
    bench.root.joinpath(".git/index.lock").unlink()
    bench.git("checkout", "-q", "--detach")
    notes = bench.root.joinpath("notes.md").read_text()
    (recovery,) = recover(bench.journal(), bench.base / "stores")
    assert recovery.outcome is RecoveryOutcome.ABANDONED
    assert bench.root.joinpath("notes.md").read_text() == notes == "mine, improved\n"


def test_recovery_waits_while_git_holds_the_index(bench):
    snapshot, result = prepare(bench)
    assert not run_child(bench, "accept", "journal:accepting_final", snapshot, result)
    bench.write(".git/index.lock", "somebody else's")
    with pytest.raises(OperationInProgressError, match="recovery"):
        bench.accept(snapshot, result)
    (recovery,) = recover(bench.journal(), bench.base / "stores")
    assert recovery.outcome is RecoveryOutcome.BLOCKED
    bench.root.joinpath(".git/index.lock").unlink()
    (recovery,) = recover(bench.journal(), bench.base / "stores")
    assert recovery.outcome is RecoveryOutcome.COMPLETED
    assert bench.git("status", "--porcelain") == "M  numbers.txt\n?? notes.md\n"


class EditAt:
    """Edits a file of the user's at a step, as an editor that saves in the middle of an accept does."""

    def __init__(self, file, name):
        self.file, self.name = file, name

    def reach(self, name):
        if name == self.name:
            self.file.write_text("saved meanwhile\n")


def test_file_saved_in_the_middle_of_an_accept_rolls_everything_else_back(bench):
    snapshot, result = prepare(bench)
    journal = AcceptJournal(bench.base / "journal", EditAt(bench.root / "numbers.txt", "file:deep/er/new.py"))
    before = bench.state()
    with pytest.raises(WorktreeChangedError, match=r"numbers\.txt"):
        bench.accept(snapshot, result, journal)
    assert bench.root.joinpath("numbers.txt").read_text() == "saved meanwhile\n"
    bench.git("checkout-index", "-f", "numbers.txt")
    assert bench.state() == before


class LinkAt(EditAt):
    """Replaces a folder by a link that leads out of the repository."""

    def reach(self, name):
        if name == self.name:
            self.file.rename(self.file.with_name("moved"))
            self.file.symlink_to(self.file.parents[1] / "outside")


def test_folder_replaced_by_a_link_in_the_middle_of_an_accept_leads_nowhere(bench):
    outside = bench.base / "outside"
    outside.mkdir()
    outside.joinpath("other.py").write_bytes(bench.root.joinpath("src/other.py").read_bytes())
    snapshot, result = prepare(bench)
    journal = AcceptJournal(bench.base / "journal", LinkAt(bench.root / "src", "index:locked"))
    with pytest.raises(WorktreeChangedError):
        bench.accept(snapshot, result, journal)
    assert outside.joinpath("other.py").exists()
    assert bench.head() == snapshot.head_commit
