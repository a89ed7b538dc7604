"""Citations of a model's answer, held against the places it was given; pure, and made for text that still comes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

FLAG = "(not among what it was shown)"
_CITATION = re.compile(
    r"(?<![\w/.@:-])(?P<path>[\w@+.-]+(?:/[\w@+.-]+)*)(?::|#L)(?P<line>\d{1,7})(?:[-\u2013]L?(?P<end>\d{1,7}))?(?![\w:])"
)
_HAS_SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,9}$")
_END_OF_WORD = re.compile(r"\s")
MAX_HELD_CHARS = 2000


@dataclass(frozen=True)
class Place:
    """Lines of a file that were given to the model; both ends belong to it."""

    path: str
    line: int
    end_line: int

    @property
    def key(self) -> str:
        """Return `path:line-end`, or `path:line` for one line."""
        return f"{self.path}:{self.line}" + (f"-{self.end_line}" if self.end_line != self.line else "")


@dataclass(frozen=True)
class Citation:
    """One `path:line` as the model wrote it; `is_known` when all its lines were among those given."""

    path: str
    line: int
    end_line: int
    is_known: bool


@dataclass
class CitationChecker:
    """Passes an answer on as it comes, marking each citation that was not among `places`.

    A word is held back until it is complete, so the pieces that `feed` and `finish` return make up the same text
    whatever the pieces were that came.
    """

    places: Sequence[Place]
    citations: list[Citation] = field(default_factory=list)
    _held: str = ""

    def feed(self, text: str) -> str:
        """Take a piece of the answer; return what may be shown."""
        self._held += text
        ends = [match.end() for match in _END_OF_WORD.finditer(self._held)]
        cut = ends[-1] if ends else 0
        if not cut and len(self._held) > MAX_HELD_CHARS:
            cut = len(self._held)  # one word without end is no citation
        ready, self._held = self._held[:cut], self._held[cut:]
        return self._mark(ready)

    def finish(self) -> str:
        """Return what was held back; nothing more comes."""
        ready, self._held = self._held, ""
        return self._mark(ready)

    @property
    def known(self) -> int:
        """Return how many citations were among the places."""
        return sum(citation.is_known for citation in self.citations)

    def _mark(self, text: str) -> str:
        return _CITATION.sub(self._judge, text)

    def _judge(self, match: re.Match[str]) -> str:
        path, line = match["path"], int(match["line"])
        end = int(match["end"] or line)
        known_path = any(_means(path, place.path) for place in self.places)
        if not known_path and "/" not in path and not _HAS_SUFFIX.search(path):
            return match[0]  # `localhost:80`, `10:30`: no citation at all
        is_known = line <= end and all(self._is_given(path, number) for number in (line, end))
        self.citations.append(Citation(path, line, end, is_known))
        return match[0] if is_known else f"{match[0]} {FLAG}"

    def _is_given(self, path: str, line: int) -> bool:
        return any(_means(path, place.path) and place.line <= line <= place.end_line for place in self.places)


def _means(cited: str, path: str) -> bool:
    """Return whether a cited path is this file's: in full, or by its last parts."""
    return cited.removeprefix("./") == path or path.endswith(f"/{cited}")


def describe_check(checker: CitationChecker) -> str:
    """Return in words how the citations held."""
    total = len(checker.citations)
    if not total:
        return "no citation in this answer could be checked: take it as unsupported"
    unknown = total - checker.known
    if unknown == total:
        return (
            f"none of the {total} citations is among what it was shown: take this answer as unsupported"
            if total > 1
            else ("the only citation is not among what it was shown: take this answer as unsupported")
        )
    said = f"{total} citation{'' if total == 1 else 's'} checked against the index"
    return f"{said}, {unknown} not among what it was shown" if unknown else f"{said}, all from what it was shown"
