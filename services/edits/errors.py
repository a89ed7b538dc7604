"""What can go wrong between a run and the user's repository.

PlatformError
├── InvalidRequestError
│   ├── NotARepositoryError          edits.not_a_repository
│   ├── EmptyRepositoryError         edits.empty_repository
│   ├── BareRepositoryError          edits.bare_repository
│   ├── UnsupportedRepositoryError   edits.unsupported_repository
│   ├── UnsafePathError              edits.unsafe_path
│   └── NothingToAcceptError         edits.nothing_to_accept
├── ConflictError
│   ├── DetachedHeadError            edits.detached_head
│   ├── MergeConflictError           edits.merge_conflict
│   ├── HeadMovedError               edits.head_moved
│   ├── WorktreeChangedError         edits.worktree_changed
│   ├── OperationInProgressError     edits.operation_in_progress
│   ├── IndexLockedError             edits.index_locked
│   ├── BranchExistsError            edits.branch_exists
│   ├── AlreadyAcceptedError         edits.already_accepted
│   └── TextEditRefusedError         edits.text_refused (text_errors.py)
├── NotFoundError
│   ├── NothingToUndoError           edits.nothing_to_undo
│   └── MissingObjectError           edits.missing_object
├── ForbiddenError
│   └── UnreadablePathError          edits.unreadable_path
├── LimitExceededError
│   └── TreeTooLargeError            edits.tree_too_large
└── UnavailableError
    └── GitFailedError               edits.git_failed
"""

from services.kernel.errors import (
    ConflictError,
    ForbiddenError,
    InvalidRequestError,
    LimitExceededError,
    NotFoundError,
    UnavailableError,
)

_SHOWN_PATHS = 5


def list_paths(paths: tuple[str, ...]) -> str:
    """Return the first paths in one printable line, with the number of those left out."""
    shown = ", ".join(path.encode("unicode_escape").decode("ascii") for path in paths[:_SHOWN_PATHS])
    rest = len(paths) - _SHOWN_PATHS
    return f"{shown} and {rest} more" if rest > 0 else shown


class NotARepositoryError(InvalidRequestError):
    """The path lies in no git repository."""

    code = "edits.not_a_repository"


class EmptyRepositoryError(InvalidRequestError):
    """The repository has no commit yet."""

    code = "edits.empty_repository"


class BareRepositoryError(InvalidRequestError):
    """The repository has no working tree."""

    code = "edits.bare_repository"


class UnsupportedRepositoryError(InvalidRequestError):
    """The repository uses a feature that cannot be served safely."""

    code = "edits.unsupported_repository"


class UnsafePathError(InvalidRequestError):
    """A tree holds a path that would leave its folder or touch git's own."""

    code = "edits.unsafe_path"


class NothingToAcceptError(InvalidRequestError):
    """The run changed nothing."""

    code = "edits.nothing_to_accept"


class DetachedHeadError(ConflictError):
    """HEAD is on no branch."""

    code = "edits.detached_head"


class MergeConflictError(ConflictError):
    """The run's hunks overlap with other edits; `paths` says where."""

    code = "edits.merge_conflict"

    def __init__(self, detail: str, paths: tuple[str, ...] = ()) -> None:
        super().__init__(detail)
        self.paths = paths


class HeadMovedError(ConflictError):
    """HEAD is no longer where the snapshot was taken."""

    code = "edits.head_moved"


class WorktreeChangedError(ConflictError):
    """A file that would be written was changed meanwhile."""

    code = "edits.worktree_changed"


class OperationInProgressError(ConflictError):
    """The user is in the middle of a merge, rebase or the like."""

    code = "edits.operation_in_progress"


class IndexLockedError(ConflictError):
    """Another git process holds the index."""

    code = "edits.index_locked"


class BranchExistsError(ConflictError):
    """The run's branch exists with other content."""

    code = "edits.branch_exists"


class AlreadyAcceptedError(ConflictError):
    """The run was accepted before."""

    code = "edits.already_accepted"


class NothingToUndoError(NotFoundError):
    """No accepted run has this id."""

    code = "edits.nothing_to_undo"


class MissingObjectError(NotFoundError):
    """A git object is absent (a partial clone, or one that was pruned)."""

    code = "edits.missing_object"


class UnreadablePathError(ForbiddenError):
    """A file of the working tree cannot be read."""

    code = "edits.unreadable_path"


class TreeTooLargeError(LimitExceededError):
    """A directory is deeper or larger than the limits allow."""

    code = "edits.tree_too_large"


class GitFailedError(UnavailableError):
    """git or the disk below it refused; what was begun was taken back, or is completed by recovery."""

    code = "edits.git_failed"
