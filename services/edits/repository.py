"""A user's repository and the server's store beside it: the one door to everything in this library.

All methods block (git and disk); call them through services.kernel.db.in_thread. An instance holds paths only, so any
number of threads may use it.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pygit2
from pygit2.enums import ConfigLevel

from services.edits.accept import AcceptPlanner
from services.edits.apply import PlanRunner, check_index_entries
from services.edits.capture import FolderCapture
from services.edits.diff import diff_entries
from services.edits.disk import Disk
from services.edits.errors import (
    AlreadyAcceptedError,
    BareRepositoryError,
    NotARepositoryError,
    NothingToUndoError,
    OperationInProgressError,
    UnsupportedRepositoryError,
)
from services.edits.export import export_tree
from services.edits.journal import AcceptJournal, JournalRecord, JournalState
from services.edits.lock import holding_lock
from services.edits.merge import merge_entries
from services.edits.models import Acceptance, ImportedTree, MergeResult, Publication, Restoration, Snapshot, TreeDiff
from services.edits.objects import ObjectStore
from services.edits.owner import Owner, acting_as, is_foreign
from services.edits.publish import Publisher
from services.edits.recovery import Recovery, RecoveryOutcome, recover_record
from services.edits.restore import restore_snapshot
from services.edits.snapshot import take_snapshot
from services.edits.tree import read_tree, write_tree
from services.edits.user_git import check_idle, is_ignored, open_user_git, read_head
from services.kernel.errors import PlatformError
from services.kernel.ids import GitOid, RunId


@dataclass(frozen=True)
class UserRepository:
    """Where things are: the working tree, its git directories, their owner, and the server's store."""

    root: Path
    git_dir: Path
    objects_dir: Path
    owner: Owner
    store_git_dir: Path

    def take_snapshot(self) -> Snapshot:
        """Return what is on disk now: tracked files as they are (also deletions), and untracked files not ignored.

        Content is kept byte for byte: no filter, no line-ending conversion. Symlinks stay links, submodules gitlinks.
        Untracked files over 50 MB and repositories inside the repository are left out and listed. Nothing in the
        user's repository changes. Raises EmptyRepositoryError, DetachedHeadError, UnreadablePathError. Reads every
        file once: about 1 s for 10,000 files.
        """
        with self._open() as repository:
            return take_snapshot(repository, self._disk(), self.open_store())

    def export_tree(self, tree: GitOid, destination: Path) -> int:
        """Write a tree's files into a new or empty folder, owned by the server; return the number of files.

        Raises UnsafePathError before anything is written when the tree holds `..` or `.git` components.
        """
        store = self.open_store()
        return export_tree(store, read_tree(store, tree), destination)

    def import_tree(self, directory: Path, like: GitOid) -> ImportedTree:
        """Read a folder that a lane has written; return its tree and what was left out.

        `like` is the tree it was exported from: its paths are taken whatever the ignore rules say, new paths only if
        the user's rules do not ignore them. No symlink is followed, no special file opened; `.git` at any level,
        sockets, fifos, devices and tool caches are dropped. Raises TreeTooLargeError, UnreadablePathError.
        """
        store = self.open_store()
        disk = Disk(directory, Owner(os.geteuid(), os.getegid()))
        with self._open() as repository:
            known = read_tree(store, like)

            def is_left(path: str) -> bool:
                with acting_as(self.owner):
                    return is_ignored(repository, path)

            return FolderCapture(disk, store, known, is_left).run()

    def merge_trees(self, base: GitOid, ours: GitOid, theirs: GitOid) -> MergeResult:
        """Apply the changes from `base` to `theirs` onto `ours`; pure, writes to the store only."""
        store = self.open_store()
        merged = merge_entries(store, read_tree(store, base), read_tree(store, ours), read_tree(store, theirs))
        if merged.conflicts:
            return MergeResult(None, tuple(sorted(merged.conflicts)))
        return MergeResult(write_tree(store, merged.entries), ())

    def diff_trees(self, old: GitOid, new: GitOid) -> TreeDiff:
        """Return the changes from `old` to `new`; no filter, textconv or external tool is run."""
        store = self.open_store()
        return diff_entries(store, read_tree(store, old), read_tree(store, new))

    def publish(
        self, run_id: RunId, snapshot: Snapshot, result_tree: GitOid, title: str, body: str, *, moment: datetime
    ) -> Publication:
        """Commit the run's own hunks on the snapshot's HEAD as branch `direng/<run_id>`; keep base and result alive.

        Only what the run changed (result against snapshot) goes into the commit, never the user's uncommitted edits.
        Where the two overlap there is no branch and `conflicts` lists the paths. Publishing again returns the same
        commit. `moment` (aware) is the commit's time. Raises BranchExistsError.
        """
        message = f"{title}\n\n{body}" if body else title
        with self.locked(), self._open() as repository:
            publisher = Publisher(repository, self.objects_dir, self.open_store(), self.owner)
            return publisher.publish(run_id, snapshot, result_tree, message, moment)

    def accept(
        self,
        run_id: RunId,
        snapshot: Snapshot,
        result_tree: GitOid,
        message: str,
        journal: AcceptJournal,
        *,
        moment: datetime,
    ) -> Acceptance:
        """Make the run's own hunks part of the user's branch, index and files (invariant 12), or change nothing.

        The new commit on the current branch holds HEAD plus the run's hunks; staged and unstaged edits of the user stay
        as they are, uncommitted. Files untracked at the snapshot change on disk only. No hook runs. Survives kill -9:
        `recover` completes or takes back. Raises MergeConflictError, WorktreeChangedError, HeadMovedError,
        OperationInProgressError, IndexLockedError, AlreadyAcceptedError, NothingToAcceptError.
        """
        with self.locked(), self._open() as repository:
            known = journal.read(run_id)
            if known is not None and known.state.is_pending:
                raise OperationInProgressError(
                    f"an interrupted accept or undo of {run_id} waits for recovery; restart the server first"
                )
            if known is not None and known.state is not JournalState.UNDONE:
                raise AlreadyAcceptedError(f"{run_id} was accepted before; `undo` it first to accept it again")
            runner = self._runner(repository, journal)
            publisher = Publisher(repository, self.objects_dir, runner.store, self.owner)
            planner = AcceptPlanner(repository, runner.disk, runner.store, publisher)
            plan = planner.plan(run_id, snapshot, result_tree, message, moment)
            runner.start(plan, JournalState.ACCEPTING, plan)
        commit = None if plan.new_commit == plan.old_commit else plan.new_commit
        return Acceptance(run_id, plan.branch, commit, tuple(change.path for change in plan.files))

    def undo(self, run_id: RunId, journal: AcceptJournal) -> Acceptance:
        """Take an accepted run back: branch, index entries and files as they were before; return what it was.

        Only if nothing touched them since, else raises with nothing changed: HeadMovedError, WorktreeChangedError.
        Later edits in other files stay. Raises NothingToUndoError for a run that is not accepted.
        """
        with self.locked(), self._open() as repository:
            known = journal.read(run_id)
            if known is None or known.state is not JournalState.ACCEPTED:
                raise NothingToUndoError(f"{run_id} is not accepted; there is nothing to undo")
            plan = known.plan.turned_back()
            check_idle(repository)
            check_index_entries(repository, plan)
            self._runner(repository, journal).start(plan, JournalState.UNDOING, known.plan)
        commit = None if plan.new_commit == plan.old_commit else plan.old_commit
        return Acceptance(run_id, plan.branch, commit, tuple(change.path for change in plan.files))

    def recover(self, record: JournalRecord, journal: AcceptJournal) -> Recovery:
        """Bring one interrupted accept or undo to its end or back to its start."""
        with self.locked(), self._open() as repository:
            return recover_record(self._runner(repository, journal), record)

    def restore_snapshot(self, snapshot: Snapshot, *, is_exact: bool = False) -> Restoration:
        """Bring the files of a snapshot back byte for byte (HEAD and the index stay as they are).

        Files that are not in the snapshot stay, unless `is_exact`: then those that git does not ignore are removed.
        The state before is taken as a snapshot first and returned, so that nothing is ever lost.
        """
        with self.locked(), self._open() as repository:
            return restore_snapshot(repository, self._disk(), self.open_store(), snapshot, is_exact=is_exact)

    def read_head_commit(self) -> GitOid:
        """Return the commit that is checked out now."""
        with self._open() as repository:
            return read_head(repository).commit

    def open_store(self) -> ObjectStore:
        """Return a fresh handle on the server's object store, for one thread."""
        return ObjectStore.open(self.store_git_dir)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold this repository's write lock: one publish, accept or undo at a time, over all processes."""
        with holding_lock(self.store_git_dir / "direng.lock"):
            yield

    @contextmanager
    def _open(self) -> Iterator[pygit2.Repository]:
        with open_user_git(self.git_dir, self.owner) as repository:
            yield repository

    def _runner(self, repository: pygit2.Repository, journal: AcceptJournal) -> PlanRunner:
        return PlanRunner(repository, self._disk(), self.git_dir, self.open_store(), journal)

    def _disk(self) -> Disk:
        return Disk(self.root, self.owner)


