"""Parameters that pytest fills: a test's parameter is what the fixture of its name gives."""

import re

from services.vector_ops.languages.facts import FILE, Reference
from services.vector_ops.languages.python.following import Follower
from services.vector_ops.languages.python.modules import is_test_path
from services.vector_ops.languages.python.places import Form, Place, Places
from services.vector_ops.languages.world import SourceFile, World

_MAX_FOLDERS = 12


class Fixtures:
    """The fixtures that the tests of one file may ask for."""

    def __init__(self, file: SourceFile, world: World, follower: Follower) -> None:
        self._file = file
        self._world = world
        self._follower = follower
        self._is_test = is_test_path(file.path)
        self._given: dict[str, Places] = {}

    def find_method(self, reference: Reference) -> Places:
        """Return the method that is called on a parameter which a fixture of the file or of a conftest.py fills."""
        name = reference.target[1:]
        if not self._is_test or not name.isidentifier() or not self._is_parameter(name, reference.scope):
            return ()
        given = self._given.get(name)
        if given is None:
            given = self._given[name] = self._find_given(name)
        found = (one for place in given for one in self._follower.member(place, reference.name))
        return tuple(one for one in found if one.form == Form.SYMBOL)

    def _is_parameter(self, name: str, scope: int) -> bool:
        symbols = self._file.facts.symbols
        for _ in range(_MAX_FOLDERS):
            if not FILE < scope < len(symbols):
                return False
            if re.search(rf"[(,] *{name}\b *[,:)]", symbols[scope].signature):
                return True
            scope = symbols[scope].owner
        return False

    def _find_given(self, name: str) -> Places:
        """Return what the nearest fixture of a name gives; one that yields gives what it yields."""
        folder = self._file.path.rpartition("/")[0]
        for path in (self._file.path, *_list_conftests(folder)):
            found = self._world.symbols(path, name) if self._world.exists(path) else ()
            if found and found[-1].symbol.kind == "function":
                place = Place(Form.SYMBOL, found[-1].path, found[-1].at, found[-1].symbol)
                given = self._follower.call(place)
                return tuple(one.inner if one.form == Form.CONTAINER and one.inner else one for one in given)
        return ()


def _list_conftests(folder: str) -> list[str]:
    paths = []
    for _ in range(_MAX_FOLDERS):
        paths.append(f"{folder}/conftest.py" if folder else "conftest.py")
        if not folder:
            break
        folder = folder.rpartition("/")[0]
    return paths
