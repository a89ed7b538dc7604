"""What a Cargo.toml says: the name of its crate, and where other targets than the usual ones lie."""

import tomllib
from typing import Any

from services.vector_ops.languages.facts import FileFacts

_KEPT = 200


def extract_cargo(content: bytes) -> FileFacts:
    """Return the facts of a Cargo.toml: `package` is the crate's name in code, notes are `key=value`.

    Notes: `lib=PATH` where the library lies, `root=PATH` of other targets, `dep:NAME=CRATE` for renamed dependencies.
    """
    try:
        document = tomllib.loads(content.decode("utf-8", "replace"))
    except (tomllib.TOMLDecodeError, RecursionError):
        return FileFacts("rust")
    package, library = _table(document, "package"), _table(document, "lib")
    name = library.get("name") or package.get("name") or ""
    notes = [f"lib={library['path']}"] if isinstance(library.get("path"), str) else []
    for kind in ("bin", "test", "example", "bench"):
        targets = document.get(kind)
        listed = targets[:_KEPT] if isinstance(targets, list) else []
        notes += [f"root={one['path']}" for one in listed if isinstance(one, dict) and isinstance(one.get("path"), str)]
    for kind in ("dependencies", "dev-dependencies", "build-dependencies"):
        notes += _list_renamed(_table(document, kind))
    return FileFacts("rust", package=_in_code(name) if isinstance(name, str) else "", notes=tuple(notes))


def _list_renamed(dependencies: dict[str, Any]) -> list[str]:
    return [
        f"dep:{_in_code(local)}={_in_code(one['package'])}"
        for local, one in list(dependencies.items())[:_KEPT]
        if isinstance(one, dict) and isinstance(one.get("package"), str)
    ]


def _table(document: dict[str, Any], key: str) -> dict[str, Any]:
    found = document.get(key)
    return found if isinstance(found, dict) else {}


def _in_code(name: str) -> str:
    return name.replace("-", "_")
