"""One git repository, read with pygit2: HEAD, trees, blobs. Nothing is ever written.

Contents are compared by blob sha. The server may be root and the repository another user's, so libgit2's owner check is
lifted while a repository is opened; libgit2 runs no hook, filter or helper program on the way. An object of this module
is used by one thread at a time.
"""

import os
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pygit2
from pygit2.enums import ObjectType, Option

from services.vector_ops.protocol import UnindexableError
from services.vector_ops.source import rules
from services.vector_ops.source.choices import IGNORE_FILE, Choices, ChoicesMemory, is_choice
from services.vector_ops.source.heads import Head, HeadFiles
from services.vector_ops.source.trees import LINK, PLAIN, SUBMODULE, Entry, diff_trees, walk_tree

_OPEN = threading.Lock()
_FIRST_S, _LAST_S = -62_135_596_800, 253_402_300_799
"""The first second of the year 1 and the last of 9999: what a `datetime` can hold."""

_CHOICES = ChoicesMemory(limit=256)
"""Shared by all sources: what a tree says belongs to its commit's sha, and finding it out means walking all of it."""


class BlobMissingError(UnindexableError):
    """The repository does not have the content of one of its files (a partial clone)."""

    code = "vector_ops.blob_missing"


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of one commit that are indexed, and how many others each rule left out (a folder counts once)."""

    files: Mapping[str, str]
    left_out: Mapping[str, int]
    choices: Choices


def _open(path: str) -> pygit2.Repository:
    # The option is global to libgit2: it is lifted for the open only, so that other users of pygit2 keep the check.
    with _OPEN:
        before = pygit2.option(Option.GET_OWNER_VALIDATION)
        pygit2.option(Option.SET_OWNER_VALIDATION, 0)
        try:
            found = pygit2.discover_repository(path)
            if found is None:
                raise UnindexableError(f"{path} is no git repository; run `git init` there or name another folder")
            return pygit2.Repository(found)
        finally:
            pygit2.option(Option.SET_OWNER_VALIDATION, before)


class GitSource:
    """One repository, opened at or below its root."""

    def __init__(self, path: str) -> None:
        try:
            self._repository = _open(str(Path(path).expanduser()))
        except (pygit2.GitError, ValueError, OSError, KeyError) as error:
            raise _explain_unopened(path, error) from None
        self.git_dir = Path(self._repository.path).resolve()
        self.root = Path(self._repository.workdir or self._repository.path).resolve()
        self._identity = _identify(self.git_dir)
        self._head_files = HeadFiles(self.git_dir)
        self._times: tuple[str, datetime] | None = None
        self._listing: tuple[str, Listing] | None = None

    @property
    def repository(self) -> pygit2.Repository:
        """The open repository, for what reads its working tree."""
        return self._repository

    @property
    def common_dir(self) -> Path:
        """Where branches and settings are kept; for a linked working tree another place than `git_dir`."""
        return Path(self._head_files.common_dir)

    def reopen(self) -> None:
        """Open the repository again: libgit2 reads some settings only then."""
        with self.reading():
            self._repository = _open(str(self.root))

    def close(self) -> None:
        """Give back the files that libgit2 keeps open."""
        self._repository.free()

    def is_current(self) -> bool:
        """Return whether the path still is the repository that was opened: not removed, not cloned again."""
        return self._identity is not None and _identify(self.git_dir) == self._identity

    def read_head(self) -> Head:
        """Return HEAD and when it came to name its commit; raise UnindexableError when there is no commit."""
        with self.reading():
            sha = self._head_files.read_sha() or self._find_head()
            if self._times is None or self._times[0] != sha:
                commit = self._repository[sha].peel(pygit2.Commit)
                self._times = (sha, _as_time(commit.commit_time))
        committed = self._times[1]
        moved = self._head_files.read_moved_at()
        return Head(sha, committed, committed if moved is None else _as_time(moved))

    def _find_head(self) -> str:
        try:
            return str(self._repository.head.peel(pygit2.Commit).id)
        except (pygit2.GitError, KeyError):
            if self.is_current():
                raise UnindexableError(f"{self.root} has no commit yet; commit something first") from None
            raise

    def resolve(self, ref: str) -> str:
        """Return the commit that a branch, a tag or any other revision names; raise UnindexableError for none."""
        try:
            return str(self._repository.revparse_single(ref).peel(pygit2.Commit).id)
        except (pygit2.GitError, KeyError, ValueError):
            raise UnindexableError(f"{self.root} has no commit {ref[:200]!r}") from None

    def list_blobs(self, commit_sha: str) -> dict[str, str]:
        """Return path -> blob sha of the plain files of a commit that no rule leaves out."""
        return dict(self.list_tree(commit_sha).files)

    def list_tree(self, commit_sha: str) -> Listing:
        """Return the same with the count of what was left out, by rule, and the repository's own choices."""
        if self._listing is None or self._listing[0] != commit_sha:
            with self.reading():
                self._listing = (commit_sha, self._list(commit_sha))
            _CHOICES.put(commit_sha, self._listing[1].choices)
        return self._listing[1]

    def changes(self, old_sha: str, new_sha: str) -> dict[str, str | None] | None:
        """Return path -> new blob sha (None: gone) of what differs between two commits; a rename is two paths.

        None when that is not known, and the two lists have to be compared: the old commit is not in the repository any
        more, or a file that decides about other files differs.
        """
        if not self._has_commit(old_sha):
            return None
        choices = self.read_choices(old_sha)
        with self.reading():
            found = self._diff(old_sha, new_sha, choices)
        if found is not None:
            _CHOICES.put(new_sha, choices)
        return found

    def read_choices(self, commit_sha: str) -> Choices:
        """Return what the tree of a commit says about its own files."""
        found = _CHOICES.find(commit_sha)
        return self.list_tree(commit_sha).choices if found is None else found

    def find_blob(self, commit_sha: str, path: str) -> str | None:
        """Return the blob sha of a plain file in a commit, whatever rules say; None when there is none."""
        try:
            entry = self._repository[commit_sha].peel(pygit2.Tree)[path]
        except (KeyError, ValueError, pygit2.GitError):
            return None
        mode = b"%o" % int(entry.filemode)
        return str(entry.id) if mode in PLAIN else None

    def read_blob(self, blob_sha: str) -> bytes:
        """Return a blob's content; raise BlobMissingError when the repository does not have it."""
        try:
            kind, content = self._repository.read(blob_sha)
        except (KeyError, pygit2.GitError, ValueError):
            raise self._explain_missing(blob_sha) from None
        return content if kind == ObjectType.BLOB else b""

    def size_blob(self, blob_sha: str) -> int:
        """Return a blob's size in bytes without reading it; raise BlobMissingError as `read_blob`."""
        try:
            kind, size_bytes = self._repository.odb.read_header(blob_sha)
        except (KeyError, pygit2.GitError, ValueError):
            raise self._explain_missing(blob_sha) from None
        return int(size_bytes) if kind == ObjectType.BLOB else 0

    def _explain_missing(self, blob_sha: str) -> UnindexableError:
        if not self.is_current():
            return UnindexableError(f"the repository {self.root} is gone; check that the folder is there")
        return BlobMissingError(f"{self.root} lacks the object {blob_sha}; fetch it (`git fetch --refetch`)")

    def _has_commit(self, sha: str) -> bool:
        try:
            return isinstance(self._repository[sha], pygit2.Commit)
        except (KeyError, ValueError, pygit2.GitError):
            return False

    @contextmanager
    def reading(self) -> Iterator[None]:
        """While the block reads `repository`, turn what libgit2 raises into UnindexableError, one clear line."""
        try:
            yield
        except (pygit2.GitError, KeyError, ValueError, OSError) as error:
            if not self.is_current():
                raise UnindexableError(f"the repository {self.root} is gone; check that the folder is there") from None
            raise UnindexableError(f"{self.root} cannot be read ({error}); check it with `git fsck`") from None

    def _tree_of(self, commit_sha: str) -> bytes:
        return bytes(self._repository[commit_sha].peel(pygit2.Commit).tree_id.raw)

    def _read_tree(self, sha: bytes) -> bytes:
        return bytes(self._repository.read(sha.hex())[1])

    def _list(self, commit_sha: str) -> Listing:
        gate = _Gate()
        files: dict[str, str] = {}
        deciding: dict[str, str] = {}
        for folder, name, entry in walk_tree(self._read_tree, self._tree_of(commit_sha), gate.enter):
            sha = entry.sha.hex()
            path, rule = gate.judge(folder, name, entry)
            if is_choice(path) and entry.mode in PLAIN:
                deciding[path] = sha
            rule = rule or (rules.DATA if self.is_table(path, sha) else "")
            if rule:
                gate.left_out[rule] += 1
            else:
                files[path] = sha
        choices = Choices(
            {path: self.read_blob(sha) for path, sha in deciding.items() if path.rpartition("/")[2] == IGNORE_FILE},
            (path for path in deciding if path.rpartition("/")[2] != IGNORE_FILE),
        )
        if choices.digest:
            files = {path: sha for path, sha in files.items() if not gate.is_chosen_out(choices, path)}
        return Listing(files, dict(gate.left_out), choices)

    def is_table(self, path: str, sha: str) -> bool:
        """Return whether a file is data by its size. One whose size the repository does not know is not."""
        if not rules.is_size_limited(path):
            return False
        try:
            return bool(rules.find_size_rule(path, self.size_blob(sha)))
        except BlobMissingError:
            return False

    def _diff(self, old_sha: str, new_sha: str, choices: Choices) -> dict[str, str | None] | None:
        gate = _Gate()
        found: dict[str, str | None] = {}
        trees = (self._tree_of(old_sha), self._tree_of(new_sha))
        for folder, name, old, new in diff_trees(self._read_tree, *trees, gate.enter):
            was, now = _plain_sha(old), _plain_sha(new)
            path, rule = gate.name(folder, name)
            if was == now or rule == rules.NOT_UTF8:
                continue
            if is_choice(path) and (path.endswith(IGNORE_FILE) or was is None or now is None):
                return None
            if not rule and not choices.find_rule(path):
                found[path] = None if now is None or self.is_table(path, now) else now
        return found


