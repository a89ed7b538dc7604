"""Bring a run's result into the user's repository as a branch; HEAD, index and working tree stay as they are."""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import pygit2

from services.edits.errors import BranchExistsError
from services.edits.lines import fit_line_endings
from services.edits.merge import FlatMerge, merge_entries
from services.edits.models import Publication, Snapshot
from services.edits.objects import ObjectKind, ObjectStore, write_object
from services.edits.owner import Owner
from services.edits.tree import MODE_GITLINK, Tree, parse_tree, read_tree, write_tree
from services.edits.user_git import BRANCH_PREFIX, read_identity
from services.kernel.errors import InvalidRequestError
from services.kernel.ids import GitOid, RunId

_MODE_TREE = 0o040000


def apply_to_layer(
    store: ObjectStore, snapshot: Tree, result: Tree, layer: Tree, untracked: frozenset[str]
) -> FlatMerge:
    """Return `layer` with the run's hunks (snapshot to result) applied.

    Files that were untracked at the snapshot count only where the layer has them.
    """
    changed = {path for path in snapshot.keys() | result.keys() if snapshot.get(path) != result.get(path)}
    changed = {path for path in changed if path not in untracked or path in layer}
    base = {path: snapshot[path] for path in changed if path in snapshot}
    theirs = {path: result[path] for path in changed if path in result}
    fit_line_endings(store, base, theirs, layer)
    return merge_entries(store, base, layer, theirs)


class Publisher:
    """Writes into one user repository, with its owner's rights (the caller holds owner.acting_as)."""

    def __init__(self, repository: pygit2.Repository, objects_dir: Path, store: ObjectStore, owner: Owner) -> None:
        self._repository = repository
        self._objects_dir = objects_dir
        self._store = store
        self._owner = owner

    def publish(
        self, run_id: RunId, snapshot: Snapshot, result_tree: GitOid, message: str, moment: datetime
    ) -> Publication:
        """Return the publication (see UserRepository.publish)."""
        if not pygit2.reference_is_valid_name(f"{BRANCH_PREFIX}direng/{run_id}"):
            raise InvalidRequestError(f"{run_id!r} cannot be part of a branch name")
        for name, tree in (("snapshot", snapshot.snapshot_tree), ("result", result_tree)):
            self.copy_tree(tree)
            self._repository.references.create(f"refs/direng/{run_id}/{name}", tree, force=True)
        before, after = read_tree(self._store, snapshot.snapshot_tree), read_tree(self._store, result_tree)
        head = read_tree(self._store, snapshot.base_tree)
        untracked = frozenset(snapshot.untracked_paths)
        merged = apply_to_layer(self._store, before, after, head, untracked)
        left_out = tuple(sorted(path for path in untracked if before.get(path) != after.get(path)))
        if merged.conflicts:
            return Publication(run_id, None, None, False, tuple(sorted(merged.conflicts)), left_out)
        tree = write_tree(self._store, merged.entries)
        commit = self._make_branch(f"direng/{run_id}", snapshot.head_commit, tree, message, moment)
        return Publication(run_id, f"direng/{run_id}", commit, True, (), left_out)

    def _make_branch(self, branch: str, parent: GitOid, tree: GitOid, message: str, moment: datetime) -> GitOid:
        present = self._repository.references.get(BRANCH_PREFIX + branch)
        if present is not None:
            commit = present.peel(pygit2.Commit)
            if str(commit.tree_id) == tree and [str(oid) for oid in commit.parent_ids] == [parent]:
                return GitOid(str(commit.id))
            raise BranchExistsError(f"the branch {branch} holds other work; rename or delete it and publish again")
        oid = self.write_commit(tree, parent, message, moment)
        self._repository.set_ident(*read_identity(self._repository, self._owner))  # signs the reflog
        self._repository.create_reference(BRANCH_PREFIX + branch, oid, message=f"direng: publish {branch}")
        return oid

    def write_commit(self, tree: GitOid, parent: GitOid, message: str, moment: datetime) -> GitOid:
        """Write a commit of `tree` (copied into the user's repository) on `parent`; return its id. Moves no branch."""
        self.copy_tree(tree)
        name, email = read_identity(self._repository, self._owner)
        stamp = f"{name} <{email}> {int(moment.timestamp())} {moment.strftime('%z') or '+0000'}"
        text = f"tree {tree}\nparent {parent}\nauthor {stamp}\ncommitter {stamp}\n\n{message.rstrip()}\n"
        return self._write("commit", text.encode("utf-8", "surrogateescape"))

    def copy_tree(self, tree: GitOid) -> None:
        """Copy what the user's repository lacks of a tree, children before parents."""
        if tree in self._repository.odb:
            return
        data = self._store.read(tree)
        for _name, mode, oid in parse_tree(data):
            if mode == _MODE_TREE:
                self.copy_tree(oid)
            elif mode != MODE_GITLINK and oid not in self._repository.odb:
                self._write("blob", self._store.read(oid))
        self._write("tree", data)

    def copy_blobs(self, oids: Iterable[GitOid]) -> None:
        """Copy the blobs that the user's repository lacks."""
        for oid in oids:
            if oid not in self._repository.odb:
                self._write("blob", self._store.read(oid))

    def _write(self, kind: ObjectKind, data: bytes) -> GitOid:
        return write_object(self._objects_dir, kind, data, is_durable=True)
