"""fs_read: a file's lines with their numbers."""

import asyncio
from collections.abc import Mapping

from pydantic import JsonValue

from services.broker.models import ToolSpec
from services.edits.text_document import Document, open_document
from services.edits.text_errors import TextEditRefusedError
from services.kernel.ids import Sha256
from services.pas.executors.agent.toolbox import MAX_RESULT_CHARS, ToolResult, ToolScene
from services.pas.executors.agent.tools.arguments import make_schema, read_int, read_text
from services.pas.executors.agent.tools.paths import Ground, PathRefusedError, digest

_MAX_LINE_CHARS = 2_000
_RESERVED_CHARS = 300


class ReadTool:
    """Shows a file and remembers that it did."""

    spec = ToolSpec(
        name="fs_read",
        description="Read a text file; lines come as `number<TAB>text`.",
        parameters=make_schema(
            {
                "path": {"type": "string"},
                "start_line": {"type": "integer", "minimum": 1},
                "end_line": {"type": "integer", "minimum": 1},
            },
            "path",
        ),
    )

    async def run(self, arguments: Mapping[str, JsonValue], scene: ToolScene) -> ToolResult:
        return await asyncio.to_thread(_read, arguments, Ground(scene))


def _read(arguments: Mapping[str, JsonValue], ground: Ground) -> ToolResult:
    try:
        path = ground.check_readable(read_text(arguments, "path"))
        content = ground.read_existing(path)
        document = open_document(path, content)
    except PathRefusedError as error:
        return error.to_result("fs_read")
    except TextEditRefusedError as error:
        return ToolResult(text=error.line, line=error.line[:200], is_error=True)
    total = len(document.lines)
    first = read_int(arguments, "start_line", 1)
    last = min(read_int(arguments, "end_line", total), total)
    if first > last and total:
        line = f"{path} has {total} lines; lines {first}-{last} are none of them"
        return ToolResult(text=line, line=line[:200], is_error=True)
    return _show(document, first, last, shown={path: digest(content)})


def _show(document: Document, first: int, last: int, shown: Mapping[str, Sha256]) -> ToolResult:
    path, total = document.path, len(document.lines)
    if not total:
        return ToolResult(text=f"{path} is empty", line=f"read {path} (empty)", shown=shown)
    rows: list[str] = []
    size, stop = 0, first - 1
    for number in range(first, last + 1):
        row = f"{number}\t{_cut(document.lines[number - 1])}"
        size += len(row) + 1
        if size > MAX_RESULT_CHARS - _RESERVED_CHARS and rows:
            break
        rows.append(row)
        stop = number
    head = f"{path}, lines {first}-{stop} of {total}"
    if document.newline == "\r\n":
        head += " (CRLF; edits keep that)"
    rest = f"\n[cut: go on with start_line={stop + 1}]" if stop < last else ""
    text = f"{head}\n" + "\n".join(rows) + rest
    return ToolResult(text=text, line=f"read {head}"[:200], shown=shown)


def _cut(line: str) -> str:
    plain = line.encode("utf-8", "replace").decode()
    if len(plain) <= _MAX_LINE_CHARS:
        return plain
    return f"{plain[:_MAX_LINE_CHARS]} [line cut: {len(plain)} characters]"