def open_repository(path: Path, store_dir: Path) -> UserRepository:
    """Find the repository that `path` lies in and prepare its store below `store_dir`.

    A linked worktree or submodule checkout counts as its own repository root. Raises NotARepositoryError,
    BareRepositoryError, UnsupportedRepositoryError. A repository without a commit opens; a snapshot of it raises.
    """
    # The server may be root and the repository a user's: git's ownership check would refuse. What it protects from
    # (hooks, filters, fsmonitor of a hostile owner) never runs here: libgit2 starts no programs.
    pygit2.settings.owner_validation = False
    real = Path(os.path.realpath(path))
    found = pygit2.discover_repository(str(real)) if real.exists() else None
    if found is None:
        raise NotARepositoryError(f"{path} is in no git repository; run `git init` there or give another path")
    about = Path(found).stat()
    owner = Owner(about.st_uid, about.st_gid)
    if is_foreign(owner):
        # root's own git configuration is neither readable for the owner nor meant for them (process-wide, on purpose)
        for level in (ConfigLevel.GLOBAL, ConfigLevel.XDG):
            pygit2.settings.search_path[level] = ""
    root, objects_dir = _locate(Path(found), owner, path)
    return UserRepository(root, Path(found), objects_dir, owner, prepare_store(root, objects_dir, store_dir))