class _Gate:
    """Applies the rules that look at one name while a tree is walked."""

    def __init__(self) -> None:
        self.left_out: Counter[str] = Counter()
        self._decoded: dict[bytes, str | None] = {}

    def enter(self, folder: bytes) -> bool:
        """Return whether a folder is walked; one that is not is counted."""
        text = self._decode(folder)
        rule = rules.NOT_UTF8 if text is None else rules.find_folder_rule(text)
        if rule:
            self.left_out[rule] += 1
        return not rule

    def judge(self, folder: bytes, name: bytes, entry: Entry) -> tuple[str, str]:
        """Return the path of an entry and the rule that leaves it out (empty: none)."""
        path, rule = self.name(folder, name)
        if entry.mode == LINK:
            return path, rules.SYMLINK
        return path, rules.SUBMODULE if entry.mode == SUBMODULE else rule

    def name(self, folder: bytes, name: bytes) -> tuple[str, str]:
        """Return a path and the rule for its name alone."""
        text = self._decode(folder) or ""
        try:
            leaf = name.decode()
        except UnicodeDecodeError:
            return "", rules.NOT_UTF8
        return f"{text}/{leaf}" if text else leaf, rules.find_name_rule(text, leaf)

    def is_chosen_out(self, choices: Choices, path: str) -> bool:
        """Return whether the repository itself leaves the file out; count it."""
        rule = choices.find_rule(path)
        if rule:
            self.left_out[rule] += 1
        return bool(rule)

    def _decode(self, folder: bytes) -> str | None:
        if folder not in self._decoded:
            try:
                self._decoded[folder] = folder.decode()
            except UnicodeDecodeError:
                self._decoded[folder] = None
        return self._decoded[folder]


def _plain_sha(entry: Entry | None) -> str | None:
    return entry.sha.hex() if entry is not None and entry.mode in PLAIN else None


def _as_time(seconds: float) -> datetime:
    """Return a time that git stored; the first or the last that can be told for one outside of the years 1 to 9999."""
    return datetime.fromtimestamp(min(max(seconds, _FIRST_S), _LAST_S), UTC)


def _explain_unopened(path: str, error: Exception) -> UnindexableError:
    if "sha256" in str(error):  # libgit2 1.9 reads it only where it was built for an experiment
        return UnindexableError(f"{path[:200]} names its objects by SHA-256; only repositories of SHA-1 can be indexed")
    return UnindexableError(f"{path[:200]!r} cannot be opened as a git repository: {error}")


def _identify(folder: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(folder)  # noqa: PTH116 - asked before every answer
    except OSError:
        return None
    return found.st_dev, found.st_ino
