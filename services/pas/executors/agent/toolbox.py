"""What a tool of the agent is: the seam between the loop, which journals, and the tools, which act.

A tool is called once per recorded step. It never writes into the folder itself: it returns the files' new contents, and
the loop writes, records and restores them (so a killed step leaves nothing behind).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pydantic import JsonValue

from services.broker.models import ToolSpec
from services.kernel.ids import Sha256
from services.pas.core.allowlist import Allowlist
from services.pas.core.ports import CardWork
from services.pas.models import ArtifactRef, TestCounts

MAX_RESULT_CHARS = 16_000
"""The most of one tool's result that goes into the conversation; the rest is named as left out."""


@dataclass(frozen=True)
class TestRun:
    """What a test execution recorded; `detail` names the artifact with the full report."""

    __test__ = False

    counts: TestCounts
    failing: tuple[str, ...]
    is_unknown: bool
    detail: ArtifactRef | None


@dataclass(frozen=True)
class ToolResult:
    """What a tool did: `text` for the model, `line` for people (at most 200 characters).

    `changes` maps paths to new contents (None: the file is gone), atomically: all of them or, with `is_error`, none.
    `denied` are lines for events: the tool asked for what it may not have. `shown` maps the paths whose content was
    shown to the SHA-256 of the whole file then, so that an edit of a file changed since is known to be stale.
    """

    text: str
    line: str
    is_error: bool = False
    changes: Mapping[str, bytes | None] = field(default_factory=dict)
    denied: tuple[str, ...] = ()
    shown: Mapping[str, Sha256] = field(default_factory=dict)
    tests: TestRun | None = None
    is_done: bool = False
    """The model says that it has finished (`finish`); only recorded tests say whether it has."""


@dataclass(frozen=True)
class ToolScene:
    """Where a tool acts: the card's folder as it is now, its lane's allowlist, what was shown so far."""

    work: CardWork
    folder: Path
    allowlist: Allowlist
    shown: Mapping[str, Sha256]
    step_name: str
    """Unique within the run, fit for a folder name."""


class Tool(Protocol):
    """One tool; stateless."""

    @property
    def spec(self) -> ToolSpec:
        """Name, description and JSON Schema of the arguments."""
        ...

    async def run(self, arguments: Mapping[str, JsonValue], scene: ToolScene) -> ToolResult:
        """Act. Arguments were checked against the schema; wrong values give `is_error`, never an exception."""
        ...
