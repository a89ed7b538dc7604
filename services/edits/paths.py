"""Names inside a tree: which ones may ever become files."""

import os

from services.edits.errors import UnsafePathError

# Characters that HFS+ ignores when it compares names: ".g\u200cit" opens ".git" there.
_IGNORED_BY_HFS = dict.fromkeys([*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF], None)


def is_git_name(name: str) -> bool:
    """Return whether some file system would take `name` for `.git` (case, trailing dots, short name, HFS)."""
    plain = name.translate(_IGNORED_BY_HFS).casefold().split(":", 1)[0].rstrip(". ")
    return plain in {".git", "git~1"}


def check_component(name: str, path: str) -> None:
    """Raise UnsafePathError if `name` (one component of `path`) must not be written."""
    if name in {"", ".", ".."} or "/" in name or "\0" in name or is_git_name(name):
        raise UnsafePathError(f"refused the path {path!r}: a tree may not hold '..', empty or .git components")


def check_path(path: str) -> None:
    """Raise UnsafePathError unless every component of `path` may be written."""
    for name in path.split("/"):
        check_component(name, path)


def encode_name(path: str) -> bytes:
    """Return the bytes of a name as git and the kernel know them."""
    return os.fsencode(path)


def decode_name(raw: bytes) -> str:
    """Return a name as text; bytes that are no UTF-8 survive as surrogates."""
    return os.fsdecode(raw)


def parents_of(path: str) -> tuple[str, ...]:
    """Return the folders of `path`, outermost first: `a/b/c` gives `a`, `a/b`."""
    parts = path.split("/")
    return tuple("/".join(parts[:count]) for count in range(1, len(parts)))
