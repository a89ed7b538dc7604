"""Job cards: what a run does, one unit of work on one lane each."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from services.kernel.ids import ID_PATTERN, ProjectId, RunId, TaskId
from services.kernel.vocabulary import Lane

CONTRACT_VERSION = "2026-11-21-001"
"""Version of the contract between PEX and the executors that this engine was built for; stamped on every receipt."""


class Frozen(BaseModel):
    """Nothing changes it; an unknown field is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TreeRef(StrEnum):
    """Which tree a card starts from: what its dependencies produced, or the run's untouched snapshot."""

    INPUT = "input"
    BASE = "base"


class RecipePayload(Frozen):
    """Transform the tree by a recipe of `services.pas.recipes.catalog` (rename-symbol, format, lint-fix)."""

    kind: Literal["recipe"] = "recipe"
    recipe: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    params: Mapping[str, JsonValue] = {}


class TestsPayload(Frozen):
    """Run the project's tests; `paths` empty means the project's own default."""

    __test__ = False  # pytest: this is no test class

    kind: Literal["tests"] = "tests"
    paths: tuple[str, ...] = ()
    tree: TreeRef = TreeRef.INPUT


class CommandPayload(Frozen):
    """Run one allowlisted command; `argv[0]` is a logical program name of the lane's allowlist."""

    kind: Literal["command"] = "command"
    argv: tuple[str, ...] = Field(min_length=1, max_length=256)
    tree: TreeRef = TreeRef.INPUT


class AgentPayload(Frozen):
    """Have a model change the tree until the goal is met: plan, act, observe, with native tool calls.

    `acceptance` says how to know that it is done; `files_hint` where to begin; `test_paths` empty means the project's
    own tests. The first tests are those of the untouched tree; the verdict comes from recorded execution alone.
    `alias` None means the lane's model by the broker's policy.
    """

    kind: Literal["agent"] = "agent"
    goal: str = Field(min_length=1, max_length=20_000, pattern=r"\S")
    acceptance: str = Field(default="", max_length=4000)
    files_hint: tuple[str, ...] = Field(default=(), max_length=50)
    test_paths: tuple[str, ...] = Field(default=(), max_length=50)
    alias: str | None = None
    max_turns: int = Field(default=40, ge=1, le=200)


class PlanPayload(Frozen):
    """Have a model turn an intent into a task tree; the outcome's detail is a `TaskTree` as JSON."""

    kind: Literal["plan"] = "plan"
    intent: str = Field(min_length=1, max_length=20_000, pattern=r"\S")
    context: str = Field(default="", max_length=100_000)
    alias: str | None = None
    max_tasks: int = Field(default=12, ge=1, le=40)


class PlannedTask(Frozen):
    """One node of a task tree; `deps` name tasks before it."""

    task_id: TaskId = Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")
    lane: Lane
    title: str = Field(min_length=1, max_length=120)
    goal: str = Field(min_length=1, max_length=8000)
    acceptance: str = Field(default="", max_length=2000)
    files: tuple[str, ...] = Field(default=(), max_length=50)
    deps: tuple[TaskId, ...] = Field(default=(), max_length=40)
    complexity: Literal["small", "medium", "large"] = "medium"


class TaskTree(Frozen):
    """What a plan card found: tasks, or the one question that must be answered first (with up to three options)."""

    summary: str = Field(default="", max_length=200)
    tasks: tuple[PlannedTask, ...] = Field(default=(), max_length=40)
    question: str = Field(default="", max_length=1000)
    options: tuple[str, ...] = Field(default=(), max_length=3)


Payload = Annotated[
    RecipePayload | TestsPayload | CommandPayload | AgentPayload | PlanPayload, Field(discriminator="kind")
]


class JobCard(Frozen):
    """One unit of work on one lane; it starts when all of `deps` have succeeded."""

    task_id: TaskId = Field(pattern=ID_PATTERN)
    lane: Lane
    title: str = Field(min_length=1, max_length=200)
    configuration: str = Field(pattern=r"^(recipe|agent|plan)/[a-z0-9][a-z0-9._-]*$")
    deps: tuple[TaskId, ...] = ()
    priority: int = Field(default=3, ge=1, le=5)
    payload: Payload
    max_attempts: int = Field(default=1, ge=1, le=4)
    max_cost_microusd: int | None = Field(default=None, ge=0)


class CardSubmission(Frozen):
    """Add a card to a run that has not started yet (the run is made when it is new)."""

    project_id: ProjectId = Field(pattern=ID_PATTERN)
    run_id: RunId = Field(pattern=ID_PATTERN)
    card: JobCard


class CardAccepted(Frozen):
    """The card is queued."""

    task_id: TaskId
    run_id: RunId
