"""What is uncommitted, exactly, at the moment of asking: as if all of it had been committed just now.

Where the system tells what was touched (inotify), only that is looked at again, and asking costs tens of microseconds
when nothing happened; elsewhere every question is a scan. `.gitignore` holds for untracked files, the rules of
`source.rules` and the repository's own choices for all.
"""

import os
import threading
from collections.abc import Iterable, Mapping

import pygit2
from pygit2.enums import ConfigLevel, FileStatus

from services.vector_ops.protocol import UnindexableError
from services.vector_ops.source.choices import IGNORE_FILE, Choices, is_choice
from services.vector_ops.source.disk import read_plain
from services.vector_ops.source.folders import FolderWalk, folders_of
from services.vector_ops.source.heads import Head, mark_file
from services.vector_ops.source.overlay import MAX_FILES, Overlay, WorktreeState
from services.vector_ops.source.repository import GitSource
from services.vector_ops.source.rules import find_path_rule, find_size_rule
from services.vector_ops.source.watching import FolderWatch, Touched, WatchLimitError, is_text, open_watch

_MAX_ROUNDS = 8
_IN_TREE = FileStatus.WT_MODIFIED | FileStatus.WT_DELETED | FileStatus.WT_TYPECHANGE | FileStatus.WT_UNREADABLE
_DECIDING = frozenset((".gitignore", IGNORE_FILE, ".git"))


class _StaleError(Exception):
    """What is known cannot be brought level piece by piece."""


