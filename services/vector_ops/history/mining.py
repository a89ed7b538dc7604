"""Commits read out of a git repository: their words, and the paths they changed. No process is started."""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

import pygit2
from pygit2.enums import DeltaStatus, DiffOption

MAX_PATHS: Final = 50
"""A commit that changes more says nothing about any one file: it keeps its words' place in time, but no paths."""

_MAX_MESSAGE_LENGTH = 4_000
_TRAILER = re.compile(
    r"^(?:[A-Z][\w-]*-by|Change-Id|git-svn-id|Reviewed-on|See also|PiperOrigin-RevId):.*$", re.MULTILINE
)


class MinedCommit(NamedTuple):
    """One commit against its first parent; `renames` are (old, new) paths of files whose content stayed the same."""

    sha: str
    parent_sha: str
    time_s: int
    message: str
    path_count: int
    paths: tuple[str, ...]
    renames: tuple[tuple[str, str], ...]


def mine_commit(repository: pygit2.Repository, commit: pygit2.Commit) -> MinedCommit:
    """Return what a commit changed; the first commit of all, and one whose parent is not there, changed nothing."""
    parent = _first_parent(repository, commit)
    message = _TRAILER.sub("", _read_message(commit))[:_MAX_MESSAGE_LENGTH]
    made = MinedCommit(str(commit.id), str(parent.id) if parent else "", commit.commit_time, message, 0, (), ())
    if parent is None:
        return made
    diff = parent.tree.diff_to_tree(commit.tree, flags=DiffOption.SKIP_BINARY_CHECK, context_lines=0)
    deltas = list(diff.deltas) if len(diff) <= 4 * MAX_PATHS else []
    renames = tuple(_match_renames(deltas))
    old_names = {old for old, _new in renames}
    paths = sorted({path for path in map(_path_of, deltas) if path not in old_names})
    kept = tuple(paths) if 0 < len(paths) <= MAX_PATHS else ()
    return made._replace(path_count=len(diff), paths=kept, renames=renames)


def _first_parent(repository: pygit2.Repository, commit: pygit2.Commit) -> pygit2.Commit | None:
    return find_commit(repository, str(commit.parent_ids[0])) if commit.parent_ids else None


def find_commit(repository: pygit2.Repository, sha: str) -> pygit2.Commit | None:
    """Return a commit; nothing when it is not there (a shallow clone ends somewhere)."""
    try:
        return repository[sha].peel(pygit2.Commit)
    except (KeyError, ValueError, pygit2.InvalidSpecError):
        return None


def _read_message(commit: pygit2.Commit) -> str:
    return commit.raw_message.decode("utf-8", "replace")


def _path_of(delta: pygit2.DiffDelta) -> str:
    raw = delta.old_file.raw_path if delta.status == DeltaStatus.DELETED else delta.new_file.raw_path
    return raw.decode("utf-8", "surrogateescape")


def _match_renames(deltas: list[pygit2.DiffDelta]) -> Iterator[tuple[str, str]]:
    """Pair what was deleted with what was added with the same content."""
    gone = {delta.old_file.id: _path_of(delta) for delta in deltas if delta.status == DeltaStatus.DELETED}
    for delta in deltas:
        if delta.status == DeltaStatus.ADDED and delta.new_file.id in gone:
            yield gone.pop(delta.new_file.id), _path_of(delta)
