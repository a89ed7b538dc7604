"""Text for people: which stretches of it are code, and where a name stands in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

# `code` is Python; `other` is code of another language; `prose` is everything between.
Style = Literal["code", "other", "prose"]

_FENCE = re.compile(r"^[ \t]*(?:>[ \t]*)*(`{3,}|~{3,})[ \t]*(?:\{?\.?([\w+-]*))?")
_DIRECTIVE = re.compile(r"^([ \t]*)\.\. (?:code-block|code|sourcecode|highlight|doctest|testcode)::[ \t]*(\w*)")
_OBJECT = re.compile(r"^[ \t]*\.\. (?:auto\w+|(?:py:)?(?:function|method|class|data|attribute|decorator))::")
_DOCTEST = re.compile(r"^[ \t]*(?:>>>|\.\.\.)(?: |$)")
_SPAN = re.compile(r"(?<!`)(`+)(?!`)((?:(?!\n[ \t]*\n).)+?)(?<!`)\1(?!`)", re.DOTALL)
_PYTHON = frozenset({"", "python", "py", "python3", "py3", "pycon", "ipython", "ipython3", "doctest", "pyi"})
_DOTTED = re.compile(r"[\w.]*\.$")
_INDENT = re.compile(r"[ \t]*")


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a text in one style; `start` counts characters."""

    start: int
    text: str
    style: Style


@dataclass(frozen=True, slots=True)
class Mention:
    """The name at a character offset: its style, the dotted prefix before it, what follows, the stretch around it."""

    start: int
    style: Style
    prefix: str
    before: str
    after: str
    around: str


def mentions(text: str, name: str) -> Iterator[Mention]:
    """Yield every whole word `name` of a text for people, in order."""
    word = re.compile(rf"(?<!\w){re.escape(name)}(?!\w)")
    for stretch in stretches(text):
        for match in word.finditer(stretch.text):
            before, after = stretch.text[: match.start()], stretch.text[match.end() :]
            dotted = _DOTTED.search(before)
            prefix = dotted.group().rstrip(".") if dotted else ""
            is_inside = dotted is not None
            yield Mention(
                stretch.start + match.start(),
                stretch.style,
                prefix if prefix or not is_inside else "?",
                before,
                after,
                stretch.text,
            )


def stretches(text: str) -> Iterator[Stretch]:
    """Split a text into blocks of code and prose, and prose into inline code and the rest."""
    for block in _blocks(text):
        if block.style == "prose":
            yield from _inline(block)
        else:
            yield block


def _inline(block: Stretch) -> Iterator[Stretch]:
    position = 0
    for match in _SPAN.finditer(block.text):
        start, end = match.span(2)
        is_link = block.text[match.end() : match.end() + 1] == "_"
        yield Stretch(block.start + position, block.text[position:start], "prose")
        yield Stretch(block.start + start, block.text[start:end], "prose" if is_link else "code")
        position = end
    yield Stretch(block.start + position, block.text[position:], "prose")


class _Blocks:
    """Reads lines and tells the style of each; fences, directives and doctests begin and end code."""

    def __init__(self) -> None:
        self.fence: str | None = None
        self.fence_style: Style = "prose"
        self.indent: int | None = None
        self.indent_style: Style = "prose"

    def style(self, line: str) -> Style:
        if self.fence is not None:
            return self._fenced(line)
        if self.indent is not None and self._is_indented(line):
            return self.indent_style
        self.indent = None
        fence = _FENCE.match(line)
        if fence is not None:
            self.fence = fence.group(1)
            self.fence_style = _language(fence.group(2) or "")
            return "prose"
        if _DOCTEST.match(line) or _OBJECT.match(line):
            return "code"
        self._directive(line)
        return "prose"

    def _fenced(self, line: str) -> Style:
        stripped = line.strip().lstrip("> ")
        if self.fence is not None and stripped.startswith(self.fence) and not stripped.strip(self.fence[0]):
            self.fence = None
            return "prose"
        return self.fence_style

    def _is_indented(self, line: str) -> bool:
        return not line.strip() or (self.indent is not None and _width(line) > self.indent)

    def _directive(self, line: str) -> None:
        directive = _DIRECTIVE.match(line)
        if directive is not None:
            self.indent, self.indent_style = _width(line), _language(directive.group(2))
        elif line.rstrip().endswith("::") and not line.lstrip().startswith(".."):
            self.indent, self.indent_style = _width(line), "code"


def _blocks(text: str) -> Iterator[Stretch]:
    reader = _Blocks()
    position, start = 0, 0
    current: Style = "prose"
    for line in text.splitlines(keepends=True):
        style = reader.style(line)
        if style != current:
            yield Stretch(start, text[start:position], current)
            start, current = position, style
        position += len(line)
    yield Stretch(start, text[start:], current)


def _language(name: str) -> Style:
    return "code" if name.lower() in _PYTHON else "other"


def _width(line: str) -> int:
    match = _INDENT.match(line)
    return len(match.group().expandtabs()) if match else 0
