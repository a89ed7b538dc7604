"""What the engine needs of the outside: the store, trees of a git repository, artifacts, signatures, fault points."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from services.kernel.errors import ConflictError
from services.kernel.ids import GitOid, ProjectId, RunId, Sha256, TaskId
from services.pas.core.records import (
    CardChange,
    CardRecord,
    Controls,
    EventDraft,
    Journal,
    ModelFacts,
    NewRun,
    RunChange,
    RunRecord,
    RunResult,
    Snapshot,
)
from services.pas.models import (
    ArtifactRef,
    CardOutcome,
    Finding,
    JobCard,
    LaneLoad,
    Receipt,
    RunEvent,
    RunView,
    SignedPassport,
)

Seal = Callable[[RunRecord, Journal, tuple[JobCard, ...]], SignedPassport]
"""Builds and signs the passport of a finished run from its journal."""


class MergeConflictError(ConflictError):
    """Two cards changed the same lines; `detail` names the files."""

    code = "pas.merge_conflict"


class Store(Protocol):
    """The engine's memory. Every method is one transaction."""

    async def add_submission(self, run_id: RunId, project_id: ProjectId, card: JobCard) -> JobCard:
        """Keep a card for a run that has not started; return the card stored under its task id."""
        ...

    async def list_submissions(self, run_id: RunId) -> tuple[JobCard, ...]:
        """Return the cards submitted for a run, in order."""
        ...

    async def create_run(self, run: NewRun) -> bool:
        """Store a run with its cards; return False when the id is taken."""
        ...

    async def read_run(self, run_id: RunId) -> RunRecord | None:
        """Return the stored run."""
        ...

    async def read_cards(self, run_id: RunId) -> tuple[CardRecord, ...]:
        """Return the run's cards in topological order."""
        ...

    async def view_run(self, run_id: RunId) -> RunView | None:
        """Return the run as others see it."""
        ...

    async def list_views(self, repo: str | None, *, is_active: bool) -> tuple[RunView, ...]:
        """Return runs, newest first."""
        ...

    async def change_run(self, change: RunChange) -> bool:
        """Move a run along RUN_TRANSITIONS with its event; return False when it is there already."""
        ...

    async def keep_result(
        self, run_id: RunId, at: str, result: RunResult, artifacts: Sequence[ArtifactRef], events: Sequence[EventDraft]
    ) -> None:
        """Store the run's result once; a repeated call changes nothing."""
        ...

    async def finish_run(self, change: RunChange, seal: Seal) -> bool:
        """Move a run to its final state and store its passport over the whole journal; False when it has ended."""
        ...

    async def change_card(self, change: CardChange) -> bool:
        """Move a card along TASK_TRANSITIONS with receipt, artifacts and events; False when it is there already."""
        ...

    async def find_receipt(self, run_id: RunId, task_id: TaskId, attempt: int) -> Receipt | None:
        """Return the receipt of one attempt as a whole."""
        ...

    async def add_events(self, run_id: RunId, at: str, events: Sequence[EventDraft]) -> None:
        """Append events."""
        ...

    async def add_finding(self, run_id: RunId, at: str, finding: Finding) -> None:
        """Store a finding once per name, with its event."""
        ...

    async def read_findings(self, run_id: RunId) -> tuple[Finding, ...]:
        """Return the findings of a run."""
        ...

    async def read_receipts(self, run_id: RunId) -> tuple[Receipt, ...]:
        """Return the receipts of a run in the order they were recorded."""
        ...

    async def read_journal(self, run_id: RunId) -> Journal:
        """Return receipts, events and artifacts in the order they were recorded."""
        ...

    async def read_events(self, run_id: RunId, after_seq: int) -> tuple[RunEvent, ...]:
        """Return the events after `after_seq`."""
        ...

    async def keep_models(self, run_id: RunId, models: ModelFacts) -> None:
        """Store what the broker was when the run began, once; a repeated call changes nothing."""
        ...

    async def read_passport(self, run_id: RunId) -> SignedPassport | None:
        """Return the passport of a run that has ended."""
        ...

    async def read_controls(self, run_id: RunId) -> Controls:
        """Return what was asked of the run."""
        ...

    async def set_terminated(self, run_id: RunId, reason: str) -> None:
        """Ask for the end of the run; there is no way back."""
        ...

    async def set_cap(self, run_id: RunId, cap_microusd: int) -> None:
        """Remember the run's new ceiling of spend."""
        ...

    async def add_cancellation(self, run_id: RunId, task_id: TaskId, reason: str) -> None:
        """Ask for the end of one card."""
        ...

    async def beat(self, run_id: RunId, task_id: TaskId, at: str) -> None:
        """Write the heartbeat of a running card."""
        ...

    async def sum_time_s(self, run_id: RunId) -> float:
        """Return how many seconds the run's cards have worked."""
        ...

    async def count_active_runs(self) -> int:
        """Return how many runs have not ended."""
        ...

    async def count_loads(self) -> tuple[LaneLoad, ...]:
        """Return running and queued cards per lane (max_parallel is 0: the store does not know it)."""
        ...