def _locate(git_dir: Path, owner: Owner, path: Path) -> tuple[Path, Path]:
    with open_user_git(git_dir, owner) as repository:
        if repository.is_bare or repository.workdir is None:
            raise BareRepositoryError(f"{path} is a bare repository; give a clone that has a working tree")
        root = Path(os.path.realpath(repository.workdir))
        common = _read_common_dir(git_dir)
    objects_dir = Path(os.path.realpath(common / "objects"))
    # core.worktree could point anywhere, also at folders the engineer never meant: the .git must be where we work.
    linked = pygit2.discover_repository(str(root))
    if linked is None or os.path.realpath(linked) != os.path.realpath(git_dir):
        raise UnsupportedRepositoryError(f"core.worktree of {git_dir} points elsewhere ({root}); unset it")
    if "\n" in str(objects_dir):
        raise UnsupportedRepositoryError("the path of the repository contains a line break; move it")
    return root, objects_dir


def _read_common_dir(git_dir: Path) -> Path:
    pointer = git_dir / "commondir"
    return git_dir / pointer.read_text().rstrip("\n") if pointer.is_file() else git_dir


def prepare_store(root: Path, objects_dir: Path, store_dir: Path) -> Path:
    """Return the bare store of the repository at `root`, made on first use, that also sees the user's objects."""
    name = hashlib.sha256(os.fsencode(root)).hexdigest()[:16]
    git_dir = store_dir / f"{name}.git"
    wanted = os.fsencode(objects_dir) + b"\n"
    alternates = git_dir / "objects" / "info" / "alternates"
    if alternates.exists() and alternates.read_bytes() == wanted:
        return git_dir
    store_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with holding_lock(store_dir / f"{name}.lock"):
        _make_store(git_dir, alternates, wanted)
    return git_dir


def _make_store(git_dir: Path, alternates: Path, wanted: bytes) -> None:
    if not (git_dir / "HEAD").exists():
        pygit2.init_repository(str(git_dir), bare=True)
        git_dir.chmod(0o700)
    alternates.parent.mkdir(exist_ok=True)
    temporary = alternates.with_suffix(".new")
    temporary.write_bytes(wanted)
    temporary.replace(alternates)


def recover(journal: AcceptJournal, store_dir: Path) -> tuple[Recovery, ...]:
    """Complete or take back every accept and undo that a killed process left behind; call once at server start."""
    found = []
    for record in journal.list_pending():
        run_id = record.plan.run_id
        try:
            user = open_repository(Path(record.plan.repo_root), store_dir)
            found.append(user.recover(record, journal))
        except PlatformError as error:
            found.append(Recovery(run_id, RecoveryOutcome.BLOCKED, detail=error.detail))
    return tuple(found)
