"""fs_patch: search/replace edits or a unified diff, all of it or none; the loop writes the result."""

import asyncio
from collections.abc import Iterator, Mapping

from pydantic import JsonValue

from services.broker.models import ToolSpec
from services.edits.disk import Kind
from services.edits.text_blocks import Block, apply_blocks
from services.edits.text_diff import FilePatch, parse_diff
from services.edits.text_edits import TextEdits
from services.edits.text_errors import TextEditRefusedError
from services.edits.text_hunks import apply_diff
from services.pas.executors.agent.toolbox import ToolResult, ToolScene
from services.pas.executors.agent.tools.arguments import make_schema, read_text
from services.pas.executors.agent.tools.paths import Ground, PathRefusedError, digest
from services.pas.executors.agent.tools.validity import find_break

_MAX_EDITS = 100
_SHOWN_FILES = 5


class PatchTool:
    """Changes files."""

    spec = ToolSpec(
        name="fs_patch",
        description="Change files, all or none. Each edit's search must be whole lines that stand once in the file;"
        " empty search makes a file, delete removes it. Or give one unified diff.",
        parameters=make_schema(
            {
                "edits": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": _MAX_EDITS,
                    "items": make_schema(
                        {
                            "path": {"type": "string"},
                            "search": {"type": "string"},
                            "replace": {"type": "string"},
                            "delete": {"type": "boolean"},
                        },
                        "path",
                    ),
                },
                "diff": {"type": "string"},
            }
        ),
    )

    async def run(self, arguments: Mapping[str, JsonValue], scene: ToolScene) -> ToolResult:
        return await asyncio.to_thread(_patch, arguments, Ground(scene))


def _patch(arguments: Mapping[str, JsonValue], ground: Ground) -> ToolResult:
    try:
        edits, before = _apply(arguments, ground)
        broken = _find_broken(before, edits)
    except PathRefusedError as error:
        return error.to_result("fs_patch")
    except TextEditRefusedError as error:
        return ToolResult(text=error.detail, line=f"refused: {error.line}"[:200], is_error=True)
    if broken is not None:
        text = f"{broken}\nNothing was changed; send the whole edit again with that mended."
        return ToolResult(text=text, line=f"refused: {broken}"[:200], is_error=True)
    return _report(edits)


_Files = dict[str, bytes]


def _apply(arguments: Mapping[str, JsonValue], ground: Ground) -> tuple[TextEdits, _Files]:
    raw, diff = arguments.get("edits"), read_text(arguments, "diff")
    if isinstance(raw, list) == bool(diff):
        raise PathRefusedError("give either edits (a list of path, search, replace) or diff (a unified diff)")
    known = (path for path, kind in ground.walk() if kind is Kind.FILE)
    if diff:
        patches = _check_patches(parse_diff(diff), ground)
        files, stale, unchanged = _read_files(ground, (path for patch in patches for path in patch.paths))
        return apply_diff(files, patches, stale=stale, unchanged=unchanged, known=known), files
    blocks = [_make_block(item, ground) for item in raw] if isinstance(raw, list) else []
    files, stale, _ = _read_files(ground, (block.path for block in blocks))
    return apply_blocks(files, blocks, stale=stale, known=known), files


def _make_block(item: JsonValue, ground: Ground) -> Block:
    fields: Mapping[str, JsonValue] = item if isinstance(item, dict) else {}
    path = ground.check_writable(read_text(fields, "path"))
    is_deletion = fields.get("delete") is True
    if not is_deletion and "search" not in fields and "replace" not in fields:
        raise PathRefusedError(f"the edit of {path} has neither search nor replace; give both, or delete: true")
    return Block(path, read_text(fields, "search"), read_text(fields, "replace"), is_deletion)


def _check_patches(patches: tuple[FilePatch, ...], ground: Ground) -> tuple[FilePatch, ...]:
    return tuple(
        patch.moved(
            ground.check_writable(patch.old_path) if patch.old_path is not None else None,
            ground.check_writable(patch.new_path) if patch.new_path is not None else None,
        )
        for patch in patches
    )


def _read_files(ground: Ground, paths: Iterator[str]) -> tuple[_Files, frozenset[str], frozenset[str]]:
    """Return present contents, the paths that changed since they were shown, and those known not to have."""
    files: _Files = {}
    stale, unchanged = set(), set()
    for path in dict.fromkeys(paths):
        content = ground.read(path)
        if content is not None:
            files[path] = content
        shown = ground.scene.shown.get(path)
        if shown is not None and (content is None or digest(content) != shown):
            stale.add(path)
        elif shown is not None:
            unchanged.add(path)
    return files, frozenset(stale), frozenset(unchanged)


def _find_broken(before: _Files, edits: TextEdits) -> str | None:
    for path, content in edits.contents.items():
        problem = find_break(path, before.get(path), content) if content is not None else None
        if problem is not None:
            return f"{path}: the edit would break the file: {problem}"
    return None


def _report(edits: TextEdits) -> ToolResult:
    rows = [
        f"{each.path}: " + (each.how if each.is_whole else f"lines {each.first_line}-{each.last_line} ({each.how})")
        for each in edits.landings
    ]
    names = list(edits.contents)
    rest = f" and {len(names) - _SHOWN_FILES} more" if len(names) > _SHOWN_FILES else ""
    return ToolResult(
        text="applied:\n" + "\n".join(rows),
        line=f"changed {', '.join(names[:_SHOWN_FILES])}{rest}"[:200],
        changes=edits.contents,
        shown={path: digest(content) for path, content in edits.contents.items() if content is not None},
    )
