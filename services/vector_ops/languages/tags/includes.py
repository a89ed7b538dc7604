"""Files that are named by a path: `#include`, `require`, `require_relative`."""

from services.vector_ops.languages.facts import Import
from services.vector_ops.languages.tags.candidates import prefer_paths
from services.vector_ops.languages.tags.dialect import Dialect
from services.vector_ops.languages.world import World

INCLUDE_TAIL = "file "
INCLUDED = "include"
RELATIVE = "relative"
MAX_FILES = 96
_MAX_PARTS = 5


def list_path_tails(path: str) -> tuple[str, ...]:
    """Return the ends of a path by which includes name it."""
    parts = path.split("/")
    return tuple(INCLUDE_TAIL + "/".join(parts[-length:]) for length in range(1, min(len(parts), _MAX_PARTS) + 1))


def find_included(entry: Import, path: str, world: World, dialect: Dialect) -> str:
    """Return the file that an import of a path means, or nothing."""
    if entry.name not in (INCLUDED, RELATIVE):
        return ""
    wanted = entry.module if entry.module.endswith(dialect.include_suffix) else entry.module + dialect.include_suffix
    beside = _join(path.rpartition("/")[0], wanted)
    if (entry.name == RELATIVE or dialect.has_includes) and beside and world.exists(beside):
        return beside
    if entry.name == RELATIVE or ".." in wanted:
        return ""
    found = world.modules(INCLUDE_TAIL + wanted)
    return prefer_paths(found, path)[0] if found else ""


def list_closure(path: str, world: World, dialect: Dialect) -> frozenset[str]:
    """Return the files that a file includes, directly or through others, itself included; at most MAX_FILES."""
    seen = {path: None}
    queue = [path]
    while queue and len(seen) < MAX_FILES:
        current = queue.pop(0)
        for _, entry in world.bindings(current, INCLUDED):
            found = find_included(entry, current, world, dialect)
            if found and found not in seen:
                seen[found] = None
                queue.append(found)
    return frozenset(seen)


def _join(folder: str, relative: str) -> str:
    parts = folder.split("/") if folder else []
    for part in relative.split("/"):
        if part == "..":
            if not parts:
                return ""
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)
