"""What a recipe takes and what it answers: frozen shapes, no I/O."""

from __future__ import annotations

import keyword
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Status = Literal["applied", "nothing_to_do", "refused"]
SymbolKind = Literal["function", "class", "method", "variable", "attribute"]
OccurrenceKind = Literal[
    "name",
    "attribute",
    "keyword_argument",
    "parameter",
    "import",
    "string",
    "comment",
    "docstring",
    "document",
    "data_file",
    "unparsable",
    "base_class",
    "unreadable",
]
Part = Literal["code", "mentions"]

MAX_LEFT_ALONE = 2000
MAX_TEXT_CHARS = 160


class Shape(BaseModel):
    """Common configuration: frozen, and nothing unknown is accepted."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RenameParams(Shape):
    """Parameters of `rename-symbol`.

    `old` is a bare name, a dotted path (`package.module.name`) or `Class.member`; `new` is one identifier.
    The two hints pick one definition among several of the same name.
    """

    old: str = Field(min_length=1, max_length=400)
    new: str = Field(min_length=1, max_length=200)
    path_hint: str | None = None
    line_hint: int | None = Field(default=None, ge=1)
    part: Part = "code"
    prose: Literal["listed", "deferred"] = "listed"
    """Part `code` lists words in docstrings, comments and documents unless a later part `mentions` does."""


class PathsParams(Shape):
    """Parameters of `format` and `lint-fix`: paths relative to the root; none means the whole tree."""

    paths: tuple[str, ...] = ()


class TestParams(Shape):
    """Parameters of `run-tests`: test paths relative to the root and a `-k` expression."""

    __test__ = False  # a parameter model, although its name begins like a test

    paths: tuple[str, ...] = ()
    select: str | None = None


class Occurrence(Shape):
    """One place where an identifier stands: line and column count from 1, the text is its trimmed line."""

    path: str
    line: int
    column: int
    kind: OccurrenceKind
    text: str


class LeftAlone(Shape):
    """An occurrence that was not changed, and why."""

    occurrence: Occurrence
    reason: str


class Candidate(Shape):
    """A definition that a name may mean."""

    qualified_name: str
    path: str
    line: int
    kind: SymbolKind


class RecipeOutcome(Shape):
    """The answer of a recipe.

    `changed` maps paths to new texts and stays inside the process; the wire form leaves it out. `left_alone` is
    capped at
    `MAX_LEFT_ALONE`; `left_alone_total` counts them all. `files` are the changed paths, sorted. `symbols` are the
    definitions that were renamed, the one that was asked for first (more when overriding methods change together).
    """

    status: Status
    reason: str | None = None
    candidates: tuple[Candidate, ...] = ()
    symbols: tuple[Candidate, ...] = ()
    changed: dict[str, str] = Field(default_factory=dict, exclude=True)
    files: tuple[str, ...] = ()
    files_changed: int = 0
    occurrences_changed: int = 0
    left_alone: tuple[LeftAlone, ...] = ()
    left_alone_total: int = 0

    @model_validator(mode="after")
    def _refusals_change_nothing(self) -> Self:
        if self.status != "applied" and (self.changed or self.files):
            raise ValueError(f"a recipe that is {self.status} must not change files")
        if self.status == "refused" and not self.reason:
            raise ValueError("a refusal needs a reason")
        return self


def refuse(reason: str, candidates: tuple[Candidate, ...] = ()) -> RecipeOutcome:
    """Return the refusal with its one clear line; nothing is changed."""
    return RecipeOutcome(status="refused", reason=reason, candidates=candidates)


def applied(
    changed: dict[str, str],
    occurrences: int,
    left_alone: tuple[LeftAlone, ...],
    symbols: tuple[Candidate, ...] = (),
) -> RecipeOutcome:
    """Return the outcome of a recipe that ran: `applied`, or `nothing_to_do` when no file differs."""
    return RecipeOutcome(
        status="applied" if changed else "nothing_to_do",
        reason=None if changed else "no occurrence had to change",
        symbols=symbols,
        changed=changed,
        files=tuple(sorted(changed)),
        files_changed=len(changed),
        occurrences_changed=occurrences,
        left_alone=left_alone[:MAX_LEFT_ALONE],
        left_alone_total=len(left_alone),
    )


def identifier_problem(name: str) -> str | None:
    """Return why `name` cannot be a new identifier, or None when it can."""
    if not name.isidentifier():
        return f"{name!r} is not a Python identifier"
    if keyword.iskeyword(name):
        return f"{name!r} is a Python keyword"
    if keyword.issoftkeyword(name):
        return f"{name!r} is a soft keyword of Python"
    if name.startswith("__"):
        return f"{name!r} is reserved: names that begin with two underscores are mangled or special"
    return None