class Worktree:
    """The working tree of one source. May be asked from several threads; each waits for the other."""

    def __init__(self, source: GitSource, *, is_watched: bool = True) -> None:
        """Take the source; without `is_watched` every question is a scan, as where there is no inotify."""
        self._source = source
        self._may_watch = is_watched
        self._lock = threading.Lock()
        self._watch: FolderWatch | None = None
        self._base = ""
        self._overlay = Overlay()
        self._choices = Choices({}, ())
        self._base_choices = self._choices
        self._tracked: set[str] = set()
        common, own = source.common_dir, pygit2.settings.search_path[ConfigLevel.XDG]
        self._index = f"{source.git_dir}/index"
        self._settings = (
            f"{common}/info/exclude",
            f"{common}/config",
            f"{source.git_dir}/config.worktree",
            f"{own}/ignore",
        )
        self._settings_mark: object = self._mark_settings()
        self._index_mark: object = None
        self._root = -1

    def close(self) -> None:
        """End the watch."""
        with self._lock:
            self._forget()
            if self._root >= 0:
                os.close(self._root)
                self._root = -1

    def read(self, base_sha: str) -> WorktreeState:
        """Return how the working tree differs from a commit; raise UnindexableError when the repository is gone."""
        with self._lock:
            head = self._source.read_head()
            if not self._source.repository.is_bare:
                try:
                    self._level(base_sha)
                except (pygit2.GitError, KeyError, OSError) as error:
                    self._forget()
                    raise _explain_unread(self._source, error) from None
            return self._state(head, base_sha)

    def _state(self, head: Head, base_sha: str) -> WorktreeState:
        contents, digest = self._overlay.freeze()
        is_cut = self._overlay.is_cut
        return WorktreeState(contents, is_cut, digest, head, base_sha, self._watch is not None)

    def _forget(self) -> None:
        if self._watch is not None:
            self._watch.close()
            self._watch = None
        self._base = ""

    def _level(self, base_sha: str) -> None:
        """Bring the overlay level with the disk. The marks are taken first: what comes later is seen next time."""
        if self._root < 0:
            self._root = os.open(self._source.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        settings, index = self._mark_settings(), mark_file(self._index)
        if settings != self._settings_mark:
            self._source.reopen()  # libgit2 reads where the user's own ignore file is only then
            self._base = ""
        if not self._try_advance(base_sha, is_staged=index != self._index_mark):
            self._forget()
            self._restart(base_sha, has_index=index is not None)
        self._base, self._settings_mark, self._index_mark = base_sha, settings, index

    def _try_advance(self, base_sha: str, *, is_staged: bool) -> bool:
        if self._watch is None or not self._base:
            return False
        try:
            self._advance(base_sha, self._watch.read(), is_staged=is_staged)
        except _StaleError:
            return False
        return True

    def _mark_settings(self) -> tuple[object, ...]:
        return tuple(map(mark_file, self._settings))

    # From scratch

    def _restart(self, base_sha: str, *, has_index: bool) -> None:
        self._overlay = Overlay()
        if not has_index:
            return  # nothing was ever checked out here (`git clone --no-checkout`)
        listing = self._source.list_tree(base_sha)
        staged = self._list_staged(base_sha)
        self._tracked = folders_of(listing.files) | folders_of(staged)
        self._base_choices = listing.choices
        candidates = {path for path in self._walk_all(listing.choices) if path not in listing.files}
        candidates.update(staged, self._list_changed())
        if self._choices.digest != listing.choices.digest:
            candidates.update(path for path in listing.files if self._choices.find_rule(path))
        self._judge_all(base_sha, candidates, listing.files)

    def _walk_all(self, choices: Choices) -> list[str]:
        """Walk and watch everything, with the choices that the disk has now; they decide where the walk goes."""
        found: list[str] = []
        deciding = {*choices.ignore_files, *choices.manifests}
        for _ in range(_MAX_ROUNDS):
            self._choices = choices
            found = self._walk_watched()
            # Those of an earlier round stay: a manifest hides the folder that it is in.
            deciding.update(filter(is_choice, found))
            choices = self._read_choices(deciding)
            if choices.digest == self._choices.digest:
                break
            self._forget()
        return found

    def _walk_watched(self) -> list[str]:
        watch = open_watch(self._source.root) if self._may_watch else None
        try:
            found = self._walker().walk([""], watch)
        except WatchLimitError:
            self._may_watch = False  # asking the system again and again would not make it more
            if watch is not None:
                watch.close()
            return self._walker().walk([""], None)
        self._watch = watch
        return found

    def _walker(self) -> FolderWalk:
        return FolderWalk(str(self._source.root), self._source.repository, self._choices, self._tracked)

    def _read_choices(self, deciding: Iterable[str]) -> Choices:
        """Return what these files say about others, as they are on disk."""
        ignore_files: dict[str, bytes] = {}
        manifests: list[str] = []
        for path in deciding:
            file = read_plain(self._root, path)
            if file is None or not self._is_included(path):
                continue
            if path.endswith(IGNORE_FILE):
                ignore_files[path] = file.content
            else:
                manifests.append(path)
        return Choices(ignore_files, manifests)

    def _list_changed(self) -> list[str]:
        """Return the tracked files whose content is not the one in git's index."""
        status: Mapping[str, int] = self._source.repository.status(untracked_files="no")
        return [path for path, flags in status.items() if flags & _IN_TREE]

    def _list_staged(self, base_sha: str) -> set[str]:
        """Return the paths at which git's index differs from a commit."""
        repository = self._source.repository
        index = repository.index
        index.read(False)
        diff = index.diff_to_tree(repository[base_sha].peel(pygit2.Tree))
        sides = ((delta.old_file.raw_path, delta.new_file.raw_path) for delta in diff.deltas)
        return {os.fsdecode(path) for pair in sides for path in pair if path}

    # Piece by piece

    def _advance(self, base_sha: str, touched: Touched, *, is_staged: bool) -> None:
        if touched.is_lost or any(map(_decides, touched.files | touched.folders)):
            raise _StaleError
        is_moved = base_sha != self._base
        if not (touched.files or touched.folders or is_staged or is_moved):
            return
        candidates = set(touched.files)
        news: set[str] = set()
        if is_moved:
            news.update(self._diff_base(base_sha))
        if is_staged:
            news.update(self._list_staged(base_sha))
        if is_moved or is_staged:
            candidates.update(news, self._overlay.paths())
        newly_tracked = folders_of(news) - self._tracked  # git's ignore files do not hide them any more
        self._tracked |= newly_tracked
        candidates.update(self._enter(base_sha, touched.folders | newly_tracked))
        if self._overlay.is_cut or len(candidates) > MAX_FILES:
            raise _StaleError
        self._judge_all(base_sha, candidates, ())

    def _diff_base(self, base_sha: str) -> Iterable[str]:
        changed = self._source.changes(self._base, base_sha)
        if changed is None:
            raise _StaleError
        self._base_choices = self._source.read_choices(base_sha)
        return changed

    def _enter(self, base_sha: str, folders: set[str]) -> set[str]:
        """Watch folders that came, went or moved from now on; return the files that may differ through that."""
        walker = self._walker()
        watch = self._watch
        if watch is None or not folders:
            return set()
        tops = {folder for folder in folders if watch.has(folder) or not walker.is_closed(folder)}
        tops = {folder for folder in tops if not _ancestors(folder) & tops}
        watch.drop(tops)
        try:
            found = set(walker.walk(tops, watch))
        except WatchLimitError:
            raise _StaleError from None
        below = tuple(f"{top}/" for top in tops)
        found.update(path for path in self._overlay.paths() if path.startswith(below))
        if tops & self._tracked:
            found.update(path for path in self._source.list_tree(base_sha).files if path.startswith(below))
        if any(map(is_choice, found)):
            raise _StaleError
        return found

    # One file

    def _judge_all(self, base_sha: str, candidates: Iterable[str], first: Iterable[str]) -> None:
        order = sorted(candidates, key=lambda path: (path not in first, path)) if first else sorted(candidates)
        for path in order:
            if self._overlay.is_cut:
                break
            self._judge(base_sha, path)

    def _judge(self, base_sha: str, path: str) -> None:
        if not is_text(path) or find_path_rule(path):
            return
        base = None if self._base_choices.find_rule(path) else self._source.find_blob(base_sha, path)
        if base is not None and self._source.is_table(path, base):
            base = None
        file = None if self._choices.find_rule(path) else read_plain(self._root, path)
        if file is not None and (find_size_rule(path, len(file.content)) or not self._is_included(path)):
            file = None
        is_same = base is None if file is None else base is not None and file.is_blob(base)
        if is_same or (file is None and self._is_elsewhere(path)):
            self._overlay.drop(path)
        else:
            self._overlay.put(path, file)

    def _is_included(self, path: str) -> bool:
        """Return whether `git add --all` would take the file."""
        repository = self._source.repository
        if path in repository.index:
            return True
        return not repository.path_is_ignored(path) and not self._walker().is_in_other_repository(path)

    def _is_elsewhere(self, path: str) -> bool:
        """Return whether a file is absent because this is a sparse checkout."""
        repository = self._source.repository
        try:
            is_sparse = repository.config.get_bool("core.sparseCheckout")
        except KeyError:
            return False
        return bool(is_sparse) and path in repository.index


def _explain_unread(source: GitSource, error: Exception) -> UnindexableError:
    if "'sdir'" in str(error):  # the extension by which git marks an index that lists folders
        cure = "git sparse-checkout reapply --no-sparse-index"
        return UnindexableError(f"{source.root} has a sparse index, which only git itself can read; type: {cure}")
    return UnindexableError(f"{source.root} cannot be read ({error}); check that it is there")


def _decides(path: str) -> bool:
    """Return whether a touched name changes what is looked at; git's own folder at the root does not."""
    return (path.rpartition("/")[2] in _DECIDING and path != ".git") or is_choice(path)


def _ancestors(folder: str) -> set[str]:
    return folders_of([folder])
