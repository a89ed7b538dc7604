"""What must be bound so that an interpreter runs inside at the path it has outside.

A virtual environment is a chain: `.venv/bin/python` -> `python3` -> `~/.pyenv/versions/3.11.7/bin/python3`, and
`pyvenv.cfg` names the base by its path. So nothing is moved: every directory of the chain appears where it is.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from services.pas.core.isolation import Mount, UnsafeWorkspaceError

_MAX_LINKS = 40
_ALWAYS_SHOWN = (Path("/usr"), Path("/bin"), Path("/sbin"), Path("/lib"), Path("/lib64"))
_TOO_WIDE = (Path("/"), Path("/home"), Path("/root"), Path("/etc"), Path("/var"), Path("/tmp"), Path("/opt"))  # noqa: S108


def _links_of(path: Path) -> Iterator[Path]:
    """Yield the path and what each symlink leads to, one by one, names kept as they are written."""
    for _ in range(_MAX_LINKS):
        yield path
        if not path.is_symlink():
            return
        path = Path(os.path.normpath(path.parent / path.readlink()))
    raise UnsafeWorkspaceError(f"{path} leads through more than {_MAX_LINKS} symlinks; name another interpreter")


def _base_of(prefix: Path) -> Path | None:
    """Return the base interpreter's directory that a virtual environment names, or None for a base itself."""
    try:
        lines = (prefix / "pyvenv.cfg").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    pairs = (line.partition("=") for line in lines)
    homes = [value.strip() for name, _, value in pairs if name.strip() == "home"]
    return Path(homes[0]) if homes else None


def _prefixes_of(python: Path) -> Iterator[Path]:
    for place in _links_of(python):
        if place.parent.name != "bin":
            raise UnsafeWorkspaceError(f"{place} is not in a bin directory; name an interpreter of a normal prefix")
        prefix = place.parent.parent
        yield prefix
        base = _base_of(prefix)
        if base is not None:
            yield base.parent
    # A prefix may itself be reached through a symlinked directory (`3.11 -> 3.11.7`): show what it resolves to as well.
    yield python.resolve().parent.parent


def _is_shown(path: Path, places: tuple[Path, ...]) -> bool:
    return any(path == place or place in path.parents for place in places)


def _mount_of(directory: Path) -> Mount:
    if directory in {*_TOO_WIDE, Path.home(), Path.home() / ".local"}:
        raise UnsafeWorkspaceError(
            f"binding {directory} would show far more than an interpreter; use a virtual environment"
        )
    return Mount(source=directory.resolve(), target=str(directory))


def interpreter_mounts(python: Path) -> tuple[Mount, ...]:
    """Return what to bind read-only so that `python` (in a virtual environment or not) runs inside at its own path.

    Raises UnsafeWorkspaceError when that would mean showing a whole home or system directory.
    """
    absolute = Path(os.path.abspath(python))  # noqa: PTH100 - symlinks must stay as written
    if not absolute.is_file():
        raise UnsafeWorkspaceError(f"there is no interpreter at {python}")
    prefixes = [prefix for prefix in dict.fromkeys(_prefixes_of(absolute)) if not _is_shown(prefix, _ALWAYS_SHOWN)]
    return tuple(_mount_of(prefix) for prefix in prefixes)


def package_mounts(package: Path, names: tuple[str, ...]) -> tuple[Mount, ...]:
    """Return mounts for the named packages below an import root, at their own paths (a source checkout's `services`).

    An installed wheel lies in the interpreter's own prefix and needs none; binding it again does no harm.
    """
    root = Path(os.path.abspath(package))  # noqa: PTH100 - symlinks must stay as written
    return tuple(Mount(source=(root / name).resolve(), target=str(root / name)) for name in names)
