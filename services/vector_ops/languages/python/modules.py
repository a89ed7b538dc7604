"""Names of modules and the paths that hold them."""

_ROOTS = frozenset({"src", "lib", "python", "packages"})
_INIT = "__init__"


def dotted_of(path: str) -> str:
    """Return the dotted module name of a path, from the root of the repository."""
    stem = path.rsplit(".", 1)[0]
    if stem == _INIT:
        return ""
    return stem.removesuffix(f"/{_INIT}").replace("/", ".")


def tails_of(path: str) -> tuple[str, ...]:
    """Return the dotted names by which a module may be imported, longest first.

    A bare last name is among them only at the top of the repository or of a folder that roots imports (src, lib): any
    other module is found by at least the package that holds it.
    """
    dotted = dotted_of(path)
    if not dotted:
        return ()
    parts = dotted.split(".")
    is_package = path.rsplit(".", 1)[0].endswith(f"/{_INIT}")
    tails = [".".join(parts[start:]) for start in range(len(parts) - 1)]
    if len(parts) == 1 or is_package or parts[-2] in _ROOTS:
        tails.append(parts[-1])
    return tuple(dict.fromkeys(tails))


def is_test_path(path: str) -> bool:
    """Return whether the path is test code by Python's customs."""
    *folders, name = path.lower().split("/")
    if any(one in {"tests", "test", "testing"} for one in folders):
        return True
    return name.startswith("test_") or name.split(".", 1)[0].endswith("_test") or name == "conftest.py"