@dataclass(frozen=True)
class TreeDiff:
    """The difference of two trees: a unified diff with its counts."""

    patch: bytes
    files: tuple[str, ...]
    lines_added: int
    lines_deleted: int


@dataclass(frozen=True)
class Published:
    """A run's branch, or why there is none; `notes` are lines for people."""

    branch: str
    commit: GitOid | None
    notes: tuple[str, ...] = ()


class Trees(Protocol):
    """Git trees of users' repositories; nothing here touches a user's files, index or HEAD."""

    async def resolve(self, repo: str) -> str:
        """Return the top folder of the repository; raise one clear line when it is no usable one."""
        ...

    async def take_snapshot(self, repo: str) -> Snapshot:
        """Record the present content, dirty and untracked files included."""
        ...

    async def export(self, repo: str, tree: GitOid, folder: Path) -> None:
        """Write the tree into the empty folder."""
        ...

    async def import_(self, repo: str, base: GitOid, folder: Path) -> GitOid:
        """Record the folder as a tree."""
        ...

    async def patch(self, repo: str, base: GitOid, changes: Mapping[str, bytes | None]) -> GitOid:
        """Return `base` with these files changed (None: gone); raise UnsafePathError for a path through a link."""
        ...

    async def list_changes(self, repo: str, old: GitOid, new: GitOid) -> Mapping[str, bool]:
        """Return the paths that differ, and whether each is there in `new`; costs what differs, not the trees."""
        ...

    async def restore(self, repo: str, folder: Path, old: GitOid, new: GitOid) -> None:
        """Turn the folder, which holds `old`, into `new`, touching only what differs."""
        ...

    async def merge(self, repo: str, base: GitOid, trees: Sequence[GitOid]) -> GitOid:
        """Return the three-way merge of `trees` over `base`; raise MergeConflictError."""
        ...

    async def diff(self, repo: str, old: GitOid, new: GitOid) -> TreeDiff:
        """Return the difference."""
        ...

    async def publish(self, run: RunRecord, tree: GitOid, message: str) -> Published:
        """Point the run's branch at a commit of its hunks; the same call twice gives the same commit."""
        ...


class ArtifactBox(Protocol):
    """Content-addressed bytes."""

    async def put(self, content: bytes) -> Sha256:
        """Store bytes and return their digest; raise a retryable error when the disk is full."""
        ...

    async def get(self, sha256: Sha256) -> bytes:
        """Return verified bytes; raise NotFoundError."""
        ...


class Signer(Protocol):
    """Signs passports with the platform's key."""

    @property
    def kid(self) -> str:
        """Name of the key."""
        ...

    def sign(self, content: bytes) -> str:
        """Return the RS256 signature (base64url, no padding) of `content`."""
        ...


class FaultPoints(Protocol):
    """Named places where a recovery test may stop the process.

    card_running, between_cards, reporting; in a card that calls a model agent_model_called, agent_tool_ran,
    agent_checked (tests ran) and agent_looked (all of them done and not recorded yet), and agent_step_recorded.
    """

    async def hit(self, name: str) -> None:
        """Do what the test wants when the engine passes the place."""
        ...


class NoFaults:
    """Production: nothing happens."""

    async def hit(self, name: str) -> None:
        del name


@dataclass(frozen=True)
class CardWork:
    """One attempt of one card, ready to be executed in `folder`, which holds the exported input tree."""

    run_id: RunId
    repo: str
    card: JobCard
    attempt: int
    folder: Path
    base_tree: GitOid
    tree_in: GitOid
    cancel: asyncio.Event


@dataclass(frozen=True)
class CardResult:
    """What an attempt did. `reason` is one line when it failed; `changes_tree` False keeps the input tree."""

    is_success: bool
    outcome: CardOutcome
    tier: str
    reason: str = ""
    exit_code: int | None = None
    is_cancelled: bool = False
    changes_tree: bool = True
    artifacts: tuple[ArtifactRef, ...] = ()
    denied: tuple[str, ...] = ()
    tree: GitOid | None = None
    """What the folder must hold by the recorded steps; None: whatever it holds is the result."""
    idle_s: float = 0.0
    """How long of its time the card stood still because its run was paused."""
    tools: tuple[tuple[str, str], ...] = ()


class CardExecutor(Protocol):
    """Executes one kind of payload."""

    async def execute(self, work: CardWork) -> CardResult:
        """Run the card; "ran and failed" is a result. Raises PlatformError when nothing could run."""
        ...
