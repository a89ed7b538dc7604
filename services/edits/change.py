"""A planned change of a user's repository: what every layer holds before and after."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Self

from services.edits.models import Json
from services.edits.tree import TreeEntry
from services.kernel.ids import GitOid, RunId


@dataclass(frozen=True)
class PathChange:
    """One path of one layer; None means absent. `permissions` are those of the file that was there before."""

    path: str
    old: TreeEntry | None
    new: TreeEntry | None
    permissions: int | None = None

    def turned_back(self) -> "PathChange":
        """Return the change that takes this one back."""
        return replace(self, old=self.new, new=self.old)

    @classmethod
    def from_json(cls, body: Mapping[str, object]) -> Self:
        """Rebuild from JSON."""
        permissions = body["permissions"]
        return cls(
            str(body["path"]),
            _entry(body["old"]),
            _entry(body["new"]),
            int(str(permissions)) if permissions is not None else None,
        )


@dataclass(frozen=True)
class ChangePlan:
    """All that accept (or undo) changes: files on disk, index entries, and the branch."""

    run_id: RunId
    repo_root: str
    branch: str
    old_commit: GitOid
    new_commit: GitOid
    files: tuple[PathChange, ...]
    index: tuple[PathChange, ...]

    def turned_back(self) -> "ChangePlan":
        """Return the plan that undoes this one."""
        return replace(
            self,
            old_commit=self.new_commit,
            new_commit=self.old_commit,
            files=tuple(change.turned_back() for change in self.files),
            index=tuple(change.turned_back() for change in self.index),
        )

    def to_json(self) -> dict[str, Json]:
        """Return a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, body: Mapping[str, object]) -> Self:
        """Rebuild from `to_json`."""
        return cls(
            run_id=RunId(str(body["run_id"])),
            repo_root=str(body["repo_root"]),
            branch=str(body["branch"]),
            old_commit=GitOid(str(body["old_commit"])),
            new_commit=GitOid(str(body["new_commit"])),
            files=_changes(body["files"]),
            index=_changes(body["index"]),
        )


def _changes(value: object) -> tuple[PathChange, ...]:
    if not isinstance(value, list | tuple):
        raise TypeError(f"expected a list of changes, got {type(value).__name__}")
    return tuple(PathChange.from_json(item) for item in value)


def _entry(value: object) -> TreeEntry | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise TypeError(f"expected a tree entry, got {type(value).__name__}")
    return TreeEntry(int(value["mode"]), GitOid(str(value["oid"])))
