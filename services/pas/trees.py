"""The engine's `Trees` port over the edits library: blocking git work in worker threads, one merge of many trees."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from services.edits import models as edits
from services.edits.errors import list_paths
from services.edits.graft import find_changes, graft, restore_folder
from services.edits.objects import ObjectStore
from services.edits.repository import UserRepository, open_repository
from services.kernel.db import in_thread
from services.kernel.ids import GitOid
from services.pas.core.ports import MergeConflictError, Published, TreeDiff
from services.pas.core.records import RunRecord, Snapshot


class RepositoryTrees:
    """Trees of users' repositories, kept beside them in one store folder of the server."""

    def __init__(self, store_dir: Path) -> None:
        self._store_dir = store_dir

    async def resolve(self, repo: str) -> str:
        return str((await self._open(repo)).root)

    async def take_snapshot(self, repo: str) -> Snapshot:
        repository = await self._open(repo)
        taken = await in_thread(repository.take_snapshot)
        return Snapshot(
            base_commit=taken.head_commit,
            base_branch=taken.branch,
            base_tree=taken.base_tree,
            tree=taken.snapshot_tree,
            dirty_paths=taken.dirty_paths,
            untracked_paths=taken.untracked_paths,
        )

    async def export(self, repo: str, tree: GitOid, folder: Path) -> None:
        repository = await self._open(repo)
        await in_thread(repository.export_tree, tree, folder)

    async def import_(self, repo: str, base: GitOid, folder: Path) -> GitOid:
        repository = await self._open(repo)
        return (await in_thread(repository.import_tree, folder, base)).tree

    async def patch(self, repo: str, base: GitOid, changes: Mapping[str, bytes | None]) -> GitOid:
        return await in_thread(lambda: graft(self._store_of(repo), base, changes))

    async def list_changes(self, repo: str, old: GitOid, new: GitOid) -> Mapping[str, bool]:
        changes = await in_thread(lambda: find_changes(self._store_of(repo), old, new))
        return {path: entry is not None for path, entry in changes.items()}

    async def restore(self, repo: str, folder: Path, old: GitOid, new: GitOid) -> None:
        await in_thread(lambda: restore_folder(self._store_of(repo), folder, old, new))

    async def merge(self, repo: str, base: GitOid, trees: Sequence[GitOid]) -> GitOid:
        distinct = [tree for tree in dict.fromkeys(trees) if tree != base]
        if not distinct:
            return base
        repository = await self._open(repo)
        merged = distinct[0]
        for tree in distinct[1:]:
            result = await in_thread(repository.merge_trees, base, merged, tree)
            if result.tree is None:
                raise MergeConflictError(f"two cards changed the same lines of {list_paths(result.conflicts)}")
            merged = result.tree
        return merged

    async def diff(self, repo: str, old: GitOid, new: GitOid) -> TreeDiff:
        repository = await self._open(repo)
        found = await in_thread(repository.diff_trees, old, new)
        return TreeDiff(
            patch=found.patch.encode("utf-8", "surrogateescape"),
            files=tuple(file.path for file in found.files),
            lines_added=sum(file.added for file in found.files),
            lines_deleted=sum(file.deleted for file in found.files),
        )

    async def publish(self, run: RunRecord, tree: GitOid, message: str) -> Published:
        repository = await self._open(run.repo)
        title, _, body = message.partition("\n\n")
        # The run's own start, not now: a repeated publish must make the same commit.
        moment = datetime.fromisoformat(run.created_at)
        published = await in_thread(
            repository.publish, run.run_id, _edits_snapshot(run), tree, title, body, moment=moment
        )
        return Published(published.branch or "", published.commit, _notes(published))

    def _store_of(self, repo: str) -> ObjectStore:
        return open_repository(Path(repo), self._store_dir).open_store()

    async def _open(self, repo: str) -> UserRepository:
        return await in_thread(open_repository, Path(repo), self._store_dir)


def _edits_snapshot(run: RunRecord) -> edits.Snapshot:
    snapshot = run.snapshot
    return edits.Snapshot(
        repo_root=run.repo,
        branch=snapshot.base_branch,
        head_commit=snapshot.base_commit,
        base_tree=snapshot.base_tree,
        snapshot_tree=snapshot.tree,
        dirty_paths=snapshot.dirty_paths,
        untracked_paths=snapshot.untracked_paths,
    )


def _notes(published: edits.Publication) -> tuple[str, ...]:
    notes = []
    if published.branch is None:
        overlap = list_paths(published.conflicts)
        notes.append(f"no branch: the result overlaps with uncommitted edits in {overlap}; the diff has it all")
    if published.left_out:
        notes.append(f"changed but not in the branch, because git does not track it: {list_paths(published.left_out)}")
    return tuple(notes)
