"""What the engine remembers between steps, in plain values; `store.py` keeps it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from services.kernel.ids import GitOid, RunId, Sha256, TaskId
from services.kernel.vocabulary import RunState, TaskState
from services.pas.models import (
    ArtifactRef,
    Badge,
    CardOutcome,
    EventKind,
    JobCard,
    Receipt,
    RunEvent,
    StartRun,
)


class Snapshot(BaseModel):
    """The tree a run starts from: the commit, and what lay uncommitted in the user's folder at that moment."""

    model_config = ConfigDict(frozen=True)

    base_commit: GitOid
    base_branch: str
    base_tree: GitOid
    tree: GitOid
    dirty_paths: tuple[str, ...] = ()
    untracked_paths: tuple[str, ...] = ()


class RunResult(BaseModel):
    """What a run made; no branch when nothing changed."""

    model_config = ConfigDict(frozen=True)

    tree: GitOid
    branch: str = ""
    commit: GitOid | None = None
    files_changed: int = 0
    lines_added: int = 0
    lines_deleted: int = 0


class ModelFacts(BaseModel):
    """What the broker was when a run that calls models began; its passport says so."""

    model_config = ConfigDict(frozen=True)

    policy_sha256: Sha256
    price_table_version: str
    provider_matrix: Mapping[str, str]


@dataclass(frozen=True)
class RunRecord:
    """A run as stored."""

    run_id: RunId
    start: StartRun
    repo: str
    snapshot: Snapshot
    state: RunState
    reason: str
    trace_id: str
    result: RunResult | None
    created_at: str
    started_at: str
    finished_at: str
    last_seq: int
    body_sha256: str
    models: ModelFacts | None = None


@dataclass(frozen=True)
class NewRun:
    """A run about to be stored, its cards in topological order."""

    run_id: RunId
    start: StartRun
    repo: str
    snapshot: Snapshot
    trace_id: str
    body_sha256: str
    cards: tuple[JobCard, ...]
    created_at: str


@dataclass(frozen=True)
class CardRecord:
    """A card as stored; `tree_out` once it succeeded."""

    card: JobCard
    state: TaskState
    attempt: int
    reason: str
    tree_out: GitOid | None
    outcome: CardOutcome | None


class StepKind(StrEnum):
    """What a step of an attempt is: a call of a model, a call of a tool, or a look of the platform itself."""

    MODEL = "model"
    TOOL = "tool"
    CHECK = "check"


class Step(BaseModel):
    """One recorded step of an attempt; a restarted attempt takes it from here instead of doing it again.

    `request_sha256` is the digest of what was asked: a loop that asks for something else has diverged. `result` is
    JSON; `tree` what the card's folder held after the step.
    """

    model_config = ConfigDict(frozen=True)

    task_id: TaskId
    attempt: int
    position: int
    kind: StepKind
    key: str
    request_sha256: Sha256
    result: str
    tree: GitOid
    at: str


@dataclass(frozen=True)
class EventDraft:
    """An event before its number is known."""

    kind: EventKind
    text: str
    state: str = ""
    task_id: TaskId | None = None


@dataclass(frozen=True)
class CardChange:
    """One card's step to another state, with everything that is recorded in the same transaction."""

    run_id: RunId
    task_id: TaskId
    state: TaskState
    at: str
    reason: str = ""
    attempt: int | None = None
    outcome: CardOutcome | None = None
    tree_out: GitOid | None = None
    receipt: Receipt | None = None
    artifacts: tuple[ArtifactRef, ...] = ()
    events: tuple[EventDraft, ...] = ()


@dataclass(frozen=True)
class StepChange:
    """One step with everything that is recorded in the same transaction."""

    run_id: RunId
    step: Step
    receipts: tuple[Receipt, ...] = ()
    artifacts: tuple[ArtifactRef, ...] = ()
    events: tuple[EventDraft, ...] = ()


@dataclass(frozen=True)
class RunChange:
    """One run's step to another state."""

    run_id: RunId
    state: RunState
    at: str
    text: str
    reason: str = ""
    badge: Badge | None = None
    is_paused: bool | None = None
    """Closes or opens the run's gate in the same transaction; None leaves it."""
    is_limit_spent: bool = False
    """Remembers that the time limit has acted."""


@dataclass(frozen=True)
class Journal:
    """Everything that was recorded of a run, in order; its digest goes into the passport."""

    receipts: tuple[Receipt, ...]
    events: tuple[RunEvent, ...]
    artifacts: tuple[ArtifactRef, ...]
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True)
class Controls:
    """What people asked of a run; read by the engine before and while cards run."""

    is_paused: bool = False
    is_terminated: bool = False
    reason: str = ""
    cancelled: Mapping[TaskId, str] = field(default_factory=dict)
    is_limit_spent: bool = False
    """The run's time limit has acted once; whoever resumes the run goes on without it."""
