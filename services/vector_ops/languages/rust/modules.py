"""The module tree: which file a `mod` names, which file declares a file, where a crate begins."""

from services.vector_ops.languages.facts import FileFacts
from services.vector_ops.languages.world import World

MAX_HOPS = 24
_ROOT_NAMES = ("lib.rs", "main.rs", "mod.rs")
_ROOT_FOLDERS = frozenset({"tests", "examples", "benches", "bin"})


def strip_suffix(path: str) -> str:
    """Return the stem under which `mod` finds a file: `a/b` of a/b.rs and of a/b/mod.rs."""
    return path.removesuffix("/mod.rs") if path.endswith("/mod.rs") else path.removesuffix(".rs")


def list_tails(path: str, facts: FileFacts) -> tuple[str, ...]:
    """Return `crate:NAME` of a manifest, and `child:STEM` of each file that a file declares as a module of its own."""
    if path.endswith(".toml"):
        return (f"crate:{facts.package}",) if facts.package else ()
    found = [
        f"child:{stem}"
        for symbol in facts.symbols
        if symbol.kind == "module" and symbol.type
        for stem in list_stems(path, symbol.qualname, symbol.type)
    ]
    return tuple(dict.fromkeys(found))


def list_stems(path: str, qualname: str, declared: str) -> tuple[str, ...]:
    """Return the stems where `mod NAME;` may lie: beside a crate root or mod.rs, in the file's own folder else."""
    folder, _, name = path.rpartition("/")
    explicit = declared.removeprefix("file:")
    if explicit:
        return (_join(folder, explicit.removesuffix("/mod.rs").removesuffix(".rs")),)
    inner = qualname.replace(".", "/")
    beside, below = _join(folder, inner), _join(path.removesuffix(".rs"), inner)
    if name in _ROOT_NAMES or name == "build.rs":
        return (beside,)
    if folder.rpartition("/")[2] in _ROOT_FOLDERS:
        return (beside, below)
    return (below, beside)


def find_child(world: World, path: str, qualname: str, declared: str) -> str:
    """Return the file of a module that `path` declares without a body, or nothing."""
    for stem in list_stems(path, qualname, declared):
        for candidate in (f"{stem}.rs", f"{stem}/mod.rs"):
            if candidate != path and world.exists(candidate):
                return candidate
    return ""


def find_parent(world: World, path: str) -> str:
    """Return the file that declares this one as its module, or nothing: then it is the root of a crate."""
    if path.endswith(("/lib.rs", "/main.rs")) or path in {"lib.rs", "main.rs"}:
        return ""
    parents = [one for one in world.modules(f"child:{strip_suffix(path)}") if one != path]
    return min(parents, key=lambda one: _rank_parent(one, path)) if parents else ""


def _rank_parent(parent: str, path: str) -> tuple[int, str]:
    """Sort the likelier parents first: a file that declares `path` as its own child, then lib.rs before main.rs."""
    name = parent.rpartition("/")[2]
    if strip_suffix(parent) == strip_suffix(path).rpartition("/")[0]:
        return 0, parent
    return (1 + _ROOT_NAMES.index(name), parent) if name in _ROOT_NAMES else (len(_ROOT_NAMES) + 1, parent)


def find_crate_root(world: World, path: str) -> str:
    """Return the root file of the crate that a file belongs to."""
    for _ in range(MAX_HOPS):
        parent = find_parent(world, path)
        if not parent:
            break
        path = parent
    return path


def find_library(world: World, crate: str) -> str:
    """Return the root file of a crate of this repository by its name in code, or nothing: then it is foreign."""
    for manifest in world.modules(f"crate:{crate}"):
        folder = manifest.rpartition("/")[0]
        facts = world.facts(manifest)
        declared = [one[4:] for one in facts.notes if one.startswith("lib=")] if facts is not None else []
        for candidate in (*declared, "src/lib.rs", "src/main.rs"):
            if world.exists(_join(folder, candidate)):
                return _join(folder, candidate)
    return ""


def _join(folder: str, name: str) -> str:
    parts = [one for one in folder.split("/") if one]
    for one in name.split("/"):
        if one == ".." and parts:
            parts.pop()
        elif one not in {"", ".", ".."}:
            parts.append(one)
    return "/".join(parts)
