"""Names across files: what a name at the top of a file is bound to, and what a module exports under it."""

from services.vector_ops.languages.facts import Import
from services.vector_ops.languages.typescript.modules import Modules, is_test_path
from services.vector_ops.languages.typescript.shapes import OUTSIDE, Context, Module, Shapes, Value
from services.vector_ops.languages.world import SymbolAt, World

_HOPS_CAP = 24
_STARS_CAP = 200
_DECLARING_CAP = 40
_VALUES = frozenset({"class", "function", "enum", "constant", "variable"})
_ORDER = {"class": 0, "function": 1, "enum": 2, "constant": 3, "variable": 4, "module": 5, "interface": 6, "type": 7}


class Names:
    """Names of the files that the resolution of one file leads to."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.modules = Modules(world)
        self._found: dict[tuple[str, str], Shapes] = {}
        self._exports: dict[tuple[str, str], Shapes] = {}
        self._globals: dict[str, Shapes] = {}

    def find_name(self, path: str, name: str, hops: int = 0) -> Shapes:
        """Return what the name is bound to at the top of a file; values before types; nothing when unbound."""
        key = (path, name)
        found = self._found.get(key)
        if found is None:
            self._found[key] = ()
            found = self._found[key] = self._find_name(path, name, hops)
        return found

    def _find_name(self, path: str, name: str, hops: int) -> Shapes:
        if hops > _HOPS_CAP:
            return ()
        own = self._own_symbols(path, name)
        if own:
            return own
        for _path, entry in self.world.bindings(path, name):
            if not entry.is_export:
                return self.follow(path, entry, hops + 1)
        return ()

    def _own_symbols(self, path: str, name: str) -> Shapes:
        found = [one for one in self.world.symbols(path, name) if not one.symbol.is_test]
        context = Context(path)
        return tuple([Value(one, context) for one in sorted(found, key=rank)])

    def find_global(self, name: str) -> Shapes:
        """Return what files declare under a name for all others; something outside when none does."""
        found = self._globals.get(name)
        if found is None:
            found = self._globals[name] = self._find_global(name) or OUTSIDE
        return found

    def _find_global(self, name: str) -> Shapes:
        """Return the value of the first file that declares one, and all types: interfaces are merged.

        What tests declare counts only when nothing else does.
        """
        paths = self.world.modules(f"global:{name}")
        paths = tuple(path for path in paths if not is_test_path(path)) or paths
        values: list[Value] = []
        types: list[Value] = []
        for path in paths[:_DECLARING_CAP]:
            found = self.world.symbols(path, f"global.{name}") or self.world.symbols(path, name)
            context = Context(path)
            own = [Value(one, context) for one in found if one.symbol.kind in _VALUES]
            values = values or own
            types.extend(Value(one, context) for one in found if one.symbol.kind not in _VALUES)
        return (*values, *types)

    def follow(self, path: str, entry: Import, hops: int = 0) -> Shapes:
        """Return what an import brings; something outside when its module is not in the repository."""
        if not entry.module:
            return self.find_name(path, entry.name, hops)
        target = self.modules.locate(path, entry.module)
        if not target:
            return OUTSIDE
        if entry.name == "":
            return (Module(target),)
        return self.find_export(target, entry.name, hops)

    def find_export(self, path: str, name: str, hops: int = 0) -> Shapes:
        """Return what a module exports under a name."""
        key = (path, name)
        found = self._exports.get(key)
        if found is None:
            self._exports[key] = ()
            found = self._exports[key] = self._find_export(path, name, hops)
        return found

    def _find_export(self, path: str, name: str, hops: int) -> Shapes:
        if hops > _HOPS_CAP:
            return ()
        for _path, entry in self.world.bindings(path, name):
            if entry.is_export:
                return self.follow(path, entry, hops + 1)
        found = self._own_symbols(path, name)
        if found:
            return found
        return self._find_whole(path, name, hops) or self._find_starred(path, name, hops)

    def _find_starred(self, path: str, name: str, hops: int) -> Shapes:
        if name in {"default", "export="}:
            return ()
        for _path, entry in self.world.bindings(path, "*")[:_STARS_CAP]:
            target = self.modules.locate(path, entry.module) if entry.is_export else ""
            found = self.find_export(target, name, hops + 1) if target else ()
            if found:
                return found
        return ()

    def _find_whole(self, path: str, name: str, hops: int) -> Shapes:
        """Return a member of what `module.exports =` names; as the default, all of it."""
        if name == "export=":
            return self.find_export(path, "default", hops + 1) or (Module(path),)
        whole = self._own_symbols(path, "export=") or tuple(
            shape
            for _path, entry in self.world.bindings(path, "export=")
            if entry.is_export
            for shape in self.follow(path, entry, hops + 1)
        )
        if not whole or name == "default":
            return whole
        held = [one.one for one in whole if isinstance(one, Value)]
        owners = dict.fromkeys([(path, "export="), *[(one.path, one.symbol.qualname) for one in held]])
        found = [self._own_symbols(place, f"{owner}.{name}") for place, owner in owners]
        return next((one for one in found if one), ())


def rank(one: SymbolAt) -> int:
    """Return how late a symbol comes among those of one name: values before types."""
    return _ORDER.get(one.symbol.kind, 8)
