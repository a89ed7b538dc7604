"""Following targets across files: imports, re-exports, star imports, submodules, base classes, declared types."""

import sys
from dataclasses import dataclass, replace

from services.vector_ops.core.facts import Definition, dotted_of
from services.vector_ops.core.ports import Reader

_MAX_HOPS = 24
_MAX_BASES = 40


@dataclass(frozen=True, slots=True)
class Place:
    """What a target leads to: a module (no definition), or a definition; `is_instance` when it is an object of it.

    `is_typed` says that the way led over the type of a value, not over names alone.
    """

    path: str
    definition: Definition | None = None
    is_instance: bool = False
    is_typed: bool = False


class Outside:
    """A target that leads out of the repository, to the standard library or a dependency."""


OUTSIDE = Outside()
Found = Place | Outside | None
"""None: the target cannot be followed."""


class Resolver:
    """Follows targets over one reader; remembers what it found."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._targets: dict[tuple[str, str], Found] = {}
        self._modules: dict[tuple[str, str], str | None] = {}
        self._members: dict[tuple[str, str], Found] = {}

    def resolve(self, path: str, target: str, hops: int = 0) -> Found:
        """Return what `target`, as written in the file `path`, leads to."""
        key = (path, target)
        if key in self._targets:
            return self._targets[key]
        if hops > _MAX_HOPS or not target:
            return None
        self._targets[key] = None  # a target that leads to itself leads nowhere
        found = self._follow(path, target, hops)
        self._targets[key] = found
        return found

    def _follow(self, path: str, target: str, hops: int) -> Found:
        module, _, rest = target.partition(":")
        if module:
            home = self.find_module(module, path)
            if home is None:
                return OUTSIDE if not module.startswith(".") else self._follow_package(path, module, rest, hops)
            current: Found = Place(home)
        else:
            current = Place(path)
        for step in rest.split(".") if rest else []:
            if not isinstance(current, Place):
                return current
            current = self._step(current, step, hops + 1)
        return current

    def _follow_package(self, path: str, module: str, rest: str, hops: int) -> Found:
        """`from . import x` in a folder without __init__.py: x is a module beside this one."""
        first, _, others = rest.partition(".")
        joined = f"{module}{first.rstrip('()')}" if module.endswith(".") else f"{module}.{first.rstrip('()')}"
        if not rest or self.find_module(joined, path) is None:
            return OUTSIDE
        return self._follow(path, f"{joined}:{others}", hops + 1) if hops < _MAX_HOPS else None

    def _step(self, current: Place, step: str, hops: int) -> Found:
        name = step.rstrip("()^")
        found = self._member(current, name, hops) if name else current
        for mark in _marks(step):
            if not isinstance(found, Place):
                return found
            found = self._call(found, hops) if mark == "()" else self._base(found, hops)
        return found

    def _member(self, current: Place, name: str, hops: int) -> Found:
        if current.definition is None:
            return self.find_in_module(current.path, name, hops)
        if current.definition.kind in {"constant", "attribute"}:
            value = self._value(current, hops)
            return self._member(value, name, hops + 1) if isinstance(value, Place) and hops < _MAX_HOPS else value
        found = self._own(current, name)
        if found is not None or current.definition.kind != "class":
            return found
        return self._inherited(current, name, hops)

    def member_of(self, owner: Found, name: str) -> Found:
        """Return the member `name` of what a target led to."""
        return self._member(owner, name, 0) if isinstance(owner, Place) else owner

    def _own(self, current: Place, name: str) -> Place | None:
        qualname = f"{current.definition.qualname}.{name}" if current.definition else name
        found = self._reader.find_definitions_at(current.path, qualname)
        return Place(current.path, found[-1], is_typed=current.is_instance or current.is_typed) if found else None

    def _value(self, current: Place, hops: int) -> Found:
        """Return what a constant or attribute holds."""
        definition = current.definition
        if definition is None or not definition.type_target:
            return None
        return self.resolve(current.path, definition.type_target, hops + 1)

    def _call(self, current: Place, hops: int) -> Found:
        definition = current.definition
        if definition is None:
            return None
        if definition.kind == "class":
            return Place(current.path, definition, is_instance=True)
        value = self._value(current, hops)
        if definition.kind in {"constant", "attribute"}:
            return self._call(value, hops + 1) if isinstance(value, Place) and hops < _MAX_HOPS else value
        return value

    def _base(self, current: Place, hops: int) -> Found:
        """Return a stand-in whose members are looked up from the first base on."""
        bases = self.list_bases(current, hops)
        known = [base for base in bases if isinstance(base, Place)]
        return known[0] if known else (OUTSIDE if bases else None)

    def list_bases(self, current: Place, hops: int = 0) -> list[Found]:
        """Return what the bases of a class lead to."""
        if current.definition is None:
            return []
        return [self.resolve(current.path, base, hops + 1) for base in current.definition.bases]

    def _inherited(self, current: Place, name: str, hops: int) -> Found:
        """Look a member up in the bases, breadth first; a base outside the repository makes a miss unknowable."""
        queue, seen, is_partial = self.list_bases(current, hops), {_key(current)}, False
        while queue and len(seen) < _MAX_BASES:
            base = queue.pop(0)
            if not isinstance(base, Place) or base.definition is None:
                is_partial = True
                continue
            if _key(base) in seen:
                continue
            seen.add(_key(base))
            found = self._own(base, name)
            if found is not None:
                return replace(found, is_typed=found.is_typed or current.is_instance)
            queue.extend(self.list_bases(base, hops + 1))
        return OUTSIDE if is_partial else None

    def find_in_module(self, path: str, name: str, hops: int = 0) -> Found:
        """Return what `name` is in a module: defined there, imported, a submodule, or brought by a star import."""
        key = (path, name)
        if key not in self._members:
            self._members[key] = None
            self._members[key] = self._find_in_module(path, name, hops)
        return self._members[key]

    def _find_in_module(self, path: str, name: str, hops: int) -> Found:
        defined = self._reader.find_definitions_at(path, name)
        if defined:
            return Place(path, defined[-1])
        imported = self._reader.find_imports_at(path, name)
        for one in imported:
            entry = one.entry
            module = entry.module if entry.name or entry.local != entry.module.split(".")[0] else entry.local
            found = self.resolve(path, f"{module}:{entry.name}", hops + 1)
            if found is not None:
                return found
        return self._find_submodule(path, name) or self._find_starred(path, name, hops)

    def _find_submodule(self, path: str, name: str) -> Place | None:
        if not path.endswith(("/__init__.py", "/__init__.pyi")) and path != "__init__.py":
            return None
        home = self.find_module(f".{name}", path)
        return None if home is None else Place(home)

    def _find_starred(self, path: str, name: str, hops: int) -> Found:
        if name.startswith("_") or hops > _MAX_HOPS:
            return None
        found: Found = None
        for one in self._reader.find_imports_at(path, "*"):
            found = self.resolve(path, f"{one.entry.module}:{name}", hops + 1)
            if isinstance(found, Place):
                return found
        return found

    # modules to paths

    def find_module(self, module: str, path: str) -> str | None:
        """Return the path of `module` as imported in `path`, or None when it is not in the repository."""
        key = (module, path.rpartition("/")[0] if module.startswith(".") else "")
        if key not in self._modules:
            self._modules[key] = self._find_relative(module, path) if key[0][0] == "." else self._find_absolute(module)
        return self._modules[key]

    def _find_relative(self, module: str, path: str) -> str | None:
        name = module.lstrip(".")
        folders = path.split("/")[:-1]
        above = len(module) - len(name) - 1
        if above > len(folders):
            return None
        parts = [*folders[: len(folders) - above], *([*name.split(".")] if name else [])]
        base = "/".join(parts)
        candidates = [f"{base}.py", f"{base}/__init__.py", f"{base}.pyi", f"{base}/__init__.pyi"]
        return next((one for one in candidates if self._reader.has_path(one.removeprefix("/"))), None)

    def _find_absolute(self, module: str) -> str | None:
        stem = module.rsplit(".", 1)[-1]
        found = [path for path in self._reader.find_modules(stem) if self._is_module(path, module)]
        return min(found, key=lambda path: (path.endswith(".pyi"), path.count("/"), path), default=None)

    def _is_module(self, path: str, module: str) -> bool:
        dotted = dotted_of(path)
        if dotted == module:
            return True
        if not dotted.endswith(f".{module}") or module.split(".", maxsplit=1)[0] in sys.stdlib_module_names:
            return False
        # The folder above must be a root of imports (src, lib, a project of a monorepo), not itself a package.
        root = dotted[: -len(module) - 1].replace(".", "/")
        return not self._reader.has_path(f"{root}/__init__.py")


def _marks(step: str) -> list[str]:
    tail = step[len(step.rstrip("()^")) :]
    return ["^" if char == "^" else "()" for char in tail if char in "^)"]


def _key(place: Place) -> tuple[str, str]:
    return place.path, place.definition.qualname if place.definition else ""
