"""Which package of the repository an import path means.

Each question that is asked makes the file depend on its answer, so few are asked: a package is taken to be named like
its folder for as long as names are found in it, since only a look into the whole folder could tell for sure, and that
answer changes with every file that comes or goes.
"""

import re

from services.vector_ops.languages.go.gomod import MODULE
from services.vector_ops.languages.go.universe import STANDARD
from services.vector_ops.languages.world import World

_PARTS = 24
_FEW = 4
_VERSION = re.compile(r"^v\d+$")


class Packages:
    """The packages that one file can reach."""

    def __init__(self, path: str, world: World) -> None:
        self._path = path
        self._world = world
        self._folders: dict[str, tuple[str, ...]] = {}
        self._units: dict[str, str] = {}
        self._known: dict[str, list[str]] | None = None

    def is_inside(self, module: str) -> bool:
        """Say whether an import path leads into the repository."""
        return bool(self._find_folders(module))

    def guess_unit(self, module: str) -> str:
        """Return the unit of an import path if the package is named like its folder; nothing when it lies outside."""
        unit = self._units.get(module)
        if unit is not None:
            return unit
        folders = self._find_folders(module)
        parts = module.split("/")
        name = parts[-2] if len(parts) > 1 and _VERSION.match(parts[-1]) else parts[-1]
        return f"{folders[0]}#{name}" if folders else ""

    def confirm(self, module: str, unit: str) -> None:
        """Keep a guess that has held."""
        self._units[module] = unit

    def find_unit(self, module: str) -> str:
        """Return the unit of an import path, by looking into its folder; nothing when it lies outside."""
        unit = self._units.get(module)
        if unit is None:
            found = [self._unit_in(folder) for folder in self._find_folders(module)]
            unit = self._units[module] = next((one for one in found if one), "")
        return unit

    def _find_folders(self, module: str) -> tuple[str, ...]:
        """Return the folders that an import path may mean, the likeliest first."""
        folders = self._folders.get(module)
        if folders is None:
            folders = self._folders[module] = self._look(module)
        return folders

    def _look(self, module: str) -> tuple[str, ...]:
        parts = module.split("/")
        if parts[0] in STANDARD or len(parts) > _PARTS:
            return ()
        for end in range(len(parts), 0, -1):
            found = self._find_modules("/".join(parts[:end]))
            if found:
                near = sorted(found, key=lambda one: (-_count_shared(one, self._path), one))
                return tuple(_join(one.rpartition("/")[0], "/".join(parts[end:])) for one in near)
        return self._look_unnamed(parts) if self._known == {} else ()

    def _find_modules(self, name: str) -> list[str] | tuple[str, ...]:
        """Return the go.mod files of a module; where there are only few of them, all are read at once."""
        if self._known is None:
            files = self._world.modules("go.mod")
            if len(files) > _FEW:
                return self._world.modules(f"module {name}")
            self._known = {}
            for path in files:
                for at, entry in self._world.bindings(path, MODULE):
                    self._known.setdefault(entry.module, []).append(at)
        return self._known.get(name, ())

    def _look_unnamed(self, parts: list[str]) -> tuple[str, ...]:
        """Return the folder that ends the path, in a repository from before modules."""
        if "." not in parts[0]:
            return ()
        tails = ["/".join(parts[begin:]) for begin in range(1, len(parts))]
        found = tuple(folder for folder in tails if self._world.modules(f"folder {folder}"))
        return found or (("",) if len(parts) == len(("host", "owner", "repository")) else ())

    def _unit_in(self, folder: str) -> str:
        """Return the package of a folder: the one most of its files are of; `main` cannot be imported."""
        counts: dict[str, int] = {}
        for path in self._world.modules(f"folder {folder}"):
            unit = self._world.unit(path)
            counts[unit] = counts.get(unit, 0) + 1
        importable = [unit for unit in counts if not unit.endswith("#main")]
        return max(importable or counts, key=lambda unit: (counts[unit], unit), default="")


def _join(folder: str, rest: str) -> str:
    return "/".join(part for part in (folder, rest) if part)


def _count_shared(one: str, other: str) -> int:
    """Return how many leading folders two paths share."""
    count = 0
    for left, right in zip(one.split("/")[:-1], other.split("/")[:-1], strict=False):
        if left != right:
            break
        count += 1
    return count
