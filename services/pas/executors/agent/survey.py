"""A small map of the repository for the first message: hinted files, places the index finds, the folders."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from services.kernel.errors import PlatformError
from services.pas.calls.vector_ops import VectorOpsEdge
from services.pas.core.allowlist import Allowlist
from services.vector_ops.models import QueryKind

MAX_SURVEY_CHARS = 5000
MAX_FOLDERS = 25
MAX_FILES = 60
MAX_WALKED = 5000
MAX_HITS = 12
MAX_QUESTION_CHARS = 1000


async def search_places(index: VectorOpsEdge | None, repo: str, goal: str, allowlist: Allowlist) -> tuple[str, ...]:
    """Return `path:line symbol` of what the index finds for the goal; nothing when it cannot answer."""
    if index is None:
        return ()
    try:
        answer = await index.query(repo, QueryKind.SEARCH, goal[:MAX_QUESTION_CHARS], MAX_HITS)
    except PlatformError:  # the card can do without: the model has search of its own
        return ()
    hits = [hit for hit in answer.hits if allowlist.check_path(hit.path).is_allowed]
    return tuple(dict.fromkeys(f"{hit.path}:{hit.line} {hit.kind} {hit.symbol}" for hit in hits))


def survey(folder: Path, hints: Sequence[str], places: Sequence[str], allowlist: Allowlist) -> str:
    """Return at most MAX_SURVEY_CHARS of lines; files that the lane may not read are not named."""
    files = [path for path in _walk(folder) if allowlist.check_path(path).is_allowed]
    parts = []
    hinted = [path for path in dict.fromkeys(hints) if allowlist.check_path(path).is_allowed]
    if hinted:
        parts.append("Files to begin with:\n" + "\n".join(f"- {_describe(folder, path)}" for path in hinted))
    if places:
        parts.append("Places that may matter:\n" + "\n".join(f"- {place}" for place in places))
    if len(files) <= MAX_FILES:
        parts.append("All files:\n" + "\n".join(f"- {path}" for path in files))
    else:
        parts.append("Folders (files in them):\n" + "\n".join(_count_folders(files)))
    text = "\n".join(parts)
    return text if len(text) <= MAX_SURVEY_CHARS else text[:MAX_SURVEY_CHARS].rpartition("\n")[0] + "\n- ..."


def _walk(folder: Path) -> list[str]:
    found: list[str] = []
    for root, folders, names in os.walk(folder):
        folders.sort()
        prefix = os.path.relpath(root, folder)
        found.extend(name if prefix == "." else f"{prefix}/{name}" for name in sorted(names))
        if len(found) >= MAX_WALKED:
            break
    return found


def _describe(folder: Path, path: str) -> str:
    place = folder / path
    if not place.is_file() or place.is_symlink():
        return f"{path} (does not exist yet)" if not place.exists() else path
    return f"{path} ({place.read_bytes().count(10) + 1} lines)"


def _count_folders(files: Sequence[str]) -> list[str]:
    counts = Counter(path.rpartition("/")[0] or "." for path in files)
    top = counts.most_common(MAX_FOLDERS)
    lines = [f"- {folder} ({count})" for folder, count in sorted(top)]
    return [*lines, f"- ... and {len(counts) - len(top)} more folders"] if len(counts) > len(top) else lines
