"""What a repository itself says about which of its files are indexed: `.direngignore`, and manifests of vendored code.

`.direngignore` has the syntax of `.gitignore`, may lie in any folder, and holds for committed files too. A folder is
vendored when a tool that copies other people's code left its manifest there. Both are files of the tree, so what they
say belongs to a commit: `Choices` is made anew whenever one of them changes.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping

from pathspec import GitIgnoreSpec

from services.vector_ops.source.rules import IGNORED, VENDORED

IGNORE_FILE = ".direngignore"
MAX_IGNORE_BYTES = 100_000
MAX_STARS = 4
"""Each `*` in a pattern may multiply the time of one match by the length of a name; `**` between slashes does not."""
_MANIFESTS = frozenset(("modules.txt", "autoload.php", "vendor.txt", ".cargo-checksum.json", "pyvenv.cfg"))
_VENDOR_FOLDERS = frozenset(("vendor", "_vendor", "vendored"))
_ANYWHERE = frozenset((".cargo-checksum.json", "pyvenv.cfg"))


def find_vendored(path: str) -> str | None:
    """Return the folder that the file at `path` marks as vendored, when it is such a manifest."""
    folder, _, name = path.rpartition("/")
    if name not in _MANIFESTS or not folder:
        return None
    return folder if name in _ANYWHERE or folder.rpartition("/")[2] in _VENDOR_FOLDERS else None


def is_choice(path: str) -> bool:
    """Return whether the file at `path` decides about other files."""
    return path.rpartition("/")[2] == IGNORE_FILE or find_vendored(path) is not None


class Choices:
    """The choices of one tree. Immutable; two of the same `digest` choose alike."""

    def __init__(self, ignore_files: Mapping[str, bytes], manifests: Iterable[str]) -> None:
        """Take the content of each `.direngignore` by path, and the paths of the manifests."""
        self.ignore_files = dict(sorted(ignore_files.items()))
        self.manifests = frozenset(manifests)
        self._vendored = frozenset(filter(None, map(find_vendored, self.manifests)))
        specs = ((path.removesuffix(IGNORE_FILE), _parse(content)) for path, content in self.ignore_files.items())
        self._specs = sorted(specs, key=lambda spec: -len(spec[0]))
        self._folders: dict[str, str] = {"": ""}
        self.digest = self._hash() if self.ignore_files or self.manifests else ""

    def _hash(self) -> str:
        whole = hashlib.sha256()
        for path, content in self.ignore_files.items():
            whole.update(f"{path}\0{len(content)}\0".encode() + content)
        whole.update("\0".join(sorted(self.manifests)).encode())
        return whole.hexdigest()

    def find_rule(self, path: str) -> str:
        """Return `vendored` or `ignored` for a file that the repository leaves out; empty otherwise."""
        if not self.digest or path.rpartition("/")[2] == IGNORE_FILE:
            return ""
        return self.find_folder_rule(path.rpartition("/")[0]) or (IGNORED if self._is_matched(path) else "")

    def find_folder_rule(self, folder: str) -> str:
        """Return the same for a whole folder: nothing below an ignored one can be taken back, as in git."""
        if not self.digest:
            return ""
        unknown = []
        while folder not in self._folders:  # a loop: folders nest deeper than calls may
            unknown.append(folder)
            folder = folder.rpartition("/")[0]
        rule = self._folders[folder]
        for each in reversed(unknown):
            rule = self._folders[each] = rule or self._find_own_rule(each)
        return rule

    def is_vendored(self, folder: str) -> bool:
        """Return whether the folder itself has a manifest."""
        return folder in self._vendored

    def _find_own_rule(self, folder: str) -> str:
        if folder in self._vendored:
            return VENDORED
        return IGNORED if self._is_matched(f"{folder}/") else ""

    def _is_matched(self, path: str) -> bool:
        """Ask the nearest `.direngignore` that says anything about the path."""
        for start, spec in self._specs:
            if path.startswith(start) and path != start:
                verdict = spec.check_file(path[len(start) :]).include
                if verdict is not None:
                    return verdict
        return False


class ChoicesMemory:
    """The choices of commits that were looked at; safe for several threads. A commit never changes its mind."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Choices] = OrderedDict()

    def find(self, commit_sha: str) -> Choices | None:
        """Return the choices of a commit, when they are known."""
        with self._lock:
            return self._known.get(commit_sha)

    def put(self, commit_sha: str, choices: Choices) -> None:
        """Remember the choices of a commit, and forget those that were put in longest ago."""
        with self._lock:
            self._known[commit_sha] = choices
            self._known.move_to_end(commit_sha)
            while len(self._known) > self._limit:
                self._known.popitem(last=False)


def _parse(content: bytes) -> GitIgnoreSpec:
    """Return the patterns; a line that is no pattern is left out, as git does."""
    lines = content[:MAX_IGNORE_BYTES].decode("utf-8", "replace").splitlines()
    return GitIgnoreSpec.from_lines(line for line in lines if _is_pattern(line))


def _is_pattern(line: str) -> bool:
    if line.replace("**/", "").replace("/**", "").count("*") > MAX_STARS:
        return False
    try:
        GitIgnoreSpec.from_lines([line])
    except ValueError:  # what pathspec raises for a pattern that makes no sense, e.g. a lone `!`
        return False
    return True
