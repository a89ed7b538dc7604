"""fs_search: a text or a bounded regular expression, line by line, through what the lane may see."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby

from pydantic import JsonValue

from services.broker.models import ToolSpec
from services.edits.disk import Kind
from services.edits.tree import MODE_LINK
from services.pas.executors.agent.toolbox import MAX_RESULT_CHARS, ToolResult, ToolScene
from services.pas.executors.agent.tools.arguments import make_schema, read_int, read_text
from services.pas.executors.agent.tools.paths import Ground, PathRefusedError
from services.pas.executors.agent.tools.pattern import (
    LinePattern,
    PathPattern,
    PatternRefusedError,
    compile_glob,
    compile_pattern,
)

MAX_FILE_BYTES = 2_000_000
MAX_HITS = 200
MAX_TIME_S = 5.0
_DEFAULT_HITS = 50
_MAX_TEXT_CHARS = 200
_RESERVED_CHARS = 400


class SearchTool:
    """Searches file contents. `read_clock` gives seconds that never go back."""

    spec = ToolSpec(
        name="fs_search",
        description="Find a text (or, with regex, a Python regular expression) in files: `path:line: text`.",
        parameters=make_schema(
            {
                "pattern": {"type": "string", "minLength": 1},
                "regex": {"type": "boolean"},
                "ignore_case": {"type": "boolean"},
                "glob": {"type": "string"},
                "path": {"type": "string"},
                "max_hits": {"type": "integer", "minimum": 1, "maximum": MAX_HITS},
            },
            "pattern",
        ),
    )

    def __init__(self, read_clock: Callable[[], float] = time.monotonic) -> None:
        self._read_clock = read_clock

    async def run(self, arguments: Mapping[str, JsonValue], scene: ToolScene) -> ToolResult:
        return await asyncio.to_thread(self._search, arguments, Ground(scene))

    def _search(self, arguments: Mapping[str, JsonValue], ground: Ground) -> ToolResult:
        wanted = read_text(arguments, "pattern")
        try:
            pattern = compile_pattern(
                wanted, is_regex=arguments.get("regex") is True, ignores_case=arguments.get("ignore_case") is True
            )
            glob = read_text(arguments, "glob")
            found = _Found(read_int(arguments, "max_hits", _DEFAULT_HITS), pattern.line_cap)
            paths = _choose(ground, read_text(arguments, "path", "."), compile_glob(glob) if glob else None)
            deadline = self._read_clock() + MAX_TIME_S
            for path, content in _read_all(ground, paths):
                if found.is_full or self._read_clock() > deadline:
                    found.is_cut = not found.is_full
                    break
                _search_file(path, content, pattern, found, lambda: self._read_clock() > deadline)
        except PathRefusedError as error:
            return error.to_result("fs_search")
        except PatternRefusedError as error:
            return ToolResult(text=str(error), line=str(error)[:200], is_error=True)
        return found.report(wanted)


@dataclass
class _Found:
    """Hits so far, and what was not looked at."""

    limit: int
    line_cap: int
    rows: list[str] = field(default_factory=list)
    size: int = 0
    files: int = 0
    long_lines: int = 0
    is_cut: bool = False

    @property
    def is_full(self) -> bool:
        return len(self.rows) >= self.limit or self.size > MAX_RESULT_CHARS - _RESERVED_CHARS

    def add(self, path: str, number: int, line: str) -> None:
        row = f"{path}:{number}: {line.strip()[:_MAX_TEXT_CHARS]}"
        self.rows.append(row)
        self.size += len(row) + 1

    def report(self, wanted: str) -> ToolResult:
        notes = []
        if self.is_full:
            notes.append("there may be more; narrow it with glob, path or a longer pattern")
        if self.is_cut:
            notes.append(f"stopped after {MAX_TIME_S:.0f} s: not all files were searched; narrow it with glob or path")
        if self.long_lines:
            notes.append(f"{self.long_lines} lines were searched only in their first {self.line_cap} characters")
        line = f"{len(self.rows)} hits for {wanted[:80]!r} ({self.files} files searched)"
        text = "\n".join([line, *self.rows, *(f"[{note}]" for note in notes)])
        return ToolResult(text=text, line=line[:200])


def _choose(ground: Ground, path: str, pattern: PathPattern | None) -> Iterator[str]:
    place = ground.check_readable(path)
    kind = ground.kind_of(place)
    if kind is Kind.FILE:
        yield place
        return
    if kind is not Kind.FOLDER:
        raise PathRefusedError(ground.suggest(place))
    for each, what in ground.walk(place):
        inner = each.removeprefix(f"{place}/")
        if what is Kind.FILE and (pattern is None or pattern.fits(each) or pattern.fits(inner)):
            yield each


def _read_all(ground: Ground, paths: Iterator[str]) -> Iterator[tuple[str, bytes]]:
    """Yield the text files, folder by folder, each folder opened once."""
    for folder, group in groupby(paths, key=lambda path: path.rpartition("/")[0]):
        prefix = f"{folder}/" if folder else ""
        names = [path.removeprefix(prefix) for path in group]
        for name, file in ground.disk.read_files(folder, names, MAX_FILE_BYTES):
            if file.data is not None and file.mode != MODE_LINK and b"\0" not in file.data[:8192]:
                yield f"{prefix}{name}", file.data


def _search_file(path: str, content: bytes, pattern: LinePattern, found: _Found, is_late: Callable[[], bool]) -> None:
    found.files += 1
    text = content.decode("utf-8", "replace")
    search, cap = pattern.expression.search, pattern.line_cap
    if pattern.is_literal and search(text) is None:
        return
    for number, line in enumerate(text.split("\n"), start=1):
        is_long = len(line) > cap
        found.long_lines += is_long
        if search(line[:cap] if is_long else line):
            found.add(path, number, line)
            if found.is_full:
                return
        if not pattern.is_literal and is_late():
            found.is_cut = True
            return
