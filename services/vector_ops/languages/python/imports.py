"""Which file a module name means where it is written."""

import sys

from services.vector_ops.languages.python.modules import dotted_of
from services.vector_ops.languages.world import World

_STANDARD = sys.stdlib_module_names
_ENDINGS = (".py", "/__init__.py", ".pyi", "/__init__.pyi")


class Imports:
    """Finds modules for one resolution."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._known: dict[tuple[str, str], str | None] = {}

    def find_module(self, module: str, path: str) -> str | None:
        """Return the path of `module` as imported in `path`, or None when it is not in the repository."""
        key = (module, path.rpartition("/")[0])
        if key not in self._known:
            found = self._find_relative(module, path) if module[:1] == "." else self._find_absolute(module, path)
            self._known[key] = found
        return self._known[key]

    def absolute_name(self, module: str, path: str) -> str:
        """Return a module name with its leading dots replaced by the package that they mean."""
        name = module.lstrip(".")
        folders = path.split("/")[:-1]
        above = len(module) - len(name) - 1
        if above < 0:
            return module
        kept = folders[: max(0, len(folders) - above)]
        return ".".join([*kept, *([name] if name else [])])

    def find_submodule(self, path: str, name: str) -> str | None:
        """Return the path of a module that lies in the package of `path`."""
        folder, _, filename = path.rpartition("/")
        if not filename.startswith("__init__."):
            return None
        return self._find_at(f"{folder}/{name}" if folder else name)

    def _find_relative(self, module: str, path: str) -> str | None:
        name = module.lstrip(".")
        folders = path.split("/")[:-1]
        above = len(module) - len(name) - 1
        if above > len(folders):
            return None
        parts = [*folders[: len(folders) - above], *(name.split(".") if name else [])]
        return self._find_at("/".join(parts))

    def _find_at(self, base: str) -> str | None:
        return next((found for end in _ENDINGS if self._world.exists(found := f"{base}{end}".removeprefix("/"))), None)

    def _find_absolute(self, module: str, path: str) -> str | None:
        is_standard = module.split(".", 1)[0] in _STANDARD
        found = [one for one in self._world.modules(module) if self._is_module(one, module, is_standard=is_standard)]
        if found:
            folders = path.split("/")
            return min(found, key=lambda one: (one.endswith(".pyi"), -_shared(one.split("/"), folders), len(one), one))
        return None if is_standard else self._find_beside(module, path)

    def _find_beside(self, module: str, path: str) -> str | None:
        """Find a module in the folder of a script: it is importable there, unless the folder is a package."""
        folder = path.rpartition("/")[0]
        if not folder or self._world.exists(f"{folder}/__init__.py"):
            return None
        return self._find_at(f"{folder}/{module.replace('.', '/')}")

    def _is_module(self, path: str, module: str, *, is_standard: bool) -> bool:
        dotted = dotted_of(path)
        if dotted == module:
            return True
        if is_standard or not dotted.endswith(f".{module}"):
            return False
        # The folder above must be a root of imports (src, lib, a project of a monorepo), not itself a package.
        root = dotted[: -len(module) - 1].replace(".", "/")
        return not self._world.exists(f"{root}/__init__.py")


def _shared(one: list[str], other: list[str]) -> int:
    count = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        count += 1
    return count
