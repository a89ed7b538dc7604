"""The user's repository through the edits library; satisfies `core.ports.Worktree`. Git work runs in threads."""

from fnmatch import fnmatchcase
from pathlib import Path

import pygit2

from services.direng.core.ports import Merged, Whereabouts
from services.direng.protocol import NothingToAcceptError
from services.edits import errors as edits_errors
from services.edits.disk import Disk
from services.edits.journal import AcceptJournal, JournalState
from services.edits.models import Acceptance, Snapshot
from services.edits.paths import check_path
from services.edits.repository import UserRepository, open_repository, recover
from services.edits.tree import MODE_LINK
from services.kernel.clock import Clock
from services.kernel.db import in_thread
from services.kernel.ids import GitOid, RunId
from services.pas.models import Passport, RunView

MAX_MODIFIED = 1000
MAX_READ_BYTES = 1024 * 1024
NEVER_READ = (".env*", "*.pem", "*.key")
NEVER_ENTERED = frozenset({"secrets", ".git"})
"""What no prompt may hold, whatever the index found there."""


class GitWorktree:
    """Opens repositories with the store that the runs' trees are in (`store_dir`), and a crash journal."""

    def __init__(self, store_dir: Path, journal: AcceptJournal, clock: Clock) -> None:
        self._store_dir = store_dir
        self._journal = journal
        self._clock = clock

    async def locate(self, path: str) -> str:
        return await in_thread(self._locate, path)

    def _locate(self, path: str) -> str:
        repository = self._open(path)
        repository.read_head_commit()  # refuses an empty repository and a detached HEAD
        return str(repository.root)

    async def describe(self, repo: str) -> Whereabouts:
        return await in_thread(self._describe, repo)

    def _describe(self, repo: str) -> Whereabouts:
        snapshot = self._open(repo).take_snapshot()
        modified = (*snapshot.dirty_paths, *snapshot.untracked_paths)[:MAX_MODIFIED]
        return Whereabouts(snapshot.repo_root, snapshot.branch, modified)

    async def read_lines(self, repo: str, path: str) -> tuple[str, ...] | None:
        return await in_thread(self._read_lines, repo, path)

    def _read_lines(self, repo: str, path: str) -> tuple[str, ...] | None:
        check_path(path)
        *folders, name = path.split("/")
        if NEVER_ENTERED & set(folders) or any(fnmatchcase(name.lower(), pattern) for pattern in NEVER_READ):
            return None
        repository = self._open(repo)
        disk = Disk(repository.root, repository.owner)
        try:
            found = dict(disk.read_files("/".join(folders), [name], MAX_READ_BYTES)).get(name)
        except (OSError, edits_errors.UnreadablePathError):  # a folder on the way is gone, or nobody may read it
            return None
        if found is None or found.data is None or found.mode == MODE_LINK or b"\0" in found.data:
            return None
        return tuple(line.rstrip("\r") for line in found.data.decode("utf-8", "replace").split("\n"))

    async def accept(self, run: RunView, passport: Passport, message: str) -> Merged:
        return await in_thread(self._accept, run, passport, message)

    def _accept(self, run: RunView, passport: Passport, message: str) -> Merged:
        repository = self._open(run.repo)
        if passport.result_tree is None:
            raise NothingToAcceptError(f"run {run.run_id} has no result")
        snapshot = _rebuild_snapshot(repository, passport)
        try:
            done = repository.accept(
                run.run_id, snapshot, passport.result_tree, message, self._journal, moment=self._clock.now()
            )
        except edits_errors.NothingToAcceptError as error:
            raise NothingToAcceptError(error.detail) from error
        return _merged(done)

    async def undo(self, repo: str, run_id: RunId) -> Merged:
        return await in_thread(self._undo, repo, run_id)

    def _undo(self, repo: str, run_id: RunId) -> Merged:
        return _merged(self._open(repo).undo(run_id, self._journal))

    async def is_accepted(self, run_id: RunId) -> bool:
        record = await in_thread(self._journal.read, run_id)
        return record is not None and record.state is JournalState.ACCEPTED

    async def recover(self) -> tuple[str, ...]:
        found = await in_thread(recover, self._journal, self._store_dir)
        return tuple(f"{each.run_id}: {each.outcome.value} {each.detail}".strip() for each in found)

    def _open(self, repo: str) -> UserRepository:
        return open_repository(Path(repo), self._store_dir)


def _rebuild_snapshot(repository: UserRepository, passport: Passport) -> Snapshot:
    """Return the snapshot that the run was made from: its signed passport holds all of it."""
    commit = pygit2.Repository(str(repository.store_git_dir)).get(passport.base_commit)
    base_tree = GitOid(str(commit.peel(pygit2.Tree).id)) if commit is not None else GitOid("0" * 40)
    return Snapshot(
        repo_root=str(repository.root),
        branch=passport.base_branch,
        head_commit=passport.base_commit,
        base_tree=base_tree,
        snapshot_tree=passport.snapshot_tree,
        dirty_paths=passport.dirty_paths,
        untracked_paths=passport.untracked_paths,
    )


def _merged(done: Acceptance) -> Merged:
    return Merged(commit=done.commit or "", branch=done.branch, paths=done.paths)
