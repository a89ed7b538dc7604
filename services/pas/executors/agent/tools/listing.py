"""fs_list: the files of a folder, or those of the whole tree that fit a pattern."""

import asyncio
from collections.abc import Mapping

from pydantic import JsonValue

from services.broker.models import ToolSpec
from services.edits.disk import Kind
from services.pas.executors.agent.toolbox import MAX_RESULT_CHARS, ToolResult, ToolScene
from services.pas.executors.agent.tools.arguments import make_schema, read_text
from services.pas.executors.agent.tools.paths import Ground, PathRefusedError
from services.pas.executors.agent.tools.pattern import PatternRefusedError, compile_glob

_RESERVED_CHARS = 200


class ListTool:
    """Lists what the lane may see."""

    spec = ToolSpec(
        name="fs_list",
        description="List a folder, or with a glob such as `**/*.py` all files below it that fit.",
        parameters=make_schema({"path": {"type": "string"}, "glob": {"type": "string"}}),
    )

    async def run(self, arguments: Mapping[str, JsonValue], scene: ToolScene) -> ToolResult:
        return await asyncio.to_thread(_list, read_text(arguments, "path", "."), read_text(arguments, "glob"), scene)


def _list(path: str, glob: str, scene: ToolScene) -> ToolResult:
    ground = Ground(scene)
    try:
        folder = _find_folder(ground, path)
        rows = _find_files(ground, folder, glob) if glob else _list_folder(ground, folder)
    except PathRefusedError as error:
        return error.to_result("fs_list")
    except PatternRefusedError as error:
        return ToolResult(text=str(error), line=str(error)[:200], is_error=True)
    what = f"{glob} in {folder}" if glob else folder
    if not rows:
        return ToolResult(text=f"{what}: nothing there", line=f"listed {what}: nothing"[:200])
    text, count = _cap(rows)
    rest = f"\n[{len(rows) - count} more; narrow it with glob or path]" if count < len(rows) else ""
    return ToolResult(text=f"{what}: {len(rows)}\n{text}{rest}", line=f"listed {what}: {len(rows)}"[:200])


def _find_folder(ground: Ground, path: str) -> str:
    folder = ground.check_readable(path)
    kind = ground.kind_of(folder)
    if kind is not Kind.FOLDER:
        raise PathRefusedError(f"{folder} is no folder; list the one it lies in" if kind else ground.suggest(folder))
    return folder


def _list_folder(ground: Ground, folder: str) -> list[str]:
    place = "" if folder == "." else f"{folder}/"
    entries = ground.disk.list_folder(place.removesuffix("/"))
    return [f"{name}{_mark(kind)}" for name, kind in entries if ground.is_visible(f"{place}{name}")]


def _find_files(ground: Ground, folder: str, glob: str) -> list[str]:
    pattern = compile_glob(glob)
    place = "" if folder == "." else f"{folder}/"
    found = (path for path, kind in ground.walk(folder) if kind is not Kind.FOLDER)
    return [path for path in found if pattern.fits(path.removeprefix(place)) or pattern.fits(path)]


def _mark(kind: Kind) -> str:
    return {Kind.FOLDER: "/", Kind.LINK: " (symlink)", Kind.SPECIAL: " (no plain file)"}.get(kind, "")


def _cap(rows: list[str]) -> tuple[str, int]:
    """Return the rows that fit into one result, and how many they are."""
    size = 0
    for count, row in enumerate(rows):
        size += len(row) + 1
        if size > MAX_RESULT_CHARS - _RESERVED_CHARS:
            return "\n".join(rows[:count]), count
    return "\n".join(rows), len(rows)
