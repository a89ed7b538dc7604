"""What a text names in so many words: identifiers, files, modules, and the frames of stack traces."""

import re
from collections.abc import Iterator
from typing import NamedTuple

_MAX_MENTIONS = 400
_SUFFIXES = (
    "py|pyi|pyx|ts|tsx|mts|cts|js|jsx|mjs|cjs|vue|svelte|rs|go|java|kt|scala|c|cc|cpp|cxx|h|hh|hpp|hxx|cs|rb|rake|php|"
    "swift|m|y|l|md|rst|txt|html|css|scss|json|toml|yaml|yml|ini|cfg|sql|sh|proto|tmpl|gotmpl|feature|tcl|lua"
)
_PATH = re.compile(
    rf"(?<![\w.])((?:~|\.{{1,2}})?(?:[\w@.+-]{{0,60}}[/\\]){{0,24}}[\w.@+-]{{0,60}}\w\.(?:{_SUFFIXES}))(?![\w/\\])",
    re.ASCII,
)
_FOLDER = re.compile(r"(?<![\w./\\:<-])((?:[\w-]{1,60}/){2,12}[\w-]{0,60})(?![\w/])", re.ASCII)
_FRAMES = (
    re.compile(r'File "(?P<path>[^"\n]{1,300})", line (?P<line>\d+)(?:, in (?P<name>[\w.<>]+))?'),
    re.compile(
        r"\bat (?:async )?(?P<name>[\w.$<>]{1,120}) \((?:\w{1,10}:///?)?(?P<path>[^():\n]{1,300}):(?P<line>\d+)"
    ),
    re.compile(
        rf"(?<![\w@./\\+-])(?P<path>[\w@./\\+-]{{1,300}}\.(?:{_SUFFIXES}))"
        r"(?:[:(]|#L|\", line |:line )(?P<line>\d+)(?P<name>)",
        re.ASCII,
    ),
)
_DOTTED = re.compile(r"(?<![\w./\\])([^\W\d]\w{0,80}(?:(?:\.|::|#|->)[^\W\d]\w{0,80}){1,8})(?![\w/])(?P<call>\()?")
_CODE_NAME = re.compile(r"(?<![\w.])[^\W\d]\w{0,80}")
_CAMEL = re.compile(r"[a-z0-9][A-Z]|[A-Z]{2,}[a-z]")
_TICKED = re.compile(r"(?<!`)`{1,2}([^`\n]{1,120})`{1,2}(?!`)")
_SEPARATOR = re.compile(r"\.|::|#|->")


class Frame(NamedTuple):
    """A line of a stack trace, or a link to a line."""

    path: str
    line: int
    name: str


class Mentions(NamedTuple):
    """What a text names; in the order of the text, without repetitions (frames: innermost last, as they stand).

    `names` are single identifiers that look like code; `dotted` are chains such as `models.Q.resolve`, split.
    """

    names: tuple[str, ...]
    dotted: tuple[tuple[str, ...], ...]
    paths: tuple[str, ...]
    folders: tuple[str, ...]
    frames: tuple[Frame, ...]


def find_mentions(text: str) -> Mentions:
    """Return what a text names, at most a few hundred of each kind."""
    paths = [one.replace("\\", "/").lstrip("~") for one in _PATH.findall(text)]
    dotted = [tuple(_SEPARATOR.split(match[1])) for match in _DOTTED.finditer(text)]
    return Mentions(
        _distinct(_find_names(text)),
        _distinct(parts for parts in dotted if len(parts[0]) > 1 or len(parts) > 1),
        _distinct(paths),
        _distinct(one.strip("/") for one in _FOLDER.findall(text)),
        tuple(_find_frames(text)),
    )


def _distinct(found: Iterator[object] | list[str]) -> tuple:  # type: ignore[type-arg]
    return tuple(dict.fromkeys(found))[:_MAX_MENTIONS]


def _find_names(text: str) -> Iterator[str]:
    for quoted in _TICKED.findall(text):
        yield from _CODE_NAME.findall(quoted)
    for match in _CODE_NAME.finditer(text):
        name = match[0]
        if looks_like_code(name) or text[match.end() : match.end() + 1] == "(":
            yield name


def looks_like_code(name: str) -> bool:
    """Say whether a word is written as no prose would write it: with an underscore or a capital inside."""
    return "_" in name.strip("_") or name.startswith("_") or bool(_CAMEL.search(name))


def _find_frames(text: str) -> Iterator[Frame]:
    found: dict[tuple[int, int], Frame] = {}
    for pattern in _FRAMES:
        for match in pattern.finditer(text):
            span = match.span("path")
            found.setdefault(span, Frame(match["path"].replace("\\", "/"), int(match["line"][:9]), match["name"] or ""))
    for _span, frame in sorted(found.items())[:_MAX_MENTIONS]:
        yield frame
