"""The size rule (SPEC.md section 2): who does the work, and why; pure."""

import re
from dataclasses import dataclass
from enum import StrEnum

from services.direng.models import Handling

SMALL_FILES = 3
LARGE_FILES = 10
SMALL_MINUTES = 5.0
LARGE_MINUTES = 30.0
_ASKS_FOR_ESTIMATE = re.compile(
    r"^(?:please\s+)?(?:estimate|rehearse|simulate)\s*(?::|,|the cost of|how long it takes to)?\s+(?P<head>.+)$"
    r"|^(?P<tail>.+?)[\s,]+(?:with|after|and give me|give me|within)\s+(?:an?|the)\s+"
    r"(?:estimate|rehearsal|budget)(?:\s+first)?\.?$",
    re.IGNORECASE | re.DOTALL,
)


class Route(StrEnum):
    """Who does the work."""

    DIRECT = "direct"
    ASK = "ask"
    DELEGATE = "delegate"


@dataclass(frozen=True)
class Size:
    """What is known of the work before it is done.

    `files_expected` is None when it cannot be known beforehand; `minutes_expected` None without earlier runs.
    """

    files_expected: int | None
    minutes_expected: float | None
    asks_for_estimate: bool = False


@dataclass(frozen=True)
class Decision:
    """The route and the reason, in words for the user."""

    route: Route
    reason: str


def split_estimate_request(text: str) -> tuple[str, bool]:
    """Return the work that is asked for, and whether the words ask for an estimate, a rehearsal or a budget too."""
    match = _ASKS_FOR_ESTIMATE.match(text.strip())
    if match is None:
        return text, False
    return (match["head"] or match["tail"]).strip(), True


def decide_route(size: Size, handling: Handling) -> Decision:
    """Return who does the work.

    Small: at most 3 files and under 5 minutes. Large: 10 files or more, 30 minutes or more, or an estimate is asked
    for. Anything between is the user's choice.
    """
    if handling is Handling.DELEGATE or size.asks_for_estimate:
        asked = "you asked to delegate" if handling is Handling.DELEGATE else "you asked for an estimate"
        return Decision(Route.DELEGATE, asked)
    if handling is Handling.DIRECT:
        return Decision(Route.DIRECT, "you asked not to delegate")
    return _route_by_size(size)


def _route_by_size(size: Size) -> Decision:
    why = describe_size(size)
    files, minutes = size.files_expected, size.minutes_expected or 0.0
    if files is None:
        return Decision(Route.ASK, why)
    if files >= LARGE_FILES or minutes >= LARGE_MINUTES:
        return Decision(Route.DELEGATE, f"large: {why}")
    if files <= SMALL_FILES and minutes < SMALL_MINUTES:
        return Decision(Route.DIRECT, f"small: {why}")
    return Decision(Route.ASK, f"medium: {why}")


def describe_size(size: Size) -> str:
    """Return the reason behind a decision."""
    files = size.files_expected
    said = (
        "the number of files cannot be known beforehand"
        if files is None
        else f"the index expects {files} file{'' if files == 1 else 's'} to change"
        if files
        else "no file changes"
    )
    if size.minutes_expected is None:
        return f"{said}; no earlier run to tell the time"
    return f"{said}; earlier runs of this kind took {size.minutes_expected:.1f} min"
