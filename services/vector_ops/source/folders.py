"""Walking the folders of a working tree that may hold indexed files, watching each before it is looked into."""

import os
from collections.abc import Collection, Iterable

import pygit2

from services.vector_ops.source.choices import Choices
from services.vector_ops.source.rules import find_folder_rule
from services.vector_ops.source.watching import FolderWatch, is_text


class FolderWalk:
    """One repository's folders; `tracked` are those that hold committed files: git's ignore files do not hide them."""

    def __init__(self, root: str, repository: pygit2.Repository, choices: Choices, tracked: Collection[str]) -> None:
        self._root = root
        self._repository = repository
        self._choices = choices
        self._tracked = tracked

    def walk(self, tops: Iterable[str], watch: FolderWatch | None) -> list[str]:
        """Return the paths of all plain files below `tops`; raise WatchLimitError when `watch` cannot take more."""
        found: list[str] = []
        pending = list(tops)
        while pending:
            folder = pending.pop()
            if self.is_closed(folder):
                if watch is not None and self._is_closed_from_within(folder):
                    watch.add(folder)
                continue
            # First the watch, then the look: what is made in between is seen twice rather than never.
            if watch is not None and not watch.add(folder):
                continue
            folders, files = self._list(folder)
            pending.extend(folders)
            found.extend(files)
        return found

    def is_closed(self, folder: str) -> bool:
        """Return whether nothing below a folder is indexed: by a rule, by git's ignore files, another repository."""
        if not folder:
            return False
        if not is_text(folder) or find_folder_rule(folder) or self._choices.find_folder_rule(folder):
            return True
        if self._is_repository(folder):
            return True
        return folder not in self._tracked and bool(self._repository.path_is_ignored(f"{folder}/"))

    def is_in_other_repository(self, path: str) -> bool:
        """Return whether a folder on the way to `path` is a repository of its own."""
        folder = path.rpartition("/")[0]
        while folder:
            if self._is_repository(folder):
                return True
            folder = folder.rpartition("/")[0]
        return False

    def _is_closed_from_within(self, folder: str) -> bool:
        """Return whether it is a file in the folder that closes it: when that goes, the folder opens."""
        return is_text(folder) and (self._choices.is_vendored(folder) or self._is_repository(folder))

    def _is_repository(self, folder: str) -> bool:
        return os.path.lexists(f"{self._root}/{folder}/.git")

    def _list(self, folder: str) -> tuple[list[str], list[str]]:
        start = f"{folder}/" if folder else ""
        folders, files = [], []
        try:
            with os.scandir(f"{self._root}/{folder}") as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(start + entry.name)
                    elif entry.is_file(follow_symlinks=False):
                        files.append(start + entry.name)
        except OSError:  # gone, or not ours to read
            return [], []
        return folders, files


def folders_of(paths: Iterable[str]) -> set[str]:
    """Return every folder that holds one of the paths, at any depth."""
    found: set[str] = set()
    for path in paths:
        folder = path.rpartition("/")[0]
        while folder and folder not in found:
            found.add(folder)
            folder = folder.rpartition("/")[0]
    return found
