"""tsconfig.json, jsconfig.json, package.json and deno.json as notes: how modules are found by name.

Notes are `key=value` lines: `name=`, `entry=` (main, module, types, source; several), `export=./sub=./file`,
`import=#sub=./file`, `baseUrl=`, `path=@/*=./src/*`, `extends=`, `root=` (rootDir, outDir).
"""

import json
import re

_COMMENT = re.compile(r'"(?:[^"\\\n]|\\.)*"|//[^\n]*|/\*.*?\*/', re.DOTALL)
_TRAILING = re.compile(r",(\s*[}\]])")
_ENTRIES = ("types", "typings", "source", "module", "main", "browser")
_TARGETS_CAP = 400
_CONDITIONS_CAP = 12
_DEPTH_CAP = 6


def read_configuration(content: bytes) -> tuple[str, ...]:
    """Return the notes of a configuration; none when it is not JSON, comments and trailing commas allowed."""
    text = content.decode("utf-8", "replace").removeprefix("\ufeff")
    try:
        held = json.loads(text)
    except (ValueError, RecursionError):
        plain = _TRAILING.sub(r"\1", _COMMENT.sub(_keep_string, text))
        try:
            held = json.loads(plain)
        except (ValueError, RecursionError):
            return ()
    if not isinstance(held, dict):
        return ()
    return tuple(_read_package(held) + _read_compiler(held))[: 2 * _TARGETS_CAP]


def _keep_string(found: re.Match[str]) -> str:
    return found[0] if found[0][0] == '"' else " "


def _read_package(held: dict[str, object]) -> list[str]:
    notes = []
    name = held.get("name")
    if isinstance(name, str) and name and "=" not in name:
        notes.append(f"name={name}")
    for key in _ENTRIES:
        value = held.get(key)
        if isinstance(value, str):
            notes.append(f"entry={value}")
    for label in ("exports", "imports"):
        notes.extend(_read_targets(label, held.get(label)))
    return notes


def _read_targets(label: str, value: object) -> list[str]:
    """Return `export=./sub=./file` for every path that a map of `exports` or `imports` names."""
    note = label.removesuffix("s")
    if isinstance(value, str):
        return [f"{note}=.={value}"]
    if not isinstance(value, dict):
        return []
    is_map = all(key[:1] in ".#@" or not key.isidentifier() for key in value)
    pairs = list(value.items()) if is_map or label == "imports" else [(".", value)]
    found: list[str] = []
    for key, one in pairs[:_TARGETS_CAP]:
        found.extend(f"{note}={key}={target}" for target in _list_targets(one))
    return found


def _list_targets(value: object) -> list[str]:
    found: list[str] = []
    todo: list[tuple[object, int]] = [(value, 0)]
    while todo and len(found) < _CONDITIONS_CAP:
        one, depth = todo.pop()
        if isinstance(one, str):
            found.append(one)
        elif depth < _DEPTH_CAP and isinstance(one, dict):
            todo.extend((two, depth + 1) for two in reversed(one.values()))
        elif depth < _DEPTH_CAP and isinstance(one, list):
            todo.extend((two, depth + 1) for two in reversed(one))
    return found


def _read_compiler(held: dict[str, object]) -> list[str]:
    notes: list[str] = []
    extended = held.get("extends")
    several = extended if isinstance(extended, list) else [extended]
    notes.extend(f"extends={one}" for one in several if isinstance(one, str))
    options = held.get("compilerOptions")
    if not isinstance(options, dict):
        return notes
    base = options.get("baseUrl")
    if isinstance(base, str):
        notes.append(f"baseUrl={base}")
    paths = options.get("paths")
    for key, targets in paths.items() if isinstance(paths, dict) else ():
        notes.extend(f"path={key}={one}" for one in targets if isinstance(one, str)) if isinstance(targets, list) else 0
    return notes
