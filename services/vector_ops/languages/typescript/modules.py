"""Where a module is, by the name that an import gives it.

Relative paths as bundlers, TypeScript and Node find them; `paths` and `baseUrl` of the nearest tsconfig; packages of
the same repository by the `name` of their package.json, its `exports` and entries, whose built files are taken
back to the sources (`dist/x.js` -> `src/x.ts`).
"""

import posixpath
import re

from services.vector_ops.languages.world import World

_HOPS_CAP = 24
_DECLARED_OF = {".js": (".ts", ".tsx", ".d.ts"), ".mjs": (".mts", ".d.mts"), ".cjs": (".cts", ".d.cts")}
_ENDINGS = (".ts", ".tsx", ".d.ts", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs")
_SOURCES_OF = {
    ".js": (".ts", ".tsx", ".d.ts", ".jsx"),
    ".jsx": (".tsx", ".ts"),
    ".mjs": (".mts", ".ts", ".d.mts"),
    ".cjs": (".cts", ".ts", ".d.cts"),
}
_BUILT = frozenset({"dist", "lib", "build", "out", "es", "esm", "cjs", "types", "umd", "node", "module", "commonjs"})
_TEST_PATH = re.compile(
    r"(^|/)(__tests__|__mocks__|tests?|specs?|e2e|cypress)/|[._-](test|spec|e2e|cy)(-d)?\.[cm]?[jt]sx?$|(^|/)tests?\.[cm]?[jt]sx?$"
)
_CONFIGURATIONS = ("tsconfig.json", "jsconfig.json", "deno.json")


def is_test_path(path: str) -> bool:
    """Return whether a test runner takes this file for tests, by its name or folder."""
    return _TEST_PATH.search(path) is not None


class Modules:
    """The modules that one file and those it leads to import."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._found: dict[tuple[str, str], str] = {}
        self._aliases: dict[str, list[tuple[str, list[str]]]] = {}

    def locate(self, path: str, module: str) -> str:
        """Return the path of a module as imported from `path`, or nothing when it is not in the repository."""
        folder = path.rpartition("/")[0]
        key = (folder, module)
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = self._locate(folder, module)
        return found

    def _locate(self, folder: str, module: str) -> str:
        module = module.partition("?")[0]
        if module[:1] == ".":
            return self._complete(_join(folder, module))
        if not module or module.startswith(("node:", "/", "http:", "https:")):
            return ""
        return self._locate_alias(folder, module) or self._locate_package(folder, module)

    def _complete(self, base: str) -> str:
        """Return the file that a path without or with another ending stands for."""
        if base.startswith(".."):
            return ""
        exists = self._world.exists
        stem, ending = posixpath.splitext(base)
        if ending in _ENDINGS and exists(base):
            declared = (stem + other for other in _DECLARED_OF.get(ending, ()))
            return next((path for path in declared if exists(path)), base)
        prefix = f"{base}/" if base else ""
        tried = [stem + other for other in _SOURCES_OF.get(ending, ())]
        tried += [base + other for other in _ENDINGS]
        tried += [f"{prefix}index{other}" for other in _ENDINGS]
        for path in tried:
            if exists(path):
                return path
        return self._enter(base) if exists(f"{prefix}package.json") else ""

    def _locate_alias(self, folder: str, module: str) -> str:
        for pattern, targets in self._aliases_of(folder):
            head, star, tail = pattern.partition("*")
            if star:
                is_match = module.startswith(head) and module.endswith(tail) and len(module) >= len(head) + len(tail)
            else:
                is_match = module == pattern
            if is_match:
                middle = module[len(head) : len(module) - len(tail)] if star else ""
                for target in targets:
                    found = self._complete(target.replace("*", middle, 1))
                    if found:
                        return found
        return ""

    def _aliases_of(self, folder: str) -> list[tuple[str, list[str]]]:
        """Return (pattern, targets) of the configurations of a folder and those around it, the nearest first."""
        known = self._aliases.get(folder)
        if known is not None:
            return known
        found: list[tuple[str, list[str]]] = []
        for name in _CONFIGURATIONS:
            found.extend(self._read_aliases(_join(folder, name), 0))
        if folder:
            found.extend(self._aliases_of(folder.rpartition("/")[0]))
        self._aliases[folder] = found
        return found

    def _read_aliases(self, path: str, hops: int) -> list[tuple[str, list[str]]]:
        facts = self._world.facts(path) if hops < _HOPS_CAP and self._world.exists(path) else None
        if facts is None:
            return []
        folder = path.rpartition("/")[0]
        notes = [note.partition("=") for note in facts.notes]
        bases = [value for key, _, value in notes if key == "baseUrl"]
        base = _join(folder, bases[0]) if bases else folder
        targets: dict[str, list[str]] = {}
        for key, _, value in notes:
            if key == "path":
                pattern, _, target = value.partition("=")
                targets.setdefault(pattern, []).append(_join(base, target))
        found = sorted(targets.items(), key=lambda one: (-len(one[0].partition("*")[0]), one[0]))
        for key, _, value in notes:
            if key == "extends" and value[:1] == ".":
                other = _join(folder, value)
                found.extend(self._read_aliases(other if other.endswith(".json") else f"{other}.json", hops + 1))
        return [*found, ("*", [_join(base, "*")])] if bases else found

    def _locate_package(self, folder: str, module: str) -> str:
        if module[0] == "#":
            return self._locate_private(folder, module)
        parts = module.split("/")
        size = 2 if module[0] == "@" else 1
        name, rest = "/".join(parts[:size]), "/".join(parts[size:])
        for found in self._world.modules(name)[:2]:
            home = found.rpartition("/")[0]
            target = self._enter(home, f"./{rest}" if rest else ".")
            if target:
                return target
        return ""

    def _locate_private(self, folder: str, module: str) -> str:
        """Return the file of `#name`, by the `imports` of the nearest package.json."""
        for _hop in range(_HOPS_CAP):
            found = self._match(folder, module, "import")
            if found or not folder:
                return found
            folder = folder.rpartition("/")[0]
        return ""

    def _enter(self, home: str, part: str = ".") -> str:
        """Return the source of a package's entry, or of its part `./x`."""
        found = self._match(home, part, "export")
        if found:
            return found
        if part != ".":
            rest = part.removeprefix("./")
            return self._complete(_join(home, rest)) or self._complete(_join(home, f"src/{rest}"))
        facts = self._world.facts(_join(home, "package.json"))
        for note in facts.notes if facts is not None else ():
            key, _, target = note.partition("=")
            found = self._find_source(home, target) if key == "entry" else ""
            if found:
                return found
        names = [note.partition("=")[2].rpartition("/")[2] for note in (facts.notes if facts else ())[:1]]
        return self._complete_index(_join(home, "src"), names) or self._complete_index(home, names)

    def _complete_index(self, folder: str, extra: list[str]) -> str:
        names = ["index", "main", "mod", *extra, *(name.capitalize() for name in extra)]
        found = (f"{_join(folder, name)}{ending}" for name in names for ending in _ENDINGS)
        return next((path for path in found if self._world.exists(path)), "")

    def _match(self, home: str, part: str, label: str) -> str:
        """Return the source of what `exports` or `imports` of a package.json names `part`."""
        path = _join(home, "package.json")
        facts = self._world.facts(path) if self._world.exists(path) else None
        for note in facts.notes if facts is not None else ():
            key, _, pair = note.partition("=")
            pattern, _, target = pair.partition("=")
            if key != label:
                continue
            head, star, tail = pattern.partition("*")
            if pattern == part or (star and part.startswith(head) and part.endswith(tail)):
                middle = part[len(head) : len(part) - len(tail)] if star else ""
                found = self._find_source(home, target.replace("*", middle))
                if found:
                    return found
        return ""

    def _find_source(self, home: str, target: str) -> str:
        """Return the file itself, or the source that it was built from."""
        if not target.endswith((*_ENDINGS, ".json", "/")) and "." in target.rpartition("/")[2]:
            return ""
        base = _join(home, target)
        if self._world.exists(base) and not base.endswith(".json"):
            return base
        parts = target.removeprefix("./").split("/")
        while len(parts) > 1 and parts[0] in _BUILT:
            parts = parts[1:]
            stem = "/".join(parts)
            for ending in (".d.ts", ".d.mts", ".d.cts", ".js", ".mjs", ".cjs"):
                stem = stem.removesuffix(ending)
            stem = stem.removesuffix(".umd").removesuffix(".esm").removesuffix(".min")
            found = self._complete(_join(home, f"src/{stem}")) or self._complete(_join(home, stem))
            if found:
                return found
        return ""


def _join(folder: str, path: str) -> str:
    joined = posixpath.normpath(f"{folder}/{path}" if folder else path)
    return "" if joined == "." else joined
