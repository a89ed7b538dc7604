"""Which package of the repository an import path means."""

from services.vector_ops.languages.facts import Import
from services.vector_ops.languages.go.universe import STANDARD
from services.vector_ops.languages.world import World

_PARTS = 24


class Packages:
    """The packages that one file can reach; asks the world once for each path."""

    def __init__(self, path: str, world: World) -> None:
        self._path = path
        self._world = world
        self._units: dict[str, str] = {}

    def find_unit(self, module: str) -> str:
        """Return the unit of an import path; nothing when it lies outside the repository."""
        unit = self._units.get(module)
        if unit is None:
            unit = self._units[module] = self._look(module)
        return unit

    def find_import(self, entry: Import) -> str:
        """Return the unit of an import."""
        return self.find_unit(entry.module)

    def _look(self, module: str) -> str:
        parts = module.split("/")
        if parts[0] in STANDARD or len(parts) > _PARTS:
            return ""
        for end in range(len(parts), 0, -1):
            found = self._world.modules(f"module {'/'.join(parts[:end])}")
            if found:
                return self._look_below(found, "/".join(parts[end:]))
        return "" if self._world.modules("go.mod") else self._look_unnamed(parts)

    def _look_below(self, modules: tuple[str, ...], rest: str) -> str:
        """Return the unit of a folder below a go.mod; of several with one name, the nearest to the file."""
        for gomod in sorted(modules, key=lambda one: (-_shared(one, self._path), one)):
            folder = "/".join(part for part in (gomod.rpartition("/")[0], rest) if part)
            unit = self._unit_in(folder)
            if unit:
                return unit
        return ""

    def _look_unnamed(self, parts: list[str]) -> str:
        """Return the unit whose folder ends the path, in a repository from before modules."""
        if "." not in parts[0]:
            return ""
        for begin in range(1, len(parts)):
            unit = self._unit_in("/".join(parts[begin:]))
            if unit:
                return unit
        return self._unit_in("") if len(parts) == len(("host", "owner", "repository")) else ""

    def _unit_in(self, folder: str) -> str:
        """Return the package of a folder: the one most of its files are of; `main` cannot be imported."""
        counts: dict[str, int] = {}
        for path in self._world.modules(f"folder {folder}"):
            unit = self._world.unit(path)
            counts[unit] = counts.get(unit, 0) + 1
        importable = [unit for unit in counts if not unit.endswith("#main")]
        return max(importable or counts, key=lambda unit: (counts[unit], unit), default="")


def _shared(one: str, other: str) -> int:
    """Return how many leading folders two paths share."""
    count = 0
    for left, right in zip(one.split("/")[:-1], other.split("/")[:-1], strict=False):
        if left != right:
            break
        count += 1
    return count
