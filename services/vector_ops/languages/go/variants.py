"""Several definitions of one name: those of the build at hand, and those of other builds."""

from services.vector_ops.languages.go.builds import fits, list_builds, tell_constraint
from services.vector_ops.languages.go.gomod import CONSTRAINT
from services.vector_ops.languages.world import SourceFile, SymbolAt, World


class Variants:
    """Chooses among definitions that one package has under one name, for one file; `units`: those of files."""

    def __init__(self, file: SourceFile, world: World, units: dict[str, str]) -> None:
        self._file = file
        self._world = world
        self._units = units
        self._expressions: dict[str, dict[str, str]] = {}
        self._build: frozenset[str] | None = None
        self.others: dict[tuple[str, int], tuple[SymbolAt, ...]] = {}
        """What other builds define in place of a definition, by its path and place."""

    def choose(self, found: tuple[SymbolAt, ...]) -> tuple[SymbolAt, ...]:
        """Return the definitions that the build of the file takes: all when none is, or when they are of one file."""
        if len({one.path for one in found}) == 1:
            return found
        own = tuple(one for one in found if one.path == self._file.path)
        chosen = own or tuple(one for one in found if fits(self._constrain(one.path), self._find_build()))
        if not chosen:
            return found
        others = tuple(one for one in found if one not in chosen)
        self.others.update({(one.path, one.at): others for one in chosen if others})
        return chosen

    def _find_build(self) -> frozenset[str]:
        if self._build is None:
            self._build = list_builds(self._constrain(self._file.path))[0]
        return self._build

    def _constrain(self, path: str) -> str:
        """Return the constraint of a file; asks only where a name is defined more than once."""
        unit = self._units.get(path, self._file.unit)
        found = self._expressions.get(unit)
        if found is None:
            entries = self._world.bindings(unit, CONSTRAINT)
            found = self._expressions[unit] = {at: entry.module for at, entry in entries}
        return tell_constraint(path, found.get(path, ""))
