"""What we read from the user's git directory: HEAD, index with its flags, ignore rules, identity."""

import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pygit2
from pygit2.enums import RepositoryState
from pygit2.ffi import C, ffi

from services.edits.errors import (
    DetachedHeadError,
    EmptyRepositoryError,
    GitFailedError,
    OperationInProgressError,
    UnreadablePathError,
    UnsupportedRepositoryError,
)
from services.edits.owner import Owner, acting_as
from services.edits.paths import decode_name
from services.edits.tree import TreeEntry
from services.kernel.ids import GitOid

_STAGE_SHIFT = 12
_STAGE_MASK = 0x3
_ASSUME_UNCHANGED = 0x8000
_SKIP_WORKTREE = 1 << 14
BRANCH_PREFIX = "refs/heads/"


@dataclass(frozen=True)
class Head:
    """The branch that is checked out, and its commit."""

    branch: str
    commit: GitOid
    tree: GitOid


@dataclass(frozen=True, slots=True)
class IndexRow:
    """One entry of the user's index; `is_kept` means that git itself ignores what is on disk (sparse checkout)."""

    entry: TreeEntry
    is_kept: bool


@contextmanager
def open_user_git(git_dir: Path, owner: Owner) -> Iterator[pygit2.Repository]:
    """Open the user's repository with its owner's rights for the length of the block; foreign errors become ours."""
    with acting_as(owner):
        try:
            repository = pygit2.Repository(str(git_dir))
        except pygit2.GitError as error:
            raise UnsupportedRepositoryError(f"cannot open {git_dir}: {error}") from error
        try:
            yield repository
        except PermissionError as error:
            name = error.filename or error
            raise UnreadablePathError(f"no permission for {name}: the repository's owner needs it") from error
        except (pygit2.GitError, OSError) as error:
            raise GitFailedError(f"git refused: {error}; free what is in the way and try again") from error
        finally:
            repository.free()


def read_head(repository: pygit2.Repository) -> Head:
    """Return the checked-out branch; raise EmptyRepositoryError or DetachedHeadError."""
    if repository.head_is_detached:
        raise DetachedHeadError("HEAD is on no branch; check one out (`git switch -c NAME`) and try again")
    if repository.head_is_unborn:
        raise EmptyRepositoryError("the repository has no commit yet; make a first one (`git commit`) and try again")
    reference = repository.head
    commit = reference.peel(pygit2.Commit)
    return Head(reference.name.removeprefix(BRANCH_PREFIX), GitOid(str(commit.id)), GitOid(str(commit.tree_id)))


def check_idle(repository: pygit2.Repository) -> None:
    """Raise OperationInProgressError when a merge, rebase or the like is unfinished."""
    state = repository.state()
    if state != RepositoryState.NONE:
        raise OperationInProgressError(
            f"a {state.name.lower()} is unfinished in this repository; finish or abort it first"
        )
    if any(_stage(row) for row in _raw_rows(repository)):
        raise OperationInProgressError("the index has unmerged files; resolve them (`git status` lists them) first")


def read_index(repository: pygit2.Repository) -> dict[str, IndexRow]:
    """Return the user's index; of an unmerged file, our side (or the first there is)."""
    rows: dict[str, IndexRow] = {}
    for row in _raw_rows(repository):
        path = decode_name(ffi.string(row.path))
        if path in rows and _stage(row) != 2:  # noqa: PLR2004 - git numbers the sides: 1 base, 2 ours, 3 theirs
            continue
        is_kept = bool(row.flags & _ASSUME_UNCHANGED) or bool(row.flags_extended & _SKIP_WORKTREE)
        oid = GitOid(bytes(ffi.buffer(row.id.id)).hex()[:40])
        rows[path] = IndexRow(TreeEntry(row.mode, oid), is_kept)
    return rows


def _raw_rows(repository: pygit2.Repository) -> "Iterator[ffi.CData]":
    # pygit2's IndexEntry shows neither the stage nor the skip-worktree bit; the C struct has both.
    try:
        index = repository.index
        index.read(force=True)
    except (pygit2.GitError, OSError) as error:
        raise UnsupportedRepositoryError(
            f"cannot read the index ({error}); split and sparse indexes are not supported: `git update-index "
            "--no-split-index`, `git sparse-checkout disable`"
        ) from error
    for position in range(len(index)):
        yield C.git_index_get_byindex(index._index, position)  # noqa: SLF001


def _stage(row: "ffi.CData") -> int:
    return int(row.flags >> _STAGE_SHIFT) & _STAGE_MASK


def is_ignored(repository: pygit2.Repository, path: str) -> bool:
    """Return whether the user's ignore rules cover `path` (a folder ends with a slash)."""
    try:
        return bool(repository.path_is_ignored(path))
    except UnicodeEncodeError:
        # libgit2's Python face takes UTF-8 only; such a name counts as not ignored, so nothing is lost.
        return False


def read_flag(repository: pygit2.Repository, name: str, *, default: bool) -> bool:
    """Return a boolean of the user's git configuration."""
    try:
        return repository.config.get_bool(name)
    except (KeyError, ValueError):
        return default


def read_identity(repository: pygit2.Repository, owner: Owner) -> tuple[str, str]:
    """Return (name, email) from the repository's configuration or its owner's, else DirEng's own."""
    name, email = _configured(repository.config)
    if name and email:
        return name, email
    for file in _global_files(owner):
        if file.is_file():
            config = pygit2.Config(str(file))
            more_name, more_email = _configured(config)
            name, email = name or more_name, email or more_email
    return (name, email) if name and email else ("DirEng", "direng@localhost")


def _configured(config: pygit2.Config) -> tuple[str, str]:
    values = []
    for key in ("user.name", "user.email"):
        try:
            value = str(config[key])
        except (KeyError, ValueError, pygit2.GitError):
            value = ""
        # git strips these from identities; in a commit object they would break the header
        values.append("".join(char for char in value if char not in "<>\n\0").strip())
    return values[0], values[1]


def _global_files(owner: Owner) -> tuple[Path, ...]:
    try:
        home = Path(pwd.getpwuid(owner.uid).pw_dir)
    except KeyError:
        return ()
    return home / ".gitconfig", home / ".config" / "git" / "config"
