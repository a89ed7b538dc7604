"""The vocabulary of edits: frozen values, each with a JSON form that round-trips (surrogate-escaped names included)."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Self, TypeAlias

from services.kernel.ids import GitOid, RunId

Json: TypeAlias = Mapping[str, "Json"] | Sequence["Json"] | str | int | bool | None


class DropReason(StrEnum):
    """Why a path was left out of a tree."""

    NESTED_GIT = "nested_git"  # a .git of a lane, or a repository inside the repository
    SPECIAL_FILE = "special_file"  # socket, fifo, device
    TOO_LARGE = "too_large"
    IGNORED = "ignored"
    IN_SUBMODULE = "in_submodule"


@dataclass(frozen=True)
class DroppedPath:
    """A path that was left out, and why."""

    path: str
    reason: DropReason


@dataclass(frozen=True)
class Snapshot:
    """The user's tree at one moment: HEAD, and what lay on disk (tracked changes, deletions, untracked files).

    `dirty_paths` differ from HEAD (in the index or on disk) and are tracked; `untracked_paths` are in the snapshot
    but not in git; `left_out` are untracked paths that are in neither.
    """

    repo_root: str
    branch: str
    head_commit: GitOid
    base_tree: GitOid
    snapshot_tree: GitOid
    dirty_paths: tuple[str, ...]
    untracked_paths: tuple[str, ...]
    left_out: tuple[DroppedPath, ...] = ()

    def to_json(self) -> dict[str, Json]:
        """Return a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, body: Mapping[str, object]) -> Self:
        """Rebuild from `to_json`, also after a trip through JSON text."""
        return cls(
            repo_root=str(body["repo_root"]),
            branch=str(body["branch"]),
            head_commit=GitOid(str(body["head_commit"])),
            base_tree=GitOid(str(body["base_tree"])),
            snapshot_tree=GitOid(str(body["snapshot_tree"])),
            dirty_paths=_strings(body["dirty_paths"]),
            untracked_paths=_strings(body["untracked_paths"]),
            left_out=_dropped(body.get("left_out", ())),
        )


@dataclass(frozen=True)
class ImportedTree:
    """A directory read into the store: its tree, and what was left out."""

    tree: GitOid
    dropped: tuple[DroppedPath, ...]


@dataclass(frozen=True)
class MergeResult:
    """A merged tree, or the paths on which both sides disagree (exactly one of the two)."""

    tree: GitOid | None
    conflicts: tuple[str, ...]


class ChangeStatus(StrEnum):
    """What happened to a file."""

    ADDED = "added"
    MODIFIED = "modified"
    DELETED = "deleted"
    RENAMED = "renamed"
    RETYPED = "retyped"


@dataclass(frozen=True)
class FileChange:
    """One changed file; `added` and `deleted` count lines (both 0 when `is_binary`); `old_path` of a rename."""

    path: str
    status: ChangeStatus
    added: int
    deleted: int
    is_binary: bool = False
    old_path: str | None = None


@dataclass(frozen=True)
class TreeDiff:
    """A unified diff that `git apply` takes (binary files as git binary patches), and its files in path order."""

    patch: str
    files: tuple[FileChange, ...]


@dataclass(frozen=True)
class Publication:
    """A run's result in the user's repository.

    `branch` and `commit` are None when the run's hunks do not fit on HEAD's tree (`conflicts` says where); the result
    is then kept under `refs/direng/<run_id>/result` only. `left_out` are files the run changed that git does not
    track: they are in the result, never in the branch.
    """

    run_id: RunId
    branch: str | None
    commit: GitOid | None
    is_on_head: bool
    conflicts: tuple[str, ...]
    left_out: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Json]:
        """Return a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, body: Mapping[str, object]) -> Self:
        """Rebuild from `to_json`, also after a trip through JSON text."""
        branch, commit = body["branch"], body["commit"]
        return cls(
            run_id=RunId(str(body["run_id"])),
            branch=None if branch is None else str(branch),
            commit=None if commit is None else GitOid(str(commit)),
            is_on_head=bool(body["is_on_head"]),
            conflicts=_strings(body["conflicts"]),
            left_out=_strings(body.get("left_out", ())),
        )


@dataclass(frozen=True)
class Acceptance:
    """A run that became part of the user's branch; `commit` is None when only untracked files changed."""

    run_id: RunId
    branch: str
    commit: GitOid | None
    paths: tuple[str, ...]

    def to_json(self) -> dict[str, Json]:
        """Return a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, body: Mapping[str, object]) -> Self:
        """Rebuild from `to_json`, also after a trip through JSON text."""
        commit = body["commit"]
        return cls(
            run_id=RunId(str(body["run_id"])),
            branch=str(body["branch"]),
            commit=None if commit is None else GitOid(str(commit)),
            paths=_strings(body["paths"]),
        )


@dataclass(frozen=True)
class Restoration:
    """What `restore_snapshot` did; `before` is a snapshot of the state it replaced, so that it can be taken back."""

    before: Snapshot
    written: tuple[str, ...]
    removed: tuple[str, ...]


def _strings(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise TypeError(f"expected a list of paths, got {type(value).__name__}")
    return tuple(str(item) for item in value)


def _dropped(value: object) -> tuple[DroppedPath, ...]:
    if not isinstance(value, list | tuple):
        raise TypeError(f"expected a list of dropped paths, got {type(value).__name__}")
    return tuple(DroppedPath(str(item["path"]), DropReason(item["reason"])) for item in value)
