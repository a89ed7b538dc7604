"""What a tool may touch: plain files of the card's folder that no rule of the lane denies, never through a symlink."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from services.edits.disk import Disk, Kind
from services.edits.owner import Owner
from services.edits.paths import is_git_name
from services.edits.text_nearest import find_near_names
from services.edits.tree import MODE_LINK
from services.kernel.ids import Sha256
from services.pas.core.argument import RefusedError, check_relative, quote
from services.pas.executors.agent.toolbox import ToolResult, ToolScene

MAX_FILE_BYTES = 8_000_000
MAX_WALKED = 100_000
_MAX_DEPTH = 64
_MAX_PATH_CHARS = 1000
_MAX_NAME_BYTES = 255
_PATH_RULES = ("path", "workspace_roots")


class PathRefusedError(Exception):
    """A path that a tool does not serve; `is_denied`: a rule forbids it, which leaves an event."""

    def __init__(self, line: str, *, is_denied: bool = False) -> None:
        super().__init__(line)
        self.line = line
        self.is_denied = is_denied

    def to_result(self, tool: str) -> ToolResult:
        """Return the refusal as a tool's result."""
        denied = (f"{tool}: {self.line}",) if self.is_denied else ()
        return ToolResult(text=self.line, line=self.line[:200], is_error=True, denied=denied)


@dataclass(frozen=True)
class Ground:
    """The card's folder, seen through the lane's rules."""

    scene: ToolScene

    @property
    def disk(self) -> Disk:
        """Return the folder as the server's own files."""
        return Disk(self.scene.folder, Owner(os.geteuid(), os.getegid()))

    def check_readable(self, path: str) -> str:
        """Return the canonical path; raise PathRefusedError when it leads out or a rule denies it."""
        plain = self._check_plain(path)
        if plain == ".":
            return plain
        decision = self.scene.allowlist.check_path(plain)
        is_forbidden = decision.rule in _PATH_RULES or decision.rule.startswith("file_globs.deny")
        if is_forbidden or any(is_git_name(name) for name in plain.split("/")):
            raise PathRefusedError(self._explain_denial(plain, decision.reason), is_denied=True)
        return plain

    def check_writable(self, path: str) -> str:
        """Return the canonical path of a file that the lane may change; raise PathRefusedError."""
        plain = self.check_readable(path)
        if len(plain) > _MAX_PATH_CHARS or any(len(name.encode()) > _MAX_NAME_BYTES for name in plain.split("/")):
            raise PathRefusedError(f"the path {quote(plain)} is too long; names have at most {_MAX_NAME_BYTES} bytes")
        decision = self.scene.allowlist.check_path(plain)
        if plain == "." or not decision.is_allowed:
            raise PathRefusedError(self._explain_denial(plain, decision.reason), is_denied=True)
        return plain

    def _explain_denial(self, path: str, reason: str) -> str:
        if any(is_git_name(name) for name in path.split("/")):
            reason = "git's own files are not part of the work"
        return f"{quote(path)} is not allowed in lane {self.scene.allowlist.lane}: {reason}"

    def _check_plain(self, path: str) -> str:
        given = path.strip() or "."
        if given.startswith("/"):
            raise PathRefusedError(self._explain_absolute(given), is_denied=True)
        try:
            return check_relative(given)
        except RefusedError as error:
            raise PathRefusedError(f"{error}; give a path relative to the repository's root", is_denied=True) from error

    def _explain_absolute(self, path: str) -> str:
        """Return what is right instead of an absolute path, when its end names a file that exists."""
        parts = PurePosixPath(path).parts[1:]
        for count in range(len(parts)):
            tail = "/".join(parts[count:])
            try:
                self.check_readable(tail)
            except PathRefusedError:
                continue
            if self.kind_of(tail) is not None:
                return f"{quote(path)} is absolute; paths are relative to the repository's root: use {quote(tail)}"
        return f"{quote(path)} is absolute; paths are relative to the repository's root, such as src/app.py"

    def kind_of(self, path: str) -> Kind | None:
        """Return what a canonical path names; None when nothing, or when a symlink stands in its way."""
        if path == ".":
            return Kind.FOLDER
        try:
            return self.disk.kind_of(path)
        except OSError:
            return None

    def read(self, path: str) -> bytes | None:
        """Return the bytes of a file, None when there is none; raise PathRefusedError for anything but a plain file."""
        kind = self.kind_of(path)
        if kind is Kind.FOLDER:
            raise PathRefusedError(f"{path} is a folder; list it with fs_list")
        if kind is Kind.LINK:
            raise self._refuse_link(path)
        self._check_folders(path)
        if kind is None:
            return None
        folder, _, name = path.rpartition("/")
        found = dict(self.disk.read_files(folder, [name], MAX_FILE_BYTES)).get(name)
        if found is None or found.mode == MODE_LINK:
            raise PathRefusedError(f"{path} is no plain file; only plain files are read and changed", is_denied=True)
        if found.data is None:
            limit = MAX_FILE_BYTES // 1_000_000
            raise PathRefusedError(f"{path} is larger than {limit} MB; search it with fs_search instead")
        return found.data

    def read_existing(self, path: str) -> bytes:
        """Return the bytes of a file; raise PathRefusedError, with near names, when there is none."""
        content = self.read(path)
        if content is None:
            raise PathRefusedError(self.suggest(path))
        return content

    def _check_folders(self, path: str) -> None:
        parts = path.split("/")
        for count in range(1, len(parts)):
            folder = "/".join(parts[:count])
            kind = self.kind_of(folder)
            if kind is Kind.LINK:
                raise self._refuse_link(folder)
            if kind in {Kind.FILE, Kind.SPECIAL}:
                raise PathRefusedError(f"{folder} is a file, so there is no {path}")

    def _refuse_link(self, path: str) -> PathRefusedError:
        target = str((self.scene.folder / path).readlink())
        joined = os.path.normpath(os.path.join(os.path.dirname(path), target))  # noqa: PTH118, PTH120 - never opened
        if joined.startswith(("/", "..")):
            line = f"{path} is a symlink that leads out of the repository; it is not followed"
            return PathRefusedError(line, is_denied=True)
        return PathRefusedError(f"{path} is a symlink to {joined}; use that path")

    def walk(self, folder: str = "") -> Iterator[tuple[str, Kind]]:
        """Yield files, symlinks and folders below a canonical folder that the lane may see, in order."""
        count = 0
        pending = [("" if folder == "." else folder, 0)]
        while pending:
            place, depth = pending.pop()
            folders = []
            for name, kind in self.disk.list_folder(place):
                path = f"{place}/{name}" if place else name
                if not self.is_visible(path):
                    continue
                count += 1
                if count > MAX_WALKED:
                    return
                if kind is Kind.FOLDER and depth < _MAX_DEPTH:
                    folders.append((path, depth + 1))
                yield path, kind
            pending += reversed(folders)

    def is_visible(self, path: str) -> bool:
        """Return whether the lane may read this canonical path."""
        try:
            self.check_readable(path)
        except PathRefusedError:
            return False
        return True

    def suggest(self, path: str) -> str:
        """Return the refusal of a path that names nothing, with the nearest that do."""
        near = find_near_names(path, (found for found, kind in self.walk() if kind is Kind.FILE))
        hint = f"did you mean {', '.join(near)}?" if near else "list the files with fs_list"
        return f"there is no file {path}; {hint}"


def digest(content: bytes) -> Sha256:
    """Return the SHA-256 of a file's content."""
    return Sha256(hashlib.sha256(content).hexdigest())
